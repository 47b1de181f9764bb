#pragma once
/// \file  Common subgraphs of two directed graphs under a given matching of their vertices.
#include <lathe/graph/components.hpp>

#include <queue>

LATHE_NAMESPACE_BEGIN
namespace graph {

/// The matched pairs of vertices of two graphs, called items, and how the graphs agree about them. Two items conflict
/// if one of the graphs has an arc between them that the other has not; they have a common edge if both graphs have the
/// same arc between them. Both can hold, of opposite arcs. Duplicate arcs count once; self-loops and arcs of vertices
/// that are not matched do not count.
class matched_graphs {
    std::vector<vertex> first_, second_;
    digraph conflicts_, common_; // symmetric

public:
    /// partner[i] is the vertex of the second graph, of `second_vertices`, that vertex i of the first is matched to, or
    /// `none`. Items are in ascending order of the first graph's vertices. Arcs may end anywhere.
    /// O(n + a log a) for n vertices and a arcs of both graphs. \throws shape_error for a partner that is no vertex, or
    /// that two vertices share
    matched_graphs(std::span<vertex const> partner, std::size_t second_vertices, std::span<arc const> first_arcs,
                   std::span<arc const> second_arcs) {
        std::vector<vertex> item_of_first(partner.size(), none), item_of_second(second_vertices, none);
        for (std::size_t i = 0; i != partner.size(); ++i) {
            if (partner[i] == none)
                continue;
            expects_shape(partner[i] < second_vertices, "matched_graphs: a partner that is no vertex");
            expects_shape(item_of_second[partner[i]] == none, "matched_graphs: a partner that two vertices share");
            item_of_first[i] = item_of_second[partner[i]] = static_cast<vertex>(first_.size());
            first_.push_back(static_cast<vertex>(i));
            second_.push_back(partner[i]);
        }
        auto const in_items = [](std::span<arc const> arcs, std::vector<vertex> const & item) {
            std::vector<arc> out;
            for (auto const & a : arcs)
                if (a.from < item.size() && a.to < item.size() && a.from != a.to && item[a.from] != none
                    && item[a.to] != none)
                    out.push_back({item[a.from], item[a.to]});
            std::sort(out.begin(), out.end());
            out.erase(std::unique(out.begin(), out.end()), out.end());
            return out;
        };
        auto const a = in_items(first_arcs, item_of_first), b = in_items(second_arcs, item_of_second);
        std::vector<arc> conflicts, common;
        auto const add = [](std::vector<arc> & to, arc const & x) {
            to.push_back(x);
            to.push_back({x.to, x.from});
        };
        for (std::size_t i = 0, j = 0; i != a.size() || j != b.size();)
            if (j == b.size() || (i != a.size() && a[i] < b[j]))
                add(conflicts, a[i++]);
            else if (i == a.size() || b[j] < a[i])
                add(conflicts, b[j++]);
            else {
                add(common, a[i++]);
                ++j;
            }
        conflicts_.assign(items(), conflicts);
        common_.assign(items(), common);
    }
    /// Matched pairs, numbered from 0.
    [[nodiscard]] std::size_t items() const noexcept { return first_.size(); }
    /// The vertex of an item in the first graph, and in the second.
    /// The vertex of an item in the first graph.
    [[nodiscard]] vertex first(std::size_t item) const { return first_[item]; }
    /// The vertex of an item in the second graph.
    [[nodiscard]] vertex second(std::size_t item) const { return second_[item]; }
    /// Of each item those that it conflicts with; symmetric.
    [[nodiscard]] digraph const & conflicts() const noexcept { return conflicts_; }
    /// Of each item those that it has a common edge with; symmetric.
    [[nodiscard]] digraph const & common() const noexcept { return common_; }
};

/// Options of maximum_common_subgraph.
struct common_subgraph_options {
    std::uint64_t steps = 20'000'000; ///< of branch and bound: items looked at, about 10 ns each
};
/// Items of matched_graphs that make a subgraph of both graphs.
struct common_subgraph {
    std::vector<vertex> items; ///< ascending
    bool optimal = true;       ///< false if the steps ran out: there may be a larger one
};

/// Orders disjoint sets of vertices by size, then by their first vertices.
inline constexpr auto smaller_part = [](std::vector<vertex> const & a, std::vector<vertex> const & b) {
    return a.size() != b.size() ? a.size() < b.size() : a.front() < b.front();
};

/// The largest component of the common edges, whatever the conflicts; of several the one with the smallest item. O(k +
/// c) for k items and c common edges.
[[nodiscard]] inline common_subgraph largest_common_component(matched_graphs const & graphs) {
    std::vector<arc> edges;
    for (std::size_t i = 0; i != graphs.items(); ++i)
        for (auto const j : graphs.common().successors(i))
            edges.push_back({static_cast<vertex>(i), j});
    return {largest_component(graphs.items(), edges), true};
}

/// Drops the item with most conflicts among those left until none is left: a set without conflicts that is large as a
/// rule, and with all items that conflict with none of it. O((k + c) log k) for c conflicts.
[[nodiscard]] inline std::vector<vertex> conflict_free_items(digraph const & conflicts, std::span<vertex const> among) {
    std::vector<vertex> degree(conflicts.vertices(), none); // none: not there
    for (auto const v : among)
        degree[v] = 0;
    std::priority_queue<std::pair<vertex, vertex>> worst; // conflicts, item
    for (auto const v : among) {
        for (auto const s : conflicts.successors(v))
            degree[v] += degree[s] != none ? 1u : 0u;
        if (degree[v] != 0)
            worst.emplace(degree[v], v);
    }
    while (!worst.empty()) {
        auto const [d, v] = worst.top();
        worst.pop();
        if (degree[v] != d)
            continue; // since then it lost conflicts
        degree[v] = none;
        for (auto const s : conflicts.successors(v))
            if (degree[s] != none && --degree[s] != 0)
                worst.emplace(degree[s], s);
    }
    std::vector<vertex> kept;
    for (auto const v : among) {
        if (degree[v] == none) {
            auto const others = conflicts.successors(v);
            if (std::any_of(others.begin(), others.end(), [&](vertex s) { return degree[s] != none; }))
                continue;
            degree[v] = 0;
        }
        kept.push_back(v);
    }
    return kept;
}

/// A maximum independent set of a symmetric graph: branch and reduce (take vertices with one neighbour or none, split
/// into components, branch on a vertex of highest degree), with a bound from a maximal matching. \see
/// maximum_common_subgraph
class independent_set_search {
    digraph const & graph_;
    std::vector<unsigned char> alive_, covered_;
    std::vector<vertex> degree_, removed_, light_, mark_;
    std::uint64_t steps_;
    bool optimal_ = true;

    // Components with more vertices left after reduction are not searched: this bounds the depth of the recursion.
    static constexpr std::size_t largest_searched = 1024;

    void remove(vertex v) {
        alive_[v] = 0;
        removed_.push_back(v);
        for (auto const s : graph_.successors(v))
            if (alive_[s] != 0 && --degree_[s] < 2)
                light_.push_back(s);
    }
    void restore(std::size_t to) {
        while (removed_.size() != to) {
            auto const v = removed_.back();
            removed_.pop_back();
            for (auto const s : graph_.successors(v))
                degree_[s] += alive_[s];
            alive_[v] = 1;
        }
    }
    void take(vertex v, std::vector<vertex> & set) {
        set.push_back(v);
        remove(v);
        for (auto const s : graph_.successors(v))
            if (alive_[s] != 0)
                remove(s);
    }
    // Of any two neighbours at most one is taken.
    [[nodiscard]] std::size_t bound(std::span<vertex const> part) {
        auto free = part.size();
        for (auto const v : part)
            covered_[v] = 0;
        for (auto const v : part) {
            if (covered_[v] != 0)
                continue;
            for (auto const s : graph_.successors(v))
                if (alive_[s] != 0 && covered_[s] == 0) {
                    covered_[v] = covered_[s] = 1;
                    --free;
                    break;
                }
        }
        return free;
    }
    [[nodiscard]] std::vector<std::vector<vertex>> components(std::span<vertex const> region) {
        for (auto const v : region)
            mark_[v] = 0;
        std::vector<std::vector<vertex>> parts;
        for (auto const v : region) {
            if (alive_[v] == 0 || mark_[v] != 0)
                continue;
            mark_[v] = 1;
            auto & part = parts.emplace_back(1, v);
            for (std::size_t i = 0; i != part.size(); ++i)
                for (auto const s : graph_.successors(part[i]))
                    if (alive_[s] != 0 && mark_[s] == 0) {
                        mark_[s] = 1;
                        part.push_back(s);
                    }
        }
        std::sort(parts.begin(), parts.end(), smaller_part);
        return parts;
    }
    // A maximum set of a connected part whose vertices all have two neighbours or more. May give up, with a set of
    // `beaten` vertices or fewer, when there is no larger one.
    std::vector<vertex> branch(std::span<vertex const> part, std::size_t beaten) {
        auto const v =
            *std::max_element(part.begin(), part.end(), [&](vertex a, vertex b) { return degree_[a] < degree_[b]; });
        bool const cycle = degree_[v] == 2;
        auto const before = removed_.size();
        std::vector<vertex> with;
        take(v, with);
        auto const rest = solve(part, beaten == 0 ? 0 : beaten - 1);
        with.insert(with.end(), rest.begin(), rest.end());
        restore(before);
        if (cycle || steps_ == 0) { // some maximum set of a cycle has any given vertex
            optimal_ = optimal_ && cycle;
            return with;
        }
        remove(v);
        auto without = solve(part, std::max(beaten, with.size()));
        restore(before);
        return without.size() > with.size() ? without : with;
    }

public:
    /// \param graph symmetric; must outlive the search \param steps vertices looked at before it gives up
    independent_set_search(digraph const & graph, std::uint64_t steps)
        : graph_{graph}, alive_(graph.vertices(), 1), covered_(graph.vertices(), 0), degree_(graph.vertices()),
          mark_(graph.vertices(), 0), steps_{steps} {
        for (std::size_t v = 0; v != graph.vertices(); ++v)
            degree_[v] = static_cast<vertex>(graph.successors(v).size());
    }
    /// False once the steps ran out or a component was too large to search: there may be a larger set.
    [[nodiscard]] bool optimal() const noexcept { return optimal_; }

    /// A maximum set among the vertices of `region` that are alive; one of `beaten` vertices or fewer, not always
    /// maximum, when there is no larger one.
    std::vector<vertex> solve(std::span<vertex const> region, std::size_t beaten) {
        std::vector<vertex> set;
        auto const before = removed_.size();
        steps_ -= std::min<std::uint64_t>(steps_, region.size());
        light_.clear();
        for (auto const v : region)
            if (alive_[v] != 0 && degree_[v] < 2)
                light_.push_back(v);
        while (!light_.empty()) {
            auto const v = light_.back();
            light_.pop_back();
            if (alive_[v] != 0)
                take(v, set);
        }
        auto const parts = components(region);
        std::vector<std::size_t> bounds;
        auto most = set.size(); // that can be reached with the bounds of the parts that are not solved yet
        for (auto const & part : parts) {
            bounds.push_back(bound(part));
            most += bounds.back();
        }
        for (std::size_t i = 0; i != parts.size() && most > beaten; ++i) {
            std::vector<vertex> best;
            if (steps_ == 0 || parts[i].size() > largest_searched) {
                optimal_ = false;
                std::vector<vertex> here(parts[i]);
                best = conflict_free_items(graph_, here);
            } else
                best = branch(parts[i], beaten + bounds[i] > most ? beaten + bounds[i] - most : 0);
            most -= bounds[i] - best.size();
            set.insert(set.end(), best.begin(), best.end());
        }
        restore(before);
        return set;
    }
};

/// A largest set of items without conflicts: a maximum common induced subgraph under the matching. NP-hard in general;
/// exact unless the steps run out or more than 1024 items are entangled, and quick at the sizes of workflows.
/// Deterministic. Memory O(k^2 + c) at worst.
[[nodiscard]] inline common_subgraph maximum_common_subgraph(matched_graphs const & graphs,
                                                             common_subgraph_options const & options = {}) {
    std::vector<vertex> all(graphs.items());
    std::iota(all.begin(), all.end(), vertex{0});
    if (graphs.conflicts().arcs() == 0)
        return {std::move(all), true};
    independent_set_search search(graphs.conflicts(), options.steps);
    auto set = search.solve(all, 0);
    std::sort(set.begin(), set.end());
    return {std::move(set), search.optimal()};
}

/// A largest set of items without conflicts that its common edges connect: a maximum common connected induced subgraph
/// under the matching. NP-hard in general. Branch and bound inside the components of the common edges: drop an item
/// with most conflicts, or keep it and drop what it conflicts with; largest component first. Deterministic; memory
/// bounded by 64 MB beside O(k + c).
[[nodiscard]] inline common_subgraph maximum_common_connected_subgraph(matched_graphs const & graphs,
                                                                       common_subgraph_options const & options = {}) {
    auto const & conflicts = graphs.conflicts();
    auto const & common = graphs.common();
    auto const k = graphs.items();
    if (conflicts.arcs() == 0)
        return largest_common_component(graphs);

    struct problem {
        std::vector<vertex> members, kept; // what is kept conflicts with no member
    };
    enum : unsigned char { outside, inside, reached };
    std::vector<unsigned char> state(k, outside), covered(k, 0);
    // The components of the common edges within `members`, ascending by size.
    auto const components = [&](std::vector<vertex> const & members) {
        for (auto const v : members)
            state[v] = inside;
        std::vector<std::vector<vertex>> parts;
        for (auto const v : members) {
            if (state[v] != inside)
                continue;
            state[v] = reached;
            auto & part = parts.emplace_back(1, v);
            for (std::size_t i = 0; i != part.size(); ++i)
                for (auto const s : common.successors(part[i]))
                    if (state[s] == inside) {
                        state[s] = reached;
                        part.push_back(s);
                    }
        }
        for (auto const v : members)
            state[v] = outside;
        std::sort(parts.begin(), parts.end(), smaller_part);
        return parts;
    };

    std::vector<vertex> all(k);
    std::iota(all.begin(), all.end(), vertex{0});
    auto best = components(conflict_free_items(conflicts, all)).back();
    constexpr std::size_t storage = std::size_t{1} << 24; // vertices in problems that wait
    std::vector<problem> waiting;
    std::size_t stored = 0;
    auto steps = options.steps;
    bool optimal = true;
    auto const wait = [&](problem && p) {
        if (stored + p.members.size() + p.kept.size() > storage)
            optimal = false;
        else {
            stored += p.members.size() + p.kept.size();
            waiting.push_back(std::move(p));
        }
    };
    wait({std::move(all), {}});
    while (!waiting.empty()) {
        auto const now = std::move(waiting.back());
        waiting.pop_back();
        stored -= now.members.size() + now.kept.size();
        if (now.members.size() <= best.size())
            continue;
        if (steps == 0) {
            optimal = false;
            break;
        }
        steps -= std::min<std::uint64_t>(steps, now.members.size());
        for (auto & part : components(now.members)) {
            if (part.size() <= best.size())
                continue;
            for (auto const v : part)
                state[v] = inside;
            bool const holds_kept =
                std::all_of(now.kept.begin(), now.kept.end(), [&](vertex v) { return state[v] == inside; });
            auto worst = none;
            std::size_t most = 0, bound = part.size();
            for (auto const v : part)
                covered[v] = 0;
            for (auto const v : part) {
                std::size_t degree = 0;
                for (auto const s : conflicts.successors(v)) {
                    if (state[s] != inside)
                        continue;
                    ++degree;
                    if (covered[v] == 0 && covered[s] == 0) { // of the two at most one is kept
                        covered[v] = covered[s] = 1;
                        --bound;
                    }
                }
                if (degree > most) {
                    most = degree;
                    worst = v;
                }
            }
            problem keep;
            if (holds_kept && worst != none && bound > best.size()) {
                for (auto const s : conflicts.successors(worst))
                    state[s] = outside;
                for (auto const v : part)
                    if (state[v] == inside)
                        keep.members.push_back(v);
                keep.kept = now.kept;
                keep.kept.push_back(worst);
            }
            for (auto const v : part)
                state[v] = outside;
            if (!holds_kept || bound <= best.size())
                continue;
            if (worst == none) {
                best = std::move(part);
                continue;
            }
            wait(std::move(keep));
            part.erase(std::find(part.begin(), part.end(), worst));
            wait({std::move(part), now.kept});
        }
    }
    std::sort(best.begin(), best.end());
    return {std::move(best), optimal};
}

} // namespace graph
LATHE_NAMESPACE_END
