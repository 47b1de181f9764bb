// Triplets at one end of the spectrum: against the whole decomposition, and the promised bound.
#include "matrices.hpp"
#include <catch.hpp>

#include <lathe/linalg/partial_svd.hpp>
#include <lathe/testing/archetype.hpp>

using namespace lathe;
using lathe_test::contains;
using lathe_test::matrix;
using lathe_test::random_matrix;
using linalg::spectrum_end;

namespace {
using plain = lathe_test::plain_backend<>;

/// With these singular values and random singular vectors.
matrix<double> with_values(std::size_t m, std::size_t n, std::vector<double> const & s, std::uint64_t seed = 1) {
    plain be;
    auto const k = s.size();
    auto u = random_matrix<double>(k, m, seed), v = random_matrix<double>(k, n, seed + 1);
    linalg::polar(be, u.view(), u.view());
    linalg::polar(be, v.view(), v.view());
    for (std::size_t i = 0; i != k; ++i)
        ops::scale(be, s[i], u.view().row(i));
    matrix<double> a(m, n);
    ops::gemm(be, op::transpose, op::none, 1, u.view(), v.view(), 0, a.view());
    return a;
}
template <class F> std::vector<double> values(std::size_t k, F f) {
    std::vector<double> s(k);
    for (std::size_t i = 0; i != k; ++i)
        s[i] = f(static_cast<double>(i));
    return s;
}
template <class T> matrix<double> component(linalg::partial_svd_result<plain, T> & r) {
    auto const to_matrix = [](mat_view<T *> v) {
        matrix<T> m(v.rows, v.cols);
        std::copy_n(v.data, m.values.size(), m.values.begin());
        return m;
    };
    return lathe_test::product(to_matrix(r.left()), true, to_matrix(r.right()), false);
}
double norm(std::vector<double> const & x) {
    double sum = 0;
    for (auto const v : x)
        sum += v * v;
    return std::sqrt(sum);
}
double apart(matrix<double> a, matrix<double> const & b) {
    for (std::size_t i = 0; i != a.values.size(); ++i)
        a.values[i] -= b.values[i];
    return norm(a.values);
}
template <class T> matrix<T> as(matrix<double> const & a) {
    matrix<T> out(a.rows, a.cols);
    std::ranges::transform(a.values, out.values.begin(), [](double x) { return static_cast<T>(x); });
    return out;
}
/// The part of the triplets at that end, from the whole decomposition.
template <class T> matrix<double> exact(matrix<T> const & a, spectrum_end end, std::size_t r) {
    plain be;
    matrix<double> wide(a.rows, a.cols);
    std::ranges::copy(a.values, wide.values.begin());
    auto result = linalg::partial_svd(be, std::as_const(wide).view(), end, r, {.method = linalg::svd_method::full});
    CHECK(result.rounds == 0);
    return component(result);
}
} // namespace

TEST_CASE("the iteration finds what the whole decomposition has, within the bound it states", "[partial_svd][large]") {
    plain be;
    auto const shape =
        GENERATE(std::pair<std::size_t, std::size_t>{160, 160}, std::pair<std::size_t, std::size_t>{300, 140},
                 std::pair<std::size_t, std::size_t>{140, 300});
    auto const end = GENERATE(spectrum_end::smallest, spectrum_end::largest);
    auto const which = GENERATE(0, 1, 2);
    std::size_t const k = std::min(shape.first, shape.second), r = 5;
    auto const s =
        which == 0 ? values(k, [&](double i) { return (static_cast<double>(k) - i) * (1 + 10 / (i + 1)); })
        : which == 1
            ? values(k, [](double i) { return std::pow(0.9, i); })                                  // graded
            : values(k, [&](double i) { return 1 + std::pow(1 - i / static_cast<double>(k), 2); }); // no small ones
    auto const a = with_values(shape.first, shape.second, s);
    auto const want = exact(a, end, r);
    CAPTURE(shape.first, shape.second, end == spectrum_end::smallest, which);
    auto result = linalg::partial_svd(be, a.view(), end, r, {.method = linalg::svd_method::iteration});
    auto const error = apart(component(result), want) / norm(a.values);
    CAPTURE(result.rounds, result.error_bound, error);
    CHECK(result.status == status::converged);
    CHECK(result.error_bound <= 1e-10);
    CHECK(error <= result.error_bound + 1e-12); // of the whole decomposition too
    CHECK(result.norm == Approx(norm(s)));
    for (std::size_t i = 0; i != r; ++i)
        CHECK(result.s[i] == Approx(s[end == spectrum_end::smallest ? k - r + i : i]).margin(1e-9 * s[0]));

    auto const single = as<float>(a);
    auto const want_single = exact(single, end, r);
    auto in_float = linalg::partial_svd(
        be, single.view(), end, r, {.arithmetic = linalg::arithmetic::same, .method = linalg::svd_method::iteration});
    auto const error_in_float = apart(component(in_float), want_single) / norm(a.values);
    CAPTURE(in_float.rounds, in_float.error_bound, error_in_float);
    CHECK(in_float.error_bound <= 1e-4);
    CHECK(error_in_float <= in_float.error_bound + 2e-7);
}

TEST_CASE("null spaces, dead rows and columns, and numbers near the ends of the type", "[partial_svd]") {
    plain be;
    std::size_t const k = 160, r = 6;
    auto s = values(k, [&](double i) { return 1 - i / 170; });
    std::fill(s.begin() + 150, s.end(), 0.0);
    auto deficient = with_values(200, k, s);
    auto few =
        linalg::partial_svd(be, deficient.view(), spectrum_end::smallest, r, {.method = linalg::svd_method::iteration});
    CHECK(norm(component(few).values) <= 1e-13 * few.norm); // nothing is taken away, whichever null vectors they are
    CHECK(few.error_bound <= 1e-10);
    for (auto const v : few.s)
        CHECK(v < 1e-12);

    auto dead = with_values(k, k, values(k, [&](double i) { return 1 - i / 170; }));
    for (std::size_t i = 0; i != k; ++i)
        for (std::size_t j = 0; j != 10; ++j)
            dead(i, 3 * j) = dead(7, i) = 0;
    auto none =
        linalg::partial_svd(be, dead.view(), spectrum_end::smallest, r, {.method = linalg::svd_method::iteration});
    CHECK(norm(component(none).values) <= 1e-13 * none.norm);
    for (std::size_t i = 0; i != r; ++i) {
        double length = 0;
        for (std::size_t j = 0; j != k; ++j)
            length += none.orthonormal().data[i * k + j] * none.orthonormal().data[i * k + j];
        CHECK(length == Approx(1));
    }

    auto const plain_scale = with_values(k, k, values(k, [&](double i) { return 170 - i; }));
    for (auto const scale : {1e-150, 1e150}) {
        auto scaled = plain_scale;
        for (auto & x : scaled.values)
            x *= scale;
        auto result = linalg::partial_svd(be, scaled.view(), spectrum_end::smallest, r,
                                          {.method = linalg::svd_method::iteration});
        CHECK(result.error_bound <= 1e-10);
        CHECK(result.s[0] / scale == Approx(16));
        CHECK(result.norm / scale == Approx(norm(plain_scale.values)));
    }
    matrix<double> const zero(200, k);
    for (auto const method : {linalg::svd_method::full, linalg::svd_method::iteration}) {
        auto nothing = linalg::partial_svd(be, zero.view(), spectrum_end::smallest, r, {.method = method});
        CHECK(nothing.error_bound == 0);
        CHECK(norm(component(nothing).values) == 0);
        CHECK(norm({nothing.right().data, nothing.right().data + r * k}) == Approx(std::sqrt(6)));
    }
}

namespace {
/// With these singular values, `smallest` of them or all, and the vectors of eight reflections: cheap for any size.
matrix<double> reflected(std::size_t m, std::size_t n, std::vector<double> const & s, std::size_t smallest) {
    matrix<double> a(m, n);
    for (auto i = s.size() - smallest; i != s.size(); ++i)
        a(i, i) = s[i];
    for (std::uint64_t seed = 1; seed != 5; ++seed) {
        auto const u = random_matrix<double>(1, m, seed), v = random_matrix<double>(1, n, 10 + seed);
        auto const scale_u = 2 / (norm(u.values) * norm(u.values)), scale_v = 2 / (norm(v.values) * norm(v.values));
        std::vector<double> row(n);
        for (std::size_t i = 0; i != m; ++i)
            for (std::size_t j = 0; j != n; ++j)
                row[j] += u(0, i) * a(i, j);
        for (std::size_t i = 0; i != m; ++i) {
            double along = 0;
            for (std::size_t j = 0; j != n; ++j) {
                a(i, j) -= scale_u * u(0, i) * row[j];
                along += v(0, j) * a(i, j);
            }
            for (std::size_t j = 0; j != n; ++j)
                a(i, j) -= scale_v * along * v(0, j);
        }
    }
    return a;
}
} // namespace

TEST_CASE("a Gram matrix in float guides the vectors in double, to their precision", "[partial_svd][large]") {
    plain be;
    auto const [which, r] = GENERATE(std::pair<int, std::size_t>{0, 6}, std::pair<int, std::size_t>{1, 6},
                                     std::pair<int, std::size_t>{2, 6}, std::pair<int, std::size_t>{3, 6},
                                     std::pair<int, std::size_t>{0, 100}, // too wide for a Krylov space
                                     std::pair<int, std::size_t>{2, 100});
    std::size_t const k = 512;
    auto const s = which == 0 ? values(k, [&](double i) { return (512 - i) * (1 + 12 * std::pow(i + 1, -0.6)); })
                   : which == 1
                       ? values(k, [](double i) { return std::pow(10, -9 * i / 512); }) // float knows few of these
                   : which == 2 ? values(k, [](double i) { return 1 + std::pow(1 - i / 512, 1.5); }) // none is small
                                : values(k, [](double i) { return i < 500 ? 1 - i / 520 : 0.0; });   // null vectors
    auto const m = which == 2 ? std::size_t{520} : k;
    auto const a = reflected(m, k, s, k), want = reflected(m, k, s, r);
    auto result = linalg::partial_svd(be, a.view(), spectrum_end::smallest, r, {.tolerance = 1e-9});
    auto const error = apart(component(result), want) / norm(a.values);
    CAPTURE(which, r, result.rounds, result.error_bound, error);
    CHECK(result.rounds > 0);
    if (which != 3)                                              // there the cut is within equal values
        CHECK(result.error_bound <= (which == 1 ? 2e-9 : 1e-9)); // 1: double knows the squares of no values that small
    CHECK(error <= result.error_bound + 1e-13);
}

TEST_CASE("a start that rounding makes dependent is filled up", "[partial_svd]") {
    plain be;
    std::size_t const k = 160, r = 40; // (k / r)^2 is more than float has digits for after a solve with the block
    auto const a = with_values(k, k, values(k, [](double i) { return i < 150 ? 1.0 : std::pow(10.0, 148 - i); }));
    auto const single = as<float>(a);
    auto result =
        linalg::partial_svd(be, single.view(), spectrum_end::smallest, r,
                            {.arithmetic = linalg::arithmetic::same, .method = linalg::svd_method::iteration});
    CHECK(std::isfinite(result.error_bound));
    CHECK(result.s.front() == Approx(1));
    CHECK(result.excess_bound < 1e-2);
}

TEST_CASE("a cut within equal values is said to be one, and still as good as any", "[partial_svd]") {
    plain be;
    std::size_t const k = 160, r = 5;
    auto s = values(k, [&](double i) { return 200 - i; });
    std::fill(s.begin() + 130, s.end(), 50.0);
    auto const a = with_values(k, k, s);
    for (auto const method : {linalg::svd_method::full, linalg::svd_method::iteration}) {
        auto result = linalg::partial_svd(be, a.view(), spectrum_end::smallest, r, {.method = method});
        CHECK(result.status == status::iteration_limit);
        CHECK(result.error_bound > 1e-3);
        CHECK(result.error_bound <= std::sqrt(2.0 * r) * 50.001 / result.norm);
        CHECK(result.excess_bound < 1e-8);
        auto const removed = norm(component(result).values);
        CHECK(removed * removed == Approx(r * 2500.0).epsilon(1e-8));
    }
}

TEST_CASE("short sides have room for no step, and need none", "[partial_svd]") {
    plain be;
    auto const a = random_matrix<double>(20, 14);
    for (auto const r : {std::size_t{1}, std::size_t{5}, std::size_t{14}}) {
        auto result =
            linalg::partial_svd(be, a.view(), spectrum_end::smallest, r, {.method = linalg::svd_method::iteration});
        CHECK(result.rounds > 0);
        CHECK(apart(component(result), exact(a, spectrum_end::smallest, r)) < 1e-12 * result.norm);
    }
}

TEST_CASE("what is not a question is refused", "[partial_svd]") {
    plain be;
    auto a = random_matrix<double>(20, 10);
    for (auto const r : {std::size_t{0}, std::size_t{11}})
        CHECK_THROWS_AS(linalg::partial_svd(be, a.view(), spectrum_end::smallest, r), option_error);
    CHECK_THROWS_AS(linalg::partial_svd(be, a.view(), spectrum_end::smallest, 2, {.tolerance = -1}), option_error);
    a(3, 4) = std::numeric_limits<double>::infinity();
    CHECK_THROWS_WITH(linalg::partial_svd(be, a.view(), spectrum_end::smallest, 2), contains("row 3"));
}

TEST_CASE("any number of threads gives the same bits; a stop leaves what there is", "[partial_svd]") {
    lathe_test::plain_backend<thread_pool> one(1), three(3);
    auto const a = random_matrix<float>(300, 200);
    auto x = linalg::partial_svd(one, a.view(), spectrum_end::smallest, 4),
         y = linalg::partial_svd(three, a.view(), spectrum_end::smallest, 4);
    CHECK(x.rounds > 0);
    CHECK(std::ranges::equal(std::span{x.left().data, 4 * 300}, std::span{y.left().data, 4 * 300}));
    CHECK(std::ranges::equal(std::span{x.right().data, 4 * 200}, std::span{y.right().data, 4 * 200}));
    struct at_once {
        static bool stop_requested() { return true; }
    };
    auto z = linalg::partial_svd(one, a.view(), spectrum_end::smallest, 4, {}, control{no_observer{}, at_once{}});
    CHECK(z.status == status::stopped);
    CHECK(z.rounds == 1);
    CHECK(z.error_bound > x.error_bound);
}

TEST_CASE("partial SVD where pointers are not plain", "[partial_svd]") {
    testing::archetype<testing::floor::matrix_space> device;
    auto const a = random_matrix<float>(150, 170);
    auto memory = device.allocate<float>(a.values.size());
    device.upload(std::span{a.values}, memory.view());
    for (auto const end : {spectrum_end::smallest, spectrum_end::largest}) {
        auto there = linalg::partial_svd(device, as_matrix(memory.view(), 150, 170), end, 3,
                                         {.tolerance = 1e-4, .method = linalg::svd_method::iteration});
        CHECK(there.rounds > 0);
        CHECK(there.status == status::converged);
        auto const left = lathe_test::on_host<float>(device, there.left()),
                   right = lathe_test::on_host<float>(device, there.right());
        CHECK(apart(lathe_test::product(left, true, right, false), exact(a, end, 3)) <= 1e-4 * there.norm);
    }
}

TEST_CASE("the panels of a Cholesky factorisation solve", "[partial_svd]") {
    plain be;
    auto const n = GENERATE(std::size_t{1}, std::size_t{127}, std::size_t{128}, std::size_t{300});
    auto const x = random_matrix<double>(2 * n, n);
    auto const gram = lathe_test::product(x, true, x, false);
    linalg::lower_panels<plain, double> g(be, n);
    linalg::gram_panels(be, x.view(), op::none, g);
    linalg::spd_panels<plain, double> solver(be, n);
    REQUIRE(solver.factor(be, g, 0.5));
    auto const sides = random_matrix<double>(3, n, 2);
    auto y = sides;
    matrix<double> scratch(3, n);
    solver.solve(be, y.view(), scratch.view());
    auto back = lathe_test::product(y, false, gram, false);
    for (std::size_t i = 0; i != back.values.size(); ++i)
        back.values[i] += 0.5 * y.values[i];
    CHECK(lathe_test::distance(back, sides) < 1e-9);
    CHECK_FALSE(solver.factor(be, g, -1e9));
}
