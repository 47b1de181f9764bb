#pragma once
/// \file  WorFEval (Qiao et al., Benchmarking Agentic Workflow Generation, 2024): how well a generated workflow agrees
///        with the gold one, as the authors' program scores it and as the paper defines it (docs/evaluation.md).
#include <lathe/core/executor.hpp>
#include <lathe/core/view.hpp>
#include <lathe/evaluate/workflow_text.hpp>
#include <lathe/graph/best_chain.hpp>
#include <lathe/graph/common_subgraph.hpp>
#include <lathe/graph/components.hpp>
#include <lathe/graph/increasing_subsequence.hpp>
#include <lathe/graph/matching.hpp>
#include <lathe/graph/topological_orders.hpp>

#include <cmath>

LATHE_NAMESPACE_BEGIN
namespace evaluate {

/// Agreement of a prediction with its gold workflow, each number in [0, 1].
struct f_score {
    double precision = 0, ///< share of what was predicted
        recall = 0,       ///< share of what is gold
        f1 = 0;           ///< harmonic mean
    friend bool operator==(f_score const &, f_score const &) = default;
};
/// Of `common` among so many predicted and gold nodes; zeros for nothing in common. In the authors' order of
/// operations.
[[nodiscard]] inline f_score f_score_of(std::size_t common, std::size_t predicted, std::size_t gold) {
    if (common == 0)
        return {};
    auto const p = static_cast<double>(common) / static_cast<double>(predicted);
    auto const r = static_cast<double>(common) / static_cast<double>(gold);
    return {p, r, 2 * p * r / (p + r)};
}

/// What became of a pair.
enum class outcome : unsigned char {
    scored,  ///< it has a score
    skipped, ///< nothing to score in the prediction: counts as 0
    failed   ///< an error of this pair alone, which has a name
};

/// What the strict graph score counts.
enum class common_graph : unsigned char {
    mcis,       ///< the nodes of a maximum common induced subgraph
    mccis,      ///< of one that is connected too
    lcc_mapped, ///< of the largest component of the edges that both have: the authors' measure, less its index error
};

/// Options of the two scores; each looks at its own.
struct worfeval_options {
    double threshold = 0.6;  ///< a node matches another only if their similarity is greater; 2^-20 to 1
    std::size_t orders = 20; ///< reference: how many topological orders of the gold workflow are looked at
    std::size_t one_order_from =
        10; ///< reference: workflows of so many nodes, markers counted, have one order: the list
    common_graph graph = common_graph::mcis; ///< strict: what the graph score counts
    std::uint64_t steps =
        1'000'000; ///< strict: of one search for a subgraph, about 10 ns each; then it is not `optimal`
};

/// A prediction, its gold workflow, and how similar the nodes of the one (rows) are to those of the other (columns). A
/// workflow that is not there is a text that holds none; then nobody looks at the similarities.
struct workflow_pair {
    workflow const * predicted;           ///< nullptr: the text holds none
    workflow const * gold;                ///< nullptr: the text holds none
    mat_view<float const *> similarities; ///< predicted x gold nodes, markers among them
};

/// The authors' chain score: t_eval_nodes.
struct reference_node_score {
    evaluate::outcome outcome = outcome::skipped; ///< scored, skipped or failed
    std::string_view error;                       ///< the exception that ends the authors' program
    f_score score;                                ///< of the length among the nodes counted
    std::size_t length = 0;                       ///< of the longest increasing subsequence, at least 1
    std::size_t predicted = 0,                    ///< nodes counted
        gold = 0;                                 ///< nodes counted
    std::size_t orders = 0;                       ///< looked at
    bool unique = true;                           ///< no other matching weighs as much
    std::vector<graph::vertex> matches = {}; ///< by position in the prediction: position in the gold workflow, or none
    friend bool operator==(reference_node_score const &, reference_node_score const &) = default;
};
/// The authors' graph score: t_eval_graph.
struct reference_graph_score {
    evaluate::outcome outcome = outcome::skipped; ///< scored, skipped or failed
    std::string_view error;                       ///< the exception that ends the authors' program
    f_score score;                                ///< of the component among the nodes counted
    std::size_t component = 0;                    ///< nodes of the largest one
    std::size_t predicted = 0,                    ///< nodes counted
        gold = 0;                                 ///< nodes counted
    bool unique = true;                           ///< no other matching weighs as much
    std::vector<graph::vertex> matches = {}; ///< by position in the prediction: position in the gold workflow, or none
    std::vector<graph::arc> common = {};     ///< edges that are the same pair of numbers in both, ascending
    friend bool operator==(reference_graph_score const &, reference_graph_score const &) = default;
};
/// Both scores of the authors' program.
struct reference_score {
    reference_node_score node;   ///< chain
    reference_graph_score graph; ///< graph
    friend bool operator==(reference_score const &, reference_score const &) = default;
};

/// Sizes of common subgraphs under one matching.
struct common_sizes {
    std::size_t mcis = 0, ///< nodes: common_graph::mcis
        mccis = 0,        ///< nodes: common_graph::mccis
        lcc_mapped = 0;   ///< nodes: common_graph::lcc_mapped
    bool optimal = true;  ///< else the budget ran out, and mcis or mccis may be larger
    /// The size of that kind.
    [[nodiscard]] std::size_t operator[](common_graph which) const noexcept {
        return which == common_graph::mcis ? mcis : which == common_graph::mccis ? mccis : lcc_mapped;
    }
    friend bool operator==(common_sizes const &, common_sizes const &) = default;
};

/// What the paper defines. START and END are no nodes here: positions count the subtasks, from 0.
struct strict_score {
    evaluate::outcome outcome = outcome::skipped; ///< scored, skipped or failed
    std::string_view error;    ///< what is wrong with the gold workflow: gold_unparseable, gold_edge_out_of_range,
                               ///< gold_cyclic, gold_empty; or too_large: either has more than
                               ///< worfeval_scorer::most_subtasks subtasks
    std::size_t predicted = 0, ///< subtasks
        gold = 0,              ///< subtasks
        matched = 0;           ///< pairs of the matching
    std::int64_t weight =
        0; ///< of the matching, times graph::similarity_threshold::scale(): 2^24 for thresholds from 0.5 up
    bool unique = true;                      ///< no other matching weighs as much
    std::vector<graph::vertex> matches = {}; ///< of every predicted subtask the gold one, or none
    std::size_t chain_length = 0;            ///< of the longest chain over all topological orders of the gold workflow
    f_score chain;                           ///< of chain_length
    std::vector<graph::vertex> chain_nodes = {};  ///< predicted subtasks that form such a chain, ascending
    common_sizes common,                          ///< of subtasks
        with_markers;                             ///< START matched with START and END with END besides
    std::vector<graph::vertex> common_nodes = {}; ///< predicted positions, markers among them, of a common induced
                                                  ///< subgraph of with_markers.mcis nodes
    f_score graph;                                ///< of common[options.graph]
    friend bool operator==(strict_score const &, strict_score const &) = default;
};

/// Whether both ends are nodes.
[[nodiscard]] constexpr bool ends_inside(graph::arc const & e, std::size_t nodes) noexcept {
    return e.from < nodes && e.to < nodes;
}
/// The strict matching over all positions: subtasks as in `matches`, START with START, END with END.
[[nodiscard]] inline std::vector<graph::vertex> matches_with_markers(std::span<graph::vertex const> matches,
                                                                     std::size_t gold) {
    std::vector<graph::vertex> partner{0};
    for (auto const m : matches)
        partner.push_back(m == graph::none ? graph::none : m + 1);
    partner.push_back(static_cast<graph::vertex>(gold + 1));
    return partner;
}

/// Scores pairs one after the other. An object keeps its work space; it is not for two threads at once.
class worfeval_scorer {
    worfeval_options options_;
    graph::similarity_threshold threshold_;
    graph::matching_solver solver_;
    graph::bipartite_graph candidates_;
    graph::topological_orders orders_;
    graph::digraph gold_graph_;
    graph::chain_solver chains_;
    graph::disjoint_sets sets_;
    std::vector<graph::vertex> predicted_nodes_, gold_nodes_, position_, values_, tails_, matches_;
    std::vector<graph::vertex> order_; // those of gold_nodes_, in the order under way
    std::vector<graph::arc> predicted_edges_, gold_edges_;

    static bool is_marker(std::string_view node) noexcept { return node == "START" || node == "END"; }
    static void expect_similarities(workflow_pair const & pair) {
        expects_shape(pair.similarities.rows == pair.predicted->nodes.size()
                          && pair.similarities.cols == pair.gold->nodes.size(),
                      "worfeval: the similarities do not fit the workflows");
    }
    static float similarity(workflow_pair const & pair, std::size_t i, std::size_t j) noexcept {
        return pair.similarities.data[i * pair.similarities.ld + j];
    }

    // Predicted nodes against gold nodes, both given by position.
    graph::matching const & match(workflow_pair const & pair, std::span<graph::vertex const> predicted,
                                  std::span<graph::vertex const> gold, graph::tie_rule rule) {
        candidates_.assign(predicted.size(), gold.size(), [&](std::size_t i, std::size_t j) {
            return similarity(pair, predicted[i], gold[j]);
        }, threshold_);
        return solver_.solve(candidates_, rule);
    }

    // ---- reference

    // matches_ := for every predicted node its place in order_; true if no other matching weighs as much.
    bool match_order(workflow_pair const & pair, graph::tie_rule rule) {
        auto const & found = match(pair, predicted_nodes_, order_, rule);
        matches_ = found.right_of;
        return found.unique;
    }
    // Scores order_, whose matching is in matches_ as places in gold_nodes_ (from `unique`) or in order_.
    void take_order(reference_node_score & score, bool as_listed) {
        values_ = matches_;
        if (as_listed) {
            for (std::size_t k = 0; k != order_.size(); ++k)
                position_[order_[k]] = static_cast<graph::vertex>(k);
            for (auto & v : values_)
                if (v != graph::none)
                    v = position_[gold_nodes_[v]];
        }
        auto const length = graph::longest_increasing_length(values_, tails_);
        if (score.orders != 1 && length <= score.length)
            return;
        score.length = std::max<std::size_t>(1, length);
        for (std::size_t k = 0; k != values_.size(); ++k)
            score.matches[predicted_nodes_[k]] = values_[k] == graph::none ? graph::none : order_[values_[k]];
    }

    [[nodiscard]] reference_node_score reference_node(workflow_pair const & pair) {
        reference_node_score score;
        if (pair.predicted == nullptr)
            return score;
        auto const fail = [&](std::string_view exception) {
            score.outcome = outcome::failed;
            score.error = exception;
            return score;
        };
        if (pair.gold == nullptr)
            return fail("UnboundLocalError");
        auto const & predicted = pair.predicted->nodes;
        auto const & gold = pair.gold->nodes;
        bool const one_order = gold.size() >= options_.one_order_from;
        if (!one_order) {
            orders_.assign(gold.size(), pair.gold->edges);
            if (!orders_.acyclic() || orders_.vertices() != gold.size())
                return fail("UnboundLocalError");
        }
        predicted_nodes_.clear();
        gold_nodes_.clear();
        for (std::size_t i = 0; i != predicted.size(); ++i)
            if (!is_marker(predicted[i]))
                predicted_nodes_.push_back(static_cast<graph::vertex>(i));
        for (std::size_t j = 0; j != gold.size(); ++j)
            if (one_order || !is_marker(gold[j]))
                gold_nodes_.push_back(static_cast<graph::vertex>(j));
        if (predicted_nodes_.empty() || gold_nodes_.empty())
            return fail(predicted_nodes_.empty() && gold_nodes_.empty() ? "ValueError" : "RuntimeError");
        expect_similarities(pair);

        score.outcome = outcome::scored;
        score.matches.assign(predicted.size(), graph::none);
        score.predicted = predicted_nodes_.size();
        score.gold = gold_nodes_.size();
        order_ = gold_nodes_;
        // One matching serves all orders if it is the only one.
        score.unique = match_order(pair, one_order ? graph::tie_rule::networkx : graph::tie_rule::any);
        if (one_order) {
            score.orders = 1;
            take_order(score, false);
        } else {
            position_.resize(gold.size());
            while (score.orders < options_.orders && orders_.next()) {
                ++score.orders;
                order_.clear();
                for (auto const v : orders_.order())
                    if (!is_marker(gold[v]))
                        order_.push_back(v);
                if (!score.unique)
                    match_order(pair, graph::tie_rule::networkx);
                take_order(score, score.unique);
            }
        }
        score.score = f_score_of(score.length, score.predicted, score.gold);
        return score;
    }

    [[nodiscard]] reference_graph_score reference_graph(workflow_pair const & pair) {
        reference_graph_score score;
        if (pair.predicted == nullptr)
            return score;
        auto const fail = [&](std::string_view exception) {
            score.outcome = outcome::failed;
            score.error = exception;
            return score;
        };
        if (pair.gold == nullptr)
            return fail("TypeError");
        expect_similarities(pair);
        score.predicted = pair.predicted->nodes.size();
        score.gold = pair.gold->nodes.size();
        candidates_.assign(score.predicted, score.gold,
                           [&](std::size_t i, std::size_t j) { return similarity(pair, i, j); }, threshold_);
        auto const & found = solver_.solve(candidates_, graph::tie_rule::networkx);
        if (found.size == 0)
            return fail("ValueError");
        score.outcome = outcome::scored;
        score.unique = found.unique;
        score.matches = found.right_of;
        take_edges(pair.predicted->edges, found.right_of, predicted_edges_);
        take_edges(pair.gold->edges, found.left_of, gold_edges_);
        std::set_intersection(predicted_edges_.begin(), predicted_edges_.end(), gold_edges_.begin(), gold_edges_.end(),
                              std::back_inserter(score.common));
        sets_.reset(score.predicted);
        for (auto const & e : score.common)
            sets_.unite(e.from, e.to);
        score.component = 1;
        for (auto const & e : score.common)
            score.component = std::max(score.component, sets_.size(e.from));
        score.score = f_score_of(score.component, score.predicted, score.gold);
        return score;
    }
    // The edges between matched nodes, ascending, each once.
    static void take_edges(std::span<graph::arc const> edges, std::span<graph::vertex const> partner,
                           std::vector<graph::arc> & out) {
        out.clear();
        for (auto const & e : edges)
            if (ends_inside(e, partner.size()) && partner[e.from] != graph::none && partner[e.to] != graph::none)
                out.push_back(e);
        std::sort(out.begin(), out.end());
        out.erase(std::unique(out.begin(), out.end()), out.end());
    }

    // ---- strict

    // Numbers of positions first, ..., last - 1.
    static void list_positions(std::vector<graph::vertex> & out, std::size_t first, std::size_t last) {
        out.clear();
        for (auto v = first; v < last; ++v)
            out.push_back(static_cast<graph::vertex>(v));
    }
    [[nodiscard]] common_sizes sizes_of(graph::matched_graphs const & both,
                                        std::vector<graph::vertex> * members) const {
        graph::common_subgraph_options const limits{options_.steps};
        auto const induced = graph::maximum_common_subgraph(both, limits);
        auto const connected = graph::maximum_common_connected_subgraph(both, limits);
        if (members != nullptr)
            for (auto const item : induced.items)
                members->push_back(both.first(item));
        return {induced.items.size(), connected.items.size(), graph::largest_common_component(both).items.size(),
                induced.optimal && connected.optimal};
    }
    [[nodiscard]] std::string_view problem_of(workflow const * gold) {
        if (gold == nullptr)
            return "gold_unparseable";
        auto const n = gold->nodes.size();
        for (auto const & e : gold->edges)
            if (!ends_inside(e, n))
                return "gold_edge_out_of_range";
        gold_graph_.assign(n, gold->edges);
        if (graph::topological_order(gold_graph_).size() != n)
            return "gold_cyclic";
        return n <= 2 ? "gold_empty" : "";
    }

public:
    /// The most subtasks that a chain is looked for in; more are an error of the pair, `too_large`.
    static constexpr std::size_t most_subtasks = 16384;

    /// \throws option_error
    explicit worfeval_scorer(worfeval_options const & options = {}) : options_{options}, threshold_{options.threshold} {
        expects_option(options.orders != 0, "orders", "0", "at least 1");
    }
    /// As given.
    [[nodiscard]] worfeval_options const & options() const noexcept { return options_; }

    /// As the authors' program scores the pair, to the last bit, with its exceptions as errors of the pair. Ties among
    /// matchings are settled as networkx settles them, anew for every order; no other choice of the similarities' bits
    /// is hidden in the result if `unique` is set. Source: evaluator/graph_evaluator.py of WorFBench, commit e6e1cb77.
    ///
    /// Complexity: matching_solver's for the nodes, up to options.orders + 2 times where it is not unique; the edges
    /// sorted. \throws shape_error if the similarities do not fit; non_finite_error for an infinite similarity
    [[nodiscard]] reference_score reference(workflow_pair const & pair) {
        return {reference_node(pair), reference_graph(pair)};
    }

    /// As the paper defines the scores. Subtasks are matched once, to the largest weight, of several matchings the one
    /// whose gold positions, read along the prediction, come first; the chain is the longest over all topological
    /// orders of the gold workflow; the subgraph is induced. A gold workflow against itself scores 1. A prediction that
    /// is not there scores 0. Predicted edges beyond the nodes are ignored, predicted cycles allowed.
    ///
    /// Complexity: matching_solver's and chain_solver's; the subgraphs take exponential time at worst, bounded by
    /// options.steps. \throws as reference()
    [[nodiscard]] strict_score strict(workflow_pair const & pair) {
        strict_score score;
        if (auto const problem = problem_of(pair.gold); !problem.empty()) {
            score.outcome = outcome::failed;
            score.error = problem;
            return score;
        }
        score.gold = pair.gold->nodes.size() - 2;
        if (pair.predicted == nullptr)
            return score;
        expect_similarities(pair);
        score.predicted = pair.predicted->nodes.size() - 2;
        if (std::max(score.predicted, score.gold) > most_subtasks) {
            score.outcome = outcome::failed;
            score.error = "too_large";
            return score;
        }
        score.outcome = outcome::scored;
        list_positions(predicted_nodes_, 1, score.predicted + 1);
        list_positions(gold_nodes_, 1, score.gold + 1);
        auto const & found = match(pair, predicted_nodes_, gold_nodes_, graph::tie_rule::lexicographic);
        score.matches = found.right_of;
        score.matched = found.size;
        score.weight = found.weight;
        score.unique = found.unique;

        values_ = score.matches;
        for (auto & v : values_)
            v += v == graph::none ? 0 : 1;
        for (auto const place : chains_.solve(values_, gold_graph_, {most_subtasks}))
            score.chain_nodes.push_back(static_cast<graph::vertex>(place));
        score.chain_length = score.chain_nodes.size();
        score.chain = f_score_of(score.chain_length, score.predicted, score.gold);

        auto partner = matches_with_markers(score.matches, score.gold);
        auto const & edges = pair.predicted->edges;
        auto const n = pair.gold->nodes.size();
        score.with_markers = sizes_of(graph::matched_graphs(partner, n, edges, pair.gold->edges), &score.common_nodes);
        partner.front() = partner.back() = graph::none;
        score.common = sizes_of(graph::matched_graphs(partner, n, edges, pair.gold->edges), nullptr);
        score.graph = f_score_of(score.common[options_.graph], score.predicted, score.gold);
        return score;
    }
};

/// Means over a set, each score by itself: the mean f1 is not the f1 of the means.
struct worfeval_averages {
    std::size_t pairs = 0, ///< in the set
        skipped = 0,       ///< with nothing to score in the prediction
        failed = 0;        ///< one of the two scores, or the strict one, is an error
    f_score node,          ///< sums in the order of the pairs over all pairs; pairs skipped or failed add nothing
        graph;             ///< likewise
    f_score node_unfailed, ///< the same over the pairs that did not fail
        graph_unfailed;    ///< likewise
};

/// Adds up means as the authors' program does: in order, from 0, divided once at the end.
class mean_f_score {
    f_score sum_;

public:
    /// Adds one pair's.
    void add(f_score const & s) {
        sum_.precision += s.precision;
        sum_.recall += s.recall;
        sum_.f1 += s.f1;
    }
    /// Zeros over nothing.
    [[nodiscard]] f_score over(std::size_t pairs) const {
        auto const n = static_cast<double>(pairs);
        return pairs == 0 ? f_score{} : f_score{sum_.precision / n, sum_.recall / n, sum_.f1 / n};
    }
};

/// The two means of a set, from f(i) = {outcome, node score, graph score} of every pair.
template <class F> worfeval_averages averages_over(std::size_t pairs, F && of) {
    worfeval_averages all;
    all.pairs = pairs;
    mean_f_score node, graph;
    for (std::size_t i = 0; i != pairs; ++i) {
        auto const [what, node_score, graph_score] = of(i);
        all.skipped += what == outcome::skipped ? 1 : 0;
        all.failed += what == outcome::failed ? 1 : 0;
        if (what == outcome::scored) {
            node.add(node_score);
            graph.add(graph_score);
        }
    }
    all.node = node.over(pairs);
    all.graph = graph.over(pairs);
    all.node_unfailed = node.over(pairs - all.failed);
    all.graph_unfailed = graph.over(pairs - all.failed);
    return all;
}
/// What averages are made of.
struct pair_scores {
    evaluate::outcome outcome; ///< failed if one of the scores did
    f_score node,              ///< chain score
        graph;                 ///< graph score
};
/// Of the reference scores.
[[nodiscard]] inline pair_scores scores_of(reference_score const & s) {
    bool const failed = s.node.outcome == outcome::failed || s.graph.outcome == outcome::failed;
    return {failed ? outcome::failed : s.node.outcome, s.node.score, s.graph.score};
}
/// Of the strict scores.
[[nodiscard]] inline pair_scores scores_of(strict_score const & s) { return {s.outcome, s.chain, s.graph}; }

/// The averages that the authors' program writes, over all pairs. It writes none if a pair fails; then these are what
/// they would be had the pair been skipped, or (`_unfailed`) not been there.
[[nodiscard]] inline worfeval_averages averages_of(std::span<reference_score const> scores) {
    return averages_over(scores.size(), [&](std::size_t i) { return scores_of(scores[i]); });
}
/// The averages of the strict scores, in the same way.
[[nodiscard]] inline worfeval_averages averages_of(std::span<strict_score const> scores) {
    return averages_over(scores.size(), [&](std::size_t i) { return scores_of(scores[i]); });
}

/// The results of score(worker, pair) for all pairs, in blocks of pairs, each with a worker made from the options: the
/// same for any executor. \throws as the worker
template <class Worker, class Result, executor E, class Score>
[[nodiscard]] std::vector<Result> score_pairs(E & e, std::span<workflow_pair const> pairs,
                                              worfeval_options const & options, Score const & score) {
    constexpr std::size_t block = 32;
    std::vector<Result> out(pairs.size());
    e.parallel_for((pairs.size() + block - 1) / block, [&](std::size_t b) {
        Worker worker(options);
        for (auto i = b * block; i != std::min(pairs.size(), (b + 1) * block); ++i)
            out[i] = score(worker, pairs[i]);
    });
    return out;
}
/// Scores at the level of the authors' program. \see worfeval_scorer::reference
template <executor E>
[[nodiscard]] std::vector<reference_score> reference_scores(E & e, std::span<workflow_pair const> pairs,
                                                            worfeval_options const & options = {}) {
    return score_pairs<worfeval_scorer, reference_score>(
        e, pairs, options, [](worfeval_scorer & scorer, workflow_pair const & pair) { return scorer.reference(pair); });
}
/// Scores as the paper defines them. \see worfeval_scorer::strict
template <executor E>
[[nodiscard]] std::vector<strict_score> strict_scores(E & e, std::span<workflow_pair const> pairs,
                                                      worfeval_options const & options = {}) {
    return score_pairs<worfeval_scorer, strict_score>(
        e, pairs, options, [](worfeval_scorer & scorer, workflow_pair const & pair) { return scorer.strict(pair); });
}

} // namespace evaluate
LATHE_NAMESPACE_END
