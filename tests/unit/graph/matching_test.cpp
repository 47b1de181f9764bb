// Matchings: against all matchings of small graphs, and against the recorded choices of networkx.
#include "graphs.hpp"
#include <catch.hpp>

#include <lathe/graph/matching.hpp>

#include <set>

using namespace lathe;
using namespace lathe_test;
using graph::bipartite_graph;
using graph::matching_solver;
using graph::tie_rule;
using graph::weighted_edge;

namespace {

struct optima {
    std::int64_t weight = 0;
    std::set<std::vector<vertex>> matchings{}; // of that weight
};
void try_all(bipartite_graph const & g, std::vector<vertex> & chosen, std::set<vertex> & used, std::int64_t weight,
             optima & best) {
    auto const i = chosen.size();
    if (i == g.left()) {
        if (weight > best.weight) {
            best.weight = weight;
            best.matchings.clear();
        }
        if (weight == best.weight)
            best.matchings.insert(chosen);
        return;
    }
    chosen.push_back(none);
    try_all(g, chosen, used, weight, best);
    for (auto e = g.first(i); e != g.first(i + 1); ++e)
        if (used.insert(g.right_end(e)).second) {
            chosen.back() = g.right_end(e);
            try_all(g, chosen, used, weight + g.weight(e), best);
            used.erase(g.right_end(e));
        }
    chosen.pop_back();
}
optima all_optima(bipartite_graph const & g) {
    optima best;
    std::vector<vertex> chosen;
    std::set<vertex> used;
    try_all(g, chosen, used, 0, best);
    return best;
}

bipartite_graph random_graph(dice & random, std::size_t left, std::size_t right, double density,
                             std::uint32_t weights) {
    std::vector<weighted_edge> edges;
    for (vertex i = 0; i != left; ++i)
        for (vertex j = 0; j != right; ++j)
            if (random.chance(density))
                edges.push_back({i, j, 1 + random.below(weights)});
    return {left, right, edges};
}

void check_consistent(graph::matching const & m, bipartite_graph const & g) {
    std::size_t size = 0;
    std::int64_t weight = 0;
    REQUIRE(m.right_of.size() == g.left());
    REQUIRE(m.left_of.size() == g.right());
    for (std::size_t i = 0; i != g.left(); ++i)
        if (m.right_of[i] != none) {
            ++size;
            REQUIRE(m.left_of[m.right_of[i]] == i);
            for (auto e = g.first(i); e != g.first(i + 1); ++e)
                weight += g.right_end(e) == m.right_of[i] ? g.weight(e) : 0;
        }
    CHECK(m.size == size);
    CHECK(m.weight == weight);
    CHECK(g.right() - static_cast<std::size_t>(std::count(m.left_of.begin(), m.left_of.end(), none)) == size);
}

} // namespace

TEST_CASE("the matching is an optimum, and that of its rule", "[matching]") {
    matching_solver solver; // one for all: nothing of a graph may stay behind
    dice random(1);
    std::size_t tied = 0;
    for (int round = 0; round != 3000; ++round) {
        auto const g = random_graph(random, random.below(6), random.below(6), 0.2 + 0.2 * random.below(5),
                                    std::array{1u, 2u, 4u, 1000u}[random.below(4)]);
        auto const best = all_optima(g);
        tied += best.matchings.size() > 1 ? 1u : 0u;
        for (auto const rule : {tie_rule::any, tie_rule::networkx, tie_rule::lexicographic}) {
            auto const & m = solver.solve(g, rule);
            check_consistent(m, g);
            CHECK(m.weight == best.weight);
            CHECK(best.matchings.count(m.right_of) == 1);
            CHECK(m.unique == (best.matchings.size() == 1));
            if (rule == tie_rule::lexicographic)
                CHECK(m.right_of == *best.matchings.begin());
        }
    }
    CHECK(tied > 700);
}

TEST_CASE("two methods agree on graphs that are too large to enumerate", "[matching]") {
    matching_solver solver;
    dice random(9);
    for (int round = 0; round != 60; ++round) {
        auto const left = 20 + random.below(60), right = 20 + random.below(60);
        auto const density = std::array{0.03, 0.1, 0.4, 0.7, 1.0}[random.below(5)];
        // Few weights make many ties, which send `networkx` through the primal-dual method.
        auto const g = random_graph(random, left, right, density, std::array{3u, 20u, 1u << 30}[random.below(3)]);
        auto const any = solver.solve(g, tie_rule::any), lexicographic = solver.solve(g, tie_rule::lexicographic);
        auto const & by_stages = solver.solve(g, tie_rule::networkx);
        check_consistent(by_stages, g);
        check_consistent(any, g);
        check_consistent(lexicographic, g);
        CHECK(any.weight == by_stages.weight);
        CHECK(lexicographic.weight == by_stages.weight);
        CHECK(lexicographic.right_of <= by_stages.right_of);
        CHECK(lexicographic.right_of <= any.right_of);
        if (any.unique)
            CHECK(by_stages.right_of == any.right_of);
    }
}

TEST_CASE("graphs of thousands of vertices", "[matching]") {
    constexpr vertex n = 3000;
    std::vector<weighted_edge> path; // left i meets right i and i + 1; all weights alike
    for (vertex i = 0; i != n; ++i) {
        path.push_back({i, i, 5});
        if (i + 1 != n)
            path.push_back({i, i + 1, 5});
    }
    auto const m = maximum_weight_matching({n, n, path}, tie_rule::lexicographic);
    CHECK(m.weight == 5 * n);
    CHECK(m.unique);
    CHECK(m.right_of.back() == n - 1);
    path.back().weight = 4; // right 0 is gone, the last left vertex is better left out: the others shift by one
    path.erase(path.begin());
    auto const shifted = maximum_weight_matching({n, n, path}, tie_rule::networkx);
    CHECK(shifted.weight == 5 * (n - 1));
    CHECK(shifted.right_of.back() == none);
    CHECK(shifted.unique);
    CHECK(shifted.right_of.front() == 1);
    std::vector<float> const alike(std::size_t{600} * 500, 1.0f);
    for (auto const rule : {tie_rule::any, tie_rule::lexicographic, tie_rule::networkx}) {
        auto const all = maximum_weight_matching({600, 500, alike}, rule);
        CHECK(all.size == 500);
        CHECK_FALSE(all.unique);
        if (rule == tie_rule::lexicographic)
            for (vertex i = 0; i != 600; ++i)
                CHECK(all.right_of[i] == (i < 500 ? i : none));
    }
}

TEST_CASE("which similarities are edges, and their weights", "[matching]") {
    graph::similarity_threshold const standard;
    auto const at = [](double x) { return static_cast<float>(x); };
    constexpr auto infinity = std::numeric_limits<float>::infinity();
    CHECK(standard.passes(0.6f)); // 0.60000002384...
    CHECK_FALSE(standard.passes(std::nextafter(0.6f, 0.0f)));
    CHECK_FALSE(standard.passes(std::numeric_limits<float>::quiet_NaN()));
    CHECK_FALSE(standard.passes(-infinity));
    CHECK(standard.weight(0.6f) == 10066330);
    CHECK(standard.weight(1.0f) == 1 << 24);
    CHECK(standard.weight(std::nextafter(1.0f, 2.0f)) == (1 << 24) + 2);
    CHECK(standard.weight(0.5f) == 0);
    CHECK_THROWS_AS(standard.weight(infinity), non_finite_error);
    CHECK_THROWS_AS(standard.weight(1e30f), non_finite_error);
    // Whole without rounding for every float above the threshold, whatever it is.
    for (double const above : {0x1p-20, 0.001, 0.3, 0.499, 0.5, 0.999, 1.0, 5.0}) {
        graph::similarity_threshold const t(above);
        CHECK_FALSE(t.passes(at(above) > above ? std::nextafter(at(above), 0.0f) : at(above)));
        for (auto s = std::nextafter(at(above), infinity); s < 3 * at(above); s = std::nextafter(s * 1.01f, infinity))
            CHECK(static_cast<double>(t.weight(s)) / t.scale() == static_cast<double>(s));
    }
    for (double const bad : {0.0, -1.0, 1e9, std::numeric_limits<double>::quiet_NaN()})
        CHECK_THROWS_AS(graph::similarity_threshold(bad), option_error);
}

TEST_CASE("edges in any order, and those that are none", "[matching]") {
    std::vector<weighted_edge> const edges{{1, 0, 3}, {0, 1, 4}, {1, 0, 7}, {0, 0, 0}, {1, 1, -2}, {0, 1, 2}};
    bipartite_graph const g(2, 2, edges);
    REQUIRE(g.edges() == 2);
    auto const m = maximum_weight_matching(g, tie_rule::networkx);
    CHECK(m.right_of == std::vector<vertex>{1, 0});
    CHECK(m.weight == 11);
    CHECK_THROWS_AS(bipartite_graph(2, 2, std::vector<weighted_edge>{{2, 0, 1}}), shape_error);
    CHECK_THROWS_AS(bipartite_graph(2, 2, std::vector<weighted_edge>{{0, 2, 1}}), shape_error);
    CHECK_THROWS_AS(bipartite_graph(2, 2, std::vector<float>(3)), shape_error);
    CHECK_THROWS_AS(bipartite_graph(2, 0, std::vector<float>(3)), shape_error);
    CHECK(maximum_weight_matching(bipartite_graph(2, 0, std::vector<float>{}), tie_rule::any).size == 0);
    std::vector<weighted_edge> const heavy{{0, 0, std::int64_t{1} << 59}};
    CHECK_THROWS_AS(maximum_weight_matching({1, 1, heavy}, tie_rule::any), option_error);
    // Weight counts, not the number of pairs: two light pairs weigh more than a heavy one, three less than two heavy
    // ones.
    CHECK(maximum_weight_matching({2, 2, std::vector<float>{0.61f, 1, 0, 0.61f}}, tie_rule::any).size == 2);
    CHECK(maximum_weight_matching({3, 3, std::vector<float>{0.61f, 1, 0, 0, 0.61f, 1, 0, 0, 0.61f}}, tie_rule::any).size
          == 2);
}

TEST_CASE("the recorded matchings", "[matching]") {
    auto const cases = nlohmann::json::parse(std::ifstream(worfeval_data + "matching.json"));
    auto const file = io::open_checkpoint(worfeval_data + "matching_similarities.safetensors");
    matching_solver solver;
    REQUIRE(cases.size() == 60);
    for (auto const & c : cases) {
        auto const id = c.at("id").get<std::string>();
        INFO(id);
        bipartite_graph const g(c.at("n").get<std::size_t>(), c.at("m").get<std::size_t>(), tensor_of(*file, id));
        auto const & by_networkx = solver.solve(g, tie_rule::networkx);
        check_consistent(by_networkx, g);
        CHECK(by_networkx.right_of == mapping_of(c.at("reference_mapping")));
        CHECK(by_networkx.weight == c.at("weight_q24").get<std::int64_t>());
        auto const & strict = solver.solve(g, tie_rule::lexicographic);
        check_consistent(strict, g);
        CHECK(strict.right_of == mapping_of(c.at("strict_mapping")));
        CHECK(strict.weight == c.at("weight_q24").get<std::int64_t>());
    }
}
