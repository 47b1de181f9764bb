// The singular value decomposition and the polar factor: the library's own, and Eigen's.
#include "matrices.hpp"
#include <catch.hpp>

#include <lathe/backend/eigen.hpp>
#include <lathe/linalg/svd.hpp>
#include <lathe/testing/archetype.hpp>

using namespace lathe;
using lathe_test::contains;
using lathe_test::distance;
using lathe_test::matrix;
using lathe_test::on_host;
using lathe_test::random_matrix;

namespace {

template <class T> constexpr double small = 200 * static_cast<double>(std::numeric_limits<T>::epsilon());

/// What every decomposition of a must be, relative to the largest singular value.
template <class T, class B> linalg::svd_result<B, T> decompose_and_check(B & be, matrix<T> const & a) {
    auto r = linalg::svd(be, a.view());
    auto const u = on_host<T>(be, r.left()), v = on_host<T>(be, r.right());
    auto const k = std::min(a.rows, a.cols);
    REQUIRE(r.s.size() == k);
    CHECK(std::ranges::is_sorted(r.s, std::ranges::greater{}));
    CHECK(r.s.back() >= 0);
    CHECK(distance(lathe_test::product(u, false, u, true), lathe_test::identity(k)) < small<T>);
    CHECK(distance(lathe_test::product(v, false, v, true), lathe_test::identity(k)) < small<T>);
    matrix<double> sv(k, a.cols), u_wide(k, a.rows);
    for (std::size_t i = 0; i != k; ++i) {
        for (std::size_t j = 0; j != a.cols; ++j)
            sv(i, j) = r.s[i] * static_cast<double>(v(i, j));
        for (std::size_t j = 0; j != a.rows; ++j)
            u_wide(i, j) = static_cast<double>(u(i, j));
        auto const row = std::span{u.values}.subspan(i * a.rows, a.rows);
        CHECK(*std::ranges::max_element(row, {}, [](T x) { return std::abs(x); }) > 0);
    }
    CHECK(distance(lathe_test::product(u_wide, true, sv, false), a) <= small<T> * std::max(r.s[0], 1e-300));
    return r;
}

} // namespace

TEMPLATE_TEST_CASE("a decomposition is one, for any shape", "[svd]", float, double) {
    lathe_test::plain_backend<> plain;
    eigen_backend eigen;
    auto const [rows, cols] = GENERATE(table<std::size_t, std::size_t>(
        {{1, 1}, {1, 6}, {6, 1}, {5, 5}, {9, 4}, {4, 9}, {40, 33}, {33, 70}, {90, 20}}));
    auto const a = random_matrix<TestType>(rows, cols);
    auto const own = decompose_and_check(plain, a);
    auto const eigens = decompose_and_check(eigen, a);
    for (std::size_t i = 0; i != own.s.size(); ++i)
        CHECK(own.s[i] == Approx(eigens.s[i]).epsilon(1e-12)); // both in double
}

TEST_CASE("singular values are the known ones", "[svd]") {
    lathe_test::plain_backend<> be;
    matrix<double> a(3, 2); // columns (3, 0, 4) and (0, -2, 0)
    a(0, 0) = 3;
    a(2, 0) = 4;
    a(1, 1) = -2;
    auto r = linalg::svd(be, a.view());
    CHECK(r.s[0] == Approx(5));
    CHECK(r.s[1] == Approx(2));
    auto const u = on_host<double>(be, r.left()), v = on_host<double>(be, r.right());
    CHECK(u(0, 0) == Approx(0.6)); // the largest element, 0.8, is positive
    CHECK(u(0, 2) == Approx(0.8));
    CHECK(v(0, 0) == Approx(1));
    CHECK(u(1, 1) == Approx(1));
    CHECK(v(1, 1) == Approx(-1));
}

TEMPLATE_TEST_CASE("matrices without full rank have orthonormal vectors all the same", "[svd]",
                   lathe_test::plain_backend<>, eigen_backend) {
    TestType be;
    SECTION("zero") {
        matrix<double> const a(6, 4);
        auto const r = decompose_and_check(be, a);
        CHECK(r.s == std::vector<double>(4, 0.0));
        CHECK(linalg::rank(r) == 0);
    }
    SECTION("rank 3") {
        auto const x = random_matrix<double>(20, 3), y = random_matrix<double>(3, 30, 2);
        auto const a = lathe_test::product(x, false, y, false);
        CHECK(linalg::rank(decompose_and_check(be, a)) == 3);
    }
    SECTION("equal rows, zero columns") {
        auto a = random_matrix<double>(12, 12);
        for (std::size_t j = 0; j != 12; ++j)
            a(j, 5) = 0;
        for (std::size_t j = 0; j != 12; ++j)
            a(3, j) = a(7, j);
        CHECK(linalg::rank(decompose_and_check(be, a)) == 11);
    }
    SECTION("no elements") {
        matrix<double> const a(0, 3);
        auto r = linalg::svd(be, a.view());
        CHECK(r.s.empty());
        CHECK(linalg::rank(r) == 0);
    }
}

TEST_CASE("Jacobi finds small singular values to the last digits, and neither overflows nor loses tiny matrices",
          "[svd]") {
    lathe_test::plain_backend<> be;
    // B D with an orthogonal-like B and D = diag(1, 1e-8, 1e-16, 1e-24): the values of A are those of D up to a factor
    // near 1.
    auto q = random_matrix<double>(30, 4);
    linalg::polar(be, q.view(), q.view());
    matrix<double> a(30, 4);
    for (std::size_t i = 0; i != 30; ++i)
        for (std::size_t j = 0; j != 4; ++j)
            a(i, j) = q(i, j) * std::pow(1e-8, static_cast<double>(j));
    auto const r = linalg::svd(be, a.view());
    for (std::size_t j = 0; j != 4; ++j)
        CHECK(r.s[j] == Approx(std::pow(1e-8, static_cast<double>(j))).epsilon(1e-13));
    for (double const scale : {1e-300, 1e300}) {
        auto b = random_matrix<double>(8, 5);
        auto const plain = linalg::svd(be, b.view());
        for (auto & x : b.values)
            x *= scale;
        auto const scaled = linalg::svd(be, b.view());
        for (std::size_t j = 0; j != 5; ++j)
            CHECK(scaled.s[j] / scale == Approx(plain.s[j]).epsilon(1e-13));
    }
}

TEST_CASE("any number of threads gives the same bits; strides do not matter", "[svd]") {
    lathe_test::plain_backend<thread_pool> one(1), three(3);
    auto const a = random_matrix<float>(120, 75);
    auto x = linalg::svd(one, a.view()), y = linalg::svd(three, a.view());
    CHECK(x.s == y.s);
    CHECK(on_host<float>(one, x.left()).values == on_host<float>(three, y.left()).values);
    CHECK(on_host<float>(one, x.right()).values == on_host<float>(three, y.right()).values);

    matrix<float> wide(120, 80);
    for (std::size_t i = 0; i != 120; ++i)
        for (std::size_t j = 0; j != 80; ++j)
            wide(i, j) = j < 75 ? a(i, j) : std::numeric_limits<float>::quiet_NaN();
    auto z = linalg::svd(one, mat_view<float const *>(wide.values.data(), 120, 75, 80));
    CHECK(x.s == z.s);
}

TEMPLATE_TEST_CASE("NaN and infinity have no decomposition", "[svd]", lathe_test::plain_backend<>, eigen_backend) {
    TestType be;
    auto a = random_matrix<double>(5, 4);
    a(3, 2) = GENERATE(std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity());
    CHECK_THROWS_AS(linalg::svd(be, a.view()), non_finite_error);
    CHECK_THROWS_WITH(linalg::svd(be, a.view()), contains("3"));
    matrix<double> q(5, 4);
    CHECK_THROWS_AS(linalg::polar(be, a.view(), q.view()), non_finite_error);
}

TEMPLATE_TEST_CASE("the polar factor is the nearest matrix with orthonormal columns", "[polar]",
                   lathe_test::plain_backend<>, eigen_backend) {
    TestType be;
    auto const a = random_matrix<double>(14, 6);
    matrix<double> q(14, 6);
    CHECK(linalg::polar(be, a.view(), q.view()) == 6);
    CHECK(distance(lathe_test::product(q, true, q, false), lathe_test::identity(6)) < 1e-13);
    auto const h = lathe_test::product(q, true, a, false); // symmetric, not negative: its values are those of a
    matrix<double> transposed(6, 6);
    for (std::size_t i = 0; i != 6; ++i)
        for (std::size_t j = 0; j != 6; ++j)
            transposed(i, j) = h(j, i);
    CHECK(distance(h, transposed) < 1e-13);
    auto const values = linalg::svd(be, a.view()).s;
    double trace = 0;
    for (std::size_t i = 0; i != 6; ++i)
        trace += h(i, i);
    CHECK(trace == Approx(std::accumulate(values.begin(), values.end(), 0.0)));

    auto in_place = q; // the factor of an orthonormal matrix is itself
    linalg::polar(be, in_place.view(), in_place.view());
    CHECK(distance(in_place, q) < 1e-13);

    matrix<double> wrong(6, 14);
    CHECK_THROWS_AS(linalg::polar(be, a.view(), wrong.view()), shape_error);
}

TEMPLATE_TEST_CASE("without full rank the polar factor is a partial isometry, the same on all backends", "[polar]",
                   lathe_test::plain_backend<>, eigen_backend) {
    TestType be;
    auto const half = random_matrix<double>(10, 3);
    matrix<double> a(10, 6), q(10, 6), expected(10, 3);
    for (std::size_t i = 0; i != 10; ++i)
        for (std::size_t j = 0; j != 6; ++j)
            a(i, j) = half(i, j % 3);
    CHECK(linalg::polar(be, a.view(), q.view()) == 3);
    linalg::polar(be, half.view(), expected.view());
    for (std::size_t i = 0; i != 10; ++i)
        for (std::size_t j = 0; j != 6; ++j)
            CHECK(q(i, j) == Approx(expected(i, j % 3) / std::sqrt(2.0)).margin(1e-13));
    matrix<double> zero(3, 2);
    std::ranges::fill(q.values, 1.0);
    mat_view<double *> const target(q.values.data(), 3, 2);
    CHECK(linalg::polar(be, zero.view(), target) == 0);
    CHECK(std::ranges::count(q.values, 0.0) == 6);
}

TEST_CASE("pointers need not be plain", "[svd]") {
    testing::archetype<testing::floor::matrix_space, double> device;
    lathe_test::plain_backend<> host;
    auto const a = random_matrix<double>(9, 7);
    auto memory = device.allocate<double>(a.values.size());
    device.upload(std::span{a.values}, memory.view());
    auto on_device = linalg::svd(device, as_matrix(memory.view(), 9, 7));
    auto here = linalg::svd(host, a.view());
    CHECK(on_device.s == here.s);
    CHECK(on_host<double>(device, on_device.right()).values == on_host<double>(host, here.right()).values);
    CHECK(linalg::polar(device, as_matrix(memory.view(), 9, 7), as_matrix(memory.view(), 9, 7)) == 7);
    auto const q = on_host<double>(device, as_matrix(memory.view(), 9, 7));
    CHECK(distance(lathe_test::product(q, true, q, false), lathe_test::identity(7)) < 1e-13);
}
