#pragma once
/// \file  Strong components, and which vertex is reached from which.
#include <lathe/graph/digraph.hpp>

#include <algorithm>
#include <bit>
#include <string>

LATHE_NAMESPACE_BEGIN
namespace graph {

/// The number of the strong component of every vertex. An arc between components leads to one with a smaller number.
struct strong_components {
    std::vector<vertex> of; ///< of every vertex the number of its component
    std::size_t count = 0;  ///< of components
};

/// Tarjan (1972), without recursion. O(n + m).
[[nodiscard]] inline strong_components find_strong_components(digraph const & g) {
    auto const n = g.vertices();
    strong_components found{std::vector<vertex>(n, none), 0};
    std::vector<vertex> index(n, none), low(n), stack, path;
    std::vector<std::size_t> cursor(n, 0);
    vertex next_index = 0;
    auto const enter = [&](vertex v) {
        index[v] = low[v] = next_index++;
        stack.push_back(v);
        path.push_back(v);
    };
    for (std::size_t root = 0; root != n; ++root) {
        if (index[root] != none)
            continue;
        enter(static_cast<vertex>(root));
        while (!path.empty()) {
            auto const v = path.back();
            if (auto const successors = g.successors(v); cursor[v] != successors.size()) {
                auto const s = successors[cursor[v]++];
                if (index[s] == none)
                    enter(s);
                else if (found.of[s] == none) // on the stack
                    low[v] = std::min(low[v], index[s]);
                continue;
            }
            path.pop_back();
            if (!path.empty())
                low[path.back()] = std::min(low[path.back()], low[v]);
            if (low[v] != index[v])
                continue;
            for (auto last = none; last != v;) {
                last = stack.back();
                stack.pop_back();
                found.of[last] = static_cast<vertex>(found.count);
            }
            ++found.count;
        }
    }
    return found;
}

/// The vertices that are reached from one of `roots`, the roots included, marked. O(n + m).
/// \throws shape_error for a root that is no vertex
[[nodiscard]] inline std::vector<bool> reached_from(digraph const & g, std::span<vertex const> roots) {
    std::vector<bool> reached(g.vertices(), false);
    std::vector<vertex> queue;
    auto const reach = [&](vertex v) {
        if (!reached[v]) {
            reached[v] = true;
            queue.push_back(v);
        }
    };
    for (auto const r : roots) {
        expects_shape(r < g.vertices(), "reached_from: a root that is no vertex");
        reach(r);
    }
    for (std::size_t i = 0; i != queue.size(); ++i)
        for (auto const s : g.successors(queue[i]))
            reach(s);
    return reached;
}

/// A relation between k things, as a matrix of bits.
class relation {
    std::size_t size_ = 0, words_ = 0;
    std::vector<std::uint64_t> bits_;

public:
    relation() = default;
    /// Between `size` things, none related.
    explicit relation(std::size_t size) : size_{size}, words_{(size + 63) / 64}, bits_(size * words_, 0) {}
    /// k
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// Whether a is related to b.
    [[nodiscard]] bool operator()(std::size_t a, std::size_t b) const noexcept {
        return (bits_[a * words_ + b / 64] >> b % 64 & 1) != 0;
    }
    /// Relates a to b.
    void set(std::size_t a, std::size_t b) noexcept { bits_[a * words_ + b / 64] |= std::uint64_t{1} << b % 64; }
    /// What a is related to, 64 to a word.
    [[nodiscard]] std::span<std::uint64_t> row(std::size_t a) noexcept {
        return std::span{bits_}.subspan(a * words_, words_);
    }
    /// What a is related to, 64 to a word.
    [[nodiscard]] std::span<std::uint64_t const> row(std::size_t a) const noexcept {
        return std::span{bits_}.subspan(a * words_, words_);
    }
    /// Pairs that are related.
    [[nodiscard]] std::size_t count() const noexcept {
        std::size_t n = 0;
        for (auto const w : bits_)
            n += static_cast<std::size_t>(std::popcount(w));
        return n;
    }
};

/// Which of the given vertices strictly comes before which: (a, b) iff b is reached from a and a is not reached from b,
/// by position in `items`. A partial order, also where the graph has cycles. O((n + m) k / 64 + k^2) time, O(n + m)
/// memory beside the k^2 bits. \throws shape_error for an item that is no vertex, or is there twice
[[nodiscard]] inline relation strict_order(digraph const & g, std::span<vertex const> items) {
    auto const parts = find_strong_components(g);
    std::vector<vertex> item_at(g.vertices(), none);
    for (std::size_t i = 0; i != items.size(); ++i) {
        expects_shape(items[i] < g.vertices(), "strict_order: an item that is no vertex");
        expects_shape(item_at[items[i]] == none, "strict_order: an item that is there twice");
        item_at[items[i]] = static_cast<vertex>(i);
    }
    // Components by descending number are in topological order: what reaches one is known before it is left.
    std::vector<vertex> by_component(g.vertices());
    std::vector<std::size_t> begin(parts.count + 1, 0);
    for (auto const c : parts.of)
        ++begin[parts.count - 1 - c + 1];
    for (std::size_t c = 0; c != parts.count; ++c)
        begin[c + 1] += begin[c];
    for (std::size_t v = 0; v != g.vertices(); ++v)
        by_component[begin[parts.count - 1 - parts.of[v]]++] = static_cast<vertex>(v);

    relation before(items.size());
    std::vector<std::uint64_t> reaching; // of a component: the items of this word that reach it from another one
    std::vector<std::uint64_t> inside;   // those in it
    for (std::size_t w = 0; 64 * w < items.size(); ++w) {
        reaching.assign(parts.count, 0);
        inside.assign(parts.count, 0);
        for (auto i = 64 * w; i != std::min(items.size(), 64 * (w + 1)); ++i)
            inside[parts.of[items[i]]] |= std::uint64_t{1} << i % 64;
        for (auto const v : by_component) {
            auto const c = parts.of[v];
            if (auto const out = reaching[c] | inside[c]; out != 0)
                for (auto const s : g.successors(v))
                    if (parts.of[s] != c)
                        reaching[parts.of[s]] |= out;
        }
        for (std::size_t b = 0; b != items.size(); ++b)
            for (auto bits = reaching[parts.of[items[b]]]; bits != 0; bits &= bits - 1)
                before.set(64 * w + static_cast<std::size_t>(std::countr_zero(bits)), b);
    }
    return before;
}

/// A longest sequence of things of which each is related to the next, by position: for a strict partial order a longest
/// chain. Of several the one found by taking the smallest possible next each time. O(k^2).
/// \throws cycle_error for a relation with a cycle
[[nodiscard]] inline std::vector<std::size_t> longest_path(relation const & before) {
    auto const k = before.size();
    std::vector<vertex> preceding(k, 0), length(k, 1);
    std::vector<std::size_t> order;
    auto const each_after = [&](std::size_t a, auto && f) {
        auto const row = before.row(a);
        for (std::size_t w = 0; w != row.size(); ++w)
            for (auto bits = row[w]; bits != 0; bits &= bits - 1)
                f(64 * w + static_cast<std::size_t>(std::countr_zero(bits)));
    };
    for (std::size_t a = 0; a != k; ++a)
        each_after(a, [&](std::size_t b) { ++preceding[b]; });
    for (std::size_t a = 0; a != k; ++a)
        if (preceding[a] == 0)
            order.push_back(a);
    for (std::size_t i = 0; i != order.size(); ++i)
        each_after(order[i], [&](std::size_t b) {
            if (--preceding[b] == 0)
                order.push_back(b);
        });
    if (order.size() != k)
        throw cycle_error{"longest_path: the relation has a cycle"};
    for (auto a = order.rbegin(); a != order.rend(); ++a)
        each_after(*a, [&](std::size_t b) { length[*a] = std::max(length[*a], length[b] + 1); });
    std::vector<std::size_t> path;
    if (k == 0)
        return path;
    path.push_back(static_cast<std::size_t>(std::max_element(length.begin(), length.end()) - length.begin()));
    while (length[path.back()] != 1) {
        auto const at = path.back();
        auto next = k;
        each_after(at, [&](std::size_t b) {
            if (next == k && length[b] + 1 == length[at])
                next = b;
        });
        path.push_back(next);
    }
    return path;
}

} // namespace graph
LATHE_NAMESPACE_END
