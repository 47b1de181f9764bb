#pragma once
/// \file  What hits of a text without a watermark are distributed like: exact laws of the number of hits, and what an
///        observed number says against them. docs/watermarking.md.
#include <lathe/watermark/ranks.hpp>
#include <lathe/watermark/tails.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// An observed score held against a law.
struct null_summary {
    double mean = std::numeric_limits<double>::quiet_NaN(), ///< of the law
        variance = mean;                                    ///< of the law
    double z = mean;     ///< (observed - mean) / sqrt(variance); of a variance of 0: 0, or infinite off the mean
    double p = mean;     ///< P(score >= observed)
    double mid_p = mean; ///< P(score > observed) + P(score == observed) / 2
};

/// The law of a number of hits: pmf[h] = P(h hits), h from 0 to n.
class hit_law {
    std::vector<double> pmf_, tail_; // tail_[h] = P(hits >= h), h from 0 to n + 1
    double mean_ = 0, variance_ = 0;

public:
    /// \throws shape_error for no probabilities; option_error for one that is negative or not finite
    explicit hit_law(std::vector<double> pmf) : pmf_(std::move(pmf)), tail_(pmf_.size() + 1) {
        expects_shape(!pmf_.empty(), "hit_law: no probabilities");
        for (auto h = pmf_.size(); h-- != 0;) { // the small ones first
            expects_option(pmf_[h] >= 0 && std::isfinite(pmf_[h]), "pmf", std::to_string(pmf_[h]), "probabilities");
            tail_[h] = tail_[h + 1] + pmf_[h];
        }
        for (std::size_t h = 0; h != pmf_.size(); ++h)
            mean_ += static_cast<double>(h) * pmf_[h];
        for (std::size_t h = 0; h != pmf_.size(); ++h)
            variance_ += (static_cast<double>(h) - mean_) * (static_cast<double>(h) - mean_) * pmf_[h];
    }
    /// P(h hits) for h from 0 to trials().
    [[nodiscard]] std::span<double const> pmf() const noexcept { return pmf_; }
    /// n
    [[nodiscard]] std::size_t trials() const noexcept { return pmf_.size() - 1; }
    /// Expected number of hits.
    [[nodiscard]] double mean() const noexcept { return mean_; }
    /// Of the number of hits.
    [[nodiscard]] double variance() const noexcept { return variance_; }
    /// P(hits >= h). NaN of NaN.
    [[nodiscard]] double tail(double h) const {
        if (std::isnan(h))
            return h;
        auto const up = std::ceil(h);
        return up <= 0                                     ? std::min(1.0, tail_[0])
               : up > static_cast<double>(pmf_.size() - 1) ? 0
                                                           : std::min(1.0, tail_[static_cast<std::size_t>(up)]);
    }
    /// An observed number of hits held against this law; it need not be whole.
    [[nodiscard]] null_summary summary(double hits) const {
        auto const p = tail(hits);
        bool const whole = hits >= 0 && hits < static_cast<double>(pmf_.size()) && hits == std::floor(hits);
        auto const off = hits - mean_;
        return {mean_, variance_,
                variance_ > 0 ? off / std::sqrt(variance_)
                : off == 0    ? 0
                              : off * std::numeric_limits<double>::infinity(),
                p, whole ? p - pmf_[static_cast<std::size_t>(hits)] / 2 : p};
    }
    /// The least number of hits h with P(hits >= h) <= rate; n + 1, which no text reaches, where there is none.
    /// \throws option_error unless the rate is from 0 to 1
    [[nodiscard]] std::size_t threshold(double rate) const {
        expects_option(rate >= 0 && rate <= 1, "rate", std::to_string(rate), "a number from 0 to 1");
        std::size_t h = 0;
        while (h != pmf_.size() && tail_[h] > rate)
            ++h;
        return h;
    }
};

/// The least number of hits h of n that passes "h / n >= ratio", as floating division says it; n + 1 if none does.
inline std::size_t hits_for_ratio(double ratio, std::size_t n) {
    std::size_t low = 0, high = n + 1; // the quotient rises with h
    while (low != high) {
        auto const h = low + (high - low) / 2;
        if (static_cast<double>(h) / static_cast<double>(n) >= ratio)
            high = h;
        else
            low = h + 1;
    }
    return low;
}

/// A law of ranks, from one sentence to the next.
struct rank_chain {
    std::vector<double> initial;     ///< of the first rank: K probabilities
    std::vector<double> transitions; ///< K x K, row by row: of the next rank after each; empty: ranks are independent
};

/// \throws option_error unless every row has K probabilities, not negative, that sum to 1 within 1e-6
inline void validate(rank_chain const & chain, std::size_t clusters) {
    auto const row = [&](std::span<double const> q, char const * name) {
        double sum = 0;
        for (auto const x : q) {
            expects_option(x >= 0 && std::isfinite(x), name, std::to_string(x), "probabilities");
            sum += x;
        }
        expects_option(std::abs(sum - 1) <= 1e-6, name, "a sum of " + std::to_string(sum),
                       "probabilities that sum to 1");
    };
    expects_option(chain.initial.size() == clusters, "initial", std::to_string(chain.initial.size()) + " probabilities",
                   "one for each of the " + std::to_string(clusters) + " ranks");
    row(chain.initial, "initial");
    if (chain.transitions.empty())
        return;
    expects_option(chain.transitions.size() == clusters * clusters, "transitions",
                   std::to_string(chain.transitions.size()) + " probabilities", "one for each pair of ranks");
    for (std::size_t i = 0; i != clusters; ++i)
        row(std::span{chain.transitions}.subspan(i * clusters, clusters), "transitions");
}
/// Every rank alike.
inline rank_chain uniform_ranks(std::size_t clusters) {
    return {std::vector<double>(clusters, 1 / static_cast<double>(clusters)), {}};
}

/// The probability of a hit in a state, of ranks with probabilities q. One over it is how many candidates a sentence
/// takes on average where they have such ranks. \pre q has one for each rank
inline double hit_probability(rank_automaton const & automaton, rank_automaton::state s, std::span<double const> q) {
    double p = 0;
    for (std::size_t r = 1; r <= automaton.clusters(); ++r)
        if (automaton.hit(r, s))
            p += q[r - 1];
    return std::min(p, 1.0);
}

/// The exact law of the hits of n sentences whose ranks follow a chain (docs/watermarking.md). The sum over paths of
/// the automaton, grouped by state, hits and, where ranks depend on each other, the last rank.
/// \throws option_error
/// Complexity: O(states n^2) time for independent ranks, O(states K^2 n^2) for a chain; O(states K n) memory.
inline hit_law rank_hit_law(rank_automaton const & automaton, rank_chain const & chain, std::size_t n) {
    auto const k = automaton.clusters(), width = n + 1;
    auto const states = std::min(automaton.states(), n + 1); // a count is at most the number of sentences before
    validate(chain, k);
    bool const markov = !chain.transitions.empty();
    auto const memory = markov ? k : 1; // last ranks that are told apart
    // Of independent ranks, those that do the same in a state are one step: what comes next, whether it is a hit, how
    // likely.
    struct step {
        std::size_t next;
        bool hit;
        double share;
    };
    std::vector<std::vector<step>> steps(markov ? 0 : states);
    for (std::size_t s = 0; s != steps.size(); ++s)
        for (std::size_t r = 1; r <= k; ++r) {
            step const one{automaton.index(automaton.next(r, s)), automaton.hit(r, s), chain.initial[r - 1]};
            auto const same =
                std::ranges::find_if(steps[s], [&](step const & x) { return x.next == one.next && x.hit == one.hit; });
            if (same == steps[s].end())
                steps[s].push_back(one);
            else
                same->share += one.share;
        }
    std::vector<double> now(states * memory * width), next(now.size());
    auto const row = [&](std::vector<double> & v, std::size_t state, std::size_t last) {
        return v.data() + (state * memory + last) * width;
    };
    auto const spread = [&](double const * from, double share, bool hit, double * to, std::size_t done) {
        if (share == 0)
            return;
        for (std::size_t h = 0; h <= done; ++h)
            to[h + (hit ? 1 : 0)] += share * from[h];
    };
    row(now, 0, 0)[0] = 1;
    for (std::size_t i = 0; i != n; ++i) {
        std::ranges::fill(next, 0.0);
        for (std::size_t s = 0; s != std::min(states, i + 1); ++s) {
            if (!markov) {
                for (auto const & x : steps[s])
                    spread(row(now, s, 0), x.share, x.hit, row(next, x.next, 0), i);
                continue;
            }
            for (std::size_t last = 0; last != (i == 0 ? 1 : k); ++last) {
                auto const * const q = i == 0 ? chain.initial.data() : chain.transitions.data() + last * k;
                for (std::size_t r = 1; r <= k; ++r)
                    spread(row(now, s, last), q[r - 1], automaton.hit(r, s),
                           row(next, automaton.index(automaton.next(r, s)), r - 1), i);
            }
        }
        std::swap(now, next);
    }
    std::vector<double> pmf(width);
    for (std::size_t part = 0; part != states * memory; ++part)
        for (std::size_t h = 0; h != width; ++h)
            pmf[h] += now[part * width + h];
    return hit_law(std::move(pmf));
}

/// The law of the sum of independent trials with these probabilities (Poisson's binomial). O(n^2).
/// \throws option_error unless they are from 0 to 1
inline hit_law poisson_binomial_law(std::span<double const> probabilities) {
    std::vector<double> pmf(probabilities.size() + 1);
    pmf[0] = 1;
    for (std::size_t i = 0; i != probabilities.size(); ++i) {
        auto const p = probabilities[i];
        expects_option(p >= 0 && p <= 1, "probability", std::to_string(p), "a number from 0 to 1");
        for (auto h = i + 1; h != 0; --h)
            pmf[h] = pmf[h] * (1 - p) + pmf[h - 1] * p;
        pmf[0] *= 1 - p;
    }
    return hit_law(std::move(pmf));
}
/// The law of n independent trials of one probability. \throws option_error
inline hit_law binomial_law(std::size_t n, double probability) {
    return poisson_binomial_law(std::vector<double>(n, probability));
}

/// Draws that a key decided: of `choices` things a subset of `green` is green, each subset as likely as any other; of
/// them `looked_at` different ones were looked at.
struct keyed_group {
    std::size_t choices, ///< things in all
        green,           ///< things that are green
        looked_at;       ///< different things that were looked at
};
/// The law, over keys, of how many of the things looked at are green, of independent subsets: sums of hypergeometric
/// numbers. With one look at each subset it is Poisson's binomial. O(n^2).
/// \throws option_error unless green and looked_at are at most choices
inline hit_law keyed_law(std::span<keyed_group const> groups) {
    std::vector<double> pmf{1.0};
    for (auto const & g : groups) {
        expects_option(g.green <= g.choices && g.looked_at <= g.choices, "group",
                       std::to_string(g.green) + " green, " + std::to_string(g.looked_at) + " looked at",
                       "at most " + std::to_string(g.choices));
        // One look after the other, without replacement: state is how many of the group's looks were green.
        std::vector<double> of_group{1.0};
        for (std::size_t i = 0; i != g.looked_at; ++i) {
            std::vector<double> longer(of_group.size() + 1);
            for (std::size_t h = 0; h != of_group.size(); ++h) {
                auto const p =
                    h >= g.green ? 0.0 : static_cast<double>(g.green - h) / static_cast<double>(g.choices - i);
                longer[h + 1] += of_group[h] * std::min(1.0, p);
                longer[h] += of_group[h] * std::max(0.0, 1 - p);
            }
            of_group = std::move(longer);
        }
        std::vector<double> sum(pmf.size() + of_group.size() - 1);
        for (std::size_t a = 0; a != pmf.size(); ++a)
            for (std::size_t b = 0; b != of_group.size(); ++b)
                sum[a + b] += pmf[a] * of_group[b];
        pmf = std::move(sum);
    }
    return hit_law(std::move(pmf));
}

/// What a score of n sentences says against a null hypothesis: any callable, the classes below among them. Detectors
/// call it on one thread.
using null_model = std::function<null_summary(std::size_t n, double score)>;

/// The null hypothesis of a rank automaton under a chain of ranks. Keeps the law of every length it was asked for.
class rank_null {
    struct shared {
        rank_automaton automaton;
        rank_chain chain;
        std::map<std::size_t, hit_law> laws;
    };
    std::shared_ptr<shared> shared_; // copies, as in a std::function, share their laws

public:
    /// \throws option_error
    rank_null(rank_automaton automaton, rank_chain chain)
        : shared_(std::make_shared<shared>(shared{std::move(automaton), std::move(chain), {}})) {
        validate(shared_->chain, shared_->automaton.clusters());
    }
    /// As given.
    [[nodiscard]] rank_automaton const & automaton() const noexcept { return shared_->automaton; }
    /// As given.
    [[nodiscard]] rank_chain const & chain() const noexcept { return shared_->chain; }
    /// The law for n sentences after the first; valid as long as this object or a copy.
    [[nodiscard]] hit_law const & law(std::size_t n) const {
        auto & laws = shared_->laws;
        auto at = laws.find(n);
        if (at == laws.end())
            at = laws.emplace(n, rank_hit_law(shared_->automaton, shared_->chain, n)).first;
        return at->second;
    }
    /// As null_model.
    null_summary operator()(std::size_t n, double hits) const { return law(n).summary(hits); }
};

/// Independent hits of one probability: what SemStamp and its relatives assume. The z-score is the published one,
/// (hits - gamma n) / sqrt(n gamma (1 - gamma)); p and mid-p are exact.
class binomial_null {
    double gamma_;
    std::shared_ptr<std::map<std::size_t, hit_law>> laws_ = std::make_shared<std::map<std::size_t, hit_law>>();

public:
    /// \throws option_error unless gamma is from 0 to 1
    explicit binomial_null(double gamma) : gamma_{gamma} {
        expects_option(gamma >= 0 && gamma <= 1, "gamma", std::to_string(gamma), "a number from 0 to 1");
    }
    /// The law for n sentences; valid as long as this object or a copy.
    [[nodiscard]] hit_law const & law(std::size_t n) const {
        auto at = laws_->find(n);
        if (at == laws_->end())
            at = laws_->emplace(n, binomial_law(n, gamma_)).first;
        return at->second;
    }
    /// As null_model.
    null_summary operator()(std::size_t n, double hits) const {
        auto s = law(n).summary(hits);
        s.mean = gamma_ * static_cast<double>(n);
        s.variance = static_cast<double>(n) * gamma_ * (1 - gamma_);
        if (s.variance > 0)
            s.z = (hits - s.mean) / std::sqrt(s.variance);
        return s;
    }
};

/// A sum of parts that average gamma, by the normal law: z = (score - gamma n) / sqrt(n gamma (1 - gamma) + added),
/// p and mid-p its upper tail. SimMark's, with `added` 1e-12; its z is calibrated no better than gamma is.
struct normal_null {
    double gamma = 0.5; ///< what the parts average
    double added = 0;   ///< to the variance
    /// As null_model. z is NaN, and p with it, where the variance is 0.
    null_summary operator()(std::size_t n, double score) const {
        null_summary s;
        s.mean = gamma * static_cast<double>(n);
        s.variance = static_cast<double>(n) * gamma * (1 - gamma) + added;
        s.z = s.variance > 0 ? (score - s.mean) / std::sqrt(s.variance) : std::numeric_limits<double>::quiet_NaN();
        s.p = s.mid_p = std::exp(log_normal_tail(s.z));
        return s;
    }
};

} // namespace watermark
LATHE_NAMESPACE_END
