#pragma once
/// \file  Watermarks that survive edits because a text is aligned with a sequence of random numbers: EXP-Edit and
///        ITS-Edit (Kuditipudi et al., TMLR 2024), in the formats of MarkLLM. docs/watermarking-tokens.md.
///
/// Token i is drawn with number (start + i) mod n of a sequence of n numbers. The statistic of a text of k tokens is
/// the least cost, over all starts, of aligning it with the k numbers from there on; the p-value compares it with fresh
/// sequences: p = (1 + those that cost no more) / (1 + runs).
#include <lathe/random/markllm.hpp>
#include <lathe/random/philox.hpp>
#include <lathe/random/torch.hpp>
#include <lathe/watermark/exponential.hpp>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// The least cost of turning k tokens into k numbers: cost(i, j) for token i on number j, `gap` for a token or a number
/// left over. Dynamic programme. Time O(k^2), memory O(k).
template <class Cost> double alignment_cost(std::size_t k, double gap, Cost const & cost) {
    std::vector<double> row(k + 1);
    for (std::size_t j = 0; j <= k; ++j)
        row[j] = static_cast<double>(j) * gap;
    for (std::size_t i = 1; i <= k; ++i) {
        double corner = row[0]; // of the row before, one to the left
        row[0] = static_cast<double>(i) * gap;
        for (std::size_t j = 1; j <= k; ++j) {
            auto const best = std::min({row[j] + gap, row[j - 1] + gap, corner + cost(i - 1, j - 1)});
            corner = row[j];
            row[j] = best;
        }
    }
    return row[k];
}
/// The cheapest place of a text on a sequence.
struct alignment {
    double cost;       ///< of the tokens on their numbers, and of gaps
    std::size_t start; ///< the number of the sequence that it begins at; the first of several
};
/// The least alignment_cost of k tokens over all starts on a cyclic sequence of `length` numbers, where cost(i, r) is
/// that of token i on number r. Time O(length k^2), memory O(k).
template <class Cost> alignment best_alignment(std::size_t k, std::size_t length, double gap, Cost const & cost) {
    alignment best{std::numeric_limits<double>::infinity(), 0};
    for (std::size_t s = 0; s != length; ++s)
        if (auto const c =
                alignment_cost(k, gap, [&](std::size_t i, std::size_t j) { return cost(i, (s + j) % length); });
            c < best.cost)
            best = {c, s};
    return best;
}

/// Options of exp_edit_detector and its sampler.
struct exp_edit_options {
    std::uint32_t vocabulary = 0; ///< V, tokens of the model
    std::uint32_t key = 42;       ///< seed of the sequence
    std::size_t length = 256;     ///< of the sequence (n)
    std::size_t runs = 100;       ///< fresh sequences for the p-value
    std::uint64_t seed = 0;       ///< of the fresh ones
    double p_threshold = 0.01;    ///< watermarked below
    std::size_t start = 0;        ///< of generation: which number the first token takes
    std::size_t top = 0;          ///< sample among so many most probable tokens; 0: all
};

/// The score is minus the least cost with cost ln(1 - xi) and gaps for nothing. The sequence is n rows of V numbers of
/// MarkLLM's Mersenne Twister, of which only the columns of the text's tokens are kept. Null sequences are Philox's
/// (MarkLLM draws them from numpy's global generator: another p-value each time). Evidence: -ln(1 - xi) at the best
/// start without gaps. Time: n V words and (1 + runs) n k^2.
class exp_edit_detector {
    exp_edit_options options_;

public:
    static constexpr model_use needs = model_use::nothing; ///< tokens are enough
    /// \throws option_error
    explicit exp_edit_detector(exp_edit_options const & o) : options_{o} {
        expects_vocabulary(o.vocabulary);
        expects_option(o.length >= 1 && o.length <= 1u << 20, "length", std::to_string(o.length),
                       "a number from 1 to 1048576");
    }
    /// \throws option_error for a token outside the vocabulary
    [[nodiscard]] token_detection operator()(token_text const & text) const {
        auto const tokens = text.tokens;
        expects_tokens(tokens, options_.vocabulary);
        token_detection d;
        d.evidence.assign(tokens.size(), std::numeric_limits<double>::quiet_NaN());
        if (tokens.empty())
            return d;
        std::vector<token> distinct(tokens.begin(), tokens.end());
        std::ranges::sort(distinct);
        distinct.erase(std::ranges::unique(distinct).begin(), distinct.end());
        std::vector<std::size_t> column(tokens.size());
        for (std::size_t i = 0; i != tokens.size(); ++i)
            column[i] = static_cast<std::size_t>(std::ranges::lower_bound(distinct, tokens[i]) - distinct.begin());
        auto const width = distinct.size();

        std::vector<double> costs(options_.length * width); // ln(1 - xi)
        {
            random::mersenne_twister words(options_.key);
            std::vector<std::uint32_t> row(options_.vocabulary);
            for (std::size_t r = 0; r != options_.length; ++r) {
                words.fill(row);
                for (std::size_t c = 0; c != width; ++c)
                    costs[r * width + c] = std::log1p(-random::markllm_mersenne::uniform(row[distinct[c]]));
            }
        }
        auto const align = [&] {
            return best_alignment(tokens.size(), options_.length, 0,
                                  [&](std::size_t i, std::size_t r) { return costs[r * width + column[i]]; });
        };
        auto const found = align();
        for (std::size_t i = 0; i != tokens.size(); ++i)
            d.evidence[i] = -costs[(found.start + i) % options_.length * width + column[i]];
        std::size_t as_good = 0;
        for (std::size_t run = 0; run != options_.runs; ++run) {
            random::uniform_stream const u{options_.seed, static_cast<std::uint32_t>(run)};
            for (std::size_t x = 0; x < costs.size(); x += 4) {
                auto const quad = u.quad(x / 4);
                for (std::size_t lane = 0; lane != std::min<std::size_t>(4, costs.size() - x); ++lane)
                    costs[x + lane] = std::log1p(-static_cast<double>(quad[lane]));
            }
            as_good += align().cost <= found.cost ? 1u : 0u;
        }
        d.scored = tokens.size();
        auto const p = (1.0 + static_cast<double>(as_good)) / (1.0 + static_cast<double>(options_.runs));
        conclude(d, -found.cost, std::log(p), p < options_.p_threshold);
        return d;
    }
};

/// Takes the token with the largest xi^(1/p), xi the row of the sequence that is this token's turn: (start + generated)
/// mod n.
class exp_edit_sampler {
    exp_edit_options options_;

public:
    /// \throws option_error
    explicit exp_edit_sampler(exp_edit_options const & o) : options_{o} {
        expects_vocabulary(o.vocabulary);
        expects_option(o.length >= 1, "length", "0", "a number above 0");
    }
    /// Nothing for rows that are no distribution. \throws shape_error, option_error
    template <class B, class P, class T = std::remove_const_t<pointee_t<P>>>
        requires storage<B, T>
    std::vector<std::optional<token>> operator()(B & be, std::span<token_context const> contexts, mat_view<P> logits) {
        std::vector<double> xi(options_.vocabulary);
        std::vector<std::uint32_t> words(options_.vocabulary);
        return choose_by_row<T>(be, contexts, logits, options_.vocabulary, 0,
                                [&](std::size_t i, std::vector<double> & row) {
            auto const turn = (options_.start + contexts[i].tokens.size() - contexts[i].prompt) % options_.length;
            random::mersenne_twister engine(options_.key);
            engine.discard(std::uint64_t{turn} * options_.vocabulary);
            engine.fill(words);
            std::ranges::transform(words, xi.begin(),
                                   [](std::uint32_t w) { return random::markllm_mersenne::uniform(w); });
            host::softmax(std::span{row});
            return exponential_choice(std::span<double const>{row}, std::span<double const>{xi}, options_.top);
        });
    }
};

// ---- ITS-Edit -------------------------------------------------------------------------------------------------------

/// Options of its_edit_detector and its sampler.
struct its_edit_options {
    std::uint32_t vocabulary = 0; ///< V, tokens of the model
    std::uint64_t key = 42;       ///< its_key::seed_of(key) is the seed of the sequence
    std::size_t length = 256;     ///< of the sequence (n)
    std::size_t runs = 500;       ///< fresh sequences for the p-value
    std::uint64_t seed = 0;       ///< of the fresh ones
    double p_threshold = 0.01;    ///< watermarked at most
    std::size_t start = 0;        ///< of generation: which number the first token takes
    /// MarkLLM: null runs permute the tokens of the run before once more, draw from torch's global stream after the
    /// key, and p is a share of runs that may be 0.
    bool permutes_null_again = false;
};

/// One permutation of the vocabulary and a sequence of uniform numbers, from torch's generator.
struct its_key {
    std::vector<std::uint32_t> permutation, ///< torch.randperm(V)
        rank;                               ///< rank[permutation[i]] = i
    std::vector<float> xi;                  ///< the sequence, in [0, 1)

    /// Draws both. \param seed of torch's generator, which gives the permutation and then the sequence \param length of
    /// the sequence
    its_key(std::uint64_t seed, std::uint32_t vocabulary, std::size_t length)
        : permutation(vocabulary), rank(vocabulary), xi(length) {
        random::torch_generator g(seed);
        g.permutation(permutation);
        g.uniform(xi);
        for (std::uint32_t i = 0; i != vocabulary; ++i)
            rank[permutation[i]] = i;
    }
    /// Of the key: the first torch.randint(2^32) after manual_seed(key).
    static std::uint64_t seed_of(std::uint64_t key) {
        return random::torch_generator(key).integer(std::uint64_t{1} << 32);
    }
};

/// The score is minus the least cost with cost |rank/V - xi| and gaps of 1. Evidence: 1 - |rank/V - xi| at the best
/// start without gaps. Time: (1 + runs) (V + n k^2).
class its_edit_detector {
    its_edit_options options_;

    [[nodiscard]] alignment align(std::span<token const> tokens, its_key const & key) const {
        std::vector<float> x(tokens.size());
        for (std::size_t i = 0; i != x.size(); ++i)
            x[i] = static_cast<float>(key.rank[tokens[i]]) / static_cast<float>(options_.vocabulary);
        return best_alignment(x.size(), options_.length, 1, [&](std::size_t i, std::size_t r) {
            return static_cast<double>(std::abs(x[i] - key.xi[r]));
        });
    }

public:
    static constexpr model_use needs = model_use::nothing; ///< tokens are enough
    /// \throws option_error
    explicit its_edit_detector(its_edit_options const & o) : options_{o} {
        expects_vocabulary(o.vocabulary);
        expects_option(o.length >= 1 && o.length <= 1u << 20, "length", std::to_string(o.length),
                       "a number from 1 to 1048576");
        expects_option(!o.permutes_null_again || o.runs != 0, "runs", "0", "a number above 0");
    }
    /// \throws option_error for a token outside the vocabulary
    [[nodiscard]] token_detection operator()(token_text const & text) const {
        auto const V = options_.vocabulary;
        expects_tokens(text.tokens, V);
        token_detection d;
        d.evidence.assign(text.tokens.size(), std::numeric_limits<double>::quiet_NaN());
        if (text.tokens.empty())
            return d;
        its_key const key(its_key::seed_of(options_.key), V, options_.length);
        auto const found = align(text.tokens, key);
        for (std::size_t i = 0; i != text.tokens.size(); ++i)
            d.evidence[i] = 1
                            - std::abs(static_cast<double>(key.rank[text.tokens[i]]) / V
                                       - static_cast<double>(key.xi[(found.start + i) % options_.length]));
        std::size_t as_good = 0;
        std::vector<token> tokens(text.tokens.begin(), text.tokens.end());
        std::vector<std::uint32_t> again(V), rank(V);
        random::torch_generator global(options_.key);
        for (std::size_t run = 0; run != options_.runs; ++run) {
            std::uint64_t seed;
            if (options_.permutes_null_again) {
                global.permutation(again);
                for (std::uint32_t i = 0; i != V; ++i)
                    rank[again[i]] = i;
                for (auto & t : tokens)
                    t = rank[t];
                seed = global.integer(100000);
            } else {
                auto const words = random::philox({static_cast<std::uint32_t>(run), 0, 0, 0},
                                                  {random::low_word(options_.seed), random::high_word(options_.seed)});
                seed = words[0];
            }
            as_good += align(tokens, its_key(seed, V, options_.length)).cost <= found.cost ? 1u : 0u;
        }
        d.scored = tokens.size();
        auto const hits = static_cast<double>(as_good), runs = static_cast<double>(options_.runs);
        auto const p = options_.permutes_null_again ? hits / runs : (1 + hits) / (1 + runs);
        conclude(d, -found.cost, std::log(p), p <= options_.p_threshold);
        return d;
    }
};

/// Takes the token at quantile xi of the distribution in the order of the permutation, xi the number that is this
/// token's turn: (start + generated) mod n.
class its_edit_sampler {
    its_edit_options options_;
    its_key key_;

public:
    /// \throws option_error
    explicit its_edit_sampler(its_edit_options const & o)
        : options_{o}, key_((expects_vocabulary(o.vocabulary), its_key::seed_of(o.key)), o.vocabulary, o.length) {
        expects_option(o.length >= 1, "length", "0", "a number above 0");
    }
    /// Nothing for rows that are no distribution. \throws shape_error, option_error
    template <class B, class P, class T = std::remove_const_t<pointee_t<P>>>
        requires storage<B, T>
    std::vector<std::optional<token>> operator()(B & be, std::span<token_context const> contexts, mat_view<P> logits) {
        return choose_by_row<T>(be, contexts, logits, options_.vocabulary, 0,
                                [&](std::size_t i, std::vector<double> & row) {
            auto const turn = (options_.start + contexts[i].tokens.size() - contexts[i].prompt) % options_.length;
            host::softmax(std::span{row});
            double const u = key_.xi[turn];
            double sum = 0;
            std::optional<token> chosen;
            for (auto const t : key_.permutation) {
                if (row[t] > 0) {
                    sum += row[t];
                    chosen = t; // rounding may leave the sum below u
                }
                if (sum >= u && chosen)
                    break;
            }
            return chosen;
        });
    }
};

} // namespace watermark
LATHE_NAMESPACE_END
