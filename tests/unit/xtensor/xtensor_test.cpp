// Arrays of xtensor as operands and as checkpoints. The laws of the backend are asked elsewhere (conformance_xtensor).
#include <lathe/backend/xtensor.hpp>
#include <lathe/merge/linear.hpp>

#include "catch.hpp"

#include <xtensor/xview.hpp>

namespace {

using namespace lathe;
using backend = xtensor_backend;

xt::xtensor<float, 2> counted(std::size_t rows, std::size_t cols) {
    auto a = xt::xtensor<float, 2>::from_shape({rows, cols});
    for (std::size_t i = 0; i != a.size(); ++i)
        a.data()[i] = static_cast<float>(i);
    return a;
}

} // namespace

TEST_CASE("xtensor arrays are operands where they are", "[xtensor]") {
    backend be;
    auto const a = counted(3, 4);
    auto b = counted(3, 4);
    ops::axpy(be, 2.0f, backend::view(a), backend::view(b));
    CHECK(b(2, 3) == 33.0f);
    CHECK(a(2, 3) == 11.0f);
    CHECK(ops::dot(be, backend::view(a), backend::view(a)) == 506.0);

    SECTION("adaptors of memory that is not xtensor's") {
        std::vector<double> mine{1, 2, 3};
        auto x = xt::adapt(mine, std::array<std::size_t, 1>{3});
        ops::scale(be, 3.0, backend::view(x));
        CHECK(mine == std::vector<double>{3, 6, 9});
    }
    SECTION("views of whole rows, not of parts of them") {
        auto c = counted(4, 5);
        auto rows = xt::view(c, xt::range(1, 3), xt::all());
        ops::fill(be, -1.0f, backend::view(rows));
        CHECK(c(0, 4) == 4.0f);
        CHECK(c(1, 0) == -1.0f);
        CHECK(c(2, 4) == -1.0f);
        CHECK(c(3, 0) == 15.0f);
        auto columns = xt::view(c, xt::all(), xt::range(1, 3));
        CHECK_THROWS_AS(backend::view(columns), shape_error);
    }
}

TEST_CASE("xtensor arrays are matrices, with their gaps", "[xtensor]") {
    backend be;
    auto const a = counted(3, 4);
    auto const middle = xt::view(a, xt::all(), xt::range(1, 3)); // 3 x 2, four elements from row to row
    auto const m = backend::matrix(middle);
    CHECK(m.rows == 3);
    CHECK(m.cols == 2);
    CHECK(m.ld == 4);
    auto gram = xt::xtensor<float, 2>::from_shape({2, 2});
    ops::gemm(be, op::transpose, op::none, 1.0f, m, m, 0.0f, backend::matrix(gram));
    CHECK(gram(0, 0) == 1.0f * 1 + 5 * 5 + 9 * 9);
    CHECK(gram(0, 1) == 1.0f * 2 + 5 * 6 + 9 * 10);

    auto const row = counted(1, 4), column = counted(4, 1);
    CHECK(backend::matrix(row).ld == 4);
    CHECK(backend::matrix(column).ld == 1);
    xt::xtensor<float, 2, xt::layout_type::column_major> by_columns({3, 4}, 1.0f);
    CHECK_THROWS_AS(backend::matrix(by_columns), shape_error);
    CHECK_NOTHROW(backend::view(by_columns)); // as a vector its order does not matter
}

TEST_CASE("views are xtensor expressions", "[xtensor]") {
    backend be;
    auto x = be.allocate<double>(6);
    ops::fill(be, 2.0, x.view());
    auto v = backend::array(x.view());
    v(1) = 5;
    xt::xtensor<double, 1> const sum = v + 1.0;
    CHECK(sum(0) == 3);
    CHECK(sum(1) == 6);
    auto m = backend::array(as_matrix(x.view(), 2, 3));
    CHECK(m(0, 1) == 5);
    m = xt::xtensor<double, 2>({2, 3}, 7.0);
    CHECK(x.view().data[5] == 7);
    CHECK_THROWS_AS(backend::array(mat_view(x.view().data, 2, 2, 3)), shape_error);
}

TEST_CASE("arrays go into a merge and come out of it", "[xtensor]") {
    backend be;
    auto const a = counted(2, 3), b = xt::eval(counted(2, 3) * 3.0f);
    xt::xtensor<float, 1> const bias_a{1, 2}, bias_b{3, 4};
    borrowed_checkpoint one("one"), two("two");
    add_array(one, "weight", a); // in any order
    add_array(one, "bias", bias_a);
    add_array(two, "bias", bias_b);
    add_array(two, "weight", b);
    window_buffer unused;
    CHECK(one.read(1, 0, 24, unused).data() == reinterpret_cast<std::byte const *>(a.data()));

    memory_checkpoint merged("merged");
    merge::average(be, merge::model_pool(nullptr, {&one, &two}), merged);
    auto const weight = array_of<float, 2>(merged, "weight");
    CHECK(weight.shape()[1] == 3);
    CHECK(weight(1, 2) == 10.0f);
    CHECK(array_of<float, 1>(merged, "bias")(1) == 3.0f);

    CHECK_THROWS_AS((array_of<float, 2>(merged, "bias")), mismatch_error);
    CHECK_THROWS_AS((array_of<double, 2>(merged, "weight")), mismatch_error);
    CHECK_THROWS_AS((array_of<float, 2>(merged, "head")), mismatch_error);
    CHECK_THROWS_AS(add_array(one, "bias", bias_b), shape_error);
    auto const part = xt::view(a, xt::all(), xt::range(1, 3));
    CHECK_THROWS_AS(add_array(one, "part", part), shape_error);
}
