#pragma once
/// \file  Ranks of clusters, the rule that says which ranks are green, and the automaton that counts hits: the part of
///        CoheMark (arXiv 2504.17309) that looks at no vectors. docs/watermarking.md.
#include <lathe/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// Clusters that an order can hold.
inline constexpr std::size_t most_clusters = 65535;

/// order := clusters from rank 1 on: by membership, of equal ones the higher index first; NaN before every number,
/// among themselves by index likewise. That is the end of a stable ascending sort with NaN last, read backwards.
/// \throws shape_error unless there is room for as many, of which there are at most most_clusters
/// Complexity: O(K log K); O(K) to O(K^2) for at most 32 clusters, where it is faster.
inline void rank_order(std::span<double const> memberships, std::span<std::uint16_t> order) {
    auto const k = memberships.size();
    expects_shape(order.size() == k && k <= most_clusters, "rank_order: the extents do not fit");
    auto const before = [&](std::uint16_t a, std::uint16_t b) {
        auto const x = memberships[a], y = memberships[b];
        bool const nan_x = std::isnan(x), nan_y = std::isnan(y);
        if (nan_x || nan_y)
            return nan_x != nan_y ? nan_x : a > b;
        return x != y ? x > y : a > b;
    };
    for (std::size_t j = 0; j != k; ++j)
        order[j] = static_cast<std::uint16_t>(j);
    if (k > 32)
        return std::sort(order.begin(), order.end(), before);
    for (std::size_t i = 1; i < k; ++i) {
        auto const moved = order[i];
        auto j = i;
        for (; j != 0 && before(moved, order[j - 1]); --j)
            order[j] = order[j - 1];
        order[j] = moved;
    }
}

/// The rank of a cluster in an order, from 1 on; 0 if it is not in there.
inline std::size_t rank_in(std::span<std::uint16_t const> order, std::size_t cluster) {
    auto const at = std::ranges::find(order, cluster);
    return at == order.end() ? 0 : static_cast<std::size_t>(at - order.begin()) + 1;
}

/// A streak limit that is never reached.
inline constexpr std::size_t no_streak_limit = std::numeric_limits<std::size_t>::max();

/// Which ranks of the previous sentence's order are green for the next one. In primary mode a sentence of the streak
/// rank adds 1 to a count, in a row or not; a count above the limit makes the next sentence a relief, and the count 0
/// again.
struct rank_rule {
    std::vector<std::size_t> primary{1, 3};      ///< green in primary mode
    std::vector<std::size_t> relief{2, 4, 5, 6}; ///< green in relief; empty: there is no relief
    std::size_t streak_rank = 1;                 ///< the rank that counts
    std::size_t streak_limit = 5;                ///< of the count; no_streak_limit: there is no relief

    friend bool operator==(rank_rule const &, rank_rule const &) = default;
    /// Whether a count above the limit leads to relief.
    [[nodiscard]] bool has_relief() const noexcept { return !relief.empty() && streak_limit != no_streak_limit; }
};

/// The rule for K clusters: primary are the K / 4 first odd ranks (at least one), relief the K / 2 best ranks that are
/// not primary, the limit is 5. For 8 clusters it is the published one. \throws option_error for no clusters
inline rank_rule default_rank_rule(std::size_t clusters) {
    expects_option(clusters != 0 && clusters <= most_clusters, "clusters", std::to_string(clusters), "1 to 65535");
    rank_rule r{{}, {}, 1, 5};
    for (std::size_t i = 0; i != std::max<std::size_t>(1, clusters / 4); ++i)
        r.primary.push_back(2 * i + 1);
    for (std::size_t rank = 1; rank <= clusters && r.relief.size() != clusters / 2; ++rank)
        if (std::ranges::find(r.primary, rank) == r.primary.end())
            r.relief.push_back(rank);
    return r;
}
/// What the authors' sampler does with K clusters: the published rule for 8; else ranks 1 and 3 for ever, of fewer than
/// 3 clusters rank 1 alone. Their detector gives no score unless K is 8.
inline rank_rule authors_rank_rule(std::size_t clusters) {
    expects_option(clusters != 0 && clusters <= most_clusters, "clusters", std::to_string(clusters), "1 to 65535");
    if (clusters == 8)
        return {};
    return {clusters < 3 ? std::vector<std::size_t>{1} : std::vector<std::size_t>{1, 3}, {}, 1, no_streak_limit};
}

/// \throws option_error unless ranks are from 1 to K, each at most once in its list, and some are primary
inline void validate(rank_rule const & rule, std::size_t clusters) {
    auto const check = [&](std::vector<std::size_t> const & ranks, char const * name) {
        for (std::size_t i = 0; i != ranks.size(); ++i) {
            expects_option(ranks[i] >= 1 && ranks[i] <= clusters, name, std::to_string(ranks[i]),
                           "ranks from 1 to " + std::to_string(clusters));
            expects_option(std::find(ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(i), ranks[i])
                               == ranks.begin() + static_cast<std::ptrdiff_t>(i),
                           name, std::to_string(ranks[i]) + " twice", "each rank once");
        }
    };
    check(rule.primary, "primary");
    check(rule.relief, "relief");
    expects_option(!rule.primary.empty(), "primary", "no ranks", "at least one");
    expects_option(rule.streak_rank >= 1 && rule.streak_rank <= clusters, "streak_rank",
                   std::to_string(rule.streak_rank), "a rank from 1 to " + std::to_string(clusters));
    expects_option(rule.streak_limit == no_streak_limit || rule.streak_limit < 1'000'000, "streak_limit",
                   std::to_string(rule.streak_limit), "below 1000000");
}

/// A rule as an automaton over ranks, for one look-up a step. Its state is the count; above the limit: relief.
class rank_automaton {
    rank_rule rule_;
    std::size_t clusters_;
    std::vector<std::uint8_t> green_; // [rank - 1]: bit 0 in primary mode, bit 1 in relief

public:
    /// The count of the streak rank; above the limit: relief.
    using state = std::size_t;

    /// \throws option_error
    rank_automaton(rank_rule rule, std::size_t clusters)
        : rule_(std::move(rule)), clusters_{clusters}, green_(clusters) {
        expects_option(clusters != 0 && clusters <= most_clusters, "clusters", std::to_string(clusters), "1 to 65535");
        validate(rule_, clusters);
        for (auto const r : rule_.primary)
            green_[r - 1] |= 1;
        for (auto const r : rule_.relief)
            green_[r - 1] |= 2;
    }
    /// As given.
    [[nodiscard]] rank_rule const & rule() const noexcept { return rule_; }
    /// Number of clusters, K.
    [[nodiscard]] std::size_t clusters() const noexcept { return clusters_; }
    /// States that differ: the counts up to the limit and relief; one if there is no relief.
    [[nodiscard]] std::size_t states() const noexcept { return rule_.has_relief() ? rule_.streak_limit + 2 : 1; }

    /// Whether the next sentence is judged by the relief ranks.
    [[nodiscard]] bool in_relief(state s) const noexcept { return rule_.has_relief() && s > rule_.streak_limit; }
    /// How many ranks are green.
    [[nodiscard]] std::size_t green_count(state s) const noexcept {
        return in_relief(s) ? rule_.relief.size() : rule_.primary.size();
    }
    /// \pre 1 <= rank <= clusters()
    [[nodiscard]] bool hit(std::size_t rank, state s) const noexcept {
        return (green_[rank - 1] & (in_relief(s) ? 2 : 1)) != 0;
    }
    /// The state after a sentence of that rank. Relief lasts one sentence.
    [[nodiscard]] state next(std::size_t rank, state s) const noexcept {
        if (in_relief(s))
            return 0;
        return rank == rule_.streak_rank ? s + 1 : s;
    }
    /// The state as an index below states().
    [[nodiscard]] std::size_t index(state s) const noexcept { return rule_.has_relief() ? s : 0; }
};

} // namespace watermark
LATHE_NAMESPACE_END
