#pragma once
/// \file  The options and results of sentence-level watermarks as data: names, help texts, JSON.
#include <lathe/reflect/options.hpp>
#include <lathe/watermark/calibration.hpp>
#include <lathe/watermark/cohemark.hpp>
#include <lathe/watermark/detector.hpp>
#include <lathe/watermark/hammingmark.hpp>
#include <lathe/watermark/rates.hpp>
#include <lathe/watermark/sampler.hpp>
#include <lathe/watermark/semstamp.hpp>
#include <lathe/watermark/simmark.hpp>

BOOST_HANA_ADAPT_STRUCT(lathe::watermark::rank_rule, primary, relief, streak_rank, streak_limit);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::rank_rule> = lathe::reflect::help_table({
    {"primary", "green ranks in the order of the sentence before"},
    {"relief", "green ranks after a streak; none: there is no relief"},
    {"streak_rank", "the rank that the streak counts"},
    {"streak_limit", "what the count may reach without a relief"},
});

BOOST_HANA_ADAPT_STRUCT(lathe::watermark::cohemark_options, fuzzifier, rule, relief_trials, conformance);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::cohemark_options> = lathe::reflect::help_table({
    {"fuzzifier", "of the memberships, above 1; that of the clustering"},
    {"rule", "which ranks are green; unset: the published ones for 8 clusters, as many in proportion for others"},
    {"relief_trials", "candidates that a sentence in relief may take"},
    {"conformance", "authors: unless there are 8 clusters, ranks 1 and 3 for ever, and no score"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::keyed_cohemark_options, key, input, fuzzifier, rule, relief_trials);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::keyed_cohemark_options> = lathe::reflect::help_table({
    {"key", "the secret, a number of 64 bits"},
    {"input",
     "what decides the green ranks beside the key: the cluster of the sentence before, its whole order, or the "
     "cluster and the position"},
    {"fuzzifier", "of the memberships, above 1; that of the clustering"},
    {"rule", "how many ranks are green in which mode; unset: as without a key"},
    {"relief_trials", "candidates that a sentence in relief may take"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::semstamp_options, rate, prime);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::semstamp_options> = lathe::reflect::help_table({
    {"rate", "share of the regions that is accepted after each"},
    {"prime", "the key: times the region before it seeds the choice"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::simmark_options, measure, low, high, decay, conformance);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::simmark_options> = lathe::reflect::help_table({
    {"measure", "what is compared: the cosine of neighbouring sentences, or their distance"},
    {"low", "the least value that is accepted"},
    {"high", "the largest value that is accepted"},
    {"decay", "how fast evidence falls outside the interval: exp(-decay distance)"},
    {"conformance",
     "project_unstandardised: components of standardised embeddings applied to embeddings as they are, as "
     "the authors' code does"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::hammingmark_options, radius, evidence);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::hammingmark_options> = lathe::reflect::help_table({
    {"radius", "bits that may differ from the sentence before"},
    {"evidence", "1 within the radius, or the share of bits that agree"},
});

BOOST_HANA_ADAPT_STRUCT(lathe::watermark::sampling_options, max_trials, at_budget, last, margin, margin_excluded,
                        max_tokens, max_sentences, batch);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::sampling_options> = lathe::reflect::help_table({
    {"max_trials", "candidates for one sentence, whole sentences or not"},
    {"at_budget", "what happens then: the text ends, the last candidate is taken, or the one that came nearest"},
    {"last", "whether the last candidate of the budget can be accepted"},
    {"margin", "candidates of less confidence are turned down"},
    {"margin_excluded", "whether those at the margin are too"},
    {"max_tokens", "stop when one less was accepted"},
    {"max_sentences", "stop when as many were accepted"},
    {"batch", "candidates asked for at once"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::detection_options, decide_by, threshold, prompt_sentences, repeats, evidence);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::detection_options> = lathe::reflect::help_table({
    {"decide_by", "what the threshold is of: the share of hits, z, or p"},
    {"threshold", "at least this share or z, or at most this p, is a watermark"},
    {"prompt_sentences", "sentences at the start that are not scored"},
    {"repeats", "whether repeated draws of a key count, or once"},
    {"evidence", "keep what each sentence says"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::sequential_options, strengths);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::sequential_options> = lathe::reflect::help_table({
    {"strengths", "bets: how far the probability of a hit is from that of human text towards 1"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::dynamic_threshold_options, rule, target_fpr, reverse);
template <>
inline constexpr auto lathe::reflect::help<lathe::watermark::dynamic_threshold_options> = lathe::reflect::help_table({
    {"rule", "the best F1, or the most lenient threshold that keeps to the false-positive rate"},
    {"target_fpr", "the false-positive rate to keep to"},
    {"reverse", "low scores mean a watermark"},
});

BOOST_HANA_ADAPT_STRUCT(lathe::watermark::rank_chain, initial, transitions);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::null_summary, mean, variance, z, p, mid_p);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::step_facts, region, rank, mode, count);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::sentence_evidence, scored, evidence, confidence, step);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::document_score, sentences, scored, score, ratio, null, watermarked);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::detection_result, options, status, documents, sentences);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::sampling_step, candidate, action, step, trials, budget);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::sampled_sentence, text, candidate, trials, admitted);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::sampling_result, options, end, sentences, trace, tokens);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::sequential_result, values, p_values);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::interval, low, high);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::auc_result, auc, standard_error, confidence);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::roc_point, threshold, true_positives, false_positives, tpr, fpr);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::rate_at_bound, threshold, tpr, fpr, tpr_confidence, fpr_confidence);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::success_rates, true_positives, false_negatives, true_negatives,
                        false_positives, tpr, tnr, fpr, fnr, precision, recall, f1, accuracy);
BOOST_HANA_ADAPT_STRUCT(lathe::watermark::dynamic_threshold_result, threshold, within, rates);
