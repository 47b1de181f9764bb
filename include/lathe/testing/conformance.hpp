#pragma once
/// \file  The laws every backend obeys, asked of one: framework-free, for authors of backends.
///
///     for (auto const & check : lathe::testing::conformance<my_backend, float>(be))
///         if (!check.passed) std::puts((check.name + ": " + check.detail).c_str());
///
/// Laws of a floor are asked of backends that model it. What they demand beyond core/backend.hpp:
/// - Memory: an operation writes its outputs and nothing beside them, wherever they begin.
/// - Kernels: + - * and comparisons are exact (a product may be fused into a sum); / and sqrt are within 3 ulp, exp and
///   log within 4, pow within 16; abs, rint, select, min, max, sign are exact. NaN and infinity stay at their element.
/// - Sums: |error| <= 32 eps sum |terms| to 2^24 terms, for double 32 eps + 2^-15 eps a term (sums of blocks are added
///   in double); the same bits each time, and for any way to cut a long operand into calls at multiples of 4096
///   elements.
/// - Products: |error| <= (k + 8) eps (|a| |A| |B| + |b| |C|) over k terms.
/// - Storage elements are widened exactly and rounded once, to nearest even, at any alignment.
#include <lathe/core/ops.hpp>
#include <lathe/testing/reference.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <numeric>

LATHE_NAMESPACE_BEGIN
namespace testing {

/// One law, asked.
struct check {
    std::string name;   ///< "map: math functions"
    bool passed;        ///< whether it holds, as far as it was asked
    std::string detail; ///< the first counterexample
};

/// What the laws are asked with.
struct conformance_options {
    /// Lengths the laws are asked at: around the packets, blocks and tasks of common implementations.
    std::vector<std::size_t> sizes{0,   1,    2,    3,    15,   16,    17,    31,    511,  512,
                                   513, 1023, 4095, 4096, 4097, 12289, 65535, 65536, 65537};
    /// Also asks about sums of 2^22 elements.
    bool large = false;
    /// False for a device that flushes subnormal numbers to zero.
    bool subnormals = true;
    std::uint64_t seed = 20; ///< of the operands
};

/// Kernels the laws are asked with.
namespace kernels {
/// Four values of two elements.
inline constexpr auto arithmetic = [](auto const & x, auto const & y) { return std::array{x + y, x - y, x * y, -x}; };
inline constexpr auto quotient = [](auto const & x, auto const & y) { return x / y; }; ///< x / y
/// Functions of one element.
inline constexpr auto functions = [](auto const & x) {
    return std::array{math::abs(x), math::sqrt(x), math::exp(x), math::log(x), math::rint(x), math::sign(x)};
};
/// x to the power of a number.
inline constexpr auto power = [](auto const & x, auto const & exponent) { return math::pow(x, exponent); };
/// min, max, and choices by conditions that are joined and negated.
inline constexpr auto choices = [](auto const & x, auto const & y) {
    return std::array{math::min(x, y), math::max(x, y), math::select(math::is_nan(x), y, x),
                      math::select(x < y && !(x == y), x, y), math::select(x <= y || x != x, x, y)};
};
/// One of two numbers, by each of the six comparisons.
inline constexpr auto comparisons = [](auto const & x, auto const & y, auto const & yes, auto const & no) {
    return std::array{math::select(x < y, yes, no),  math::select(x <= y, yes, no), math::select(x > y, yes, no),
                      math::select(x >= y, yes, no), math::select(x == y, yes, no), math::select(x != y, yes, no)};
};
/// Numbers that are written in the kernel.
inline constexpr auto literals = [](auto const & x) { return 0.5 * x + 3; };
/// From x towards y, by a number.
inline constexpr auto interpolate = [](auto const & x, auto const & y, auto const & t) { return x + t * (y - x); };
/// Two outputs, which may be the inputs.
inline constexpr auto swap = [](auto const & x, auto const & y) { return std::array{y, x}; };
/// A list of vectors, weighted by a list of numbers, on top of x.
inline constexpr auto weighted_sum = [](auto const & x, auto const & ys, auto const & weights) {
    auto sum = x;
    for (std::size_t k = 0; k != ys.size(); ++k)
        sum = sum + weights[k] * ys[k];
    return sum;
};
/// Sums of which one gets two terms an element, and one, number 3, none.
inline constexpr auto moments = [](auto & sums, auto const & x, auto const & y) {
    sums.add(0, x);
    sums.add(1, x * y);
    sums.add(2, math::abs(x));
    sums.add(2, math::abs(y));
    sums.add(4, x * x);
};
/// The sum of each vector of a list, times a number; behind these, the weighted sum of all.
inline constexpr auto weighted_total = [](auto & sums, auto const & xs, auto const & weights, auto const & scale) {
    for (std::size_t k = 0; k != xs.size(); ++k) {
        sums.add(k, scale * xs[k]);
        sums.add(xs.size(), weights[k] * xs[k]);
    }
};
/// <x, y>, <x, x> and <y, y>.
inline constexpr auto product_and_squares = [](auto & sums, auto const & x, auto const & y) {
    sums.add(0, x * y);
    sums.add(1, x * x);
    sums.add(2, y * y);
};
/// Two values and two sums at once: x up to a bound, and what is beyond; how much that is, and how often.
inline constexpr auto clamp_and_count = [](auto & sums, auto const & x, auto const & bound) {
    auto const y = math::min(x, bound);
    sums.add(0, x - y);
    sums.add(1, math::select(x > bound, x - x + 1, x - x));
    return std::array{y, x - y};
};
} // namespace kernels

/// What conformance() is made of: one member a law.
template <class B, real T>
    requires storage<B, T>
class conformance_suite {
    using limits = std::numeric_limits<T>;
    using exact = reference<long double>;
    using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    static constexpr long double eps = limits::epsilon();
    /// What a sum of n terms may be off, relative to the sum of their magnitudes.
    static constexpr long double sum_error(std::size_t n) {
        return (32 + (sizeof(T) == 8 ? static_cast<long double>(n) / 32768 : 0)) * eps;
    }

    B & be_;
    conformance_options const & options_;
    std::vector<check> checks_;

    /// How a law says no.
    struct broken : std::runtime_error {
        using std::runtime_error::runtime_error;
    };

public:
    /// Refers to both.
    conformance_suite(B & be, conformance_options const & options) : be_(be), options_(options) {}

    /// Asks all laws of the floors that B models, one check each. Once only: the checks are handed over.
    std::vector<check> run() {
        ask("storage: what is uploaded is downloaded", &conformance_suite::round_trip);
        ask("storage: upload is done with the host's memory", &conformance_suite::upload_returns_late);
        ask("storage: buffers move", &conformance_suite::buffers_move);
        if constexpr (vector_space<B, T>) {
            ask("vector_space: fill, copy, scale, axpy, axpby", &conformance_suite::vector_operations);
            ask("vector_space: linearity", &conformance_suite::linearity);
            ask("vector_space: in place", &conformance_suite::vectors_in_place);
            ask("vector_space: program order", &conformance_suite::program_order);
            ask("vector_space: NaN and infinity stay at their element", &conformance_suite::vector_specials);
        }
        if constexpr (inner_product_space<B, T>) {
            ask("inner_product_space: error of dot", &conformance_suite::dot_error);
            ask("inner_product_space: dot_many", &conformance_suite::dots_agree);
        }
        if constexpr (elementwise<B, T>) {
            ask("map: arithmetic", &conformance_suite::map_arithmetic);
            ask("map: math functions", &conformance_suite::map_functions);
            ask("map: pow", &conformance_suite::map_power);
            ask("map: choices and comparisons", &conformance_suite::map_choices);
            ask("map: numbers, lists, literals, several outputs", &conformance_suite::map_operands);
            ask("map: in place", &conformance_suite::map_in_place);
            ask("map: NaN and infinity stay at their element", &conformance_suite::map_specials);
            ask("map: uniform numbers", &conformance_suite::map_uniform);
            ask("reduce: several sums", &conformance_suite::reduce_sums);
            ask("reduce: lists and numbers", &conformance_suite::reduce_lists);
            ask("reduce: NaN stays in its sum", &conformance_suite::reduce_specials);
            ask("reduce: the same bits however it is cut", &conformance_suite::reduce_windows);
            ask("reduce: all_finite", &conformance_suite::finite);
            ask("map_reduce: what map and reduce do", &conformance_suite::map_and_reduce);
        }
        if constexpr (has_storage_operands<B, T>) {
            ask("storage_view: elements are widened exactly", &conformance_suite::storage_widens);
            ask("storage_view: elements are rounded once", &conformance_suite::storage_rounds);
            ask("storage_view: lists, in place, every type into every other", &conformance_suite::storage_mixed);
        }
        if constexpr (matrix_space<B, T>) {
            ask("gemm: error", &conformance_suite::gemm_error);
            ask("gemm: C is not read where b is 0", &conformance_suite::gemm_overwrites);
            ask("gemm: a matrix with itself", &conformance_suite::gemm_gram);
        }
        return std::move(checks_);
    }

private:
    // ---- saying yes and no

    void ask(char const * name, void (conformance_suite::*law)()) {
        check c{name, true, {}};
        try {
            (this->*law)();
        } catch (std::exception const & e) {
            c.passed = false;
            c.detail = e.what();
        }
        checks_.push_back(std::move(c));
    }
    static std::string text(long double x) {
        std::array<char, 40> s;
        std::snprintf(s.data(), s.size(), "%.*Lg", limits::max_digits10, x);
        return s.data();
    }
    [[noreturn]] static void fail(std::string const & where, std::size_t i, long double found, long double expected) {
        throw broken{where + ", element " + std::to_string(i) + ": found " + text(found) + ", expected "
                     + text(expected)};
    }
    static bool same(T x, T y) { return (x != x && y != y) || std::bit_cast<bits>(x) == std::bit_cast<bits>(y); }
    /// One rounding unit at x.
    static long double ulp(long double x) {
        auto const least = static_cast<long double>(limits::denorm_min());
        return x == 0 ? least : std::max(least, std::ldexp(eps, std::ilogb(x)));
    }
    /// NaN for NaN; infinity where T overflows; else the distance is within the bound.
    static bool near(T found, long double expected, long double bound) {
        if (expected != expected || found != found)
            return expected != expected && found != found;
        auto const wide = static_cast<long double>(found);
        if (std::isinf(expected) || std::isinf(wide))
            return expected == wide
                   || (std::isinf(wide) && std::fabs(expected) + bound > static_cast<long double>(limits::max())
                       && (wide > 0) == (expected > 0));
        return std::fabs(wide - expected) <= bound;
    }
    void expect_same(std::span<T const> found, std::span<T const> expected, std::string const & what) const {
        for (std::size_t i = 0; i != expected.size(); ++i)
            if (!same(found[i], expected[i]))
                fail(at_size(what, expected.size()), i, found[i], expected[i]);
    }
    /// bound(i) is what element i may be off.
    template <class Bound>
    void expect_near(std::span<T const> found, std::span<long double const> expected, Bound bound,
                     std::string const & what) const {
        for (std::size_t i = 0; i != expected.size(); ++i)
            if (!near(found[i], expected[i], bound(i)))
                fail(at_size(what, expected.size()), i, found[i], expected[i]);
    }
    static std::string at_size(std::string const & what, std::size_t n) { return what + ", n = " + std::to_string(n); }

    // ---- numbers to ask with

    /// n numbers in [-1, 1) that differ by `salt`.
    [[nodiscard]] std::vector<T> numbers(std::size_t n, std::uint32_t salt) const {
        random::uniform_stream const stream{options_.seed, salt, 0};
        std::vector<T> x(n);
        for (std::size_t i = 0; i != n; ++i)
            x[i] = static_cast<T>(2 * static_cast<double>(stream[i]) - 1);
        return x;
    }
    /// Magnitudes from 2^-e to 2^e, both signs.
    [[nodiscard]] std::vector<T> magnitudes(std::size_t n, int e, std::uint32_t salt) const {
        random::uniform_stream const stream{options_.seed, salt, 1};
        auto x = numbers(n, salt);
        for (std::size_t i = 0; i != n; ++i)
            x[i] = std::ldexp(x[i], static_cast<int>(static_cast<float>(2 * e + 1) * stream[i]) - e);
        return x;
    }
    /// What numbers can be besides numbers, and the ends of their range.
    [[nodiscard]] std::vector<T> specials() const {
        std::vector<T> x{0,
                         limits::infinity(),
                         limits::quiet_NaN(),
                         limits::max(),
                         limits::min(),
                         1,
                         T(0.5),
                         T(1.5),
                         T(2.5),
                         T(0.49999997),
                         2,
                         3,
                         T(0.1),
                         T(8388607.5),
                         T(1e15),
                         limits::epsilon(),
                         T(1) + limits::epsilon()};
        if (options_.subnormals)
            x.insert(x.end(), {limits::denorm_min(), 3 * limits::denorm_min(), limits::min() / 2});
        auto const n = x.size();
        for (std::size_t i = 0; i != n; ++i)
            x.push_back(-x[i]);
        return x;
    }
    /// Values, then all sorts of magnitudes, up to n.
    [[nodiscard]] std::vector<T> specials_and_magnitudes(std::size_t n, std::uint32_t salt) const {
        auto x = specials();
        auto const rest = magnitudes(n, limits::max_exponent / 2 - 1, salt);
        x.insert(x.end(), rest.begin() + static_cast<std::ptrdiff_t>(std::min(n, x.size())), rest.end());
        return x;
    }
    /// Every pair of the specials, as two vectors.
    [[nodiscard]] std::pair<std::vector<T>, std::vector<T>> special_pairs() const {
        std::pair<std::vector<T>, std::vector<T>> p;
        for (auto const x : specials())
            for (auto const y : specials()) {
                p.first.push_back(x);
                p.second.push_back(y);
            }
        return p;
    }

    // ---- memory of the backend

    /// A vector at an odd place of a longer buffer, whose other elements nobody may touch.
    class vector {
        static constexpr std::size_t behind = 5;
        static constexpr T untouched = T(-12345.678);
        B & be_;
        std::size_t before_, n_;
        buffer_t<B, T> buffer_;

    public:
        vector(B & be, std::span<T const> values, std::size_t before = 3)
            : be_(be), before_(before), n_(values.size()), buffer_(be.template allocate<T>(before + n_ + behind)) {
            std::vector<T> all(before + n_ + behind, untouched);
            for (std::size_t i = 0; i != n_; ++i) // std::copy: g++ 12 at -O3 warns of the empty vectors
                all[before + i] = values[i];
            be.upload(std::span<T const>{all}, buffer_.view());
        }
        vector(B & be, std::size_t n, std::size_t before = 3)
            : vector(be, std::vector<T>(n, limits::quiet_NaN()), before) {}
        [[nodiscard]] vec<B, T> view() { return buffer_.view().sub(before_, n_); }
        [[nodiscard]] cvec<B, T> cview() { return view(); }
        /// The elements, on the host. \throws broken if something wrote beside them
        [[nodiscard]] std::vector<T> get() {
            std::vector<T> all(before_ + n_ + behind);
            be_.download(cvec<B, T>(buffer_.view()), std::span<T>{all});
            for (std::size_t i = 0; i != all.size(); ++i)
                if ((i < before_ || i >= before_ + n_) && !same(all[i], untouched))
                    throw broken{at_size("memory beside an output was written", n_)};
            auto const first = all.begin() + static_cast<std::ptrdiff_t>(before_);
            return {first, first + static_cast<std::ptrdiff_t>(n_)};
        }
    };

    // ---- storage

    void round_trip() {
        for (auto const n : options_.sizes)
            for (std::size_t const before : {0u, 1u, 3u}) {
                auto x = specials_and_magnitudes(n, 1);
                x.resize(n);
                vector v(be_, x, before);
                expect_same(v.get(), x, "upload");
            }
        auto v = be_.template allocate<T>(0);
        be_.upload(std::span<T const>{}, v.view());
        be_.download(cvec<B, T>(v.view()), std::span<T>{});
        be_.sync();
    }
    void upload_returns_late() {
        auto const x = numbers(65537, 2);
        auto host = x;
        vector v(be_, x.size());
        be_.upload(std::span<T const>{host}, v.view());
        std::fill(host.begin(), host.end(), T(7));
        expect_same(v.get(), x, "upload, then another use of the memory");
    }
    void buffers_move() {
        auto const x = numbers(100, 3), y = numbers(50, 4);
        auto a = be_.template allocate<T>(x.size()), b = be_.template allocate<T>(y.size());
        be_.upload(std::span<T const>{x}, a.view());
        be_.upload(std::span<T const>{y}, b.view());
        auto c = std::move(a);
        a = std::move(b);
        std::vector<T> back_x(x.size()), back_y(y.size());
        be_.download(cvec<B, T>(c.view()), std::span<T>{back_x});
        be_.download(cvec<B, T>(a.view()), std::span<T>{back_y});
        expect_same(back_x, x, "a buffer that moved");
        expect_same(back_y, y, "a buffer that was moved to");
    }

    // ---- vector_space

    void vector_operations() {
        T const a = T(0.7), b = T(-1.3);
        for (auto const n : options_.sizes) {
            auto const x = numbers(n, 10), y = numbers(n, 11);
            vector dx(be_, x, 1), dy(be_, y);
            std::vector<long double> expected(n);

            ops::copy(be_, dx.cview(), dy.view());
            expect_same(dy.get(), x, "copy");
            ops::fill(be_, a, dy.view());
            expect_same(dy.get(), std::vector<T>(n, a), "fill");

            vector scaled(be_, y, 2);
            ops::scale(be_, a, scaled.view());
            for (std::size_t i = 0; i != n; ++i)
                expected[i] = static_cast<long double>(a) * y[i];
            expect_near(scaled.get(), expected, [&](std::size_t i) { return ulp(expected[i]) / 2; }, "scale");

            vector sum(be_, y, 4);
            ops::axpy(be_, a, dx.cview(), sum.view());
            for (std::size_t i = 0; i != n; ++i)
                expected[i] = static_cast<long double>(a) * x[i] + y[i];
            auto const bound = [&](std::size_t i) {
                return eps * (std::fabs(a * x[i]) + std::fabs(b * y[i]) + std::fabs(y[i]));
            };
            expect_near(sum.get(), expected, bound, "axpy");

            vector both(be_, y, 5);
            ops::axpby(be_, a, dx.cview(), b, both.view());
            for (std::size_t i = 0; i != n; ++i)
                expected[i] = static_cast<long double>(a) * x[i] + static_cast<long double>(b) * y[i];
            expect_near(both.get(), expected, bound, "axpby");
            expect_same(dx.get(), x, "an input");
        }
    }
    void linearity() {
        // a (x + y) = a x + a y, exactly, with small integers
        std::size_t const n = 4097;
        std::vector<T> x(n), y(n), expected(n);
        for (std::size_t i = 0; i != n; ++i) {
            x[i] = static_cast<T>(i % 97);
            y[i] = static_cast<T>(i % 31) - T(15);
            expected[i] = T(3) * (x[i] + y[i]);
        }
        vector dx(be_, x), sum(be_, y), parts(be_, n);
        ops::axpy(be_, T(1), dx.cview(), sum.view());
        ops::scale(be_, T(3), sum.view());
        expect_same(sum.get(), expected, "a (x + y)");
        vector dy(be_, y);
        ops::fill(be_, T(0), parts.view());
        ops::axpy(be_, T(3), dx.cview(), parts.view());
        ops::axpy(be_, T(3), dy.cview(), parts.view());
        expect_same(parts.get(), expected, "a x + a y");
    }
    void vectors_in_place() {
        for (auto const n : options_.sizes) {
            auto const x = numbers(n, 12);
            vector v(be_, x);
            ops::copy(be_, v.cview(), v.view());
            expect_same(v.get(), x, "copy onto itself");
            ops::axpy(be_, T(1), v.cview(), v.view());
            ops::scale(be_, T(-1), v.view());
            ops::axpy(be_, T(-2), v.cview(), v.view());
            auto expected = x;
            for (auto & e : expected)
                e *= 2;
            expect_same(v.get(), expected, "axpy with itself");
        }
    }
    void program_order() {
        std::size_t const n = 65537;
        std::vector<T> x(n);
        for (std::size_t i = 0; i != n; ++i)
            x[i] = static_cast<T>(i % 1000);
        vector dx(be_, x), y(be_, n), z(be_, n);
        for (int round = 0; round != 8; ++round) {
            {
                auto early = be_.template allocate<T>(n); // goes while work on it may be pending
                ops::copy(be_, dx.cview(), early.view());
                ops::copy(be_, cvec<B, T>(early.view()), y.view());
            }
            auto other = be_.template allocate<T>(n); // perhaps in the same place
            ops::fill(be_, T(-1), other.view());
            ops::axpy(be_, T(2), cvec<B, T>(other.view()), y.view());
            ops::copy(be_, y.cview(), z.view());
            ops::scale(be_, T(3), z.view());
            ops::fill(be_, T(0), y.view());
        }
        auto expected = x;
        for (auto & e : expected)
            e = 3 * (e - 2);
        expect_same(z.get(), expected, "fill, axpy, copy, scale one after the other");
        expect_same(y.get(), std::vector<T>(n, T(0)), "the last of several writes");
    }
    /// Places a NaN and infinities may stand, in n elements.
    static std::vector<std::size_t> places(std::size_t n) {
        std::vector<std::size_t> p;
        for (std::size_t const i : {std::size_t{0}, std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{511},
                                    std::size_t{512}, std::size_t{4095}, std::size_t{4096}, n - 1})
            if (i < n && std::ranges::find(p, i) == p.end())
                p.push_back(i);
        return p;
    }
    void vector_specials() {
        std::size_t const n = 4100;
        for (auto const place : places(n))
            for (T const special : {limits::quiet_NaN(), limits::infinity(), -limits::infinity()}) {
                std::vector<T> x(n, T(1)), expected(n, T(8));
                x[place] = special;
                expected[place] = 2 * special;
                vector dx(be_, x), y(be_, std::vector<T>(n, T(3)));
                ops::axpy(be_, T(1), dx.cview(), y.view());
                ops::scale(be_, T(2), y.view());
                expect_same(y.get(), expected, "axpy, scale with one special element");
            }
    }

    // ---- inner_product_space

    void expect_dot(std::span<T const> x, std::span<T const> y, char const * what) {
        vector dx(be_, x, 1), dy(be_, y);
        auto const found = ops::dot(be_, dx.cview(), dy.cview());
        std::array<compensated_sum, 3> sums{};
        exact::reduce(kernels::product_and_squares, std::span{sums}, view_of(x), view_of(y));
        auto const expected = sums[0].value(),
                   bound = sum_error(x.size()) * std::sqrt(sums[1].value()) * std::sqrt(sums[2].value());
        if (!(std::fabs(static_cast<long double>(found) - expected) <= bound))
            fail(at_size(what, x.size()), 0, found, expected);
        auto const again = ops::dot(be_, dx.cview(), dy.cview());
        if (std::bit_cast<std::uint64_t>(found) != std::bit_cast<std::uint64_t>(again))
            fail(at_size("the same dot again", x.size()), 0, again, found);
    }
    void dot_error() {
        auto sizes = options_.sizes;
        if (options_.large)
            sizes.push_back(std::size_t{1} << 22);
        for (auto const n : sizes) {
            auto const x = numbers(n, 20), y = numbers(n, 21);
            expect_dot(x, y, "dot of both signs");
            expect_dot(x, x, "dot with itself");
            for (T const c : {T(0.1), T(1) / T(3), T(1) + 63 * limits::epsilon()})
                expect_dot(std::vector<T>(n, c), std::vector<T>(n, T(1)), "dot of equal elements");
            expect_dot(magnitudes(n, 20, 22), magnitudes(n, 20, 23), "dot of all magnitudes");
            auto cancelling = x;
            for (std::size_t i = 1; i < n; i += 2)
                cancelling[i] = -cancelling[i - 1];
            expect_dot(cancelling, std::vector<T>(n, T(1)), "dot that cancels");
        }
        std::vector<T> x(5000, T(1));
        x[4999] = limits::quiet_NaN();
        vector v(be_, x);
        if (auto const found = ops::dot(be_, v.cview(), v.cview()); found == found)
            fail("dot with a NaN in it", 0, found, limits::quiet_NaN());
    }
    void dots_agree() {
        for (auto const n : {std::size_t{0}, std::size_t{1}, std::size_t{513}, std::size_t{4097}}) {
            std::vector<vector> xs;
            std::vector<cvec<B, T>> views;
            for (std::uint32_t k = 0; k != 5; ++k)
                xs.emplace_back(be_, numbers(n, 30 + k), k);
            for (auto & x : xs)
                views.push_back(x.cview());
            vector y(be_, numbers(n, 40));
            std::vector<double> found(views.size());
            ops::dot_many(be_, std::span<cvec<B, T> const>{views}, y.cview(), std::span<double>{found});
            for (std::size_t k = 0; k != views.size(); ++k) {
                auto const one = ops::dot(be_, views[k], y.cview());
                auto const bound = 64 * eps * std::sqrt(static_cast<long double>(ops::dot(be_, views[k], views[k])))
                                   * std::sqrt(static_cast<long double>(ops::dot(be_, y.cview(), y.cview())));
                if (!(std::fabs(found[k] - one) <= bound))
                    fail(at_size("dot_many against dot", n), k, found[k], one);
            }
        }
    }

    // ---- elementwise: map

    void map_arithmetic() {
        auto [x, y] = special_pairs();
        for (auto const n : options_.sizes) {
            expect_arithmetic(numbers(n, 50), numbers(n, 51));
            expect_arithmetic(magnitudes(n, 30, 52), magnitudes(n, 30, 53));
        }
        expect_arithmetic(x, y);
    }
    void expect_arithmetic(std::vector<T> const & x, std::vector<T> const & y) {
        auto const n = x.size();
        vector dx(be_, x, 1), dy(be_, y, 2), sum(be_, n), difference(be_, n, 0), product(be_, n), negative(be_, n),
            ratio(be_, n);
        ops::map<T>(be_, kernels::arithmetic,
                    std::tuple{sum.view(), difference.view(), product.view(), negative.view()}, dx.cview(), dy.cview());
        ops::map<T>(be_, kernels::quotient, ratio.view(), dx.cview(), dy.cview());
        std::vector<T> s(n), d(n), p(n), m(n);
        reference<T>::map(kernels::arithmetic, std::tuple{of(s), of(d), of(p), of(m)}, of(x), of(y));
        if (!options_.subnormals)
            for (auto * v : {&s, &d, &p})
                for (auto & e : *v)
                    if (e != 0 && std::fabs(e) < limits::min())
                        return; // a result that this device flushes
        expect_same(sum.get(), s, "x + y");
        expect_same(difference.get(), d, "x - y");
        expect_same(product.get(), p, "x * y");
        expect_same(negative.get(), m, "-x");
        std::vector<long double> q(n);
        exact::map(kernels::quotient, std::tuple{of(q)}, of(x), of(y));
        expect_near(ratio.get(), q, ulps(q, 3), "x / y");
    }
    /// A bound of so many units in the last place; where subnormals are flushed, a result may be zero instead.
    auto ulps(std::vector<long double> const & expected, long double count) const {
        return [&expected, count, this](std::size_t i) {
            auto const least = options_.subnormals ? 0 : static_cast<long double>(limits::min());
            return std::max(count * ulp(expected[i]), std::fabs(expected[i]) < least ? least : 0);
        };
    }
    void map_functions() {
        for (auto const n : options_.sizes) {
            expect_functions(specials_and_magnitudes(n, 60), false);
            auto x = numbers(n, 61);
            for (auto & v : x)
                v *= limits::max_exponent; // exp from nothing to infinity, rint of all fractions
            expect_functions(x, true);
        }
    }
    void expect_functions(std::vector<T> const & x, bool exponents) {
        auto const n = x.size();
        vector dx(be_, x, 1), abs(be_, n), sqrt(be_, n, 1), exp(be_, n), log(be_, n), rint(be_, n), sign(be_, n);
        ops::map<T>(be_, kernels::functions,
                    std::tuple{abs.view(), sqrt.view(), exp.view(), log.view(), rint.view(), sign.view()}, dx.cview());
        std::vector<long double> a(n), q(n), e(n), l(n), r(n), s(n);
        exact::map(kernels::functions, std::tuple{of(a), of(q), of(e), of(l), of(r), of(s)}, of(x));
        auto const none = [](std::size_t) { return 0.0L; };
        expect_near(abs.get(), a, none, "abs");
        expect_near(sqrt.get(), q, ulps(q, 3), "sqrt");
        expect_near(log.get(), l, ulps(l, 4), "log");
        expect_near(rint.get(), r, none, "rint");
        expect_near(sign.get(), s, none, "sign");
        auto const found = exp.get();
        expect_near(found, e, ulps(e, 4), exponents ? "exp" : "exp of all magnitudes");
        for (auto const v : abs.get())
            if (std::signbit(v) && v == v)
                throw broken{"abs: the sign is still there"};
    }
    void map_power() {
        for (auto const n : options_.sizes) {
            auto x = magnitudes(n, 8, 70);
            for (auto & v : x)
                v = std::fabs(v);
            vector dx(be_, x), y(be_, n);
            for (T const exponent : {T(0), T(1), T(2), T(-1), T(0.5), T(1) / T(3), T(-2.7)}) {
                ops::map<T>(be_, kernels::power, y.view(), dx.cview(), exponent);
                std::vector<long double> expected(n);
                exact::map(kernels::power, std::tuple{of(expected)}, of(x), exponent);
                expect_near(y.get(), expected, ulps(expected, 16), "pow");
            }
        }
    }
    void map_choices() {
        auto [x, y] = special_pairs();
        expect_choices(x, y);
        for (auto const n : options_.sizes) {
            auto u = numbers(n, 80), v = numbers(n, 81);
            for (std::size_t i = 0; i < n; i += 3)
                v[i] = u[i];
            expect_choices(u, v);
        }
    }
    void expect_choices(std::vector<T> const & x, std::vector<T> const & y) {
        auto const n = x.size();
        vector dx(be_, x, 1), dy(be_, y);
        std::vector<vector> found;
        std::vector<std::vector<T>> expected(11, std::vector<T>(n));
        for (std::size_t k = 0; k != 11; ++k)
            found.emplace_back(be_, n, k);
        ops::map<T>(be_, kernels::choices,
                    std::tuple{found[0].view(), found[1].view(), found[2].view(), found[3].view(), found[4].view()},
                    dx.cview(), dy.cview());
        reference<T>::map(
            kernels::choices,
            std::tuple{of(expected[0]), of(expected[1]), of(expected[2]), of(expected[3]), of(expected[4])}, of(x),
            of(y));
        ops::map<T>(be_, kernels::comparisons,
                    std::tuple{found[5].view(), found[6].view(), found[7].view(), found[8].view(), found[9].view(),
                               found[10].view()},
                    dx.cview(), dy.cview(), T(1), T(-1));
        reference<T>::map(kernels::comparisons,
                          std::tuple{of(expected[5]), of(expected[6]), of(expected[7]), of(expected[8]),
                                     of(expected[9]), of(expected[10])},
                          of(x), of(y), T(1), T(-1));
        constexpr std::array names{"min", "max", "is_nan", "&& and !", "||", "<", "<=", ">", ">=", "==", "!="};
        for (std::size_t k = 0; k != names.size(); ++k)
            expect_same(found[k].get(), expected[k], names[k]);
    }
    void map_operands() {
        for (auto const n : options_.sizes) {
            auto const x = numbers(n, 90), y = numbers(n, 91);
            vector dx(be_, x, 1), dy(be_, y), out(be_, n);
            std::vector<long double> expected(n);
            ops::map<T>(be_, kernels::literals, out.view(), dx.cview());
            exact::map(kernels::literals, std::tuple{of(expected)}, of(x));
            expect_near(out.get(), expected, [](std::size_t) { return 4 * eps; }, "literals");
            ops::map<T>(be_, kernels::interpolate, out.view(), dx.cview(), dy.cview(), T(0.3));
            exact::map(kernels::interpolate, std::tuple{of(expected)}, of(x), of(y), T(0.3));
            expect_near(out.get(), expected, [](std::size_t) { return 4 * eps; }, "x + t (y - x)");
            ops::map<T>(be_, ops::kernels::identity, out.view(), T(0.3));
            expect_same(out.get(), std::vector<T>(n, T(0.3)), "a number alone");
        }
        for (std::size_t const models : {0u, 1u, 2u, 3u, 7u, 17u})
            for (auto const n :
                 {std::size_t{0}, std::size_t{1}, std::size_t{17}, std::size_t{513}, std::size_t{4097}}) {
                auto const x = numbers(n, 92);
                auto const weights = numbers(models, 93);
                std::vector<std::vector<T>> ys;
                std::vector<vector> dys;
                std::vector<cvec<B, T>> views;
                std::vector<vec_view<T const *>> host;
                for (std::uint32_t k = 0; k != models; ++k) {
                    ys.push_back(numbers(n, 94 + k));
                    dys.emplace_back(be_, ys.back(), k % 3);
                }
                for (std::size_t k = 0; k != models; ++k) {
                    views.push_back(dys[k].cview());
                    host.push_back(of(std::as_const(ys[k])));
                }
                vector dx(be_, x), out(be_, n);
                std::vector<long double> expected(n);
                ops::map<T>(be_, kernels::weighted_sum, out.view(), dx.cview(), list(views), list(weights));
                exact::map(kernels::weighted_sum, std::tuple{of(expected)}, of(x), list(host), list(weights));
                auto const terms = static_cast<long double>(models + 1);
                expect_near(out.get(), expected, [&](std::size_t) { return terms * terms * eps; },
                            "a list of " + std::to_string(models));
            }
    }
    void map_in_place() {
        for (auto const n : options_.sizes) {
            auto const x = numbers(n, 120), y = numbers(n, 121);
            vector dx(be_, x, 1), dy(be_, y);
            ops::map<T>(be_, kernels::swap, std::tuple{dx.view(), dy.view()}, dx.cview(), dy.cview());
            expect_same(dx.get(), y, "x and y, swapped in place");
            expect_same(dy.get(), x, "y and x, swapped in place");
        }
    }
    void map_specials() {
        std::size_t const n = 4100;
        for (auto const place : places(n))
            for (T const special : {limits::quiet_NaN(), limits::infinity(), -limits::infinity()}) {
                std::vector<T> x(n, T(1)), expected(n, T(3.5));
                x[place] = special;
                expected[place] = special;
                vector dx(be_, x), out(be_, n);
                ops::map<T>(be_, kernels::literals, out.view(), dx.cview());
                expect_same(out.get(), expected, "one special element");
            }
    }
    void map_uniform() {
        for (auto const n : options_.sizes)
            for (std::uint64_t const first : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{3}, std::uint64_t{6},
                                              std::uint64_t{4093}, (std::uint64_t{1} << 34) - 5}) {
                random::uniform_stream const stream{options_.seed | std::uint64_t{0xfedcba98} << 32, 7, first};
                vector out(be_, n);
                ops::map<T>(be_, ops::kernels::identity, out.view(), stream);
                std::vector<T> expected(n);
                reference<T>::map(ops::kernels::identity, std::tuple{of(expected)}, stream);
                expect_same(out.get(), expected, "uniform numbers from " + std::to_string(first));
                if (n > 5000)
                    break; // long ones once
            }
    }

    // ---- elementwise: reduce

    void reduce_sums() {
        auto sizes = options_.sizes;
        if (options_.large)
            sizes.push_back(std::size_t{1} << 22);
        for (auto const n : sizes) {
            auto const x = numbers(n, 130), y = numbers(n, 131);
            vector dx(be_, x, 1), dy(be_, y);
            std::array<double, 5> const before{0.25, -1, 0, 4, 1};
            auto found = before, again = before;
            ops::reduce<T>(be_, kernels::moments, std::span<double>{found}, dx.cview(), dy.cview());
            ops::reduce<T>(be_, kernels::moments, std::span{again}, dx.cview(), dy.cview()); // their number is known
            std::array<compensated_sum, 5> sums{};
            exact::reduce(kernels::moments, std::span{sums}, of(x), of(y));
            for (std::size_t k = 0; k != 5; ++k) {
                // the terms of sum 2 are the largest
                auto const expected = before[k] + sums[k].value();
                auto const bound = sum_error(2 * n) * sums[2].value()
                                   + 4 * std::numeric_limits<double>::epsilon() * std::fabs(before[k]);
                if (!(std::fabs(found[k] - expected) <= bound))
                    fail(at_size("sum", n), k, found[k], expected);
                if (found[k] != again[k])
                    fail(at_size("the same sum again", n), k, again[k], found[k]);
            }
        }
    }
    void reduce_lists() {
        for (std::size_t const models : {1u, 2u, 3u, 7u, 17u}) {
            std::size_t const n = 4099;
            auto const weights = numbers(models, 140);
            std::vector<std::vector<T>> xs;
            std::vector<vector> dxs;
            std::vector<cvec<B, T>> views;
            std::vector<vec_view<T const *>> host;
            for (std::uint32_t k = 0; k != models; ++k) {
                xs.push_back(numbers(n, 141 + k));
                dxs.emplace_back(be_, xs.back(), k % 3);
            }
            for (std::size_t k = 0; k != models; ++k) {
                views.push_back(dxs[k].cview());
                host.push_back(of(std::as_const(xs[k])));
            }
            std::vector<double> found(models + 1);
            std::vector<compensated_sum> expected(models + 1);
            ops::reduce<T>(be_, kernels::weighted_total, std::span<double>{found}, list(views), list(weights), T(0.5));
            exact::reduce(kernels::weighted_total, std::span{expected}, list(host), list(weights), T(0.5));
            for (std::size_t k = 0; k != expected.size(); ++k)
                if (!(std::fabs(found[k] - expected[k].value())
                      <= sum_error(n * models) * static_cast<long double>(n * models)))
                    fail("sums over a list of " + std::to_string(models), k, found[k], expected[k].value());
        }
    }
    void reduce_specials() {
        std::size_t const n = 4100;
        for (auto const place : places(n)) {
            std::vector<T> x(n, T(1)), y(n, T(2));
            y[place] = limits::quiet_NaN();
            vector dx(be_, x), dy(be_, y);
            std::array<double, 5> sums{};
            ops::reduce<T>(be_, kernels::moments, std::span<double>{sums}, dx.cview(), dy.cview());
            if (sums[0] != static_cast<double>(n) || sums[4] != static_cast<double>(n))
                fail("sums without the NaN", place, sums[0], static_cast<long double>(n));
            if (sums[1] == sums[1] || sums[2] == sums[2])
                fail("sums with the NaN", place, sums[1], limits::quiet_NaN());
        }
    }
    void reduce_windows() {
        std::size_t const n = 65537;
        auto const x = numbers(n, 150), y = numbers(n, 151);
        vector dx(be_, x), dy(be_, y);
        std::array<double, 5> whole{};
        ops::reduce<T>(be_, kernels::moments, std::span<double>{whole}, dx.cview(), dy.cview());
        for (std::size_t const window : {4096u, 3u * 4096u, 16u * 4096u}) {
            std::array<double, 5> sums{};
            for (std::size_t first = 0; first < n; first += window) {
                auto const count = std::min(window, n - first);
                ops::reduce<T>(be_, kernels::moments, std::span<double>{sums}, dx.cview().sub(first, count),
                               dy.cview().sub(first, count));
            }
            for (std::size_t k = 0; k != sums.size(); ++k)
                if (sums[k] != whole[k])
                    fail("in windows of " + std::to_string(window), k, sums[k], whole[k]);
        }
    }
    void finite() {
        for (auto const n : {std::size_t{0}, std::size_t{1}, std::size_t{4097}}) {
            std::vector<T> x(n, limits::max());
            if (!ops::all_finite(be_, vector(be_, x).cview()))
                throw broken{at_size("all_finite says no to finite numbers", n)};
            for (T const special : {limits::quiet_NaN(), limits::infinity(), -limits::infinity()})
                if (n != 0) {
                    x[n - 1] = special;
                    if (ops::all_finite(be_, vector(be_, x).cview()))
                        throw broken{at_size("all_finite says yes to " + text(special), n)};
                }
        }
    }

    void map_and_reduce() {
        for (auto const n : options_.sizes) {
            auto const x = numbers(n, 155);
            vector dx(be_, x, 1), rest(be_, n);
            std::array<double, 2> found{0, 3};
            // in place: the sums are of what was there before
            ops::map_reduce<T>(be_, kernels::clamp_and_count, std::tuple{dx.view(), rest.view()},
                               std::span<double>{found}, dx.cview(), T(0.25));
            std::vector<T> y(n), r(n);
            long double total = 0, count = 3;
            for (std::size_t i = 0; i != n; ++i) {
                y[i] = std::min(x[i], T(0.25));
                r[i] = x[i] - y[i];
                total += r[i];
                count += x[i] > T(0.25);
            }
            expect_same(dx.get(), y, "the first output");
            expect_same(rest.get(), r, "the second output");
            if (!(std::fabs(found[0] - total) <= sum_error(n) * total) || found[1] != count)
                fail(at_size("the sums", n), 0, found[0], total);
        }
    }

    // ---- storage_view

    /// Elements of a storage type at an odd byte, in a longer buffer whose other bytes nobody may touch.
    class elements {
        static constexpr std::size_t behind = 7;
        static constexpr std::byte untouched{0x5a};
        static constexpr bool on_host = host_addressable<B, T>;
        static auto allocate(B & be, std::size_t n) {
            if constexpr (on_host)
                return std::vector<std::byte>(n);
            else
                return be.template allocate<std::byte>(n);
        }
        using memory = decltype(allocate(std::declval<B &>(), 0));
        B & be_;
        dtype type_;
        std::size_t before_, n_;
        memory buffer_;

    public:
        elements(B & be, dtype type, std::span<std::byte const> bytes, std::size_t before = 1)
            : be_(be), type_(type), before_(before), n_(bytes.size()), buffer_(allocate(be, before + n_ + behind)) {
            std::vector<std::byte> all(before + n_ + behind, untouched);
            std::copy(bytes.begin(), bytes.end(), all.begin() + static_cast<std::ptrdiff_t>(before));
            if constexpr (on_host)
                buffer_ = std::move(all);
            else
                be.upload(std::span<std::byte const>{all}, buffer_.view());
        }
        [[nodiscard]] auto view() {
            if constexpr (on_host)
                return storage_of(std::span<std::byte>{buffer_}.subspan(before_, n_), type_);
            else
                return storage_view<pointer_t<B, std::byte>>(buffer_.view().sub(before_, n_).data, type_,
                                                             n_ / size_of(type_));
        }
        [[nodiscard]] std::vector<std::byte> get() {
            std::vector<std::byte> all(before_ + n_ + behind);
            if constexpr (on_host) {
                be_.sync();
                all = buffer_;
            } else
                be_.download(vec_view<pointer_t<B, std::byte const>>(buffer_.view()), std::span<std::byte>{all});
            for (std::size_t i = 0; i != all.size(); ++i)
                if ((i < before_ || i >= before_ + n_) && all[i] != untouched)
                    throw broken{at_size("memory beside a storage_view was written", n_)};
            auto const first = all.begin() + static_cast<std::ptrdiff_t>(before_);
            return {first, first + static_cast<std::ptrdiff_t>(n_)};
        }
    };
    static constexpr std::array types{dtype::f64, dtype::f32, dtype::f16, dtype::bf16};

    /// x, rounded by `narrow` to elements of that type.
    static std::vector<std::byte> rounded(std::span<T const> x, dtype type) {
        std::vector<std::byte> bytes(x.size() * size_of(type));
        reference<T>::map(ops::kernels::identity, std::tuple{storage_of(std::span{bytes}, type)}, view_of(x));
        return bytes;
    }
    static std::vector<T> widened(std::span<std::byte const> bytes, dtype type) {
        auto const view = storage_of(bytes, type);
        std::vector<T> x(view.n);
        for (std::size_t i = 0; i != view.n; ++i)
            x[i] = reference<T>::at(view, i);
        return x;
    }
    void expect_widened(std::vector<std::byte> const & bytes, dtype type, std::size_t before) {
        elements in(be_, type, bytes, before);
        vector out(be_, bytes.size() / size_of(type));
        ops::map<T>(be_, ops::kernels::identity, out.view(), in.view());
        expect_same(out.get(), widened(bytes, type), "from " + std::string{name_of(type)});
    }
    void storage_widens() {
        std::vector<std::byte> every; // 16-bit pattern
        for (std::uint32_t u = 0; u != 65536; ++u) {
            auto const low = static_cast<std::byte>(u & 0xff), high = static_cast<std::byte>(u >> 8);
            every.insert(every.end(), {std::endian::native == std::endian::little ? low : high,
                                       std::endian::native == std::endian::little ? high : low});
        }
        for (auto const type : {dtype::f16, dtype::bf16})
            expect_widened(every, type, 1);
        for (auto const type : types)
            for (auto const n : options_.sizes)
                for (std::size_t const before : {0u, 1u, 2u, 3u})
                    expect_widened(rounded(numbers(n, 160), type), type, before);
    }
    void expect_rounded(std::span<T const> x, dtype type, std::size_t before) {
        auto const expected = rounded(x, type);
        vector in(be_, x);
        elements out(be_, type, std::vector<std::byte>(expected.size(), std::byte{0xff}), before);
        ops::map<T>(be_, ops::kernels::identity, out.view(), in.cview());
        // compared as numbers, since NaN may carry any payload
        auto const found = out.get();
        for (std::size_t i = 0; i != x.size(); ++i) {
            auto const f = reference<long double>::at(storage_of(std::span<std::byte const>{found}, type), i);
            auto const e = reference<long double>::at(storage_of(std::span<std::byte const>{expected}, type), i);
            if (!(f == e && std::signbit(f) == std::signbit(e)) && !(f != f && e != e))
                fail(at_size("to " + std::string{name_of(type)} + ": " + text(x[i]), x.size()), i, f, e);
        }
    }
    void storage_rounds() {
        auto x = specials();
        // Around every element of the 16-bit types: the tie with the next one, and the numbers just beside the tie.
        for (std::uint32_t u = 0; u < 0x7f80; ++u)
            for (auto const type : {dtype::f16, dtype::bf16}) {
                if (type == dtype::f16 && u >= 0x7c00)
                    continue;
                auto const from = type == dtype::f16 ? widen(half{static_cast<std::uint16_t>(u)})
                                                     : widen(bfloat16{static_cast<std::uint16_t>(u)});
                auto const to = type == dtype::f16 ? widen(half{static_cast<std::uint16_t>(u + 1)})
                                                   : widen(bfloat16{static_cast<std::uint16_t>(u + 1)});
                auto const tie =
                    std::isinf(to) ? static_cast<T>(from)
                                         + (static_cast<T>(from)
                                            - static_cast<T>(type == dtype::f16
                                                                 ? widen(half{static_cast<std::uint16_t>(u - 1)})
                                                                 : widen(bfloat16{static_cast<std::uint16_t>(u - 1)})))
                                               / 2
                                   : static_cast<T>(from) / 2 + static_cast<T>(to) / 2;
                for (T const v : {tie, std::nextafter(tie, T(0)), std::nextafter(tie, limits::infinity())}) {
                    x.push_back(v);
                    x.push_back(-v);
                }
            }
        if (!options_.subnormals)
            std::erase_if(x, [](T v) { return v != 0 && std::fabs(v) < limits::min(); });
        for (auto const type : types) {
            expect_rounded(x, type, 1);
            for (auto const n : options_.sizes)
                for (std::size_t const before : {0u, 1u, 3u})
                    expect_rounded(numbers(n, 170), type, before);
        }
    }
    void storage_mixed() {
        for (auto const n : {std::size_t{0}, std::size_t{1}, std::size_t{17}, std::size_t{512}, std::size_t{4099}})
            for (auto const to : types) {
                std::vector<elements> in;
                for (std::uint32_t k = 0; k != types.size(); ++k)
                    in.emplace_back(be_, types[k], rounded(numbers(n, 180 + k), types[k]), k);
                using view = decltype(in[0].view());
                std::vector<view> views;
                std::vector<std::vector<T>> host;
                std::vector<vec_view<T const *>> host_views;
                for (auto & e : in) {
                    views.push_back(e.view());
                    host.push_back(widened(e.get(), views.back().type));
                }
                for (auto const & h : host)
                    host_views.push_back(of(h));
                std::vector<T> const weights{T(0.5), T(2), T(-1),
                                             T(0.25)}; // exact products, so that fusing changes nothing
                std::vector<T> expected(n);
                reference<T>::map(kernels::weighted_sum, std::tuple{of(expected)}, host_views[0], list(host_views),
                                  list(weights));
                elements out(be_, to, rounded(std::vector<T>(n), to), 3);
                ops::map<T>(be_, kernels::weighted_sum, out.view(), views[0], list(views), list(weights));
                if (out.get() != rounded(expected, to))
                    throw broken{at_size("a list of all types to " + std::string{name_of(to)}, n)};
                ops::map<T>(be_, kernels::literals, out.view(), out.view());
                std::vector<T> const halves = widened(rounded(expected, to), to);
                reference<T>::map(kernels::literals, std::tuple{of(expected)}, of(halves));
                if (out.get() != rounded(expected, to))
                    throw broken{at_size("in place on " + std::string{name_of(to)}, n)};
            }
    }

    // ---- matrix_space

    struct shape_of_product {
        std::size_t m, n, k;
    };
    void gemm_error() {
        for (auto const s : {shape_of_product{0, 3, 2},
                             {3, 0, 2},
                             {3, 2, 0},
                             {1, 1, 1},
                             {1, 7, 5},
                             {7, 1, 5},
                             {5, 7, 1},
                             {2, 3, 4},
                             {15, 17, 16},
                             {33, 31, 65},
                             {64, 64, 64},
                             {3, 300, 257},
                             {300, 3, 41},
                             {520, 5, 7}})
            for (auto const oa : {op::none, op::transpose})
                for (auto const ob : {op::none, op::transpose})
                    for (auto const & [a, b] : {std::pair{T(1), T(0)}, {T(1), T(1)}, {T(-0.7), T(0.3)}, {T(2), T(0)}})
                        for (std::size_t const gap : {0u, 3u})
                            expect_product(s, oa, ob, a, b, gap);
    }
    static std::string text(shape_of_product s, op oa, op ob) {
        return "gemm " + std::to_string(s.m) + " x " + std::to_string(s.n) + " x " + std::to_string(s.k)
               + (oa == op::none ? ", A" : ", A'") + (ob == op::none ? " B" : " B'");
    }
    void expect_product(shape_of_product s, op oa, op ob, T a, T b, std::size_t gap) {
        auto const [m, n, k] = s;
        auto const rows_a = oa == op::none ? m : k, cols_a = oa == op::none ? k : m;
        auto const rows_b = ob == op::none ? k : n, cols_b = ob == op::none ? n : k;
        auto const A = numbers(rows_a * (cols_a + gap), 200), Bm = numbers(rows_b * (cols_b + gap), 201);
        auto const C = numbers(m * (n + gap), 202);
        vector dA(be_, A, 1), dB(be_, Bm), dC(be_, C, 5);
        mat<B, T> const mC(dC.view().data, m, n, n + gap);
        cmat<B, T> const mA(dA.cview().data, rows_a, cols_a, cols_a + gap),
            mB(dB.cview().data, rows_b, cols_b, cols_b + gap);
        ops::gemm(be_, oa, ob, a, mA, mB, b, mC);
        auto const found = dC.get();

        // The right answer, and the same with absolute values for the bound.
        auto const magnitude = [](std::vector<T> v) {
            for (auto & e : v)
                e = std::fabs(e);
            return v;
        };
        std::vector<long double> expected(C.begin(), C.end()), size(C.size());
        auto const absolute = magnitude(C);
        std::copy(absolute.begin(), absolute.end(), size.begin());
        auto const product = [&](std::vector<T> const & x, std::vector<T> const & y, long double f, long double g,
                                 std::vector<long double> & out) {
            exact::gemm(oa, ob, f, mat_view<T const *>(x.data(), rows_a, cols_a, cols_a + gap),
                        mat_view<T const *>(y.data(), rows_b, cols_b, cols_b + gap), g,
                        mat_view<long double *>(out.data(), m, n, n + gap));
        };
        product(A, Bm, a, b, expected);
        product(magnitude(A), magnitude(Bm), std::fabs(a), std::fabs(b), size);
        auto const terms = static_cast<long double>(k + 8);
        for (std::size_t i = 0; i != found.size(); ++i) {
            auto const in_gap = i % (n + gap) >= n;
            if (!near(found[i], expected[i], in_gap ? 0 : terms * eps * size[i]))
                fail(text(s, oa, ob) + (in_gap ? ", between the rows of C" : ""), i, found[i], expected[i]);
        }
        vector again(be_, C, 5);
        ops::gemm(be_, oa, ob, a, mA, mB, b, mat<B, T>(again.view().data, m, n, n + gap));
        expect_same(again.get(), found, text(s, oa, ob) + ", again");
    }
    void gemm_overwrites() {
        std::size_t const m = 17, n = 9, k = 5;
        vector A(be_, numbers(m * k, 210)), Bm(be_, numbers(k * n, 211)),
            C(be_, std::vector<T>(m * n, limits::quiet_NaN()));
        ops::gemm(be_, op::none, op::none, T(1), cmat<B, T>(A.cview().data, m, k), cmat<B, T>(Bm.cview().data, k, n),
                  T(0), mat<B, T>(C.view().data, m, n));
        for (auto const c : C.get())
            if (!(std::fabs(c) <= static_cast<T>(k)))
                throw broken{"C was read: " + text(c)};
        // Nothing to sum: C becomes zero, or b C.
        vector D(be_, std::vector<T>(m * n, limits::quiet_NaN()));
        ops::gemm(be_, op::none, op::none, T(1), cmat<B, T>(A.cview().data, m, 0, 1), cmat<B, T>(Bm.cview().data, 0, n),
                  T(0), mat<B, T>(D.view().data, m, n));
        expect_same(D.get(), std::vector<T>(m * n, T(0)), "a product over nothing");
    }
    void gemm_gram() {
        std::size_t const m = 33, k = 65;
        auto const A = numbers(m * k, 220);
        vector dA(be_, A), C(be_, m * m);
        cmat<B, T> const mA(dA.cview().data, m, k);
        ops::gemm(be_, op::none, op::transpose, T(1), mA, mA, T(0), mat<B, T>(C.view().data, m, m));
        std::vector<long double> expected(m * m);
        mat_view<T const *> const hA(A.data(), m, k);
        exact::gemm(op::none, op::transpose, 1, hA, hA, 0, mat_view<long double *>(expected.data(), m, m));
        expect_near(C.get(), expected, [](std::size_t) { return static_cast<long double>(k * k) * eps; }, "A A'");
    }

    // ---- host vectors as operands of the interpreter

    template <class X> static vec_view<X *> of(std::vector<X> & v) { return {v.data(), v.size()}; }
    template <class X> static vec_view<X const *> of(std::vector<X> const & v) { return {v.data(), v.size()}; }
};

/// Asks every law of the floors that B models over T. Never throws for a broken law: that is what the checks say.
/// Time: a second or two on a host.
template <class B, real T>
    requires storage<B, T>
std::vector<check> conformance(B & be, conformance_options const & options = {}) {
    return conformance_suite<B, T>(be, options).run();
}

} // namespace testing
LATHE_NAMESPACE_END
