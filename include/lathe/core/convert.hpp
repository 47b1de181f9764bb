#pragma once
/// \file  Blocks of storage scalars to and from compute scalars, in host memory. Vectorised; the same bits as `widen` and
///        `narrow`, NaN payloads aside.
#include <lathe/core/dtype.hpp>
#include <lathe/core/packet.hpp>

LATHE_NAMESPACE_BEGIN
namespace host {
inline namespace LATHE_VECTOR_ABI {

// 16 elements at a time: a constant trip count is what compilers vectorise at -O2 too.
inline constexpr std::size_t conversion_step = 16;

inline void widen_step(std::uint16_t const * in, float * out, bfloat16) {
    for (std::size_t i = 0; i != conversion_step; ++i)
        out[i] = std::bit_cast<float>(static_cast<std::uint32_t>(in[i]) << 16);
}
inline void narrow_step(float const * in, std::uint16_t * out, bfloat16) {
    for (std::size_t i = 0; i != conversion_step; ++i) {
        auto const u = std::bit_cast<std::uint32_t>(in[i]);
        auto const nan = static_cast<std::uint32_t>(-static_cast<std::int32_t>((u & 0x7fffffffu) > 0x7f800000u));
        auto const rounded = u + 0x7fffu + (u >> 16 & 1u);
        out[i] = static_cast<std::uint16_t>(((rounded & ~nan) | ((u | 0x400000u) & nan)) >> 16);
    }
}
#if LATHE_VECTOR_BYTES > 16
// The machine converts; f16 -> f32 is exact and f32 -> f16 rounds to nearest even (immediate 0).
using v8hi = short __attribute__((vector_size(16)));
using v8sf = float __attribute__((vector_size(32)));
inline void widen_step(std::uint16_t const * in, float * out, half) {
    for (std::size_t i = 0; i != conversion_step; i += 8) {
        v8hi h;
        std::memcpy(&h, in + i, sizeof h);
        v8sf const f = __builtin_ia32_vcvtph2ps256(h);
        std::memcpy(out + i, &f, sizeof f);
    }
}
inline void narrow_step(float const * in, std::uint16_t * out, half) {
    for (std::size_t i = 0; i != conversion_step; i += 8) {
        v8sf f;
        std::memcpy(&f, in + i, sizeof f);
        v8hi const h = __builtin_ia32_vcvtps2ph256(f, 0);
        std::memcpy(out + i, &h, sizeof h);
    }
}
#else
inline std::uint32_t mask_if(bool c) { return static_cast<std::uint32_t>(-static_cast<std::int32_t>(c)); }
inline void widen_step(std::uint16_t const * in, float * out, half) {
    for (std::size_t i = 0; i != conversion_step; ++i) {
        std::uint32_t const h = in[i], m = h & 0x7fffu;
        // A subnormal is 0.5 + m 2^-24 less 0.5; infinity and NaN get the exponent's missing half.
        auto const small = std::bit_cast<std::uint32_t>(std::bit_cast<float>(0x3f000000u | m) - 0.5f);
        auto const large = (m << 13) + (112u << 23) + (mask_if(m >= 0x7c00u) & 112u << 23);
        auto const tiny = mask_if(m < 0x400u);
        out[i] = std::bit_cast<float>((h & 0x8000u) << 16 | (small & tiny) | (large & ~tiny));
    }
}
inline void narrow_step(float const * in, std::uint16_t * out, half) {
    for (std::size_t i = 0; i != conversion_step; ++i) {
        auto const u = std::bit_cast<std::uint32_t>(in[i]), m = u & 0x7fffffffu;
        auto const tiny = mask_if(m < 0x38800000u), huge = mask_if(m >= 0x477ff000u), nan = mask_if(m > 0x7f800000u);
        auto const below = std::bit_cast<float>(m & tiny) + 0.5f;
        auto const small = std::bit_cast<std::uint32_t>(below) - 0x3f000000u;
        auto const normal = (m - (112u << 23) + 0xfffu + (m >> 13 & 1u)) >> 13;
        auto const special = 0x7c00u | (nan & (0x200u | (m >> 13 & 0x3ffu)));
        auto const r = (small & tiny) | (special & huge) | (normal & ~(tiny | huge));
        out[i] = static_cast<std::uint16_t>((u >> 16 & 0x8000u) | r);
    }
}
#endif

/// n elements of S, at any alignment, as T.
template <storage_scalar S, real T> inline void widen_block(std::byte const * from, std::size_t n, T * to) {
    if constexpr (std::same_as<S, T>) {
        if (n != 0)
            std::memcpy(to, from, n * sizeof(T));
    } else if constexpr (real<S>) {
        std::array<S, conversion_step> in;
        for (std::size_t i = 0; i < n; i += conversion_step) {
            auto const count = n - i < conversion_step ? n - i : conversion_step;
            std::memcpy(in.data(), from + i * sizeof(S), count * sizeof(S));
            for (std::size_t j = 0; j != count; ++j)
                to[i + j] = static_cast<T>(in[j]);
        }
    } else {
        std::array<std::uint16_t, conversion_step> in{};
        std::array<float, conversion_step> out;
        for (std::size_t i = 0; i < n; i += conversion_step) {
            if (n - i >= conversion_step) [[likely]] {
                std::memcpy(in.data(), from + 2 * i, sizeof in);
                if constexpr (std::same_as<T, float>) {
                    widen_step(in.data(), to + i, S{});
                    continue;
                }
            } else
                std::memcpy(in.data(), from + 2 * i, 2 * (n - i));
            widen_step(in.data(), out.data(), S{});
            for (std::size_t j = 0; j != conversion_step && i + j < n; ++j)
                to[i + j] = static_cast<T>(out[j]);
        }
    }
}

/// n values as elements of S, rounded once to nearest even, at any alignment.
template <storage_scalar S, real T> inline void narrow_block(T const * from, std::size_t n, std::byte * to) {
    if constexpr (std::same_as<S, T>) {
        if (n != 0)
            std::memcpy(to, from, n * sizeof(T));
    } else if constexpr (real<S>) {
        for (std::size_t i = 0; i != n; ++i) {
            auto const x = static_cast<S>(from[i]);
            std::memcpy(to + i * sizeof(S), &x, sizeof x);
        }
    } else {
        std::array<float, conversion_step> in{};
        std::array<std::uint16_t, conversion_step> out;
        for (std::size_t i = 0; i < n; i += conversion_step) {
            auto const count = n - i < conversion_step ? n - i : conversion_step;
            if constexpr (std::same_as<T, float>) {
                if (count == conversion_step) [[likely]] {
                    narrow_step(from + i, out.data(), S{});
                    std::memcpy(to + 2 * i, out.data(), sizeof out);
                    continue;
                }
            }
            for (std::size_t j = 0; j != count; ++j) {
                if constexpr (std::same_as<T, float>)
                    in[j] = from[i + j];
                else
                    in[j] = round_to_odd(from[i + j]);
            }
            narrow_step(in.data(), out.data(), S{});
            std::memcpy(to + 2 * i, out.data(), 2 * count);
        }
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
