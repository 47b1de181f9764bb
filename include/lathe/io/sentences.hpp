#pragma once
/// \file  English prose cut into sentences, by ICU's rules (Unicode Standard Annex 29) and the list of abbreviations
///        that CLDR has for English: link lathe::sentences, or icuuc.
#include <lathe/core/error.hpp>
#include <lathe/core/utf8.hpp>

#include <unicode/brkiter.h>
#include <unicode/filteredbrk.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace io {

/// A sentence as a part of its text: bytes [first, first + length), without the white space around it.
struct sentence_span {
    std::size_t first = 0, ///< byte of the text
        length = 0;        ///< in bytes

    /// The sentence's own text. \param text what it was cut from
    [[nodiscard]] std::string_view of(std::string_view text) const { return text.substr(first, length); }
    bool operator==(sentence_span const &) const = default; ///< the same bytes
};

/// What ends a sentence.
struct sentence_options {
    bool lines_are_sentences = false; ///< every line break ends a sentence; else only an empty line does
};

/// Cuts texts into sentences. To what ICU does are added rules for what it gets wrong in prose: initials ("J. R.
/// Tolkien"), abbreviations that never end a sentence or do so only before a capital ("e.g.", "Fig. 3", "No. 7"),
/// numbers of list items ("1. First"), and exclamations within a sentence ("Go!" she said).
///
/// Construction reads ICU's tables (milliseconds); keep one for many texts. Not for several threads at once.
class sentence_splitter {
    std::unique_ptr<icu::BreakIterator> breaks_;
    sentence_options options_;

    static void check(UErrorCode code, char const * action) {
        if (U_FAILURE(code))
            throw unsupported_error{std::string{"sentence_splitter: ICU cannot "} + action + ": " + u_errorName(code)};
    }
    static bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }
    static bool is_upper(char c) noexcept { return c >= 'A' && c <= 'Z'; }
    static bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

    /// The word before the full stop that `text` ends with, opening brackets and quotes taken off; empty if it ends
    /// otherwise.
    static std::string_view word_before_stop(std::string_view text) {
        if (!text.ends_with('.') || text.ends_with(".."))
            return {};
        text.remove_suffix(1);
        auto const begin = text.find_last_of(" \t\n\v\f\r([{\"'/-");
        return begin == text.npos ? text : text.substr(begin + 1);
    }
    /// Whether what ICU took for the end of a sentence is none. \param before up to it, \param after from it on,
    /// neither empty, without white space there
    static bool goes_on(std::string_view before, std::string_view after) {
        auto const next = after.front();
        if (next >= 'a' && next <= 'z') // "Go!" she said
            return true;
        auto const word = word_before_stop(before);
        if (word.empty())
            return false;
        if (word.size() == 1 && is_upper(word[0]) && word[0] != 'I' && is_upper(next)) // an initial
            return true;
        static constexpr std::string_view never[] = {"Dr", "Gen", "Gov",  "Hon", "Messrs", "Mr",  "Mrs",
                                                     "Ms", "Mx",  "Prof", "Rep", "Rev",    "Sen", "St",
                                                     "cf", "e.g", "eg",   "i.e", "ie",     "viz", "vs"};
        if (std::ranges::find(never, word) != std::end(never))
            return true;
        static constexpr std::string_view before_number[] = {"Ch",  "Eq",  "Fig", "No", "Nos", "Sec",
                                                             "Vol", "art", "ca",  "ch", "eq",  "fig",
                                                             "no",  "nos", "p",   "pp", "sec", "vol"};
        if (is_digit(next) && std::ranges::find(before_number, word) != std::end(before_number))
            return true;
        // The number of a list item, alone at the beginning.
        return word.size() + 1 == before.size() && word.size() <= 3 && std::ranges::all_of(word, is_digit);
    }

public:
    /// \throws unsupported_error if ICU lacks its data for English
    explicit sentence_splitter(sentence_options options = {}) : options_{options} {
        auto code = U_ZERO_ERROR;
        auto const english = icu::Locale::getUS();
        std::unique_ptr<icu::BreakIterator> plain{icu::BreakIterator::createSentenceInstance(english, code)};
        check(code, "make an iterator over sentences");
        std::unique_ptr<icu::FilteredBreakIteratorBuilder> const builder{
            icu::FilteredBreakIteratorBuilder::createInstance(english, code)};
        check(code, "read its abbreviations");
        breaks_.reset(builder->build(plain.release(), code)); // takes it over, also if it fails
        check(code, "make an iterator over sentences");
    }

    /// The sentences of a text, in order; none of a text of white space. Letters and digits of every sentence are those
    /// of the text: concatenated they lack white space only. O(bytes).
    /// \throws format_error if the text is not UTF-8 or has 2^31 bytes or more
    std::vector<sentence_span> operator()(std::string_view text) {
        if (auto const at = first_not_utf8(text))
            throw format_error{"text: found a byte at " + std::to_string(*at) + " that is not UTF-8, expected UTF-8"};
        if (text.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
            throw format_error{"text: found " + std::to_string(text.size()) + " bytes, expected less than 2^31"};
        std::string flat(text); // with lines joined: to ICU every line break ends a sentence
        for (std::size_t i = 0; !options_.lines_are_sentences && i < flat.size(); ++i) {
            if (flat[i] != '\n' && flat[i] != '\r')
                continue;
            auto end = i;
            std::size_t lines = 0;
            for (; end != flat.size() && is_space(flat[end]); ++end)
                lines +=
                    flat[end] == '\n' || (flat[end] == '\r' && !std::string_view{flat}.substr(end).starts_with("\r\n"));
            if (lines < 2)
                std::fill(flat.begin() + static_cast<std::ptrdiff_t>(i),
                          flat.begin() + static_cast<std::ptrdiff_t>(end), ' ');
            i = end;
        }
        std::vector<sentence_span> all;
        auto code = U_ZERO_ERROR;
        std::unique_ptr<UText, decltype(&utext_close)> const view{
            utext_openUTF8(nullptr, flat.data(), static_cast<std::int64_t>(flat.size()), &code), &utext_close};
        check(code, "read the text");
        breaks_->setText(view.get(), code);
        check(code, "read the text");
        auto first = breaks_->first();
        bool joined = false; // the piece goes on with the last sentence
        for (auto last = breaks_->next(); last != icu::BreakIterator::DONE; first = last, last = breaks_->next()) {
            auto begin = static_cast<std::size_t>(first), end = static_cast<std::size_t>(last);
            bool const paragraph = std::string_view{flat}.substr(begin, end - begin).find_first_of("\n\r") != flat.npos;
            while (begin != end && is_space(flat[begin]))
                ++begin;
            while (begin != end && is_space(flat[end - 1]))
                --end;
            if (begin != end) {
                if (joined && !all.empty())
                    all.back().length = end - all.back().first;
                else
                    all.push_back({begin, end - begin});
                auto const next = std::string_view{flat}.find_first_not_of(" \t\n\v\f\r", end);
                joined = !paragraph && next != flat.npos
                         && goes_on(all.back().of(flat), std::string_view{flat}.substr(next));
            } else if (paragraph)
                joined = false;
        }
        return all;
    }
};

} // namespace io
LATHE_NAMESPACE_END
