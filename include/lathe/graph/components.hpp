#pragma once
/// \file  Connected components, by disjoint sets.
#include <lathe/graph/digraph.hpp>

#include <algorithm>
#include <numeric>

LATHE_NAMESPACE_BEGIN
namespace graph {

/// A partition of 0, ..., n - 1 that grows coarser. Union by size with path halving: nearly O(1) an operation
/// (Tarjan 1975), O(n) memory.
class disjoint_sets {
    std::vector<vertex> parent_, size_;

public:
    disjoint_sets() = default;
    /// n sets of one element each. \throws shape_error for too many elements
    explicit disjoint_sets(std::size_t n) { reset(n); }
    /// Back to n sets of one element each, in the memory that is there. \throws shape_error for too many elements
    void reset(std::size_t n) {
        expects_shape(n < none, "disjoint_sets: more elements than numbers for them");
        parent_.resize(n);
        std::iota(parent_.begin(), parent_.end(), vertex{0});
        size_.assign(n, 1);
    }
    /// n
    [[nodiscard]] std::size_t elements() const noexcept { return parent_.size(); }
    /// The element that stands for the set of x. \pre x < elements()
    [[nodiscard]] vertex find(vertex x) noexcept {
        while (parent_[x] != x)
            x = parent_[x] = parent_[parent_[x]];
        return x;
    }
    /// How many elements the set of x has. \pre x < elements()
    [[nodiscard]] std::size_t size(vertex x) noexcept { return size_[find(x)]; }
    /// True if they were apart. \pre a, b < elements()
    bool unite(vertex a, vertex b) noexcept {
        a = find(a);
        b = find(b);
        if (a == b)
            return false;
        if (size_[a] < size_[b])
            std::swap(a, b);
        parent_[b] = a;
        size_[a] += size_[b];
        return true;
    }
};

/// The number of the component of every vertex, without regard to directions. Components are numbered in the order of
/// their smallest vertices. O(n + arcs). \throws shape_error for an end that is no vertex
[[nodiscard]] inline std::vector<vertex> connected_components(std::size_t vertices, std::span<arc const> arcs) {
    disjoint_sets sets(vertices);
    for (auto const & a : arcs) {
        expects_shape(a.from < vertices && a.to < vertices,
                      "connected_components: an arc that ends outside of the graph");
        sets.unite(a.from, a.to);
    }
    std::vector<vertex> number(vertices, none), component(vertices);
    vertex count = 0;
    for (std::size_t v = 0; v != vertices; ++v) {
        auto & n = number[sets.find(static_cast<vertex>(v))];
        if (n == none)
            n = count++;
        component[v] = n;
    }
    return component;
}

/// The vertices of a largest connected component, ascending; of several the one with the smallest vertex. Empty for no
/// vertices. O(n + arcs). \throws shape_error for an end that is no vertex
[[nodiscard]] inline std::vector<vertex> largest_component(std::size_t vertices, std::span<arc const> arcs) {
    auto const component = connected_components(vertices, arcs);
    std::vector<std::size_t> size(vertices, 0);
    for (auto const c : component)
        ++size[c];
    auto const largest = static_cast<std::size_t>(std::max_element(size.begin(), size.end()) - size.begin());
    std::vector<vertex> members;
    for (std::size_t v = 0; v != vertices; ++v)
        if (component[v] == largest)
            members.push_back(static_cast<vertex>(v));
    return members;
}

} // namespace graph
LATHE_NAMESPACE_END
