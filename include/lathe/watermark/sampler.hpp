#pragma once
/// \file  Sampling: sentences are asked of a language model one after the other, and turned down until one falls where
///        the partition wants it. One sampler for every partition. docs/watermarking.md.
#include <lathe/core/control.hpp>
#include <lathe/core/ops.hpp>
#include <lathe/watermark/partition.hpp>

#include <functional>
#include <ranges>
#include <string_view>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// The text so far.
struct sampling_context {
    std::string_view prompt;                ///< what the text goes on from; no sentence of the result
    std::span<std::string const> sentences; ///< accepted ones
};
/// A sentence that a language model proposes to go on with.
struct proposal {
    std::string text;       ///< the sentence
    std::size_t tokens = 0; ///< what it adds to the limit of tokens
};
/// The user's language model: source(context, count) gives at most `count` sentences to go on with, drawn independently
/// of each other; none: there are no more, and sampling ends.
template <class S>
concept sentence_source = requires(S & s, sampling_context const & context, std::size_t count) {
    { s(context, count) } -> std::convertible_to<std::vector<proposal>>;
};
/// A row of numbers for each text: `dimension`, and `values`, row by row. evaluate::embedding_table is one.
template <class Table>
concept embedding_rows = requires(Table & t) {
    { t.dimension } -> std::convertible_to<std::size_t>;
    { *std::ranges::data(t.values) } -> std::convertible_to<double>;
    { std::ranges::size(t.values) } -> std::convertible_to<std::size_t>;
};
/// The user's encoder: embed(texts) gives a row for each text.
template <class E>
concept sentence_embedder = requires(E & e, std::span<std::string const> texts) {
    requires embedding_rows<std::remove_cvref_t<decltype(e(texts))>>;
};

/// Whether a proposal is one whole sentence.
using sentence_check = std::function<bool(std::string const &)>;
/// Not empty, and ends with one of . ! ? The published check also wants a splitter to see exactly one sentence.
inline bool ends_as_sentence(std::string const & text) {
    return !text.empty() && (text.back() == '.' || text.back() == '!' || text.back() == '?');
}

/// What happens when the budget of trials for one sentence is used up.
enum class exhaustion : unsigned char {
    stop,      ///< the text ends: CoheMark
    take_last, ///< the last valid candidate is taken whatever its region, and sampling goes on: k-SemStamp, SimMark
    take_best  ///< the valid candidate that came nearest is taken, the first of several: docs/watermarking.md
};
/// Whether the last trial of a budget can be accepted.
enum class last_trial : unsigned char {
    thrown_away, ///< the budget is looked at before the candidate is: CoheMark, which has a trial less than it says
    judged       ///< like any other
};

/// The defaults are CoheMark's.
struct sampling_options {
    std::size_t max_trials = 30;               ///< candidates for one sentence, valid or not
    exhaustion at_budget = exhaustion::stop;   ///< what happens after that many
    last_trial last = last_trial::thrown_away; ///< whether the last of them can be accepted
    double margin = 0;                         ///< candidates of less confidence are turned down
    bool margin_excluded = false;              ///< those of no more than the margin too
    std::size_t max_tokens = 1'000'000'000;    ///< stop when at least max_tokens - 1 were accepted
    std::size_t max_sentences = 1'000'000'000; ///< stop when as many were accepted
    std::size_t batch = 1; ///< proposals asked for at once; those behind an accepted one are dropped
};

/// CoheMark's policy: the defaults.
inline sampling_options cohemark_sampling() { return {}; }
/// SemStamp's: a hundred trials, then the last valid candidate; candidates below the margin are turned down.
inline sampling_options semstamp_sampling(double margin = 0.02) {
    return {.max_trials = 100, .at_budget = exhaustion::take_last, .last = last_trial::judged, .margin = margin};
}
/// k-SemStamp's: the same, and those at the margin are turned down too.
inline sampling_options k_semstamp_sampling(double margin = 0.02) {
    return {.max_trials = 100,
            .at_budget = exhaustion::take_last,
            .last = last_trial::judged,
            .margin = margin,
            .margin_excluded = true};
}
/// SimMark's: a hundred trials, then the last valid candidate; no margin.
inline sampling_options simmark_sampling() {
    return {.max_trials = 100, .at_budget = exhaustion::take_last, .last = last_trial::judged};
}
/// A hundred trials, then the valid candidate that came nearest; no margin.
inline sampling_options hammingmark_sampling() {
    return {.max_trials = 100, .at_budget = exhaustion::take_best, .last = last_trial::judged};
}

/// What became of a candidate.
enum class sampling_action : unsigned char {
    rejected,          ///< its region is not admitted
    accepted,          ///< taken
    invalid,           ///< no whole sentence; counts as a trial
    exhausted,         ///< the budget was used up by it
    exhausted_invalid, ///< the same, and it was no whole sentence
    low_margin         ///< too near a border
};
/// Why sampling ended.
enum class sampling_end : unsigned char {
    source_end,    ///< the source had no more
    budget,        ///< the trials for a sentence were used up, and there was none to fall back on
    max_tokens,    ///< options.max_tokens - 1 were accepted
    max_sentences, ///< options.max_sentences were accepted
    stopped        ///< by the control
};

/// What became of a candidate, and where sampling then stood.
struct sampling_step {
    std::size_t candidate;  ///< its number among all that were looked at
    sampling_action action; ///< what became of it
    step_facts step;        ///< no region where it was no whole sentence
    std::size_t trials;     ///< for the sentence at hand, after it
    std::size_t budget;     ///< after it
};
/// A sentence of the result.
struct sampled_sentence {
    std::string text;      ///< as proposed
    std::size_t candidate; ///< its number among all that were looked at
    std::size_t trials;    ///< that it took
    bool admitted;         ///< or taken at the end of the budget
};
/// What sample gives.
struct sampling_result {
    sampling_options options;                    ///< echoed
    sampling_end end = sampling_end::source_end; ///< why it ended
    std::vector<sampled_sentence> sentences;     ///< accepted ones, in order
    std::vector<sampling_step> trace;            ///< every candidate that was looked at
    std::size_t tokens = 0;                      ///< of the accepted ones

    /// The share of valid candidates that were admitted.
    [[nodiscard]] double acceptance() const {
        double valid = 0, taken = 0;
        for (auto const & s : trace)
            valid += s.action != sampling_action::invalid && s.action != sampling_action::exhausted_invalid ? 1 : 0;
        for (auto const & s : sentences)
            taken += s.admitted ? 1 : 0;
        return valid == 0 ? std::numeric_limits<double>::quiet_NaN() : taken / valid;
    }
};

/// \throws option_error
inline void validate(sampling_options const & o) {
    expects_option(o.max_trials != 0, "max_trials", "0", "at least 1");
    expects_option(o.batch != 0, "batch", "0", "at least 1");
    expects_option(o.margin >= 0, "margin", std::to_string(o.margin), "a number not below 0");
}

/// Candidates held against a partition, one after the other: the published order of tests, without a language model.
/// For each candidate: if it is no whole sentence, it counts as a trial and the budget is looked at. Else it counts as
/// a trial; a state that wants more trials raises the budget for good; with last_trial::thrown_away the budget is
/// looked at before the candidate; margin; region; then it is accepted, or the budget looked at.
template <partition_rule P> class sentence_filter {
public:
    /// The code of a sentence.
    using code = typename P::code;

    /// Refers to the partition. \throws option_error
    sentence_filter(P const & partition, sampling_options const & options)
        : partition_{&partition}, options_{options}, budget_{options.max_trials}, state_{partition.start()} {
        validate(options);
    }
    /// That the next candidate is judged in.
    [[nodiscard]] typename P::state const & state() const noexcept { return state_; }
    /// Trials that a sentence may take now.
    [[nodiscard]] std::size_t budget() const noexcept { return budget_; }

    /// What becomes of a candidate that is no whole sentence.
    sampling_step invalid() {
        ++trials_;
        auto s = step(trials_ >= budget_ ? sampling_action::exhausted_invalid : sampling_action::invalid);
        s.step.mode = mode_of(*partition_, state_);
        s.step.count = count_of(*partition_, state_);
        return s;
    }
    /// What becomes of a candidate with this code after a sentence with that one. On acceptance the state moves on.
    sampling_step judge(code const & previous, code const & current) {
        ++trials_;
        if constexpr (requires { partition_->trials_wanted(state_); })
            budget_ = std::max(budget_, partition_->trials_wanted(state_));
        bool const last = trials_ >= budget_;
        auto action = sampling_action::accepted;
        auto const confidence = partition_->confidence(current);
        if (last && options_.last == last_trial::thrown_away)
            action = sampling_action::exhausted;
        else if (!(options_.margin_excluded ? confidence > options_.margin : confidence >= options_.margin))
            action = last ? sampling_action::exhausted : sampling_action::low_margin;
        else if (!partition_->admits(previous, current, state_))
            action = last ? sampling_action::exhausted : sampling_action::rejected;
        auto const mode = mode_of(*partition_, state_);
        auto const rank = rank_of(*partition_, previous, current);
        if (action == sampling_action::accepted)
            take(previous, current);
        auto s = step(action);
        s.step = {region_of(*partition_, current), rank, mode, count_of(*partition_, state_)};
        return s;
    }
    /// Moves on with a sentence that was not admitted, at the end of a budget.
    void take(code const & previous, code const & current) {
        state_ = partition_->advance(previous, current, state_);
        spent_ = trials_;
        trials_ = 0;
    }
    /// Trials that the sentence taken last took.
    [[nodiscard]] std::size_t spent() const noexcept { return spent_; }
    /// How near a candidate came; the larger the nearer.
    [[nodiscard]] double preference(code const & previous, code const & current) const {
        if constexpr (requires { partition_->preference(previous, current, state_); })
            return partition_->preference(previous, current, state_);
        else
            return partition_->evidence(previous, current, state_);
    }

private:
    P const * partition_;
    sampling_options options_;
    std::size_t budget_, trials_ = 0, spent_ = 0, candidates_ = 0;
    typename P::state state_;

    sampling_step step(sampling_action action) { return {candidates_++, action, {}, trials_, budget_}; }
};

/// The rows of a user's table in the memory of a backend. \throws shape_error unless it has that many rows of that
/// length
template <real T, class B, class Table>
buffer_t<B, T> upload_table(B & be, Table const & table, std::size_t rows, std::size_t dimensions) {
    expects_shape(static_cast<std::size_t>(table.dimension) == dimensions
                      && static_cast<std::size_t>(std::ranges::size(table.values)) == rows * dimensions,
                  "the embedder's table does not have a row for each text, as long as the partition's vectors");
    std::vector<T> values;
    values.reserve(rows * dimensions);
    for (auto const v : table.values)
        values.push_back(static_cast<T>(v));
    auto buffer = be.template allocate<T>(values.size());
    be.upload(std::span<T const>{values}, buffer.view());
    return buffer;
}

/// A watermarked continuation of a prompt, which is embedded as one text. Candidates come from `source` and are
/// embedded by `embed`, a batch at a time; `valid` says which are whole sentences. One step of `ctl` for each accepted
/// sentence; stopping is asked between batches.
/// \throws option_error, shape_error, non_finite_error; what the callbacks throw
/// Complexity: one product with the partition's vectors for each batch; memory for a batch, the text and the trace.
template <real T = float, class B, class P, class Source, class Embedder, class Obs = no_observer,
          class Stop = never_stop>
    requires semantic_partition<P, B, T> && sentence_source<std::remove_reference_t<Source>>
             && sentence_embedder<std::remove_reference_t<Embedder>>
sampling_result sample(B & be, P const & partition, std::string const & prompt, Source && source, Embedder && embed,
                       sampling_options const & options = {}, sentence_check const & valid = ends_as_sentence,
                       control<Obs, Stop> ctl = {}) {
    sentence_filter<P> filter(partition, options);
    sampling_result r;
    r.options = options;
    auto const encode = [&](std::span<std::string const> texts) {
        auto rows = upload_table<T>(be, embed(texts), texts.size(), partition.dimensions());
        return partition.template encode<T>(be,
                                            cmat<B, T>(as_matrix(rows.view(), texts.size(), partition.dimensions())));
    };
    std::vector<std::string> text; // accepted
    // Codes refer to what they came from: the sentence before, and the candidate to fall back on.
    auto before = encode({&prompt, 1});
    std::size_t before_at = 0;
    struct fallback {
        typename P::codes codes;
        std::size_t at, candidate;
        proposal what;
        double preference;
    };
    std::optional<fallback> kept;
    auto const accept = [&](proposal && what, std::size_t candidate, std::size_t trials, bool admitted) {
        text.push_back(what.text);
        r.tokens += what.tokens;
        r.sentences.push_back({std::move(what.text), candidate, trials, admitted});
        kept.reset();
        ctl.observe(progress{r.sentences.size(), options.max_sentences, std::nan(""), std::nan("")});
        if (r.tokens + 1 >= options.max_tokens) {
            r.end = sampling_end::max_tokens;
            return true;
        }
        r.end = sampling_end::max_sentences;
        return r.sentences.size() >= options.max_sentences;
    };
    for (;;) {
        if (ctl.stop.stop_requested()) {
            r.end = sampling_end::stopped;
            return r;
        }
        std::vector<proposal> batch = source(sampling_context{prompt, text}, options.batch);
        if (batch.empty()) {
            r.end = sampling_end::source_end;
            return r;
        }
        std::vector<std::string> whole;
        std::vector<std::size_t> place(batch.size()); // in `whole`, plus 1
        for (std::size_t i = 0; i != batch.size(); ++i)
            if (valid(batch[i].text)) {
                whole.push_back(batch[i].text);
                place[i] = whole.size();
            }
        auto codes = whole.empty() ? typename P::codes{} : encode(whole);
        for (std::size_t i = 0; i != batch.size(); ++i) {
            typename P::code const previous = before[before_at];
            auto const s = place[i] == 0 ? filter.invalid() : filter.judge(previous, codes[place[i] - 1]);
            r.trace.push_back(s);
            if (s.action == sampling_action::accepted) {
                before_at = place[i] - 1;
                before = std::move(codes);
                if (accept(std::move(batch[i]), s.candidate, filter.spent(), true))
                    return r;
                break; // the rest was to go on from the text before
            }
            if (place[i] != 0 && options.at_budget != exhaustion::stop) {
                auto const preference = filter.preference(previous, codes[place[i] - 1]);
                if (!kept || options.at_budget == exhaustion::take_last || preference > kept->preference)
                    kept.emplace(fallback{codes, place[i] - 1, s.candidate, batch[i], preference});
            }
            if (s.action != sampling_action::exhausted && s.action != sampling_action::exhausted_invalid)
                continue;
            if (!kept) {
                r.end = sampling_end::budget;
                return r;
            }
            filter.take(previous, kept->codes[kept->at]);
            before = std::move(kept->codes);
            before_at = kept->at;
            if (accept(std::move(kept->what), kept->candidate, filter.spent(), false))
                return r;
            break;
        }
    }
}

} // namespace watermark
LATHE_NAMESPACE_END
