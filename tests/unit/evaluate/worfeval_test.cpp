#include <catch.hpp>

#include <lathe/evaluate/worfeval_explanation.hpp>
#include <lathe/random/philox.hpp>

namespace {

using namespace lathe::evaluate;
namespace graph = lathe::graph;
using graph::none;
using vertices = std::vector<graph::vertex>;

/// A pair of texts whose nodes are similar (1) where their strings are the same, else not (0).
struct texts {
    std::optional<workflow> predicted, gold;
    std::vector<float> similarities;

    texts(std::optional<workflow> p, std::optional<workflow> g) : predicted{std::move(p)}, gold{std::move(g)} {
        if (predicted && gold)
            for (auto const & a : predicted->nodes)
                for (auto const & b : gold->nodes)
                    similarities.push_back(a == b ? 1.0f : 0.0f);
    }
    texts(std::string const & p, std::string const & g) : texts{parse_workflow(p), parse_workflow(g)} {}
    [[nodiscard]] workflow_pair pair() const {
        return {predicted ? &*predicted : nullptr,
                gold ? &*gold : nullptr,
                {similarities.data(), predicted && gold ? predicted->nodes.size() : 0,
                 predicted && gold ? gold->nodes.size() : 0}};
    }
};
std::string text(std::string const & nodes, std::string const & edges) {
    std::string all = "Node:\n";
    for (std::size_t i = 0; i != nodes.size(); ++i)
        all += std::to_string(i + 1) + ": " + nodes[i] + "\n";
    return all + "Edge: " + edges;
}
auto const chain_of_four = text("abcd", "(START,1) (1,2) (2,3) (3,4) (4,END)");
std::string chain(std::size_t nodes) {
    std::string names, edges = "(START,1)";
    for (std::size_t i = 1; i <= nodes; ++i) {
        names += static_cast<char>('a' + i - 1);
        edges += " (" + std::to_string(i) + "," + (i == nodes ? "END" : std::to_string(i + 1)) + ")";
    }
    return text(names, edges);
}
bool has_step(std::vector<score_step> const & steps, departure why) {
    return std::ranges::find(steps, why, &score_step::why) != steps.end();
}

} // namespace

TEST_CASE("A gold workflow against itself scores 1 at level strict, and less at level reference for known reasons") {
    worfeval_explainer explain;
    for (auto const n : std::vector<std::size_t>{1, 4, 7, 8, 20}) {
        texts const t(chain(n), chain(n));
        auto const e = explain(t.pair());
        CHECK(e.strict.chain == f_score{1, 1, 1});
        CHECK(e.strict.graph == f_score{1, 1, 1});
        CHECK(e.reference.graph.score == f_score{1, 1, 1});
        auto const recall =
            n < 8 ? 1.0 : static_cast<double>(n) / static_cast<double>(n + 2); // the markers are gold nodes
        CHECK(e.reference.node.score.recall == recall);
        CHECK(has_step(e.node_steps, departure::markers) == (n >= 8));
    }
    // Seven parallel steps, listed in order: not one of the first 20 of 5040 orders.
    auto const parallel = text("abcdefg", "(START,1) (START,2) (START,3) (START,4) (START,5) (START,6) (START,7)");
    auto const e = explain(texts(parallel, parallel).pair());
    CHECK(e.strict.chain.f1 == 1);
    CHECK(e.reference.node.orders == 20);
    CHECK(e.reference.node.score.f1 < 0.6);
    CHECK(e.node_steps == std::vector<score_step>{{departure::orders, e.reference.node.score.f1, 1.0}});
}

TEST_CASE("The authors compare edges by number, strict through the matching") {
    // The same graph, listed backwards.
    auto const backwards = text("dcba", "(START,4) (4,3) (3,2) (2,1) (1,END)");
    worfeval_explainer explain;
    auto const e = explain(texts(backwards, chain_of_four).pair());
    CHECK(e.strict.graph.f1 == 1);
    CHECK(e.strict.common.lcc_mapped == 4);
    CHECK(e.strict.matches == vertices{3, 2, 1, 0});
    CHECK(e.reference.graph.component == 1); // no pair of numbers is an edge of both
    CHECK(e.reference.graph.score.f1 == 1.0 / 6);
    REQUIRE(!e.graph_steps.empty());
    CHECK(e.graph_steps[0] == score_step{departure::indices, e.reference.graph.score.f1, 1.0});
    for (auto const & edge : e.predicted_edges) {
        CHECK(edge.reference == edge_fate::other_numbers);
        CHECK(edge.strict == edge_fate::kept);
    }
    CHECK(e.strict.chain_length == 1);
}

TEST_CASE("Extra edges cost at level strict only") {
    auto const extra = text("abcd", "(START,1) (1,2) (2,3) (3,4) (4,END) (1,4)");
    worfeval_explainer explain;
    auto const e = explain(texts(extra, chain_of_four).pair());
    CHECK(e.reference.graph.score.f1 == 1);
    CHECK(e.strict.common == common_sizes{3, 3, 4, true});
    CHECK(e.strict.graph.f1 == 0.75);
    CHECK(has_step(e.graph_steps, departure::component));
    CHECK(e.predicted_edges.back() == edge_detail{{1, 4}, edge_fate::missing, edge_fate::missing});
    worfeval_scorer mapped({.graph = common_graph::lcc_mapped});
    CHECK(mapped.strict(texts(extra, chain_of_four).pair()).graph.f1 == 1);
}

TEST_CASE("A chain of the reference counts 1 even if nothing matches") {
    worfeval_explainer explain;
    auto const e = explain(texts(text("xyz", "(1,2)"), chain_of_four).pair());
    CHECK(e.reference.node.length == 1);
    CHECK(e.reference.node.unique);
    CHECK(e.strict.chain == f_score{});
    CHECK(e.strict.graph == f_score{});
    REQUIRE(e.node_steps.size() == 1);
    CHECK(e.node_steps[0].why == departure::floor);
    CHECK(e.predicted_edges[0] == edge_detail{{1, 2}, edge_fate::unmatched, edge_fate::unmatched});
}

TEST_CASE("What ends the authors' program is an error of the pair, named as Python names it") {
    worfeval_scorer scorer;
    worfeval_explainer explain;
    auto const nodeless = std::string{"Node:\nEdge: (START,END)"};
    auto const cyclic = text("ab", "(1,2) (2,1)"), looped = text("ab", "(1,1)"), beyond = text("ab", "(1,4)");
    auto const node = [&](std::string const & p, std::string const & g) {
        auto const score = scorer.reference(texts(p, g).pair()).node;
        return score.outcome == outcome::failed    ? std::string{score.error}
               : score.outcome == outcome::skipped ? std::string{"skipped"}
                                                   : std::string{"scored"};
    };
    CHECK(node("", chain_of_four) == "skipped");
    CHECK(node("", "") == "skipped");
    CHECK(node(chain_of_four, "") == "UnboundLocalError");
    for (auto const & gold : {cyclic, looped, beyond}) {
        CHECK(node(chain_of_four, gold) == "UnboundLocalError");
        CHECK(node(nodeless, gold) == "UnboundLocalError");
    }
    CHECK(node(nodeless, chain_of_four) == "RuntimeError");
    CHECK(node(chain_of_four, nodeless) == "RuntimeError");
    CHECK(node(nodeless, nodeless) == "ValueError");
    CHECK(node(nodeless, chain(9)) == "RuntimeError");
    CHECK(node(chain(9), chain(9) + " (5,2)") == "scored"); // nobody looks at the edges of ten nodes
    CHECK(scorer.reference(texts(chain_of_four, "").pair()).graph.error == "TypeError");
    CHECK(scorer.reference(texts(chain_of_four, cyclic).pair()).graph.outcome == outcome::scored);

    auto const strict = [&](std::string const & p, std::string const & g) { return scorer.strict(texts(p, g).pair()); };
    CHECK(strict("", "").error == "gold_unparseable");
    CHECK(strict("", cyclic).error == "gold_cyclic");
    CHECK(strict(chain_of_four, looped).error == "gold_cyclic");
    CHECK(strict(chain_of_four, beyond).error == "gold_edge_out_of_range");
    CHECK(strict(chain_of_four, nodeless).error == "gold_empty");
    CHECK(strict(chain(9), chain(9) + " (5,2)").error == "gold_cyclic");
    CHECK(strict("", chain_of_four).outcome == outcome::skipped);
    CHECK(strict(nodeless, chain_of_four).outcome == outcome::scored);
    CHECK(strict(nodeless, chain_of_four).chain == f_score{});

    texts none_alike(chain_of_four, chain_of_four); // an injected matrix may even keep the markers apart
    std::ranges::fill(none_alike.similarities, 0.5f);
    CHECK(scorer.reference(none_alike.pair()).graph.error == "ValueError");
    auto const steps = explain(texts(chain_of_four, cyclic).pair());
    CHECK(steps.node_steps == std::vector<score_step>{{departure::strict_fails, 0, 0}});
}

TEST_CASE("Predicted cycles, self-loops and wild edges are scored") {
    worfeval_explainer explain;
    auto const wild = text("abcd", "(START,1) (1,2) (2,3) (3,4) (4,END) (4,1) (2,2) (9,9) (1,99999999999)");
    auto const e = explain(texts(wild, chain_of_four).pair());
    CHECK(e.reference.graph.score.f1 == 1);
    CHECK(e.strict.chain.f1 == 1);
    CHECK(e.strict.common.mcis == 3); // 4 -> 1 is in one graph only
    CHECK(e.predicted_edges[7] == edge_detail{{9, 9}, edge_fate::outside, edge_fate::outside});
}

TEST_CASE("Ties are reported, and settled by the rule of the level") {
    worfeval_explainer explain;
    auto const twins = text("aab", "(START,1) (1,2) (2,3) (3,END)");
    auto const e = explain(texts(twins, twins).pair());
    CHECK_FALSE(e.reference.node.unique);
    CHECK_FALSE(e.strict.unique);
    CHECK(e.strict.matches == vertices{0, 1, 2});
    CHECK(e.strict.weight == 3 << 24);
}

TEST_CASE("A node passes the threshold of 0.6 in double") {
    texts t(text("a", "(START,1) (1,END)"), text("a", "(START,1) (1,END)"));
    worfeval_scorer scorer;
    t.similarities[4] = 0.6f; // above the double 0.6
    CHECK(scorer.strict(t.pair()).matched == 1);
    t.similarities[4] = std::nextafter(0.6f, 0.0f);
    CHECK(scorer.strict(t.pair()).matched == 0);
    t.similarities[4] = std::nanf("");
    CHECK(scorer.strict(t.pair()).matched == 0);
    worfeval_scorer lenient({.threshold = 0.5});
    t.similarities[4] = 0.55f;
    CHECK(lenient.strict(t.pair()).matched == 1);
    t.similarities[4] = INFINITY;
    CHECK_THROWS_AS(scorer.strict(t.pair()), lathe::non_finite_error);
    t.similarities.resize(4);
    CHECK_THROWS_AS(scorer.strict({&*t.predicted, &*t.gold, {t.similarities.data(), 2, 2}}), lathe::shape_error);
    CHECK_THROWS_AS(worfeval_scorer({.threshold = 0}), lathe::option_error);
    CHECK_THROWS_AS(worfeval_scorer({.orders = 0}), lathe::option_error);
}

TEST_CASE("Averages are sums in order over all pairs; failures are told apart") {
    std::vector<strict_score> scores(4);
    scores[0].outcome = outcome::scored;
    scores[0].chain = {0.1, 0.2, 0.3};
    scores[1].outcome = outcome::scored;
    scores[1].chain = {0.2, 0.4, 0.6};
    scores[3].outcome = outcome::failed;
    auto const means = averages_of(std::span<strict_score const>{scores});
    CHECK((means.pairs == 4 && means.skipped == 1 && means.failed == 1));
    CHECK(means.node.precision == (0.1 + 0.2) / 4);
    CHECK(means.node_unfailed.recall == (0.2 + 0.4) / 3);
    CHECK(averages_of(std::span<strict_score const>{}).node == f_score{});
}

TEST_CASE("Scores are the same for any number of threads, and of a scorer used again") {
    std::vector<texts> all;
    lathe::random::uniform_stream const random{3, 1};
    std::uint64_t at = 0;
    auto const some = [&](std::size_t below) {
        return static_cast<std::size_t>(random[at++] * static_cast<float>(below));
    };
    for (int i = 0; i != 300; ++i) {
        auto const workflow_text = [&](bool acyclic) {
            std::string names, edges = "(START,1)";
            auto const n = 1 + some(10);
            for (std::size_t k = 0; k != n; ++k)
                names += static_cast<char>('a' + some(8));
            for (auto left = some(2 * n); left != 0; --left) {
                auto a = 1 + some(n), b = 1 + some(n);
                if (acyclic && a > b)
                    std::swap(a, b);
                if (!acyclic || a != b)
                    edges += " (" + std::to_string(a) + "," + std::to_string(b) + ")";
            }
            return text(names, edges);
        };
        all.emplace_back(workflow_text(false), workflow_text(true));
    }
    std::vector<workflow_pair> pairs;
    for (auto const & t : all)
        pairs.push_back(t.pair());
    lathe::serial_executor one;
    lathe::thread_pool three(3);
    CHECK(reference_scores(one, pairs) == reference_scores(three, pairs));
    CHECK(strict_scores(one, pairs) == strict_scores(three, pairs));
    for (std::size_t i = 0; i != pairs.size(); ++i) {
        auto const e = worfeval_explainer()(pairs[i]);
        CHECK(e.strict.common.optimal);
        CHECK(e.strict.common.lcc_mapped >= e.strict.common.mccis);
        CHECK(e.strict.common.mcis >= e.strict.common.mccis);
        // The steps lead from the one score to the other without a gap.
        auto const leads = [](std::vector<score_step> const & steps, double from, double to) {
            for (auto const & s : steps) {
                if (s.before != from)
                    return false;
                from = s.after;
            }
            return from == to;
        };
        CHECK(leads(e.node_steps, e.reference.node.score.f1, e.strict.chain.f1));
        CHECK(leads(e.graph_steps, e.reference.graph.score.f1, e.strict.graph.f1));
    }
}

TEST_CASE("Thousands of nodes take bounded time") {
    std::size_t const n = 3000;
    workflow w;
    w.nodes.emplace_back("START");
    for (std::size_t i = 1; i <= n; ++i) {
        w.nodes.push_back("n" + std::to_string(i / 2)); // in pairs: ties everywhere
        w.edges.push_back({static_cast<graph::vertex>(i - 1), static_cast<graph::vertex>(i)});
        w.edges.push_back({static_cast<graph::vertex>(i - 1), static_cast<graph::vertex>(i)});
    }
    w.nodes.emplace_back("END");
    auto other = w;
    for (std::size_t i = 1; i + 7 <= n; i += 7)
        other.edges.push_back({static_cast<graph::vertex>(i), static_cast<graph::vertex>(i + 5)});
    texts const t(w, other);
    auto const e = worfeval_explainer({.steps = 20'000})(t.pair());
    CHECK(e.reference.node.outcome == outcome::scored);
    CHECK_FALSE(e.reference.node.unique);
    CHECK(e.strict.matched == n);
    CHECK(e.strict.chain.f1 == 1);
    CHECK(e.strict.common.mcis > n / 2);
    CHECK(e.predicted_edges.size() == 2 * n);

    // A gold graph of nine nodes without edges between subtasks has 5040 orders, of which 20 are looked at.
    texts const empty(text("abcdefg", "(START,1)"), text("gfedcba", "(START,1)"));
    CHECK(worfeval_scorer().reference(empty.pair()).node.orders == 20);
}
