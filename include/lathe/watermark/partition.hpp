#pragma once
/// \file  What sentence-level watermarks have in common: a partition of the space of sentences, of which each sentence
///        leaves a part to the next one. Samplers and detectors are written once over it. docs/watermarking.md.
///
/// | piece      | SemStamp     | k-SemStamp     | CoheMark       | SimMark          | HammingMark            |
/// |------------|--------------|----------------|----------------|------------------|------------------------|
/// | code       | sign bits    | nearest centre | centres' order | the vector       | sign bits              |
/// | confidence | least |cos|  | gap to second  | u1 - u2        | infinite         | least |cos|            |
/// | admits     | keyed subset | keyed subset   | ranks by count | an interval      | a Hamming ball         |
/// | evidence   | 0 or 1       | 0 or 1         | 0 or 1         | exp(-K distance) | 0 or 1, or equal bits  |
/// | state      | none         | none           | a count        | none             | none                   |
#include <lathe/core/backend.hpp>

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// The state of partitions that have none.
struct no_state {
    friend bool operator==(no_state, no_state) = default;
};

/// A draw that the key of a watermark decides: whether `choice` is in the subset of `green` out of `choices` that
/// belongs to `input`. The same input and choice are the same draw.
struct keyed_draw {
    std::uint64_t input;  ///< what the subset belongs to
    std::uint64_t choice; ///< which of the choices it is
    std::size_t green,    ///< choices in the subset
        choices;          ///< choices in all
};

/// The half of a partition that looks at codes alone, and needs no backend:
///
///     codes                            // of many sentences; size(), and operator[] gives a `code`, cheap to copy
///     state start() const              // before the first sentence that is judged
///     bool admits(code previous, code current, state) const
///     double evidence(code previous, code current, state) const      // in [0, 1]; what detectors sum up
///     state advance(code previous, code current, state) const        // after that sentence
///     double confidence(code) const    // how far from a border; what a margin is asked of
///
/// Optional, for traces, displays and statistics:
///
///     std::uint64_t region(code) const                      // a number for people
///     std::size_t rank(code previous, code current) const
///     std::uint32_t mode(state) const, std::size_t count(state) const
///     std::size_t trials_wanted(state) const                // candidates that this state may take: raises the budget
///     double preference(code previous, code current, state) const   // how near it came: what take_best compares
///     bool scores() const                                   // false: detectors score nothing, as some published ones do
///     keyed_draw draw(code previous, code current, state) const     // of partitions with a key
template <class P>
concept partition_rule =
    requires(P const & p, typename P::codes const & all, typename P::code const & c, typename P::state const & s) {
        { all.size() } -> std::same_as<std::size_t>;
        { all[std::size_t{}] } -> std::convertible_to<typename P::code>;
        { p.start() } -> std::same_as<typename P::state>;
        { p.admits(c, c, s) } -> std::same_as<bool>;
        { p.evidence(c, c, s) } -> std::same_as<double>;
        { p.advance(c, c, s) } -> std::same_as<typename P::state>;
        { p.confidence(c) } -> std::same_as<double>;
    };

/// A partition whose codes can be computed on a backend in T: dimensions(), the length of embeddings, and
/// encode<T>(be, rows), all sentences at once.
template <class P, class B, class T>
concept semantic_partition = partition_rule<P> && requires(P const & p, B & be, cmat<B, T> rows) {
    { p.dimensions() } -> std::same_as<std::size_t>;
    { p.template encode<T>(be, rows) } -> std::same_as<typename P::codes>;
};

/// A cell of a partition and the confidence of being in it: the code of SemStamp, k-SemStamp and HammingMark.
struct region_code {
    std::uint64_t region; ///< number of the cell
    double confidence;    ///< how far from a border
};
/// Codes that are regions.
struct region_codes {
    std::vector<std::uint64_t> regions; ///< of every sentence
    std::vector<double> confidences;    ///< of every sentence
    /// Sentences.
    [[nodiscard]] std::size_t size() const noexcept { return regions.size(); }
    /// The code of sentence i. \pre i < size()
    [[nodiscard]] region_code operator[](std::size_t i) const { return {regions[i], confidences[i]}; }
};

/// What a partition says of one step, for traces and displays; 0, or no region, where it says nothing.
struct step_facts {
    std::optional<std::uint64_t> region; ///< the cell or cluster of the sentence
    std::size_t rank = 0;                ///< of that cluster in the order of the sentence before
    std::uint32_t mode = 0;              ///< that the sentence was judged in; CoheMark: 1 is relief
    std::size_t count = 0;               ///< after it
};
/// The region of a code; nothing if the partition has no such member.
template <partition_rule P> std::optional<std::uint64_t> region_of(P const & p, typename P::code const & code) {
    if constexpr (requires { p.region(code); })
        return p.region(code);
    else
        return std::nullopt;
}
/// The mode of a state; 0 if the partition has no such member.
template <partition_rule P> std::uint32_t mode_of(P const & p, typename P::state const & s) {
    if constexpr (requires { p.mode(s); })
        return p.mode(s);
    else
        return 0;
}
/// The count of a state; 0 if the partition has no such member.
template <partition_rule P> std::size_t count_of(P const & p, typename P::state const & s) {
    if constexpr (requires { p.count(s); })
        return p.count(s);
    else
        return 0;
}
/// The rank of the current sentence; 0 if the partition has no such member.
template <partition_rule P>
std::size_t rank_of(P const & p, typename P::code const & previous, typename P::code const & current) {
    if constexpr (requires { p.rank(previous, current); })
        return p.rank(previous, current);
    else
        return 0;
}

} // namespace watermark
LATHE_NAMESPACE_END
