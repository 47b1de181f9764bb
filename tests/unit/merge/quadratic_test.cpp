// Quadratic objectives: value, gradient, curvature; Frank-Wolfe on the products of the models alone.
#include "polytope.hpp"
#include <catch.hpp>

#include <lathe/backend/eigen.hpp>
#include <lathe/merge/quadratic.hpp>
#include <lathe/testing/archetype.hpp>

using namespace lathe;
using lathe_test::contains;
using backend = eigen_backend;
using merge::frank_wolfe_iteration;
using merge::frank_wolfe_method;
using merge::frank_wolfe_options;
using merge::granularity;
using merge::step_rule;

namespace {

std::map<std::string, double> const tensor_weights{{"a.weight", 0.5}, {"b.bias", 3.0}, {"c.long", 0.01}};

/// Numbers in [0, 2), some exactly 0.
std::unique_ptr<memory_checkpoint> fisher(std::uint64_t seed) {
    auto f = lathe_test::model(seed, 70, 1.0);
    for (std::size_t i = 0; i != f->tensors().size(); ++i) {
        auto const & t = f->tensors()[i];
        if (!is_floating(t.type))
            continue;
        std::vector<double> v(t.count());
        host::load(t.type, f->bytes(i).data(), v.size(), v.data());
        for (auto & x : v)
            x = std::max(0.0, 1 + x);
        host::store(t.type, v.data(), v.size(), f->bytes(i).data());
    }
    return f;
}

} // namespace

TEMPLATE_TEST_CASE("value, gradient and curvature are those of the definition", "", float, double) {
    lathe_test::models const models(1, 2);
    auto const target = lathe_test::model(1, 60);
    auto const importance = fisher(1);
    merge::model_pool const pool(nullptr, models.pointers);
    auto const layout = merge::parameter_layout::of(pool);
    backend be;
    auto const n = layout.size();
    std::vector<TestType> x(n), d(n), g(n), y(n), h(n, 1);
    auto const view = [](std::vector<TestType> & v) { return vec_view(v.data(), v.size()); };
    read_parameters<backend, TestType>(be, layout, *models.pointers[0], view(x));
    read_parameters<backend, TestType>(be, layout, *models.pointers[1], view(d));
    read_parameters<backend, TestType>(be, layout, *target, view(y));

    for (bool const weighted : {false, true}) {
        if (weighted)
            read_parameters<backend, TestType>(be, layout, *importance, view(h));
        merge::quadratic_distance<backend, TestType> f(layout, *target, tensor_weights,
                                                       weighted ? importance.get() : nullptr);
        auto const value = f.value_and_gradient(be, view(x), view(g));

        double wanted = 0, curvature = 0, worst = 0;
        std::vector<double> seen(1);
        for (std::size_t i = 0; i != layout.tensors().size(); ++i) {
            auto const at = tensor_weights.find(layout.tensors()[i].name);
            double const w = at == tensor_weights.end() ? 1 : at->second;
            CHECK(f.weight(i) == w);
            for (auto j = layout.offset(i); j != layout.offset(i) + layout.tensors()[i].count(); ++j) {
                double const delta = double{x[j]} - double{y[j]}, along = double{d[j]} - double{x[j]},
                             a = w * double{h[j]};
                wanted += a * delta * delta / 2;
                curvature += a * along * along;
                worst = std::max(worst, std::abs(g[j] - a * delta));
            }
        }
        double const eps = std::numeric_limits<TestType>::epsilon();
        CHECK(value == Approx(wanted).epsilon(20 * eps));
        CHECK(worst <= 4 * eps);

        // the whole vector at once, across tensors, and cut in two at an odd place
        double whole = 0, parts = 0;
        f.curvature(be, 0, view(d), view(x), whole);
        std::size_t const cut = 4321;
        f.curvature(be, 0, view(d).sub(0, cut), view(x).sub(0, cut), parts);
        f.curvature(be, cut, view(d).sub(cut, n - cut), view(x).sub(cut, n - cut), parts);
        CHECK(whole == Approx(curvature).epsilon(20 * eps));
        CHECK(parts == Approx(curvature).epsilon(20 * eps));
    }
}

TEMPLATE_TEST_CASE("one pass over the models gives what streaming gives", "", float, double) {
    lathe_test::models const models(5, 6);
    auto const target = lathe_test::model(5, 60);
    auto const importance = fisher(5);
    merge::model_pool const pool(nullptr, models.pointers, {.window = 4096});
    backend be(2);
    double const eps = std::numeric_limits<TestType>::epsilon();
    for (bool const weighted : {false, true})
        for (auto const granularity : {granularity::task, granularity::layer}) {
            merge::quadratic_distance<backend, TestType> f(merge::parameter_layout::of(pool), *target, tensor_weights,
                                                           weighted ? importance.get() : nullptr);
            memory_checkpoint a, b;
            // Open steps, all the way. After an exact step directions tie, and rounding decides.
            for (auto const method : {frank_wolfe_method::fw, frank_wolfe_method::away, frank_wolfe_method::pairwise}) {
                frank_wolfe_options const options{.method = method,
                                                  .step = step_rule::open,
                                                  .granularity = granularity,
                                                  .iters = 6,
                                                  .gap_tolerance = 0};
                std::vector<frank_wolfe_iteration> trace;
                auto const streamed = merge::frank_wolfe<TestType>(
                    be, pool, f, a, options, control{}, [&](frank_wolfe_iteration const & it) { trace.push_back(it); });
                auto const gram = merge::frank_wolfe_gram<TestType>(be, pool, f, b, options, control{},
                                                                    [&](frank_wolfe_iteration const & it) {
                    CHECK(it.f == Approx(trace[it.t].f).epsilon(1e3 * eps));
                    CHECK(it.gap == Approx(trace[it.t].gap).epsilon(1e4 * eps));
                });
                CHECK(gram.objective == Approx(streamed.objective).epsilon(1e3 * eps));
                CHECK(gram.gap == Approx(streamed.gap).epsilon(1e4 * eps));
                REQUIRE(gram.weights.size() == streamed.weights.size());
                for (std::size_t i = 0; i != gram.weights.size(); ++i)
                    for (std::size_t k = 0; k != 6; ++k)
                        CHECK(gram.weights[i][k] == Approx(streamed.weights[i][k]).margin(1e3 * eps));
                auto const u = lathe_test::elements(a), v = lathe_test::elements(b);
                double worst = 0;
                for (std::size_t i = 0; i != u.size(); ++i)
                    worst = std::max(worst, std::abs(u[i] - v[i]));
                CHECK(worst <= std::max(1e3 * eps, 2e-7)); // the files hold f32
            }
            for (auto const step : {step_rule::exact, step_rule::backtracking}) {
                frank_wolfe_options const options{.method = frank_wolfe_method::pairwise,
                                                  .step = step,
                                                  .granularity = granularity,
                                                  .iters = 500,
                                                  .gap_tolerance = std::sqrt(eps) * 1e-2};
                auto const streamed = merge::frank_wolfe<TestType>(be, pool, f, a, options);
                auto const gram = merge::frank_wolfe_gram<TestType>(be, pool, f, b, options);
                CHECK(streamed.status == status::converged);
                CHECK(gram.status == status::converged);
                CHECK(std::abs(gram.objective - streamed.objective) <= options.gap_tolerance);
            }
        }
}

TEST_CASE("the models are read once for the products and once for the result") {
    lathe_test::models const models(7, 5);
    auto const target = lathe_test::model(7, 60);
    std::vector<std::unique_ptr<lathe_test::counting_checkpoint>> counted;
    std::vector<checkpoint *> pointers;
    for (auto * m : models.pointers) {
        counted.push_back(std::make_unique<lathe_test::counting_checkpoint>(*m));
        pointers.push_back(counted.back().get());
    }
    merge::model_pool const pool(nullptr, pointers);
    lathe_test::counting_checkpoint y(*target);
    backend be;
    merge::quadratic_distance<backend, double> f(merge::parameter_layout::of(pool), y);
    memory_checkpoint out;
    auto const r = merge::frank_wolfe_gram<double>(
        be, pool, f, out,
        {.method = frank_wolfe_method::away, .step = step_rule::exact, .iters = 1000, .gap_tolerance = 1e-12});
    CHECK(r.status == status::converged);
    CHECK(r.iterations > 2);
    std::size_t merged = 0;
    for (auto const & t : f.layout().tensors())
        merged += t.bytes();
    CHECK(y.bytes_read == merged);
    CHECK(counted[0]->bytes_read == 2 * merged + 16); // and its integer tensor
    for (std::size_t k = 1; k != counted.size(); ++k)
        CHECK(counted[k]->bytes_read == 2 * merged);
    CHECK(out.tensors().size() == lathe_test::tensors().size());
}

TEST_CASE("a target that all models are far from costs no digits") {
    lathe_test::models const models(9, 4, 1e-3);
    auto const target = lathe_test::model(999, 60, 100.0);
    merge::model_pool const pool(nullptr, models.pointers);
    backend be;
    memory_checkpoint out;
    frank_wolfe_options const options{
        .method = frank_wolfe_method::pairwise, .step = step_rule::exact, .iters = 200, .gap_tolerance = 1e-9};
    merge::quadratic_distance<backend, double> f(merge::parameter_layout::of(pool), *target);
    merge::quadratic_distance<backend, float> f32(merge::parameter_layout::of(pool), *target);
    auto const exact = merge::frank_wolfe_gram<double>(be, pool, f, out, options);
    auto const single = merge::frank_wolfe_gram<float>(be, pool, f32, out, options);
    REQUIRE(exact.status == status::converged);
    REQUIRE(single.status == status::converged);
    for (std::size_t k = 0; k != 4; ++k)
        CHECK(single.weights[0][k] == Approx(exact.weights[0][k]).margin(1e-4));
}

TEST_CASE("the products are taken with kernels alone") {
    using archetype = testing::archetype<testing::floor::elementwise>;
    lathe_test::models const models(11, 3);
    auto const target = lathe_test::model(11, 60);
    merge::model_pool const pool(nullptr, models.pointers);
    archetype be;
    backend host;
    merge::quadratic_distance<archetype, float> f(merge::parameter_layout::of(pool), *target, tensor_weights);
    merge::quadratic_distance<backend, float> host_f(merge::parameter_layout::of(pool), *target, tensor_weights);
    memory_checkpoint a, b;
    frank_wolfe_options const options{.step = step_rule::exact, .granularity = granularity::layer, .iters = 4};
    auto const r = merge::frank_wolfe_gram(be, pool, f, a, options);
    auto const on_host = merge::frank_wolfe_gram(host, pool, host_f, b, options);
    CHECK(r.objective == Approx(on_host.objective).epsilon(1e-4));
    auto const streamed = merge::frank_wolfe(be, pool, f, b, options);
    CHECK(streamed.objective == Approx(on_host.objective).epsilon(1e-4));
}

TEST_CASE("stopped before the result is written, nothing is") {
    lathe_test::models const models(13, 3);
    auto const target = lathe_test::model(13, 60);
    merge::model_pool const pool(nullptr, models.pointers);
    backend be;
    merge::quadratic_distance<backend, double> f(merge::parameter_layout::of(pool), *target);
    struct stopped {
        static bool stop_requested() { return true; }
    };
    memory_checkpoint out;
    auto const r = merge::frank_wolfe_gram<double>(be, pool, f, out, {}, control{no_observer{}, stopped{}});
    CHECK(r.status == status::stopped);
    CHECK(out.tensors().empty());
}

TEST_CASE("targets, Fisher informations and weights that do not fit are named") {
    lathe_test::models const models(15, 2);
    merge::model_pool const pool(nullptr, models.pointers);
    auto const layout = merge::parameter_layout::of(pool);
    auto const target = lathe_test::model(15, 60);
    memory_checkpoint poor("poor"), wrong("wrong");
    std::vector<float> const three(3);
    for (auto const & t : layout.tensors()) {
        std::vector<std::byte> const zeros(t.bytes());
        if (t.name != "f.scale")
            poor.set(t, zeros);
        wrong.set(t, zeros);
    }
    wrong.set<float>("f.scale", {3}, three);
    using objective = merge::quadratic_distance<backend, float>;
    CHECK_THROWS_AS(objective(layout, poor), mismatch_error);
    CHECK_THROWS_WITH(objective(layout, poor), contains("poor") && contains("f.scale") && contains("missing"));
    CHECK_THROWS_WITH(objective(layout, wrong), contains("[3]") && contains("[7]"));
    CHECK_THROWS_WITH(objective(layout, *target, {}, &poor), contains("f.scale"));
    CHECK_THROWS_AS(objective(layout, *target, {{"none", 1.0}}), mismatch_error);
    CHECK_THROWS_WITH(objective(layout, *target, {{"f.scale", -1.0}}), contains("tensor_weights 'f.scale'"));
    using combination = merge::convex_combination<backend, float>;
    CHECK_THROWS_AS(combination(pool, {{1.0}}), option_error);
    CHECK_THROWS_AS(combination(pool, {{1.0, 0.0}, {1.0, 0.0}}), option_error);
}
