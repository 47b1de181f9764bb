#pragma once
/// \file  What the graph algorithms share: vertices, arcs, and a directed graph by successor lists.
#include <lathe/core/error.hpp>

#include <compare>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace graph {

/// The number of a vertex.
using vertex = std::uint32_t;
/// No vertex. Greater than every vertex.
inline constexpr vertex none = std::numeric_limits<vertex>::max();

/// A graph that must not have a cycle has one.
struct cycle_error : error {
    using error::error;
};

/// An arc. Ordered by its tail, then by its head.
struct arc {
    vertex from, ///< tail
        to;      ///< head
    friend constexpr auto operator<=>(arc const &, arc const &) = default;
};

/// A directed graph over the vertices 0, ..., n - 1. Successors are in the order in which their arcs first appear,
/// which some algorithms depend on; duplicates are dropped, self-loops are kept.
class digraph {
    std::vector<std::size_t> first_{0};
    std::vector<vertex> successors_;
    std::vector<vertex> seen_; // work space of assign()

public:
    digraph() = default;
    /// O(n + arcs), in memory too. \throws shape_error for an end that is no vertex
    digraph(std::size_t vertices, std::span<arc const> arcs) { assign(vertices, arcs); }

    /// The same, in the memory that is there. \throws shape_error for an end that is no vertex
    void assign(std::size_t vertices, std::span<arc const> arcs) {
        expects_shape(vertices < none, "digraph: more vertices than numbers for them");
        for (auto const & a : arcs)
            expects_shape(a.from < vertices && a.to < vertices, "digraph: an arc that ends outside of the graph");
        first_.assign(vertices + 1, 0);
        successors_.resize(arcs.size());
        for (auto const & a : arcs)
            ++first_[a.from + 1];
        for (std::size_t v = 0; v != vertices; ++v)
            first_[v + 1] += first_[v];
        for (auto const & a : arcs) // first_[v] moves to the end of v, that is the beginning of v + 1
            successors_[first_[a.from]++] = a.to;
        seen_.assign(vertices, none);
        std::size_t begin = 0, out = 0;
        for (std::size_t v = 0; v != vertices; ++v) {
            auto const end = first_[v];
            first_[v] = out;
            for (; begin != end; ++begin)
                if (auto const s = successors_[begin]; seen_[s] != v) {
                    seen_[s] = static_cast<vertex>(v);
                    successors_[out++] = s;
                }
        }
        first_[vertices] = out;
        successors_.resize(out);
    }
    /// n
    [[nodiscard]] std::size_t vertices() const noexcept { return first_.size() - 1; }
    /// Distinct arcs.
    [[nodiscard]] std::size_t arcs() const noexcept { return successors_.size(); }
    /// Of v, each once. \pre v < vertices()
    [[nodiscard]] std::span<vertex const> successors(std::size_t v) const {
        return std::span{successors_}.subspan(first_[v], first_[v + 1] - first_[v]);
    }
    /// O(successors of `from`).
    [[nodiscard]] bool has(vertex from, vertex to) const {
        for (auto const s : successors(from))
            if (s == to)
                return true;
        return false;
    }
};

/// The vertices in an order in which every arc goes forward: always the smallest-numbered vertex found first among
/// those without predecessors left, breadth first. Of a cyclic graph only those that no cycle leads to, so that
/// shorter than vertices() means cyclic (Kahn 1962). O(n + arcs).
[[nodiscard]] inline std::vector<vertex> topological_order(digraph const & g) {
    std::vector<vertex> before(g.vertices(), 0), order;
    order.reserve(g.vertices());
    for (std::size_t v = 0; v != g.vertices(); ++v)
        for (auto const s : g.successors(v))
            ++before[s];
    for (std::size_t v = 0; v != g.vertices(); ++v)
        if (before[v] == 0)
            order.push_back(static_cast<vertex>(v));
    for (std::size_t i = 0; i != order.size(); ++i)
        for (auto const s : g.successors(order[i]))
            if (--before[s] == 0)
                order.push_back(s);
    return order;
}

} // namespace graph
LATHE_NAMESPACE_END
