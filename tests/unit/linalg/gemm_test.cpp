// Products on the host, for backends that bring none.
#include "matrices.hpp"
#include <catch.hpp>

using namespace lathe;
using lathe_test::matrix;
using lathe_test::random_matrix;

TEMPLATE_TEST_CASE("the default product is right for every shape, side and factor", "[gemm]", float, double) {
    using T = TestType;
    static_assert(matrix_space<lathe_test::plain_backend<>, T>);
    lathe_test::plain_backend<> be;
    double const tolerance = 2000 * static_cast<double>(std::numeric_limits<T>::epsilon());
    auto const shape = GENERATE(table<std::size_t, std::size_t, std::size_t>(
        {{1, 1, 1}, {2, 3, 4}, {17, 16, 5}, {7, 33, 300}, {241, 5, 9}, {5, 520, 3}, {3, 3, 0}, {0, 4, 2}}));
    auto const [m, n, k] = shape;
    bool const ta = GENERATE(false, true), tb = GENERATE(false, true);
    auto const a = ta ? random_matrix<T>(k, m, 1) : random_matrix<T>(m, k, 1);
    auto const b = tb ? random_matrix<T>(n, k, 2) : random_matrix<T>(k, n, 2);
    auto const expected = lathe_test::product(a, ta, b, tb);
    for (double const beta : {0.0, 1.0, -0.5}) {
        auto c = random_matrix<T>(m, n, 3);
        auto want = expected;
        for (std::size_t i = 0; i != c.values.size(); ++i) {
            want.values[i] = 2 * expected.values[i] + (beta == 0 ? 0 : beta * static_cast<double>(c.values[i]));
            if (beta == 0)
                c.values[i] = std::numeric_limits<T>::quiet_NaN(); // must not be read
        }
        ops::gemm(be, ta ? op::transpose : op::none, tb ? op::transpose : op::none, 2, a.view(), b.view(),
                  static_cast<T>(beta), c.view());
        CHECK(lathe_test::distance(c, want) <= tolerance);
    }
}

TEST_CASE("the default product takes parts of matrices, and gives the same bits for any number of threads", "[gemm]") {
    lathe_test::plain_backend<thread_pool> one(1), three(3);
    auto const a = random_matrix<float>(700, 300), b = random_matrix<float>(300, 90, 2);
    matrix<float> c(700, 90), d(700, 90);
    ops::gemm(one, op::none, op::none, 1, a.view(), b.view(), 0, c.view());
    ops::gemm(three, op::none, op::none, 1, a.view(), b.view(), 0, d.view());
    CHECK(c.values == d.values);

    // Columns 10 to 29 of a, rows 5 to 24 of b, into the middle of a larger matrix.
    auto whole = random_matrix<float>(702, 100, 4);
    auto const before = whole;
    mat_view<float const *> const part_a(a.values.data() + 10, 700, 20, 300),
        part_b(b.values.data() + 5 * 90, 20, 90, 90);
    ops::gemm(one, op::none, op::none, 1, part_a, part_b, 0,
              mat_view<float *>(whole.values.data() + 100 + 5, 700, 90, 100));
    matrix<float> left(700, 20), right(20, 90), inner(700, 90);
    for (std::size_t i = 0; i != 700; ++i)
        for (std::size_t j = 0; j != 20; ++j)
            left(i, j) = a(i, 10 + j);
    std::copy_n(b.values.data() + 5 * 90, right.values.size(), right.values.begin());
    std::size_t outside = 0;
    for (std::size_t i = 0; i != 702; ++i)
        for (std::size_t j = 0; j != 100; ++j)
            if (i >= 1 && i < 701 && j >= 5 && j < 95)
                inner(i - 1, j - 5) = whole(i, j);
            else
                outside += whole(i, j) != before(i, j);
    CHECK(outside == 0);
    CHECK(lathe_test::distance(inner, lathe_test::product(left, false, right, false)) < 1e-5);
}

TEST_CASE("a product checks the extents", "[gemm]") {
    lathe_test::plain_backend<> be;
    matrix<double> a(2, 3), b(4, 5), c(2, 5);
    CHECK_THROWS_AS(ops::gemm(be, op::none, op::none, 1, a.view(), b.view(), 0, c.view()), shape_error);
}
