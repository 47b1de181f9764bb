#pragma once
/// \file  How well scores tell two sets of texts apart: the area under the ROC, rates at a threshold with confidence
///        intervals, and the success rates that MarkLLM reports. docs/watermarking.md.
#include <lathe/core/error.hpp>
#include <lathe/watermark/tails.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// What holds a rate or an area at a level of confidence.
struct interval {
    double low, ///< included
        high;   ///< included
};

/// I_x(a, b), the regularised incomplete beta function, by its continued fraction (Lentz). Relative error about 1e-13
/// for a, b up to 1e6. \throws option_error unless a and b are above 0 and x is from 0 to 1
inline double incomplete_beta(double a, double b, double x) {
    expects_option(a > 0 && b > 0, "a, b", std::to_string(a) + ", " + std::to_string(b), "numbers above 0");
    expects_option(x >= 0 && x <= 1, "x", std::to_string(x), "a number from 0 to 1");
    if (x == 0 || x == 1)
        return x;
    if (x > (a + 1) / (a + b + 2))
        return 1 - incomplete_beta(b, a, 1 - x);
    constexpr double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (std::abs(d) < tiny ? tiny : d);
    double h = d;
    for (int m = 1; m != 100000; ++m) {
        auto const k = static_cast<double>(m);
        auto const step = [&](double term) {
            d = 1 + term * d;
            c = 1 + term / c;
            d = 1 / (std::abs(d) < tiny ? tiny : d);
            c = std::abs(c) < tiny ? tiny : c;
            h *= d * c;
            return d * c;
        };
        step(k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k)));
        if (std::abs(step(-(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1))) - 1) < 1e-15)
            break;
    }
    auto const log_front = log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * std::log(x) + b * std::log1p(-x);
    return std::exp(log_front) * h / a;
}

/// \throws option_error unless the level is between 0 and 1
inline void expects_level(double level) {
    expects_option(level > 0 && level < 1, "level", std::to_string(level), "a number between 0 and 1");
}

/// The interval of Clopper and Pearson for a probability of which `hits` of n trials were hits: it covers the truth at
/// least as often as `level` says, whatever the truth. [0, 1] for no trials. \throws option_error
inline interval clopper_pearson(std::size_t hits, std::size_t n, double level = 0.95) {
    expects_level(level);
    expects_option(hits <= n, "hits", std::to_string(hits), "at most " + std::to_string(n));
    auto const side = (1 - level) / 2, h = static_cast<double>(hits), misses = static_cast<double>(n - hits);
    // The x with P(beta(a, b) <= x) = target.
    auto const quantile = [](double a, double b, double target) {
        double low = 0, high = 1;
        for (int i = 0; i != 200 && low < high; ++i) {
            auto const middle = low + (high - low) / 2;
            if (middle <= low || middle >= high)
                break;
            (incomplete_beta(a, b, middle) < target ? low : high) = middle;
        }
        return low + (high - low) / 2;
    };
    return {hits == 0 ? 0 : quantile(h, misses + 1, side), hits == n ? 1 : quantile(h + 1, misses, 1 - side)};
}

/// The z that a standard normal number exceeds with this probability. \throws option_error unless it is between 0 and 1
inline double normal_quantile_above(double probability) {
    expects_level(probability);
    double low = -40, high = 40;
    for (int i = 0; i != 200; ++i) {
        auto const middle = low + (high - low) / 2;
        (std::erfc(middle / std::sqrt(2.0)) / 2 > probability ? low : high) = middle;
    }
    return low + (high - low) / 2;
}
/// Wilson's interval: on average about the level, narrower than Clopper's. [0, 1] for no trials. \throws option_error
inline interval wilson(std::size_t hits, std::size_t n, double level = 0.95) {
    expects_level(level);
    expects_option(hits <= n, "hits", std::to_string(hits), "at most " + std::to_string(n));
    if (n == 0)
        return {0, 1};
    auto const z = normal_quantile_above((1 - level) / 2), count = static_cast<double>(n),
               p = static_cast<double>(hits) / count, z2 = z * z / count;
    auto const middle = (p + z2 / 2) / (1 + z2),
               half = z / (1 + z2) * std::sqrt(p * (1 - p) / count + z2 / (4 * count));
    return {hits == 0 ? 0 : std::max(0.0, middle - half), hits == n ? 1 : std::min(1.0, middle + half)};
}

/// \throws non_finite_error for NaN, naming the score; infinite scores are scores
inline void expects_scores(std::span<double const> scores, char const * name) {
    for (std::size_t i = 0; i != scores.size(); ++i)
        if (std::isnan(scores[i])) [[unlikely]]
            throw non_finite_error{std::string{name} + ": score " + std::to_string(i) + " is not a number"};
}

/// What auc gives.
struct auc_result {
    double auc;            ///< P(positive > negative) + P(equal) / 2
    double standard_error; ///< by DeLong, DeLong and Clarke-Pearson (1988); 0 where it cannot be told from one score
    interval confidence;   ///< auc +- z standard errors, within [0, 1]
};
/// The area under the ROC, ties as one half, with its interval. NaN, and [0, 1], where a set is empty.
/// \throws non_finite_error, option_error
/// Complexity: O((m + n) log(m + n)).
inline auc_result auc(std::span<double const> positive, std::span<double const> negative, double level = 0.95) {
    expects_level(level);
    expects_scores(positive, "positive");
    expects_scores(negative, "negative");
    auto const m = positive.size(), n = negative.size();
    if (m == 0 || n == 0) {
        auto const nan = std::numeric_limits<double>::quiet_NaN();
        return {nan, nan, {0, 1}};
    }
    std::vector<double> p(positive.begin(), positive.end()), q(negative.begin(), negative.end());
    std::ranges::sort(p);
    std::ranges::sort(q);
    // Of each score, twice the number of the other set below it, ties as 1; whole numbers, so that the sum is exact.
    auto const placements = [](std::vector<double> const & of, std::vector<double> const & among) {
        std::vector<double> twice(of.size());
        std::size_t below = 0, up_to = 0;
        for (std::size_t i = 0; i != of.size(); ++i) {
            while (below != among.size() && among[below] < of[i])
                ++below;
            while (up_to != among.size() && among[up_to] <= of[i])
                ++up_to;
            twice[i] = static_cast<double>(below + up_to);
        }
        return twice;
    };
    auto const of_positive = placements(p, q), of_negative = placements(q, p);
    double total = 0;
    for (auto const t : of_positive)
        total += t;
    auto const a = total / (2 * static_cast<double>(m) * static_cast<double>(n));
    auto const variance = [](std::vector<double> const & twice, std::size_t others, double mean) {
        double sum = 0;
        for (auto const t : twice) {
            auto const off = t / (2 * static_cast<double>(others)) - mean;
            sum += off * off;
        }
        return twice.size() < 2 ? 0 : sum / static_cast<double>(twice.size() - 1);
    };
    auto const error = std::sqrt(variance(of_positive, n, a) / static_cast<double>(m)
                                 + variance(of_negative, m, 1 - a) / static_cast<double>(n));
    auto const half = normal_quantile_above((1 - level) / 2) * error;
    return {a, error, {std::max(0.0, a - half), std::min(1.0, a + half)}};
}

/// What a threshold does: positive means score >= threshold.
struct roc_point {
    double threshold;           ///< infinite at the point that nothing passes
    std::size_t true_positives, ///< positive scores at or above it
        false_positives;        ///< negative scores at or above it
    double tpr,                 ///< share of the positive scores
        fpr;                    ///< share of the negative scores
};
/// The points of the ROC, one for each different score, from the highest on, after one that nothing passes. A rate of
/// an empty set is NaN. \throws non_finite_error
inline std::vector<roc_point> roc(std::span<double const> positive, std::span<double const> negative) {
    expects_scores(positive, "positive");
    expects_scores(negative, "negative");
    std::vector<double> p(positive.begin(), positive.end()), q(negative.begin(), negative.end());
    std::ranges::sort(p, std::greater<>{});
    std::ranges::sort(q, std::greater<>{});
    auto const rate = [](std::size_t hits, std::size_t n) {
        return static_cast<double>(hits) / static_cast<double>(n);
    };
    std::vector<roc_point> points{
        {std::numeric_limits<double>::infinity(), 0, 0, rate(0, p.size()), rate(0, q.size())}};
    for (std::size_t i = 0, j = 0; i != p.size() || j != q.size();) {
        auto const threshold = j == q.size() || (i != p.size() && p[i] >= q[j]) ? p[i] : q[j];
        while (i != p.size() && p[i] >= threshold)
            ++i;
        while (j != q.size() && q[j] >= threshold)
            ++j;
        points.push_back({threshold, i, j, rate(i, p.size()), rate(j, q.size())});
    }
    return points;
}

/// The true-positive rate at a bound on the false-positive rate, with intervals of Clopper and Pearson for both.
struct rate_at_bound {
    double threshold;        ///< the lowest observed score that keeps to the bound; infinite if none does
    double tpr,              ///< true-positive rate there
        fpr;                 ///< false-positive rate there
    interval tpr_confidence, ///< of tpr
        fpr_confidence;      ///< of fpr
};
/// \throws non_finite_error, option_error
inline rate_at_bound tpr_at_fpr(std::span<double const> positive, std::span<double const> negative, double bound,
                                double level = 0.95) {
    expects_option(bound >= 0 && bound <= 1, "bound", std::to_string(bound), "a number from 0 to 1");
    auto const points = roc(positive, negative);
    auto at = points.begin();
    for (auto i = points.begin(); i != points.end(); ++i)
        if (negative.empty() || i->fpr <= bound) // rates rise along the curve
            at = i;
    return {at->threshold, at->tpr, at->fpr, clopper_pearson(at->true_positives, positive.size(), level),
            clopper_pearson(at->false_positives, negative.size(), level)};
}

/// MarkLLM's rates of decisions: each 0 where its denominator is.
struct success_rates {
    std::size_t true_positives = 0, ///< marked and found
        false_negatives = 0,        ///< marked and not found
        true_negatives = 0,         ///< plain and passed
        false_positives = 0;        ///< plain and taken for marked
    double tpr = 0,                 ///< found of the marked
        tnr = 0,                    ///< passed of the plain
        fpr = 0,                    ///< taken for marked of the plain
        fnr = 0,                    ///< not found of the marked
        precision = 0,              ///< marked of those taken for marked
        recall = 0,                 ///< tpr
        f1 = 0,                     ///< harmonic mean of precision and recall
        accuracy = 0;               ///< right of all
};
/// From the numbers of decisions.
inline success_rates success_rates_of(std::size_t true_positives, std::size_t false_negatives,
                                      std::size_t true_negatives, std::size_t false_positives) {
    auto const share = [](std::size_t part, std::size_t rest) {
        return part == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(part + rest);
    };
    success_rates r{true_positives, false_negatives, true_negatives, false_positives};
    r.tpr = r.recall = share(true_positives, false_negatives);
    r.fnr = share(false_negatives, true_positives);
    r.tnr = share(true_negatives, false_positives);
    r.fpr = share(false_positives, true_negatives);
    r.precision = share(true_positives, false_positives);
    r.f1 = r.precision + r.recall > 0 ? 2 * r.precision * r.recall / (r.precision + r.recall) : 0;
    r.accuracy = share(true_positives + true_negatives, false_positives + false_negatives);
    return r;
}
/// From decisions about texts with and without a watermark ("fundamental").
inline success_rates fundamental_success_rates(std::vector<bool> const & marked, std::vector<bool> const & plain) {
    auto const found = static_cast<std::size_t>(std::count(marked.begin(), marked.end(), true)),
               wrong = static_cast<std::size_t>(std::count(plain.begin(), plain.end(), true));
    return success_rates_of(found, marked.size() - found, plain.size() - wrong, wrong);
}

/// How a threshold is chosen from the scores themselves.
enum class threshold_rule : unsigned char {
    best_f1,   ///< the largest F1, the first of several from the lenient end on
    target_fpr ///< the most lenient whose false-positive rate is at most `target_fpr`
};
/// Options of dynamic_threshold_success_rates.
struct dynamic_threshold_options {
    threshold_rule rule = threshold_rule::best_f1; ///< what is sought
    double target_fpr = 0.01;                      ///< of the rule target_fpr, from 0 to 1
    bool reverse = false;                          ///< low scores mean a watermark: positive is score <= threshold
};
/// What dynamic_threshold_success_rates gives.
struct dynamic_threshold_result {
    double threshold;    ///< NaN if there are fewer than two scores
    bool within;         ///< whether the target is kept to; where no threshold does, the strictest is taken
    success_rates rates; ///< at the threshold
};
/// MarkLLM's success rates at a threshold made from the scores: midpoints of neighbours among all scores, in order. For
/// research: it looks at the labels. \throws non_finite_error, option_error
/// Complexity: O((m + n) log(m + n)); MarkLLM's is quadratic.
inline dynamic_threshold_result dynamic_threshold_success_rates(std::span<double const> marked,
                                                                std::span<double const> plain,
                                                                dynamic_threshold_options const & options = {}) {
    expects_option(options.target_fpr >= 0 && options.target_fpr <= 1, "target_fpr", std::to_string(options.target_fpr),
                   "a number from 0 to 1");
    expects_scores(marked, "marked");
    expects_scores(plain, "plain");
    double const sign = options.reverse ? -1 : 1;
    auto const ascending = [&](std::span<double const> scores) {
        std::vector<double> s(scores.begin(), scores.end());
        for (auto & x : s)
            x *= sign;
        std::ranges::sort(s);
        return s;
    };
    auto const p = ascending(marked), q = ascending(plain);
    std::vector<double> all(p.size() + q.size());
    std::ranges::merge(p, q, all.begin());
    dynamic_threshold_result best{std::numeric_limits<double>::quiet_NaN(), false, {}};
    std::size_t missed = 0, spared = 0; // below the threshold
    for (std::size_t i = 0; i + 1 < all.size(); ++i) {
        auto threshold = all[i] == all[i + 1] ? all[i] : all[i] / 2 + all[i + 1] / 2;
        if (std::isnan(threshold)) // between the infinities
            threshold = 0;
        while (missed != p.size() && p[missed] < threshold)
            ++missed;
        while (spared != q.size() && q[spared] < threshold)
            ++spared;
        auto const rates = success_rates_of(p.size() - missed, missed, spared, q.size() - spared);
        bool const first = std::isnan(best.threshold);
        if (options.rule == threshold_rule::best_f1) {
            if (first || rates.f1 > best.rates.f1)
                best = {sign * threshold, true, rates};
        } else {
            best = {sign * threshold, rates.fpr <= options.target_fpr, rates};
            if (best.within)
                break;
        }
    }
    return best;
}

} // namespace watermark
LATHE_NAMESPACE_END
