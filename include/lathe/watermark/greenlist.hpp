#pragma once
/// \file  Watermarks by a green part of the vocabulary: KGW (Kirchenbauer et al., ICML 2023; left and self hash),
///        Unigram (Zhao et al., ICLR 2024), SWEET (Lee et al., ACL 2024), EWD (Lu et al., ACL 2024) and MorphMark
///        (Wang et al., ACL 2025), in the formats of MarkLLM on a CPU. docs/watermarking-tokens.md.
///
/// With V tokens and a share gamma, G = floor(V gamma) of them are green, by a permutation of the vocabulary that the
/// key and the tokens before choose. The statistic is z = (green - gamma T) / sqrt(T gamma (1 - gamma)) over the T
/// scored tokens, the p-value the exact tail of a binomial law with share G/V. A pair of green list and token that
/// comes again is scored once unless the options say `repeats::every`.
#include <lathe/random/numpy.hpp>
#include <lathe/random/sha256.hpp>
#include <lathe/random/torch.hpp>
#include <lathe/watermark/tokens.hpp>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// The key of most published configurations.
inline constexpr std::uint64_t published_key = 15485863;

/// What of the last h tokens (the context) chooses the green list; prf is a permutation of the vocabulary.
enum class context_hash : unsigned char {
    time,     ///< prf[their product]
    additive, ///< prf[their sum]
    skip,     ///< prf[the first of them]
    min       ///< the smallest of prf[each]
};
/// Whether the candidate itself takes part.
enum class hash_window : unsigned char {
    left, ///< one green list for all candidates: seed key f mod V
    self  ///< for candidate k the seed is f prf[k] mod V
};

/// G = floor(V gamma). \throws option_error if no token or every token were green
inline std::uint32_t green_size(std::uint32_t vocabulary, double gamma) {
    expects_vocabulary(vocabulary);
    expects_share("gamma", gamma);
    auto const size = static_cast<std::uint32_t>(vocabulary * gamma);
    expects_option(size != 0, "gamma", std::to_string(gamma), "a share that makes at least one token green");
    return size;
}

/// KGW's seeds.
class kgw_seeds {
    std::uint64_t key_;
    std::size_t prefix_;
    context_hash hash_;
    hash_window window_;
    std::vector<std::uint32_t> prf_;

public:
    /// Time and memory: a permutation of the vocabulary. \throws option_error
    kgw_seeds(std::uint32_t vocabulary, std::uint64_t key, std::size_t prefix, context_hash hash, hash_window window)
        : key_{key}, prefix_{prefix}, hash_{hash}, window_{window} {
        expects_vocabulary(vocabulary);
        expects_prefix(prefix);
        prf_.resize(vocabulary);
        random::torch_generator(key).permutation(prf_);
    }
    /// h: tokens before that a seed is made of.
    [[nodiscard]] std::size_t prefix() const noexcept { return prefix_; }
    /// Whether every candidate has a green list of its own.
    [[nodiscard]] bool depends_on_candidate() const noexcept { return window_ == hash_window::self; }

    /// f(context); at least `prefix` tokens, all of the vocabulary.
    [[nodiscard]] std::uint32_t context(std::span<token const> before) const {
        auto const last = before.last(prefix_);
        std::uint64_t const V = prf_.size();
        std::uint64_t all = hash_ == context_hash::time ? 1 % V : 0;
        switch (hash_) {
        case context_hash::time:
            for (auto const t : last)
                all = all * t % V;
            return prf_[static_cast<std::size_t>(all)];
        case context_hash::additive:
            for (auto const t : last)
                all = (all + t) % V;
            return prf_[static_cast<std::size_t>(all)];
        case context_hash::skip: return prf_[last.front()];
        case context_hash::min: break;
        }
        std::uint32_t least = prf_[last.front()];
        for (auto const t : last)
            least = std::min(least, prf_[t]);
        return least;
    }
    /// The seed of the green list that says whether `candidate` is green, from f(context). Below V.
    [[nodiscard]] std::uint32_t seed(std::uint32_t f, token candidate) const {
        std::uint64_t const V = prf_.size();
        return static_cast<std::uint32_t>(
            (window_ == hash_window::left ? key_ % V * f : std::uint64_t{f} * prf_[candidate]) % V);
    }
    /// The seed for a candidate after these tokens; at least `prefix` of them, all of the vocabulary.
    [[nodiscard]] std::uint32_t operator()(std::span<token const> before, token candidate) const {
        return seed(context(before), candidate);
    }
};

/// The seeds of SWEET, EWD and EXP: key times (the product of the last h tokens mod V), not reduced.
class product_seeds {
    std::uint32_t vocabulary_;
    std::uint64_t key_;
    std::size_t prefix_;

public:
    /// \throws option_error
    product_seeds(std::uint32_t vocabulary, std::uint64_t key, std::size_t prefix)
        : vocabulary_{vocabulary}, key_{key}, prefix_{prefix} {
        expects_vocabulary(vocabulary);
        expects_prefix(prefix);
    }
    /// h: tokens before that a seed is made of.
    [[nodiscard]] std::size_t prefix() const noexcept { return prefix_; }
    /// No: all candidates share a green list.
    [[nodiscard]] static constexpr bool depends_on_candidate() noexcept { return false; }
    /// The 32 bits of it that torch's generator looks at.
    [[nodiscard]] std::uint32_t operator()(std::span<token const> before, token = 0) const {
        std::uint64_t product = 1 % vocabulary_;
        for (auto const t : before.last(prefix_))
            product = product * t % vocabulary_;
        return static_cast<std::uint32_t>(key_ * product);
    }
};

/// A question: is the token among the first G of torch.randperm(V) with this seed?
struct green_query {
    std::uint32_t seed; ///< of torch's generator
    token candidate;    ///< the token
    /// Equal for equal questions, and only for these.
    [[nodiscard]] constexpr std::uint64_t key() const noexcept { return std::uint64_t{seed} << 32 | candidate; }
};

/// Bit t is set where token t is green. Time: G exchanges. `permutation` is scratch of V numbers.
inline void green_bits(std::uint32_t seed, std::uint32_t green, std::span<std::uint32_t> permutation,
                       std::span<std::uint64_t> bits) {
    random::torch_generator(seed).permutation(permutation, green);
    std::ranges::fill(bits, 0u);
    for (auto const t : permutation.first(green))
        bits[t / 64] |= std::uint64_t{1} << t % 64;
}

/// green[i] := whether query i is. Every seed is permuted once; a seed with few questions is not permuted at all, but
/// the tokens are followed through its exchanges. Time: at most G for each seed, on the executor's threads; memory: V a
/// thread.
template <executor E>
void find_green(E & e, std::uint32_t vocabulary, std::uint32_t size, std::span<green_query const> queries,
                std::span<std::uint8_t> green) {
    struct question {
        std::uint64_t key;
        std::size_t index;
    };
    std::vector<question> asked(queries.size());
    for (std::size_t i = 0; i != asked.size(); ++i)
        asked[i] = {queries[i].key(), i};
    std::ranges::sort(asked, {}, &question::key);
    std::vector<std::size_t> starts; // of the questions of one seed
    for (std::size_t i = 0; i != asked.size(); ++i)
        if (i == 0 || asked[i].key >> 32 != asked[i - 1].key >> 32)
            starts.push_back(i);
    starts.push_back(asked.size());

    constexpr std::size_t seeds_per_task = 16, followed = 2;
    auto const seeds = starts.size() - 1;
    e.parallel_for((seeds + seeds_per_task - 1) / seeds_per_task, [&](std::size_t task) {
        std::vector<std::uint32_t> permutation;
        std::vector<std::uint64_t> bits;
        for (auto s = task * seeds_per_task; s != std::min(seeds, (task + 1) * seeds_per_task); ++s) {
            auto const first = starts[s], last = starts[s + 1];
            auto const seed = static_cast<std::uint32_t>(asked[first].key >> 32);
            std::size_t distinct = 1;
            for (auto i = first + 1; i != last && distinct <= followed; ++i)
                distinct += asked[i].key != asked[i - 1].key;
            if (distinct > followed) {
                permutation.resize(vocabulary);
                bits.resize((vocabulary + 63) / 64);
                green_bits(seed, size, permutation, bits);
            }
            for (auto i = first; i != last; ++i) {
                auto const t = static_cast<token>(asked[i].key);
                auto & answer = green[asked[i].index];
                if (i != first && asked[i].key == asked[i - 1].key)
                    answer = green[asked[i - 1].index];
                else if (distinct > followed)
                    answer = bits[t / 64] >> t % 64 & 1;
                else
                    answer = random::torch_generator(seed).position(t, vocabulary, size) < size;
            }
        }
    });
}

/// z of `green` among `scored` tokens, which are green with probability gamma.
inline double green_z(double green, double scored, double gamma) {
    return (green - gamma * scored) / std::sqrt(scored * gamma * (1 - gamma));
}

/// The score of a text whose tokens from `first` on are green or not. Only those with scored[i] count.
inline token_detection score_green(std::size_t tokens, std::size_t first, std::span<std::uint8_t const> green,
                                   std::vector<bool> const & scored, double gamma, double share, double threshold) {
    token_detection d;
    d.evidence.assign(tokens, std::numeric_limits<double>::quiet_NaN());
    std::size_t hits = 0;
    for (std::size_t i = 0; i != green.size(); ++i)
        if (scored[i]) {
            ++d.scored;
            hits += green[i];
            d.evidence[first + i] = green[i];
        }
    if (d.scored != 0) {
        auto const z = green_z(static_cast<double>(hits), static_cast<double>(d.scored), gamma);
        conclude(d, z, log_binomial_tail(d.scored, share, hits), z > threshold);
    }
    return d;
}

/// The score with a weight for each token: z = (sum of green W - gamma sum W) / sqrt(gamma (1 - gamma) sum W^2), its
/// p-value that of a normal variable. Weights that are all 0 count as 1.
inline token_detection score_weighted(std::size_t tokens, std::size_t first, std::span<std::uint8_t const> green,
                                      std::vector<bool> const & scored, std::vector<double> weights, double gamma,
                                      double threshold) {
    token_detection d;
    d.evidence.assign(tokens, std::numeric_limits<double>::quiet_NaN());
    if (std::ranges::all_of(weights, [](double w) { return w == 0; }))
        std::ranges::fill(weights, 1.0);
    double hits = 0, sum = 0, squares = 0;
    for (std::size_t i = 0; i != green.size(); ++i)
        if (scored[i]) {
            ++d.scored;
            sum += weights[i];
            squares += weights[i] * weights[i];
            hits += green[i] != 0 ? weights[i] : 0;
            d.evidence[first + i] = green[i];
        }
    if (d.scored != 0 && squares > 0) {
        auto const z = (hits - gamma * sum) / std::sqrt(gamma * (1 - gamma) * squares);
        conclude(d, z, log_normal_tail(z), z > threshold);
    }
    return d;
}

/// A detector of green lists by seeds: `Options` has vocabulary, gamma, z_threshold and repeats; `Score` makes a
/// detection of a text, its answers and which of them are the first of their kind.
template <class Seeds, class Score> class green_detector {
    Seeds seeds_;
    Score score_;
    std::uint32_t vocabulary_, size_;
    repeats repeats_;

public:
    static constexpr model_use needs = Score::needs; ///< what the score needs

    /// Keeps seeds and score. \param gamma share of green tokens, rounded down to whole ones \throws option_error
    green_detector(Seeds seeds, Score score, std::uint32_t vocabulary, double gamma, repeats again)
        : seeds_(std::move(seeds)), score_(std::move(score)), vocabulary_{vocabulary},
          size_{green_size(vocabulary, gamma)}, repeats_{again} {}
    /// V
    [[nodiscard]] std::uint32_t vocabulary() const noexcept { return vocabulary_; }
    /// Texts of `prefix` tokens or fewer have no score. \throws option_error for a token outside the vocabulary;
    /// shape_error, non_finite_error for missing entropies and those that are no numbers, where they are needed
    [[nodiscard]] token_detection operator()(token_text const & text) const {
        serial_executor e;
        return std::move(batch(e, {&text, 1}).front());
    }
    /// The same for many texts. Time: a permutation for each seed that occurs, and a sort.
    template <executor E> std::vector<token_detection> batch(E & e, std::span<token_text const> texts) const {
        auto const prefix = seeds_.prefix();
        std::vector<std::size_t> starts(texts.size() + 1);
        for (std::size_t t = 0; t != texts.size(); ++t) {
            auto const n = texts[t].tokens.size();
            expects_tokens(texts[t].tokens, vocabulary_);
            if constexpr (needs == model_use::entropies)
                expects_shape(texts[t].entropies.size() == n,
                              "watermark: this detector needs an entropy for each token");
            starts[t + 1] = starts[t] + (n > prefix ? n - prefix : 0);
        }
        std::vector<green_query> queries(starts.back());
        e.parallel_for(texts.size(), [&](std::size_t t) {
            auto const tokens = texts[t].tokens;
            for (auto i = prefix; i < tokens.size(); ++i)
                queries[starts[t] + i - prefix] = {seeds_(tokens.first(i), tokens[i]), tokens[i]};
        });
        std::vector<std::uint8_t> green(queries.size());
        find_green(e, vocabulary_, size_, queries, green);
        std::vector<token_detection> all(texts.size());
        e.parallel_for(texts.size(), [&](std::size_t t) {
            auto const n = starts[t + 1] - starts[t];
            std::vector<bool> scored(n, true);
            if (repeats_ == repeats::once) {
                std::vector<std::uint64_t> keys(n);
                for (std::size_t i = 0; i != n; ++i)
                    keys[i] = queries[starts[t] + i].key();
                scored = first_occurrences(keys);
            }
            auto const answers = std::span<std::uint8_t const>{green}.subspan(starts[t], n);
            all[t] = score_(texts[t], prefix, answers, std::move(scored), static_cast<double>(size_) / vocabulary_);
        });
        return all;
    }
};

/// Counts the green tokens.
struct count_score {
    static constexpr model_use needs = model_use::nothing; ///< tokens are enough
    double gamma,                                          ///< share of green tokens
        threshold;                                         ///< watermarked above
    /// score_green of a text whose tokens from `first` on are answered by `green`; `share` is G/V.
    token_detection operator()(token_text const & text, std::size_t first, std::span<std::uint8_t const> green,
                               std::vector<bool> const & scored, double share) const {
        return score_green(text.tokens.size(), first, green, scored, gamma, share, threshold);
    }
};
/// SWEET: counts those of tokens with an entropy above a threshold.
struct gated_score {
    static constexpr model_use needs = model_use::entropies; ///< the text's entropies
    double gamma,                                            ///< share of green tokens
        threshold,                                           ///< watermarked above
        entropy;                                             ///< in nats: only tokens of more count
    /// score_green of a text whose tokens from `first` on are answered by `green`; `share` is G/V.
    token_detection operator()(token_text const & text, std::size_t first, std::span<std::uint8_t const> green,
                               std::vector<bool> scored, double share) const {
        for (std::size_t i = 0; i != green.size(); ++i)
            scored[i] = scored[i] && text.entropies[first + i] > entropy;
        return score_green(text.tokens.size(), first, green, scored, gamma, share, threshold);
    }
};
/// EWD: weighs them by spike entropy above its minimum over the scored tokens.
struct weighted_score {
    static constexpr model_use needs = model_use::entropies; ///< the text's spike entropies
    double gamma,                                            ///< share of green tokens
        threshold;                                           ///< watermarked above
    /// score_weighted of a text whose tokens from `first` on are answered by `green`. \throws non_finite_error for an
    /// entropy that is no finite number
    token_detection operator()(token_text const & text, std::size_t first, std::span<std::uint8_t const> green,
                               std::vector<bool> const & scored, double) const {
        std::vector<double> weights(green.size());
        double least = std::numeric_limits<double>::infinity();
        for (std::size_t i = 0; i != green.size(); ++i) {
            auto const h = text.entropies[first + i];
            if (!std::isfinite(h))
                throw non_finite_error{"entropy of token " + std::to_string(first + i) + ": not a finite number"};
            least = std::min(least, h);
            weights[i] = h;
        }
        for (auto & w : weights)
            w -= least;
        return score_weighted(text.tokens.size(), first, green, scored, std::move(weights), gamma, threshold);
    }
};

namespace kernels {
/// p ln p, 0 for p = 0.
inline constexpr auto negative_entropy = [](auto & sums, auto const & p) {
    sums.add(0, p * math::log(math::select(p > 0, p, 1 + 0 * p)));
};
/// Sum of p / (1 + zeta p).
inline constexpr auto spike_entropy = [](auto & sums, auto const & p, auto const & zeta) {
    sums.add(0, p / (1 + zeta * p));
};
/// Sum of p over green tokens.
inline constexpr auto green_mass = [](auto & sums, auto const & p, auto const & green) { sums.add(0, green * p); };
/// ln of p times of_green where `green` is 1, and times of_red where it is 0.
inline constexpr auto scaled_log = [](auto const & p, auto const & green, auto const & of_green, auto const & of_red) {
    return math::log(p * (green * (of_green - of_red) + of_red));
};
} // namespace kernels

/// zeta of spike entropies: (1 - gamma)(e^delta - 1) / (1 - gamma + gamma e^delta).
inline double spike_modulus(double gamma, double delta) {
    return (1 - gamma) * std::expm1(delta) / (1 - gamma + gamma * std::exp(delta));
}
/// The entropy, in nats, of the distribution of each row of logits. Element i belongs to the token drawn from row i.
/// Two passes over a copy of each row; NaN for a row whose softmax is.
template <class B, class P, class T = std::remove_const_t<pointee_t<P>>>
    requires elementwise<B, T>
std::vector<double> entropies(B & be, mat_view<P> logits) {
    std::vector<double> all(logits.rows);
    auto buffer = be.template allocate<T>(logits.cols);
    for (std::size_t i = 0; i != logits.rows; ++i) {
        ops::copy(be, logits.row(i), buffer.view());
        ops::softmax_rows(be, as_matrix(buffer.view(), 1, logits.cols));
        double sum = 0;
        ops::reduce<T>(be, kernels::negative_entropy, std::span<double, 1>{&sum, 1}, buffer.view());
        all[i] = -sum;
    }
    return all;
}
/// The spike entropy sum p / (1 + zeta p) of each row, zeta = spike_modulus(gamma, delta): EWD's weights. As
/// `entropies`.
template <class B, class P, class T = std::remove_const_t<pointee_t<P>>>
    requires elementwise<B, T>
std::vector<double> spike_entropies(B & be, mat_view<P> logits, double gamma, double delta) {
    std::vector<double> all(logits.rows);
    auto buffer = be.template allocate<T>(logits.cols);
    auto const zeta = static_cast<T>(spike_modulus(gamma, delta));
    for (std::size_t i = 0; i != logits.rows; ++i) {
        ops::copy(be, logits.row(i), buffer.view());
        ops::softmax_rows(be, as_matrix(buffer.view(), 1, logits.cols));
        ops::reduce<T>(be, kernels::spike_entropy, std::span<double, 1>{&all[i], 1}, buffer.view(), zeta);
    }
    return all;
}

// ---- green lists for generation -------------------------------------------------------------------------------------

/// How much memory green lists may take that are kept: all of them up to some 65 000 tokens.
inline constexpr std::size_t green_cache_bytes = std::size_t{512} << 20;

/// Green lists as bits, kept as they are asked for up to a number of bytes: with room for V lists of V bits (315 MB at
/// 50 272 tokens) the whole relation. What does not fit any more is answered without memory.
class green_table {
    std::uint32_t vocabulary_, size_;
    std::size_t words_, rows_left_;
    std::vector<std::uint32_t> permutation_;
    std::vector<std::vector<std::uint64_t>> rows_; // by seed; empty: not there

public:
    /// Holds no list yet. \param size G \param bytes that the lists kept may take
    green_table(std::uint32_t vocabulary, std::uint32_t size, std::size_t bytes)
        : vocabulary_{vocabulary}, size_{size}, words_((vocabulary + 63) / 64), rows_left_(bytes / (8 * words_)) {}

    /// Whether a token is green under a seed below V. Time: a look, G exchanges for the first question to a seed, or
    /// following the token through at most G where there is no room.
    [[nodiscard]] bool operator()(std::uint32_t seed, token candidate) {
        auto const * const row = this->row(seed);
        return row != nullptr ? ((*row)[candidate / 64] >> candidate % 64 & 1) != 0
                              : random::torch_generator(seed).position(candidate, vocabulary_, size_) < size_;
    }
    /// The bits of a seed below V, or nothing where there is no room.
    [[nodiscard]] std::vector<std::uint64_t> const * row(std::uint32_t seed) {
        if (rows_.empty())
            rows_.resize(vocabulary_);
        auto & bits = rows_[seed];
        if (bits.empty()) {
            if (rows_left_ == 0)
                return nullptr;
            --rows_left_;
            permutation_.resize(vocabulary_);
            bits.resize(words_);
            green_bits(seed, size_, permutation_, bits);
        }
        return &bits;
    }
};

/// The green tokens of a context as 1 and the others as 0, on the backend.
template <class B, class T> class green_mask {
    std::vector<T> host_;
    buffer_t<B, T> buffer_;

public:
    /// Zeros on the host; what is on the backend is not initialised.
    green_mask(B & be, std::uint32_t vocabulary) : host_(vocabulary), buffer_(be.template allocate<T>(vocabulary)) {}
    /// A number for each token, to be written.
    [[nodiscard]] std::span<T> host() noexcept { return host_; }
    /// The host's elements, on the backend.
    [[nodiscard]] vec<B, T> upload(B & be) {
        be.upload(std::span<T const>{host_}, buffer_.view());
        return buffer_.view();
    }
};

/// The green list of a seed as ones among zeros. `permutation` is scratch.
template <class T>
void fill_green(std::uint32_t seed, std::uint32_t green, std::vector<std::uint32_t> & permutation, std::span<T> mask) {
    permutation.resize(mask.size());
    random::torch_generator(seed).permutation(permutation, green);
    std::ranges::fill(mask, T(0));
    for (auto const t : std::span{permutation}.first(green))
        mask[t] = T(1);
}

// ---- KGW ------------------------------------------------------------------------------------------------------------

/// Options of kgw_detector and kgw_processor.
struct kgw_options {
    std::uint32_t vocabulary = 0;                          ///< V, tokens of the model
    double gamma = 0.5;                                    ///< share of green tokens
    double delta = 2;                                      ///< added to their logits
    std::uint64_t key = published_key;                     ///< of the permutation, and factor of the seeds with `left`
    std::size_t prefix = 1;                                ///< tokens before that choose the green list (h)
    context_hash hash = context_hash::time;                ///< of the last `prefix` tokens
    hash_window window = hash_window::left;                ///< whether the candidate takes part
    double z_threshold = 4;                                ///< watermarked above
    watermark::repeats repeats = watermark::repeats::once; ///< of pairs of seed and token
    /// Generation with `self`: only so many candidates, those of the largest logits, are asked for being green; 0: all.
    std::size_t candidates = 0;
    /// Generation with `self`: what green lists may take that are kept between calls.
    std::size_t cache_bytes = green_cache_bytes;
};

/// KGW: the number of green tokens as z and as an exact binomial tail. \see green_detector for errors and time
struct kgw_detector : green_detector<kgw_seeds, count_score> {
    /// \throws option_error
    explicit kgw_detector(kgw_options const & o)
        : green_detector(kgw_seeds(o.vocabulary, o.key, o.prefix, o.hash, o.window), {o.gamma, o.z_threshold},
                         o.vocabulary, o.gamma, o.repeats) {}
};

/// Adds delta to the logits of green tokens. Rows with fewer than `prefix` tokens before stay as they are, and so do
/// NaN and infinity. A row costs G exchanges and one pass; with `self` a look for each candidate once the table is
/// full, see green_table.
class kgw_processor {
    kgw_options options_;
    kgw_seeds seeds_;
    std::uint32_t size_;
    green_table table_; // of self
    std::vector<std::uint32_t> permutation_;

    template <class T> void mark_self(std::uint32_t f, std::span<double const> logits, std::span<T> mask) {
        std::ranges::fill(mask, T(0));
        auto const mark = [&](token k) { mask[k] = table_(seeds_.seed(f, k), k) ? T(1) : T(0); };
        if (logits.empty()) {
            for (token k = 0; k != options_.vocabulary; ++k)
                mark(k);
            return;
        }
        std::vector<token> order(logits.size());
        for (token k = 0; k != order.size(); ++k)
            order[k] = k;
        auto const count = static_cast<std::ptrdiff_t>(options_.candidates);
        auto const value = [&](token k) {
            return std::isnan(logits[k]) ? -std::numeric_limits<double>::infinity() : logits[k];
        };
        std::ranges::nth_element(order, order.begin() + count - 1,
                                 [&](token a, token b) { return value(a) != value(b) ? value(a) > value(b) : a < b; });
        std::for_each(order.begin(), order.begin() + count, mark);
    }

public:
    /// \throws option_error
    explicit kgw_processor(kgw_options const & o)
        : options_{o}, seeds_(o.vocabulary, o.key, o.prefix, o.hash, o.window),
          size_{green_size(o.vocabulary, o.gamma)}, table_(o.vocabulary, size_, o.cache_bytes) {
        expects_option(std::isfinite(o.delta), "delta", std::to_string(o.delta), "a finite number");
    }
    /// Sets mask[k] = 1 for every green token k after a context of at least `prefix` tokens, else 0. With `logits` (of
    /// `self` only) no more than the options' candidates are looked at.
    template <class T>
    void green(std::span<token const> before, std::span<T> mask, std::span<double const> logits = {}) {
        expects_shape(mask.size() == options_.vocabulary, "kgw: a mask as long as the vocabulary");
        auto const f = seeds_.context(before);
        if (seeds_.depends_on_candidate())
            mark_self(f, logits, mask);
        else
            fill_green(seeds_.seed(f, 0), size_, permutation_, mask);
    }
    /// Changes row i for contexts[i]. \throws shape_error; option_error for a token outside the vocabulary
    template <class B, class P, class T = pointee_t<P>>
        requires vector_space<B, T>
    void operator()(B & be, std::span<token_context const> contexts, mat_view<P> logits) {
        expects_rows(contexts, logits, options_.vocabulary);
        green_mask<B, T> mask(be, options_.vocabulary);
        std::vector<double> row;
        for (std::size_t i = 0; i != contexts.size(); ++i) {
            if (contexts[i].tokens.size() < options_.prefix)
                continue;
            row.clear();
            if (seeds_.depends_on_candidate() && options_.candidates != 0 && options_.candidates < options_.vocabulary)
                download_row<T>(be, logits, i, row);
            green(contexts[i].tokens, mask.host(), row);
            ops::axpy(be, static_cast<T>(options_.delta), mask.upload(be), logits.row(i));
        }
    }
};

// ---- Unigram --------------------------------------------------------------------------------------------------------

/// Options of unigram_detector and unigram_processor.
struct unigram_options {
    std::uint32_t vocabulary = 0;                          ///< V, tokens of the model
    double gamma = 0.5;                                    ///< share of green tokens
    double delta = 2;                                      ///< added to their logits
    std::uint64_t key = published_key;                     ///< what the seed is a hash of
    double z_threshold = 4;                                ///< watermarked above
    watermark::repeats repeats = watermark::repeats::once; ///< of a token
};

/// The one green list: G ones and then zeros, shuffled by numpy's default_rng seeded with the first four bytes,
/// little-endian, of the SHA-256 of the key as eight bytes. \throws option_error
inline std::vector<std::uint8_t> unigram_green(unigram_options const & o) {
    auto const size = green_size(o.vocabulary, o.gamma);
    std::vector<std::uint8_t> green(o.vocabulary);
    std::fill_n(green.begin(), size, std::uint8_t{1});
    auto const hash = random::sha256{}.add(o.key).value();
    random::numpy_generator(std::uint64_t{hash[0]} | std::uint64_t{hash[1]} << 8 | std::uint64_t{hash[2]} << 16
                            | std::uint64_t{hash[3]} << 24)
        .shuffle(green);
    return green;
}

/// Every token counts. A token that comes again is green again, so `repeats::once` scores the distinct tokens of a
/// text.
class unigram_detector {
    unigram_options options_;
    std::vector<std::uint8_t> green_;

public:
    static constexpr model_use needs = model_use::nothing; ///< tokens are enough
    /// \throws option_error
    explicit unigram_detector(unigram_options const & o) : options_{o}, green_(unigram_green(o)) {}
    /// 1 for every green token of the vocabulary, else 0.
    [[nodiscard]] std::span<std::uint8_t const> green() const noexcept { return green_; }
    /// \throws option_error for a token outside the vocabulary
    [[nodiscard]] token_detection operator()(token_text const & text) const {
        expects_tokens(text.tokens, options_.vocabulary);
        std::vector<std::uint8_t> flags;
        for (auto const t : text.tokens)
            flags.push_back(green_[t]);
        std::vector<bool> scored(flags.size(), true);
        if (options_.repeats == repeats::once)
            scored = first_occurrences(std::vector<std::uint64_t>(text.tokens.begin(), text.tokens.end()));
        return score_green(flags.size(), 0, flags, scored, options_.gamma,
                           static_cast<double>(green_size(options_.vocabulary, options_.gamma)) / options_.vocabulary,
                           options_.z_threshold);
    }
};

/// Adds delta to the logits of green tokens, in every row. One pass.
class unigram_processor {
    unigram_options options_;
    std::vector<std::uint8_t> green_;

public:
    /// \throws option_error
    explicit unigram_processor(unigram_options const & o) : options_{o}, green_(unigram_green(o)) {
        expects_option(std::isfinite(o.delta), "delta", std::to_string(o.delta), "a finite number");
    }
    /// Changes every row. \throws shape_error; option_error for a token outside the vocabulary
    template <class B, class P, class T = pointee_t<P>>
        requires vector_space<B, T>
    void operator()(B & be, std::span<token_context const> contexts, mat_view<P> logits) {
        expects_rows(contexts, logits, options_.vocabulary);
        green_mask<B, T> mask(be, options_.vocabulary);
        std::ranges::copy(green_, mask.host().begin());
        auto const ones = mask.upload(be);
        for (std::size_t i = 0; i != logits.rows; ++i)
            ops::axpy(be, static_cast<T>(options_.delta), ones, logits.row(i));
    }
};

// ---- SWEET, EWD -----------------------------------------------------------------------------------------------------

/// Options of sweet_detector and sweet_processor.
struct sweet_options {
    std::uint32_t vocabulary = 0;                          ///< V, tokens of the model
    double gamma = 0.5;                                    ///< share of green tokens
    double delta = 2;                                      ///< added to their logits
    std::uint64_t key = published_key;                     ///< factor of the seeds
    std::size_t prefix = 1;                                ///< tokens before that choose the green list (h)
    double entropy_threshold = 0.9;                        ///< in nats: tokens of no more are neither marked nor scored
    double z_threshold = 4;                                ///< watermarked above
    watermark::repeats repeats = watermark::repeats::once; ///< of pairs of seed and token
};
/// SWEET: the same of tokens with enough entropy, which the text has to bring. \see green_detector
struct sweet_detector : green_detector<product_seeds, gated_score> {
    /// \throws option_error
    explicit sweet_detector(sweet_options const & o)
        : green_detector(product_seeds(o.vocabulary, o.key, o.prefix), {o.gamma, o.z_threshold, o.entropy_threshold},
                         o.vocabulary, o.gamma, o.repeats) {}
};

/// Options of ewd_detector and ewd_processor.
struct ewd_options {
    std::uint32_t vocabulary = 0;                          ///< V, tokens of the model
    double gamma = 0.5;                                    ///< share of green tokens
    double delta = 2;                                      ///< added to their logits; part of the spike entropy too
    std::uint64_t key = published_key;                     ///< factor of the seeds
    std::size_t prefix = 1;                                ///< tokens before that choose the green list (h)
    double z_threshold = 4;                                ///< watermarked above
    watermark::repeats repeats = watermark::repeats::once; ///< of pairs of seed and token
};
/// EWD: green tokens weighed by spike entropies, which the text has to bring; a normal tail. \see green_detector
struct ewd_detector : green_detector<product_seeds, weighted_score> {
    /// \throws option_error
    explicit ewd_detector(ewd_options const & o)
        : green_detector(product_seeds(o.vocabulary, o.key, o.prefix), {o.gamma, o.z_threshold}, o.vocabulary, o.gamma,
                         o.repeats) {}
};

/// Adds delta to the logits of green tokens, of EWD in every row, of SWEET in those of enough entropy. Rows with fewer
/// than `prefix` tokens before, and of SWEET those with NaN, stay as they are.
class product_processor {
    std::uint32_t vocabulary_, size_;
    double delta_;
    std::optional<double> entropy_;
    product_seeds seeds_;
    std::vector<std::uint32_t> permutation_;

public:
    /// \throws option_error
    explicit product_processor(sweet_options const & o)
        : vocabulary_{o.vocabulary}, size_{green_size(o.vocabulary, o.gamma)}, delta_{o.delta},
          entropy_{o.entropy_threshold}, seeds_(o.vocabulary, o.key, o.prefix) {
        expects_option(std::isfinite(o.delta), "delta", std::to_string(o.delta), "a finite number");
    }
    /// \throws option_error
    explicit product_processor(ewd_options const & o)
        : vocabulary_{o.vocabulary}, size_{green_size(o.vocabulary, o.gamma)}, delta_{o.delta},
          seeds_(o.vocabulary, o.key, o.prefix) {
        expects_option(std::isfinite(o.delta), "delta", std::to_string(o.delta), "a finite number");
    }
    /// Changes row i for contexts[i]. \throws shape_error; option_error for a token outside the vocabulary
    template <class B, class P, class T = pointee_t<P>>
        requires elementwise<B, T>
    void operator()(B & be, std::span<token_context const> contexts, mat_view<P> logits) {
        expects_rows(contexts, logits, vocabulary_);
        auto const h = entropy_ ? entropies(be, logits) : std::vector<double>{};
        green_mask<B, T> mask(be, vocabulary_);
        for (std::size_t i = 0; i != contexts.size(); ++i) {
            if (contexts[i].tokens.size() < seeds_.prefix() || (entropy_ && !(h[i] > *entropy_)))
                continue;
            fill_green(seeds_(contexts[i].tokens), size_, permutation_, mask.host());
            ops::axpy(be, static_cast<T>(delta_), mask.upload(be), logits.row(i));
        }
    }
};
/// SWEET's logits. \see product_processor
struct sweet_processor : product_processor {
    /// \throws option_error
    explicit sweet_processor(sweet_options const & o) : product_processor(o) {}
};
/// EWD's logits. \see product_processor
struct ewd_processor : product_processor {
    /// \throws option_error
    explicit ewd_processor(ewd_options const & o) : product_processor(o) {}
};

// ---- MorphMark ------------------------------------------------------------------------------------------------------

/// How the strength r grows with the green mass P.
enum class morphmark_growth : unsigned char {
    linear,      ///< k P, k = 1.55
    exponential, ///< e^(k P) - 1, k = 1.30
    logarithmic  ///< ln(k P + 1), k = 2.15
};
/// Options of morphmark_detector and morphmark_processor.
struct morphmark_options {
    std::uint32_t vocabulary = 0;                            ///< V, tokens of the model
    double gamma = 0.5;                                      ///< share of green tokens
    morphmark_growth growth = morphmark_growth::exponential; ///< which of the factors counts
    double linear_factor = 1.55;                             ///< k of linear growth, above 0
    double exponential_factor = 1.30;                        ///< k of exponential growth, above 0
    double logarithmic_factor = 2.15;                        ///< k of logarithmic growth, above 0
    double least_mass = 0.15;               ///< of green tokens; with less the distribution stays as it is
    std::uint64_t key = published_key;      ///< of the green lists
    std::size_t prefix = 1;                 ///< tokens before that choose the green list (h)
    context_hash hash = context_hash::time; ///< of KGW's seeds
    bool ewd_seeds = false;                 ///< EWD's green lists in the place of KGW's, for its detector
    double z_threshold = 2;                 ///< watermarked above
    watermark::repeats repeats = watermark::repeats::once; ///< of pairs of seed and token
};

/// r for a green mass P. \throws option_error for a factor that is no number above 0
inline double morphmark_strength(morphmark_options const & o, double mass) {
    if (!(mass >= o.least_mass))
        return 0;
    switch (o.growth) {
    case morphmark_growth::linear: return o.linear_factor * mass;
    case morphmark_growth::exponential: return std::expm1(o.exponential_factor * mass);
    case morphmark_growth::logarithmic: break;
    }
    return std::log1p(o.logarithmic_factor * mass);
}

/// Row := the logarithm of the distribution with the part r of the red mass moved to the green tokens, where `green` (1
/// or 0) says which they are: p' = p (1 + r (1 - P) / P) for green, p max(0, 1 - r) for red tokens, normalised. A row
/// whose softmax is NaN becomes NaN. Three passes.
template <class B, class T>
    requires elementwise<B, T>
void morphmark_row(B & be, morphmark_options const & o, cvec<B, T> green, vec<B, T> row) {
    ops::softmax_rows(be, as_matrix(row, 1, row.n));
    double mass = 0;
    ops::reduce<T>(be, kernels::green_mass, std::span<double, 1>{&mass, 1}, row, green);
    auto const r = morphmark_strength(o, mass);
    auto const of_green = mass > 0 ? 1 + r * (1 - mass) / mass : 1.0, of_red = std::max(0.0, 1 - r);
    auto const sum = mass * of_green + (1 - mass) * of_red;
    ops::map<T>(be, kernels::scaled_log, row, row, green, static_cast<T>(of_green / sum), static_cast<T>(of_red / sum));
}

/// KGW's seeds, or EWD's.
class morphmark_seeds {
    kgw_seeds kgw_;
    product_seeds product_;
    bool product_wanted_;

public:
    /// \throws option_error
    explicit morphmark_seeds(morphmark_options const & o)
        : kgw_(o.vocabulary, o.key, o.prefix, o.hash, hash_window::left), product_(o.vocabulary, o.key, o.prefix),
          product_wanted_{o.ewd_seeds} {}
    /// h: tokens before that a seed is made of.
    [[nodiscard]] std::size_t prefix() const noexcept { return kgw_.prefix(); }
    /// The seed after these tokens; at least `prefix` of them. All candidates share a green list.
    [[nodiscard]] std::uint32_t operator()(std::span<token const> before, token candidate = 0) const {
        return product_wanted_ ? product_(before) : kgw_(before, candidate);
    }
};

/// Counts green tokens. With `ewd_seeds`, ewd_detector weighs the same tokens by their entropies.
struct morphmark_detector : green_detector<morphmark_seeds, count_score> {
    /// \throws option_error
    explicit morphmark_detector(morphmark_options const & o)
        : green_detector(morphmark_seeds(o), {o.gamma, o.z_threshold}, o.vocabulary, o.gamma, o.repeats) {}
};

/// morphmark_row with the green list of the context. Rows with fewer than `prefix` tokens before stay as they are.
class morphmark_processor {
    morphmark_options options_;
    morphmark_seeds seeds_;
    std::uint32_t size_;
    std::vector<std::uint32_t> permutation_;

public:
    /// \throws option_error
    explicit morphmark_processor(morphmark_options const & o)
        : options_{o}, seeds_(o), size_{green_size(o.vocabulary, o.gamma)} {
        expects_option(o.linear_factor > 0 && o.exponential_factor > 0 && o.logarithmic_factor > 0, "factor",
                       "a number not above 0", "numbers above 0");
    }
    /// Changes row i for contexts[i]. \throws shape_error; option_error for a token outside the vocabulary
    template <class B, class P, class T = pointee_t<P>>
        requires elementwise<B, T>
    void operator()(B & be, std::span<token_context const> contexts, mat_view<P> logits) {
        expects_rows(contexts, logits, options_.vocabulary);
        green_mask<B, T> mask(be, options_.vocabulary);
        for (std::size_t i = 0; i != contexts.size(); ++i) {
            if (contexts[i].tokens.size() < options_.prefix)
                continue;
            fill_green(seeds_(contexts[i].tokens), size_, permutation_, mask.host());
            morphmark_row<B, T>(be, options_, mask.upload(be), logits.row(i));
        }
    }
};

} // namespace watermark
LATHE_NAMESPACE_END
