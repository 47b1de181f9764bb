#pragma once
/// \file  Compute scalars and storage scalars.
#include <lathe/config.hpp>

#include <bit>
#include <concepts>
#include <cstdint>

LATHE_NAMESPACE_BEGIN

/// Types arithmetic is done in. Closed on purpose: an operation is specified for these two.
template <class T>
concept real = std::same_as<T, float> || std::same_as<T, double>;

/// bfloat16 as bits. No arithmetic on purpose: storage widens on load and rounds on store.
struct bfloat16 {
    std::uint16_t bits;                                             ///< sign, 8 of the exponent, 7 of the fraction
    friend constexpr bool operator==(bfloat16, bfloat16) = default; ///< the same bits: 0 is not -0
};
/// IEEE 754 binary16 as bits. No arithmetic on purpose.
struct half {
    std::uint16_t bits;                                     ///< sign, 5 of the exponent, 10 of the fraction
    friend constexpr bool operator==(half, half) = default; ///< the same bits: 0 is not -0
};

/// What has arithmetic stays as it is.
///@{
constexpr float widen(float x) noexcept { return x; }
constexpr double widen(double x) noexcept { return x; }
///@}
/// Exact.
constexpr float widen(bfloat16 x) noexcept { return std::bit_cast<float>(std::uint32_t{x.bits} << 16); }
/// Exact, subnormals included; NaN payloads keep their top ten bits.
constexpr float widen(half x) noexcept {
    std::uint32_t const sign = std::uint32_t{x.bits & 0x8000u} << 16, magnitude = x.bits & 0x7fffu;
    if (magnitude >= 0x7c00u) // infinity, NaN
        return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    if (magnitude < 0x400u) // zero, subnormal: the integer times 2^-24 is exact
        return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(static_cast<float>(magnitude) * 0x1p-24f));
    return std::bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
}

/// Types parameters may be stored in.
template <class S>
concept storage_scalar = requires(S s) {
    { widen(s) } -> real;
};
/// The narrowest type that holds every value of S and has arithmetic.
template <storage_scalar S> using compute_t = decltype(widen(S{}));

/// The float nearest to x if x is one; otherwise, of its two neighbours, the one whose last bit is set (rounding to
/// odd), so that a second rounding to 8 or 11 bits equals one rounding of x.
constexpr float round_to_odd(double x) noexcept {
    auto const nearest = static_cast<float>(x);
    if (static_cast<double>(nearest) == x || x != x)
        return nearest;
    auto bits = std::bit_cast<std::uint32_t>(nearest);
    auto const away = x < 0 ? static_cast<double>(nearest) < x : static_cast<double>(nearest) > x;
    return std::bit_cast<float>((bits - (away ? 1u : 0u)) | 1u);
}

/// Rounds once, to nearest, ties to even; overflow gives infinity; NaN stays NaN.
template <storage_scalar S, real T> constexpr S narrow(T x) noexcept {
    if constexpr (real<S>)
        return static_cast<S>(x);
    else if constexpr (std::same_as<T, double>)
        return narrow<S>(round_to_odd(x));
    else if constexpr (std::same_as<S, bfloat16>) {
        auto const u = std::bit_cast<std::uint32_t>(x);
        if ((u & 0x7fffffffu) > 0x7f800000u)
            return {static_cast<std::uint16_t>((u >> 16) | 0x40u)};
        return {static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
    } else {
        auto const u = std::bit_cast<std::uint32_t>(x);
        auto const sign = static_cast<std::uint16_t>((u >> 16) & 0x8000u);
        std::uint32_t const magnitude = u & 0x7fffffffu;
        std::uint32_t r;
        if (magnitude > 0x7f800000u)
            r = 0x7e00u | (magnitude >> 13 & 0x3ffu);
        else if (magnitude >= 0x477ff000u) // 65520 and above round to infinity
            r = 0x7c00u;
        else if (magnitude
                 < 0x38800000u) // below 2^-14: adding 0.5 leaves the rounded multiple of 2^-24 in the last bits
            r = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
        else
            r = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
        return {static_cast<std::uint16_t>(sign | r)};
    }
}

LATHE_NAMESPACE_END
