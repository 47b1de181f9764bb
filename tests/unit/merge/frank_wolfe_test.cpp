// The classical Frank-Wolfe: certificate, steps, granularity, laziness, floors, errors.
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
using merge::frank_wolfe_result;
using merge::granularity;
using merge::step_kind;
using merge::step_rule;

namespace {

/// 1/2 |x - y|^2 with vector operations alone.
template <class B, class T> struct distance_to {
    cvec<B, T> y;
    double value_and_gradient(B & be, cvec<B, T> x, vec<B, T> g) {
        ops::copy(be, x, g);
        ops::axpy(be, T(-1), y, g);
        return ops::dot(be, cvec<B, T>(g), cvec<B, T>(g)) / 2;
    }
};
/// The same, with its curvature.
template <class B, class T> struct quadratic_to : distance_to<B, T> {
    template <class Plus, class Minus>
    void curvature(B & be, std::size_t, Plus const & plus, Minus const & minus, double & total) {
        ops::reduce<T>(be, merge::kernels::squared_difference, std::span{&total, 1}, plus, minus);
    }
};
/// log sum exp of x: convex, smooth, not quadratic.
struct log_sum_exp {
    double value_and_gradient(backend &, vec_view<double const *> x, vec_view<double *> g) {
        double sum = 0;
        for (std::size_t i = 0; i != x.n; ++i)
            sum += g.data[i] = std::exp(x.data[i]);
        for (std::size_t i = 0; i != x.n; ++i)
            g.data[i] /= sum;
        return std::log(sum);
    }
};

/// Vertices as rows of numbers, in memory.
template <class T> struct rows {
    std::vector<std::vector<T>> data;
    std::vector<vec_view<T const *>> views;

    rows(std::uint64_t seed, std::size_t count, std::size_t length) {
        for (std::uint32_t k = 0; k != count; ++k) {
            auto const row = lathe_test::numbers(seed, k, length);
            data.emplace_back(row.begin(), row.end());
        }
        for (auto const & d : data)
            views.emplace_back(d.data(), d.size());
    }
};

template <class B>
concept has_vertices = requires { typename merge::resident_vertices<B, float>; };

void expect_convex(frank_wolfe_result const & r) {
    for (auto const & row : r.weights) {
        double sum = 0;
        for (auto const w : row) {
            CHECK(w >= 0);
            sum += w;
        }
        CHECK(sum == Approx(1).epsilon(1e-14));
    }
}

constexpr auto everything = {frank_wolfe_method::fw, frank_wolfe_method::away, frank_wolfe_method::pairwise};
constexpr auto all_steps = {step_rule::open, step_rule::exact, step_rule::backtracking};

} // namespace

TEMPLATE_TEST_CASE("the result is the convex combination it says, and the gap bounds what is left", "", float, double) {
    lathe_test::models const models(3, 7);
    auto const target = lathe_test::model(3, 60, 0.3);
    merge::model_pool const pool(nullptr, models.pointers);
    backend be;
    merge::quadratic_distance<backend, TestType> f(merge::parameter_layout::of(pool), *target);

    for (auto const granularity : {granularity::task, granularity::layer}) {
        memory_checkpoint best;
        auto const optimum = merge::frank_wolfe<double>(
            be, pool, merge::quadratic_distance<backend, double>(merge::parameter_layout::of(pool), *target), best,
            {.method = frank_wolfe_method::pairwise,
             .step = step_rule::exact,
             .granularity = granularity,
             .iters = 500,
             .gap_tolerance = 1e-13});
        REQUIRE(optimum.status == status::converged);
        auto const rounding = 32 * static_cast<double>(std::numeric_limits<TestType>::epsilon()) * optimum.objective;

        for (auto const method : everything)
            for (auto const step : all_steps) {
                memory_checkpoint out;
                double f_before = std::numeric_limits<double>::infinity();
                std::size_t told = 0;
                auto const r = merge::frank_wolfe<TestType>(be, pool, f, out,
                                                            {.method = method,
                                                             .step = step,
                                                             .granularity = granularity,
                                                             .iters = 60,
                                                             .gap_tolerance = 1e-5,
                                                             .start = 2},
                                                            control{}, [&](frank_wolfe_iteration const & it) {
                    CHECK(it.t == told++);
                    CHECK(it.certified);
                    CHECK(it.gap >= it.f - optimum.objective - rounding);
                    if (step != step_rule::open)
                        CHECK(it.f <= f_before + rounding);
                    f_before = it.f;
                    for (auto const & b : it.blocks)
                        CHECK((b.gamma >= 0 && (b.direction.kind != step_kind::fw || b.gamma <= 1)));
                });
                CHECK(r.iterations == told);
                CHECK(r.gap >= r.objective - optimum.objective - rounding);
                CHECK((r.status == status::converged) == (r.gap <= 1e-5));
                CHECK(r.weights.size() == (granularity == granularity::task ? 1 : 5));
                expect_convex(r);

                // the checkpoint is the combination, tensor by tensor; what is not merged is the first model's
                std::size_t block = 0;
                for (std::size_t i = 0; i != out.tensors().size(); ++i) {
                    auto const & t = out.tensors()[i];
                    if (!is_floating(t.type) || t.count() == 0) {
                        CHECK(std::ranges::equal(out.bytes(i), models.all[0]->bytes(i)));
                        continue;
                    }
                    auto const & w = r.weights[granularity == granularity::task ? 0 : block++];
                    std::vector<double> got(t.count()), one(t.count()), want(t.count());
                    host::load(t.type, out.bytes(i).data(), t.count(), got.data());
                    for (std::size_t k = 0; k != w.size(); ++k) {
                        host::load(t.type, models.all[k]->bytes(i).data(), t.count(), one.data());
                        for (std::size_t j = 0; j != want.size(); ++j)
                            want[j] += w[k] * one[j];
                    }
                    double worst = 0;
                    for (std::size_t j = 0; j != want.size(); ++j)
                        worst = std::max(worst, std::abs(want[j] - got[j]));
                    CHECK(worst < 2e-6);
                }
            }
    }
}

TEST_CASE("away and pairwise steps converge linearly to an optimum on a face, plain steps do not") {
    backend be;
    std::size_t stalled = 0;
    for (std::uint64_t const seed : {1u, 2u, 3u}) {
        rows<double> const v(seed, 30, 12);
        auto y = lathe_test::numbers(seed, 99, 12);
        for (auto & a : y)
            a *= 1.5;
        quadratic_to<backend, double> f{{{y.data(), y.size()}}};
        merge::resident_vertices<backend, double> vertices(v.views);
        std::vector<double> x(12);
        std::size_t steps = 0;
        auto const run = [&](frank_wolfe_method method, step_rule step, std::size_t iters) {
            return merge::frank_wolfe(be, vertices, f, vec_view(x.data(), x.size()),
                                      {.method = method, .step = step, .iters = iters, .gap_tolerance = 1e-12});
        };
        for (auto const method : {frank_wolfe_method::away, frank_wolfe_method::pairwise})
            for (auto const step : {step_rule::exact, step_rule::backtracking}) {
                auto const r = run(method, step, 2000);
                CHECK(r.status == status::converged);
                CHECK(r.gap <= 1e-12);
                expect_convex(r);
                CHECK(std::ranges::count_if(r.weights[0], [](double w) { return w > 0; }) <= 12); // others exactly 0
                steps = std::max(steps, r.iterations);
            }
        CHECK(run(frank_wolfe_method::fw, step_rule::open, 2000).gap < 0.05);
        auto const plain = run(frank_wolfe_method::fw, step_rule::exact, 2000);
        CHECK(plain.iterations > 4 * steps);
        stalled += plain.gap > 1e-4 ? 1u : 0u;
    }
    CHECK(stalled != 0);
}

TEST_CASE("the hull of the unit vectors is the simplex: a known projection") {
    backend be;
    std::vector<std::vector<double>> const e{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    std::vector<vec_view<double const *>> views;
    for (auto const & v : e)
        views.emplace_back(v.data(), v.size());
    std::vector<double> const y{0.6, 0.5, -0.2};
    std::vector<double> x(3);
    merge::resident_vertices<backend, double> vertices(views);
    quadratic_to<backend, double> f{{{y.data(), y.size()}}};
    auto const r = merge::frank_wolfe(
        be, vertices, f, vec_view(x.data(), x.size()),
        {.method = frank_wolfe_method::away, .step = step_rule::exact, .gap_tolerance = 1e-15, .start = 2});
    CHECK(r.status == status::converged);
    CHECK(r.weights[0][0] == Approx(0.55));
    CHECK(r.weights[0][1] == Approx(0.45));
    CHECK(r.weights[0][2] == 0);
    CHECK(x[0] == Approx(0.55));
    CHECK(r.objective == Approx((0.05 * 0.05 + 0.05 * 0.05 + 0.2 * 0.2) / 2));
}

TEST_CASE("a convex objective that is not quadratic: backtracking finds the optimum and certifies it") {
    backend be;
    rows<double> const v(5, 8, 6);
    merge::resident_vertices<backend, double> vertices(v.views);
    log_sum_exp f;
    std::vector<double> x(6);
    for (auto const method : everything) {
        double last = std::numeric_limits<double>::infinity();
        auto const r = merge::frank_wolfe(
            be, vertices, f, vec_view(x.data(), x.size()),
            {.method = method, .iters = 3000, .gap_tolerance = method == frank_wolfe_method::fw ? 1e-3 : 1e-10},
            control{}, [&](frank_wolfe_iteration const & it) {
            CHECK(it.f <= last + 1e-14);
            last = it.f;
        });
        CHECK(r.status == status::converged);
        std::vector<double> g(6), corner(6);
        for (auto const & row : v.data) { // the certificate against every vertex, from its definition
            auto const value = f.value_and_gradient(be, {x.data(), 6}, {g.data(), 6});
            CHECK(value == Approx(r.objective));
            double slope = 0;
            for (std::size_t i = 0; i != 6; ++i)
                slope += g[i] * (row[i] - x[i]);
            CHECK(slope >= -r.gap - 1e-13);
        }
    }
}

TEST_CASE("tensors that choose for themselves do at least as well") {
    lathe_test::models const models(11, 5);
    auto const target = lathe_test::model(11, 60);
    merge::model_pool const pool(nullptr, models.pointers);
    backend be;
    merge::quadratic_distance<backend, double> f(merge::parameter_layout::of(pool), *target);
    memory_checkpoint out;
    frank_wolfe_options options{
        .method = frank_wolfe_method::pairwise, .step = step_rule::exact, .iters = 1000, .gap_tolerance = 1e-12};
    auto const task = merge::frank_wolfe<double>(be, pool, f, out, options);
    options.granularity = granularity::layer;
    auto const layer = merge::frank_wolfe<double>(be, pool, f, out, options);
    REQUIRE(task.status == status::converged);
    REQUIRE(layer.status == status::converged);
    CHECK(layer.objective < task.objective);

    // blocks do not interact here: each is the optimum of its tensor alone
    double sum = 0;
    for (std::size_t i = 0; i != 5; ++i) {
        std::map<std::string, double> only;
        for (std::size_t j = 0; j != 5; ++j)
            only[f.layout().tensors()[j].name] = i == j ? 1.0 : 0.0;
        merge::quadratic_distance<backend, double> one(merge::parameter_layout::of(pool), *target, only);
        options.granularity = granularity::task;
        sum += merge::frank_wolfe<double>(be, pool, one, out, options).objective;
    }
    CHECK(sum == Approx(layer.objective));
}

TEST_CASE("the order of the models only permutes the weights") {
    lathe_test::models const models(21, 6);
    auto const target = lathe_test::model(21, 60);
    std::vector<std::size_t> const order{4, 2, 0, 5, 1, 3};
    std::vector<checkpoint *> permuted;
    for (auto const k : order)
        permuted.push_back(models.pointers[k]);
    merge::model_pool const pool(nullptr, models.pointers), other(nullptr, permuted);
    backend be;
    merge::quadratic_distance<backend, double> f(merge::parameter_layout::of(pool), *target);
    memory_checkpoint out;
    for (auto const step : all_steps) {
        frank_wolfe_options options{.step = step, .iters = 7, .start = 0};
        auto const a = merge::frank_wolfe<double>(be, pool, f, out, options);
        options.start = 2;
        auto const b = merge::frank_wolfe<double>(be, other, f, out, options);
        for (std::size_t k = 0; k != order.size(); ++k)
            CHECK(b.weights[0][k] == Approx(a.weights[0][order[k]]).margin(1e-12));
        CHECK(a.gap == Approx(b.gap));
    }
}

TEMPLATE_TEST_CASE("windows, threads and where the vertices are do not change a bit", "", float, double) {
    lathe_test::models const models(31, 5);
    auto const target = lathe_test::model(31, 60);
    backend one, four(4);
    std::vector<std::byte> expected;
    std::vector<std::vector<double>> weights;
    frank_wolfe_options const options{
        .method = frank_wolfe_method::away, .granularity = granularity::layer, .iters = 9};

    for (std::size_t const window : {std::size_t{4096}, std::size_t{8192}, default_window})
        for (auto * be : {&one, &four}) {
            merge::model_pool const pool(nullptr, models.pointers, {.window = window});
            merge::quadratic_distance<backend, TestType> f(merge::parameter_layout::of(pool), *target);
            memory_checkpoint out;
            auto const r = merge::frank_wolfe<TestType>(*be, pool, f, out, options);
            if (expected.empty()) {
                expected = lathe_test::bytes_of(out);
                weights = r.weights;
            }
            CHECK(lathe_test::bytes_of(out) == expected);
            CHECK(r.weights == weights);
        }

    merge::model_pool const pool(nullptr, models.pointers);
    auto const layout = merge::parameter_layout::of(pool);
    std::vector<std::vector<TestType>> data(5, std::vector<TestType>(layout.size()));
    std::vector<vec_view<TestType const *>> views;
    for (std::size_t k = 0; k != 5; ++k) {
        read_parameters<backend, TestType>(one, layout, *models.pointers[k], {data[k].data(), data[k].size()});
        views.emplace_back(data[k].data(), data[k].size());
    }
    std::vector<std::size_t> parts;
    for (auto const & t : layout.tensors())
        parts.push_back(t.count());
    merge::resident_vertices<backend, TestType> vertices(views, parts, granularity::layer);
    merge::quadratic_distance<backend, TestType> f(layout, *target);
    std::vector<TestType> x(layout.size());
    auto const r = merge::frank_wolfe(one, vertices, f, vec_view(x.data(), x.size()), options);
    CHECK(r.weights == weights);
    memory_checkpoint out;
    merge::write_merged<backend, TestType>(one, pool, vec_view<TestType const *>(x.data(), x.size()), out);
    CHECK(lathe_test::bytes_of(out) == expected);
}

TEST_CASE("lazy runs read less and certify the same") {
    lathe_test::models const models(41, 24);
    memory_checkpoint target, out; // a combination of four, so that the others are of no use
    backend be;
    {
        merge::model_pool const pool(nullptr, models.pointers);
        std::vector<double> weights(24);
        weights[3] = 0.4, weights[7] = 0.3, weights[12] = 0.2, weights[20] = 0.1;
        merge::convex_combination<backend, double> combine(pool, {weights});
        merge::write<backend, double>(be, pool, combine, target);
    }
    std::vector<std::unique_ptr<lathe_test::counting_checkpoint>> counted;
    std::vector<checkpoint *> pointers;
    for (auto * m : models.pointers) {
        counted.push_back(std::make_unique<lathe_test::counting_checkpoint>(*m));
        pointers.push_back(counted.back().get());
    }
    merge::model_pool const pool(nullptr, pointers);
    merge::quadratic_distance<backend, double> f(merge::parameter_layout::of(pool), target);
    for (auto const method : everything) {
        double const tolerance = method == frank_wolfe_method::fw ? 5e-2 : 1e-6;
        std::vector<double> objective;
        std::vector<std::size_t> bytes;
        for (bool const lazy : {false, true}) {
            for (auto & c : counted)
                c->bytes_read = 0;
            std::size_t uncertified = 0;
            auto const r = merge::frank_wolfe<double>(
                be, pool, f, out,
                {.method = method, .step = step_rule::exact, .iters = 300, .gap_tolerance = tolerance, .lazy = lazy},
                control{}, [&](frank_wolfe_iteration const & it) { uncertified += it.certified ? 0u : 1u; });
            CHECK(r.status == status::converged);
            CHECK(r.gap <= tolerance);
            INFO(r.iterations << " steps, " << r.passes << " passes");
            CHECK((uncertified > 0) == lazy);
            CHECK(r.passes == r.iterations + 1 - uncertified);
            objective.push_back(r.objective);
            std::size_t total = 0;
            for (auto const & c : counted)
                total += c->bytes_read;
            bytes.push_back(total);
            expect_convex(r);
        }
        CHECK(std::abs(objective[0] - objective[1]) <= tolerance);
        CHECK(bytes[1] < bytes[0]);
    }
}

TEST_CASE("a run can be continued from its weights, and weights alone can be certified") {
    lathe_test::models const models(51, 5);
    auto const target = lathe_test::model(51, 60);
    merge::model_pool const pool(nullptr, models.pointers);
    backend be;
    merge::quadratic_distance<backend, double> f(merge::parameter_layout::of(pool), *target);
    memory_checkpoint out;
    for (auto const granularity : {granularity::task, granularity::layer}) {
        frank_wolfe_options options{.method = frank_wolfe_method::away,
                                    .step = step_rule::exact,
                                    .granularity = granularity,
                                    .iters = 7,
                                    .gap_tolerance = 0};
        auto const whole = merge::frank_wolfe<double>(be, pool, f, out, options);
        options.iters = 3;
        auto const first = merge::frank_wolfe<double>(be, pool, f, out, options);
        for (auto const & row : first.weights)
            options.start_weights.insert(options.start_weights.end(), row.begin(), row.end());
        options.iters = 4;
        auto const second = merge::frank_wolfe<double>(be, pool, f, out, options);
        for (std::size_t b = 0; b != whole.weights.size(); ++b)
            for (std::size_t k = 0; k != 5; ++k)
                CHECK(second.weights[b][k] == Approx(whole.weights[b][k]).margin(1e-12));
        options.iters = 0;
        auto const certificate = merge::frank_wolfe<double>(be, pool, f, out, options);
        CHECK(certificate.iterations == 0);
        CHECK(certificate.gap == Approx(first.gap));
        CHECK(certificate.objective == Approx(first.objective));
    }
}

TEST_CASE("it lives on an inner product space, in memory for x, a gradient and one difference") {
    using archetype = testing::archetype<testing::floor::inner_product_space>;
    static_assert(!elementwise<archetype, float>);
    static_assert(has_vertices<archetype>);
    static_assert(!has_vertices<testing::archetype<testing::floor::vector_space>>);
    constexpr std::size_t n = 40, count = 9;
    rows<float> const v(61, count, n);
    auto const wanted = lathe_test::numbers(61, 99, n);
    std::vector<float> const y(wanted.begin(), wanted.end());

    archetype be;
    std::vector<archetype::buffer<float>> buffers;
    std::vector<cvec<archetype, float>> views;
    for (auto const & row : v.data) {
        buffers.push_back(be.allocate<float>(n));
        be.upload(std::span<float const>{row}, buffers.back().view());
        views.emplace_back(buffers.back().view());
    }
    auto target = be.allocate<float>(n);
    be.upload(std::span<float const>{y}, target.view());
    auto x = be.allocate<float>(n);
    distance_to<archetype, float> f{cvec<archetype, float>(target.view())};

    backend host;
    std::vector<float> host_x(n);
    merge::resident_vertices<backend, float> host_vertices(v.views);
    distance_to<backend, float> host_f{{y.data(), n}};

    for (auto const method : everything) {
        be.clear_log();
        auto const before = be.memory().now;
        merge::resident_vertices<archetype, float> vertices(views);
        frank_wolfe_options const options{.method = method, .iters = 25, .gap_tolerance = 1e-4};
        auto const r = merge::frank_wolfe(be, vertices, f, x.view(), options);
        CHECK(be.memory().peak - before == 2 * n); // gradient and difference; x is the caller's
        auto const on_host = merge::frank_wolfe(host, host_vertices, host_f, vec_view(host_x.data(), n), options);
        for (std::size_t k = 0; k != count; ++k)
            CHECK(r.weights[0][k] == Approx(on_host.weights[0][k]).margin(1e-3));
        CHECK(r.objective == Approx(on_host.objective).epsilon(1e-4));
    }
}

TEST_CASE("streamed it lives on kernels, in memory for x, a gradient and a window of each model") {
    using archetype = testing::archetype<testing::floor::elementwise>;
    lathe_test::models const models(71, 6);
    auto const target = lathe_test::model(71, 60);
    merge::model_pool const pool(nullptr, models.pointers, {.window = 4096});
    auto const layout = merge::parameter_layout::of(pool);
    std::vector<float> y(layout.size());
    backend host;
    read_parameters<backend, float>(host, layout, *target, {y.data(), y.size()});

    archetype be;
    auto device_y = be.allocate<float>(y.size());
    be.upload(std::span<float const>{y}, device_y.view());
    memory_checkpoint out, host_out;
    distance_to<archetype, float> f{cvec<archetype, float>(device_y.view())};
    distance_to<backend, float> host_f{{y.data(), y.size()}};
    for (auto const granularity : {granularity::task, granularity::layer}) {
        be.clear_log();
        auto const before = be.memory().now;
        frank_wolfe_options const options{.method = frank_wolfe_method::away, .granularity = granularity, .iters = 12};
        auto const r = merge::frank_wolfe(be, pool, f, out, options);
        CHECK(be.memory().peak - before <= 2 * layout.size() + (6 + 1) * 4096);
        auto const on_host = merge::frank_wolfe(host, pool, host_f, host_out, options);
        CHECK(r.objective == Approx(on_host.objective).epsilon(1e-4));
        for (std::size_t b = 0; b != r.weights.size(); ++b)
            for (std::size_t k = 0; k != 6; ++k)
                CHECK(r.weights[b][k] == Approx(on_host.weights[b][k]).margin(2e-3));
    }
}

TEST_CASE("progress is told, a stop is obeyed with a certificate and without a file") {
    lathe_test::models const models(81, 4);
    auto const target = lathe_test::model(81, 60);
    merge::model_pool const pool(nullptr, models.pointers);
    backend be;
    merge::quadratic_distance<backend, double> f(merge::parameter_layout::of(pool), *target);
    struct stop_after {
        std::size_t const * seen;
        std::size_t limit;
        [[nodiscard]] bool stop_requested() const { return *seen >= limit; }
    };
    memory_checkpoint out;
    std::size_t seen = 0;
    double gap = 0;
    auto const observe = [&](progress const & p) {
        CHECK(p.step == seen++);
        CHECK(p.total == 50);
        gap = p.residual;
    };
    for (bool const lazy : {false, true}) {
        seen = 0;
        auto const r = merge::frank_wolfe<double>(
            be, pool, f, out, {.step = step_rule::exact, .iters = 50, .gap_tolerance = 0, .lazy = lazy},
            control{observe, stop_after{&seen, 3}});
        CHECK(r.status == status::stopped);
        CHECK(r.iterations == 3);
        CHECK(r.gap == gap);
        CHECK(out.tensors().empty());
        auto const same =
            merge::frank_wolfe<double>(be, pool, f, out, {.step = step_rule::exact, .iters = 3, .gap_tolerance = 0});
        CHECK(same.status == status::iteration_limit);
        if (!lazy)
            CHECK(same.gap == r.gap);
        out.begin({}, {});
    }
}

TEST_CASE("what is not finite is an error, and named") {
    backend be;
    rows<double> v(91, 3, 4);
    std::vector<double> const y(4, 0.0);
    std::vector<double> x(4);
    auto const view = vec_view(x.data(), x.size());
    SECTION("an element of a vertex") {
        v.data[1][2] = std::numeric_limits<double>::quiet_NaN();
        merge::resident_vertices<backend, double> vertices(v.views);
        distance_to<backend, double> f{{y.data(), 4}};
        CHECK_THROWS_WITH(merge::frank_wolfe(be, vertices, f, view), contains("model 1"));
        CHECK_THROWS_AS(merge::frank_wolfe(be, vertices, f, view), non_finite_error);
    }
    SECTION("the objective") {
        merge::resident_vertices<backend, double> vertices(v.views);
        auto const bad = [](double value) {
            struct objective {
                double value;
                double value_and_gradient(backend & b, vec_view<double const *>, vec_view<double *> g) const {
                    ops::fill(b, 1, g);
                    return value;
                }
            };
            return objective{value};
        };
        for (auto const value : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
            CHECK_THROWS_AS(merge::frank_wolfe(be, vertices, bad(value), view), non_finite_error);
    }
    SECTION("far away only: the step is shortened") {
        struct barrier { // -log(1 - x_0): infinite from 1 on
            double value_and_gradient(backend & b, vec_view<double const *> at, vec_view<double *> g) const {
                ops::fill(b, 0, g);
                g.data[0] = -1 + 1 / (0.9 - at.data[0]);
                return at.data[0] < 0.9 ? -at.data[0] - std::log(0.9 - at.data[0])
                                        : std::numeric_limits<double>::infinity();
            }
        };
        std::vector<double> const a{-5, 0, 0, 0}, b{2, 0, 0, 0};
        std::vector<vec_view<double const *>> const ends{{a.data(), 4}, {b.data(), 4}};
        merge::resident_vertices<backend, double> vertices(ends);
        auto const r =
            merge::frank_wolfe(be, vertices, barrier{}, view,
                               {.method = frank_wolfe_method::pairwise, .iters = 200, .gap_tolerance = 1e-8});
        CHECK(r.status == status::converged);
        CHECK(x[0] == Approx(-0.1).margin(1e-4));
    }
}

TEST_CASE("options are checked and named") {
    backend be;
    rows<double> const v(95, 3, 4);
    std::vector<double> x(4), short_x(3);
    std::vector<double> const y(4, 0.0);
    distance_to<backend, double> f{{y.data(), 4}};
    merge::resident_vertices<backend, double> vertices(v.views);
    std::vector<std::size_t> const parts{1, 3}, wrong{1, 2};
    auto const run = [&](frank_wolfe_options const & o) {
        return merge::frank_wolfe(be, vertices, f, vec_view(x.data(), x.size()), o);
    };
    CHECK_THROWS_AS(run({.start = 3}), option_error);
    CHECK_THROWS_WITH(run({.start = 3}), contains("start: found 3"));
    CHECK_THROWS_WITH(run({.gap_tolerance = -1}), contains("gap_tolerance"));
    CHECK_THROWS_WITH(run({.gap_tolerance = std::nan("")}), contains("gap_tolerance"));
    CHECK_THROWS_WITH(run({.step_scale = 0}), contains("step_scale"));
    CHECK_THROWS_WITH(run({.step_scale = 1.5}), contains("step_scale"));
    CHECK_THROWS_WITH(run({.start_weights = {0.5, 0.5}}), contains("start_weights"));
    CHECK_THROWS_WITH(run({.start_weights = {0.5, 0.6, 0.5}}), contains("start_weights"));
    CHECK_THROWS_WITH(run({.start_weights = {1.5, -0.5, 0}}), contains("start_weights"));
    CHECK_THROWS_WITH(run({.step = step_rule::exact}), contains("curvature"));
    CHECK_THROWS_AS(merge::frank_wolfe(be, vertices, f, vec_view(short_x.data(), short_x.size())), shape_error);
    CHECK_THROWS_AS((merge::resident_vertices<backend, double>({})), option_error);
    CHECK_THROWS_AS((merge::resident_vertices<backend, double>(v.views, wrong)), shape_error);
    merge::resident_vertices<backend, double> blocks(v.views, parts, granularity::layer);
    CHECK_THROWS_WITH(merge::frank_wolfe(be, blocks, f, vec_view(x.data(), x.size())), contains("granularity"));
}
