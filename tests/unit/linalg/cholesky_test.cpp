// Symmetric positive definite systems: the library's own factorisation, and Eigen's.
#include "matrices.hpp"
#include <catch.hpp>

#include <lathe/backend/eigen.hpp>
#include <lathe/linalg/cholesky.hpp>
#include <lathe/testing/archetype.hpp>

using namespace lathe;
using lathe_test::contains;
using lathe_test::distance;
using lathe_test::matrix;
using lathe_test::random_matrix;

namespace {
template <class T> matrix<T> rounded(matrix<double> const & a) {
    matrix<T> b(a.rows, a.cols);
    std::ranges::transform(a.values, b.values.begin(), [](double x) { return static_cast<T>(x); });
    return b;
}
template <class T> matrix<T> gram(std::size_t n, std::uint64_t seed = 1) {
    auto const x = random_matrix<double>(3 * n, n, seed);
    return rounded<T>(lathe_test::product(x, true, x, false));
}
} // namespace

TEMPLATE_TEST_CASE("systems are solved, right-hand sides in columns or in rows", "[spd]", lathe_test::plain_backend<>,
                   eigen_backend) {
    TestType be;
    auto const n = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{65}, std::size_t{150});
    auto const a = gram<double>(n);
    auto const b = random_matrix<double>(n, 20, 2);
    auto x = b;
    auto const pivot = linalg::solve_spd(be, a.view(), op::none, x.view());
    CHECK(pivot > 0);
    CHECK(pivot <= 1);
    CHECK(distance(lathe_test::product(a, false, x, false), b) < 1e-10);
    matrix<double> rows(20, n);
    for (std::size_t i = 0; i != n; ++i)
        for (std::size_t k = 0; k != 20; ++k)
            rows(k, i) = b(i, k);
    CHECK(linalg::solve_spd(be, a.view(), op::transpose, rows.view()) == pivot);
    for (std::size_t i = 0; i != n; ++i)
        for (std::size_t k = 0; k != 20; ++k)
            CHECK(std::abs(rows(k, i) - x(i, k)) < 1e-10);
}

TEMPLATE_TEST_CASE("single precision is solved in double", "[spd]", lathe_test::plain_backend<>, eigen_backend) {
    TestType be;
    matrix<float> a(2, 2), x(2, 1);
    float const r = 1 - 0x1p-20f; // the pivot, 2^-19, is far below what single precision resolves of the product
    a.values = {1, r, r, 1};
    x.values = {1, 2};
    linalg::solve_spd(be, a.view(), op::none, x.view());
    auto const d = 1 - static_cast<double>(r) * static_cast<double>(r);
    CHECK(x(0, 0) == Approx((1 - 2 * static_cast<double>(r)) / d).epsilon(1e-6));
    CHECK(x(1, 0) == Approx((2 - static_cast<double>(r)) / d).epsilon(1e-6));
}

TEMPLATE_TEST_CASE("the smallest pivot is what the other unknowns leave open", "[spd]", lathe_test::plain_backend<>,
                   eigen_backend) {
    TestType be;
    matrix<double> a(2, 2), x(2, 1);
    a.values = {4, 2 * 0.6 * 3, 2 * 0.6 * 3, 9}; // correlation 0.6, of unknowns on other scales
    x.values = {1, 1};
    CHECK(linalg::solve_spd(be, a.view(), op::none, x.view()) == Approx(1 - 0.36));
    a.values = {1, 1, 1, 1};
    CHECK_THROWS_AS(linalg::solve_spd(be, a.view(), op::none, x.view()), singular_error);
    a.values = {1, 2, 2, 1};
    CHECK_THROWS_AS(linalg::solve_spd(be, a.view(), op::none, x.view()), singular_error);
    a.values = {0, 0, 0, 1};
    CHECK_THROWS_AS(linalg::solve_spd(be, a.view(), op::none, x.view()), singular_error);
    x.values = {1, 1};
    CHECK(linalg::solve_spd(be, a.view(), op::none, x.view(), 0.5) == Approx(1)); // (0 + 0.5) and (1 + 0.5)
    CHECK(x(0, 0) == Approx(2));
    CHECK(x(1, 0) == Approx(1 / 1.5));
    a.values = {1, 0.6, 0.6, 1};
    CHECK_THROWS_AS(linalg::solve_spd(be, a.view(), op::none, x.view(), 0, 0.7),
                    singular_error); // a tolerance of one's own
    a.values = {1, 0.6, 0.6, std::numeric_limits<double>::quiet_NaN()};
    CHECK_THROWS_AS(linalg::solve_spd(be, a.view(), op::none, x.view()), non_finite_error);
    CHECK_THROWS_AS(linalg::solve_spd(be, a.view(), op::transpose, x.view()), shape_error);
    CHECK_THROWS_WITH(linalg::solve_spd(be, mat_view<double *>(a.values.data(), 1, 2), op::none, x.view()),
                      contains("square"));
}

TEST_CASE("any number of threads gives the same bits; pointers need not be plain", "[spd]") {
    lathe_test::plain_backend<thread_pool> one(1), three(3);
    auto const a = gram<float>(200);
    auto x = random_matrix<float>(200, 40, 3), y = x;
    linalg::solve_spd(one, a.view(), op::none, x.view());
    linalg::solve_spd(three, a.view(), op::none, y.view());
    CHECK(x.values == y.values);

    testing::archetype<testing::floor::elementwise> device;
    auto const b = random_matrix<float>(200, 40, 3);
    auto system = device.allocate<float>(a.values.size()), sides = device.allocate<float>(b.values.size());
    device.upload(std::span{a.values}, system.view());
    device.upload(std::span{b.values}, sides.view());
    linalg::solve_spd(device, as_matrix(system.view(), 200, 200), op::none, as_matrix(sides.view(), 200, 40));
    CHECK(lathe_test::on_host<float>(device, as_matrix(sides.view(), 200, 40)).values == x.values);
}
