#pragma once
/// \file  Detection: one detector for every partition, over many documents at once, with what each sentence says.
///        docs/watermarking.md.
#include <lathe/cluster/rows.hpp>
#include <lathe/core/control.hpp>
#include <lathe/core/ops.hpp>
#include <lathe/watermark/null_models.hpp>
#include <lathe/watermark/partition.hpp>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// What makes a document count as watermarked.
enum class decision : unsigned char {
    ratio, ///< score / sentences that count >= threshold: CoheMark's 0.9
    z,     ///< z >= threshold
    p      ///< p <= threshold
};
/// Steps of a keyed partition that repeat a draw of the same document (the same input and choice).
enum class repeated_draws : unsigned char {
    counted, ///< like any other: the published detectors
    once     ///< the first counts; what the law of keyed partitions is exact for
};

/// Options of detect, for all documents alike.
struct detection_options {
    decision decide_by = decision::ratio; ///< what is held against the threshold
    double threshold = 0.9;               ///< of the ratio, the z-score or the p-value
    std::size_t prompt_sentences = 1;     ///< at the start of a document, that are not scored; the last is judged by
    repeated_draws repeats = repeated_draws::counted; ///< `once` is for partitions with a key
    bool evidence = true;                             ///< keep what each sentence says
};

/// What one sentence says.
struct sentence_evidence {
    bool scored = false;   ///< not of the prompt, and no repeated draw
    double evidence = 0;   ///< in [0, 1]; 1 is a hit
    double confidence = 0; ///< of its code
    step_facts step;       ///< what the partition says of it
};

/// What a document scores.
struct document_score {
    std::size_t sentences = 0;                               ///< of the document
    std::size_t scored = 0;                                  ///< of them
    double score = 0;                                        ///< sum of the evidence
    double ratio = std::numeric_limits<double>::quiet_NaN(); ///< score / scored; NaN where nothing was scored
    null_summary null;        ///< what the null model says; NaN without one, or where nothing was scored
    bool watermarked = false; ///< never where nothing was scored
};

/// What detect gives.
struct detection_result {
    detection_options options;                       ///< echoed
    lathe::status status = lathe::status::converged; ///< or stopped: then documents after the last are not scored
    std::vector<document_score> documents;           ///< in the order of the offsets
    std::vector<sentence_evidence> sentences;        ///< one for each row of the embeddings, if asked for
};

/// The sentences of document i are rows [offsets[i], offsets[i + 1]). \throws shape_error unless offsets begin with 0,
/// do not fall, and end with the number of rows
inline void validate_offsets(std::span<std::size_t const> offsets, std::size_t rows) {
    expects_shape(!offsets.empty() && offsets.front() == 0 && offsets.back() == rows && std::ranges::is_sorted(offsets),
                  "detect: offsets of documents begin with 0, do not fall, and end with the number of sentences");
}
/// \throws option_error
inline void validate(detection_options const & o) {
    expects_option(!std::isnan(o.threshold), "threshold", "NaN", "a number");
    expects_option(o.prompt_sentences != 0, "prompt_sentences", "0",
                   "at least 1: the first sentence is judged by none");
}

/// Scores one document of codes [first, first + count). `evidence` is as long, or empty. The null model is not asked
/// yet; `groups`, if given, gets the draws of a keyed partition.
template <partition_rule P>
document_score score_document(P const & partition, typename P::codes const & codes, std::size_t first,
                              std::size_t count, detection_options const & options,
                              std::span<sentence_evidence> evidence, std::vector<keyed_group> * groups = nullptr) {
    constexpr bool keyed = requires(typename P::code c, typename P::state s) { partition.draw(c, c, s); };
    document_score d;
    d.sentences = count;
    auto state = partition.start();
    bool scores = true;
    if constexpr (requires { partition.scores(); })
        scores = partition.scores();
    [[maybe_unused]] std::vector<keyed_draw> draws;
    for (std::size_t i = 0; i != count; ++i) {
        typename P::code const current = codes[first + i];
        sentence_evidence e;
        e.confidence = partition.confidence(current);
        e.step.region = region_of(partition, current);
        if (i >= options.prompt_sentences) {
            typename P::code const previous = codes[first + i - 1];
            e.scored = scores;
            e.evidence = partition.evidence(previous, current, state);
            e.step.rank = rank_of(partition, previous, current);
            e.step.mode = mode_of(partition, state);
            if constexpr (keyed)
                if (options.repeats == repeated_draws::once || groups != nullptr) {
                    auto const draw = partition.draw(previous, current, state);
                    bool const seen = std::ranges::any_of(draws, [&](keyed_draw const & other) {
                        return other.input == draw.input && other.choice == draw.choice;
                    });
                    e.scored = scores && (options.repeats == repeated_draws::counted || !seen);
                    if (!seen)
                        draws.push_back(draw);
                }
            state = partition.advance(previous, current, state);
            e.step.count = count_of(partition, state);
            if (e.scored) {
                ++d.scored;
                d.score += e.evidence;
            }
        }
        if (!evidence.empty())
            evidence[i] = e;
    }
    if (d.scored != 0)
        d.ratio = d.score / static_cast<double>(d.scored);
    if constexpr (keyed)
        if (groups != nullptr) {
            std::ranges::sort(draws, {}, &keyed_draw::input);
            groups->clear();
            for (std::size_t i = 0; i != draws.size(); ++i)
                if (i != 0 && draws[i].input == draws[i - 1].input)
                    ++groups->back().looked_at;
                else
                    groups->push_back({draws[i].choices, draws[i].green, 1});
        }
    return d;
}

/// Asks the null model, and decides.
inline void judge(document_score & d, detection_options const & options, null_model const & null) {
    if (d.scored == 0)
        return;
    if (null)
        d.null = null(d.scored, d.score);
    d.watermarked = options.decide_by == decision::ratio ? d.ratio >= options.threshold
                    : options.decide_by == decision::z   ? d.null.z >= options.threshold
                                                         : d.null.p <= options.threshold;
}

/// Documents whose codes are known, on the threads of an executor. Documents of a keyed partition that count each draw
/// once are held against the exact law over keys unless a null model is given.
/// \throws shape_error, option_error; what the null model throws
template <executor Executor, partition_rule P>
detection_result detect_codes(Executor & e, P const & partition, typename P::codes const & codes,
                              std::span<std::size_t const> offsets, detection_options const & options = {},
                              null_model const & null = {}) {
    validate(options);
    validate_offsets(offsets, codes.size());
    constexpr bool keyed = requires(typename P::code c, typename P::state s) { partition.draw(c, c, s); };
    expects_option(keyed || options.repeats == repeated_draws::counted, "repeats", "once",
                   "counted: the partition has no key");
    bool const exact = keyed && options.repeats == repeated_draws::once && !null;
    expects_option(options.decide_by == decision::ratio || exact || null, "decide_by", "z or p",
                   "a null model with it");
    detection_result r{options, status::converged, {}, {}};
    r.documents.resize(offsets.size() - 1);
    r.sentences.resize(options.evidence ? codes.size() : 0);
    constexpr std::size_t block = 64; // documents of a task
    e.parallel_for((r.documents.size() + block - 1) / block, [&](std::size_t task) {
        std::vector<keyed_group> groups;
        for (auto i = task * block; i != std::min(r.documents.size(), (task + 1) * block); ++i) {
            auto const first = offsets[i], count = offsets[i + 1] - first;
            auto & d = r.documents[i];
            d = score_document(partition, codes, first, count, options,
                               options.evidence ? std::span{r.sentences}.subspan(first, count)
                                                : std::span<sentence_evidence>{},
                               exact ? &groups : nullptr);
            if (exact && d.scored != 0)
                d.null = keyed_law(groups).summary(d.score);
        }
    });
    for (auto & d : r.documents)
        judge(d, options, null);
    return r;
}

/// Detection in documents whose sentences are read by parts: read(first, count) gives rows [first, first + count) of
/// `rows`. What both functions below are.
template <real T, class B, class P, class Read, class Obs, class Stop>
    requires semantic_partition<P, B, T>
detection_result detect_by_parts(B & be, P const & partition, std::size_t rows, std::size_t cols, Read && read,
                                 std::span<std::size_t const> offsets, detection_options const & options,
                                 null_model const & null, control<Obs, Stop> & ctl) {
    validate(options);
    validate_offsets(offsets, rows);
    expects_shape(rows == 0 || cols == partition.dimensions(), "detect: embeddings are not as long as the partition's");
    constexpr std::size_t part = 16384; // sentences whose codes exist at a time, but for a longer document
    detection_result all{options, status::converged, {}, {}};
    auto && e = host::executor_of(be);
    for (std::size_t first = 0, last = 0; first + 1 < offsets.size(); first = last) {
        if (ctl.stop.stop_requested()) {
            all.status = status::stopped;
            break;
        }
        for (last = first + 1; last + 1 < offsets.size() && offsets[last + 1] - offsets[first] <= part;)
            ++last;
        auto const begin = offsets[first];
        auto const codes = [&] {
            try {
                return partition.template encode<T>(be, read(begin, offsets[last] - begin));
            } catch (non_finite_error const & found) {
                if (begin == 0)
                    throw;
                throw non_finite_error{"sentences from row " + std::to_string(begin) + " on: " + found.what()};
            }
        }();
        std::vector<std::size_t> here(offsets.begin() + static_cast<std::ptrdiff_t>(first),
                                      offsets.begin() + static_cast<std::ptrdiff_t>(last) + 1);
        for (auto & o : here)
            o -= begin;
        auto r = detect_codes(e, partition, codes, here, options, null);
        all.documents.insert(all.documents.end(), r.documents.begin(), r.documents.end());
        all.sentences.insert(all.sentences.end(), r.sentences.begin(), r.sentences.end());
        ctl.observe(progress{last, offsets.size() - 1, std::nan(""), std::nan("")});
    }
    return all;
}

/// Detection in many documents: `sentences` has a row for each sentence of all documents, one document after the other.
/// Codes are computed for some ten thousand sentences at a time, and documents scored on the threads of the backend;
/// the result does not depend on how many. One step of `ctl` for each such part.
/// \throws shape_error, option_error; non_finite_error, which names the row
/// Complexity: one product with the partition's vectors, 2 N K d; memory for the codes of one part, and the result.
template <real T = float, class B, class P, class Q, class Obs = no_observer, class Stop = never_stop>
    requires semantic_partition<P, B, T>
detection_result detect(B & be, P const & partition, mat_view<Q> sentences, std::span<std::size_t const> offsets,
                        detection_options const & options = {}, null_model const & null = {},
                        control<Obs, Stop> ctl = {}) {
    auto const read = [&](std::size_t first, std::size_t count) {
        return cmat<B, T>(sentences.data + static_cast<std::ptrdiff_t>(first * sentences.ld), count, sentences.cols,
                          sentences.ld);
    };
    return detect_by_parts<T>(be, partition, sentences.rows, sentences.cols, read, offsets, options, null, ctl);
}
/// The same of the rows of a source (a .npy file, safetensors), which may be larger than memory: the same bits.
/// \throws what the source throws too
template <real T = float, class B, class P, class Source, class Obs = no_observer, class Stop = never_stop>
    requires semantic_partition<P, B, T> && cluster::row_source<Source, B, T>
detection_result detect(B & be, P const & partition, Source & sentences, std::span<std::size_t const> offsets,
                        detection_options const & options = {}, null_model const & null = {},
                        control<Obs, Stop> ctl = {}) {
    auto const read = [&](std::size_t first, std::size_t count) {
        return cmat<B, T>(sentences.read(be, first, count));
    };
    return detect_by_parts<T>(be, partition, sentences.rows(), sentences.cols(), read, offsets, options, null, ctl);
}

} // namespace watermark
LATHE_NAMESPACE_END
