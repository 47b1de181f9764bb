// Topological orders, longest increasing subsequences and the chains that join the two, against enumeration.
#include "graphs.hpp"
#include <catch.hpp>

#include <lathe/graph/best_chain.hpp>
#include <lathe/graph/increasing_subsequence.hpp>
#include <lathe/graph/topological_orders.hpp>

#include <numeric>
#include <set>

using namespace lathe;
using namespace lathe_test;
using graph::digraph;
using graph::topological_orders;

namespace {

std::vector<vertex> as_vector(std::span<vertex const> s) { return {s.begin(), s.end()}; }

bool goes_forward(std::vector<vertex> const & order, std::vector<arc> const & arcs) {
    std::vector<std::size_t> place(order.size());
    for (std::size_t i = 0; i != order.size(); ++i)
        place[order[i]] = i;
    return std::all_of(arcs.begin(), arcs.end(), [&](arc const & a) { return place[a.from] < place[a.to]; });
}

// The quadratic dynamic programme.
std::vector<vertex> lengths_by_definition(std::vector<vertex> const & values) {
    std::vector<vertex> lengths(values.size(), 0);
    for (std::size_t i = 0; i != values.size(); ++i)
        if (values[i] != none) {
            lengths[i] = 1;
            for (std::size_t j = 0; j != i; ++j)
                if (values[j] != none && values[j] < values[i])
                    lengths[i] = std::max(lengths[i], lengths[j] + 1);
        }
    return lengths;
}

// The least number of classes whose members, in the order of the sequence, are each reached from the next: as many as
// there are positions less a maximum matching of positions with later ones (Kuhn's algorithm, by recursion).
std::size_t smallest_cover(std::vector<vertex> const & sequence, digraph const & g) {
    auto const k = sequence.size();
    std::vector<std::vector<bool>> reaches(g.vertices(), std::vector<bool>(g.vertices()));
    auto const order = graph::topological_order(g);
    for (auto v = order.rbegin(); v != order.rend(); ++v)
        for (auto const s : g.successors(*v)) {
            reaches[*v][s] = true;
            for (std::size_t w = 0; w != g.vertices(); ++w)
                if (reaches[s][w])
                    reaches[*v][w] = true;
        }
    std::vector<std::size_t> mate(k, k);
    std::vector<bool> tried;
    auto const place = [&](auto const & again, std::size_t a) -> bool {
        for (auto b = a + 1; b != k; ++b)
            if (reaches[sequence[b]][sequence[a]] && !tried[b]) {
                tried[b] = true;
                if (mate[b] == k || again(again, mate[b])) {
                    mate[b] = a;
                    return true;
                }
            }
        return false;
    };
    auto classes = k;
    for (std::size_t a = 0; a != k; ++a) {
        tried.assign(k, false);
        classes -= place(place, a) ? 1u : 0u;
    }
    return classes;
}

} // namespace

TEST_CASE("every topological order, once", "[topological_orders]") {
    dice random(2);
    topological_orders orders; // one for all
    std::size_t cyclic = 0;
    for (int round = 0; round != 400; ++round) {
        auto const n = 1 + random.below(6);
        auto arcs = random.chance(0.5) ? random_acyclic_arcs(random, n, 0.3) : random_arcs(random, n, 0.2);
        if (!arcs.empty() && random.chance(0.3))
            arcs.push_back(arcs[random.below(arcs.size())]);
        std::set<std::vector<vertex>> expected, found;
        std::vector<vertex> order(n);
        std::iota(order.begin(), order.end(), vertex{0});
        do
            if (goes_forward(order, arcs))
                expected.insert(order);
        while (std::next_permutation(order.begin(), order.end()));
        orders.assign(n, arcs);
        CHECK(orders.acyclic() == !expected.empty());
        cyclic += expected.empty() ? 1u : 0u;
        while (orders.next())
            CHECK(found.insert(as_vector(orders.order())).second);
        CHECK(found == expected);
        CHECK_FALSE(orders.next());
    }
    CHECK(cyclic > 20);
}

TEST_CASE("the recorded topological orders", "[topological_orders]") {
    auto const cases = nlohmann::json::parse(std::ifstream(worfeval_data + "topological_orders.json"));
    REQUIRE(cases.size() == 46);
    topological_orders orders;
    for (auto const & c : cases) {
        INFO(c.dump());
        orders.assign(c.at("n").get<std::size_t>(), arcs_of(c.at("edges")));
        if (c.contains("error")) {
            CHECK_FALSE(orders.acyclic());
            CHECK_FALSE(orders.next());
            continue;
        }
        CHECK(orders.acyclic());
        for (auto const & expected : c.at("first20")) {
            REQUIRE(orders.next());
            CHECK(as_vector(orders.order()) == expected.get<std::vector<vertex>>());
        }
        if (c.at("count").is_number() && c.at("count").get<std::size_t>() <= 10000) {
            auto count = c.at("first20").size();
            while (orders.next())
                ++count;
            CHECK(count == c.at("count").get<std::size_t>());
        }
    }
}

TEST_CASE("vertices that only arcs name stand behind the others, as met", "[topological_orders]") {
    topological_orders orders(2, std::vector<arc>{{1, 9}, {7, 0}, {9, 7}});
    CHECK(orders.vertices() == 4);
    REQUIRE(orders.next());
    CHECK(as_vector(orders.order()) == std::vector<vertex>{1, 9, 7, 0});
    CHECK_FALSE(orders.next());
    // 5 and 3 are both sources, 3 met last: it comes first.
    orders.assign(1, std::vector<arc>{{5, 0}, {3, 0}});
    REQUIRE(orders.next());
    CHECK(as_vector(orders.order()) == std::vector<vertex>{3, 5, 0});
    REQUIRE(orders.next());
    CHECK(as_vector(orders.order()) == std::vector<vertex>{5, 3, 0});
    CHECK_FALSE(orders.next());
    orders.assign(1, std::vector<arc>{{0, none}});
    REQUIRE(orders.next());
    CHECK(as_vector(orders.order()) == std::vector<vertex>{0, none});
}

TEST_CASE("orders of the smallest graphs, loops and large ones", "[topological_orders]") {
    topological_orders orders;
    orders.assign(0, {});
    CHECK(orders.next());
    CHECK(orders.order().empty());
    CHECK_FALSE(orders.next());
    orders.assign(2, std::vector<arc>{{0, 1}, {1, 1}});
    CHECK_FALSE(orders.acyclic());
    orders.assign(3, std::vector<arc>{{0, 1}, {0, 1}, {0, 1}});
    CHECK(orders.acyclic());
    // So many orders that none but a lazy enumeration ends.
    orders.assign(20000, {});
    for (int i = 0; i != 3; ++i)
        CHECK(orders.next());
    std::vector<arc> path;
    for (vertex v = 1; v != 20000; ++v)
        path.push_back({v, v - 1});
    orders.assign(20000, path);
    REQUIRE(orders.next());
    CHECK(orders.order().front() == 19999);
    CHECK_FALSE(orders.next());
}

TEST_CASE("longest increasing subsequences", "[increasing_subsequence]") {
    dice random(3);
    std::vector<vertex> lengths, tails;
    for (int round = 0; round != 500; ++round) {
        std::vector<vertex> values(random.below(12));
        for (auto & v : values)
            v = random.chance(0.2) ? none : random.below(10);
        auto const expected = lengths_by_definition(values);
        auto const longest = expected.empty() ? vertex{0} : *std::max_element(expected.begin(), expected.end());
        graph::increasing_lengths(values, lengths, tails);
        CHECK(lengths == expected);
        CHECK(graph::longest_increasing_length(values, tails) == longest);
        auto const positions = graph::longest_increasing_subsequence(values);
        CHECK(positions.size() == longest);
        for (std::size_t i = 0; i != positions.size(); ++i) {
            CHECK(values[positions[i]] != none);
            if (i != 0) {
                CHECK(positions[i - 1] < positions[i]);
                CHECK(values[positions[i - 1]] < values[positions[i]]);
            }
        }
    }
    CHECK(graph::longest_increasing_subsequence(std::vector<vertex>{1, 1, 1}) == std::vector<std::size_t>{2});
}

TEST_CASE("the best chain is the best over all topological orders", "[best_chain]") {
    dice random(4);
    graph::chain_solver solver;
    std::vector<vertex> tails;
    for (int round = 0; round != 1500; ++round) {
        auto const n = 1 + random.below(6);
        auto const arcs = random_acyclic_arcs(random, n, 0.15 * random.below(6));
        digraph const g(n, arcs);
        std::vector<vertex> sequence(n);
        std::iota(sequence.begin(), sequence.end(), vertex{0});
        for (std::size_t i = n; i > 1; --i)
            std::swap(sequence[i - 1], sequence[random.below(i)]);
        for (auto & v : sequence)
            v = random.chance(0.2) ? none : v;
        std::size_t best = 0;
        for (topological_orders orders(n, arcs); orders.next();) {
            std::vector<vertex> place(n), values;
            for (vertex i = 0; i != n; ++i)
                place[orders.order()[i]] = i;
            for (auto const v : sequence)
                values.push_back(v == none ? none : place[v]);
            best = std::max(best, graph::longest_increasing_length(values, tails));
        }
        auto const chain = solver.solve(sequence, g);
        REQUIRE(chain.size() == best);
        std::vector<vertex> vertices;
        for (auto const p : chain) {
            REQUIRE(sequence[p] != none);
            vertices.push_back(sequence[p]);
        }
        CHECK(std::is_sorted(chain.begin(), chain.end()));
        auto const witness = graph::topological_order_through(g, vertices);
        CHECK(goes_forward(witness, arcs));
        CHECK(std::is_sorted(vertices.begin(), vertices.end(), [&](vertex a, vertex b) {
            return std::find(witness.begin(), witness.end(), a) < std::find(witness.begin(), witness.end(), b);
        }));
    }
}

TEST_CASE("best chains of graphs with many words of bits", "[best_chain]") {
    dice random(5);
    constexpr std::size_t n = 300;
    std::vector<vertex> sequence(n);
    std::iota(sequence.begin(), sequence.end(), vertex{0});
    for (std::size_t i = n; i > 1; --i)
        std::swap(sequence[i - 1], sequence[random.below(i)]);
    // A chain leaves no choice: the longest increasing subsequence. No arcs leave all of it.
    std::vector<arc> path;
    for (vertex v = 1; v != n; ++v)
        path.push_back({v - 1, v});
    std::vector<vertex> tails;
    CHECK(graph::best_chain(sequence, digraph(n, path)).size() == graph::longest_increasing_length(sequence, tails));
    CHECK(graph::best_chain(sequence, digraph(n, {})).size() == n);
    // Two chains side by side, which interleave as they like: the sum of those of each.
    auto two = path;
    two.erase(two.begin() + 149);
    std::vector<vertex> low, high;
    for (auto const v : sequence)
        (v < 150 ? low : high).push_back(v);
    CHECK(graph::best_chain(sequence, digraph(n, two)).size()
          == graph::longest_increasing_length(low, tails) + graph::longest_increasing_length(high, tails));
    // In between: a witness shows that it is a chain, a cover by as many chains of the order that none is longer.
    auto const arcs = random_acyclic_arcs(random, n, 0.02);
    auto const chain = graph::best_chain(sequence, digraph(n, arcs));
    std::vector<vertex> vertices;
    for (auto const p : chain)
        vertices.push_back(sequence[p]);
    CHECK(goes_forward(graph::topological_order_through(digraph(n, arcs), vertices), arcs));
    CHECK(chain.size() == smallest_cover(sequence, digraph(n, arcs)));
}

TEST_CASE("what has no best chain", "[best_chain]") {
    std::vector<arc> const cycle{{0, 1}, {1, 0}};
    std::vector<vertex> const both{0, 1}, twice{0, 0}, far{2};
    CHECK_THROWS_AS(graph::best_chain(both, digraph(2, cycle)), graph::cycle_error);
    CHECK_THROWS_AS(graph::best_chain(twice, digraph(2, {})), shape_error);
    CHECK_THROWS_AS(graph::best_chain(far, digraph(2, {})), shape_error);
    CHECK_THROWS_AS(graph::best_chain(both, digraph(2, {}), {.max_items = 1}), option_error);
    CHECK_THROWS_AS(graph::topological_order_through(digraph(2, std::vector<arc>{{1, 0}}), both), graph::cycle_error);
    CHECK(graph::best_chain(std::vector<vertex>{none, none}, digraph(2, {})).empty());
    CHECK(graph::best_chain({}, digraph()).empty());
    CHECK_THROWS_AS(digraph(2, std::vector<arc>{{0, 2}}), shape_error);
}
