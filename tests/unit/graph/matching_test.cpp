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
