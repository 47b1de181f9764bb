#pragma once
/// \file  Edit distance of two directed graphs.
#include <lathe/graph/matching.hpp>

#include <bit>
#include <cmath>
#include <optional>

LATHE_NAMESPACE_BEGIN
namespace graph {

/// Options of edit_distance.
struct edit_options {
    double vertex = 1;               ///< cost of inserting or deleting a vertex, up to 1024
    double arc = 1;                  ///< of inserting or deleting an arc, up to 1024
    std::size_t max_vertices = 32;   ///< of either graph, up to 64; larger graphs are not searched
    std::uint64_t steps = 4'000'000; ///< of the search: pairs of vertices weighed, about 5 ns each
};

/// What edit_distance found; costs are in the units of the options.
struct edit_result {
    double distance = 0;         ///< an upper bound unless optimal
    double lower_bound = 0;      ///< of the distance; equal to it if optimal
    double normalised = 0;       ///< distance as a part of that of deleting one graph and inserting the other
    std::vector<vertex> partner; ///< of every vertex of the first graph: what it becomes, or `none` where it is deleted
    bool optimal = true;         ///< false if the steps ran out or a graph is too large
};

/// The edit distance of graphs of up to 64 vertices, by depth-first branch and bound. \see edit_distance
class edit_search {
    // All costs are whole numbers of half a 2^-24th: sums are exact, and halves of arcs are whole.
    using cost = std::int64_t;
    struct side {
        std::size_t n;
        std::vector<std::uint64_t> out, in; // without loops
        std::vector<bool> loop;
        explicit side(digraph const & g) : n{g.vertices()}, out(n, 0), in(n, 0), loop(n, false) {
            for (std::size_t v = 0; v != n; ++v)
                for (auto const s : g.successors(v))
                    if (s == v)
                        loop[v] = true;
                    else {
                        out[v] |= std::uint64_t{1} << s;
                        in[s] |= std::uint64_t{1} << v;
                    }
        }
    };
    side a_, b_;
    std::vector<cost> substitution_; // by rows
    cost vertex_, arc_;
    std::vector<vertex> order_, partner_, best_partner_;
    std::uint64_t done_ = 0, used_ = 0; // vertices of the first graph that are dealt with; of the second that are taken
    cost best_, root_bound_ = 0;
    std::uint64_t steps_;
    bool optimal_ = true;
    bipartite_graph pairs_;
    matching_solver solver_;
    std::vector<vertex> rest_a_, rest_b_, whole_;
    cost everything_; // deleted and inserted

    static cost bits(std::uint64_t x) noexcept { return std::popcount(x); }

    // Arcs between v and vertices of `set`.
    static cost arcs_to(side const & s, std::size_t v, std::uint64_t set) noexcept {
        return bits(s.out[v] & set) + bits(s.in[v] & set);
    }
    [[nodiscard]] std::uint64_t image(std::uint64_t set) const noexcept { // of those that are not deleted
        std::uint64_t mapped = 0;
        for (; set != 0; set &= set - 1)
            if (auto const p = partner_[static_cast<std::size_t>(std::countr_zero(set))]; p != none)
                mapped |= std::uint64_t{1} << p;
        return mapped;
    }
    // What it costs now that i becomes j: the vertex, its loop, and arcs to those dealt with.
    [[nodiscard]] cost step_cost(std::size_t i, std::size_t j) const noexcept {
        auto const out = a_.out[i] & done_, in = a_.in[i] & done_;
        auto const mapped_out = image(out), mapped_in = image(in);
        auto const arcs = bits(out) - bits(mapped_out) + bits(mapped_out ^ (b_.out[j] & used_)) + bits(in)
                          - bits(mapped_in) + bits(mapped_in ^ (b_.in[j] & used_)) + (a_.loop[i] != b_.loop[j] ? 1 : 0);
        return substitution_[i * b_.n + j] + arc_ * arcs;
    }
    [[nodiscard]] cost deletion_cost(std::size_t i) const noexcept {
        return vertex_ + arc_ * (arcs_to(a_, i, done_) + (a_.loop[i] ? 1 : 0));
    }
    [[nodiscard]] cost insertion_cost(std::size_t j) const noexcept {
        return vertex_ + arc_ * (arcs_to(b_, j, used_) + (b_.loop[j] ? 1 : 0));
    }
    // At least what the rest costs: vertices with loops and arcs to those dealt with exactly, and half of the
    // difference of their degrees among the rest, as an assignment problem (Riesen and Bunke 2009). The mapping that
    // solves it is a candidate.
    cost rest_bound(std::size_t depth) {
        rest_a_.assign(order_.begin() + static_cast<std::ptrdiff_t>(depth), order_.end());
        rest_b_.clear();
        for (std::size_t j = 0; j != b_.n; ++j)
            if ((used_ >> j & 1) == 0)
                rest_b_.push_back(static_cast<vertex>(j));
        steps_ -= std::min<std::uint64_t>(steps_, rest_a_.size() * rest_b_.size() + 1);
        auto const half = arc_ / 2;
        auto const erase = [&](vertex i) { return deletion_cost(i) + half * arcs_to(a_, i, ~done_); };
        auto const insert = [&](vertex j) { return insertion_cost(j) + half * arcs_to(b_, j, ~used_); };
        cost all = 0;
        for (auto const i : rest_a_)
            all += erase(i);
        for (auto const j : rest_b_)
            all += insert(j);
        pairs_.assign(rest_a_.size(), rest_b_.size(), [&](std::size_t p, std::size_t q) -> std::int64_t {
            auto const i = rest_a_[p], j = rest_b_[q];
            auto const apart = [](cost x, cost y) { return x < y ? y - x : x - y; };
            auto const become = step_cost(i, j)
                                + half
                                      * (apart(bits(a_.out[i] & ~done_), bits(b_.out[j] & ~used_))
                                         + apart(bits(a_.in[i] & ~done_), bits(b_.in[j] & ~used_)));
            return erase(i) + insert(j) - become;
        });
        auto const & assigned = solver_.solve(pairs_, tie_rule::any);
        whole_ = partner_;
        for (std::size_t p = 0; p != rest_a_.size(); ++p)
            if (auto const q = assigned.right_of[p]; q != none)
                whole_[rest_a_[p]] = rest_b_[q];
        if (auto const candidate = cost_of(whole_); candidate < best_) {
            best_ = candidate;
            best_partner_ = whole_;
        }
        return all - assigned.weight;
    }
    // Of a mapping of all vertices.
    [[nodiscard]] cost cost_of(std::vector<vertex> const & partner) const noexcept {
        auto sum = everything_;
        for (std::size_t i = 0; i != a_.n; ++i) {
            auto const j = partner[i];
            if (j == none)
                continue;
            cost common = a_.loop[i] && b_.loop[j] ? 1 : 0;
            for (auto out = a_.out[i]; out != 0; out &= out - 1)
                if (auto const p = partner[static_cast<std::size_t>(std::countr_zero(out))]; p != none)
                    common += static_cast<cost>(b_.out[j] >> p & 1);
            sum += substitution_[i * b_.n + j] - 2 * vertex_ - 2 * arc_ * common;
        }
        return sum;
    }
    void descend(std::size_t depth, cost so_far) {
        if (depth == order_.size()) // its bound was its cost, and has been considered
            return;
        auto const i = order_[depth];
        struct child {
            cost bound, step;
            vertex to;
        };
        std::vector<child> children;
        auto const weigh = [&](vertex j, cost step) {
            if (steps_ == 0) {
                optimal_ = false;
                return;
            }
            enter(i, j);
            auto const bound = so_far + step + rest_bound(depth + 1);
            leave(i, j);
            if (bound < best_)
                children.push_back({bound, step, j});
        };
        for (vertex j = 0; j != b_.n; ++j)
            if ((used_ >> j & 1) == 0)
                weigh(j, step_cost(i, j));
        weigh(none, deletion_cost(i));
        std::sort(children.begin(), children.end(), [](child const & x, child const & y) {
            return x.bound != y.bound ? x.bound < y.bound : x.to < y.to;
        });
        for (auto const & c : children) {
            if (c.bound >= best_)
                break;
            enter(i, c.to);
            descend(depth + 1, so_far + c.step);
            leave(i, c.to);
        }
    }
    void enter(vertex i, vertex j) noexcept {
        partner_[i] = j;
        done_ |= std::uint64_t{1} << i;
        used_ |= j == none ? 0 : std::uint64_t{1} << j;
    }
    void leave(vertex i, vertex j) noexcept {
        partner_[i] = none;
        done_ &= ~(std::uint64_t{1} << i);
        used_ &= j == none ? ~std::uint64_t{0} : ~(std::uint64_t{1} << j);
    }

public:
    /// Costs are in halves of 2^-24. `start` is a solution whose cost is `start_cost`.
    edit_search(digraph const & a, digraph const & b, std::vector<cost> substitution, cost vertex_cost, cost arc_cost,
                std::uint64_t steps, std::vector<vertex> start, cost start_cost)
        : a_{a}, b_{b}, substitution_{std::move(substitution)}, vertex_{vertex_cost}, arc_{arc_cost},
          partner_(a.vertices(), none), best_partner_{std::move(start)}, best_{start_cost}, steps_{steps} {
        everything_ = vertex_ * static_cast<cost>(a_.n + b_.n) + arc_ * static_cast<cost>(a.arcs() + b.arcs());
        order_.resize(a_.n);
        for (std::size_t i = 0; i != a_.n; ++i)
            order_[i] = static_cast<vertex>(i);
        auto const all = ~std::uint64_t{0};
        std::sort(order_.begin(), order_.end(), [&](vertex x, vertex y) { // many arcs first
            auto const of_x = arcs_to(a_, x, all), of_y = arcs_to(a_, y, all);
            return of_x != of_y ? of_x > of_y : x < y;
        });
        root_bound_ = rest_bound(0);
        if (root_bound_ < best_)
            descend(0, 0);
    }
    /// Whether the search was complete.
    [[nodiscard]] bool optimal() const noexcept { return optimal_; }
    /// The least cost found, in halves of 2^-24.
    [[nodiscard]] cost distance() const noexcept { return best_; }
    /// No edit costs less, in halves of 2^-24.
    [[nodiscard]] cost lower_bound() const noexcept { return optimal_ ? best_ : root_bound_; }
    /// Of every vertex of the first graph, under the least cost found.
    [[nodiscard]] std::vector<vertex> const & partner() const noexcept { return best_partner_; }
};

/// The least cost of turning graph `a` into graph `b`: vertices and arcs are deleted and inserted at fixed costs,
/// vertex i becomes vertex j at the cost substitution(i, j) >= 0, with its arcs where both ends stay. A vertex becomes
/// at most one other. Costs are rounded to halves of 2^-24, sums of them are exact. NP-hard: exact, as a rule, up to a
/// dozen vertices of each; beyond, the best found from `start` on (partner of every vertex of `a`, or `none`), and a
/// lower bound. Time O(n + m) beside options.steps; the result does not depend on the machine.
/// \throws option_error for costs outside [0, 1024] or max_vertices > 64; non_finite_error for a substitution that is
/// not
///         a number >= 0; shape_error for a start that is no mapping, or is forbidden
template <class F>
    requires std::convertible_to<std::invoke_result_t<F &, std::size_t, std::size_t>, double>
[[nodiscard]] edit_result edit_distance(digraph const & a, digraph const & b, F && substitution,
                                        std::span<vertex const> start, edit_options const & options = {}) {
    constexpr double unit = 0x1p25;
    constexpr auto forbidden = std::int64_t{1} << 52; // more than graphs of 64 vertices cost
    auto const whole = [](double x) { return std::int64_t{std::llround(x * (unit / 2))} * 2; };
    auto const expects_cost = [](double x, char const * name) {
        expects_option(x >= 0 && x <= 1024, name, std::to_string(x), "a number from 0 to 1024");
    };
    expects_cost(options.vertex, "vertex");
    expects_cost(options.arc, "arc");
    expects_option(options.max_vertices <= 64, "max_vertices", std::to_string(options.max_vertices), "at most 64");
    auto const vertex_cost = whole(options.vertex), arc_cost = whole(options.arc);
    auto const become = [&](std::size_t i, std::size_t j) {
        auto const x = static_cast<double>(substitution(i, j));
        if (!(x >= 0)) [[unlikely]]
            throw non_finite_error{"edit_distance: a substitution that costs " + std::to_string(x)};
        return x <= 0x1p20 ? whole(x) : forbidden;
    };

    // The cost of the start: everything deleted and inserted, less what it saves.
    auto const n = a.vertices(), m = b.vertices();
    expects_shape(start.size() == n, "edit_distance: a start of another size than the first graph");
    auto const everything =
        vertex_cost * static_cast<std::int64_t>(n + m) + arc_cost * static_cast<std::int64_t>(a.arcs() + b.arcs());
    auto start_cost = everything;
    std::vector<bool> taken(m, false);
    std::vector<vertex> seen_for(m, none);
    for (std::size_t i = 0; i != n; ++i) {
        if (start[i] == none)
            continue;
        expects_shape(start[i] < m && !taken[start[i]], "edit_distance: a start that is no mapping");
        taken[start[i]] = true;
        auto const becomes = become(i, start[i]);
        expects_shape(becomes != forbidden, "edit_distance: a start that the substitution forbids");
        start_cost += becomes - 2 * vertex_cost;
        for (auto const s : b.successors(start[i]))
            seen_for[s] = static_cast<vertex>(i);
        for (auto const s : a.successors(i))
            if (start[s] < m && seen_for[start[s]] == i)
                start_cost -= 2 * arc_cost;
    }

    edit_result result;
    result.partner.assign(start.begin(), start.end());
    auto distance = start_cost, bound = std::int64_t{0};
    if (std::max(n, m) <= options.max_vertices) {
        std::vector<std::int64_t> table(n * m);
        for (std::size_t i = 0; i != n; ++i)
            for (std::size_t j = 0; j != m; ++j)
                table[i * m + j] = become(i, j);
        edit_search const search(a, b, std::move(table), vertex_cost, arc_cost, options.steps, result.partner,
                                 start_cost);
        result.optimal = search.optimal();
        result.partner = search.partner();
        distance = search.distance();
        bound = search.lower_bound();
    } else
        result.optimal = start_cost == 0;
    result.distance = static_cast<double>(distance) / unit;
    result.lower_bound = static_cast<double>(result.optimal ? distance : bound) / unit;
    result.normalised = everything == 0 ? 0 : static_cast<double>(distance) / static_cast<double>(everything);
    return result;
}

} // namespace graph
LATHE_NAMESPACE_END
