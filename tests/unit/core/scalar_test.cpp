// Storage scalars against their definition: the nearest element of the type, ties to the even one, rounded once.
#include <lathe/core/convert.hpp>

#include "catch.hpp"

#include <cmath>
#include <random>

namespace {
using namespace lathe;

/// What defines a 16-bit type.
template <class S> struct format;
template <> struct format<half> {
    static constexpr int fraction = 10, least_exponent = -14, greatest_exponent = 15;
};
template <> struct format<bfloat16> {
    static constexpr int fraction = 7, least_exponent = -126, greatest_exponent = 127;
};

/// The number that these bits stand for, by the definition of the format.
template <class S> double value_of(std::uint16_t bits) {
    using f = format<S>;
    int const exponent_bits = 15 - f::fraction, bias = f::greatest_exponent;
    auto const fraction = bits & ((1 << f::fraction) - 1), exponent = bits >> f::fraction & ((1 << exponent_bits) - 1);
    double const sign = bits >> 15 != 0 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
        return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                             : sign * std::numeric_limits<double>::infinity();
    if (exponent == 0)
        return sign * std::ldexp(fraction, f::least_exponent - f::fraction);
    return sign * std::ldexp(fraction + (1 << f::fraction), exponent - bias - f::fraction);
}
/// The element nearest to x, ties to even: in the spacing of the elements around x that is the nearest integer.
template <class S> double rounded(double x) {
    using f = format<S>;
    if (x == 0 || !std::isfinite(x))
        return x;
    auto const spacing = std::max(std::ilogb(x), f::least_exponent) - f::fraction;
    auto const y = std::ldexp(std::nearbyint(std::ldexp(x, -spacing)), spacing); // exact but for the rounding
    auto const greatest = std::ldexp(2 - std::ldexp(1.0, -f::fraction), f::greatest_exponent);
    return std::fabs(y) > greatest ? std::copysign(std::numeric_limits<double>::infinity(), x) : y;
}
bool same(double x, double y) { return (x == y && std::signbit(x) == std::signbit(y)) || (x != x && y != y); }

/// How many of f(0) ... f(count - 1) are false: one assertion for a million cases.
template <class F> std::size_t wrong(std::size_t count, F f) {
    std::size_t n = 0;
    for (std::size_t i = 0; i != count; ++i)
        n += f(i) ? 0 : 1;
    return n;
}
} // namespace

TEMPLATE_TEST_CASE("every element of a 16-bit type is widened exactly and comes back", "[scalar]", half, bfloat16) {
    using S = TestType;
    CHECK(wrong(65536, [](std::size_t i) {
        auto const bits = static_cast<std::uint16_t>(i);
        return same(widen(S{bits}), value_of<S>(bits));
    }) == 0);
    CHECK(wrong(65536, [](std::size_t i) {
        S const s{static_cast<std::uint16_t>(i)};
        auto const x = widen(s);
        auto const back = narrow<S>(x), back_from_double = narrow<S>(static_cast<double>(x));
        return x != x ? widen(back) != widen(back) && widen(back_from_double) != widen(back_from_double)
                      : back == s && back_from_double == s;
    }) == 0);
}

TEMPLATE_TEST_CASE("floats from everywhere are rounded to the nearest element", "[scalar]", half, bfloat16) {
    using S = TestType;
    // A stride that is coprime to 2^32 visits all exponents and all low bits.
    CHECK(wrong(1 << 20, [](std::size_t i) {
        auto const x = std::bit_cast<float>(static_cast<std::uint32_t>(i * 4099));
        return same(widen(narrow<S>(x)), rounded<S>(x));
    }) == 0);
}

TEMPLATE_TEST_CASE("numbers around the ties are rounded once, from float and from double", "[scalar]", half, bfloat16) {
    using S = TestType;
    auto const infinity = format<S>::fraction == 10 ? 0x7c00u : 0x7f80u;
    auto const check = [](double x) {
        return same(widen(narrow<S>(x)), rounded<S>(x)) && same(widen(narrow<S>(-x)), rounded<S>(-x));
    };
    CHECK(wrong(infinity, [&](std::size_t i) {
        auto const a = value_of<S>(static_cast<std::uint16_t>(i));
        auto const b = i + 1 == infinity ? std::ldexp(1.0, format<S>::greatest_exponent + 1)
                                         : value_of<S>(static_cast<std::uint16_t>(i + 1));
        auto const tie = (a + b) / 2;
        auto const as_float = static_cast<float>(tie); // exact: one bit more than S has
        bool ok = static_cast<double>(as_float) == tie || tie < 0x1p-149;
        for (auto const x : {as_float, std::nextafter(as_float, 0.0f), std::nextafter(as_float, 1e38f)})
            ok = ok && same(widen(narrow<S>(x)), rounded<S>(x));
        // the neighbours of a tie among doubles are ties among floats
        return ok && check(tie) && check(std::nextafter(tie, 0)) && check(std::nextafter(tie, 1e308));
    }) == 0);
}

TEMPLATE_TEST_CASE("doubles from everywhere are rounded once", "[scalar]", half, bfloat16) {
    using S = TestType;
    std::mt19937_64 random(1);
    CHECK(wrong(1 << 18, [&](std::size_t) {
        auto const x = std::bit_cast<double>(random());
        return same(widen(narrow<S>(x)), rounded<S>(x));
    }) == 0);
    CHECK(wrong(1 << 18, [&](std::size_t) {
        std::uniform_real_distribution<double> fraction(-1, 1);
        std::uniform_int_distribution<int> exponent(-150, 130);
        auto const x = std::ldexp(fraction(random), exponent(random));
        return same(widen(narrow<S>(x)), rounded<S>(x)) && narrow<float>(x) == static_cast<float>(x);
    }) == 0);
}

TEST_CASE("rounding to odd keeps what the next rounding has to know", "[scalar]") {
    CHECK(round_to_odd(0.5) == 0.5f);
    CHECK(round_to_odd(1e300) == std::numeric_limits<float>::max());
    CHECK(round_to_odd(-1e300) == -std::numeric_limits<float>::max());
    CHECK(round_to_odd(1e-320) == std::numeric_limits<float>::denorm_min());
    CHECK(std::isinf(round_to_odd(std::numeric_limits<double>::infinity())));
    CHECK(std::isnan(round_to_odd(std::numeric_limits<double>::quiet_NaN())));
    for (double const x : {0.1, -0.1, 1.0 / 3, 1e-40, 3e38}) {
        auto const odd = round_to_odd(x);
        CHECK((std::bit_cast<std::uint32_t>(odd) & 1u) == 1u);
        CHECK(std::fabs(static_cast<double>(odd) - x) < std::fabs(x) * 0x1p-23 + 0x1p-149);
    }
}

TEMPLATE_TEST_CASE("blocks convert like scalars, at any length and alignment", "[convert]", float, double) {
    using T = TestType;
    std::mt19937_64 random(2);
    std::vector<T> x;
    for (int i = 0; i != 300; ++i)
        x.push_back(static_cast<T>(std::ldexp(std::uniform_real_distribution<double>(-1, 1)(random), i % 60 - 30)));
    for (T const special :
         {std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity(), std::numeric_limits<T>::quiet_NaN(),
          T(0), -T(0), T(65520), T(65519), std::numeric_limits<T>::max(), std::numeric_limits<T>::min(),
          std::numeric_limits<T>::denorm_min(), static_cast<T>(0x1p-24), static_cast<T>(0x1p-25),
          static_cast<T>(1e-41)})
        x.insert(x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2), special);

    auto const type = GENERATE(dtype::f64, dtype::f32, dtype::f16, dtype::bf16);
    visit_floating(type, [&](auto s) {
        using S = decltype(s);
        std::size_t bad = 0;
        for (std::size_t n = 0; n <= x.size(); n += n < 70 ? 1 : 37)
            for (std::size_t const offset : {0u, 1u, 2u, 5u}) {
                std::vector<std::byte> bytes(offset + n * sizeof(S) + 3, std::byte{0x5a});
                host::store(type, x.data(), n, bytes.data() + offset);
                for (std::size_t i = 0; i != bytes.size(); ++i)
                    bad += (i < offset || i >= offset + n * sizeof(S)) && bytes[i] != std::byte{0x5a};
                std::vector<T> back(n + 1, T(7));
                host::load(type, bytes.data() + offset, n, back.data());
                bad += back[n] != T(7);
                for (std::size_t i = 0; i != n; ++i) {
                    S element;
                    std::memcpy(&element, bytes.data() + offset + i * sizeof(S), sizeof(S));
                    bad += !same(static_cast<double>(widen(element)), static_cast<double>(widen(narrow<S>(x[i]))));
                    bad += !same(static_cast<double>(back[i]), static_cast<double>(static_cast<T>(widen(element))));
                }
            }
        CHECK(bad == 0);
    });
}

TEST_CASE("elements without arithmetic are refused by name", "[convert]") {
    std::array<float, 4> x{};
    std::array<std::byte, 16> bytes{};
    CHECK_THROWS_AS(host::load(dtype::i32, bytes.data(), 4, x.data()), unsupported_error);
    CHECK_THROWS_WITH(host::store(dtype::f8_e5m2, x.data(), 4, bytes.data()), lathe_test::contains("F8_E5M2"));
}

TEST_CASE("shapes that overflow are refused", "[dtype]") {
    CHECK_THROWS_AS(count_of(std::array{~std::size_t{0}, std::size_t{2}}), shape_error);
    CHECK(to_string(shape{2, 3}) == "[2, 3]");
    CHECK(to_string(shape{}) == "[]");
    CHECK(tensor_info{"t", dtype::bf16, {3, 5}}.bytes() == 30);
}
