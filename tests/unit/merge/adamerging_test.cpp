// AdaMerging: the optimiser, the gradient by the coefficients, levels, clamping, invariances, errors.
#include "polytope.hpp"
#include <catch.hpp>

#include <lathe/backend/eigen.hpp>
#include <lathe/merge/adamerging.hpp>

using namespace lathe;
using lathe_test::contains;
using backend = eigen_backend;
using merge::adamerging_options;
using merge::granularity;

namespace {

/// 1/2 |x - y|^2; its minimum among the combinations is where they are y.
template <class T> struct distance_to {
    std::vector<T> y;
    std::size_t calls = 0;
    double value_and_gradient(backend & be, cvec<backend, T> x, vec<backend, T> g) {
        ++calls;
        ops::copy(be, x, g);
        ops::axpy(be, T(-1), view_of(std::span<T const>(y)), g);
        return ops::dot(be, cvec<backend, T>(g), cvec<backend, T>(g)) / 2;
    }
};

struct fixture {
    std::unique_ptr<memory_checkpoint> base = lathe_test::model(3, 90);
    lathe_test::models models{3, 3};
    merge::model_pool pool;
    explicit fixture(merge::pool_options const & options = {}) : pool(base.get(), models.pointers, options) {}

    /// The vector that the coefficients [model][tensor] give.
    template <class T> std::vector<T> combination(std::vector<std::vector<double>> const & lambda) {
        auto const layout = merge::parameter_layout::of(pool);
        std::vector<T> x(layout.size());
        auto const b = lathe_test::elements(*base);
        std::vector<std::vector<double>> m;
        for (auto const & model : models.all)
            m.push_back(lathe_test::elements(*model));
        for (std::size_t i = 0; i != x.size(); ++i) {
            std::size_t n = 0;
            while (layout.offset(n + 1) <= i)
                ++n;
            double sum = b[i];
            for (std::size_t k = 0; k != pool.size(); ++k)
                sum += lambda[k][lambda[k].size() == 1 ? 0 : n] * (m[k][i] - b[i]);
            x[i] = static_cast<T>(sum);
        }
        return x;
    }
};

} // namespace

TEST_CASE("the gradient by the coefficients is that of finite differences", "[adamerging]") {
    fixture f;
    backend be;
    auto const layout = merge::parameter_layout::of(f.pool);
    distance_to<double> objective{std::vector<double>(layout.size(), 0.25)};
    auto windows = merge::pool_windows<backend, double>(be, f.pool);
    auto theta = be.allocate<double>(layout.size()), g = be.allocate<double>(layout.size());
    for (auto const level : {granularity::task, granularity::layer}) {
        merge::task_vector_coefficients<backend, double> lambda(layout, 3, level, 0.3, false);
        auto const loss = [&] {
            lambda.combine(be, windows, theta.view());
            return objective.value_and_gradient(be, theta.view(), g.view());
        };
        loss();
        auto const slopes = lambda.gradient(be, windows, g.view());
        REQUIRE(slopes.size() == (level == granularity::task ? 3 : 3 * layout.tensors().size()));
        for (std::size_t i = 0; i != slopes.size(); ++i) {
            auto const h = 1e-3, at = lambda.values()[i];
            lambda.values()[i] = at + h;
            auto const up = loss();
            lambda.values()[i] = at - h;
            auto const down = loss();
            lambda.values()[i] = at;
            CHECK(
                slopes[i]
                == Approx((up - down) / (2 * h)).epsilon(1e-6).margin(1e-6)); // exact for a quadratic, but for rounding
        }
    }
}

TEMPLATE_TEST_CASE("the coefficients that made a target are found again", "[adamerging]", float, double) {
    fixture f;
    backend be;
    auto const tensors = merge::parameter_layout::of(f.pool).tensors().size();
    adamerging_options options;
    options.lr = 0.02;
    options.steps = 600;
    options.betas = {0.9, 0.99};
    SECTION("one for each model") {
        options.level = granularity::task;
        std::vector<std::vector<double>> const truth{{0.1}, {0.5}, {-0.2}};
        distance_to<TestType> objective{f.combination<TestType>(truth)};
        memory_checkpoint out;
        auto const result = merge::adamerging<TestType>(be, f.pool, objective, out, options);
        CHECK(result.status == status::iteration_limit);
        CHECK(result.steps == 600);
        CHECK(objective.calls == 600);
        CHECK(result.losses.size() == 600);
        CHECK(result.losses.back() < 1e-4 * result.losses.front());
        for (std::size_t k = 0; k != 3; ++k)
            CHECK(result.coefficients[k][0] == Approx(truth[k][0]).margin(2e-3));
        auto const merged = lathe_test::elements(out), target = f.combination<double>(result.coefficients);
        for (std::size_t i = 0; i != merged.size(); ++i)
            REQUIRE(merged[i] == Approx(target[i]).margin(1e-6));
        auto const steps = out.find("d.steps");
        REQUIRE(steps);
        CHECK(std::ranges::equal(out.bytes(*steps), f.base->bytes(*f.base->find("d.steps"))));
    }
    SECTION("one for each tensor, listed as asked for") {
        options.steps = 3;
        options.tensor_order = {"f.scale", "c.long", "\xc3\xa9.weight", "a.weight", "b.bias"};
        distance_to<TestType> first{f.combination<TestType>({{0.1}, {0.5}, {-0.2}})}, second = first;
        memory_checkpoint a, b;
        auto const reordered = merge::adamerging<TestType>(be, f.pool, first, a, options);
        options.tensor_order.clear();
        auto const plain = merge::adamerging<TestType>(be, f.pool, second, b, options);
        REQUIRE(plain.coefficients[2].size() == tensors);
        std::vector<std::size_t> const positions{3, 2, 4, 0, 1};
        for (std::size_t i = 0; i != tensors; ++i)
            CHECK(reordered.coefficients[2][i] == plain.coefficients[2][positions[i]]);
        CHECK(lathe_test::bytes_of(a) == lathe_test::bytes_of(b));
    }
}

TEST_CASE("clamped coefficients stand still outside [0, 1] and move on its bounds", "[adamerging]") {
    fixture f;
    backend be;
    adamerging_options options;
    options.clamp = true;
    options.steps = 1;
    for (auto const init : {-0.5, 0.0, 1.0, 1.5}) {
        options.init = init;
        distance_to<double> objective{f.combination<double>({{0.4}, {0.4}, {0.4}})};
        memory_checkpoint out;
        auto const result = merge::adamerging<double>(be, f.pool, objective, out, options);
        auto const used = std::clamp(init, 0.0, 1.0);
        auto const x = f.combination<double>({{used}, {used}, {used}});
        double expected = 0;
        for (std::size_t i = 0; i != x.size(); ++i)
            expected += (x[i] - objective.y[i]) * (x[i] - objective.y[i]) / 2;
        CHECK(result.losses[0] == Approx(expected));
        CHECK((result.coefficients[0][0] != init) == (init == used));
    }
}

TEST_CASE("AdaMerging does not depend on windows and threads", "[adamerging]") {
    std::vector<std::byte> bits;
    for (auto const window : {std::size_t{4096}, default_window})
        for (auto const threads : {1u, 3u}) {
            fixture f(merge::pool_options{.window = window});
            backend be(threads);
            distance_to<float> objective{f.combination<float>({{0.1}, {0.5}, {-0.2}})};
            memory_checkpoint out;
            merge::adamerging(be, f.pool, objective, out, adamerging_options{.steps = 4});
            if (bits.empty())
                bits = lathe_test::bytes_of(out);
            CHECK(bits == lathe_test::bytes_of(out));
        }
}

TEST_CASE("what AdaMerging refuses, and how it stops", "[adamerging]") {
    fixture f;
    backend be;
    distance_to<double> objective{f.combination<double>({{0.4}, {0.4}, {0.4}})};
    memory_checkpoint out;
    auto const run = [&](adamerging_options const & options) {
        merge::adamerging<double>(be, f.pool, objective, out, options);
    };
    CHECK_THROWS_WITH(run({.init = std::numeric_limits<double>::infinity()}), contains("init"));
    CHECK_THROWS_WITH(run({.tensor_order = {"a.weight"}}), contains("no 'b.bias'"));
    CHECK_THROWS_WITH(run({.tensor_order = {"a.weight", "a.weight"}}), contains("twice"));
    CHECK_THROWS_AS(run({.tensor_order = {"nowhere"}}), mismatch_error);
    merge::model_pool without_base(nullptr, f.models.pointers);
    CHECK_THROWS_WITH(merge::adamerging<double>(be, without_base, objective, out), contains("base"));
    objective.y[0] = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_AS(run({}), non_finite_error);
    CHECK(out.tensors().empty());

    objective.y[0] = 0;
    struct after {
        std::size_t const * calls;
        bool stop_requested() const { return *calls >= 2; }
    };
    objective.calls = 0;
    auto const result =
        merge::adamerging<double>(be, f.pool, objective, out, {}, control{no_observer{}, after{&objective.calls}});
    CHECK(result.status == status::stopped);
    CHECK(result.steps == 2);
    CHECK(out.tensors().empty());
}

TEST_CASE("the sum of tasks adds values and gradients", "[adamerging]") {
    struct tasks {
        std::size_t size() const { return 3; }
        double value_and_gradient(backend & be, std::size_t task, cvec<backend, double> x, vec<backend, double> g) {
            ops::copy(be, x, g);
            ops::scale(be, static_cast<double>(task), g);
            return 10.0 * static_cast<double>(task);
        }
    } three;
    static_assert(merge::task_objectives<tasks, backend, double>);
    merge::sum_of_tasks<backend, double, tasks> sum(three);
    backend be;
    std::vector<double> x{1, -2}, g(2);
    CHECK(sum.value_and_gradient(be, view_of(std::span<double const>(x)), view_of(std::span(g))) == 30);
    CHECK(g == std::vector{3.0, -6.0});
}
