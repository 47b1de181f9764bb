#pragma once
/// \file  Token-level watermarks as data: their options and detections, and the detectors by name.
#include <lathe/reflect/options.hpp>
#include <lathe/watermark/alignment.hpp>
#include <lathe/watermark/reweight.hpp>
#include <lathe/watermark/synthid.hpp>

BOOST_HANA_ADAPT_STRUCT(lathe::watermark::kgw_options, vocabulary, gamma, delta, key, prefix, hash, window, z_threshold,
                        repeats, candidates, cache_bytes);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::kgw_options> = lathe::reflect::help_table({
    {"vocabulary", "number of tokens of the model, which has to be given"},
    {"gamma", "share of green tokens, between 0 and 1"},
    {"delta", "added to the logits of green tokens"},
    {"key", "the secret"},
    {"prefix", "tokens before that choose the green list, 1 to 65536"},
    {"hash", "what of them: their product (time), their sum, the first, or the smallest after a permutation"},
    {"window", "left: the tokens before choose; self: the candidate takes part"},
    {"z_threshold", "watermarked above"},
    {"repeats", "a token that comes again in the same context counts once, or every time as in published code"},
    {"candidates", "of generation with self: how many of the largest logits are looked at; 0: all"},
    {"cache_bytes", "of generation with self: memory for green lists"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::unigram_options, vocabulary, gamma, delta, key, z_threshold, repeats);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::unigram_options> = lathe::reflect::help_table({
    {"vocabulary", "number of tokens of the model, which has to be given"},
    {"gamma", "share of green tokens, between 0 and 1"},
    {"delta", "added to the logits of green tokens"},
    {"key", "the secret"},
    {"z_threshold", "watermarked above"},
    {"repeats", "each distinct token counts once, or every token as in published code"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::sweet_options, vocabulary, gamma, delta, key, prefix, entropy_threshold,
                        z_threshold, repeats);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::sweet_options> = lathe::reflect::help_table({
    {"vocabulary", "number of tokens of the model, which has to be given"},
    {"gamma", "share of green tokens, between 0 and 1"},
    {"delta", "added to the logits of green tokens"},
    {"key", "the secret"},
    {"prefix", "tokens before that choose the green list, 1 to 65536"},
    {"entropy_threshold", "in nats; tokens of no more are neither marked nor scored"},
    {"z_threshold", "watermarked above"},
    {"repeats", "a token that comes again in the same context counts once, or every time as in published code"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::ewd_options, vocabulary, gamma, delta, key, prefix, z_threshold, repeats);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::ewd_options> = lathe::reflect::help_table({
    {"vocabulary", "number of tokens of the model, which has to be given"},
    {"gamma", "share of green tokens, between 0 and 1"},
    {"delta", "added to the logits of green tokens"},
    {"key", "the secret"},
    {"prefix", "tokens before that choose the green list, 1 to 65536"},
    {"z_threshold", "watermarked above"},
    {"repeats", "a token that comes again in the same context counts once, or every time as in published code"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::morphmark_options, vocabulary, gamma, growth, linear_factor,
                        exponential_factor, logarithmic_factor, least_mass, key, prefix, hash, ewd_seeds, z_threshold,
                        repeats);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::morphmark_options> = lathe::reflect::help_table({
    {"vocabulary", "number of tokens of the model, which has to be given"},
    {"gamma", "share of green tokens, between 0 and 1"},
    {"growth", "how the strength grows with the green mass"},
    {"linear_factor", "of linear growth, above 0"},
    {"exponential_factor", "of exponential growth, above 0"},
    {"logarithmic_factor", "of logarithmic growth, above 0"},
    {"least_mass", "of green tokens; with less the distribution stays as it is"},
    {"key", "the secret"},
    {"prefix", "tokens before that choose the green list, 1 to 65536"},
    {"hash", "what of them: their product (time), their sum, the first, or the smallest after a permutation"},
    {"ewd_seeds", "the green lists of EWD, whose detector then applies"},
    {"z_threshold", "watermarked above"},
    {"repeats", "a token that comes again in the same context counts once, or every time as in published code"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::dip_options, vocabulary, gamma, alpha, prefix, key, z_threshold, repeats,
                        unscaled_z, counts_first_token);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::dip_options> = lathe::reflect::help_table({
    {"vocabulary", "number of tokens of the model, which has to be given"},
    {"gamma", "a token is green from this quantile of the permutation on, between 0 and 1"},
    {"alpha", "of the reweighting, in [0, 1]; 0.5 is the strongest"},
    {"prefix", "tokens of a context, 1 to 65536"},
    {"key", "the secret: bytes in hexadecimal"},
    {"z_threshold", "watermarked above"},
    {"repeats", "a context that comes again counts once, or every time"},
    {"unscaled_z", "as published: z is not divided by sqrt(gamma (1 - gamma))"},
    {"counts_first_token", "as published: the first token, which cannot be green, counts"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::unbiased_options, vocabulary, reweighting, prefix, key, grid, p_threshold,
                        repeats);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::unbiased_options> = lathe::reflect::help_table({
    {"vocabulary", "number of tokens of the model, which has to be given"},
    {"reweighting", "gamma: by a permutation; delta: one token at a drawn quantile"},
    {"prefix", "tokens of a context, 1 to 65536"},
    {"key", "the secret: bytes in hexadecimal"},
    {"grid", "how many sizes of an error in the model's distribution the detector guards against, at least 1"},
    {"p_threshold", "watermarked below"},
    {"repeats", "a context that comes again counts once, or every time"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::exp_options, vocabulary, key, prefix, p_threshold, top, repeats);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::exp_options> = lathe::reflect::help_table({
    {"vocabulary", "number of tokens of the model, which has to be given"},
    {"key", "the secret"},
    {"prefix", "tokens before that draw the numbers, 1 to 65536"},
    {"p_threshold", "watermarked below"},
    {"top", "of generation: among so many most probable tokens; 0: all"},
    {"repeats", "a token that comes again in the same context counts once, or every time as in published code"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::exp_gumbel_options, vocabulary, prefix, seed, floor, temperature, p_threshold,
                        repeats);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::exp_gumbel_options> = lathe::reflect::help_table({
    {"vocabulary", "number of tokens of the model, which has to be given"},
    {"prefix", "tokens before whose sum is the row of the table, 1 to 65536"},
    {"seed", "the secret, of the table"},
    {"floor", "smallest number of the table, from 0, below 1"},
    {"temperature", "of generation, above 0"},
    {"p_threshold", "watermarked below"},
    {"repeats", "a token that comes again in the same context counts once, or every time as in published code"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::pf_options, vocabulary, prefix, seed, salt, payload, temperature, top_p,
                        p_threshold, repeats, skips_first_scoreable, threshold_of_fewer_terms);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::pf_options> = lathe::reflect::help_table({
    {"vocabulary", "number of tokens of the model, which has to be given"},
    {"prefix", "tokens before that draw the numbers, 1 to 65536"},
    {"seed", "the secret: what the hash of them begins with"},
    {"salt", "what it multiplies by"},
    {"payload", "message: token t takes number t + payload"},
    {"temperature", "of generation, above 0"},
    {"top_p", "of generation: the most probable tokens that make up this mass, above 0"},
    {"p_threshold", "watermarked below"},
    {"repeats", "a token that comes again in the same context counts once, or every time as in published code"},
    {"skips_first_scoreable", "as published: scores begin one token late"},
    {"threshold_of_fewer_terms", "as published: the threshold of a sum of fewer terms than were scored"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::synthid_options, vocabulary, keys, ngram, table_size, table_seed, history,
                        mode, leaves, temperature, score, eos, threshold, repeats);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::synthid_options> = lathe::reflect::help_table({
    {"vocabulary", "number of tokens of the model, which has to be given"},
    {"keys", "the secret: one number for each layer, up to 64"},
    {"ngram", "tokens that a value depends on, with the candidate, 2 to 65536"},
    {"table_size", "of the table of bits, a power of two"},
    {"table_seed", "of the table"},
    {"history", "contexts that are remembered"},
    {"mode", "two leaves and no repeated contexts, or more leaves and every context"},
    {"leaves", "of distortionary generation, at least 2"},
    {"temperature", "of generation, above 0"},
    {"score", "mean, or weighted by layer"},
    {"eos", "the text ends before the first of these tokens"},
    {"threshold", "watermarked above"},
    {"repeats", "contexts seen lately are left out, or count every time"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::exp_edit_options, vocabulary, key, length, runs, seed, p_threshold, start,
                        top);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::exp_edit_options> = lathe::reflect::help_table({
    {"vocabulary", "number of tokens of the model, which has to be given"},
    {"key", "the secret"},
    {"length", "of the sequence of random numbers, 1 to 1048576"},
    {"runs", "fresh sequences that the p-value compares with"},
    {"seed", "of these"},
    {"p_threshold", "watermarked below"},
    {"start", "of generation: which number the first token takes"},
    {"top", "of generation: among so many most probable tokens; 0: all"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::its_edit_options, vocabulary, key, length, runs, seed, p_threshold, start,
                        permutes_null_again);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::its_edit_options> = lathe::reflect::help_table({
    {"vocabulary", "number of tokens of the model, which has to be given"},
    {"key", "the secret"},
    {"length", "of the sequence of random numbers, 1 to 1048576"},
    {"runs", "fresh sequences that the p-value compares with"},
    {"seed", "of these"},
    {"p_threshold", "watermarked at most"},
    {"start", "of generation: which number the first token takes"},
    {"permutes_null_again", "as published: null runs permute the tokens of the run before, and p may be 0"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::token_detection, score, p_value, log_p_value, watermarked, scored, evidence);

LATHE_NAMESPACE_BEGIN
namespace reflect {

/// A detector of some method.
struct any_token_detector {
    std::string method;         ///< its name in token_methods()
    json options;               ///< all of them
    watermark::model_use needs; ///< of the language model, for every text
    /// \see watermark::detect_all
    std::function<std::vector<watermark::token_detection>(thread_pool &, std::span<watermark::token_text const>)>
        detect;
};

/// A method by its name.
struct token_method {
    /// What make_token_detector calls it.
    std::string_view name, summary;                   ///< what it does, in a few words
    watermark::model_use needs;                       ///< of the language model, for detection
    std::vector<field_description> (*describe)();     ///< its options
    any_token_detector (*make)(json const & options); ///< \throws option_error
};

/// The entry of a method in the table.
template <class Options, watermark::token_detector Detector>
token_method token_method_of(std::string_view name, std::string_view summary) {
    static constexpr auto describe_options = [] { return describe<Options>(); };
    static constexpr auto make = [](json const & given) {
        auto const o = options_from<Options>(given);
        return any_token_detector{{},
                                  to_json(o),
                                  Detector::needs,
                                  [d = Detector(o)](thread_pool & pool, std::span<watermark::token_text const> texts) {
            return watermark::detect_all(pool, d, texts);
        }};
    };
    return {name, summary, Detector::needs, describe_options, make};
}

/// Every token-level watermark.
inline std::span<token_method const> token_methods() {
    using namespace watermark;
    static token_method const all[] = {
        token_method_of<kgw_options, kgw_detector>(
            "kgw", "a green list chosen by the tokens before (KGW, left and self hash)"),
        token_method_of<unigram_options, unigram_detector>("unigram", "one green list for all contexts"),
        token_method_of<sweet_options, sweet_detector>("sweet", "green lists where the model's entropy is high"),
        token_method_of<ewd_options, ewd_detector>("ewd", "green lists, tokens weighed by spike entropy"),
        token_method_of<morphmark_options, morphmark_detector>("morphmark",
                                                               "green lists, as strong as their mass allows"),
        token_method_of<dip_options, dip_detector>("dip", "a reweighting that keeps the distribution (DiPmark)"),
        token_method_of<unbiased_options, unbiased_detector>("unbiased", "a reweighting, judged by likelihood ratios"),
        token_method_of<exp_options, exp_detector>("exp", "exponential sampling by a hash of the context (Aaronson)"),
        token_method_of<exp_gumbel_options, exp_gumbel_detector>("exp_gumbel", "exponential sampling by a table"),
        token_method_of<pf_options, pf_detector>("pf", "permute-and-flip sampling"),
        token_method_of<synthid_options, synthid_detector>("synthid", "tournament sampling (SynthID-Text)"),
        token_method_of<exp_edit_options, exp_edit_detector>("exp_edit",
                                                             "exponential sampling along a sequence, aligned"),
        token_method_of<its_edit_options, its_edit_detector>("its_edit",
                                                             "inverse transform sampling along a sequence, aligned"),
    };
    return all;
}

/// The method of that name. \throws option_error with the nearest name there is
inline token_method const & token_method_named(std::string_view name) {
    std::vector<std::string_view> names;
    for (auto const & m : token_methods()) {
        if (m.name == name)
            return m;
        names.push_back(m.name);
    }
    throw option_error{"method: found '" + std::string{name} + "'; " + suggestion(name, names)};
}
/// A detector by its method's name, with options that are fields of the method's option struct. \throws option_error
inline any_token_detector make_token_detector(std::string_view name, json const & options) {
    auto d = token_method_named(name).make(options);
    d.method = name;
    return d;
}

} // namespace reflect
LATHE_NAMESPACE_END
