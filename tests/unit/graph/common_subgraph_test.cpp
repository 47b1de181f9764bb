// Common subgraphs under a matching, against all sets of items; and the recorded workflow graphs as a whole.
#include "graphs.hpp"
#include <catch.hpp>

#include <lathe/graph/best_chain.hpp>
#include <lathe/graph/common_subgraph.hpp>
#include <lathe/graph/increasing_subsequence.hpp>
#include <lathe/graph/matching.hpp>

#include <bit>
#include <set>

using namespace lathe;
using namespace lathe_test;
using graph::matched_graphs;

namespace {

bool has(std::vector<arc> const & arcs, vertex a, vertex b) {
    return std::find(arcs.begin(), arcs.end(), arc{a, b}) != arcs.end();
}

// By the definitions, from the arcs.
struct by_definition {
    std::vector<unsigned> conflicts, common; // of items, as bits

    by_definition(matched_graphs const & g, std::vector<arc> const & first, std::vector<arc> const & second)
        : conflicts(g.items(), 0), common(g.items(), 0) {
        for (std::size_t a = 0; a != g.items(); ++a)
            for (std::size_t b = 0; b != g.items(); ++b)
                if (a != b) {
                    bool const in_first = has(first, g.first(a), g.first(b));
                    bool const in_second = has(second, g.second(a), g.second(b));
                    auto & of = in_first != in_second ? conflicts : common;
                    if (in_first || in_second) {
                        of[a] |= 1u << b;
                        of[b] |= 1u << a;
                    }
                }
    }
    [[nodiscard]] bool induced(unsigned set) const {
        for (std::size_t a = 0; a != conflicts.size(); ++a)
            if ((set >> a & 1) != 0 && (conflicts[a] & set) != 0)
                return false;
        return true;
    }
    [[nodiscard]] bool connected(unsigned set) const {
        auto reached = set & ~(set - 1);
        for (unsigned before = 0; before != reached;) {
            before = reached;
            for (std::size_t a = 0; a != common.size(); ++a)
                if ((reached >> a & 1) != 0)
                    reached |= common[a] & set;
        }
        return reached == set;
    }
};
unsigned as_bits(std::vector<vertex> const & items) {
    unsigned set = 0;
    for (auto const i : items)
        set |= 1u << i;
    return set;
}

} // namespace

TEST_CASE("common subgraphs are the largest", "[common_subgraph]") {
    dice random(6);
    for (int round = 0; round != 400; ++round) {
        auto const n = random.below(11), m = random.below(11);
        std::vector<vertex> partner(n, none);
        std::set<vertex> used;
        for (auto & p : partner)
            if (m != 0 && random.chance(0.9))
                if (auto const j = random.below(m); used.insert(j).second)
                    p = j;
        auto const density = 0.1 * (1 + random.below(4));
        auto first = random_arcs(random, n, density), second = random_arcs(random, m, density);
        if (random.chance(0.7)) { // much in common
            second.clear();
            for (auto const & a : first)
                if (partner[a.from] != none && partner[a.to] != none && random.chance(0.8))
                    second.push_back({partner[a.from], partner[a.to]});
        }
        if (n != 0 && random.chance(0.3)) { // loops, duplicates and arcs to nowhere change nothing
            first.push_back({0, 0});
            first.push_back({0, n});
            first.push_back({none, none});
            first.insert(first.end(), first.begin(), first.begin() + 1);
        }
        matched_graphs const graphs(partner, m, first, second);
        by_definition const truth(graphs, first, second);
        for (std::size_t a = 0; a != graphs.items(); ++a) {
            auto const & c = graphs.conflicts().successors(a);
            auto const & e = graphs.common().successors(a);
            CHECK(as_bits({c.begin(), c.end()}) == truth.conflicts[a]);
            CHECK(as_bits({e.begin(), e.end()}) == truth.common[a]);
        }
        int induced = 0, connected = 0, component = 0;
        for (unsigned set = 1; set < 1u << graphs.items(); ++set) {
            bool const together = truth.connected(set);
            if (together)
                component = std::max(component, std::popcount(set));
            if (truth.induced(set)) {
                induced = std::max(induced, std::popcount(set));
                if (together)
                    connected = std::max(connected, std::popcount(set));
            }
        }
        auto const check = [&](graph::common_subgraph const & found, int size) {
            CHECK(found.optimal);
            CHECK(found.items.size() == static_cast<std::size_t>(size));
            CHECK(std::is_sorted(found.items.begin(), found.items.end()));
            CHECK(std::popcount(as_bits(found.items)) == size);
        };
        auto const mcis = maximum_common_subgraph(graphs);
        check(mcis, induced);
        CHECK(truth.induced(as_bits(mcis.items)));
        auto const mccis = maximum_common_connected_subgraph(graphs);
        check(mccis, connected);
        CHECK(truth.induced(as_bits(mccis.items)));
        CHECK(truth.connected(as_bits(mccis.items)));
        auto const lcc = largest_common_component(graphs);
        check(lcc, component);
        CHECK(truth.connected(as_bits(lcc.items)));
        // Without a step the answer is still a common subgraph, and says that it may not be the largest.
        auto const hasty = maximum_common_subgraph(graphs, {.steps = 0});
        CHECK(truth.induced(as_bits(hasty.items)));
        CHECK((hasty.items.size() == mcis.items.size() || !hasty.optimal));
        auto const hasty_connected = maximum_common_connected_subgraph(graphs, {.steps = 0});
        CHECK(truth.induced(as_bits(hasty_connected.items)));
        CHECK(truth.connected(as_bits(hasty_connected.items)));
        CHECK((hasty_connected.items.size() == mccis.items.size() || !hasty_connected.optimal));
    }
}

namespace {

// Items whose conflict graph is `arcs`: the second graph has none. Common edges: arcs that both have.
matched_graphs with_conflicts(std::size_t n, std::vector<arc> const & conflicts, std::vector<arc> const & common) {
    std::vector<vertex> partner(n);
    std::iota(partner.begin(), partner.end(), vertex{0});
    auto first = conflicts;
    first.insert(first.end(), common.begin(), common.end());
    return {partner, n, first, common};
}

} // namespace

TEST_CASE("maximum common subgraphs of known size", "[common_subgraph]") {
    std::vector<arc> cycle, path, cliques;
    constexpr vertex n = 301;
    for (vertex v = 0; v != n; ++v)
        cycle.push_back({v, (v + 1) % n});
    path.assign(cycle.begin(), cycle.end() - 1);
    for (vertex v = 0; v != 300; ++v)
        for (auto w = v + 1; w % 5 != 0; ++w)
            cliques.push_back({v, w});
    auto const size = [](graph::common_subgraph const & s) {
        CHECK(s.optimal);
        return s.items.size();
    };
    CHECK(size(maximum_common_subgraph(with_conflicts(n, cycle, {}))) == 150);
    CHECK(size(maximum_common_subgraph(with_conflicts(n, path, {}))) == 151);
    CHECK(size(maximum_common_subgraph(with_conflicts(300, cliques, {}))) == 60);
    // The Petersen graph, six times: 4 each. Connected: the opposite arcs are common too where vertices of one copy
    // meet.
    std::vector<arc> petersen, star;
    for (vertex copy = 0; copy != 6; ++copy)
        for (vertex v = 0; v != 5; ++v) {
            auto const at = 10 * copy;
            petersen.push_back({at + v, at + (v + 1) % 5});
            petersen.push_back({at + v, at + v + 5});
            petersen.push_back({at + v + 5, at + (v + 2) % 5 + 5});
        }
    CHECK(size(maximum_common_subgraph(with_conflicts(60, petersen, {}))) == 24);
    for (vertex v = 0; v != 60; ++v)
        star.push_back({60, v});
    CHECK(size(maximum_common_connected_subgraph(with_conflicts(61, petersen, star))) == 25);
    CHECK(size(maximum_common_connected_subgraph(with_conflicts(60, petersen, {}))) == 1);
}

TEST_CASE("large graphs take bounded time, and say when that was too short", "[common_subgraph]") {
    dice random(7);
    for (std::size_t const n : {400u, 3000u}) {
        std::vector<arc> conflicts, path;
        for (std::size_t i = 0; i != 4 * n; ++i)
            conflicts.push_back({random.below(n), random.below(n)});
        for (vertex v = 1; v != n; ++v)
            path.push_back({v - 1, v});
        auto const graphs = with_conflicts(n, conflicts, path);
        auto const check = [&](graph::common_subgraph const & s) {
            std::vector<bool> in(n);
            for (auto const i : s.items)
                in[i] = true;
            for (auto const i : s.items)
                for (auto const j : graphs.conflicts().successors(i))
                    CHECK_FALSE(in[j]);
        };
        auto const set = maximum_common_subgraph(graphs, {.steps = 200'000});
        check(set);
        CHECK_FALSE(set.optimal);
        CHECK(set.items.size() > n / 4);
        check(maximum_common_connected_subgraph(graphs, {.steps = 200'000}));
    }
}

TEST_CASE("partners that are none", "[common_subgraph]") {
    std::vector<vertex> const far{2}, shared{0, 0};
    CHECK_THROWS_AS(matched_graphs(far, 2, {}, {}), shape_error);
    CHECK_THROWS_AS(matched_graphs(shared, 2, {}, {}), shape_error);
}

TEST_CASE("components", "[components]") {
    dice random(8);
    for (int round = 0; round != 200; ++round) {
        auto const n = random.below(9);
        auto const arcs = random_arcs(random, n, 0.12);
        // Reachability without directions, by repetition.
        std::vector<std::vector<bool>> together(n, std::vector<bool>(n));
        for (vertex v = 0; v != n; ++v)
            together[v][v] = true;
        for (std::size_t k = 0; k != n; ++k)
            for (auto const & a : arcs)
                for (vertex v = 0; v != n; ++v)
                    if (together[v][a.from] || together[v][a.to])
                        together[v][a.from] = together[v][a.to] = true;
        auto const component = graph::connected_components(n, arcs);
        REQUIRE(component.size() == n);
        vertex seen = 0;
        std::size_t largest = 0;
        for (vertex v = 0; v != n; ++v) {
            CHECK(component[v] <= seen); // numbered as met
            seen = std::max(seen, component[v] + 1);
            for (vertex w = 0; w != n; ++w)
                CHECK((component[v] == component[w]) == together[v][w]);
            largest =
                std::max(largest, static_cast<std::size_t>(std::count(together[v].begin(), together[v].end(), true)));
        }
        auto const members = graph::largest_component(n, arcs);
        CHECK(members.size() == largest);
        for (auto const v : members)
            CHECK(together[members.front()][v]);
    }
    CHECK_THROWS_AS(graph::connected_components(1, std::vector<arc>{{0, 1}}), shape_error);
    graph::disjoint_sets sets(3);
    CHECK(sets.unite(0, 2));
    CHECK_FALSE(sets.unite(2, 0));
    CHECK(sets.size(2) == 2);
    CHECK(sets.size(1) == 1);
}

namespace {

// The matrix of a recorded case without its first and last row and column.
std::vector<float> inside(std::vector<float> const & s, std::size_t rows, std::size_t columns) {
    std::vector<float> out;
    for (std::size_t i = 1; i + 1 < rows; ++i)
        for (std::size_t j = 1; j + 1 < columns; ++j)
            out.push_back(s[i * columns + j]);
    return out;
}

} // namespace

TEST_CASE("the recorded workflow graphs", "[matching][best_chain][common_subgraph][worfeval]") {
    std::ifstream lines(worfeval_data + "synthetic.jsonl");
    auto const file = io::open_checkpoint(worfeval_data + "synthetic_similarities.safetensors");
    std::size_t cases = 0;
    graph::matching_solver solver;
    graph::chain_solver chains;
    for (std::string line; std::getline(lines, line);) {
        auto const c = nlohmann::json::parse(line);
        auto const id = c.at("id").get<std::string>();
        INFO(id);
        auto const rows = c.at("n_pred").get<std::size_t>(), columns = c.at("n_gold").get<std::size_t>();
        auto const similarities = tensor_of(*file, id);
        auto const & expect = c.at("expect");
        graph::bipartite_graph const all(rows, columns, similarities);
        CHECK(solver.solve(all, graph::tie_rule::networkx).right_of
              == mapping_of(expect.at("reference").at("mapping")));
        auto const & full = expect.at("matching_full");
        auto const & found = solver.solve(all, graph::tie_rule::any);
        CHECK(found.weight == full.at("weight_q24").get<std::int64_t>());
        CHECK(found.unique == (full.at("optimal_matchings") == 1));

        if (!expect.contains("strict") || !expect.at("strict").contains("mapping"))
            continue;
        ++cases;
        auto const & strict = expect.at("strict");
        auto const n = rows - 2, m = columns - 2;
        auto const & best = solver.solve({n, m, inside(similarities, rows, columns)}, graph::tie_rule::lexicographic);
        CHECK(best.right_of == mapping_of(strict.at("mapping")));
        CHECK(best.weight == strict.at("weight_q24").get<std::int64_t>());
        CHECK(best.size == strict.at("matched").get<std::size_t>());

        auto const predicted = arcs_of(c.at("pred_edges")), gold = arcs_of(c.at("gold_edges"));
        std::vector<vertex> partner(rows, none), tails;
        for (std::size_t i = 0; i != n; ++i)
            partner[i + 1] = best.right_of[i] == none ? none : best.right_of[i] + 1;
        CHECK(chains.solve(partner, graph::digraph(columns, gold)).size() == strict.at("chain_l").get<std::size_t>());
        CHECK(graph::longest_increasing_length(partner, tails) == strict.at("lis_text_order").get<std::size_t>());
        auto const check = [&](nlohmann::json const & sizes) {
            matched_graphs const graphs(partner, columns, predicted, gold);
            auto const size = [](graph::common_subgraph const & s) {
                CHECK(s.optimal);
                return s.items.size();
            };
            CHECK(size(maximum_common_subgraph(graphs)) == sizes.at("mcis").get<std::size_t>());
            CHECK(size(maximum_common_connected_subgraph(graphs)) == sizes.at("mccis").get<std::size_t>());
            CHECK(size(largest_common_component(graphs)) == sizes.at("lcc_mapped").get<std::size_t>());
            CHECK(graphs.conflicts().arcs() / 2 == sizes.at("conflicts").get<std::size_t>());
            CHECK(graphs.common().arcs() / 2 == sizes.at("common_edges").get<std::size_t>());
        };
        check(strict);
        partner.front() = 0;
        partner.back() = static_cast<vertex>(columns - 1);
        check(strict.at("with_markers"));
    }
    CHECK(cases > 100);
}
