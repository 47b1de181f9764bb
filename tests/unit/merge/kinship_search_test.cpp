// Top-k greedy merging with kinship: against the algorithm written out on whole vectors; options, stores, errors.
#include "polytope.hpp"
#include <catch.hpp>

#include <lathe/merge/kinship_search.hpp>

#include "../linalg/matrices.hpp"

using namespace lathe;
using lathe_test::contains;
using lathe_test::elements;
using merge::kinship_explore;
using merge::kinship_role;
using backend = lathe_test::plain_backend<>;

namespace {

/// A pool of n models and a hidden target; the evaluation is minus the squared distance to it.
struct fixture {
    std::unique_ptr<memory_checkpoint> base = lathe_test::model(3, 90);
    lathe_test::models models;
    std::vector<double> target;
    merge::model_pool pool;
    std::size_t evaluations = 0;

    explicit fixture(std::size_t n, merge::pool_options const & options = {})
        : models(3, n), target(elements(*lathe_test::model(3, 77))), pool(base.get(), models.pointers, options) {}

    [[nodiscard]] double performance(std::vector<double> const & x) const {
        double sum = 0;
        for (std::size_t i = 0; i != x.size(); ++i)
            sum -= (x[i] - target[i]) * (x[i] - target[i]);
        return sum;
    }
    double operator()(checkpoint & c) {
        ++evaluations;
        memory_checkpoint copy;
        window_buffer buffer;
        for (std::size_t i = 0; i != c.tensors().size(); ++i)
            copy.set(c.tensors()[i], c.read(i, 0, c.tensors()[i].bytes(), buffer));
        return performance(elements(copy));
    }
};

struct simulated {
    std::vector<double> x;
    double perf;
    std::string name;
    std::size_t generation;
};

/// The algorithm on vectors, as the paper prints it, with our rules for what it leaves open.
struct simulation {
    fixture const & f;
    merge::kinship_search_options const & o;
    std::vector<double> base = elements(*f.base);
    std::vector<simulated> all{};
    std::vector<std::pair<std::size_t, std::size_t>> done{};
    std::vector<std::string> history{};
    std::vector<double> kinships{}, gains{};
    std::vector<std::vector<std::string>> tops{};

    [[nodiscard]] double pcc(std::size_t a, std::size_t b) const {
        double mx = 0, my = 0, xy = 0, xx = 0, yy = 0;
        auto const n = static_cast<double>(base.size());
        for (std::size_t i = 0; i != base.size(); ++i) {
            mx += (all[a].x[i] - base[i]) / n;
            my += (all[b].x[i] - base[i]) / n;
        }
        for (std::size_t i = 0; i != base.size(); ++i) {
            auto const u = all[a].x[i] - base[i] - mx, v = all[b].x[i] - base[i] - my;
            xy += u * v;
            xx += u * u;
            yy += v * v;
        }
        return xy / std::sqrt(xx * yy);
    }
    [[nodiscard]] bool was_done(std::size_t a, std::size_t b) const {
        return std::ranges::count(done, std::pair{std::min(a, b), std::max(a, b)}) != 0;
    }
    void make(std::size_t a, std::size_t b, std::size_t generation, std::size_t number) {
        done.emplace_back(std::min(a, b), std::max(a, b));
        simulated m{{}, 0, "model-" + std::to_string(generation) + "-" + std::to_string(number), generation};
        auto const sum = o.merge_weights[0] + o.merge_weights[1];
        for (std::size_t i = 0; i != base.size(); ++i)
            m.x.push_back((o.merge_weights[0] * all[a].x[i] + o.merge_weights[1] * all[b].x[i]) / sum);
        m.perf = f.performance(m.x);
        history.push_back(m.name + " = " + all[a].name + " + " + all[b].name);
        kinships.push_back(pcc(a, b));
        gains.push_back(m.perf - (all[a].perf + all[b].perf) / 2);
        all.push_back(std::move(m));
    }
    std::vector<std::size_t> top() {
        std::vector<std::size_t> order(all.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair{-all[i].perf, i}; });
        order.resize(std::min(o.k, order.size()));
        tops.emplace_back();
        for (auto const i : order)
            tops.back().push_back(all[i].name);
        return order;
    }
    void run() {
        for (std::size_t k = 0; k != f.models.all.size(); ++k) {
            auto x = elements(*f.models.all[k]);
            auto const perf = f.performance(x);
            all.push_back({std::move(x), perf, "m" + std::to_string(k), 0});
        }
        std::size_t number = 0;
        for (std::size_t a = 0; a != f.models.all.size(); ++a)
            for (std::size_t b = a + 1; b != f.models.all.size(); ++b)
                make(a, b, 1, ++number);
        auto best = top();
        for (std::size_t g = 2; g <= o.max_gen; ++g) {
            number = 0;
            for (std::size_t i = 0; i != best.size(); ++i)
                for (std::size_t j = i + 1; j != best.size(); ++j)
                    if (!was_done(best[i], best[j]))
                        make(best[i], best[j], g, ++number);
            if (o.explore != kinship_explore::none) {
                std::optional<std::size_t> chosen;
                for (std::size_t i = 0; i != all.size() && all[i].generation < g; ++i)
                    if (i != best[0] && !was_done(best[0], i)) {
                        auto const sign = o.explore == kinship_explore::lowest ? 1 : -1;
                        if (!chosen || sign * pcc(best[0], i) < sign * pcc(best[0], *chosen))
                            chosen = i;
                    }
                if (chosen)
                    make(best[0], *chosen, g, ++number);
            }
            if (number == 0)
                return;
            auto now = top();
            if (now == best)
                return;
            best = now;
        }
    }
};

merge::kinship_search_options named(std::size_t n, merge::kinship_search_options o = {}) {
    for (std::size_t k = 0; k != n; ++k)
        o.names.push_back("m" + std::to_string(k));
    return o;
}

} // namespace

TEST_CASE("the search is the printed algorithm", "[kinship_search]") {
    auto const explore = GENERATE(kinship_explore::lowest, kinship_explore::highest, kinship_explore::none);
    auto const [n, k, generations] =
        GENERATE(table<std::size_t, std::size_t, std::size_t>({{4, 3, 4}, {5, 2, 5}, {3, 1, 6}, {2, 9, 3}, {1, 3, 3}}));
    fixture f(n);
    auto const options = named(n, {.k = k, .explore = explore, .merge_weights = {1.3, 0.7}, .max_gen = generations});
    simulation expected{f, options};
    expected.run();
    backend be;
    memory_checkpoint out;
    auto const found = merge::kinship_search<double>(be, f.pool, f, out, options);

    std::vector<std::string> history;
    for (auto const & s : found.history)
        history.push_back(s.name + " = " + s.parents[0] + " + " + s.parents[1]);
    REQUIRE(history == expected.history);
    for (std::size_t i = 0; i != history.size(); ++i) {
        CHECK(found.history[i].kinship == Approx(expected.kinships[i]).margin(1e-6)); // f32 models, rounded once
        CHECK(found.history[i].gain == Approx(expected.gains[i]).margin(1e-4));
        auto const generation = expected.all[n + i].generation;
        CHECK((found.history[i].role == kinship_role::initial) == (generation == 1));
    }
    REQUIRE(found.generations.size() == expected.tops.size());
    for (std::size_t g = 0; g != expected.tops.size(); ++g)
        CHECK(found.generations[g].top == expected.tops[g]);
    CHECK(found.best == expected.tops.back().front());
    CHECK(found.best_perf == Approx(f.performance(elements(out))));
    CHECK(f.evaluations == n + history.size());
    if (found.status == status::iteration_limit)
        CHECK(found.generations.size() == generations);
    auto const same = std::ranges::find(expected.all, found.best, &simulated::name);
    auto const x = elements(out);
    for (std::size_t i = 0; i < x.size(); i += 97)
        CHECK(x[i] == Approx(same->x[i]).margin(1e-6));
    CHECK(std::ranges::equal(out.bytes(out.find("d.steps").value()), f.base->bytes(f.base->find("d.steps").value())));
}

TEST_CASE("models that are stored are the same as models computed as they are read", "[kinship_search]") {
    fixture f(4);
    backend be;
    memory_checkpoint computed, stored;
    merge::memory_store store;
    bool const spherical = GENERATE(false, true);
    merge::kinship_search_options const options{.merge = spherical ? merge::kinship_merge::slerp
                                                                   : merge::kinship_merge::linear,
                                                .merge_weights = {0.6, 0.4},
                                                .t = 0.4,
                                                .max_gen = 3};
    auto const merge_two = [&](backend & b, merge::model_pool const & two, checkpoint_sink & to) {
        CHECK(two.has_base());
        if (spherical)
            merge::slerp<double>(b, two, to, {.t = 0.4});
        else
            merge::linear<double>(b, two, to, {.weights = {0.6, 0.4}});
    };
    auto const a = merge::kinship_search<double>(be, f.pool, f, computed, options);
    auto const b = merge::kinship_search<double>(be, f.pool, merge_two, store, f, stored, options);
    REQUIRE(a.history.size() == b.history.size());
    for (std::size_t i = 0; i != a.history.size(); ++i) {
        CHECK(a.history[i].parents == b.history[i].parents);
        CHECK(a.history[i].perf
              == Approx(b.history[i].perf).epsilon(1e-5)); // stored ones are rounded in every generation
    }
    CHECK(a.best == b.best);
    CHECK(lathe_test::bytes_of(stored).size() == lathe_test::bytes_of(computed).size());
    if (b.best.starts_with("model-1"))
        CHECK(lathe_test::bytes_of(stored) == lathe_test::bytes_of(computed));
}

TEST_CASE("the best given model is written as it is", "[kinship_search]") {
    fixture f(3);
    backend be;
    memory_checkpoint out;
    std::size_t calls = 0;
    auto const first_is_best = [&](checkpoint & c) { return c.label() == "b" ? 10.0 : -static_cast<double>(++calls); };
    auto const result =
        merge::kinship_search<float>(be, f.pool, first_is_best, out, {.k = 2, .names = {"a", "b", "c"}});
    CHECK(result.best == "b");
    CHECK(result.given == std::vector<double>{-1, 10, -2});
    CHECK(result.generations.front().top == std::vector<std::string>{"b", "a"});
    CHECK(elements(out) == elements(*f.models.all[1]));
}

TEST_CASE("NaN is the worst performance, and chooses nobody", "[kinship_search]") {
    fixture f(3);
    for (std::size_t i = 0; i != f.base->tensors().size(); ++i) // a model without a task vector has no kinship
        std::ranges::copy(f.base->bytes(i), f.models.all[2]->bytes(i).begin());
    backend be;
    memory_checkpoint out;
    std::size_t calls = 0;
    auto const odd = [&](checkpoint &) {
        return ++calls <= 2 ? static_cast<double>(calls) : std::numeric_limits<double>::quiet_NaN();
    };
    auto const result = merge::kinship_search<double>(be, f.pool, odd, out, {.k = 2, .names = {"a", "b", "c"}});
    CHECK(result.best == "b");
    CHECK(result.generations.front().top == std::vector<std::string>{"b", "a"});
    CHECK(std::isnan(result.history[1].kinship)); // a + c
    CHECK(std::isnan(result.history[1].gain));
    // The pairs of b and a are made; of the others only those of which b has a kinship can be explored.
    for (auto const & s : result.history)
        if (s.role == kinship_role::explore) {
            CHECK(s.parents[0] == "b");
            CHECK(s.parents[1] != "c");
        }
}

TEST_CASE("the search ends when the best models are as alike as asked for, or when told", "[kinship_search]") {
    fixture f(4);
    backend be;
    memory_checkpoint out;
    auto const result = merge::kinship_search<double>(be, f.pool, f, out, {.max_gen = 20, .stop_kinship = 0.9});
    auto const unlimited = merge::kinship_search<double>(be, f.pool, f, out, {.max_gen = 20});
    CHECK(result.status == status::converged);
    CHECK(result.generations.size() < unlimited.generations.size());
    std::size_t generations = 0;
    struct stop_after {
        std::size_t const * calls;
        [[nodiscard]] bool stop_requested() const { return *calls >= 6; }
    };
    f.evaluations = 0;
    memory_checkpoint nothing;
    auto const observe = [&](progress const & p) {
        ++generations;
        CHECK(p.step == generations);
    };
    auto const stopped = merge::kinship_search<double>(
        be, f.pool, f, nothing, {}, control<decltype(observe), stop_after>{observe, {&f.evaluations}});
    CHECK(stopped.status == status::stopped);
    CHECK(stopped.history.size() == 2);
    CHECK(!stopped.best.empty());
    CHECK(nothing.tensors().empty());
}

TEST_CASE("a mixture is read in any pieces", "[mixture]") {
    fixture f(3);
    auto const rows = f.pool.rows().size();
    std::vector<double> weights;
    for (std::size_t r = 0; r != rows; ++r)
        weights.insert(weights.end(), {0.5, 0.0, -0.25});
    merge::mixture_checkpoint<double> mixture(f.pool, "mixture", weights);
    window_buffer a, b;
    auto const i = mixture.find("c.long").value();
    auto const whole = mixture.read(i, 0, mixture.tensors()[i].bytes(), a);
    auto const piece = mixture.read(i, 1003, 77, b); // not even whole elements
    CHECK(std::ranges::equal(piece, whole.subspan(1003, 77)));
    std::vector<float> x(3), m0(3), m2(3);
    std::memcpy(x.data(), whole.data(), 12);
    std::memcpy(m0.data(), f.models.all[0]->bytes(i).data(), 12);
    std::memcpy(m2.data(), f.models.all[2]->bytes(i).data(), 12);
    for (std::size_t k = 0; k != 3; ++k)
        CHECK(x[k] == static_cast<float>(0.5 * static_cast<double>(m0[k]) - 0.25 * static_cast<double>(m2[k])));
    CHECK_THROWS_AS(mixture.read(i, 0, mixture.tensors()[i].bytes() + 1, a), shape_error);
    CHECK_THROWS_AS(merge::mixture_checkpoint<double>(f.pool, "short", {1, 2}), shape_error);
    merge::mixture_checkpoint<double> zero(f.pool, "zero", std::vector<double>(3 * rows, 0.0));
    CHECK(std::ranges::all_of(zero.read(i, 8, 64, a), [](std::byte v) { return v == std::byte{0}; }));
}

TEST_CASE("tensors that some model lacks take no part in kinship", "[kinship_search]") {
    fixture f(3);
    memory_checkpoint without("without");
    for (std::size_t i = 0; i != f.base->tensors().size(); ++i)
        if (f.base->tensors()[i].name != "f.scale")
            without.set(f.models.all[0]->tensors()[i], f.models.all[0]->bytes(i));
    std::vector<checkpoint *> const models{&without, f.models.pointers[1], f.models.pointers[2]};
    backend be;
    auto const policy = GENERATE(merge::mismatch_policy::keep_base, merge::mismatch_policy::intersect);
    merge::model_pool const pool(f.base.get(), models, {.policy = policy});
    memory_checkpoint out;
    auto const evaluate = [](checkpoint & c) { return static_cast<double>(c.label().size()); };
    auto const result =
        merge::kinship_search<double>(be, pool, evaluate, out, {.mode = merge::kinship_mode::split, .max_gen = 2});
    auto const given = merge::kinship<double>(be, pool);
    CHECK(result.history[0].kinship == given.split.at(0, 1).pcc);
    CHECK(out.find("f.scale").has_value() == (policy == merge::mismatch_policy::keep_base));
}

TEST_CASE("options of the search are checked", "[kinship_search]") {
    fixture f(2);
    backend be;
    memory_checkpoint out;
    auto const call = [&](merge::kinship_search_options const & o) {
        merge::kinship_search<float>(be, f.pool, f, out, o);
    };
    CHECK_THROWS_WITH(call({.k = 0}), contains("k:"));
    CHECK_THROWS_WITH(call({.max_gen = 0}), contains("max_gen"));
    CHECK_THROWS_WITH(call({.merge_weights = {1, 2, 3}}), contains("merge_weights"));
    CHECK_THROWS_WITH(call({.merge_weights = {1, -1}}), contains("merge_weights"));
    CHECK_THROWS_WITH(call({.names = {"a"}}), contains("names"));
    CHECK_THROWS_AS(merge::kinship_search<float>(be, merge::model_pool(nullptr, f.models.pointers), f, out),
                    option_error);
}
