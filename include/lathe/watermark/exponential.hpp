#pragma once
/// \file  Watermarks by exponential sampling: EXP (Aaronson 2022), its table variant EXP-Gumbel, and permute-and-flip
///        (Zhao et al., ICLR 2025), in the formats of MarkLLM. docs/watermarking-tokens.md.
///
/// The context draws a uniform number r for every token; the token taken is the one with the largest r^(1/p), or of
/// permute-and-flip with the largest p/r. A text that does not know the key sums up exponential variables, so the
/// p-value is the tail of a Gamma law with as many terms as were scored.
#include <lathe/watermark/greenlist.hpp>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// Sums the contributions of the tokens from `first` on, those of repeated keys once if asked for.
template <class Contribution>
token_detection score_exponential(std::size_t tokens, std::size_t first, std::span<std::uint64_t const> keys,
                                  repeats again, double p_threshold, Contribution const & of) {
    token_detection d;
    d.evidence.assign(tokens, std::numeric_limits<double>::quiet_NaN());
    auto const fresh = again == repeats::once ? first_occurrences(keys) : std::vector<bool>(keys.size(), true);
    double sum = 0;
    for (std::size_t i = 0; i != keys.size(); ++i)
        if (fresh[i]) {
            ++d.scored;
            sum += d.evidence[first + i] = of(i);
        }
    if (d.scored != 0) {
        auto const log_p = log_gamma_tail(static_cast<double>(d.scored), sum);
        conclude(d, sum, log_p, log_p < std::log(p_threshold));
    }
    return d;
}

/// The token with the largest r^(1/p) of those with p > 0, by ln(r)/p, which does not underflow; of equal ones the
/// first. With `top` > 0 only among the `top` most probable tokens. Nothing if no p is above 0.
template <class Uniform>
std::optional<token> exponential_choice(std::span<double const> p, std::span<Uniform const> r, std::size_t top = 0) {
    expects_shape(p.size() == r.size(), "watermark: a number for each token");
    double least = 0;
    if (top != 0 && top < p.size()) {
        std::vector<double> sorted(p.begin(), p.end());
        auto const nth = sorted.begin() + static_cast<std::ptrdiff_t>(top) - 1;
        std::ranges::nth_element(sorted, nth, std::greater{});
        least = *nth;
    }
    std::optional<token> best;
    double most = 0;
    for (std::size_t t = 0; t != p.size(); ++t)
        if (p[t] > 0 && p[t] >= least) {
            auto const value = std::log(static_cast<double>(r[t])) / p[t];
            if (!best || value > most) {
                best = static_cast<token>(t);
                most = value;
            }
        }
    return best;
}

// ---- EXP ------------------------------------------------------------------------------------------------------------

/// Options of exp_detector and its sampler.
struct exp_options {
    std::uint32_t vocabulary = 0;                          ///< V, tokens of the model
    std::uint64_t key = published_key;                     ///< factor of the seeds
    std::size_t prefix = 4;                                ///< tokens before that draw the numbers (h)
    double p_threshold = 1e-4;                             ///< watermarked below
    std::size_t top = 0;                                   ///< sample among so many most probable tokens; 0: all
    watermark::repeats repeats = watermark::repeats::once; ///< of pairs of seed and token
};

/// The sum of -ln(1 - r) of the tokens, which is their evidence. The seed, a product modulo V, takes few values (a
/// token 0 in the window makes it 0), so that pairs of seed and token come again in long texts: `repeats::once` counts
/// each once.
class exp_detector {
    exp_options options_;
    product_seeds seeds_;

public:
    static constexpr model_use needs = model_use::nothing; ///< tokens are enough
    /// \throws option_error
    explicit exp_detector(exp_options const & o) : options_{o}, seeds_(o.vocabulary, o.key, o.prefix) {}
    /// Time of a token: the words of the stream before it, at half a nanosecond. \throws option_error for a token
    /// outside the vocabulary
    [[nodiscard]] token_detection operator()(token_text const & text) const {
        auto const tokens = text.tokens;
        expects_tokens(tokens, options_.vocabulary);
        std::vector<std::uint64_t> keys;
        for (auto i = options_.prefix; i < tokens.size(); ++i)
            keys.push_back(green_query{seeds_(tokens.first(i)), tokens[i]}.key());
        return score_exponential(tokens.size(), options_.prefix, keys, options_.repeats, options_.p_threshold,
                                 [&](std::size_t i) {
            random::torch_generator g(keys[i] >> 32);
            g.skip(keys[i] & 0xffffffffu);
            return -std::log1p(-static_cast<double>(g.uniform()));
        });
    }
};

/// Takes the token with the largest r^(1/p).
class exp_sampler {
    exp_options options_;
    product_seeds seeds_;

public:
    /// \throws option_error
    explicit exp_sampler(exp_options const & o) : options_{o}, seeds_(o.vocabulary, o.key, o.prefix) {}
    /// Nothing for contexts shorter than `prefix` and rows that are no distribution. \throws shape_error, option_error
    template <class B, class P, class T = std::remove_const_t<pointee_t<P>>>
        requires storage<B, T>
    std::vector<std::optional<token>> operator()(B & be, std::span<token_context const> contexts, mat_view<P> logits) {
        std::vector<float> r(options_.vocabulary);
        return choose_by_row<T>(be, contexts, logits, options_.vocabulary, options_.prefix,
                                [&](std::size_t i, std::vector<double> & row) {
            host::softmax(std::span{row});
            random::torch_generator(seeds_(contexts[i].tokens)).uniform(r);
            return exponential_choice(std::span<double const>{row}, std::span<float const>{r}, options_.top);
        });
    }
};

// ---- EXP-Gumbel -----------------------------------------------------------------------------------------------------

/// Options of exp_gumbel_detector and its sampler.
struct exp_gumbel_options {
    std::uint32_t vocabulary = 0;                          ///< V, tokens of the model
    std::size_t prefix = 2;                                ///< tokens before whose sum is the row of the table (h)
    std::uint64_t seed = 42;                               ///< of the table
    double floor = 1e-20;                                  ///< of its numbers
    double temperature = 1;                                ///< of the sampler
    double p_threshold = 1e-4;                             ///< watermarked below
    watermark::repeats repeats = watermark::repeats::once; ///< of a number of the table
};

/// \throws option_error, of a table with more numbers than 64 bits count too
inline void expects_table(exp_gumbel_options const & o) {
    expects_vocabulary(o.vocabulary);
    expects_prefix(o.prefix);
    auto const V = static_cast<double>(o.vocabulary);
    expects_option(V * V * static_cast<double>(o.prefix) < 0x1p63, "prefix", std::to_string(o.prefix),
                   "fewer tokens, for a table of 2^63 numbers at most");
    expects_option(o.floor >= 0 && o.floor < 1, "floor", std::to_string(o.floor), "a number from 0, below 1");
}

/// The numbers are a table of (V h) x V uniform ones, row after row of one stream: 20 GB at V = 50 272 and h = 2.
/// Nothing of it is stored. A number is found by its place in the stream (random/mt19937.hpp): in a millisecond, or
/// going through the stream where that is less, for a batch once for all its texts.
class exp_gumbel_detector {
    exp_gumbel_options options_;
    random::mersenne_words words_;

    [[nodiscard]] std::vector<std::uint64_t> places(std::span<token const> tokens) const {
        std::vector<std::uint64_t> keys;
        for (auto i = options_.prefix; i < tokens.size(); ++i) {
            std::uint64_t row = 0;
            for (auto const t : tokens.subspan(i - options_.prefix, options_.prefix))
                row += t;
            keys.push_back(row * options_.vocabulary + tokens[i]);
        }
        return keys;
    }

public:
    static constexpr model_use needs = model_use::nothing; ///< tokens are enough
    /// \throws option_error
    explicit exp_gumbel_detector(exp_gumbel_options const & o)
        : options_{o}, words_(static_cast<std::uint32_t>(o.seed)) {
        expects_table(o);
    }
    /// \throws option_error for a token outside the vocabulary
    [[nodiscard]] token_detection operator()(token_text const & text) const {
        serial_executor e;
        return std::move(batch(e, {&text, 1}).front());
    }
    /// The same for many texts, which share one way through the stream. \throws option_error for a token outside the
    /// vocabulary
    template <executor E> std::vector<token_detection> batch(E & e, std::span<token_text const> texts) const {
        std::vector<std::vector<std::uint64_t>> keys(texts.size());
        for (std::size_t t = 0; t != texts.size(); ++t) {
            expects_tokens(texts[t].tokens, options_.vocabulary);
            keys[t] = places(texts[t].tokens);
        }
        std::vector<std::uint64_t> all;
        for (auto const & k : keys)
            all.insert(all.end(), k.begin(), k.end());
        std::ranges::sort(all);
        all.erase(std::ranges::unique(all).begin(), all.end());
        std::vector<std::uint32_t> words(all.size());
        constexpr std::size_t task = 1024;
        e.parallel_for((all.size() + task - 1) / task, [&](std::size_t i) {
            auto const first = i * task, count = std::min(task, all.size() - first);
            words_(std::span<std::uint64_t const>{all}.subspan(first, count), std::span{words}.subspan(first, count));
        });
        std::vector<token_detection> found(texts.size());
        e.parallel_for(texts.size(), [&](std::size_t t) {
            found[t] = score_exponential(texts[t].tokens.size(), options_.prefix, keys[t], options_.repeats,
                                         options_.p_threshold, [&](std::size_t i) {
                auto const at = static_cast<std::size_t>(std::ranges::lower_bound(all, keys[t][i]) - all.begin());
                return -std::log1p(
                    -std::max(static_cast<double>(random::torch_generator::uniform(words[at])), options_.floor));
            });
        });
        return found;
    }
};

/// Takes the token with the largest logit/temperature - ln(-ln r), r in the context's row of the table. A row costs a
/// jump.
class exp_gumbel_sampler {
    exp_gumbel_options options_;

public:
    /// \throws option_error
    explicit exp_gumbel_sampler(exp_gumbel_options const & o) : options_{o} {
        expects_table(o);
        expects_option(o.temperature > 0, "temperature", std::to_string(o.temperature), "a number above 0");
    }
    /// Nothing for contexts shorter than `prefix`. \throws shape_error, option_error
    template <class B, class P, class T = std::remove_const_t<pointee_t<P>>>
        requires storage<B, T>
    std::vector<std::optional<token>> operator()(B & be, std::span<token_context const> contexts, mat_view<P> logits) {
        std::vector<float> r(options_.vocabulary);
        return choose_by_row<T>(be, contexts, logits, options_.vocabulary, options_.prefix,
                                [&](std::size_t i, std::vector<double> & row) {
            std::uint64_t sum = 0;
            for (auto const t : contexts[i].tokens.last(options_.prefix))
                sum += t;
            random::torch_generator g(options_.seed);
            g.skip(sum * options_.vocabulary);
            g.uniform(r);
            for (std::size_t t = 0; t != row.size(); ++t) {
                auto const u = std::max(static_cast<double>(r[t]), options_.floor);
                row[t] = row[t] / options_.temperature - std::log(std::max(-std::log(u), options_.floor));
            }
            return largest(row);
        });
    }
};

// ---- permute and flip -----------------------------------------------------------------------------------------------

/// Options of pf_detector and pf_sampler.
struct pf_options {
    std::uint32_t vocabulary = 0; ///< V, tokens of the model
    std::size_t prefix = 8;       ///< tokens before that draw the numbers
    std::uint64_t seed = 0;       ///< what the hash of them begins with
    std::uint64_t salt = 35317;   ///< what it multiplies by
    std::uint32_t payload = 0;    ///< token t takes number t + payload mod V
    double temperature = 1;       ///< of the sampler
    double top_p = 1;             ///< of the sampler: the most probable tokens that make up this mass
    double p_threshold = 0.01;    ///< watermarked below
    watermark::repeats repeats = watermark::repeats::once; ///< of pairs of seed and token
    bool skips_first_scoreable = false;                    ///< MarkLLM: scores begin one token late
    /// MarkLLM: the decision takes a Gamma law of `prefix` fewer terms than the sum has, where more than `prefix` were
    /// scored (no decision for fewer). The p-value stays that of all terms.
    bool threshold_of_fewer_terms = false;
};

/// The seed: from `seed` on, s := s salt + t modulo 2^64 - 1 for each token of the context. torch keeps 32 bits of it.
inline std::uint64_t pf_seed(pf_options const & o, std::span<token const> context) {
    __extension__ using wide = unsigned __int128;
    auto s = o.seed;
    for (auto const t : context)
        s = static_cast<std::uint64_t>((wide{s} * o.salt + t) % 0xffffffffffffffffu);
    return s;
}

/// The sum of -ln r of the tokens, which is their evidence; r = 0 counts as 1e-4. Of MarkLLM's ways of seeding `hash`
/// alone is here: the others take a table that is drawn without a seed.
class pf_detector {
    pf_options options_;

public:
    static constexpr model_use needs = model_use::nothing; ///< tokens are enough
    /// \throws option_error
    explicit pf_detector(pf_options const & o) : options_{o} {
        expects_vocabulary(o.vocabulary);
        expects_prefix(o.prefix);
    }
    /// \throws option_error for a token outside the vocabulary
    [[nodiscard]] token_detection operator()(token_text const & text) const {
        auto const tokens = text.tokens;
        expects_tokens(tokens, options_.vocabulary);
        auto const first = options_.prefix + (options_.skips_first_scoreable ? 1 : 0);
        std::vector<std::uint64_t> keys;
        for (auto i = first; i < tokens.size(); ++i) {
            auto const seed = pf_seed(options_, tokens.subspan(i - options_.prefix, options_.prefix));
            auto const place = (std::uint64_t{tokens[i]} + options_.payload) % options_.vocabulary;
            keys.push_back(seed << 32 | place);
        }
        auto d =
            score_exponential(tokens.size(), first, keys, options_.repeats, options_.p_threshold, [&](std::size_t i) {
            random::torch_generator g(keys[i] >> 32);
            g.skip(keys[i] & 0xffffffffu);
            auto const r = static_cast<double>(g.uniform());
            return -std::log(r > 0 ? r : 1e-4);
        });
        if (options_.threshold_of_fewer_terms)
            d.watermarked = d.scored > options_.prefix
                            && log_gamma_tail(static_cast<double>(d.scored - options_.prefix), d.score)
                                   < std::log(options_.p_threshold);
        return d;
    }
};

/// Takes the token with the largest p/r: permute-and-flip sampling of the distribution at the given temperature.
class pf_sampler {
    pf_options options_;

public:
    /// \throws option_error
    explicit pf_sampler(pf_options const & o) : options_{o} {
        expects_vocabulary(o.vocabulary);
        expects_prefix(o.prefix);
        expects_option(o.temperature > 0, "temperature", std::to_string(o.temperature), "a number above 0");
        expects_option(o.top_p > 0, "top_p", std::to_string(o.top_p), "a number above 0");
    }
    /// Nothing for contexts shorter than `prefix` and rows that are no distribution. \throws shape_error, option_error
    template <class B, class P, class T = std::remove_const_t<pointee_t<P>>>
        requires storage<B, T>
    std::vector<std::optional<token>> operator()(B & be, std::span<token_context const> contexts, mat_view<P> logits) {
        std::vector<float> r(options_.vocabulary);
        return choose_by_row<T>(be, contexts, logits, options_.vocabulary, options_.prefix,
                                [&](std::size_t i, std::vector<double> & row) {
            for (auto & x : row)
                x /= options_.temperature;
            host::softmax(std::span{row});
            if (options_.top_p < 1)
                keep_nucleus(row);
            random::torch_generator(pf_seed(options_, contexts[i].tokens.last(options_.prefix))).uniform(r);
            for (std::size_t t = 0; t != row.size(); ++t)
                row[t] =
                    std::log(row[t]) - std::log(static_cast<double>(r[(t + std::size_t{options_.payload}) % r.size()]));
            return largest(row);
        });
    }

private:
    /// p := 0 for tokens before which, in falling order of p, there is more than top_p.
    void keep_nucleus(std::vector<double> & p) const {
        std::vector<token> order(p.size());
        for (token t = 0; t != order.size(); ++t)
            order[t] = t;
        std::ranges::sort(order, [&](token a, token b) { return p[a] != p[b] ? p[a] > p[b] : a < b; });
        double before = 0;
        for (auto const t : order) {
            auto const own = p[t];
            if (before > options_.top_p)
                p[t] = 0;
            before += own;
        }
    }
};

} // namespace watermark
LATHE_NAMESPACE_END
