#pragma once
/// \file  What may happen to a marked text, without a network: words and sentences lost, moved, or mixed with others.
///
/// Attacks choose positions of a list, so that they apply to words, tokens, sentences and rows of embeddings alike. A
/// choice is a function of the list's length, the options and the seed alone: random::uniform_stream with a purpose of
/// each attack. `rate` is a share, from 0 to 1.
#include <lathe/core/error.hpp>
#include <lathe/core/words.hpp>
#include <lathe/random/philox.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <utility>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// \throws option_error unless the rate is from 0 to 1
inline void expects_rate(double rate) {
    expects_option(rate >= 0 && rate <= 1, "rate", std::to_string(rate), "a number from 0 to 1");
}

/// Purposes of the uniform streams of one seed.
namespace purposes {
inline constexpr std::uint32_t deletion = 0x64656c00, ///< of surviving
    swap = 0x73776100,                                ///< of swapped
    mixing = 0x6d697800;                              ///< of copy_pasted
} // namespace purposes

/// Positions that survive when each of `count` is deleted with probability `rate`, in order; all of them may go.
/// \throws option_error
inline std::vector<std::size_t> surviving(std::size_t count, double rate, std::uint64_t seed) {
    expects_rate(rate);
    random::uniform_stream const u{seed, purposes::deletion};
    std::vector<std::size_t> kept;
    for (std::size_t i = 0; i != count; ++i)
        if (!(static_cast<double>(u[i]) < rate))
            kept.push_back(i);
    return kept;
}

/// The positions 0 ... count - 1 after neighbours were exchanged: going from front to back, each two that were not
/// moved yet change places with probability `rate`. At 1 all do, and only an odd one at the end stays. \throws
/// option_error
inline std::vector<std::size_t> swapped(std::size_t count, double rate, std::uint64_t seed) {
    expects_rate(rate);
    random::uniform_stream const u{seed, purposes::swap};
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (std::size_t i = 0; i + 1 < count; ++i)
        if (static_cast<double>(u[i]) < rate) {
            std::swap(order[i], order[i + 1]);
            ++i;
        }
    return order;
}

/// A position of the attacked list, or of the other one.
struct mixed_position {
    bool from_other = false;  ///< else of the attacked list
    std::size_t position = 0; ///< in that list
    /// Whether both are the same element of the same list.
    bool operator==(mixed_position const &) const = default;
};
/// Options of copy_pasted.
struct copy_paste_options {
    double rate = 0.5;      ///< share of the result that comes from the other list; below 1
    std::size_t pieces = 3; ///< that the attacked list is cut into; at least 1
};
/// The attacked list, of `count` > 0, pasted into a passage of the other: cut at places drawn without repetition into
/// at most `pieces` runs (as many as there are elements if it is shorter), between and around which lies a passage of
/// the other list of round(count rate / (1 - rate)) elements, cut the same way at places that may coincide. Both keep
/// their order. (Kirchenbauer et al., On the reliability of watermarks, 2023: the copy-paste attack.)
/// \throws option_error; mismatch_error if the other list is too short
inline std::vector<mixed_position> copy_pasted(std::size_t count, std::size_t other_count, std::uint64_t seed,
                                               copy_paste_options const & options = {}) {
    expects_option(options.rate >= 0 && options.rate < 1, "rate", std::to_string(options.rate),
                   "a number from 0 to below 1");
    expects_option(options.pieces != 0, "pieces", "0", "at least 1");
    expects_option(count != 0, "count", "0", "a list that is not empty");
    auto const wanted = std::round(static_cast<double>(count) * options.rate / (1 - options.rate));
    if (wanted > static_cast<double>(other_count))
        throw mismatch_error{"copy_pasted: the other list has " + std::to_string(other_count)
                             + " elements, expected at least " + std::to_string(wanted) + " for a rate of "
                             + std::to_string(options.rate)};
    auto const others = static_cast<std::size_t>(wanted);
    random::uniform_stream const u{seed, purposes::mixing};
    std::uint64_t drawn = 0;
    auto const below = [&](std::size_t n) { // 24 bits: uneven by n / 2^24, of no matter here
        return std::min(n - 1, static_cast<std::size_t>(static_cast<double>(u[drawn++]) * static_cast<double>(n)));
    };
    auto const first = below(other_count - others + 1);
    auto const pieces = std::min(options.pieces, count);
    std::vector<std::size_t> inner(count - 1), ends, places;
    std::iota(inner.begin(), inner.end(), std::size_t{1});
    for (std::size_t k = 0; k + 1 < pieces; ++k) {
        std::swap(inner[k], inner[k + below(inner.size() - k)]);
        ends.push_back(inner[k]);
    }
    ends.push_back(count);
    for (std::size_t k = 0; k != pieces; ++k)
        places.push_back(below(others + 1));
    std::ranges::sort(ends);
    std::ranges::sort(places);
    std::vector<mixed_position> all;
    std::size_t at = 0, from = 0;
    for (std::size_t k = 0; k != pieces; ++k) {
        for (; from != places[k]; ++from)
            all.push_back({true, first + from});
        for (; at != ends[k]; ++at)
            all.push_back({false, at});
    }
    for (; from != others; ++from)
        all.push_back({true, first + from});
    return all;
}

/// The elements of a list at positions: what the attacks choose.
template <class T> std::vector<T> at_positions(std::span<T const> list, std::span<std::size_t const> positions) {
    std::vector<T> all;
    all.reserve(positions.size());
    for (auto const i : positions)
        all.push_back(list[i]);
    return all;
}
/// The same of a mixture of two lists.
template <class T>
std::vector<T> at_positions(std::span<T const> list, std::span<T const> other,
                            std::span<mixed_position const> positions) {
    std::vector<T> all;
    all.reserve(positions.size());
    for (auto const & p : positions)
        all.push_back((p.from_other ? other : list)[p.position]);
    return all;
}

/// The words with a space between each two.
inline std::string joined(std::span<std::string_view const> words) {
    std::string text;
    for (auto const w : words) {
        if (!text.empty())
            text += ' ';
        text += w;
    }
    return text;
}
/// The text without the words that deletion takes, one space between those that are left. O(bytes). \throws
/// option_error
inline std::string delete_words(std::string_view text, double rate, std::uint64_t seed) {
    auto const words = words_of(text);
    return joined(at_positions<std::string_view>(words, surviving(words.size(), rate, seed)));
}
/// The first `count` words of a text, white space as it was.
inline std::string_view first_words(std::string_view text, std::size_t count) {
    auto const words = words_of(text);
    if (count >= words.size())
        return text;
    if (count == 0)
        return text.substr(0, 0);
    auto const & last = words[count - 1];
    return text.substr(0, static_cast<std::size_t>(last.data() + last.size() - text.data()));
}
/// The text without its first `count` words: what is left of a prompt with its continuation when the prompt of that
/// many words is cut off (MarkLLM's TruncatePrompt).
inline std::string_view without_first_words(std::string_view text, std::size_t count) {
    auto const words = words_of(text);
    return count >= words.size() ? text.substr(text.size())
                                 : text.substr(static_cast<std::size_t>(words[count].data() - text.data()));
}

} // namespace watermark
LATHE_NAMESPACE_END
