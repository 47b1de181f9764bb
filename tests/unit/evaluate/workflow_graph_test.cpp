// Comparisons of workflow graphs and what is found wrong with one.
#include <catch.hpp>

#include <lathe/evaluate/workflow_graph.hpp>

using namespace lathe;
using evaluate::compare_graphs;
using evaluate::diagnose;
using evaluate::f_score;
using graph::arc;
using graph::labelled_graph;
using graph::none;
using graph::vertex;
using vertices = std::vector<vertex>;

static_assert(evaluate::workflow_parser<evaluate::worfbench_parser>);

TEST_CASE("what is wrong with a workflow", "[workflow_graph]") {
    // 0 -> 1 -> 2 -> 1, 3 <-> 4 apart, 5 with a loop that 0 leads to, 6 alone; two arcs to nowhere, a duplicate.
    labelled_graph const g{{"a", "b", "c", "d", "e", "a", "a"},
                           {{0, 1}, {1, 2}, {2, 1}, {3, 4}, {4, 3}, {0, 5}, {5, 5}, {0, 7}, {0, 1}, {none, 0}}};
    auto const found = diagnose(g);
    CHECK(found.outside == std::vector<std::size_t>{7, 9});
    CHECK(found.duplicates == 1);
    CHECK(found.loops == vertices{5});
    CHECK(found.cycles == std::vector<vertices>{{1, 2}, {3, 4}});
    CHECK(found.unreachable == vertices{3, 4});
    CHECK(found.sources == vertices{0, 6});
    CHECK(found.sinks == vertices{5, 6});
    CHECK(found.repeated == vertices{5, 6});
    CHECK_FALSE(found.acyclic());
    vertices const root{1}, far{7};
    CHECK(diagnose(g, root).unreachable == vertices{0, 3, 4, 5, 6});
    CHECK_THROWS_AS(diagnose(g, far), shape_error);
    CHECK(diagnose({}).acyclic());
    labelled_graph cycle;
    cycle.labels.resize(20000);
    for (vertex v = 0; v != 20000; ++v)
        cycle.arcs.push_back({v, (v + 1) % 20000});
    CHECK(diagnose(cycle).cycles.size() == 1);
    CHECK(diagnose(cycle).unreachable.size() == 20000);
}

TEST_CASE("a workflow against itself", "[workflow_graph]") {
    labelled_graph const g{{"a", "b", "c", "a"}, {{0, 1}, {1, 2}, {0, 3}, {2, 1}, {9, 0}}};
    auto const same = compare_graphs(g, g);
    CHECK(same.partner == vertices{0, 1, 2, 3});
    CHECK_FALSE(same.unique); // two nodes are alike
    CHECK(same.nodes == f_score{1, 1, 1});
    CHECK(same.edges == f_score{1, 1, 1});
    CHECK(same.edit.distance == 0);
    CHECK(same.edit.optimal);
    CHECK(same.order.violated == 0);
    CHECK(same.order.missing == 0);
    CHECK(same.order.kept == 3); // a before b, c and the other a; b and c lead to each other
    CHECK(same.common_chain == vertices{0, 1});
    auto const nothing = compare_graphs({}, {});
    CHECK(nothing.nodes == f_score{1, 1, 1});
    CHECK(nothing.edges == f_score{1, 1, 1});
    CHECK(nothing.edit.normalised == 0);
    CHECK(compare_graphs(g, {}).nodes == f_score{});
    CHECK(compare_graphs(g, {}).edit.normalised == 1);
}

TEST_CASE("how two workflows differ", "[workflow_graph]") {
    labelled_graph const gold{{"a", "b", "c", "d"}, {{0, 1}, {1, 2}, {2, 3}}};
    // b and c change places, x is new, d is gone.
    labelled_graph const predicted{{"x", "a", "b", "c"}, {{1, 3}, {3, 2}, {2, 0}, {1, 3}}};
    auto const found = compare_graphs(predicted, gold);
    CHECK(found.partner == vertices{none, 0, 1, 2});
    CHECK(found.matched == 3);
    CHECK(found.unique);
    CHECK(found.nodes == f_score{0.75, 0.75, 0.75});
    CHECK(found.common_edges == 0);
    CHECK(found.edges == f_score{});
    CHECK(found.order.kept == 2); // a before b, a before c
    CHECK(found.order.violated == 1);
    CHECK(found.order.violations == std::vector<arc>{{3, 2}});
    CHECK(found.order.missing == 0);
    CHECK(found.order.added == 0);
    CHECK(found.common_chain == vertices{1, 2});
    CHECK(found.edit.optimal);
    CHECK(found.edit.distance == 8); // x and d, three edges each
    CHECK(found.edit.normalised == Approx(8.0 / 14));
    CHECK(found.predicted.duplicates == 1);
    CHECK(compare_graphs(predicted, gold, {.max_violations = 0}).order.violated == 1);
    CHECK(compare_graphs(predicted, gold, {.max_violations = 0}).order.violations.empty());
    // Parallel where gold has an order, and the reverse.
    labelled_graph const loose{{"a", "b", "c", "d"}, {{0, 1}, {0, 2}, {0, 3}}};
    CHECK(compare_graphs(loose, gold).order.missing == 3);
    CHECK(compare_graphs(gold, loose).order.added == 3);
    CHECK(compare_graphs(gold, loose).common_chain.size() == 2);
}

TEST_CASE("similar nodes match, and become each other at a price", "[workflow_graph]") {
    labelled_graph const a{{"p", "q"}, {{0, 1}}}, b{{"r", "s"}, {{0, 1}}};
    auto const compare = [&](float same, float other, evaluate::graph_comparison_options const & options = {}) {
        return compare_graphs(a, b, [&](std::size_t i, std::size_t j) { return i == j ? same : other; }, options);
    };
    auto const near = compare(0.75f, 0);
    CHECK(near.nodes == f_score{1, 1, 1});
    CHECK(near.edges == f_score{1, 1, 1});
    CHECK(near.edit.distance == 0.5);
    auto const far = compare(0.59f, std::numeric_limits<float>::quiet_NaN());
    CHECK(far.matched == 0);
    CHECK(far.edit.normalised == 1);
    CHECK(compare(0.59f, 0, {.threshold = 0.5}).matched == 2);
    // The best matching crosses; the edit distance may prefer the edge.
    auto const crossed = compare(0.875f, 1);
    CHECK(crossed.partner == vertices{1, 0});
    CHECK(crossed.common_edges == 0);
    CHECK(crossed.edit.distance == 0.25);
    CHECK(crossed.edit.partner == vertices{0, 1});
    CHECK(crossed.order.violated == 1);
    CHECK_THROWS_AS(compare(1, 0, {.threshold = 0}), option_error);
    CHECK_THROWS_AS(compare(1, 0, {.max_matched = 1}), option_error);
    CHECK_THROWS_AS(compare(std::numeric_limits<float>::infinity(), 0), non_finite_error);
}

TEST_CASE("thousands of nodes are compared in bounded time", "[workflow_graph]") {
    labelled_graph path, back;
    constexpr vertex n = 1500;
    for (vertex v = 0; v != n; ++v) {
        path.labels.push_back(std::to_string(v));
        if (v != 0) {
            path.arcs.push_back({v - 1, v});
            back.arcs.push_back({v, v - 1});
        }
    }
    back.labels = path.labels;
    auto const found = compare_graphs(back, path);
    CHECK(found.matched == n);
    CHECK(found.order.violated == n * (n - 1) / 2);
    CHECK(found.order.violations.size() == 1000);
    CHECK(found.common_chain.size() == 1);
    CHECK_FALSE(found.edit.optimal);
    CHECK(found.edit.distance == 2 * (n - 1));
    auto const same = compare_graphs(path, path);
    CHECK(same.edit.optimal);
    CHECK(same.common_chain.size() == n);
}

TEST_CASE("workflow texts as graphs", "[workflow_graph]") {
    std::string const text = "Node:\n1: find a pan\n2: put it on the stove\nEdge: (START,1) (1,2) (2,END) (2,9)";
    CHECK(evaluate::worfbench_parser{}(text)
          == labelled_graph{{"find a pan", "put it on the stove"}, {{0, 1}, {1, 8}}});
    CHECK(evaluate::worfbench_parser{.markers = true}(text)
          == labelled_graph{{"START", "find a pan", "put it on the stove", "END"}, {{0, 1}, {1, 2}, {2, 3}, {2, 9}}});
    CHECK_THROWS_AS(evaluate::worfbench_parser{}("no workflow"), format_error);
}
