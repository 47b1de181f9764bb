#pragma once
/// \file  Watermarks that reweight a distribution without changing it on average over keys: DiPmark (Wu et al., ICML
///        2024) and the unbiased watermark (Hu et al., ICLR 2024), in the formats of MarkLLM on a CPU.
///        docs/watermarking-tokens.md.
///
/// The seed of a context is the SHA-256 of its last tokens, eight bytes each and little-endian, and the key, as a
/// big-endian integer modulo 2^32 - 1. Contexts that occurred before are left alone by generation, and not scored
/// again.
#include <lathe/random/sha256.hpp>
#include <lathe/random/torch.hpp>
#include <lathe/watermark/tokens.hpp>

#include <functional>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// The bytes that a text of hexadecimal digits spells. \throws option_error
inline std::vector<std::uint8_t> key_bytes(std::string_view hex) {
    auto const digit = [&](char c) -> std::uint8_t {
        if (c >= '0' && c <= '9')
            return static_cast<std::uint8_t>(c - '0');
        if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
            return static_cast<std::uint8_t>((c | 32) - 'a' + 10);
        throw option_error{"key: found a character that is no hexadecimal digit, expected pairs of digits"};
    };
    expects_option(hex.size() % 2 == 0, "key", std::to_string(hex.size()) + " digits", "pairs of hexadecimal digits");
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i != hex.size(); i += 2)
        bytes.push_back(static_cast<std::uint8_t>(digit(hex[i]) << 4 | digit(hex[i + 1])));
    return bytes;
}

/// Seeds by a hash of the context. At the start of a text, a context is what there is.
class hashed_seeds {
    std::size_t prefix_;
    std::vector<std::uint8_t> key_;

public:
    /// \throws option_error
    hashed_seeds(std::string_view key, std::size_t prefix) : prefix_{prefix}, key_(key_bytes(key)) {
        expects_prefix(prefix);
    }
    /// Tokens of a context, but at the start of a text.
    [[nodiscard]] std::size_t prefix() const noexcept { return prefix_; }
    /// The last prefix() tokens, or what there is.
    [[nodiscard]] std::span<token const> context(std::span<token const> before) const {
        return before.last(std::min(before.size(), prefix_));
    }
    /// SHA-256 of context and key, modulo 2^32 - 1.
    [[nodiscard]] std::uint32_t operator()(std::span<token const> before) const {
        random::sha256 hash;
        for (auto const t : context(before))
            hash.add(std::uint64_t{t});
        auto const bytes = hash.add(key_).value();
        std::uint64_t sum = 0; // of its digits in base 2^32, which is 1 modulo 2^32 - 1
        for (std::size_t i = 0; i != bytes.size(); i += 4)
            sum += std::uint64_t{bytes[i]} << 24 | std::uint64_t{bytes[i + 1]} << 16 | std::uint64_t{bytes[i + 2]} << 8
                   | bytes[i + 3];
        return static_cast<std::uint32_t>(sum % 0xffffffffu);
    }
};

/// Which tokens follow a context for the first time, of those from `first` on.
inline std::vector<bool> fresh_contexts(std::span<token const> tokens, std::size_t first, std::size_t prefix) {
    auto const n = tokens.size() > first ? tokens.size() - first : 0;
    std::vector<std::size_t> order(n);
    for (std::size_t i = 0; i != n; ++i)
        order[i] = i;
    auto const context = [&](std::size_t i) {
        auto const at = first + i;
        return tokens.subspan(at - std::min(at, prefix), std::min(at, prefix));
    };
    auto const compare = [&](std::size_t a, std::size_t b) {
        auto const x = context(a), y = context(b);
        return std::lexicographical_compare_three_way(x.begin(), x.end(), y.begin(), y.end());
    };
    std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
        auto const c = compare(a, b);
        return c != 0 ? c < 0 : a < b;
    });
    std::vector<bool> fresh(n);
    for (std::size_t i = 0; i != n; ++i)
        fresh[order[i]] = i == 0 || compare(order[i], order[i - 1]) != 0;
    return fresh;
}

/// share[t] := by how much DiP multiplies the probability of token t, 0 to 2. With F the running sum of the
/// distribution in the order of the permutation up to and with t, and k_a = clip((F - a) / p, 0, 1), it is k_alpha +
/// k_(1-alpha): the mean of the two, normalised. alpha = 1/2 is gamma-reweighting. \throws option_error unless alpha is
/// from 0 to 1/2 or the like above
inline void dip_shares(std::span<double const> p, std::span<std::uint32_t const> permutation, double alpha,
                       std::span<double> share) {
    expects_shape(p.size() == permutation.size() && p.size() == share.size(), "dip: the extents differ");
    expects_option(alpha >= 0 && alpha <= 1, "alpha", std::to_string(alpha), "a number from 0 to 1");
    double total = 0, sum = 0;
    for (auto const x : p)
        total += x;
    for (auto const t : permutation) {
        auto const x = p[t] / total;
        auto const above = [&](double a) {
            return x > 0 ? std::clamp((sum + x - a) / x, 0.0, 1.0) : (sum > a ? 1.0 : 0.0);
        };
        share[t] = std::isnan(x) ? x : above(alpha) + above(1 - alpha);
        sum += x;
    }
}

/// Options of dip_detector and dip_processor.
struct dip_options {
    std::uint32_t vocabulary = 0; ///< V, tokens of the model
    double gamma = 0.5;           ///< a token is green from this quantile of the permutation on
    double alpha = 0.45;          ///< of the reweighting; 0.5 is the strongest
    std::size_t prefix = 5;       ///< tokens of a context
    std::string key;              ///< bytes, in hexadecimal
    double z_threshold = 1.513;   ///< watermarked above
    watermark::repeats repeats = watermark::repeats::once; ///< of a context
    bool unscaled_z = false;                               ///< MarkLLM: z is not divided by sqrt(gamma (1 - gamma))
    bool counts_first_token = false; ///< MarkLLM: the first token, which cannot be green, counts as scored
};

/// A token is green if its quantile (position in the permutation + 1) / V is gamma or more. Every token but the first
/// is scored. z = (green - (1 - gamma) n) / sqrt(n gamma (1 - gamma)); the p-value is the binomial tail. Evidence: the
/// quantile. Time of a token: half a permutation on average.
class dip_detector {
    dip_options options_;
    hashed_seeds seeds_;

public:
    static constexpr model_use needs = model_use::nothing; ///< tokens are enough
    /// \throws option_error
    explicit dip_detector(dip_options const & o) : options_{o}, seeds_(o.key, o.prefix) {
        expects_vocabulary(o.vocabulary);
        expects_share("gamma", o.gamma);
    }
    /// \throws option_error for a token outside the vocabulary
    [[nodiscard]] token_detection operator()(token_text const & text) const {
        auto const tokens = text.tokens;
        expects_tokens(tokens, options_.vocabulary);
        token_detection d;
        d.evidence.assign(tokens.size(), std::numeric_limits<double>::quiet_NaN());
        auto const V = options_.vocabulary;
        auto const fresh = fresh_contexts(tokens, 1, options_.prefix);
        std::size_t green = 0;
        for (std::size_t i = 1; i < tokens.size(); ++i) {
            if (options_.repeats == repeats::once && !fresh[i - 1])
                continue;
            auto const at = random::torch_generator(seeds_(tokens.first(i))).position(tokens[i], V, V);
            d.evidence[i] = (at + 1.0) / V;
            ++d.scored;
            green += d.evidence[i] >= options_.gamma ? 1u : 0u;
        }
        auto const n = static_cast<double>(d.scored + (options_.counts_first_token && !tokens.empty() ? 1 : 0));
        if (n == 0)
            return d;
        auto const z = (static_cast<double>(green) - (1 - options_.gamma) * n)
                       / std::sqrt(options_.unscaled_z ? n : n * options_.gamma * (1 - options_.gamma));
        // Positions 0 ... V-1 are equally likely: how many of them are green.
        auto first_green = static_cast<std::uint32_t>(options_.gamma * V);
        first_green -= first_green != 0 ? 1 : 0;
        while ((first_green + 1.0) / V < options_.gamma)
            ++first_green;
        auto const share = static_cast<double>(V - first_green) / V;
        conclude(d, z, log_binomial_tail(d.scored, share, green), z > options_.z_threshold);
        return d;
    }
};

/// Row i of the logits := the logarithm of what reweight(contexts[i], p) makes of its distribution p, for contexts of
/// at least `prefix` tokens which, with `repeats::once`, stand there for the first time. \throws as expects_rows
template <class T, class B, class P, class Options, class Reweight>
void reweight_rows(B & be, std::span<token_context const> contexts, mat_view<P> logits, Options const & o,
                   Reweight reweight) {
    expects_rows(contexts, logits, o.vocabulary);
    std::vector<double> row;
    for (std::size_t i = 0; i != contexts.size(); ++i) {
        auto const & c = contexts[i];
        if (c.tokens.size() < o.prefix || (o.repeats == repeats::once && context_repeats(c, o.prefix)))
            continue;
        download_row<T>(be, logits, i, row);
        host::softmax(std::span{row});
        reweight(c, row);
        for (auto & x : row)
            x = std::log(x);
        upload_row<T>(be, row, logits, i);
    }
}

/// Row := the logarithm of the distribution reweighted by dip_shares under the context's permutation. Contexts shorter
/// than `prefix` and those that stood before an earlier generated token stay as they are (with `repeats::every` only
/// the former); a row with NaN becomes NaN. A row goes through the host: a permutation, a running sum.
class dip_processor {
    dip_options options_;
    hashed_seeds seeds_;

public:
    /// \throws option_error
    explicit dip_processor(dip_options const & o) : options_{o}, seeds_(o.key, o.prefix) {
        expects_vocabulary(o.vocabulary);
        expects_option(o.alpha >= 0 && o.alpha <= 1, "alpha", std::to_string(o.alpha), "a number from 0 to 1");
    }
    /// Changes row i for contexts[i]. \throws shape_error; option_error for a token outside the vocabulary
    template <class B, class P, class T = pointee_t<P>>
        requires storage<B, T>
    void operator()(B & be, std::span<token_context const> contexts, mat_view<P> logits) {
        std::vector<double> share(options_.vocabulary);
        std::vector<std::uint32_t> permutation(options_.vocabulary);
        reweight_rows<T>(be, contexts, logits, options_, [&](token_context const & c, std::vector<double> & p) {
            random::torch_generator(seeds_(c.tokens)).permutation(permutation);
            dip_shares(p, permutation, options_.alpha, share);
            std::ranges::transform(p, share, p.begin(), std::multiplies{});
        });
    }
};

// ---- the unbiased watermark -----------------------------------------------------------------------------------------

/// How the distribution is reweighted by a context's seed; on average over seeds it stays as it is.
enum class unbiased_reweighting : unsigned char {
    gamma, ///< DiP's with alpha 1/2
    delta  ///< one token, at a quantile of the distribution that the context draws
};
/// Options of unbiased_detector and unbiased_processor.
struct unbiased_options {
    std::uint32_t vocabulary = 0;                                   ///< V, tokens of the model
    unbiased_reweighting reweighting = unbiased_reweighting::gamma; ///< of generation, and what the detector assumes
    std::size_t prefix = 5;                                         ///< tokens of a context
    std::string key;                                                ///< bytes, in hexadecimal
    std::size_t grid = 10;                                 ///< total variations i/grid that the detector guards against
    double p_threshold = 5e-4;                             ///< watermarked below
    watermark::repeats repeats = watermark::repeats::once; ///< of a context
};

/// q := the distribution p reweighted with the seed of a context.
inline void unbiased_distribution(unbiased_reweighting reweighting, std::uint32_t seed, std::span<double const> p,
                                  std::span<double> q) {
    if (reweighting == unbiased_reweighting::gamma) {
        std::vector<std::uint32_t> permutation(p.size());
        random::torch_generator(seed).permutation(permutation);
        dip_shares(p, permutation, 0.5, q);
        for (std::size_t t = 0; t != p.size(); ++t)
            q[t] *= p[t];
        return;
    }
    double const u = random::torch_generator(seed).uniform();
    double sum = 0;
    std::size_t at = 0;
    while (at + 1 < p.size() && (sum += p[at]) <= u)
        ++at;
    std::ranges::fill(q, 0.0);
    q[at] = std::isnan(sum) ? sum : 1.0;
}

/// The largest value that ln(q/p) is cut to, so that its expectation under any p' within `drift_p` of p in total
/// variation, and q' within `drift_q` of q, is as good as can be (Hu et al., section 5.2): with tokens in falling order
/// of q/p, the largest ln((Q_k - drift_q) / (P_k + drift_p)) of their running sums. `order` holds the tokens in that
/// order.
inline double largest_llr(std::span<double const> p, std::span<double const> q, std::span<token const> order,
                          double drift_p, double drift_q) {
    double Q = 0, P = 0, best = -std::numeric_limits<double>::infinity();
    for (auto const t : order) {
        Q += q[t];
        P += p[t];
        if (Q > drift_q)
            best = std::max(best, std::log((Q - drift_q) / (P + drift_p)));
    }
    return best;
}

/// Judges by the likelihood ratio of the reweighted distribution q to the model's p, cut token by token to what holds
/// if the text was drawn from a q' that is off by a total variation of i/grid. The score is the largest of the grid's
/// sums S; its p-value is at most grid e^-S (theorem 9), for any model and any text. Needs the model's logits.
/// Evidence: the cut log ratio of each token. Time of a token: a sort of the vocabulary.
class unbiased_detector {
    unbiased_options options_;
    hashed_seeds seeds_;

public:
    static constexpr model_use needs = model_use::logits; ///< a row of logits for each token
    /// \throws option_error
    explicit unbiased_detector(unbiased_options const & o) : options_{o}, seeds_(o.key, o.prefix) {
        expects_vocabulary(o.vocabulary);
        expects_option(o.grid >= 1, "grid", "0", "a number above 0");
    }
    /// \throws option_error for a token outside the vocabulary; shape_error without logits; non_finite_error for logits
    /// with NaN or +infinity
    [[nodiscard]] token_detection operator()(token_text const & text) const {
        auto const tokens = text.tokens;
        expects_tokens(tokens, options_.vocabulary);
        token_detection d;
        d.evidence.assign(tokens.size(), std::numeric_limits<double>::quiet_NaN());
        auto const first = options_.prefix;
        if (tokens.size() <= first)
            return d;
        expects_shape(static_cast<bool>(text.logits), "watermark: this detector needs the model's logits");
        auto const fresh = fresh_contexts(tokens, first, options_.prefix);
        auto const points = options_.grid + 1;
        std::vector<double> sums(points), table((tokens.size() - first) * points), p(options_.vocabulary), q(p.size());
        std::vector<token> order(p.size()), reversed(p.size());
        for (auto i = first; i != tokens.size(); ++i) {
            if (options_.repeats == repeats::once && !fresh[i - first])
                continue;
            ++d.scored;
            text.logits(i, p);
            host::softmax(std::span{p});
            if (std::isnan(p[0]))
                throw non_finite_error{"logits of token " + std::to_string(i) + ": no distribution"};
            unbiased_distribution(options_.reweighting, seeds_(tokens.first(i)), p, q);
            for (token t = 0; t != order.size(); ++t)
                order[t] = t;
            // By q/p, falling; tokens that neither can draw last.
            auto const ratio = [&](token t) { return p[t] > 0 ? q[t] / p[t] : -1.0; };
            std::ranges::sort(order, [&](token a, token b) {
                auto const x = ratio(a), y = ratio(b);
                return x != y ? x > y : a < b;
            });
            reversed.assign(order.rbegin(), order.rend());
            auto const t = tokens[i];
            auto const llr = p[t] > 0 ? std::log(q[t] / p[t]) : 0.0;
            for (std::size_t g = 0; g != points; ++g) {
                auto const drift = static_cast<double>(g) / static_cast<double>(options_.grid);
                auto const most = largest_llr(p, q, order, 0, drift), least = -largest_llr(q, p, reversed, drift, 0);
                auto const cut = most < least ? 0.0 : std::clamp(llr, least, most);
                table[(i - first) * points + g] = cut;
                sums[g] += cut;
            }
        }
        if (d.scored == 0)
            return d;
        auto const best = static_cast<std::size_t>(std::ranges::max_element(sums) - sums.begin());
        for (auto i = first; i != tokens.size(); ++i)
            if (options_.repeats == repeats::every || fresh[i - first])
                d.evidence[i] = table[(i - first) * points + best];
        auto const log_p = std::log(static_cast<double>(options_.grid)) - sums[best];
        conclude(d, sums[best], log_p, log_p < std::log(options_.p_threshold));
        return d;
    }
};

/// Row := the logarithm of the reweighted distribution; \see dip_processor for which rows.
class unbiased_processor {
    unbiased_options options_;
    hashed_seeds seeds_;

public:
    /// \throws option_error
    explicit unbiased_processor(unbiased_options const & o) : options_{o}, seeds_(o.key, o.prefix) {
        expects_vocabulary(o.vocabulary);
    }
    /// Changes row i for contexts[i]. \throws shape_error; option_error for a token outside the vocabulary
    template <class B, class P, class T = pointee_t<P>>
        requires storage<B, T>
    void operator()(B & be, std::span<token_context const> contexts, mat_view<P> logits) {
        std::vector<double> q(options_.vocabulary);
        reweight_rows<T>(be, contexts, logits, options_, [&](token_context const & c, std::vector<double> & p) {
            unbiased_distribution(options_.reweighting, seeds_(c.tokens), p, q);
            p.swap(q);
        });
    }
};

} // namespace watermark
LATHE_NAMESPACE_END
