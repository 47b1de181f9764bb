#pragma once
/// \file  Maximum-weight bipartite matching over sparse edges with whole-number weights: exact, with the choice among
///        optima fixed.
#include <lathe/graph/digraph.hpp>

#include <algorithm>
#include <concepts>
#include <string>

LATHE_NAMESPACE_BEGIN
namespace graph {

/// An edge between a left and a right vertex, which are numbered apart.
struct weighted_edge {
    vertex left,         ///< number among the left vertices
        right;           ///< number among the right vertices
    std::int64_t weight; ///< edges of weight 0 or less are never matched
};

/// Which similarities in single precision are edges, and with what weight: those above the threshold, compared in
/// double; NaN is not. The weight of s is s 2^k with k = 23 - floor(log2(threshold)), which is a whole number without
/// rounding for every float above the threshold: 2^24 s for thresholds from 0.5 up to 1. Exact ties of sums of
/// similarities are then exact ties of whole numbers.
class similarity_threshold {
    double above_, scale_;

public:
    static constexpr double largest = 65536; ///< similarity accepted

    /// \throws option_error outside of [2^-20, 2^10]
    explicit similarity_threshold(double above = 0.6) : above_{above} {
        expects_option(above >= 0x1p-20 && above <= 0x1p10, "threshold", std::to_string(above),
                       "a number from 2^-20 to 2^10");
        scale_ = 0x1p23;
        for (auto t = above; t < 1; t *= 2)
            scale_ *= 2;
        for (auto t = above; t >= 2; t /= 2)
            scale_ /= 2;
    }
    /// The threshold itself does not pass.
    [[nodiscard]] double above() const noexcept { return above_; }
    /// Weights are similarities times this.
    [[nodiscard]] double scale() const noexcept { return scale_; }
    /// Whether this is an edge.
    [[nodiscard]] bool passes(float similarity) const noexcept { return static_cast<double>(similarity) > above_; }
    /// 0 for what does not pass. \throws non_finite_error for an infinite similarity, or one above `largest`
    [[nodiscard]] std::int64_t weight(float similarity) const {
        if (!passes(similarity))
            return 0;
        auto const s = static_cast<double>(similarity);
        if (s > largest) [[unlikely]]
            throw non_finite_error{"a similarity of " + std::to_string(s) + ", expected at most 65536"};
        return static_cast<std::int64_t>(s * scale_);
    }
};

/// The edges of a bipartite graph by left vertex, in ascending order of the right ones. Every weight is positive: an
/// edge of weight 0 or less is in no maximum-weight matching that this library returns, and is not kept.
class bipartite_graph {
    std::size_t columns_ = 0;
    std::vector<std::size_t> first_{0};
    std::vector<vertex> right_;
    std::vector<std::int64_t> weight_;

    void clear(std::size_t left, std::size_t right) {
        expects_shape(left < none && right < none, "bipartite_graph: more vertices than numbers for them");
        columns_ = right;
        first_.assign(1, 0);
        right_.clear();
        weight_.clear();
    }

public:
    bipartite_graph() = default;
    /// \see assign
    bipartite_graph(std::size_t left, std::size_t right, std::span<weighted_edge const> edges) {
        assign(left, right, edges);
    }
    /// \see assign
    bipartite_graph(std::size_t left, std::size_t right, std::span<float const> similarities,
                    similarity_threshold const & threshold = similarity_threshold{}) {
        assign(left, right, similarities, threshold);
    }

    /// From edges in any order; of edges between the same two vertices the heaviest counts. O(E log E), in the memory
    /// that is there except for a copy of the edges. \throws shape_error for an end that is no vertex
    void assign(std::size_t left, std::size_t right, std::span<weighted_edge const> edges) {
        clear(left, right);
        std::vector<weighted_edge> sorted;
        sorted.reserve(edges.size());
        for (auto const & e : edges) {
            expects_shape(e.left < left && e.right < right, "bipartite_graph: an edge that ends outside of the graph");
            if (e.weight > 0)
                sorted.push_back(e);
        }
        std::sort(sorted.begin(), sorted.end(), [](weighted_edge const & a, weighted_edge const & b) {
            return a.left != b.left ? a.left < b.left : a.right != b.right ? a.right < b.right : a.weight > b.weight;
        });
        std::size_t at = 0;
        for (std::size_t i = 0; i != left; ++i) {
            for (; at != sorted.size() && sorted[at].left == i; ++at)
                if (right_.size() == first_.back() || right_.back() != sorted[at].right) {
                    right_.push_back(sorted[at].right);
                    weight_.push_back(sorted[at].weight);
                }
            first_.push_back(right_.size());
        }
    }
    /// From weight(i, j), a whole number, of every left i and right j: O(left * right) calls, row by row, no allocation
    /// once the graph has held as many edges.
    template <class F>
        requires std::same_as<std::invoke_result_t<F &, std::size_t, std::size_t>, std::int64_t>
    void assign(std::size_t left, std::size_t right, F && weight) {
        clear(left, right);
        for (std::size_t i = 0; i != left; ++i) {
            for (std::size_t j = 0; j != right; ++j)
                if (std::int64_t const w = weight(i, j); w > 0) {
                    right_.push_back(static_cast<vertex>(j));
                    weight_.push_back(w);
                }
            first_.push_back(right_.size());
        }
    }
    /// From similarity(i, j), a float, of every left i and right j, in the same way.
    /// \throws non_finite_error for an infinite similarity
    template <class F>
        requires std::same_as<std::invoke_result_t<F &, std::size_t, std::size_t>, float>
    void assign(std::size_t left, std::size_t right, F && similarity,
                similarity_threshold const & threshold = similarity_threshold{}) {
        assign(left, right, [&](std::size_t i, std::size_t j) { return threshold.weight(similarity(i, j)); });
    }
    /// From a matrix by rows. \throws shape_error unless it has left * right elements; non_finite_error
    void assign(std::size_t left, std::size_t right, std::span<float const> similarities,
                similarity_threshold const & threshold = similarity_threshold{}) {
        expects_shape(right == 0 ? similarities.empty()
                                 : similarities.size() % right == 0 && similarities.size() / right == left,
                      "bipartite_graph: a matrix of similarities of another size than left * right");
        auto const * const s = similarities.data();
        assign(left, right, [s, right](std::size_t i, std::size_t j) { return s[i * right + j]; }, threshold);
    }

    /// Left vertices.
    [[nodiscard]] std::size_t left() const noexcept { return first_.size() - 1; }
    /// Right vertices.
    [[nodiscard]] std::size_t right() const noexcept { return columns_; }
    /// Edges of positive weight.
    [[nodiscard]] std::size_t edges() const noexcept { return right_.size(); }
    /// The edges of left vertex i are those numbered from first(i) up to first(i + 1).
    [[nodiscard]] std::size_t first(std::size_t i) const noexcept { return first_[i]; }
    /// The right vertex of an edge.
    [[nodiscard]] vertex right_end(std::size_t edge) const noexcept { return right_[edge]; }
    /// The weight of an edge.
    [[nodiscard]] std::int64_t weight(std::size_t edge) const noexcept { return weight_[edge]; }
    /// The weights of all edges, by number.
    [[nodiscard]] std::span<std::int64_t const> weights() const noexcept { return weight_; }
};

/// Which of several matchings of the largest weight is taken.
enum class tie_rule : unsigned char {
    any,          ///< the first one found: the same for the same graph, but no rule says which
    networkx,     ///< that of networkx's max_weight_matching on a graph to which the edges are added by ascending left,
                  ///< then ascending right vertex
    lexicographic ///< that whose right vertices, read by ascending left vertex, come first; unmatched comes last
};

/// A matching of the largest weight.
struct matching {
    std::vector<vertex> right_of; ///< of every left vertex its partner, or `none`
    std::vector<vertex> left_of;  ///< of every right vertex
    std::int64_t weight = 0;      ///< sum over the pairs: the largest there is
    std::size_t size = 0;         ///< pairs. As the weight is what is maximised, not always the largest number of them
    bool unique = true;           ///< no other matching has that weight
};

/// Finds matchings of maximum weight. An object keeps its work space: after the first call of a size none allocates.
///
/// Shortest augmenting paths with potentials in 64-bit whole numbers, which are exact: auction-like reductions first
/// (Jonker and Volgenant 1987), then a Dijkstra search from every left vertex that is still to be matched. With V
/// vertices, E edges and n left vertices: time O(n E log V) at worst and near O(E) on sparse or random graphs, memory
/// O(V + E). Whether the optimum is unique is read off the tight edges, in O(V + E). Where it is not,
/// - `lexicographic` takes the alternating cycles of the tight edges one left vertex at a time: O(n (V + E));
/// - `networkx` repeats the primal-dual method of Galil (1986) as networkx runs it, stage by stage: O(n (V^2 + E)).
///   In a bipartite graph no blossom arises. Checked against networkx 2.8.8 and 3.6.1.
class matching_solver {
    bipartite_graph const * graph_ = nullptr;
    matching result_;
    // An optimal dual: row_[i] + column_[j] >= weight of every edge, = on matched ones, all >= 0, and 0 where
    // unmatched.
    std::vector<std::int64_t> row_, column_;

    struct reached {
        std::int64_t distance;
        vertex right;
        static bool farther(reached const & a, reached const & b) noexcept { return a.distance > b.distance; }
    };
    struct scanned {
        std::int64_t distance;
        vertex left;
    };
    std::vector<vertex> waiting_; // left vertices still to be matched
    std::vector<reached> heap_, level_, passed_;
    std::vector<scanned> scanned_;
    std::vector<std::int64_t> distance_; // of right vertices in the search numbered search_of_
    std::vector<std::uint64_t> from_;    // the left vertex before; as wide as a distance, for loops over both
    std::vector<std::uint32_t> search_of_;
    std::uint32_t search_ = 0;

    // Of the exchange graph: left vertices, and the outside behind them.
    struct step {
        vertex before, through; // the vertex before; the right vertex on the way, or none
    };
    std::vector<unsigned char> colour_;
    std::vector<std::size_t> cursor_;
    std::vector<vertex> path_, seen_for_;
    std::vector<step> step_;

    // Of the primal-dual method. Vertices: left ones, then right ones.
    enum label : unsigned char { unlabelled, outer, inner };
    std::vector<vertex> listed_, mate_, came_from_, stack_, best_from_, best_to_;
    std::vector<std::size_t> below_begin_, best_edge_; // below: edges by right vertex, left ends ascending
    std::vector<vertex> below_, below_edge_;
    std::vector<std::uint32_t> tight_in_;
    std::vector<unsigned char> label_;
    std::vector<std::int64_t> dual_;

    static constexpr std::int64_t largest_sum = std::int64_t{1} << 60;

    [[nodiscard]] vertex left_count() const noexcept { return static_cast<vertex>(graph_->left()); }
    [[nodiscard]] bool tight(std::size_t i, std::size_t edge) const noexcept {
        return row_[i] + column_[graph_->right_end(edge)] == graph_->weight(edge);
    }
    void pair_up(vertex left, vertex right) noexcept {
        result_.right_of[left] = right;
        result_.left_of[right] = left;
    }

    // ---- any optimum ------------------------------------------------------------------------------------------------

    // Bids for the best column with what makes the row indifferent to the second best; whoever held it bids next.
    // Returns the row that is without a column for now, or none.
    vertex bid(vertex i, bool may_displace) {
        auto const & g = *graph_;
        std::int64_t best = 0, second = 0; // being unmatched is worth 0
        auto best_column = none;
        bool best_is_free = false;
        for (auto e = g.first(i), end = g.first(i + 1); e != end; ++e) {
            auto const j = g.right_end(e);
            auto const gain = g.weight(e) - column_[j];
            if (gain > best) {
                second = best;
                best = gain;
                best_column = j;
                best_is_free = result_.left_of[j] == none;
            } else if (gain == best && best_column != none) {
                second = best;
                if (!best_is_free && result_.left_of[j] == none) {
                    best_column = j;
                    best_is_free = true;
                }
            } else if (gain > second)
                second = gain;
        }
        row_[i] = best;
        if (best_column == none)
            return none;
        auto const displaced = result_.left_of[best_column];
        if (displaced != none && (best == second || !may_displace)) {
            waiting_.push_back(i);
            return none;
        }
        row_[i] = second;
        column_[best_column] += best - second;
        if (displaced != none)
            result_.right_of[displaced] = none;
        pair_up(i, best_column);
        return displaced;
    }
    // Where the shortest alternating way from a left vertex ends: at a free right vertex, or at a left one that had
    // better be free.
    struct way {
        std::int64_t length;
        vertex left, right;
        void leave(vertex i, std::int64_t distance) noexcept {
            if (distance < length)
                *this = {distance, i, none};
        }
    };
    // By a heap, for graphs with few edges.
    way search_sparse(vertex source) {
        auto const & g = *graph_;
        if (++search_ == 0) {
            std::fill(search_of_.begin(), search_of_.end(), 0U);
            search_ = 1;
        }
        heap_.clear();
        level_.clear();
        way best{row_[source], source, none};
        auto const scan = [&](vertex i, std::int64_t so_far) {
            scanned_.push_back({so_far, i});
            auto const offset = so_far + row_[i];
            best.leave(i, offset);
            for (auto e = g.first(i), end = g.first(i + 1); e != end; ++e) {
                auto const j = g.right_end(e);
                auto const d = offset + column_[j] - g.weight(e);
                if (d >= best.length || (search_of_[j] == search_ && d >= distance_[j]))
                    continue;
                search_of_[j] = search_;
                distance_[j] = d;
                from_[j] = i;
                if (result_.left_of[j] == none)
                    best = {d, none, j};
                else if (d == so_far)
                    level_.push_back({d, j});
                else {
                    heap_.push_back({d, j});
                    std::push_heap(heap_.begin(), heap_.end(), reached::farther);
                }
            }
        };
        scan(source, 0);
        while (!level_.empty() || !heap_.empty()) {
            reached next{};
            if (!level_.empty()) {
                next = level_.back();
                level_.pop_back();
            } else {
                next = heap_.front();
                std::pop_heap(heap_.begin(), heap_.end(), reached::farther);
                heap_.pop_back();
            }
            if (next.distance >= best.length)
                break;
            if (next.distance != distance_[next.right])
                continue; // since reached on a shorter way
            passed_.push_back(next);
            scan(result_.left_of[next.right], next.distance);
        }
        return best;
    }
    // By looking at all right vertices each time, for graphs with many edges.
    way search_dense(vertex source) {
        auto const & g = *graph_;
        constexpr auto passed = std::numeric_limits<std::int64_t>::min(); // nothing is shorter
        auto const columns = g.right();
        std::fill_n(distance_.begin(), columns, std::numeric_limits<std::int64_t>::max());
        level_.clear();
        way best{row_[source], source, none};
        reached next{0, none};
        for (auto i = source;; i = result_.left_of[next.right]) {
            scanned_.push_back({next.distance, i});
            auto const offset = next.distance + row_[i];
            best.leave(i, offset);
            auto const first = g.first(i), count = g.first(i + 1) - first;
            // What has been passed is the largest number once the sign is a bit like others.
            auto nearest = static_cast<std::uint64_t>(best.length);
            if (count == columns) {
                auto const * const weight = g.weights().data() + first;
                auto const * const price = column_.data();
                auto * const distance = distance_.data();
                auto * const from = from_.data();
                for (std::size_t j = 0; j != columns; ++j) {
                    auto const d = offset + price[j] - weight[j];
                    bool const shorter = d < distance[j];
                    auto const kept = shorter ? d : distance[j];
                    distance[j] = kept;
                    from[j] = shorter ? i : from[j];
                    nearest = std::min(nearest, static_cast<std::uint64_t>(kept));
                }
            } else {
                for (auto e = first; e != first + count; ++e) {
                    auto const j = g.right_end(e);
                    if (auto const d = offset + column_[j] - g.weight(e); d < distance_[j]) {
                        distance_[j] = d;
                        from_[j] = i;
                    }
                }
                for (std::size_t j = 0; j != columns; ++j)
                    nearest = std::min(nearest, static_cast<std::uint64_t>(distance_[j]));
            }
            next.distance = static_cast<std::int64_t>(nearest);
            if (next.distance == best.length)
                return best;
            next.right = none;
            constexpr std::size_t chunk = 64; // in which there is one, as a rule in one only
            for (std::size_t begin = 0; begin < columns; begin += chunk) {
                auto const end = std::min(columns, begin + chunk);
                std::uint64_t found = 0;
                for (auto j = begin; j != end; ++j)
                    found |= std::uint64_t{distance_[j] == next.distance};
                if (found == 0)
                    continue;
                for (auto j = begin; j != end; ++j)
                    if (distance_[j] == next.distance) {
                        next.right = static_cast<vertex>(j);
                        if (result_.left_of[j] == none)
                            return {next.distance, none, next.right};
                    }
            }
            distance_[next.right] = passed;
            passed_.push_back(next);
        }
    }
    // Matches left vertex `source`, or leaves it free.
    void augment_from(vertex source, bool dense) {
        passed_.clear();
        scanned_.clear();
        auto const [shortest, free_left, free_right] = dense ? search_dense(source) : search_sparse(source);
        for (auto const & s : scanned_)
            row_[s.left] -= shortest - s.distance;
        for (auto const & p : passed_)
            column_[p.right] += shortest - p.distance;
        auto j = free_right;
        if (j == none) {
            if (free_left == source)
                return;
            j = std::exchange(result_.right_of[free_left], none);
        }
        for (;;) {
            auto const i = static_cast<vertex>(from_[j]);
            auto const before = result_.right_of[i];
            pair_up(i, j);
            if (i == source)
                return;
            j = before;
        }
    }
    void find_any() {
        auto const & g = *graph_;
        auto const n = left_count();
        row_.assign(n, 0);
        column_.assign(g.right(), 0);
        result_.right_of.assign(n, none);
        result_.left_of.assign(g.right(), none);
        waiting_.clear();
        auto displacements = 2 * static_cast<std::size_t>(n); // prices may rise in steps as small as 1
        for (vertex i = 0; i != n; ++i)
            for (auto bidder = i; bidder != none;) {
                bidder = bid(bidder, displacements != 0);
                displacements -= bidder != none ? 1 : 0;
            }
        if (waiting_.empty())
            return;
        if (search_of_.size() < g.right()) {
            search_of_.resize(g.right(), 0);
            distance_.resize(g.right());
            from_.resize(g.right());
        }
        bool const dense = g.edges() >= g.right() * n / 2;
        for (auto const i : waiting_)
            augment_from(i, dense);
    }

    // ---- the exchange graph -----------------------------------------------------------------------------------------
    //
    // All optimal matchings are matchings of the tight edges that leave only vertices of price 0 unmatched. Let a left
    // vertex i point to the left vertex whose partner it may take over, or to the outside where that partner is free or
    // where i may become free; and the outside to the left vertices that are free or whose partners may become free.
    // Other optima are the directed cycles of this graph.

    // Calls f(target, through) for the arcs of a left vertex from edge `e` on until f says true; returns the edge
    // behind.
    template <class F> std::size_t exchanges(vertex i, std::size_t e, F && f) const {
        auto const & g = *graph_;
        auto const end = g.first(i + 1);
        while (e != end) {
            auto const at = e++;
            auto const j = g.right_end(at);
            if (j != result_.right_of[i] && tight(i, at)) {
                auto const k = result_.left_of[j];
                if (f(k == none ? left_count() : k, j))
                    return e;
            }
        }
        return end;
    }
    [[nodiscard]] bool may_leave(vertex i) const noexcept { return result_.right_of[i] != none && row_[i] == 0; }

    // Whether the exchange graph has no cycle: depth-first search.
    [[nodiscard]] bool is_unique() {
        auto const & g = *graph_;
        auto const n = left_count(), outside = n;
        enum : unsigned char { unseen, open, closed };
        colour_.assign(std::size_t{n} + 1, unseen);
        cursor_.resize(std::size_t{n} + 1);
        auto const enter = [&](vertex x) {
            colour_[x] = open;
            cursor_[x] = x == outside ? 0 : g.first(x);
            path_.push_back(x);
        };
        path_.clear();
        for (vertex root = 0; root != n; ++root) {
            if (colour_[root] != unseen)
                continue;
            enter(root);
            while (!path_.empty()) {
                auto const x = path_.back();
                auto next = none;
                auto const consider = [&](vertex target) {
                    if (colour_[target] == closed)
                        return false;
                    next = target;
                    return true;
                };
                if (x == outside) {
                    for (auto & c = cursor_[x]; next == none && c != n + g.right();) {
                        auto const at = c++;
                        if (at < n) {
                            if (result_.right_of[at] == none)
                                consider(static_cast<vertex>(at));
                        } else if (auto const k = result_.left_of[at - n]; k != none && column_[at - n] == 0)
                            consider(k);
                    }
                } else {
                    cursor_[x] = exchanges(x, cursor_[x], [&](vertex target, vertex) { return consider(target); });
                    if (next == none && may_leave(x))
                        consider(outside);
                }
                if (next == none) {
                    colour_[x] = closed;
                    path_.pop_back();
                } else if (colour_[next] == open)
                    return false;
                else
                    enter(next);
            }
        }
        return true;
    }

    // Gives every left vertex in turn the smallest partner that an optimum which agrees so far has for it.
    void make_lexicographic() {
        auto const & g = *graph_;
        auto const n = left_count(), outside = n;
        step_.resize(std::size_t{n} + 1);
        seen_for_.assign(std::size_t{n} + 1, none);
        for (vertex i = 0; i != n; ++i) {
            for (auto e = g.first(i), end = g.first(i + 1); e != end; ++e) {
                auto const j = g.right_end(e);
                if (j >= result_.right_of[i])
                    break;
                if (tight(i, e) && (result_.left_of[j] == none || result_.left_of[j] > i) && exchange(i, j, outside))
                    break;
            }
        }
    }
    // Pairs i with j if a cycle of exchanges among the left vertices after i allows it. What an earlier call for i has
    // seen in vain is not looked at again.
    bool exchange(vertex i, vertex j, vertex outside) {
        auto const & g = *graph_;
        path_.clear();
        bool found = false;
        auto const reach = [&](vertex target, vertex before, vertex through) {
            if (target < i || seen_for_[target] == i)
                return false;
            seen_for_[target] = i;
            step_[target] = {before, through};
            path_.push_back(target);
            return found = target == i;
        };
        reach(result_.left_of[j] == none ? outside : result_.left_of[j], none, j);
        for (std::size_t at = 0; !found && at < path_.size(); ++at) {
            auto const x = path_[at];
            if (x != outside) {
                exchanges(x, g.first(x), [&](vertex target, vertex through) { return reach(target, x, through); });
                if (!found && may_leave(x))
                    reach(outside, x, none);
                continue;
            }
            for (auto k = i; !found && k != outside; ++k)
                if (result_.right_of[k] == none)
                    reach(k, outside, none);
            for (std::size_t c = 0; !found && c != g.right(); ++c)
                if (result_.left_of[c] != none && column_[c] == 0)
                    reach(result_.left_of[c], outside, static_cast<vertex>(c));
        }
        if (!found)
            return false;
        for (auto x = i; step_[x].before != none; x = step_[x].before) {
            auto const [before, through] = step_[x];
            if (before != outside)
                result_.right_of[before] = through;
            if (through != none)
                result_.left_of[through] = before == outside ? none : before;
        }
        pair_up(i, j);
        return true;
    }

    // ---- networkx's optimum -----------------------------------------------------------------------------------------

    [[nodiscard]] std::int64_t slack(vertex a, vertex b, std::size_t edge) const noexcept {
        return dual_[a] + dual_[b] - 2 * graph_->weight(edge);
    }
    void prepare_stages() {
        auto const & g = *graph_;
        auto const n = left_count();
        auto const all = std::size_t{n} + g.right();
        listed_.clear();
        below_begin_.assign(g.right() + 1, 0);
        below_.resize(g.edges());
        below_edge_.resize(g.edges());
        std::int64_t heaviest = 0;
        for (vertex i = 0; i != n; ++i) {
            if (g.first(i) != g.first(i + 1))
                listed_.push_back(i);
            for (auto e = g.first(i); e != g.first(i + 1); ++e) {
                if (below_begin_[g.right_end(e) + 1]++ == 0)
                    listed_.push_back(n + g.right_end(e));
                heaviest = std::max(heaviest, g.weight(e));
            }
        }
        for (std::size_t j = 0; j != g.right(); ++j)
            below_begin_[j + 1] += below_begin_[j];
        cursor_.assign(below_begin_.begin(), below_begin_.end() - 1);
        for (vertex i = 0; i != n; ++i)
            for (auto e = g.first(i); e != g.first(i + 1); ++e) {
                auto const at = cursor_[g.right_end(e)]++;
                below_[at] = i;
                below_edge_[at] = static_cast<vertex>(e);
            }
        mate_.assign(all, none);
        dual_.assign(all, heaviest);
        label_.resize(all);
        came_from_.resize(all);
        best_from_.resize(all);
        best_to_.resize(all);
        best_edge_.resize(all);
        tight_in_.assign(g.edges(), 0);
    }
    // One stage. False if the matching is of maximum weight.
    bool augment_stage(std::uint32_t stage) {
        auto const & g = *graph_;
        auto const n = left_count();
        stack_.clear();
        for (auto const v : listed_) {
            label_[v] = mate_[v] == none ? outer : unlabelled;
            came_from_[v] = best_from_[v] = none;
            if (mate_[v] == none)
                stack_.push_back(v);
        }
        auto const improve = [&](vertex at, vertex v, vertex y, std::size_t edge, std::int64_t z) {
            if (best_from_[at] == none || z < slack(best_from_[at], best_to_[at], best_edge_[at])) {
                best_from_[at] = v;
                best_to_[at] = y;
                best_edge_[at] = edge;
            }
        };
        for (;;) {
            while (!stack_.empty()) {
                auto const v = stack_.back();
                stack_.pop_back();
                bool const on_left = v < n;
                auto const end = on_left ? g.first(v + 1) : below_begin_[v - n + 1];
                for (auto k = on_left ? g.first(v) : below_begin_[v - n]; k != end; ++k) {
                    auto const y = on_left ? n + g.right_end(k) : below_[k];
                    auto const edge = on_left ? k : below_edge_[k];
                    if (tight_in_[edge] != stage) {
                        if (auto const z = slack(v, y, edge); z <= 0)
                            tight_in_[edge] = stage;
                        else {
                            if (label_[y] == outer)
                                improve(v, v, y, edge, z);
                            else if (label_[y] == unlabelled)
                                improve(y, v, y, edge, z);
                            continue;
                        }
                    }
                    if (label_[y] == unlabelled) {
                        auto const partner = mate_[y];
                        label_[y] = inner;
                        came_from_[y] = v;
                        label_[partner] = outer;
                        came_from_[partner] = y;
                        best_from_[y] = best_from_[partner] = none;
                        stack_.push_back(partner);
                    } else if (label_[y] == outer) {
                        pair_along(v, y);
                        pair_along(y, v);
                        return true;
                    }
                }
            }
            auto delta = dual_[listed_.front()];
            for (auto const v : listed_)
                delta = std::min(delta, dual_[v]);
            auto chosen = none;
            for (auto const y : listed_)
                if (label_[y] == unlabelled && best_from_[y] != none)
                    if (auto const d = slack(best_from_[y], best_to_[y], best_edge_[y]); d < delta) {
                        delta = d;
                        chosen = y;
                    }
            for (auto const v : listed_)
                if (label_[v] == outer && best_from_[v] != none)
                    if (auto const d = slack(best_from_[v], best_to_[v], best_edge_[v]) / 2; d < delta) { // even
                        delta = d;
                        chosen = v;
                    }
            for (auto const v : listed_)
                dual_[v] += label_[v] == outer ? -delta : label_[v] == inner ? delta : 0;
            if (chosen == none)
                return false;
            tight_in_[best_edge_[chosen]] = stage;
            stack_.push_back(best_from_[chosen]);
        }
    }
    // Pairs outer vertex s with t, and the vertices on the way from s to its root anew.
    void pair_along(vertex s, vertex t) noexcept {
        for (;;) {
            mate_[s] = t;
            t = came_from_[s];
            if (t == none)
                return;
            s = came_from_[t];
            mate_[t] = s;
        }
    }
    void find_networkx() {
        expects_shape(graph_->edges() < none, "matching_solver: more edges than numbers for them");
        prepare_stages();
        for (std::uint32_t stage = 1; augment_stage(stage);)
            ++stage;
        auto const n = left_count();
        for (vertex i = 0; i != n; ++i)
            result_.right_of[i] = mate_[i] == none ? none : mate_[i] - n;
        for (std::size_t j = 0; j != result_.left_of.size(); ++j)
            result_.left_of[j] = mate_[n + j];
    }

public:
    /// A matching of maximum total weight. The result is valid until the next call.
    /// \throws option_error if the sum of the weights of the matching could reach 2^60
    matching const & solve(bipartite_graph const & g, tie_rule rule) {
        graph_ = &g;
        std::int64_t heaviest = 0;
        for (std::size_t e = 0; e != g.edges(); ++e)
            heaviest = std::max(heaviest, g.weight(e));
        auto const pairs = static_cast<std::int64_t>(std::min(g.left(), g.right())) + 1;
        expects_option(heaviest < largest_sum / pairs, "weight", std::to_string(heaviest),
                       "such that a matching weighs less than 2^60");
        find_any();
        result_.unique = is_unique();
        if (!result_.unique && rule == tie_rule::lexicographic)
            make_lexicographic();
        else if (!result_.unique && rule == tie_rule::networkx)
            find_networkx();
        result_.weight = 0;
        result_.size = 0;
        for (vertex i = 0; i != left_count(); ++i)
            if (result_.right_of[i] != none) {
                ++result_.size;
                for (auto e = g.first(i); e != g.first(i + 1); ++e)
                    if (g.right_end(e) == result_.right_of[i])
                        result_.weight += g.weight(e);
            }
        return result_;
    }
};

/// A matching of maximum total weight, by a solver of its own. \see matching_solver
[[nodiscard]] inline matching maximum_weight_matching(bipartite_graph const & g, tie_rule rule) {
    matching_solver solver;
    return solver.solve(g, rule);
}

} // namespace graph
LATHE_NAMESPACE_END
