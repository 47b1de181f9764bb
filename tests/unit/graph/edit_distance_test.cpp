// Edit distances against all mappings of small graphs; strong components, orders and chains of any graph.
#include "graphs.hpp"
#include <catch.hpp>

#include <lathe/graph/edit_distance.hpp>
#include <lathe/graph/reachability.hpp>

#include <set>

using namespace lathe;
using namespace lathe_test;
using graph::digraph;

namespace {

struct problem {
    std::size_t n, m;
    std::vector<arc> first, second;
    std::vector<std::vector<double>> become; // in multiples of 1/64: sums are exact
};
double cost_of(problem const & p, std::vector<vertex> const & partner, double node, double edge) {
    std::set<arc> const a(p.first.begin(), p.first.end()), b(p.second.begin(), p.second.end());
    double cost = 0;
    std::size_t kept = 0, common = 0;
    for (std::size_t i = 0; i != p.n; ++i)
        if (partner[i] != none) {
            ++kept;
            cost += p.become[i][partner[i]];
        }
    for (auto const & x : a)
        if (partner[x.from] != none && partner[x.to] != none && b.count({partner[x.from], partner[x.to]}) != 0)
            ++common;
    return cost + node * static_cast<double>(p.n + p.m - 2 * kept)
           + edge * static_cast<double>(a.size() + b.size() - 2 * common);
}
double least_cost(problem const & p, double node, double edge) {
    std::vector<vertex> partner;
    std::vector<bool> taken(p.m, false);
    auto best = 1e300;
    auto const descend = [&](auto const & again) -> void {
        if (partner.size() == p.n) {
            best = std::min(best, cost_of(p, partner, node, edge));
            return;
        }
        partner.push_back(none);
        again(again);
        for (vertex j = 0; j != p.m; ++j)
            if (!taken[j]) {
                taken[j] = true;
                partner.back() = j;
                again(again);
                taken[j] = false;
            }
        partner.pop_back();
    };
    descend(descend);
    return best;
}
problem random_problem(dice & random, std::size_t limit) {
    problem p{random.below(limit + 1), random.below(limit + 1), {}, {}, {}};
    p.first = random_arcs(random, p.n, 0.1 + 0.2 * random.below(3));
    p.second = random_arcs(random, p.m, 0.1 + 0.2 * random.below(3));
    if (p.n != 0 && random.chance(0.3))
        p.first.push_back({0, 0});
    if (p.m != 0 && random.chance(0.3))
        p.second.push_back({0, 0});
    p.become.assign(p.n, std::vector<double>(p.m));
    for (auto & row : p.become)
        for (auto & x : row)
            x = random.chance(0.4)   ? 0
                : random.chance(0.3) ? std::numeric_limits<double>::infinity() // never
                                     : random.below(160) / 64.0;
    return p;
}

} // namespace

TEST_CASE("the edit distance is the least over all mappings", "[edit_distance]") {
    dice random(11);
    for (int round = 0; round != 300; ++round) {
        auto const p = random_problem(random, 5);
        auto const node = std::array{1.0, 0.25, 0.0}[random.below(3)],
                   edge = std::array{1.0, 0.5, 3.0}[random.below(3)];
        std::vector<vertex> start(p.n, none);
        for (vertex i = 0; i != std::min(p.n, p.m); ++i)
            start[i] = random.chance(0.5) && std::isfinite(p.become[i][i]) ? i : none;
        auto const become = [&](std::size_t i, std::size_t j) { return p.become[i][j]; };
        digraph const a(p.n, p.first), b(p.m, p.second);
        graph::edit_options options{.vertex = node, .arc = edge};
        auto const found = graph::edit_distance(a, b, become, start, options);
        CHECK(found.optimal);
        CHECK(found.distance == least_cost(p, node, edge));
        CHECK(found.lower_bound == found.distance);
        CHECK(cost_of(p, found.partner, node, edge) == found.distance);
        auto const everything = cost_of(p, std::vector<vertex>(p.n, none), node, edge);
        CHECK(found.normalised == (everything == 0 ? 0 : found.distance / everything));
        // Without steps, or for graphs that are too large: the start, or better, and bounds that hold.
        for (auto const & limited : {graph::edit_options{.vertex = node, .arc = edge, .steps = 1},
                                     graph::edit_options{.vertex = node, .arc = edge, .max_vertices = 0}}) {
            auto const hasty = graph::edit_distance(a, b, become, start, limited);
            CHECK(hasty.distance <= cost_of(p, start, node, edge));
            CHECK(hasty.distance == cost_of(p, hasty.partner, node, edge));
            CHECK(hasty.distance >= found.distance);
            CHECK(hasty.lower_bound <= found.distance);
            CHECK((!hasty.optimal || hasty.distance == found.distance));
        }
    }
}

TEST_CASE("edit distances of known graphs", "[edit_distance]") {
    auto const free_of_charge = [](std::size_t, std::size_t) { return 0.0; };
    auto const distance = [&](std::size_t n, std::vector<arc> const & a, std::size_t m, std::vector<arc> const & b) {
        auto const found =
            graph::edit_distance(digraph(n, a), digraph(m, b), free_of_charge, std::vector<vertex>(n, none));
        CHECK(found.optimal);
        return found.distance;
    };
    std::vector<arc> path, star, cycle;
    for (vertex v = 0; v != 6; ++v) {
        path.push_back({v, v + 1});
        star.push_back({0, v + 1});
        cycle.push_back({6 - v, 5 - v});
    }
    CHECK(distance(7, path, 7, path) == 0);
    CHECK(distance(7, path, 7, cycle) == 0); // the same path, numbered backwards
    cycle.push_back({0, 6});
    CHECK(distance(7, path, 7, cycle) == 1);
    CHECK(distance(7, path, 7, star) == 10); // one arc can stay
    CHECK(distance(0, {}, 7, star) == 13);
    CHECK(distance(0, {}, 0, {}) == 0);
}

TEST_CASE("edit distances that cannot be", "[edit_distance]") {
    digraph const one(1, {}), two(2, {});
    auto const nothing = [](std::size_t, std::size_t) { return 0.0; };
    auto const bad = [](std::size_t, std::size_t) { return std::numeric_limits<double>::quiet_NaN(); };
    auto const negative = [](std::size_t, std::size_t) { return -1.0; };
    std::vector<vertex> const start{none}, far{2}, shared{0, 0}, both{none, none};
    CHECK_THROWS_AS(graph::edit_distance(one, two, nothing, both), shape_error);
    CHECK_THROWS_AS(graph::edit_distance(one, two, nothing, far), shape_error);
    CHECK_THROWS_AS(graph::edit_distance(two, two, nothing, shared), shape_error);
    auto const never = [](std::size_t, std::size_t) { return std::numeric_limits<double>::infinity(); };
    std::vector<vertex> const first{0};
    CHECK_THROWS_AS(graph::edit_distance(one, two, never, first), shape_error);
    CHECK(graph::edit_distance(one, two, never, start).distance == 3);
    CHECK_THROWS_AS(graph::edit_distance(one, two, bad, start), non_finite_error);
    CHECK_THROWS_AS(graph::edit_distance(one, two, negative, start), non_finite_error);
    CHECK_THROWS_AS(graph::edit_distance(one, two, nothing, start, {.vertex = -1}), option_error);
    CHECK_THROWS_AS(graph::edit_distance(one, two, nothing, start, {.arc = 2000}), option_error);
    CHECK_THROWS_AS(graph::edit_distance(one, two, nothing, start, {.max_vertices = 65}), option_error);
    // 64 vertices are a whole word of bits.
    std::vector<arc> path;
    for (vertex v = 1; v != 64; ++v)
        path.push_back({v - 1, v});
    std::vector<vertex> same(64);
    for (vertex v = 0; v != 64; ++v)
        same[v] = v;
    auto const apart = [](std::size_t i, std::size_t j) { return i == j ? 0.0 : 2.0; };
    auto const found = graph::edit_distance(digraph(64, path), digraph(64, path), apart, std::vector<vertex>(64, none),
                                            {.max_vertices = 64});
    CHECK(found.optimal);
    CHECK(found.partner == same);
}

TEST_CASE("strong components and strict orders", "[reachability]") {
    dice random(12);
    for (int round = 0; round != 300; ++round) {
        auto const n = random.below(9);
        auto const arcs = random_arcs(random, n, 0.05 + 0.1 * random.below(4));
        digraph const g(n, arcs);
        std::vector<std::vector<bool>> reaches(n, std::vector<bool>(n));
        for (vertex v = 0; v != n; ++v) {
            std::vector<vertex> const root{v};
            reaches[v] = graph::reached_from(g, root);
            CHECK(reaches[v][v]);
        }
        for (auto const & a : arcs)
            for (vertex v = 0; v != n; ++v)
                if (reaches[v][a.from])
                    CHECK(reaches[v][a.to]);
        auto const parts = graph::find_strong_components(g);
        for (vertex a = 0; a != n; ++a)
            for (vertex b = 0; b != n; ++b)
                CHECK((parts.of[a] == parts.of[b]) == (reaches[a][b] && reaches[b][a]));
        for (auto const & a : arcs)
            CHECK(parts.of[a.from] >= parts.of[a.to]);
        std::vector<vertex> items;
        for (vertex v = n; v != 0; --v)
            if (random.chance(0.7))
                items.push_back(v - 1);
        auto const before = graph::strict_order(g, items);
        for (std::size_t a = 0; a != items.size(); ++a)
            for (std::size_t b = 0; b != items.size(); ++b)
                CHECK(before(a, b) == (reaches[items[a]][items[b]] && !reaches[items[b]][items[a]]));
        // The longest chain, by trying all sets of items.
        std::size_t longest = 0;
        for (unsigned set = 0; set < 1u << items.size(); ++set) {
            std::vector<std::size_t> chain;
            for (std::size_t i = 0; i != items.size(); ++i)
                if ((set >> i & 1) != 0)
                    chain.push_back(i);
            bool total = true;
            for (auto const a : chain)
                for (auto const b : chain)
                    total = total && (a == b || before(a, b) || before(b, a));
            if (total)
                longest = std::max(longest, chain.size());
        }
        auto const path = graph::longest_path(before);
        CHECK(path.size() == longest);
        for (std::size_t i = 1; i < path.size(); ++i)
            CHECK(before(path[i - 1], path[i]));
    }
    // Deep and wide: no recursion, many words.
    constexpr vertex n = 20000;
    std::vector<arc> cycle;
    for (vertex v = 0; v != n; ++v)
        cycle.push_back({v, (v + 1) % n});
    CHECK(graph::find_strong_components(digraph(n, cycle)).count == 1);
    cycle.pop_back();
    std::vector<vertex> some;
    for (vertex v = 0; v < n; v += 100)
        some.push_back(v);
    auto const before = graph::strict_order(digraph(n, cycle), some);
    CHECK(before.count() == 200 * 199 / 2);
    CHECK(graph::longest_path(before).size() == 200);
    graph::relation circle(2);
    circle.set(0, 1);
    circle.set(1, 0);
    CHECK_THROWS_AS(graph::longest_path(circle), graph::cycle_error);
    std::vector<vertex> const twice{0, 0}, far{3};
    CHECK_THROWS_AS(graph::strict_order(digraph(2, {}), twice), shape_error);
    CHECK_THROWS_AS(graph::strict_order(digraph(2, {}), far), shape_error);
    CHECK_THROWS_AS(graph::reached_from(digraph(2, {}), far), shape_error);
}
