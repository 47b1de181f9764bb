#pragma once
/// \file  All topological orders of a directed graph, one at a time.
#include <lathe/graph/digraph.hpp>

#include <algorithm>

LATHE_NAMESPACE_BEGIN
namespace graph {

/// Every topological order of a directed graph, in the order of networkx's all_topological_sorts (Knuth and Szwarcfiter
/// 1974): at every place the source freed last comes first.
///
///     topological_orders orders(n, arcs);
///     while (orders.next())
///         use(orders.order());
///
/// The graph has the vertices 0, ..., n - 1 and, as in networkx, every other number that an arc names, in the order in
/// which the arcs name them. Duplicate arcs count once; a self-loop makes the graph cyclic. A cyclic graph has no
/// order, and that is known before the first is asked for. O(n + arcs) for the first order, then at most that for each;
/// memory O(n + arcs), kept by assign().
class topological_orders {
    digraph graph_;
    std::vector<arc> arcs_;        // between places
    std::vector<vertex> label_;    // of a place: its vertex
    std::vector<vertex> order_;    // the order under way, as places
    std::vector<vertex> labelled_; // the same as vertices
    std::vector<vertex> before_;   // predecessors of a place that are not in the order yet
    std::vector<vertex> ring_;     // those without: a double-ended queue, at most all places
    std::vector<vertex> bases_;    // the first choice at every position of the order
    std::size_t left_ = 0, waiting_ = 0;
    bool acyclic_ = true, begun_ = false, done_ = false;

    [[nodiscard]] std::size_t ring_place(std::size_t i) const noexcept {
        auto const p = left_ + i; // less than twice the size
        return p < ring_.size() ? p : p - ring_.size();
    }
    [[nodiscard]] vertex right() const noexcept { return ring_[ring_place(waiting_ - 1)]; }
    void push_right(vertex v) noexcept { ring_[ring_place(waiting_++)] = v; }
    void push_left(vertex v) noexcept {
        left_ = (left_ == 0 ? ring_.size() : left_) - 1;
        ring_[left_] = v;
        ++waiting_;
    }
    void extend() {
        while (order_.size() != label_.size()) {
            auto const q = right();
            --waiting_;
            for (auto const s : graph_.successors(q))
                if (--before_[s] == 0)
                    push_right(s);
            order_.push_back(q);
            if (bases_.size() < order_.size())
                bases_.push_back(q);
        }
    }
    // False if every order has been shown.
    bool back_up() {
        while (!order_.empty()) {
            auto const q = order_.back();
            order_.pop_back();
            for (auto const s : graph_.successors(q))
                ++before_[s];
            while (waiting_ != 0 && before_[right()] != 0)
                --waiting_;
            push_left(q);
            if (right() != bases_.back())
                return true;
            bases_.pop_back(); // every choice at this position has been made
        }
        return false;
    }

public:
    topological_orders() = default;
    /// \throws shape_error for 2^32 - 1 vertices or more
    topological_orders(std::size_t vertices, std::span<arc const> arcs) { assign(vertices, arcs); }

    /// Begins anew with another graph, in the memory that is there. \throws shape_error for 2^32 - 1 vertices or more
    void assign(std::size_t vertices, std::span<arc const> arcs) {
        expects_shape(vertices < none, "topological_orders: more vertices than numbers for them");
        label_.resize(vertices);
        for (std::size_t v = 0; v != vertices; ++v)
            label_[v] = static_cast<vertex>(v);
        arcs_.assign(arcs.begin(), arcs.end());
        if (std::any_of(arcs.begin(), arcs.end(),
                        [&](arc const & a) { return a.from >= vertices || a.to >= vertices; }))
            place_strangers(vertices);
        auto const places = label_.size();
        graph_.assign(places, arcs_);

        before_.assign(places, 0);
        for (std::size_t p = 0; p != places; ++p)
            for (auto const s : graph_.successors(p))
                ++before_[s];
        // Kahn's algorithm on the ring as a plain list, to see whether there is a cycle.
        ring_.clear();
        for (std::size_t p = 0; p != places; ++p)
            if (before_[p] == 0)
                ring_.push_back(static_cast<vertex>(p));
        waiting_ = ring_.size();
        for (std::size_t i = 0; i != ring_.size(); ++i)
            for (auto const s : graph_.successors(ring_[i]))
                if (--before_[s] == 0)
                    ring_.push_back(s);
        acyclic_ = ring_.size() == places;
        for (std::size_t p = 0; p != places; ++p)
            for (auto const s : graph_.successors(p))
                ++before_[s];
        left_ = 0; // the sources are the first `waiting_` entries
        order_.clear();
        bases_.clear();
        begun_ = false;
        done_ = !acyclic_;
    }
    /// Whether there is an order at all.
    [[nodiscard]] bool acyclic() const noexcept { return acyclic_; }
    /// Vertices of the graph, those that only arcs name included.
    [[nodiscard]] std::size_t vertices() const noexcept { return label_.size(); }

    /// Moves on to the next order: false if there is none. The graph without vertices has one order, which is empty.
    bool next() {
        if (done_)
            return false;
        if (begun_ && !back_up()) {
            done_ = true;
            return false;
        }
        begun_ = true;
        extend();
        labelled_.resize(order_.size());
        for (std::size_t i = 0; i != order_.size(); ++i)
            labelled_[i] = label_[order_[i]];
        return true;
    }
    /// The order that next() moved to. Valid until it is called again.
    [[nodiscard]] std::span<vertex const> order() const noexcept { return labelled_; }

private:
    // Gives the numbers from `vertices` on that arcs name places behind, in the order of their first appearance.
    void place_strangers(std::size_t vertices) {
        std::vector<std::pair<vertex, std::size_t>> met; // number, when
        for (std::size_t i = 0; i != arcs_.size(); ++i) {
            if (arcs_[i].from >= vertices)
                met.emplace_back(arcs_[i].from, 2 * i);
            if (arcs_[i].to >= vertices)
                met.emplace_back(arcs_[i].to, 2 * i + 1);
        }
        std::sort(met.begin(), met.end());
        met.erase(
            std::unique(met.begin(), met.end(), [](auto const & a, auto const & b) { return a.first == b.first; }),
            met.end()); // each with its first appearance
        auto by_number = met;
        std::sort(met.begin(), met.end(), [](auto const & a, auto const & b) { return a.second < b.second; });
        for (auto const & m : met)
            label_.push_back(m.first);
        for (std::size_t i = 0; i != met.size(); ++i)
            std::lower_bound(by_number.begin(), by_number.end(), std::pair{met[i].first, std::size_t{0}})->second =
                vertices + i;
        auto const place = [&](vertex v) {
            return v < vertices ? v
                                : static_cast<vertex>(
                                      std::lower_bound(by_number.begin(), by_number.end(), std::pair{v, std::size_t{0}})
                                          ->second);
        };
        for (auto & a : arcs_)
            a = {place(a.from), place(a.to)};
    }
};

} // namespace graph
LATHE_NAMESPACE_END
