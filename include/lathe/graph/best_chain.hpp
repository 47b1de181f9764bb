#pragma once
/// \file  The longest part of a sequence that some topological order of a graph contains in the same order.
#include <lathe/graph/digraph.hpp>

#include <algorithm>
#include <bit>
#include <string>

LATHE_NAMESPACE_BEGIN
namespace graph {

/// Options of longest chains.
struct chain_options {
    std::size_t max_items = 16384; ///< of a sequence; they take max_items^2 bits
};

/// Finds longest chains. An object keeps its work space.
///
/// Given a sequence of vertices of an acyclic graph (with gaps), its longest subsequence that is also a subsequence of
/// some topological order of the graph: the maximum over all orders of the longest increasing subsequence, without
/// looking at the orders, of which there may be exponentially many.
///
/// A subsequence will do iff nowhere in it an earlier vertex is reached from a later one. "a stands before b, and a is
/// reached from b" is a partial order; its largest antichain is found by Dilworth's theorem as a maximum matching
/// (Hopcroft and Karp 1973) with Koenig's cover (worfeval-algorithms, D). With k items in the sequence and a graph of n
/// vertices and m arcs: time O((n + m) k / 64 + k^2.5), memory O(n + m + k^2 / 8) bytes.
class chain_solver {
    std::vector<vertex> item_at_; // of a vertex
    std::vector<std::size_t> position_, chain_;
    std::vector<std::uint64_t> reaching_, worse_, unseen_;
    std::vector<vertex> left_mate_, right_mate_, level_, queue_, path_, vertex_of_;
    std::vector<std::size_t> cursor_;
    std::size_t words_ = 0;

    [[nodiscard]] std::uint64_t const * row(std::size_t a) const noexcept { return worse_.data() + a * words_; }
    // The first common bit from `from` on; 64 words_ if there is none.
    [[nodiscard]] std::size_t next_of(std::uint64_t const * x, std::size_t from) const noexcept {
        auto w = from / 64;
        if (w == words_)
            return 64 * words_;
        for (auto bits = x[w] & unseen_[w] & (~std::uint64_t{0} << from % 64);; bits = x[w] & unseen_[w]) {
            if (bits != 0)
                return 64 * w + static_cast<std::size_t>(std::countr_zero(bits));
            if (++w == words_)
                return 64 * words_;
        }
    }
    void see(std::size_t b) noexcept { unseen_[b / 64] &= ~(std::uint64_t{1} << b % 64); }
    void unsee_all() { unseen_.assign(words_, ~std::uint64_t{0}); }

    // worse_: of item a, the later items b from which a is reached; 64 of them at a time.
    void relate(digraph const & g, std::span<vertex const> order) {
        auto const k = vertex_of_.size();
        words_ = (k + 63) / 64;
        worse_.assign(k * words_, 0);
        for (std::size_t w = 0; w != words_; ++w) {
            reaching_.assign(g.vertices(), 0);
            for (auto const v : order) {
                auto from = reaching_[v];
                if (item_at_[v] != none && item_at_[v] / 64 == w)
                    from |= std::uint64_t{1} << item_at_[v] % 64;
                if (from != 0)
                    for (auto const s : g.successors(v))
                        reaching_[s] |= from;
            }
            for (std::size_t a = 0; a != std::min(k, 64 * (w + 1)); ++a) {
                auto const later = a / 64 < w ? ~std::uint64_t{0} : ~std::uint64_t{0} << a % 64 << 1;
                worse_[a * words_ + w] = reaching_[vertex_of_[a]] & later;
            }
        }
    }
    // Levels of the left copies, by alternating paths from the free ones. False if no free right copy is reached.
    bool find_levels() {
        unsee_all();
        level_.assign(left_mate_.size(), none);
        queue_.clear();
        for (std::size_t a = 0; a != left_mate_.size(); ++a)
            if (left_mate_[a] == none) {
                level_[a] = 0;
                queue_.push_back(static_cast<vertex>(a));
            }
        auto last = none; // level from which a free one is reached
        for (std::size_t i = 0; i != queue_.size() && level_[queue_[i]] <= last; ++i) {
            auto const a = queue_[i];
            for (auto b = next_of(row(a), 0); b != 64 * words_; b = next_of(row(a), b + 1)) {
                see(b);
                if (auto const c = right_mate_[b]; c == none)
                    last = level_[a];
                else {
                    level_[c] = level_[a] + 1;
                    queue_.push_back(c);
                }
            }
        }
        return last != none;
    }
    // Along disjoint shortest paths.
    void augment_all() {
        unsee_all();
        cursor_.assign(left_mate_.size(), 0);
        for (std::size_t root = 0; root != left_mate_.size(); ++root) {
            if (left_mate_[root] != none)
                continue;
            path_.assign(1, static_cast<vertex>(root));
            while (!path_.empty()) {
                auto const a = path_.back();
                auto const b = next_of(row(a), cursor_[a]);
                cursor_[a] = b + 1;
                if (b == 64 * words_) {
                    cursor_[a] = b;
                    path_.pop_back();
                } else if (auto const c = right_mate_[b]; c == none) {
                    see(b);
                    auto free = static_cast<vertex>(b);
                    for (; !path_.empty(); path_.pop_back()) {
                        right_mate_[free] = path_.back();
                        std::swap(free, left_mate_[path_.back()]);
                    }
                } else if (level_[c] == level_[a] + 1) {
                    see(b);
                    path_.push_back(c);
                }
            }
        }
    }

public:
    /// The positions in `sequence` of a longest chain, ascending; `none` in the sequence is a gap. Of several longest
    /// chains always the same one. The result is valid until the next call.
    /// \throws cycle_error for a cyclic graph; shape_error for a vertex that is not in the graph or stands twice in the
    ///         sequence; option_error for more than options.max_items items
    std::span<std::size_t const> solve(std::span<vertex const> sequence, digraph const & g,
                                       chain_options const & options = {}) {
        auto const order = topological_order(g);
        if (order.size() != g.vertices())
            throw cycle_error{"best_chain: the graph has a cycle"};
        item_at_.assign(g.vertices(), none);
        position_.clear();
        vertex_of_.clear();
        for (std::size_t p = 0; p != sequence.size(); ++p)
            if (auto const v = sequence[p]; v != none) {
                expects_shape(v < g.vertices(), "best_chain: a vertex that is not in the graph");
                expects_shape(item_at_[v] == none, "best_chain: a vertex that stands twice in the sequence");
                item_at_[v] = static_cast<vertex>(position_.size());
                position_.push_back(p);
                vertex_of_.push_back(v);
            }
        auto const k = position_.size();
        expects_option(k <= options.max_items, "max_items", std::to_string(options.max_items),
                       "at least the " + std::to_string(k) + " items of the sequence");
        relate(g, order);
        left_mate_.assign(k, none);
        right_mate_.assign(k, none);
        while (find_levels())
            augment_all();
        // Koenig: the cover is the left copies not reached and the right ones reached; the antichain is what it leaves.
        chain_.clear();
        for (std::size_t a = 0; a != k; ++a)
            if (level_[a] != none && (unseen_[a / 64] >> a % 64 & 1) != 0)
                chain_.push_back(position_[a]);
        return chain_;
    }
};

/// The positions of a longest chain, by a solver of its own. \see chain_solver
[[nodiscard]] inline std::vector<std::size_t> best_chain(std::span<vertex const> sequence, digraph const & g,
                                                         chain_options const & options = {}) {
    chain_solver solver;
    auto const chain = solver.solve(sequence, g, options);
    return {chain.begin(), chain.end()};
}

/// A topological order of the graph in which the vertices of `chain` stand in that order: the witness of a best chain.
/// O(n + m + chain). \throws cycle_error if there is none; shape_error for a vertex that is not in the graph
[[nodiscard]] inline std::vector<vertex> topological_order_through(digraph const & g, std::span<vertex const> chain) {
    std::vector<arc> arcs;
    arcs.reserve(g.arcs() + chain.size());
    for (std::size_t v = 0; v != g.vertices(); ++v)
        for (auto const s : g.successors(v))
            arcs.push_back({static_cast<vertex>(v), s});
    for (std::size_t i = 1; i < chain.size(); ++i)
        arcs.push_back({chain[i - 1], chain[i]});
    auto order = topological_order(digraph(g.vertices(), arcs));
    if (order.size() != g.vertices())
        throw cycle_error{
            "topological_order_through: no topological order has the vertices of the chain in that order"};
    return order;
}

} // namespace graph
LATHE_NAMESPACE_END
