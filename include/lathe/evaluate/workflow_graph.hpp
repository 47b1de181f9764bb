#pragma once
/// \file  Workflow graphs of any origin: what is wrong with one, and how two differ (docs/evaluation.md).
#include <lathe/evaluate/worfeval.hpp>
#include <lathe/graph/edit_distance.hpp>
#include <lathe/graph/labelled_graph.hpp>
#include <lathe/graph/reachability.hpp>

#include <concepts>

LATHE_NAMESPACE_BEGIN
namespace evaluate {

/// Makes a graph of a text, or throws format_error. io::json_parser and io::dot_parser are others.
template <class P>
concept workflow_parser = requires(P const & parser, std::string_view text) {
    { parser(text) } -> std::same_as<graph::labelled_graph>;
};

/// A parser of the text form of WorFBench.
struct worfbench_parser {
    bool markers = false; ///< START and END are vertices too; else they are left out, with their edges

    /// \throws format_error for a text without a workflow
    graph::labelled_graph operator()(std::string_view text) const {
        auto read = parse_workflow(text);
        if (!read)
            throw format_error{"workflow text: found none, expected nodes after \"Node\" and edges in parentheses"};
        if (markers)
            return {std::move(read->nodes), std::move(read->edges)};
        graph::labelled_graph out;
        auto const end = read->nodes.size() - 1;
        for (std::size_t i = 1; i != end; ++i)
            out.labels.push_back(std::move(read->nodes[i]));
        for (auto const & e : read->edges) {
            if (e.from == 0 || e.to == 0 || e.from == end || e.to == end)
                continue;
            // What lay beyond the nodes lies there still.
            out.arcs.push_back({e.from - 1, e.to - 1});
        }
        return out;
    }
};

/// What is wrong with a graph, or worth knowing. Vertices are ascending.
struct graph_diagnosis {
    std::vector<std::size_t> outside;               ///< positions of arcs with an end that is no vertex
    std::size_t duplicates = 0;                     ///< arcs that have been there before
    std::vector<graph::vertex> loops;               ///< vertices with an arc to themselves
    std::vector<std::vector<graph::vertex>> cycles; ///< sets of two vertices or more that lead to each other
    std::vector<graph::vertex> unreachable;         ///< not reached from a root
    std::vector<graph::vertex> sources,             ///< without an arc to them from another vertex
        sinks;                                      ///< without an arc from them to another vertex
    std::vector<graph::vertex> repeated;            ///< vertices whose label an earlier one has

    /// Whether there is neither a loop nor a longer cycle.
    [[nodiscard]] bool acyclic() const noexcept { return loops.empty() && cycles.empty(); }
};

/// Looks a graph over. Roots, if none are given, are the sources: unreachable is then what only cycles lead to.
/// O(n log n + m log m). \throws shape_error for a root that is no vertex
[[nodiscard]] inline graph_diagnosis diagnose(graph::labelled_graph const & workflow,
                                              std::span<graph::vertex const> roots = {}) {
    using graph::vertex;
    auto const n = workflow.labels.size();
    graph_diagnosis found;
    std::vector<graph::arc> inside;
    std::vector<bool> enters(n, false), leaves(n, false), loop(n, false);
    for (std::size_t i = 0; i != workflow.arcs.size(); ++i) {
        auto const & a = workflow.arcs[i];
        if (a.from >= n || a.to >= n) {
            found.outside.push_back(i);
            continue;
        }
        inside.push_back(a);
        if (a.from == a.to)
            loop[a.from] = true;
        else
            leaves[a.from] = enters[a.to] = true;
    }
    graph::digraph const g(n, inside);
    found.duplicates = inside.size() - g.arcs();
    for (std::size_t v = 0; v != n; ++v) {
        if (loop[v])
            found.loops.push_back(static_cast<vertex>(v));
        if (!enters[v])
            found.sources.push_back(static_cast<vertex>(v));
        if (!leaves[v])
            found.sinks.push_back(static_cast<vertex>(v));
    }
    auto const reached = graph::reached_from(g, roots.empty() ? found.sources : roots);
    for (std::size_t v = 0; v != n; ++v)
        if (!reached[v])
            found.unreachable.push_back(static_cast<vertex>(v));
    auto const parts = graph::find_strong_components(g);
    std::vector<std::vector<vertex>> members(parts.count);
    for (std::size_t v = 0; v != n; ++v)
        members[parts.of[v]].push_back(static_cast<vertex>(v));
    for (auto & part : members)
        if (part.size() > 1)
            found.cycles.push_back(std::move(part));
    std::sort(found.cycles.begin(), found.cycles.end());
    std::vector<vertex> by_label(n);
    for (std::size_t v = 0; v != n; ++v)
        by_label[v] = static_cast<vertex>(v);
    std::sort(by_label.begin(), by_label.end(), [&](vertex a, vertex b) {
        auto const order = workflow.labels[a].compare(workflow.labels[b]);
        return order != 0 ? order < 0 : a < b;
    });
    for (std::size_t i = 1; i < n; ++i)
        if (workflow.labels[by_label[i - 1]] == workflow.labels[by_label[i]])
            found.repeated.push_back(by_label[i]);
    std::sort(found.repeated.begin(), found.repeated.end());
    return found;
}

/// Options of compare_graphs.
struct graph_comparison_options {
    double threshold = 0.6;                                ///< nodes match only if their similarity is greater
    graph::tie_rule ties = graph::tie_rule::lexicographic; ///< among matchings of the same weight
    graph::edit_options edit = {};                         ///< of the edit distance
    std::size_t max_matched = 8192;    ///< pairs; the orders among them take four times their square in bits
    std::size_t max_violations = 1000; ///< listed; all are counted
};

/// How the matched nodes are ordered: a before b where b is reached from a, and a not from b.
struct order_agreement {
    std::size_t kept = 0;                    ///< pairs that both graphs order, and alike
    std::size_t violated = 0;                ///< pairs that the prediction orders the other way
    std::size_t missing = 0;                 ///< pairs that only the gold graph orders
    std::size_t added = 0;                   ///< pairs that only the prediction orders
    std::vector<graph::arc> violations = {}; ///< predicted vertices: `from` comes first there, but second in the gold
                                             ///< graph. Ascending
};

/// How a predicted graph differs from its gold graph.
struct graph_comparison {
    std::vector<graph::vertex> partner; ///< of every predicted vertex: the gold one it matches, or `none`
    std::size_t matched = 0;            ///< pairs
    bool unique = true;                 ///< no other matching has the same weight
    f_score nodes;                      ///< of matched nodes; 1 for two graphs without any
    f_score edges; ///< of edges whose ends match those of an edge of the other graph; duplicates count once; 1 for two
                   ///< graphs without any
    std::size_t common_edges = 0; ///< edges whose ends match those of an edge of the other graph
    graph::edit_result edit;      ///< costs of vertices and arcs as in the options; a substitution costs 1 - similarity
    std::vector<graph::vertex> common_chain; ///< predicted vertices, each before the next in both graphs: a longest one
    order_agreement order;                   ///< of the matched nodes
    graph_diagnosis predicted,               ///< what is wrong with the prediction
        gold;                                ///< what is wrong with the gold graph
};

/// Compares two workflow graphs, given similarity(i, j), a float, of every predicted node i and gold node j.
///
/// Nodes are matched by maximum total similarity above the threshold. The edit distance lets a node become another only
/// if their similarity passes, at the cost 1 - similarity (0 above 1); its search starts from the matching, and is
/// exact for small graphs (graph::edit_distance). Cycles are allowed: nodes of one are not before each other. Edges
/// that end outside of their graph are left out, and reported. Complexity: that of the matching; k^2 bits and O((n + m)
/// k / 64 + k^2) for k matched pairs; options.edit.steps.
/// \throws option_error for an option out of range or more than options.max_matched pairs; non_finite_error for an
///         infinite similarity
template <class F>
    requires std::same_as<std::invoke_result_t<F &, std::size_t, std::size_t>, float>
[[nodiscard]] graph_comparison compare_graphs(graph::labelled_graph const & predicted,
                                              graph::labelled_graph const & gold, F && similarity,
                                              graph_comparison_options const & options = {}) {
    using graph::vertex;
    auto const inside = [](graph::labelled_graph const & g) {
        std::vector<graph::arc> arcs;
        for (auto const & a : g.arcs)
            if (a.from < g.labels.size() && a.to < g.labels.size())
                arcs.push_back(a);
        return graph::digraph(g.labels.size(), arcs);
    };
    auto const p = inside(predicted), g = inside(gold);
    graph_comparison result;
    result.predicted = diagnose(predicted);
    result.gold = diagnose(gold);

    graph::similarity_threshold const threshold(options.threshold);
    graph::bipartite_graph candidates;
    candidates.assign(p.vertices(), g.vertices(), similarity, threshold);
    auto found = graph::maximum_weight_matching(candidates, options.ties);
    result.partner = std::move(found.right_of);
    result.matched = found.size;
    result.unique = found.unique;
    auto const score = [](std::size_t common, std::size_t of_predicted, std::size_t of_gold) {
        return of_predicted == 0 && of_gold == 0 ? f_score{1, 1, 1} : f_score_of(common, of_predicted, of_gold);
    };
    result.nodes = score(found.size, p.vertices(), g.vertices());

    std::vector<vertex> after(g.vertices(), graph::none); // the predicted vertex whose partner has an edge to this one
    for (std::size_t v = 0; v != p.vertices(); ++v) {
        if (result.partner[v] == graph::none)
            continue;
        for (auto const s : g.successors(result.partner[v]))
            after[s] = static_cast<vertex>(v);
        for (auto const s : p.successors(v))
            if (result.partner[s] != graph::none && after[result.partner[s]] == v)
                ++result.common_edges;
    }
    result.edges = score(result.common_edges, p.arcs(), g.arcs());

    auto const become = [&](std::size_t i, std::size_t j) {
        auto const s = similarity(i, j);
        return threshold.passes(s) ? std::max(0.0, 1.0 - static_cast<double>(s))
                                   : std::numeric_limits<double>::infinity();
    };
    result.edit = graph::edit_distance(p, g, become, result.partner, options.edit);

    expects_option(found.size <= options.max_matched, "max_matched", std::to_string(options.max_matched),
                   "at least the " + std::to_string(found.size) + " pairs");
    std::vector<vertex> items, partners;
    for (std::size_t v = 0; v != p.vertices(); ++v)
        if (result.partner[v] != graph::none) {
            items.push_back(static_cast<vertex>(v));
            partners.push_back(result.partner[v]);
        }
    auto const in_predicted = graph::strict_order(p, items), in_gold = graph::strict_order(g, partners);
    graph::relation both(items.size()), against(items.size()); // against: predicted order, where gold has the other
    for (std::size_t a = 0; a != items.size(); ++a) {
        auto const row = in_predicted.row(a), other = in_gold.row(a);
        auto const kept = both.row(a);
        for (std::size_t w = 0; w != row.size(); ++w)
            kept[w] = row[w] & other[w];
        for (std::size_t b = 0; b != items.size(); ++b)
            if (in_predicted(a, b) && in_gold(b, a))
                against.set(a, b);
    }
    result.order.kept = both.count();
    result.order.violated = against.count();
    result.order.missing = in_gold.count() - result.order.kept - result.order.violated;
    result.order.added = in_predicted.count() - result.order.kept - result.order.violated;
    for (std::size_t a = 0; a != items.size(); ++a)
        for (std::size_t b = 0; b != items.size() && result.order.violations.size() < options.max_violations; ++b)
            if (against(a, b))
                result.order.violations.push_back({items[a], items[b]});
    for (auto const at : graph::longest_path(both))
        result.common_chain.push_back(items[at]);
    return result;
}

/// The same for nodes that match only if their labels are equal.
[[nodiscard]] inline graph_comparison compare_graphs(graph::labelled_graph const & predicted,
                                                     graph::labelled_graph const & gold,
                                                     graph_comparison_options const & options = {}) {
    return compare_graphs(predicted, gold, [&](std::size_t i, std::size_t j) {
        return predicted.labels[i] == gold.labels[j] ? 1.0f : 0.0f;
    }, options);
}

} // namespace evaluate
LATHE_NAMESPACE_END
