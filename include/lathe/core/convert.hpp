#pragma once
/// \file  Storage scalars to and from compute scalars in host memory, a packet or a block at a time. The same bits as
///        `widen` and `narrow`, NaN payloads aside.
#include <lathe/core/dtype.hpp>
#include <lathe/core/packet.hpp>

LATHE_NAMESPACE_BEGIN
namespace host {
inline namespace LATHE_VECTOR_ABI {

static_assert(std::endian::native == std::endian::little, "files are little-endian, and read in place");

// ---- packets of float: vectors spelled out, because compilers turn the plain loops into something 2 to 7 times slower --

/// Registers of integers: the bits of a packet of floats, and two-byte elements.
struct integers {
    typedef std::int32_t word __attribute__((vector_size(LATHE_VECTOR_BYTES)));
    typedef std::uint32_t uword __attribute__((vector_size(LATHE_VECTOR_BYTES)));
    typedef std::uint16_t narrow __attribute__((vector_size(LATHE_VECTOR_BYTES / 2), aligned(1), may_alias));
    typedef std::uint16_t narrow_pair __attribute__((vector_size(LATHE_VECTOR_BYTES), aligned(1), may_alias));
};
using float_register = registers<float>::value;

/// Bits of bf16, of f16 and of f32, each in a lane of 32.
inline float_register widen_lanes(integers::uword h, bfloat16) { return (float_register)(h << 16); }
inline float_register widen_lanes(integers::uword h, half) {
    auto const m = (integers::word)(h & 0x7fffu);
    // A subnormal is 0.5 + m 2^-24 less 0.5; infinity and NaN get the exponent's missing half.
    auto const small = (integers::word)((float_register)(m | 0x3f000000) - 0.5f);
    auto const large = (m << 13) + (112 << 23) + ((m >= 0x7c00) & (112 << 23));
    auto const tiny = m < 0x400;
    return (float_register)((integers::word)((h & 0x8000u) << 16) | (small & tiny) | (large & ~tiny));
}
/// The reverse, rounded to nearest even; the upper 16 bits of each lane hold the result.
inline integers::uword narrow_lanes(float_register x, bfloat16) {
    auto const u = (integers::uword)x;
    auto const nan = (integers::uword)((integers::word)(u & 0x7fffffffu) > 0x7f800000);
    auto const rounded = u + 0x7fffu + (u >> 16 & 1u);
    return (rounded & ~nan) | ((u | 0x400000u) & nan);
}
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

/// 16 elements of S, at any alignment, as floats: exact.
template <storage_scalar S> inline packet<float> widen_packet(std::byte const * from) {
    packet<float> p;
    if constexpr (std::same_as<S, float>)
        return packet<float>::load(reinterpret_cast<float const *>(from)); // through an unaligned type only
    else if constexpr (std::same_as<S, double>) {
        std::array<double, packet_size<float>> in;
        std::array<float, packet_size<float>> out;
        std::memcpy(in.data(), from, sizeof in);
        for (std::size_t i = 0; i != in.size(); ++i)
            out[i] = static_cast<float>(in[i]);
        return packet<float>::load(out.data());
    }
#if LATHE_VECTOR_BYTES > 16
    else if constexpr (std::same_as<S, half>) { // the machine converts
        typedef short eight_halves __attribute__((vector_size(16)));
        for (std::size_t k = 0; k != packet_size<float>; k += 8) {
            eight_halves h;
            std::memcpy(&h, from + 2 * k, sizeof h);
            auto const f = __builtin_ia32_vcvtph2ps256(h);
            std::memcpy(reinterpret_cast<std::byte *>(&p) + sizeof f * (k / 8), &f, sizeof f);
        }
        return p;
    } else {
        auto const * const in = reinterpret_cast<integers::narrow const *>(from);
        for (std::size_t k = 0; k != packet_registers; ++k)
            p.r[k] = widen_lanes(__builtin_convertvector(in[k], integers::uword), S{});
        return p;
    }
#else
    else {
        auto const * const in = reinterpret_cast<integers::narrow_pair const *>(from);
        integers::narrow_pair const zero{};
        for (std::size_t k = 0; k != packet_registers / 2; ++k) { // zero extension: each element between zeros
            p.r[2 * k] = widen_lanes((integers::uword)__builtin_shufflevector(in[k], zero, 0, 8, 1, 9, 2, 10, 3, 11), S{});
            p.r[2 * k + 1] = widen_lanes((integers::uword)__builtin_shufflevector(in[k], zero, 4, 12, 5, 13, 6, 14, 7, 15), S{});
        }
        return p;
    }
#endif
}

/// 16 floats as elements of S, rounded once to nearest even, at any alignment.
template <storage_scalar S> inline void narrow_packet(packet<float> const & p, std::byte * to) {
    if constexpr (std::same_as<S, float>)
        p.store(reinterpret_cast<float *>(to)); // through an unaligned type only
    else if constexpr (std::same_as<S, double>) {
        std::array<float, packet_size<float>> in;
        std::array<double, packet_size<float>> out;
        p.store(in.data());
        for (std::size_t i = 0; i != in.size(); ++i)
            out[i] = static_cast<double>(in[i]);
        std::memcpy(to, out.data(), sizeof out);
    }
#if LATHE_VECTOR_BYTES > 16
    else if constexpr (std::same_as<S, half>) {
        typedef float eight_floats __attribute__((vector_size(32)));
        for (std::size_t k = 0; k != packet_size<float>; k += 8) {
            eight_floats f;
            std::memcpy(&f, reinterpret_cast<std::byte const *>(&p) + sizeof f * (k / 8), sizeof f);
            auto const h = __builtin_ia32_vcvtps2ph256(f, 0); // 0: to nearest even
            std::memcpy(to + 2 * k, &h, sizeof h);
        }
    }
#elif defined(__SSE2__)
    else {
        typedef short eight __attribute__((vector_size(16), aligned(1), may_alias));
        auto * const out = reinterpret_cast<eight *>(to);
        for (std::size_t k = 0; k != packet_registers / 2; ++k) // signed, so that nothing saturates
            out[k] = __builtin_ia32_packssdw128((integers::word)narrow_lanes(p.r[2 * k], S{}) >> 16,
                                                (integers::word)narrow_lanes(p.r[2 * k + 1], S{}) >> 16);
    }
#endif
#if LATHE_VECTOR_BYTES > 16 || !defined(__SSE2__)
    else {
        auto * const out = reinterpret_cast<integers::narrow *>(to);
        for (std::size_t k = 0; k != packet_registers; ++k)
            out[k] = __builtin_convertvector(narrow_lanes(p.r[k], S{}) >> 16, integers::narrow);
    }
#endif
}

// ---- blocks ---------------------------------------------------------------------------------------------------------

/// Calls f(i, count) for i = 0, 16, 32, ...: 16 elements, and what is left at the end.
template <class F> inline void by_packets_of_float(std::size_t n, F && f) {
    std::size_t i = 0;
    for (; n - i >= packet_size<float>; i += packet_size<float>)
        f(i, packet_size<float>);
    if (i != n)
        f(i, n - i);
}

/// n elements of S, at any alignment, as T.
template <storage_scalar S, real T> inline void widen_block(std::byte const * from, std::size_t n, T * to) {
    if constexpr (std::same_as<S, T>) {
        if (n != 0)
            std::memcpy(to, from, n * sizeof(T));
    } else
        by_packets_of_float(n, [&](std::size_t i, std::size_t count) {
            std::array<S, packet_size<float>> in{};
            std::memcpy(in.data(), from + i * sizeof(S), count * sizeof(S));
            if constexpr (std::same_as<S, double>) {
                for (std::size_t j = 0; j != count; ++j)
                    to[i + j] = static_cast<T>(in[j]);
            } else {
                std::array<float, packet_size<float>> out;
                widen_packet<S>(reinterpret_cast<std::byte const *>(in.data())).store(out.data());
                for (std::size_t j = 0; j != count; ++j)
                    to[i + j] = static_cast<T>(out[j]);
            }
        });
}

/// n values as elements of S, rounded once to nearest even, at any alignment.
template <storage_scalar S, real T> inline void narrow_block(T const * from, std::size_t n, std::byte * to) {
    if constexpr (std::same_as<S, T>) {
        if (n != 0)
            std::memcpy(to, from, n * sizeof(T));
    } else
        by_packets_of_float(n, [&](std::size_t i, std::size_t count) {
            std::array<S, packet_size<float>> out;
            if constexpr (real<S>) {
                for (std::size_t j = 0; j != count; ++j)
                    out[j] = static_cast<S>(from[i + j]);
            } else {
                std::array<float, packet_size<float>> in{};
                for (std::size_t j = 0; j != count; ++j) {
                    if constexpr (std::same_as<T, float>)
                        in[j] = from[i + j];
                    else
                        in[j] = round_to_odd(from[i + j]);
                }
                narrow_packet<S>(packet<float>::load(in.data()), reinterpret_cast<std::byte *>(out.data()));
            }
            std::memcpy(to + i * sizeof(S), out.data(), count * sizeof(S));
        });
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
