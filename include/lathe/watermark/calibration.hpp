#pragma once
/// \file  Calibration on texts that people wrote: the law of ranks, conformal p-values, thresholds for each length, and
///        evidence that may be looked at after every sentence. docs/watermarking.md.
#include <lathe/watermark/null_models.hpp>

#include <utility>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// Counts the ranks of texts, and from one rank to the next; a law of ranks is estimated from them.
class rank_counts {
    std::size_t clusters_;
    std::vector<double> single_, first_, pairs_;

public:
    /// \throws option_error for no clusters
    explicit rank_counts(std::size_t clusters)
        : clusters_{clusters}, single_(clusters), first_(clusters), pairs_(clusters * clusters) {
        expects_option(clusters != 0 && clusters <= most_clusters, "clusters", std::to_string(clusters), "1 to 65535");
    }
    /// Number of clusters, K.
    [[nodiscard]] std::size_t clusters() const noexcept { return clusters_; }
    /// How often each rank was seen.
    [[nodiscard]] std::span<double const> counts() const noexcept { return single_; }
    /// Ranks of one text, in order. \throws shape_error for a rank that is not from 1 to K
    template <std::integral I> void add(std::span<I const> ranks) {
        for (auto const r : ranks)
            expects_shape(std::cmp_greater_equal(r, 1) && std::cmp_less_equal(r, clusters_),
                          "rank_counts: a rank that is not from 1 to the number of clusters");
        for (std::size_t i = 0; i != ranks.size(); ++i) {
            auto const r = static_cast<std::size_t>(ranks[i]) - 1;
            ++single_[r];
            if (i == 0)
                ++first_[r];
            else
                ++pairs_[(static_cast<std::size_t>(ranks[i - 1]) - 1) * clusters_ + r];
        }
    }
    /// Ranks of one text, in order. \throws shape_error for a rank that is not from 1 to K
    template <std::integral I> void add(std::vector<I> const & ranks) { add(std::span<I const>{ranks}); }

    /// Independent ranks, as often as they were seen, each seen `prior` times more. \throws option_error if there is
    /// nothing to estimate from, or the prior is negative
    [[nodiscard]] rank_chain independent(double prior = 0.5) const { return {shares(single_, prior, {}), {}}; }
    /// A Markov chain. The first rank is as `independent` has it; of each row, pairs that were seen and `prior` more
    /// ranks spread as `independent` has them, so that a row nobody saw falls back on that. \throws option_error
    [[nodiscard]] rank_chain markov(double prior = 4) const {
        auto c = independent();
        for (std::size_t i = 0; i != clusters_; ++i) {
            auto const row = shares(std::span{pairs_}.subspan(i * clusters_, clusters_), prior, c.initial);
            c.transitions.insert(c.transitions.end(), row.begin(), row.end());
        }
        return c;
    }

private:
    /// Counts and a prior, spread evenly (a count each) or as given (a total), over their sum.
    [[nodiscard]] std::vector<double> shares(std::span<double const> counts, double prior,
                                             std::span<double const> spread) const {
        expects_option(prior >= 0 && std::isfinite(prior), "prior", std::to_string(prior), "a number not below 0");
        std::vector<double> q(counts.begin(), counts.end());
        double sum = 0;
        for (std::size_t j = 0; j != q.size(); ++j)
            sum += q[j] += spread.empty() ? prior : prior * spread[j];
        if (sum == 0 && !spread.empty())
            return {spread.begin(), spread.end()};
        expects_option(sum > 0, "ranks", "none", "some to estimate from, or a prior");
        for (auto & x : q)
            x /= sum;
        return q;
    }
};

/// Scores of texts that people wrote, by their number of sentences. A p-value from them is valid whatever scores are
/// distributed like, as long as the text could as well have been one of these: over the draw of all of them,
/// P(p <= a) <= a (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World).
class conformal_scores {
    std::map<std::size_t, std::vector<double>> by_length_; // ascending

public:
    /// \throws non_finite_error for NaN
    void add(std::size_t sentences, double score) {
        if (std::isnan(score))
            throw non_finite_error{"conformal_scores: a score is not a number"};
        auto & all = by_length_[sentences];
        all.insert(std::ranges::upper_bound(all, score), score);
    }
    /// The scores of that length, ascending.
    [[nodiscard]] std::span<double const> scores(std::size_t sentences) const {
        auto const at = by_length_.find(sentences);
        return at == by_length_.end() ? std::span<double const>{} : std::span<double const>{at->second};
    }
    /// Lengths that there are scores of, ascending.
    [[nodiscard]] std::vector<std::size_t> lengths() const {
        std::vector<std::size_t> all;
        all.reserve(by_length_.size());
        for (auto const & [n, scores] : by_length_)
            all.push_back(n);
        return all;
    }
    /// (1 + how many scores of the same length are not below) / (1 + how many there are): 1 where there are none.
    /// \throws non_finite_error for NaN
    [[nodiscard]] double p_value(std::size_t sentences, double score) const {
        if (std::isnan(score))
            throw non_finite_error{"conformal_scores: a score is not a number"};
        auto const all = scores(sentences);
        auto const not_below = all.end() - std::ranges::lower_bound(all, score);
        return static_cast<double>(1 + not_below) / static_cast<double>(1 + all.size());
    }
    /// The supremum of the scores whose p-value is above `rate`: scores above it, and no others, have p <= rate.
    /// Infinite where there are too few scores (fewer than 1 / rate - 1). \throws option_error
    [[nodiscard]] double threshold(std::size_t sentences, double rate) const {
        expects_option(rate >= 0 && rate <= 1, "rate", std::to_string(rate), "a number from 0 to 1");
        auto const all = scores(sentences);
        auto const total = static_cast<double>(1 + all.size());
        // p of a score above the i largest scores and not above the next is (1 + i) / total.
        std::size_t above = 0;
        while (above <= all.size() && static_cast<double>(1 + above) / total <= rate)
            ++above;
        return above == 0           ? std::numeric_limits<double>::infinity()
               : above > all.size() ? -std::numeric_limits<double>::infinity()
                                    : all[all.size() - above];
    }
    /// mean, variance and z are those of the scores of that length; p and mid-p are conformal.
    null_summary operator()(std::size_t sentences, double score) const {
        null_summary s;
        auto const all = scores(sentences);
        if (!all.empty()) {
            s.mean = s.variance = 0;
            for (auto const x : all)
                s.mean += x / static_cast<double>(all.size());
            for (auto const x : all)
                s.variance += (x - s.mean) * (x - s.mean) / static_cast<double>(all.size());
            if (s.variance > 0)
                s.z = (score - s.mean) / std::sqrt(s.variance);
        }
        s.p = s.mid_p = p_value(sentences, score);
        return s;
    }
};

/// Options of sequential_evidence.
struct sequential_options {
    /// Bets: how far the probability of a hit is thought to be from that under the null towards 1. The evidence is the
    /// mean over them. Each above 0 and below 1.
    std::vector<double> strengths{0.2, 0.4, 0.6, 0.8, 0.95};
};

/// Evidence against a null hypothesis that may be looked at after every step, and acted on at any time: a test
/// martingale, which is on average 1 under the null, so that it ever reaches 1 / a with probability at most a (Ville).
/// Each bet multiplies by p1 / p0 at a hit and by (1 - p1) / (1 - p0) at a miss, p1 = p0 + strength (1 - p0).
class sequential_evidence {
    std::vector<double> strengths_, logs_;
    double log_value_ = 0, largest_ = 0;

public:
    /// \throws option_error
    explicit sequential_evidence(sequential_options const & options = {})
        : strengths_(options.strengths), logs_(strengths_.size()) {
        expects_option(!strengths_.empty(), "strengths", "none", "at least one");
        for (auto const s : strengths_)
            expects_option(s > 0 && s < 1, "strengths", std::to_string(s), "numbers between 0 and 1");
    }
    /// One step, whose probability of a hit under the null, given everything before it, was p0.
    /// \throws option_error unless p0 is from 0 to 1
    void add(bool hit, double p0) {
        expects_option(p0 >= 0 && p0 <= 1, "p0", std::to_string(p0), "a number from 0 to 1");
        if (p0 == 1 && hit)
            return; // of both with certainty
        for (std::size_t k = 0; k != logs_.size(); ++k) {
            auto const p1 = p0 + strengths_[k] * (1 - p0);
            logs_[k] += hit ? std::log(p1 / p0) : std::log1p(-strengths_[k]);
        }
        auto const most = *std::ranges::max_element(logs_);
        if (std::isfinite(most)) {
            double sum = 0;
            for (auto const l : logs_)
                sum += std::exp(l - most);
            log_value_ = most + std::log(sum / static_cast<double>(logs_.size()));
        } else
            log_value_ = most;
        largest_ = std::max(largest_, log_value_);
    }
    /// The evidence now: an e-value.
    [[nodiscard]] double value() const { return std::exp(log_value_); }
    /// The natural logarithm of the evidence now, which does not overflow.
    [[nodiscard]] double log_value() const noexcept { return log_value_; }
    /// A p-value that holds at whatever time one stops: 1 / the largest evidence so far.
    [[nodiscard]] double p_value() const { return std::exp(-largest_); }
};

/// What `sequential_test` says after each sentence.
struct sequential_result {
    std::vector<double> values;   ///< the evidence
    std::vector<double> p_values; ///< never rising
};
/// The evidence of a text's ranks against the law that a chain of ranks gives their hits. O(n K).
/// \throws option_error; shape_error for a rank that is not from 1 to K
template <std::integral I>
sequential_result sequential_test(rank_automaton const & automaton, rank_chain const & chain, std::span<I const> ranks,
                                  sequential_options const & options = {}) {
    auto const k = automaton.clusters();
    validate(chain, k);
    sequential_evidence evidence(options);
    sequential_result r;
    rank_automaton::state state = 0;
    for (std::size_t i = 0; i != ranks.size(); ++i) {
        expects_shape(std::cmp_greater_equal(ranks[i], 1) && std::cmp_less_equal(ranks[i], k),
                      "sequential_test: a rank that is not from 1 to the number of clusters");
        auto const rank = static_cast<std::size_t>(ranks[i]);
        auto const q = i == 0 || chain.transitions.empty()
                           ? std::span{chain.initial}
                           : std::span{chain.transitions}.subspan((static_cast<std::size_t>(ranks[i - 1]) - 1) * k, k);
        evidence.add(automaton.hit(rank, state), hit_probability(automaton, state, q));
        state = automaton.next(rank, state);
        r.values.push_back(evidence.value());
        r.p_values.push_back(evidence.p_value());
    }
    return r;
}

} // namespace watermark
LATHE_NAMESPACE_END
