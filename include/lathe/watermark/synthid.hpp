#pragma once
/// \file  SynthID-Text (Dathathri et al., Nature 634, 2024): tournament sampling as an update of the distribution, and
///        the mean and weighted mean detectors, in the format of MarkLLM on a CPU. docs/watermarking-tokens.md.
///
/// A hash h <- (h + x) 6364136223846793005 + 1 modulo 2^64, from 1, goes over the last n - 1 tokens, the candidate and
/// then one key: g of that layer is the entry h mod N of a table of N bits, torch.randint(0, 2) from a seed. As N is a
/// power of two, only the low bits of h matter: tokens t and t + N share all g-values (N = 65536).
#include <lathe/random/torch.hpp>
#include <lathe/watermark/tokens.hpp>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// How the distribution is changed.
enum class synthid_mode : unsigned char {
    non_distortionary, ///< two leaves; a context that came up lately is left alone
    distortionary      ///< any number of leaves, every context
};
/// What the detector averages.
enum class synthid_score : unsigned char {
    mean,    ///< of all g-values
    weighted ///< with weights of the layers that fall evenly from 10 to 1
};
/// Options of synthid_detector and synthid_processor.
struct synthid_options {
    std::uint32_t vocabulary = 0;                        ///< V, tokens of the model
    std::vector<std::uint64_t> keys;                     ///< one for each layer, 1 to 64
    std::size_t ngram = 5;                               ///< tokens that a g-value depends on, with the candidate
    std::size_t table_size = 65536;                      ///< N, a power of two
    std::uint64_t table_seed = 0;                        ///< of the table
    std::size_t history = 1024;                          ///< contexts that are remembered
    synthid_mode mode = synthid_mode::non_distortionary; ///< of generation; detectors look at `repeats`
    std::size_t leaves = 2;                              ///< of distortionary sampling
    double temperature = 1;                              ///< of the logits before the update
    synthid_score score = synthid_score::mean;           ///< of the detector
    std::optional<token> eos{};                          ///< the text ends before the first of these
    double threshold = 0.52; ///< watermarked above; of the score, which is 1/2 on average without a watermark
    /// `once` leaves out contexts seen among the last `history` in both modes; MarkLLM's detector counts every one of
    /// distortionary sampling.
    watermark::repeats repeats = watermark::repeats::once;
};

/// The g-values of all layers as bits, by the hash before the keys.
class synthid_values {
    std::size_t ngram_, layers_, mask_;
    std::vector<std::uint8_t> table_;
    std::vector<std::uint64_t> bits_; // of layers, by the low bits of the hash

public:
    /// Memory: 8 N bytes. Time: N for each key. \throws option_error
    explicit synthid_values(synthid_options const & o)
        : ngram_{o.ngram}, layers_{o.keys.size()}, mask_{o.table_size - 1}, table_(o.table_size), bits_(o.table_size) {
        expects_vocabulary(o.vocabulary);
        expects_option(layers_ >= 1 && layers_ <= 64, "keys", std::to_string(layers_) + " of them", "1 to 64");
        expects_option(ngram_ >= 2 && ngram_ <= 1u << 16, "ngram", std::to_string(ngram_), "a number from 2 to 65536");
        expects_option(o.table_size != 0 && (o.table_size & mask_) == 0, "table_size", std::to_string(o.table_size),
                       "a power of two");
        random::torch_generator g(o.table_seed);
        for (auto & bit : table_)
            bit = g.word() & 1;
        for (std::size_t low = 0; low != bits_.size(); ++low)
            for (std::size_t k = 0; k != layers_; ++k)
                bits_[low] |= std::uint64_t{table_[hash(low, o.keys[k]) & mask_]} << k;
    }
    /// One for each key.
    [[nodiscard]] std::size_t layers() const noexcept { return layers_; }
    /// The N bits, one in a byte.
    [[nodiscard]] std::span<std::uint8_t const> table() const noexcept { return table_; }
    /// A step of the hash: h <- (h + x) 6364136223846793005 + 1 modulo 2^64.
    [[nodiscard]] static constexpr std::uint64_t hash(std::uint64_t h, std::uint64_t x) noexcept {
        return (h + x) * 6364136223846793005u + 1;
    }
    /// Of the n - 1 tokens of a context.
    [[nodiscard]] static constexpr std::uint64_t context(std::span<token const> tokens) noexcept {
        std::uint64_t h = 1;
        for (auto const t : tokens)
            h = hash(h, t);
        return h;
    }
    /// Bit k is the g-value of layer k for a candidate after a context.
    [[nodiscard]] std::uint64_t operator()(std::uint64_t context, token candidate) const {
        return bits_[static_cast<std::size_t>(hash(context, candidate)) & mask_];
    }
};

/// Judges by the mean of the g-values over the tokens that have n - 1 before them, or with weights. For a text that
/// does not know the keys it is 1/2 on average: the p-value of the mean is the tail of a binomial law, that of the
/// weighted mean of a normal one. It takes the g-values as independent; two n-grams whose hashes agree modulo N are
/// not. Evidence: the (weighted) mean of the token's own g-values.
class synthid_detector {
    synthid_options options_;
    synthid_values values_;
    std::vector<double> weights_; // of the layers, of mean 1

public:
    static constexpr model_use needs = model_use::nothing; ///< tokens are enough
    /// \throws option_error
    explicit synthid_detector(synthid_options const & o) : options_{o}, values_(o), weights_(o.keys.size(), 1.0) {
        if (o.score == synthid_score::mean)
            return;
        auto const depth = static_cast<double>(weights_.size());
        double sum = 0;
        for (std::size_t k = 0; k != weights_.size(); ++k)
            sum += weights_[k] = depth > 1 ? 10 - 9 * static_cast<double>(k) / (depth - 1) : 10;
        for (auto & w : weights_)
            w *= depth / sum;
    }
    /// The g-values that are averaged.
    [[nodiscard]] synthid_values const & values() const noexcept { return values_; }
    /// Which tokens from n - 1 on are scored: those before the end of the text whose context is not among the last
    /// `history`.
    [[nodiscard]] std::vector<bool> scored(std::span<token const> tokens) const {
        auto const n = options_.ngram - 1;
        std::vector<bool> all(tokens.size() > n ? tokens.size() - n : 0, true);
        std::vector<std::uint64_t> contexts(all.size());
        auto const end = options_.eos ? std::ranges::find(tokens, *options_.eos) - tokens.begin()
                                      : static_cast<std::ptrdiff_t>(tokens.size());
        for (std::size_t i = 0; i != all.size(); ++i) {
            contexts[i] = values_.context(tokens.subspan(i, n));
            auto const last = contexts.begin() + static_cast<std::ptrdiff_t>(i);
            auto const first = last - static_cast<std::ptrdiff_t>(std::min(i, options_.history));
            all[i] = static_cast<std::ptrdiff_t>(i + n) < end
                     && (options_.repeats == repeats::every || std::find(first, last, contexts[i]) == last);
        }
        return all;
    }
    /// \throws option_error for a token outside the vocabulary
    [[nodiscard]] token_detection operator()(token_text const & text) const {
        auto const tokens = text.tokens;
        expects_tokens(tokens, options_.vocabulary);
        token_detection d;
        d.evidence.assign(tokens.size(), std::numeric_limits<double>::quiet_NaN());
        auto const n = options_.ngram - 1;
        auto const counts = scored(tokens);
        auto const depth = static_cast<double>(values_.layers());
        double sum = 0;
        std::size_t ones = 0;
        for (std::size_t i = 0; i != counts.size(); ++i)
            if (counts[i]) {
                auto const g = values_(values_.context(tokens.subspan(i, n)), tokens[i + n]);
                double own = 0;
                for (std::size_t k = 0; k != values_.layers(); ++k) {
                    own += (g >> k & 1) != 0 ? weights_[k] : 0;
                    ones += g >> k & 1;
                }
                ++d.scored;
                sum += own;
                d.evidence[i + n] = own / depth;
            }
        if (d.scored == 0)
            return d;
        auto const tokens_scored = static_cast<double>(d.scored);
        auto const score = sum / (depth * tokens_scored);
        double squares = 0;
        for (auto const w : weights_)
            squares += w * w;
        auto const log_p = options_.score == synthid_score::mean
                               ? log_binomial_tail(d.scored * values_.layers(), 0.5, ones)
                               : log_normal_tail((score - 0.5) * depth * 2 * std::sqrt(tokens_scored / squares));
        conclude(d, score, log_p, score > options_.threshold);
        return d;
    }
};

namespace kernels {
/// Logits divided by the temperature, whose inverse is given.
inline constexpr auto tempered = [](auto const & x, auto const & inverse) { return x * inverse; };
/// ln p
inline constexpr auto logarithm = [](auto const & p) { return math::log(p); };
/// Sum of p over tokens with g = 1.
inline constexpr auto tournament_mass = [](auto & sums, auto const & p, auto const & g) { sums.add(0, g * p); };
/// p times `winner` where g is 1, and times `loser` where it is 0.
inline constexpr auto tournament = [](auto const & p, auto const & g, auto const & winner, auto const & loser) {
    return p * (g * (winner - loser) + loser);
};
} // namespace kernels

/// p := the distribution after one layer of a tournament of so many leaves, g holding ones and zeros: with m the mass
/// of g = 1, tokens with g = 1 are multiplied by (1 - (1 - m)^leaves) / m and the others by (1 - m)^(leaves - 1); with
/// two leaves p (1 + g - m). Two passes.
template <class B, class T>
    requires elementwise<B, T>
void tournament_layer(B & be, std::size_t leaves, cvec<B, T> g, vec<B, T> p) {
    double m = 0;
    ops::reduce<T>(be, kernels::tournament_mass, std::span<double, 1>{&m, 1}, p, g);
    auto const L = static_cast<double>(leaves);
    // (1 - (1 - m)^L) / m, which is L where m is 0
    auto const winner = m > 0 ? -std::expm1(L * std::log1p(-std::min(m, 1.0))) / m : (std::isnan(m) ? m : L);
    auto const loser = std::pow(std::max(0.0, 1 - m), L - 1);
    ops::map<T>(be, kernels::tournament, p, p, g, static_cast<T>(winner), static_cast<T>(loser));
}

/// Row := the logarithm of the distribution after a tournament layer for each key. The context is the last n - 1
/// generated tokens, zeros where there are fewer: the prompt takes no part, as in MarkLLM. Repeated contexts keep their
/// logits (with mode non_distortionary); a row whose softmax is NaN becomes NaN. Time of a row: a hash for each token,
/// two passes and an upload for each layer.
class synthid_processor {
    synthid_options options_;
    synthid_values values_;

    /// The n - 1 tokens before generated token i.
    [[nodiscard]] std::uint64_t context_before(std::span<token const> generated, std::size_t i) const {
        auto const n = options_.ngram - 1;
        std::vector<token> last(n);
        auto const there = std::min(n, i);
        std::ranges::copy(generated.subspan(i - there, there), last.end() - static_cast<std::ptrdiff_t>(there));
        return values_.context(last);
    }

public:
    /// \throws option_error
    explicit synthid_processor(synthid_options const & o) : options_{o}, values_(o) {
        expects_option(o.leaves >= 2, "leaves", std::to_string(o.leaves), "a number from 2 on");
        expects_option(o.temperature > 0, "temperature", std::to_string(o.temperature), "a number above 0");
    }
    /// Changes row i for contexts[i]. \throws shape_error; option_error for a token outside the vocabulary
    template <class B, class P, class T = pointee_t<P>>
        requires elementwise<B, T>
    void operator()(B & be, std::span<token_context const> contexts, mat_view<P> logits) {
        expects_rows(contexts, logits, options_.vocabulary);
        green_bits_buffer<B, T> g(be, options_.vocabulary);
        std::vector<std::uint64_t> bits(options_.vocabulary);
        bool const careful = options_.mode == synthid_mode::non_distortionary;
        for (std::size_t i = 0; i != contexts.size(); ++i) {
            auto const generated = contexts[i].tokens.subspan(contexts[i].prompt);
            auto const context = context_before(generated, generated.size());
            if (careful && repeated(generated, context))
                continue;
            for (token t = 0; t != bits.size(); ++t)
                bits[t] = values_(context, t);
            auto const row = logits.row(i);
            if (options_.temperature != 1)
                ops::map<T>(be, kernels::tempered, row, row, static_cast<T>(1 / options_.temperature));
            ops::softmax_rows(be, as_matrix(row, 1, row.n));
            for (std::size_t k = 0; k != values_.layers(); ++k)
                tournament_layer<B, T>(be, careful ? 2 : options_.leaves, g.layer(be, bits, k), row);
            ops::map<T>(be, kernels::logarithm, row, row);
        }
    }

private:
    /// A layer of g-values as ones and zeros on the backend.
    template <class B, class T> class green_bits_buffer {
        std::vector<T> host_;
        buffer_t<B, T> buffer_;

    public:
        green_bits_buffer(B & be, std::size_t n) : host_(n), buffer_(be.template allocate<T>(n)) {}
        vec<B, T> layer(B & be, std::span<std::uint64_t const> bits, std::size_t k) {
            for (std::size_t t = 0; t != host_.size(); ++t)
                host_[t] = static_cast<T>(bits[t] >> k & 1);
            be.upload(std::span<T const>{host_}, buffer_.view());
            return buffer_.view();
        }
    };
    /// Whether the context was that of one of the last `history` generated tokens.
    [[nodiscard]] bool repeated(std::span<token const> generated, std::uint64_t context) const {
        auto const size = generated.size();
        for (auto i = size - std::min(size, options_.history); i != size; ++i)
            if (context_before(generated, i) == context)
                return true;
        return false;
    }
};

} // namespace watermark
LATHE_NAMESPACE_END
