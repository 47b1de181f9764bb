// Row-wise softmax on plain pointers, and on a backend that has nothing but memory.
#include <lathe/core/softmax.hpp>
#include <lathe/testing/archetype.hpp>

#include "catch.hpp"
#include "plain_backend.hpp"

#include <lathe/backend/eigen.hpp>

using namespace lathe;

TEMPLATE_TEST_CASE("softmax of rows sums to one, and does not move with the row", "[softmax]", float, double) {
    lathe_test::plain_backend be;
    std::size_t const rows = 37, cols = 11, ld = 13;
    std::vector<TestType> x(rows * ld), shifted;
    random::uniform_stream const u{5};
    for (std::size_t i = 0; i != x.size(); ++i)
        x[i] = static_cast<TestType>(64 * (static_cast<int>(u[i] * 16) - 8)) / 8;
    auto const before = x;
    shifted = x;
    for (auto & v : shifted)
        v += 128; // exact
    ops::softmax_rows(be, mat_view(x.data(), rows, cols, ld));
    ops::softmax_rows(be, mat_view(shifted.data(), rows, cols, ld));
    for (std::size_t i = 0; i != rows; ++i) {
        double sum = 0;
        for (std::size_t j = 0; j != cols; ++j) {
            sum += static_cast<double>(x[i * ld + j]);
            CHECK(x[i * ld + j] == shifted[i * ld + j]);
        }
        CHECK(std::fabs(sum - 1) < 1e-6);
        CHECK(x[i * ld + cols] == before[i * ld + cols]); // between the rows
    }
    auto threaded = before;
    eigen_backend threads(3);
    ops::softmax_rows(threads, mat_view(threaded.data(), rows, cols, ld));
    CHECK(threaded == x);
}

TEST_CASE("softmax of rows needs memory only", "[softmax]") {
    testing::archetype<testing::floor::storage> be;
    auto buffer = be.allocate<float>(4);
    std::vector<float> const values{0, 0, 1000, 0};
    std::vector<float> found(4);
    be.upload(std::span<float const>{values}, buffer.view());
    ops::softmax_rows(be, as_matrix(buffer.view(), 2, 2));
    be.download(cvec<decltype(be), float>(buffer.view()), std::span<float>{found});
    CHECK(found == std::vector<float>{0.5f, 0.5f, 1, 0});
}
