#pragma once
/// \file  Why a pair of workflows scores what it scores: the way from the reference score to the strict one, and what
///        became of every edge.
#include <lathe/evaluate/worfeval.hpp>

LATHE_NAMESPACE_BEGIN
namespace evaluate {

/// Why the two levels give different scores.
enum class departure : unsigned char {
    reference_fails, ///< the authors' program ends with an exception
    strict_fails,    ///< the gold workflow is not one that can be scored
    floor,           ///< a chain counts 1 even if nothing matches
    orders,          ///< only the first topological orders are looked at, or the list alone
    indices,         ///< edges are compared by the numbers of their ends, not through the matching
    matching,        ///< of several matchings of the same weight another one is taken, or markers match subtasks
    component,       ///< the largest connected component instead of an induced subgraph: extra edges cost nothing
    markers,         ///< START and END count as nodes
};
/// One step on the way from the reference score to the strict one: the f1 before and after a departure is undone.
struct score_step {
    departure why; ///< the departure that is undone
    double before, ///< the f1 with it
        after;     ///< the f1 without it
    friend bool operator==(score_step const &, score_step const &) = default;
};

/// What became of an edge on the way to a score.
enum class edge_fate : unsigned char {
    kept,          ///< it is one that the score counts
    outside,       ///< an end is not the number of a node
    unmatched,     ///< an end has no partner
    missing,       ///< both ends have partners, between which there is no edge
    other_numbers, ///< reference: there is one, but its ends have other numbers
    left_out       ///< strict: there is one, but an end is not in the common subgraph
};
/// An edge and what became of it in the two graph scores.
struct edge_detail {
    graph::arc edge;     ///< by positions, markers among them
    edge_fate reference, ///< in the reference score
        strict;          ///< in the strict score
    friend bool operator==(edge_detail const &, edge_detail const &) = default;
};

/// Both levels, and why they differ.
struct worfeval_explanation {
    reference_score reference;                ///< where the steps begin
    strict_score strict;                      ///< where they end
    std::vector<score_step> node_steps,       ///< of the chain score, only steps that change the f1
        graph_steps;                          ///< of the graph score, likewise
    std::vector<edge_detail> predicted_edges, ///< as listed; empty if there is no matching to explain them
        gold_edges;                           ///< likewise
};

/// Explains pairs one after the other. An object keeps its work space; it is not for two threads at once.
class worfeval_explainer {
    worfeval_scorer scorer_;
    graph::chain_solver chains_;
    graph::digraph gold_graph_;

    static void add_step(std::vector<score_step> & steps, departure why, double & f1, double next) {
        if (f1 != next)
            steps.push_back({why, f1, next});
        f1 = next;
    }
    // True if there is a way.
    static bool add_failures(std::vector<score_step> & steps, outcome reference, double reference_f1,
                             strict_score const & strict, double strict_f1) {
        if (strict.outcome == outcome::failed)
            steps.push_back({departure::strict_fails, reference_f1, 0});
        else if (reference == outcome::failed)
            steps.push_back({departure::reference_fails, 0, strict_f1});
        return reference == outcome::scored && strict.outcome == outcome::scored;
    }
    void explain_node(workflow_pair const & pair, worfeval_explanation & all) {
        auto const & reference = all.reference.node;
        auto f1 = reference.score.f1;
        if (!add_failures(all.node_steps, reference.outcome, f1, all.strict, all.strict.chain.f1))
            return;
        auto const matched =
            reference.matches.size()
            - static_cast<std::size_t>(std::count(reference.matches.begin(), reference.matches.end(), graph::none));
        add_step(all.node_steps, departure::floor, f1, matched == 0 ? 0 : f1);
        gold_graph_.assign(pair.gold->nodes.size(), pair.gold->edges);
        auto const length = chains_.solve(reference.matches, gold_graph_).size();
        add_step(all.node_steps, departure::orders, f1, f_score_of(length, reference.predicted, reference.gold).f1);
        auto const unmarked = std::min({length, all.strict.predicted, all.strict.gold});
        add_step(all.node_steps, departure::markers, f1,
                 f_score_of(unmarked, all.strict.predicted, all.strict.gold).f1);
        add_step(all.node_steps, departure::matching, f1, all.strict.chain.f1);
    }
    void explain_graph(workflow_pair const & pair, worfeval_explanation & all) {
        auto const & reference = all.reference.graph;
        auto f1 = reference.score.f1;
        bool const both = add_failures(all.graph_steps, reference.outcome, f1, all.strict, all.strict.graph.f1);
        if (reference.outcome != outcome::scored)
            return;
        auto const n = reference.gold;
        std::vector<graph::vertex> partner;
        if (both) {
            auto const f1_of = [&](std::size_t nodes) { return f_score_of(nodes, reference.predicted, n).f1; };
            graph::matched_graphs const mapped(reference.matches, n, pair.predicted->edges, pair.gold->edges);
            add_step(all.graph_steps, departure::indices, f1,
                     f1_of(graph::largest_common_component(mapped).items.size()));
            add_step(all.graph_steps, departure::matching, f1, f1_of(all.strict.with_markers.lcc_mapped));
            add_step(all.graph_steps, departure::component, f1,
                     f1_of(all.strict.with_markers[scorer_.options().graph]));
            add_step(all.graph_steps, departure::markers, f1, all.strict.graph.f1);
            partner = matches_with_markers(all.strict.matches, all.strict.gold);
        }
        explain_edges(pair, all, partner);
    }
    // `partner` is the strict matching; without one the strict fates are those of nodes without partners.
    static void explain_edges(workflow_pair const & pair, worfeval_explanation & all,
                              std::span<graph::vertex const> partner) {
        auto const inverse = [](std::span<graph::vertex const> map, std::size_t size) {
            std::vector<graph::vertex> back(size, graph::none);
            for (std::size_t i = 0; i != map.size(); ++i)
                if (map[i] != graph::none)
                    back[map[i]] = static_cast<graph::vertex>(i);
            return back;
        };
        auto const sorted = [](std::vector<graph::arc> edges) {
            std::sort(edges.begin(), edges.end());
            return edges;
        };
        auto const fate = [](graph::arc const & e, std::span<graph::vertex const> map, std::size_t nodes,
                             std::vector<graph::arc> const & other, auto const & is_kept, edge_fate otherwise) {
            if (!ends_inside(e, nodes))
                return edge_fate::outside;
            if (map.empty() || map[e.from] == graph::none || map[e.to] == graph::none)
                return edge_fate::unmatched;
            if (is_kept())
                return edge_fate::kept;
            return std::binary_search(other.begin(), other.end(), graph::arc{map[e.from], map[e.to]})
                       ? otherwise
                       : edge_fate::missing;
        };
        auto const & reference = all.reference.graph;
        auto const p = pair.predicted->nodes.size(), g = pair.gold->nodes.size();
        auto const edges_p = sorted(pair.predicted->edges), edges_g = sorted(pair.gold->edges);
        auto const reference_back = inverse(reference.matches, g),
                   strict_back = inverse(partner, partner.empty() ? 0 : g);
        std::vector<bool> member_p(p, false), member_g(g, false);
        if (!partner.empty())
            for (auto const v : all.strict.common_nodes) {
                member_p[v] = true;
                member_g[partner[v]] = true;
            }
        auto const explain = [&](std::vector<graph::arc> const & edges, std::size_t nodes, auto const & reference_map,
                                 auto const & strict_map, auto const & other, std::vector<bool> const & member,
                                 std::vector<edge_detail> & out) {
            for (auto const & e : edges)
                out.push_back({e,
                               fate(e, reference_map, nodes, other,
                                    [&] {
                    return std::binary_search(reference.common.begin(), reference.common.end(), e);
                }, edge_fate::other_numbers),
                               fate(e, strict_map, nodes, other, [&] {
                    return member[e.from] && member[e.to]
                           && std::binary_search(other.begin(), other.end(),
                                                 graph::arc{strict_map[e.from], strict_map[e.to]});
                }, edge_fate::left_out)});
        };
        explain(pair.predicted->edges, p, reference.matches, partner, edges_g, member_p, all.predicted_edges);
        explain(pair.gold->edges, g, reference_back, strict_back, edges_p, member_g, all.gold_edges);
    }

public:
    /// \throws option_error
    explicit worfeval_explainer(worfeval_options const & options = {}) : scorer_{options} {}

    /// Both levels, every step between them, and what became of every edge. About twice the work of the scores.
    /// \throws as worfeval_scorer
    [[nodiscard]] worfeval_explanation operator()(workflow_pair const & pair) {
        worfeval_explanation all{scorer_.reference(pair), scorer_.strict(pair), {}, {}, {}, {}};
        explain_node(pair, all);
        explain_graph(pair, all);
        return all;
    }
};

/// Explanations of all pairs, the same for any executor. \see worfeval_explainer
template <executor E>
[[nodiscard]] std::vector<worfeval_explanation> explanations(E & e, std::span<workflow_pair const> pairs,
                                                             worfeval_options const & options = {}) {
    return score_pairs<worfeval_explainer, worfeval_explanation>(
        e, pairs, options, [](worfeval_explainer & explain, workflow_pair const & pair) { return explain(pair); });
}

} // namespace evaluate
LATHE_NAMESPACE_END
