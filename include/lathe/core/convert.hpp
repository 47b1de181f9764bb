#pragma once
/// \file  Storage scalars to and from compute scalars in host memory, a packet or a block at a time. The same bits as
///        `widen` and `narrow`, NaN payloads aside.
#include <lathe/core/dtype.hpp>
#include <lathe/core/packet.hpp>

LATHE_NAMESPACE_BEGIN
namespace host {
inline namespace LATHE_VECTOR_ABI {

static_assert(std::endian::native == std::endian::little, "files are little-endian, and read in place");

// ---- packets of float: vectors spelled out, because compilers turn the plain loops into something 2 to 7 times slower
// --

/// Registers of integers: words are the bits of floats, shorts are two-byte elements.
struct integers {
    typedef std::int32_t word __attribute__((vector_size(LATHE_VECTOR_BYTES))); ///< signed words
    /// Unsigned words: the bits of floats.
    typedef std::uint32_t uword __attribute__((vector_size(LATHE_VECTOR_BYTES)));
    /// 64-bit parts, to move quarters of a register.
    typedef std::uint64_t uquad __attribute__((vector_size(LATHE_VECTOR_BYTES)));
    typedef std::uint16_t ushort __attribute__((vector_size(LATHE_VECTOR_BYTES))); ///< two-byte elements
    /// Half a register of two-byte elements: as many as there are words.
    typedef std::uint16_t half_of_ushort __attribute__((vector_size(LATHE_VECTOR_BYTES / 2)));
};
using float_register = registers<float>::value; ///< as many floats as a register holds

/// A register from memory of any type and alignment.
template <class Register> inline Register load_register(std::byte const * from) {
    Register r;
    std::memcpy(&r, from, sizeof r);
    return r;
}
/// The reverse: to memory of any type and alignment.
template <class Register> inline void store_register(Register r, std::byte * to) { std::memcpy(to, &r, sizeof r); }

/// Floats from the bits of f16, each in the lower half of a word. Exact.
inline float_register widen_halves(integers::uword h) {
    auto const m = (integers::word)(h & 0x7fffu);
    // A subnormal is 0.5 + m 2^-24 less 0.5; infinity and NaN get the exponent's missing half.
    auto const small = (integers::word)((float_register)(m | 0x3f000000) - 0.5f);
    auto const large = (m << 13) + (112 << 23) + ((m >= 0x7c00) & (112 << 23));
    auto const tiny = m < 0x400;
    return (float_register)((integers::word)((h & 0x8000u) << 16) | (small & tiny) | (large & ~tiny));
}
/// Elements from floats, rounded to nearest even, each in the upper half of a word.
inline integers::uword narrow_lanes(float_register x, bfloat16) {
    auto const u = (integers::uword)x;
    auto const nan = (integers::uword)((integers::word)(u & 0x7fffffffu) > 0x7f800000);
    auto const rounded = u + 0x7fffu + (u >> 16 & 1u);
    return (rounded & ~nan) | ((u | 0x400000u) & nan);
}
/// The same for f16. A NaN stays one, with the upper bits of its payload.
inline integers::uword narrow_lanes(float_register x, half) {
    auto const u = (integers::uword)x;
    auto const m = (integers::word)(u & 0x7fffffffu);
    auto const tiny = m < 0x38800000, huge = m >= 0x477ff000, nan = m > 0x7f800000;
    auto const small = (integers::word)((float_register)(m & tiny) + 0.5f) - 0x3f000000;
    auto const normal = (m - (112 << 23) + 0xfff + (m >> 13 & 1)) >> 13;
    auto const special = 0x7c00 | (nan & (0x200 | (m >> 13 & 0x3ff)));
    auto const r = (small & tiny) | (special & huge) | (normal & ~(tiny | huge));
    return (u & 0x80000000u) | (integers::uword)(r << 16);
}

#if LATHE_VECTOR_BYTES < 64
/// Words from the shorts of two registers by turns, `low` in the lower halves: those of the first half of the
/// elements. 32-byte registers interleave within their halves, so there the middle quarters must have been swapped.
inline integers::uword interleave_first(integers::ushort low, integers::ushort high) {
#    if LATHE_VECTOR_BYTES == 32
    return (integers::uword)__builtin_shufflevector(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 8, 24, 9, 25, 10, 26, 11,
                                                    27);
#    else
    return (integers::uword)__builtin_shufflevector(low, high, 0, 8, 1, 9, 2, 10, 3, 11);
#    endif
}
/// The same of the second half of the elements.
inline integers::uword interleave_second(integers::ushort low, integers::ushort high) {
#    if LATHE_VECTOR_BYTES == 32
    return (integers::uword)__builtin_shufflevector(low, high, 4, 20, 5, 21, 6, 22, 7, 23, 12, 28, 13, 29, 14, 30, 15,
                                                    31);
#    else
    return (integers::uword)__builtin_shufflevector(low, high, 4, 12, 5, 13, 6, 14, 7, 15);
#    endif
}
/// Swaps the middle quarters of a 32-byte register.
template <class Register> inline Register swap_quarters(Register r) {
#    if LATHE_VECTOR_BYTES == 32
    return (Register)__builtin_shufflevector((integers::uquad)r, (integers::uquad)r, 0, 2, 1, 3);
#    else
    return r;
#    endif
}
#endif

/// f(k) for every register k of a packet, or every second one, without a loop: packets stay in registers.
template <std::size_t Step, class F> inline void for_each_register(F f) {
    [&]<std::size_t... K>(std::index_sequence<K...>) {
        (f(K * Step), ...);
    }(std::make_index_sequence<packet_registers / Step>{});
}

/// 16 elements of a two-byte type, at any alignment, as floats: exact.
template <storage_scalar S> inline packet<float> widen_packet(std::byte const * from) {
    packet<float> p;
#if LATHE_VECTOR_BYTES > 16
    if constexpr (std::same_as<S, half>) { // the machine converts
        typedef short eight_halves __attribute__((vector_size(16)));
        for_each_register<1>([&](std::size_t k) {
            std::array<decltype(__builtin_ia32_vcvtph2ps256(eight_halves{})), LATHE_VECTOR_BYTES / 32> f;
            for (std::size_t e = 0; e != f.size(); ++e)
                f[e] = __builtin_ia32_vcvtph2ps256(
                    load_register<eight_halves>(from + (k * f.size() + e) * sizeof(eight_halves)));
            std::memcpy(&p.r[k], f.data(), sizeof f);
        });
        return p;
    }
#endif
#if LATHE_VECTOR_BYTES == 64
    p.r[0] =
        (float_register)(__builtin_convertvector(load_register<integers::half_of_ushort>(from), integers::uword) << 16);
#else
    for_each_register<2>([&](std::size_t k) {
        auto const shorts = swap_quarters(load_register<integers::ushort>(from + k / 2 * sizeof(integers::ushort)));
        integers::ushort const zero{};
        if constexpr (std::same_as<S, bfloat16>) { // a bfloat16 is the upper half of a float
            p.r[k] = (float_register)interleave_first(zero, shorts);
            p.r[k + 1] = (float_register)interleave_second(zero, shorts);
        } else {
            p.r[k] = widen_halves(interleave_first(shorts, zero));
            p.r[k + 1] = widen_halves(interleave_second(shorts, zero));
        }
    });
#endif
    return p;
}

/// 16 floats as elements of a two-byte type, rounded once to nearest even, at any alignment.
template <storage_scalar S> inline void narrow_packet(packet<float> const & p, std::byte * to) {
#if LATHE_VECTOR_BYTES > 16
    if constexpr (std::same_as<S, half>) {
        typedef float eight_floats __attribute__((vector_size(32)));
        for_each_register<1>([&](std::size_t k) {
            std::array<eight_floats, LATHE_VECTOR_BYTES / 32> f;
            std::memcpy(f.data(), &p.r[k], sizeof f);
            for (std::size_t e = 0; e != f.size(); ++e) // 0: to nearest even
                store_register(__builtin_ia32_vcvtps2ph256(f[e], 0), to + (k * f.size() + e) * 16);
        });
        return;
    }
#endif
#if LATHE_VECTOR_BYTES < 64 && defined(__SSE2__)
    for_each_register<2>([&](std::size_t k) { // packed as signed numbers that fit, so that nothing saturates
        auto const first = (integers::word)narrow_lanes(p.r[k], S{}) >> 16;
        auto const second = (integers::word)narrow_lanes(p.r[k + 1], S{}) >> 16;
#    if LATHE_VECTOR_BYTES == 32
        auto const shorts = __builtin_ia32_packssdw256(first, second);
#    else
        auto const shorts = __builtin_ia32_packssdw128(first, second);
#    endif
        store_register(swap_quarters(shorts), to + k / 2 * sizeof shorts);
    });
#else
    for_each_register<1>([&](std::size_t k) {
        store_register(__builtin_convertvector(narrow_lanes(p.r[k], S{}) >> 16, integers::half_of_ushort),
                       to + k * sizeof(integers::half_of_ushort));
    });
#endif
}

// ---- blocks ---------------------------------------------------------------------------------------------------------

#if LATHE_VECTOR_BYTES == 16 && defined(__x86_64__)
/// Whether blocks of f16 go through the processor's own instructions. Without these f16 costs seven times f32; so a
/// program that was not compiled for them still uses them, block by block, where the processor has them.
inline bool processor_converts_halves() {
    static bool const has = __builtin_cpu_supports("avx") && __builtin_cpu_supports("f16c");
    return has;
}
/// `packets` packets of f16, at any alignment, as floats: exact. \pre processor_converts_halves()
__attribute__((target("avx,f16c"))) inline void widen_halves_by_processor(std::byte const * from, std::size_t packets,
                                                                          float * to) {
    typedef short eight_halves __attribute__((vector_size(16)));
    for (std::size_t i = 0; i != 2 * packets; ++i) {
        eight_halves h;
        std::memcpy(&h, from + i * sizeof h, sizeof h);
        auto const f = __builtin_ia32_vcvtph2ps256(h);
        std::memcpy(to + i * 8, &f, sizeof f);
    }
}
/// The reverse, rounded to nearest even. \pre processor_converts_halves()
__attribute__((target("avx,f16c"))) inline void narrow_halves_by_processor(float const * from, std::size_t packets,
                                                                           std::byte * to) {
    typedef float eight_floats __attribute__((vector_size(32)));
    for (std::size_t i = 0; i != 2 * packets; ++i) {
        eight_floats f;
        std::memcpy(&f, from + i * 8, sizeof f);
        auto const h = __builtin_ia32_vcvtps2ph256(f, 0); // 0: to nearest even
        std::memcpy(to + i * sizeof h, &h, sizeof h);
    }
}
#else
/// On x86 without F16C at compile time: conversion of blocks by instructions that are found at run time. Here there is
/// nothing to find, and nothing is converted.
///@{
inline bool processor_converts_halves() { return false; }
inline void widen_halves_by_processor(std::byte const *, std::size_t, float *) {}
inline void narrow_halves_by_processor(float const *, std::size_t, std::byte *) {}
///@}
#endif
/// Whether blocks of f16 are converted faster than packets of it.
inline constexpr bool halves_in_blocks = LATHE_VECTOR_BYTES == 16;

/// Calls f(i, count) for i = first, first + 16, ...: 16 elements, and what is left before n.
template <class F> inline void by_packets_of_float(std::size_t first, std::size_t n, F && f) {
    for (; n - first >= packet_size<float>; first += packet_size<float>)
        f(first, packet_size<float>);
    if (first != n)
        f(first, n - first);
}

/// n elements of S, at any alignment, as T.
template <storage_scalar S, real T> inline void widen_block(std::byte const * from, std::size_t n, T * to) {
    if constexpr (std::same_as<S, T>) {
        if (n != 0)
            std::memcpy(to, from, n * sizeof(T));
    } else {
        std::size_t done = 0;
        if constexpr (std::same_as<S, half> && std::same_as<T, float>)
            if (processor_converts_halves()) {
                done = n - n % packet_size<float>;
                widen_halves_by_processor(from, done / packet_size<float>, to);
            }
        by_packets_of_float(done, n, [&](std::size_t i, std::size_t count) {
            std::array<S, packet_size<float>> in{};
            std::memcpy(in.data(), from + i * sizeof(S), count * sizeof(S));
            std::array<compute_t<S>, packet_size<float>> out;
            if constexpr (real<S>)
                out = in;
            else
                widen_packet<S>(reinterpret_cast<std::byte const *>(in.data())).store(out.data());
            for (std::size_t j = 0; j != count; ++j)
                to[i + j] = static_cast<T>(out[j]);
        });
    }
}

/// n values as elements of S, rounded once to nearest even, at any alignment.
template <storage_scalar S, real T> inline void narrow_block(T const * from, std::size_t n, std::byte * to) {
    if constexpr (std::same_as<S, T>) {
        if (n != 0)
            std::memcpy(to, from, n * sizeof(T));
    } else {
        std::size_t done = 0;
        if constexpr (std::same_as<S, half> && std::same_as<T, float>)
            if (processor_converts_halves()) {
                done = n - n % packet_size<float>;
                narrow_halves_by_processor(from, done / packet_size<float>, to);
            }
        by_packets_of_float(done, n, [&](std::size_t i, std::size_t count) {
            std::array<compute_t<S>, packet_size<float>> in{};
            for (std::size_t j = 0; j != count; ++j) {
                if constexpr (!real<S> && std::same_as<T, double>)
                    in[j] = round_to_odd(from[i + j]);
                else
                    in[j] = static_cast<compute_t<S>>(from[i + j]);
            }
            std::array<S, packet_size<float>> out;
            if constexpr (real<S>)
                out = in;
            else
                narrow_packet<S>(packet<float>::load(in.data()), reinterpret_cast<std::byte *>(out.data()));
            std::memcpy(to + i * sizeof(S), out.data(), count * sizeof(S));
        });
    }
}

/// n elements of a floating type known at run time, as T. \throws unsupported_error
template <real T> inline void load(dtype type, std::byte const * from, std::size_t n, T * to) {
    visit_floating(type, [&](auto s) { widen_block<decltype(s)>(from, n, to); });
}
/// The reverse. \throws unsupported_error
template <real T> inline void store(dtype type, T const * from, std::size_t n, std::byte * to) {
    visit_floating(type, [&](auto s) { narrow_block<decltype(s)>(from, n, to); });
}

} // namespace LATHE_VECTOR_ABI
} // namespace host
LATHE_NAMESPACE_END
