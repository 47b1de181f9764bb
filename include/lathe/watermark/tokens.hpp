#pragma once
/// \file  What token-level watermarks share: texts of token ids, what a detector says, and the three concepts:
///        detector, processor of logits, sampler. docs/watermarking-tokens.md.
///
/// Seeds, green lists and detection are the host's; logits of a batch are rows of a matrix on any backend. Detectors
/// and samplers are values without hidden state: a text is judged by its tokens alone, whatever was judged before.
#include <lathe/core/softmax.hpp>
#include <lathe/watermark/tails.hpp>

#include <functional>
#include <optional>
#include <string>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// An id of the model's vocabulary.
using token = std::uint32_t;

/// What a detector asks of the language model.
enum class model_use : unsigned char {
    nothing,   ///< tokens are enough
    entropies, ///< a number for each token
    logits     ///< a row of logits for each token
};

/// A text to judge. Refers to what it is given.
struct token_text {
    std::span<token const> tokens; ///< in order
    /// entropies[i] is that of the distribution that token i was drawn from (SWEET: entropy, EWD: spike entropy). Those
    /// of tokens that are not scored may be anything: the first token has none.
    std::span<double const> entropies{};
    /// Fills a row with the model's logits for token i given those before. A batch calls it from several threads at
    /// once.
    std::function<void(std::size_t i, std::span<double> row)> logits{};
};

/// What a detector says of a text. A text too short to score has score NaN, p-value 1 and is not watermarked.
struct token_detection {
    double score = std::numeric_limits<double>::quiet_NaN(); ///< the method's statistic; larger is more watermarked
    double p_value = 1;       ///< P(this score or more) for a text that does not know the key
    double log_p_value = 0;   ///< its natural logarithm, which does not underflow
    bool watermarked = false; ///< by the threshold of the options
    std::size_t scored = 0;   ///< tokens that the score is made of
    /// What each token contributes: of green lists 1 or 0, else see the detector. NaN: not scored.
    std::vector<double> evidence;
};

/// Judges a text: d(text). Const calls may run on several threads at once.
template <class D>
concept token_detector = std::copyable<D> && requires(D const & d, token_text const & text) {
    { d(text) } -> std::same_as<token_detection>;
    requires std::same_as<std::remove_const_t<decltype(D::needs)>, model_use>;
};

/// The tokens so far, of which the first `prompt` were not generated.
struct token_context {
    std::span<token const> tokens; ///< prompt and generated ones, in order
    std::size_t prompt = 0;        ///< tokens of the prompt
};

/// Changes logits, row i for contexts[i]: p(be, contexts, logits). What is drawn from them afterwards carries the
/// watermark.
template <class P, class B, class T>
concept logits_processor =
    storage<B, T>
    && requires(P & p, B & be, std::span<token_context const> contexts, mat<B, T> logits) { p(be, contexts, logits); };

/// Draws the next token itself: s(be, contexts, logits), nothing where the context is too short for the method, and the
/// token is to be drawn as without a watermark.
template <class S, class B, class T>
concept token_sampler =
    storage<B, T> && requires(S & s, B & be, std::span<token_context const> contexts, cmat<B, T> logits) {
        { s(be, contexts, logits) } -> std::same_as<std::vector<std::optional<token>>>;
    };

/// What is done with a token that was scored before in the same context: its evidence is a copy, not a second draw.
enum class repeats : unsigned char {
    once, ///< counts once, which p-values need
    every ///< counts every time, as published code does
};

/// \throws option_error naming the first token that is not below the vocabulary's size
inline void expects_tokens(std::span<token const> tokens, std::uint32_t vocabulary) {
    for (std::size_t i = 0; i != tokens.size(); ++i)
        if (tokens[i] >= vocabulary) [[unlikely]]
            expects_option(false, "token " + std::to_string(i), std::to_string(tokens[i]),
                           "an id below " + std::to_string(vocabulary) + ", the size of the vocabulary");
}
/// \throws option_error
inline void expects_vocabulary(std::uint32_t vocabulary) {
    expects_option(vocabulary != 0, "vocabulary", "0", "the number of tokens of the model");
}
/// \throws option_error
inline void expects_prefix(std::size_t prefix) {
    expects_option(prefix >= 1 && prefix <= 1u << 16, "prefix", std::to_string(prefix), "a number from 1 to 65536");
}
/// \throws option_error
inline void expects_share(std::string_view name, double share) {
    expects_option(share > 0 && share < 1, name, std::to_string(share), "a number between 0 and 1");
}
/// \throws shape_error unless there is a row for each context and a column for each token; option_error for a token
template <class P>
void expects_rows(std::span<token_context const> contexts, mat_view<P> logits, std::uint32_t vocabulary) {
    expects_shape(logits.rows == contexts.size(), "watermark: a row of logits for each context");
    expects_shape(logits.cols == vocabulary, "watermark: as many logits as the vocabulary has tokens");
    for (auto const & c : contexts) {
        expects_shape(c.prompt <= c.tokens.size(), "watermark: a prompt longer than its context");
        expects_tokens(c.tokens, vocabulary);
    }
}

/// Fills in p-value, decision and number; `log_p` is not above 0 but for rounding.
inline void conclude(token_detection & d, double score, double log_p, bool watermarked) {
    d.score = score;
    d.log_p_value = std::min(0.0, log_p);
    d.p_value = std::exp(d.log_p_value);
    d.watermarked = watermarked;
}

/// Judges many texts on an executor's threads; the results do not depend on their number. Detectors of green lists look
/// up each list once for all texts. \throws what the detector throws for one of the texts
template <executor E, token_detector D>
std::vector<token_detection> detect_all(E & e, D const & detector, std::span<token_text const> texts) {
    if constexpr (requires { detector.batch(e, texts); })
        return detector.batch(e, texts);
    else {
        std::vector<token_detection> all(texts.size());
        e.parallel_for(texts.size(), [&](std::size_t i) { all[i] = detector(texts[i]); });
        return all;
    }
}

/// Which elements are the first of their kind.
inline std::vector<bool> first_occurrences(std::span<std::uint64_t const> keys) {
    std::vector<std::size_t> order(keys.size());
    for (std::size_t i = 0; i != order.size(); ++i)
        order[i] = i;
    std::ranges::sort(order, [&](auto a, auto b) { return keys[a] != keys[b] ? keys[a] < keys[b] : a < b; });
    std::vector<bool> first(keys.size());
    for (std::size_t i = 0; i != order.size(); ++i)
        first[order[i]] = i == 0 || keys[order[i]] != keys[order[i - 1]];
    return first;
}

/// Whether the last n tokens stood before some earlier generated token too (`every` earlier one, or the last `within`):
/// the state of generators that leave repeated contexts alone, from the tokens themselves.
inline bool context_repeats(token_context const & c, std::size_t n,
                            std::size_t within = std::numeric_limits<std::size_t>::max()) {
    auto const size = c.tokens.size();
    auto const now = c.tokens.last(n);
    auto const first = std::max({c.prompt, n, size > within ? size - within : std::size_t{0}});
    for (auto at = first; at < size; ++at) // token `at` was drawn after the n tokens before it
        if (std::ranges::equal(c.tokens.subspan(at - n, n), now))
            return true;
    return false;
}

/// A row of logits on the host, in double.
template <class T, class B, class P>
void download_row(B & be, mat_view<P> m, std::size_t i, std::vector<double> & row) {
    std::vector<T> values(m.cols);
    be.download(cvec<B, T>(m.row(i)), std::span<T>{values});
    row.assign(values.begin(), values.end());
}
/// Row i := numbers of the host, rounded to T.
template <class T, class B, class P>
void upload_row(B & be, std::span<double const> row, mat_view<P> m, std::size_t i) {
    std::vector<T> values(row.size());
    std::ranges::transform(row, values.begin(), [](double x) { return static_cast<T>(x); });
    be.upload(std::span<T const>{values}, m.row(i));
}
/// What samplers have in common: choose(i, row) for each context of at least `prefix` tokens, row i of the logits in
/// double, which it may change; nothing for shorter ones. \throws as expects_rows
template <class T, class B, class P, class Choose>
std::vector<std::optional<token>> choose_by_row(B & be, std::span<token_context const> contexts, mat_view<P> logits,
                                                std::uint32_t vocabulary, std::size_t prefix, Choose choose) {
    expects_rows(contexts, logits, vocabulary);
    std::vector<std::optional<token>> chosen(contexts.size());
    std::vector<double> row;
    for (std::size_t i = 0; i != contexts.size(); ++i)
        if (contexts[i].tokens.size() >= prefix) {
            download_row<T>(be, logits, i, row);
            chosen[i] = choose(i, row);
        }
    return chosen;
}
/// The index of the largest element, of equal ones the first; NaN counts as the least. Nothing if all are NaN or
/// -infinity.
inline std::optional<token> largest(std::span<double const> values) {
    double top = -std::numeric_limits<double>::infinity();
    std::optional<token> best;
    for (std::size_t i = 0; i != values.size(); ++i)
        if (values[i] > top) {
            top = values[i];
            best = static_cast<token>(i);
        }
    return best;
}

} // namespace watermark
LATHE_NAMESPACE_END
