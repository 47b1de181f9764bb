// Operation objects: shapes are checked before anything runs; a backend's members come before defaults.
#include <lathe/testing/archetype.hpp>

#include "catch.hpp"
#include "plain_backend.hpp"

namespace {
using namespace lathe;
using testing::archetype;
using testing::floor;

/// Runs everything through one backend, whatever its floor, with extents that do not fit.
template <class B> void refuses_wrong_shapes(B & be) {
    auto a = be.template allocate<float>(4), b = be.template allocate<float>(5);
    be.upload(std::span<float const>{std::array<float, 4>{1, 2, 3, 4}}, a.view());
    std::array<double, 3> out{};
    CHECK_THROWS_WITH(ops::copy(be, a.view(), b.view()), lathe_test::contains("copy"));
    CHECK_THROWS_WITH(ops::axpy(be, 1.0f, a.view(), b.view()), lathe_test::contains("axpy"));
    CHECK_THROWS_WITH(ops::axpby(be, 1.0f, a.view(), 1.0f, b.view()), lathe_test::contains("axpby"));
    if constexpr (has_dot<B, float>) {
        CHECK_THROWS_WITH(ops::dot(be, a.view(), b.view()), lathe_test::contains("dot"));
        std::array<cvec<B, float>, 2> const xs{a.view(), a.view()};
        CHECK_THROWS_AS(ops::dot_many(be, std::span<cvec<B, float> const>{xs}, a.view(), std::span<double>{out}),
                        shape_error);
        if constexpr (has_reduce<B, float>)
            CHECK_THROWS_AS(
                ops::dot_many(be, std::span<cvec<B, float> const>{xs}, b.view(), std::span<double>{out}.first(2)),
                shape_error);
    }
    if constexpr (has_map<B, float>) {
        std::array<cvec<B, float>, 2> const mixed{a.view(), b.view()};
        auto const first = [](auto const & xs) { return xs[0]; };
        auto const both = [](auto const & x) { return std::array{x, x}; };
        auto const total = [](auto & sums, auto const & xs) { sums.add(0, xs[0]); };
        CHECK_THROWS_AS(ops::map<float>(be, ops::kernels::identity, a.view(), b.view()), shape_error);
        CHECK_THROWS_AS(ops::map<float>(be, first, a.view(), list(mixed)), shape_error);
        CHECK_THROWS_AS(ops::map<float>(be, both, std::tuple{a.view(), b.view()}, a.view()), shape_error);
        CHECK_THROWS_AS(ops::reduce<float>(be, total, std::span<double>{out}, list(mixed)), shape_error);
        CHECK_THROWS_AS(ops::reduce<float>(be, total, std::span<double>{out}, list(std::span<cvec<B, float> const>{})),
                        shape_error);
    }
    std::array<float, 4> left{};
    be.download(cvec<B, float>(a.view()), std::span<float>{left});
    CHECK(left == std::array<float, 4>{1, 2, 3, 4});
}
} // namespace

TEST_CASE("operations refuse extents that do not fit, on every floor", "[ops]") {
    lathe_test::plain_backend plain;
    refuses_wrong_shapes(plain);
    archetype<floor::vector_space> vectors;
    refuses_wrong_shapes(vectors);
    archetype<floor::inner_product_space> products;
    refuses_wrong_shapes(products);
    archetype<floor::elementwise> kernels;
    refuses_wrong_shapes(kernels);
}

TEST_CASE("gemm refuses matrices that do not fit", "[ops]") {
    archetype<floor::matrix_space> be;
    auto a = be.allocate<float>(6), c = be.allocate<float>(9);
    auto const A = as_matrix(a.view(), 2, 3);
    auto const C = as_matrix(c.view(), 3, 3);
    CHECK_THROWS_AS(ops::gemm(be, op::none, op::none, 1.0f, A, A, 0.0f, C), shape_error);
    CHECK_THROWS_AS(ops::gemm(be, op::none, op::transpose, 1.0f, A, A, 0.0f, C), shape_error);
    CHECK_NOTHROW(ops::gemm(be, op::transpose, op::none, 1.0f, A, A, 0.0f, C));
    CHECK_THROWS_AS(as_matrix(a.view(), 2, 2), shape_error);
}

TEST_CASE("views refuse what lies outside them", "[view]") {
    std::array<float, 6> x{};
    auto const v = view_of(std::span{x});
    CHECK_NOTHROW(v.sub(6, 0));
    CHECK_THROWS_AS(v.sub(7, 0), shape_error);
    CHECK_THROWS_AS(v.sub(2, 5), shape_error);
    CHECK_THROWS_AS(v.sub(1, ~std::size_t{0}), shape_error);
    auto const m = as_matrix(v, 2, 3);
    CHECK_THROWS_AS(m.row(2), shape_error);
    CHECK_THROWS_AS(mat_view<float *>(x.data(), 2, 3, 2), shape_error);
    auto const s = storage_of(std::as_bytes(std::span{x}), dtype::bf16);
    CHECK(s.n == 12);
    CHECK(s.sub(3, 2).data == s.data + 6);
    CHECK_THROWS_AS(s.sub(11, 2), shape_error);
    CHECK_THROWS_AS(storage_of(std::as_bytes(std::span{x}).first(3), dtype::f16), shape_error);
}

TEST_CASE("without kernels the members run, one after the other", "[ops]") {
    archetype<floor::inner_product_space> be;
    auto x = be.allocate<float>(3), y = be.allocate<float>(3);
    ops::fill(be, 2.0f, x.view());
    ops::fill(be, 1.0f, y.view());
    be.clear_log();
    ops::axpby(be, 3.0f, x.view(), 2.0f, y.view());
    CHECK(std::ranges::equal(be.log(), std::vector<std::string_view>{"scale", "axpy"}));
    CHECK(be.host_syncs() == 0);
    std::array<cvec<decltype(be), float>, 2> const xs{x.view(), y.view()};
    std::array<double, 2> dots{};
    ops::dot_many(be, std::span<cvec<decltype(be), float> const>{xs}, y.view(), std::span<double>{dots});
    CHECK(dots == std::array{48.0, 192.0});
    CHECK(be.count("dot") == 2);
    CHECK(be.host_syncs() == 2);
}

TEST_CASE("with kernels everything is one pass and one synchronisation", "[ops]") {
    archetype<floor::elementwise> be;
    auto x = be.allocate<float>(3), y = be.allocate<float>(3);
    ops::fill(be, 2.0f, x.view());
    ops::copy(be, x.view(), y.view());
    ops::scale(be, 0.5f, y.view());
    ops::axpby(be, 3.0f, x.view(), 2.0f, y.view());
    CHECK(be.count("map") == 4);
    CHECK(be.host_syncs() == 0);
    std::array<cvec<decltype(be), float>, 2> const xs{x.view(), y.view()};
    std::array<double, 2> dots{};
    ops::dot_many(be, std::span<cvec<decltype(be), float> const>{xs}, y.view(), std::span<double>{dots});
    CHECK(dots == std::array{48.0, 192.0});
    CHECK(ops::dot(be, x.view(), x.view()) == 12);
    CHECK(be.count("reduce") == 2);
    CHECK(be.host_syncs() == 2);
}

TEST_CASE("sums are added to what is there, and no sums are no work", "[ops]") {
    archetype<floor::elementwise> be;
    auto x = be.allocate<float>(3);
    ops::fill(be, 2.0f, x.view());
    be.clear_log();
    std::array<double, 1> total{10};
    ops::reduce<float>(be, ops::kernels::dot, std::span<double>{total}, x.view(), x.view());
    CHECK(total[0] == 22);
    ops::reduce<float>(be, ops::kernels::dot, std::span<double>{}, x.view(), x.view());
    CHECK(be.count("reduce") == 1);
}

TEST_CASE("an archetype notices what a device would suffer from", "[archetype]") {
    archetype<floor::vector_space> be, other;
    auto x = be.allocate<float>(4), y = other.allocate<float>(4);
    CHECK_THROWS_WITH(ops::copy(be, x.view(), y.view()), lathe_test::contains("another backend"));
    auto const outside = vec<decltype(be), float>(x.view().data, 5);
    CHECK_THROWS_WITH(ops::fill(be, 1.0f, outside), lathe_test::contains("outside"));
    auto const before = vec<decltype(be), float>(x.view().data + -1, 2);
    CHECK_THROWS_WITH(ops::fill(be, 1.0f, before), lathe_test::contains("outside"));
    auto const dangling = [&] {
        auto gone = be.allocate<float>(4);
        return gone.view();
    }();
    CHECK_THROWS_WITH(ops::fill(be, 1.0f, dangling), lathe_test::contains("gone"));
    // fresh memory is NaN
    std::array<float, 4> back{};
    be.download(cvec<decltype(be), float>(x.view()), std::span<float>{back});
    CHECK(std::ranges::all_of(back, [](float v) { return v != v; }));
}

TEST_CASE("an archetype counts memory", "[archetype]") {
    archetype<floor::storage> be;
    {
        auto x = be.allocate<float>(10);
        auto y = be.allocate<float>(5);
        x = std::move(y);
        auto const z = std::move(x);
    }
    CHECK(be.memory().now == 0);
    CHECK(be.memory().peak == 15);
    auto x = be.allocate<float>(3);
    be.clear_log();
    CHECK(be.memory().now == 3);
    CHECK(be.memory().peak == 3);
}

TEST_CASE("numbers and packets agree on the functions of kernels", "[math]") {
    // A kernel sees packets on a host and numbers in the interpreter: literals have to mean the same in both.
    std::vector<float> x{0.3f, 2.0f, 7.5f, 1e-3f, 40.0f};
    auto const check = [&](auto kernel) {
        std::vector<float> packets(x.size()), numbers(x.size());
        lathe_test::plain_backend be;
        ops::map<float>(be, kernel, view_of(std::span{packets}), view_of(std::span<float const>{x}));
        testing::reference<float>::map(kernel, std::tuple{view_of(std::span{numbers})},
                                       view_of(std::span<float const>{x}));
        for (std::size_t i = 0; i != x.size(); ++i)
            CHECK(packets[i] == Approx(numbers[i]).epsilon(1e-6));
    };
    check([](auto const & v) { return math::pow(v, 0.3); });
    check([](auto const & v) { return math::pow(v, -2); });
    check([](auto const & v) { return 1 / (1 + math::exp(-v)); });
    check([](auto const & v) { return math::select(v > 1, math::log(v), 0 * v) - math::sign(v); });
    CHECK(std::same_as<decltype(math::pow(2.0f, 0.5)), float>);
    CHECK(math::pow(0.3f, 0.1) == std::pow(0.3f, 0.1f));
}
