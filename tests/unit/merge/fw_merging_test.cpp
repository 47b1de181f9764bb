// FW-Merging as published: against a plain reference, the rules for zeros and NaN, invariances, adapters, errors; soft.
#include "polytope.hpp"
#include <catch.hpp>

#include <lathe/backend/eigen.hpp>
#include <lathe/merge/fw_merging_soft.hpp>
#include <lathe/merge/zero_filled.hpp>

#include <numeric>

using namespace lathe;
using lathe_test::contains;
using backend = eigen_backend;
using merge::fw_init;
using merge::fw_merging_options;
using merge::fw_merging_step;
using merge::fw_oracle;
using merge::fw_variant;
using merge::fw_zero_norm;
using merge::granularity;

namespace {

auto const not_a_number = std::numeric_limits<double>::quiet_NaN();

/// A quadratic with its own curvature and minimum for each element: the gradient is a (x - y).
struct quadratic {
    std::vector<double> a, y;
    std::size_t calls = 0;
    explicit quadratic(std::size_t n, std::uint32_t purpose = 0)
        : a(lathe_test::numbers(11, purpose, n)), y(lathe_test::numbers(12, purpose, n)) {}
    [[nodiscard]] std::vector<double> gradient(std::vector<double> const & x) const {
        std::vector<double> g(x.size());
        for (std::size_t i = 0; i != x.size(); ++i)
            g[i] = (1.1 + a[i]) * (x[i] - y[i]);
        return g;
    }
    template <class T> double value_and_gradient(backend &, vec_view<T const *> x, vec_view<T *> g) {
        ++calls;
        std::vector<double> const at(x.data, x.data + x.n);
        auto const all = gradient(at);
        double f = 0;
        for (std::size_t i = 0; i != x.n; ++i) {
            g.data[i] = static_cast<T>(all[i]);
            f += all[i] * (at[i] - y[i]) / 2;
        }
        return f;
    }
};
/// Gradients given beforehand, one for each call.
struct recorded {
    std::vector<std::vector<double>> gradients;
    std::size_t calls = 0;
    template <class T> double value_and_gradient(backend &, vec_view<T const *>, vec_view<T *> g) {
        std::ranges::transform(gradients.at(calls++), g.data, [](double v) { return static_cast<T>(v); });
        return 0;
    }
};

struct fixture {
    std::unique_ptr<memory_checkpoint> base = lathe_test::model(3, 90);
    lathe_test::models models{3, 4};
    merge::model_pool pool;
    merge::parameter_layout layout;
    explicit fixture(merge::pool_options const & options = {})
        : pool(base.get(), models.pointers, options), layout(merge::parameter_layout::of(pool)) {}

    [[nodiscard]] std::vector<std::vector<double>> candidates(fw_merging_options const & options) const {
        std::vector<std::vector<double>> all;
        for (auto const & m : models.all)
            all.push_back(lathe_test::elements(*m));
        auto start = lathe_test::elements(*base);
        if (options.init == fw_init::merge)
            for (std::size_t i = 0; i != start.size(); ++i) {
                auto const b = start[i];
                for (std::size_t k = 0; k != models.all.size(); ++k)
                    start[i] += options.scaling * (all[k][i] - b);
            }
        all.push_back(start); // last, whether it is a candidate or not
        return all;
    }
};

/// docs/merging.md, 6.1, on plain vectors, for data without zeros and NaN.
struct reference {
    std::vector<std::vector<double>> states;
    std::vector<fw_merging_step> trace;

    reference(fixture const & f, quadratic const & objective, fw_merging_options const & options,
              double kept_part = 1) {
        auto all = f.candidates(options);
        auto x = all.back();
        if (!options.include_initial)
            all.pop_back();
        auto const tensors = f.layout.tensors().size();
        for (std::size_t t = 0; t != options.max_iters; ++t) {
            auto const g = objective.gradient(x);
            fw_merging_step s{
                t, 0, {}, {}, std::vector<double>(all.size()), {}, 2 * options.step_size / (static_cast<double>(t) + 2),
                0};
            s.gamma = s.step * options.scaling;
            std::vector<std::optional<std::size_t>> by_tensor;
            for (auto const & c : all) {
                s.alignment.emplace_back();
                for (std::size_t n = 0; n != tensors; ++n) {
                    double dot = 0, gg = 0, cc = 0;
                    for (auto i = f.layout.offset(n); i != f.layout.offset(n + 1); ++i) {
                        dot += g[i] * c[i];
                        gg += g[i] * g[i];
                        cc += c[i] * c[i];
                    }
                    s.alignment.back().push_back(
                        options.lmo == fw_oracle::inner ? dot : dot / (std::sqrt(gg) * std::sqrt(cc)));
                    s.sums[s.alignment.size() - 1] += s.alignment.back().back();
                }
            }
            for (std::size_t n = 0; n != tensors; ++n) {
                std::vector<double> column;
                for (auto const & row : s.alignment)
                    column.push_back(row[n]);
                auto const & of = options.granularity == granularity::layer ? column : s.sums;
                auto const best = static_cast<std::size_t>(std::ranges::min_element(of) - of.begin());
                by_tensor.emplace_back(best);
                if (options.granularity == granularity::layer || n == 0) {
                    s.score.push_back(of[best]);
                    if (options.granularity == granularity::layer && options.variant == fw_variant::fwm
                        && of[best] >= 0)
                        by_tensor.back().reset();
                    s.chosen.push_back(by_tensor.back());
                }
            }
            std::vector<double> d, sorted;
            for (std::size_t n = 0; n != tensors; ++n)
                for (auto i = f.layout.offset(n); i != f.layout.offset(n + 1); ++i) {
                    d.push_back((by_tensor[n] ? all[*by_tensor[n]][i] : 0.0) - x[i]);
                    sorted.push_back(std::fabs(d.back()));
                }
            std::ranges::sort(sorted);
            auto const kept = static_cast<std::size_t>(static_cast<double>(d.size()) * kept_part);
            auto const least = options.merge_fn == merge::fw_merge_fn::ties ? sorted[d.size() - kept - 1] : 0;
            for (std::size_t i = 0; i != d.size(); ++i)
                x[i] += std::fabs(d[i]) >= least ? s.gamma * d[i] : 0.0;
            states.push_back(x);
            trace.push_back(s);
        }
    }
};

} // namespace

TEMPLATE_TEST_CASE("hard FW-Merging follows the plain reference", "[fw_merging]", float, double) {
    fixture f;
    backend be;
    auto const tolerance = std::same_as<TestType, float> ? 2e-6 : 1e-12;
    for (auto const variant : {fw_variant::lathe, fw_variant::fusion_bench, fw_variant::fwm})
        for (auto const granularity : {granularity::task, granularity::layer})
            for (auto const lmo : {fw_oracle::cosine, fw_oracle::inner})
                for (auto const init : {fw_init::merge, fw_init::base})
                    for (bool const include_initial : {false, true}) {
                        fw_merging_options options;
                        options.variant = variant;
                        options.granularity = granularity;
                        options.lmo = lmo;
                        options.init = init;
                        options.include_initial = include_initial;
                        options.step_size = 0.9;
                        options.max_iters = 4;
                        quadratic objective(f.layout.size());
                        reference const expected(f, objective, options);
                        memory_checkpoint out;
                        std::size_t steps = 0;
                        auto const result =
                            merge::fw_merging<TestType>(be, f.pool, objective, out, options, {},
                                                        [&](fw_merging_step const & s, vec_view<TestType const *> x) {
                            auto const & e = expected.trace.at(s.t);
                            REQUIRE(steps++ == s.t);
                            REQUIRE(s.chosen == e.chosen);
                            REQUIRE(s.gamma == Approx(e.gamma));
                            REQUIRE(s.alignment.size() == e.alignment.size());
                            for (std::size_t c = 0; c != s.alignment.size(); ++c)
                                for (std::size_t n = 0; n != s.alignment[c].size(); ++n)
                                    REQUIRE(
                                        s.alignment[c][n]
                                        == Approx(e.alignment[c][n]).epsilon(100 * tolerance).margin(10 * tolerance));
                            for (std::size_t i = 0; i != s.score.size(); ++i)
                                REQUIRE(s.score[i]
                                        == Approx(e.score[i]).epsilon(100 * tolerance).margin(10 * tolerance));
                            CHECK(s.sums.size() == (granularity == granularity::task ? e.sums.size() : 0));
                            double worst = 0;
                            for (std::size_t i = 0; i != x.n; ++i)
                                worst = std::max(worst,
                                                 std::fabs(static_cast<double>(x.data[i]) - expected.states[s.t][i]));
                            CHECK(worst < tolerance);
                        });
                        CHECK(steps == 4);
                        CHECK(objective.calls == 4);
                        CHECK(result.trace.size() == 4);
                        CHECK(result.weight_of_start == Approx((1 - 0.27) * (1 - 0.18) * (1 - 0.135) * (1 - 0.108)));
                        auto const merged = lathe_test::elements(out);
                        for (std::size_t i = 0; i != merged.size(); ++i)
                            REQUIRE(merged[i] == Approx(expected.states.back()[i]).margin(2e-6));
                        CHECK(std::ranges::equal(out.bytes(*out.find("d.steps")),
                                                 f.base->bytes(*f.base->find("d.steps"))));
                    }
}

TEMPLATE_TEST_CASE("with TIES only the largest differences of the whole model move", "[fw_merging]", float, double) {
    fixture f(merge::pool_options{.window = 4096});
    backend be(2);
    for (auto const granularity : {granularity::task, granularity::layer})
        for (auto const variant : {fw_variant::fusion_bench, fw_variant::fwm}) {
            fw_merging_options options;
            options.variant = variant;
            options.granularity = granularity;
            options.init = fw_init::base;
            options.merge_fn = merge::fw_merge_fn::ties;
            options.scaling = 0.5;
            options.step_size = 1;
            options.max_iters = 3;
            double kept = 0.2; // fusion_bench's default, 20 per cent
            if (variant == fw_variant::fwm) {
                options.ties.mask_rate = 0.7;
                kept = 1 - 0.7;
            }
            quadratic objective(f.layout.size());
            reference const expected(f, objective, options, kept);
            memory_checkpoint out;
            auto last = lathe_test::elements(*f.base);
            for (auto & v : last)
                v = static_cast<double>(static_cast<TestType>(v));
            merge::fw_merging<TestType>(be, f.pool, objective, out, options, {},
                                        [&](fw_merging_step const & s, vec_view<TestType const *> x) {
                REQUIRE(s.chosen == expected.trace[s.t].chosen);
                std::size_t moved = 0;
                double worst = 0;
                for (std::size_t i = 0; i != x.n; ++i) {
                    moved += static_cast<double>(x.data[i]) != last[i] ? 1u : 0u;
                    last[i] = static_cast<double>(x.data[i]);
                    worst = std::max(worst, std::fabs(last[i] - expected.states[s.t][i]));
                }
                CHECK(worst < 1e-6);
                CHECK(moved <= static_cast<std::size_t>(static_cast<double>(x.n) * kept) + 1);
                CHECK(moved + 3 >= static_cast<std::size_t>(static_cast<double>(x.n)
                                                            * kept)); // all but those that rounding hides
                CHECK(s.threshold);
            });
        }
}

TEST_CASE("FW-Merging does not depend on windows, threads and the scale of the gradient", "[fw_merging]") {
    std::vector<std::byte> bits;
    for (auto const window : {std::size_t{4096}, default_window})
        for (auto const threads : {1u, 3u})
            for (auto const scale : {1.0, 0x1p-40}) {
                fixture f(merge::pool_options{.window = window});
                backend be(threads);
                recorded objective{
                    {lathe_test::numbers(5, 0, f.layout.size()), lathe_test::numbers(5, 1, f.layout.size())}};
                for (auto & g : objective.gradients)
                    for (auto & v : g)
                        v *= scale;
                memory_checkpoint out;
                fw_merging_options options;
                options.granularity = granularity::layer;
                options.max_iters = 2;
                merge::fw_merging(be, f.pool, objective, out, options);
                if (bits.empty())
                    bits = lathe_test::bytes_of(out);
                CHECK(bits == lathe_test::bytes_of(out));
            }
}

TEST_CASE("the order of the models only names the candidates", "[fw_merging]") {
    fixture f;
    backend be;
    fw_merging_options options;
    options.granularity = granularity::layer;
    options.init = fw_init::base;
    quadratic objective(f.layout.size());
    memory_checkpoint first, second;
    auto const a = merge::fw_merging<double>(be, f.pool, objective, first, options);
    std::vector<std::size_t> const order{2, 0, 3, 1};
    std::vector<checkpoint *> shuffled;
    for (auto const k : order)
        shuffled.push_back(f.models.pointers[k]);
    merge::model_pool pool(f.base.get(), shuffled);
    auto const b = merge::fw_merging<double>(be, pool, objective, second, options);
    auto scale = f.layout.find("b.bias"); // one element: all candidates are aligned alike, and the first is taken
    for (std::size_t t = 0; t != a.trace.size(); ++t)
        for (std::size_t n = 0; n != f.layout.tensors().size(); ++n) {
            if (n == scale) {
                CHECK(a.trace[t].score[n] == b.trace[t].score[n]);
                continue;
            }
            auto const c = *b.trace[t].chosen[n];
            CHECK(*a.trace[t].chosen[n] == (c < 4 ? order[c] : c));
        }
    CHECK(std::accumulate(a.counts.begin(), a.counts.end(), std::size_t{0})
          == a.trace.size() * f.layout.tensors().size());
}

TEST_CASE("a tensor of one element is aligned exactly, so the first candidate of a tie is taken", "[fw_merging]") {
    backend be;
    for (std::uint32_t seed = 0; seed != 20; ++seed) {
        std::vector<memory_checkpoint> models(5);
        std::vector<checkpoint *> pointers;
        for (std::uint32_t k = 0; k != 5; ++k) {
            std::vector<float> const v{static_cast<float>(1.5 + lathe_test::numbers(seed, k, 1)[0])};
            models[k].set<float>("v", {}, v);
            pointers.push_back(&models[k]);
        }
        pointers.erase(pointers.begin()); // that one is the base
        merge::model_pool pool(&models[0], pointers);
        recorded objective{{{lathe_test::numbers(seed, 9, 1)[0]}}};
        fw_merging_options options;
        options.granularity = granularity::layer;
        options.max_iters = 1;
        memory_checkpoint out;
        auto const result = merge::fw_merging(be, pool, objective, out, options);
        CHECK(result.trace[0].chosen[0] == 0);
        for (auto const & a : result.trace[0].alignment)
            CHECK(a[0] == (objective.gradients[0][0] > 0 ? 1 : -1));
    }
}

TEST_CASE("the start as a candidate is the start, however far the state has gone", "[fw_merging]") {
    for (auto const init : {fw_init::merge, fw_init::base}) {
        fixture f(merge::pool_options{.window = 4096});
        backend be;
        fw_merging_options options;
        options.init = init;
        options.scaling = 1; // so that x becomes what is chosen at t = 0
        options.step_size = 1;
        options.max_iters = 2;
        auto const all = f.candidates(options);
        recorded objective{{all[1], all.back()}};
        for (auto & g : objective.gradients)
            for (auto & v : g)
                v = -v;
        memory_checkpoint out;
        auto const result = merge::fw_merging<double>(be, f.pool, objective, out, options, {},
                                                      [&](fw_merging_step const & s, vec_view<double const *> x) {
            for (std::size_t i = 0; i != x.n; ++i) {
                auto const expected = s.t == 0 ? all[1][i] : all[1][i] + 2.0 / 3 * (all[4][i] - all[1][i]);
                REQUIRE(x.data[i] == Approx(expected).epsilon(1e-12).margin(1e-12));
            }
        });
        CHECK(result.trace[0].chosen[0] == 1);
        CHECK(result.trace[1].chosen[0] == 4);
        CHECK(result.counts == std::vector<std::size_t>{0, 1, 0, 0, 1});
    }
}

namespace {

/// One step at granularity layer on two models with tensors "u" and "v" of two elements.
struct small {
    memory_checkpoint base, a, b;
    merge::model_pool pool;
    small(std::vector<double> au, std::vector<double> bu)
        : pool((base.set<double>("u", {2}, std::vector{1.0, 1.0}), base.set<double>("v", {2}, std::vector{1.0, -1.0}),
                &base),
               {(a.set<double>("u", {2}, au), a.set<double>("v", {2}, std::vector{3.0, 1.0}), &a),
                (b.set<double>("u", {2}, bu), b.set<double>("v", {2}, std::vector{-1.0, 2.0}), &b)}) {}
    merge::fw_merging_result run(fw_variant variant, std::optional<fw_zero_norm> zero_norm, std::vector<double> g,
                                 granularity granularity, std::vector<double> * x = nullptr) {
        backend be;
        fw_merging_options options;
        options.variant = variant;
        options.zero_norm = zero_norm;
        options.granularity = granularity;
        options.init = fw_init::base;
        options.include_initial = false;
        options.scaling = 0.5;
        options.step_size = 1;
        options.max_iters = 1;
        recorded objective{{std::move(g)}};
        memory_checkpoint out;
        auto result = merge::fw_merging<double>(be, pool, objective, out, options);
        if (x != nullptr)
            *x = lathe_test::elements(out);
        return result;
    }
};
constexpr auto layer = granularity::layer;
constexpr auto task = granularity::task;

} // namespace

TEST_CASE("zero tensors and NaN, as each variant has it", "[fw_merging]") {
    std::vector<double> const g{-1, -2, 1, 0.25};
    std::vector<double> x;
    SECTION("the first candidate is zero") {
        small s({0, 0}, {2, 1});
        CHECK(s.run(fw_variant::fusion_bench, {}, g, layer, &x).trace[0].chosen[0] == 0); // NaN sticks
        CHECK(x == std::vector{0.5, 0.5, 0.0, 0.5}); // u half way to the zeros of a; v half way to b
        auto const r = s.run(fw_variant::fwm, {}, g, layer, &x);
        CHECK(!r.trace[0].chosen[0]); // ... and pulls the tensor to zero
        CHECK(std::isnan(r.trace[0].score[0]));
        CHECK(r.trace[0].chosen[1] == 1);
        CHECK(r.counts == std::vector<std::size_t>{0, 1});
        CHECK(x == std::vector{0.5, 0.5, 0.0, 0.5});
        CHECK(s.run(fw_variant::fusion_bench, fw_zero_norm::zero, g, layer).trace[0].chosen[0] == 1);
        auto const ours = s.run(fw_variant::lathe, {}, g, layer);
        CHECK(ours.trace[0].chosen[0] == 1);
        CHECK(ours.trace[0].alignment[0][0] == 0);
        CHECK(s.run(fw_variant::lathe, fw_zero_norm::nan, g, layer).trace[0].chosen[0] == 1); // NaN is never chosen
        CHECK(s.run(fw_variant::fusion_bench, {}, g, task).trace[0].chosen[0] == 1);
    }
    SECTION("a later candidate is zero") {
        small s({2, 1}, {0, 0});
        for (auto const variant : {fw_variant::fusion_bench, fw_variant::fwm, fw_variant::lathe}) {
            CHECK(s.run(variant, fw_zero_norm::nan, g, layer).trace[0].chosen[0] == 0);
            CHECK(s.run(variant, fw_zero_norm::nan, g, task).trace[0].chosen[0] == 0);
        }
    }
    SECTION("nothing is aligned below zero") {
        small s({-1, -1}, {-2, -1});
        auto const r = s.run(fw_variant::fwm, {}, g, layer, &x);
        CHECK(!r.trace[0].chosen[0]);
        CHECK(r.trace[0].score[0] > 0);
        CHECK(x[0] == 0.5);
        CHECK(s.run(fw_variant::fusion_bench, {}, g, layer).trace[0].chosen[0]);
        CHECK(s.run(fw_variant::fwm, {}, g, task).trace[0].chosen[0]); // a rule for tensors only
    }
    SECTION("the gradient of a tensor is zero") {
        small s({2, 1}, {1, 2});
        std::vector<double> const flat{0, 0, 1, 0.5};
        CHECK_THROWS_AS(s.run(fw_variant::fusion_bench, {}, flat, task), non_finite_error);
        CHECK_THROWS_WITH(s.run(fw_variant::fusion_bench, {}, flat, task), contains("gradient of tensor 'u'"));
        CHECK(s.run(fw_variant::lathe, {}, flat, task).trace[0].chosen[0] == 1);
        CHECK(s.run(fw_variant::fusion_bench, {}, flat, layer).trace[0].chosen[0] == 0);
        CHECK(!s.run(fw_variant::fwm, {}, flat, layer).trace[0].chosen[0]);
        CHECK_THROWS_WITH(s.run(fw_variant::lathe, fw_zero_norm::nan, flat, layer), contains("tensor 'u'"));
    }
    SECTION("the gradient is not a number") {
        small s({2, 1}, {1, 2});
        CHECK_THROWS_WITH(s.run(fw_variant::lathe, {}, {1, 1, not_a_number, 1}, task), contains("tensor 'v'"));
        CHECK_THROWS_WITH(s.run(fw_variant::lathe, {}, {1, 1, not_a_number, 1}, layer), contains("tensor 'v'"));
    }
}

TEST_CASE("adapters: task vectors without a base, missing factors are zero", "[fw_merging]") {
    memory_checkpoint a{"a"}, b{"b"}, c{"c"};
    a.set<float>("A", {2}, std::vector{1.f, 2.f});
    a.set<float>("B", {2}, std::vector{1.f, -1.f});
    b.set<float>("B", {2}, std::vector{2.f, 1.f});
    c.set<float>("A", {3}, std::vector{1.f, 2.f, 3.f});
    std::vector<checkpoint *> models{&a, &b};
    auto const all = merge::all_tensors(models);
    REQUIRE(all.size() == 2);
    merge::zero_filled_checkpoint filled_a(a, all), filled_b(b, all);
    merge::model_pool pool(nullptr, {&filled_b, &filled_a});
    backend be;
    fw_merging_options options;
    options.variant = fw_variant::fwm_lora;
    options.granularity = layer;
    options.scaling = 0.5;
    options.step_size = 1;
    options.include_initial = false;
    options.max_iters = 1;
    recorded objective{{{-1, -1, -1, 0}}};
    memory_checkpoint out;
    auto const result = merge::fw_merging(be, pool, objective, out, options);
    CHECK(!result.trace[0].chosen[0]); // NaN of the missing A of b comes first and sticks
    CHECK(result.trace[0].chosen[1] == 0);
    // start: half the sums, A = (0.5, 1), B = (1.5, 0); half way to zero, and to B of b
    CHECK(lathe_test::elements(out) == std::vector{0.25, 0.5, 1.75, 0.5});

    window_buffer buffer;
    CHECK(filled_b.tensors().size() == 2);
    CHECK(filled_b.read(0, 4, 4, buffer)[0] == std::byte{0});
    CHECK_THROWS_AS(filled_b.read(0, 4, 8, buffer), shape_error);
    CHECK(std::ranges::equal(filled_b.read(1, 0, 8, buffer), b.bytes(0)));
    models.push_back(&c);
    CHECK_THROWS_AS(merge::all_tensors(models), mismatch_error);
    CHECK_THROWS_WITH(merge::zero_filled_checkpoint(a, {all[0]}), contains("'B'"));
    CHECK_THROWS_WITH(merge::zero_filled_checkpoint(c, all), contains("shape [3]"));
    merge::model_pool with_base(&filled_a, {&filled_b});
    CHECK_THROWS_WITH(merge::fw_merging(be, with_base, objective, out, options), contains("base"));
}

TEST_CASE("what FW-Merging refuses, and how it stops", "[fw_merging]") {
    fixture f;
    backend be;
    quadratic objective(f.layout.size());
    memory_checkpoint out;
    fw_merging_options options;
    merge::model_pool without_base(nullptr, f.models.pointers);
    CHECK_THROWS_WITH(merge::fw_merging(be, without_base, objective, out), contains("base"));
    options.scaling = not_a_number;
    CHECK_THROWS_WITH(merge::fw_merging(be, f.pool, objective, out, options), contains("scaling"));
    options = {};
    options.step_size = not_a_number;
    CHECK_THROWS_WITH(merge::fw_merging(be, f.pool, objective, out, options), contains("step_size"));
    struct failing {
        double value_and_gradient(backend &, vec_view<float const *>, vec_view<float *>) {
            throw io_error{"the script died"};
        }
    } dead;
    CHECK_THROWS_WITH(merge::fw_merging(be, f.pool, dead, out), "the script died");
    struct after {
        std::size_t const * calls;
        bool stop_requested() const { return *calls >= 2; }
    };
    std::size_t told = 0;
    auto const observe = [&](progress const & p) {
        CHECK(p.step == ++told);
        CHECK(p.total == 10);
    };
    auto const result = merge::fw_merging(be, f.pool, objective, out, {}, control{observe, after{&objective.calls}});
    CHECK(result.status == status::stopped);
    CHECK(result.trace.size() == 2);
    CHECK(out.tensors().empty());

    options = {};
    options.max_iters = 0; // the start, in the file's types
    auto const start = f.candidates(options).back();
    merge::fw_merging<double>(be, f.pool, objective, out, options);
    auto const merged = lathe_test::elements(out);
    for (std::size_t i = 0; i != merged.size(); ++i)
        REQUIRE(merged[i] == Approx(start[i]).margin(1e-7));
}

TEST_CASE("with TIES the start is the merge of that name, and stays a candidate", "[fw_merging]") {
    fixture f(merge::pool_options{.window = 4096});
    backend be;
    for (auto const variant : {fw_variant::lathe, fw_variant::fusion_bench, fw_variant::fwm}) {
        fw_merging_options options;
        options.variant = variant;
        options.merge_fn = merge::fw_merge_fn::ties;
        options.scaling = 0.7;
        options.max_iters = 0;
        merge::ties_options ties;
        ties.scaling = 0.7;
        ties.variant = merge::ties_variant::fusion_bench;
        if (variant == fw_variant::fwm) {
            ties.variant = merge::ties_variant::fwm;
            ties.mask_rate = options.ties.mask_rate = 0.6;
        } else if (variant == fw_variant::fusion_bench) // the sum, unless the mean is asked for
            ties.merge_func = merge::ties_merge_func::sum;
        quadratic none(f.layout.size());
        memory_checkpoint start, expected;
        merge::fw_merging<double>(be, f.pool, none, start, options);
        merge::ties<double>(be, f.pool, expected, ties);
        CHECK(lathe_test::bytes_of(start) == lathe_test::bytes_of(expected));

        // Away from the start, and back.
        auto const model = lathe_test::elements(*f.models.all[2]), there = lathe_test::elements(expected);
        recorded objective{{model, there}};
        for (auto & g : objective.gradients)
            for (auto & v : g)
                v = -v;
        options.max_iters = 2;
        options.step_size = 1;
        auto const result = merge::fw_merging<double>(be, f.pool, objective, start, options);
        CHECK(result.trace[0].chosen[0] == 2);
        CHECK(result.trace[1].chosen[0] == 4);
        CHECK(*result.trace[1].threshold
              == Approx(0.7 * *result.trace[0].threshold)); // what has moved is all that differs
    }
    fw_merging_options options;
    options.merge_fn = merge::fw_merge_fn::ties;
    quadratic none(f.layout.size());
    memory_checkpoint out;
    options.ties.mask_rate = options.ties.threshold = 0.5;
    CHECK_THROWS_WITH(merge::fw_merging(be, f.pool, none, out, options), contains("one of them"));
    options.ties = {};
    options.ties.threshold = 100;
    CHECK_THROWS_WITH(merge::fw_merging(be, f.pool, none, out, options), contains("threshold"));
    options.variant = fw_variant::fwm;
    options.ties.threshold = 20;
    CHECK_THROWS_WITH(merge::fw_merging(be, f.pool, none, out, options), contains("threshold"));
    options.variant = fw_variant::fwm_lora;
    options.ties = {};
    CHECK_THROWS_WITH(merge::fw_merging(be, merge::model_pool(nullptr, f.models.pointers), none, out, options),
                      contains("merge_fn"));
    CHECK(none.calls == 0);
}

// ---- soft -----------------------------------------------------------------------------------------------------------

namespace {

/// As many quadratics as there are tasks; counts who was asked.
struct several {
    std::vector<quadratic> tasks;
    std::vector<std::size_t> asked;
    several(std::size_t count, std::size_t n) {
        for (std::uint32_t k = 0; k != count; ++k)
            tasks.emplace_back(n, 50 + k);
    }
    [[nodiscard]] std::size_t size() const { return tasks.size(); }
    template <class T> double value_and_gradient(backend & be, std::size_t k, vec_view<T const *> x, vec_view<T *> g) {
        asked.push_back(k);
        return tasks[k].value_and_gradient(be, x, g);
    }
};

} // namespace

TEMPLATE_TEST_CASE("soft FW-Merging: every task its own candidate, all steps added", "[fw_merging]", float, double) {
    fixture f;
    backend be;
    for (auto const granularity : {task, layer})
        for (std::size_t const count : {std::size_t{2}, std::size_t{6}}) {
            merge::fw_merging_soft_options options;
            options.granularity = granularity;
            options.step_size = 0.5;
            options.max_iters = 3;
            several tasks(count, f.layout.size());
            auto x = lathe_test::elements(*f.base);
            memory_checkpoint out;
            auto const result = merge::fw_merging_soft<TestType>(
                be, f.pool, tasks, out, options, {},
                [&](merge::fw_merging_soft_step const & s, vec_view<TestType const *> state) {
                auto const n_of = [&](std::size_t n) { return granularity == layer ? n : 0; };
                REQUIRE(s.chosen.size() == std::min<std::size_t>(count, 4));
                CHECK(s.gamma == Approx(s.t == 0 ? 0.3 : 0.3 * 0.5 * 2 / (static_cast<double>(s.t) + 2)));
                auto const old = x;
                for (std::size_t n = 0; n != f.layout.tensors().size(); ++n) {
                    std::vector<std::size_t> taken;
                    for (std::size_t k = 0; k != s.chosen.size(); ++k) {
                        auto const c = s.chosen[k][n_of(n)];
                        CHECK(std::ranges::find(taken, c) == taken.end());
                        taken.push_back(c);
                        auto const m = lathe_test::elements(*f.models.all[c]);
                        for (auto i = f.layout.offset(n); i != f.layout.offset(n + 1); ++i)
                            x[i] += s.gamma * (m[i] - old[i]);
                    }
                }
                double worst = 0;
                for (std::size_t i = 0; i != x.size(); ++i)
                    worst = std::max(worst, std::fabs(x[i] - static_cast<double>(state.data[i])));
                CHECK(worst < 2e-6);
            });
            CHECK(result.trace.size() == 3);
            CHECK(tasks.asked.size() == 3 * std::min<std::size_t>(count, 4)); // no one is asked when all are taken
            CHECK(std::ranges::equal(std::span{tasks.asked}.first(2), std::vector<std::size_t>{0, 1}));
            // Each took the least aligned of those that were left.
            for (auto const & s : result.trace)
                for (std::size_t k = 1; k < s.chosen.size(); ++k)
                    CHECK(s.score[k].size() == s.chosen[k].size());
        }
}

TEST_CASE("the candidate a task takes", "[fw_merging]") {
    merge::fw_soft_choice by_tensor(layer, 2, 3);
    std::vector<std::vector<double>> const a{{0.5, 0.1, 0.1}, {not_a_number, -1, -2}};
    auto const first = by_tensor.next(a);
    CHECK(first.chosen == std::vector<std::size_t>{1, 0}); // the first of a tie; NaN on the first candidate sticks
    CHECK(first.score[0] == 0.1);
    CHECK(by_tensor.next(a).chosen == std::vector<std::size_t>{2, 2});
    CHECK(by_tensor.next(a).chosen == std::vector<std::size_t>{0, 1});
    merge::fw_soft_choice whole(task, 2, 3);
    CHECK(whole.next(a).chosen == std::vector<std::size_t>{2});
    CHECK(whole.next(a).chosen == std::vector<std::size_t>{1});
    CHECK_THROWS_AS(whole.next(a), non_finite_error);
}

TEST_CASE("soft FW-Merging with learned coefficients", "[fw_merging]") {
    fixture f;
    backend be;
    merge::fw_merging_soft_options options;
    options.merge_fn = merge::fw_soft_merge_fn::adamerging;
    options.max_iters = 2;
    options.ada_iters = 4;
    several tasks(2, f.layout.size());
    memory_checkpoint out;
    CHECK_THROWS_WITH(merge::fw_merging_soft<double>(be, f.pool, tasks, out, options), contains("merge_fn"));
    quadratic loss(f.layout.size());
    auto const result = merge::fw_merging_soft<double>(be, f.pool, tasks, loss, out, options);
    CHECK(loss.calls == 8);
    REQUIRE(result.trace.size() == 2);
    auto const & first = result.trace[0];
    CHECK(first.losses.size() == 4);
    CHECK(first.losses.back() < first.losses.front());
    REQUIRE(first.coefficients.size() == 2);
    REQUIRE(first.coefficients[0].size() == f.layout.tensors().size());
    CHECK(first.coefficients[0][0] == Approx(0.3).margin(4.1e-3)); // Adam moves by at most lr or so
    CHECK(result.trace[1].coefficients[0][0] == Approx(0).margin(4.1e-3));

    options.ada_iters = 0; // then the first step is that of task arithmetic
    options.max_iters = 1;
    memory_checkpoint plain;
    merge::fw_merging_soft<double>(be, f.pool, tasks, loss, out, options);
    options.merge_fn = merge::fw_soft_merge_fn::task_arithmetic;
    merge::fw_merging_soft<double>(be, f.pool, tasks, plain, options);
    CHECK(lathe_test::bytes_of(out) == lathe_test::bytes_of(plain));
    CHECK_THROWS_WITH(
        merge::fw_merging_soft<double>(be, merge::model_pool(nullptr, f.models.pointers), tasks, plain, options),
        contains("base"));
}
