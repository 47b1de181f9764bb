#pragma once
/// \file  Regular expressions for names of modules, as PEFT's configurations hold them, in bounded time and memory.
#include <lathe/io/json.hpp>

#include <regex>

LATHE_NAMESPACE_BEGIN
namespace io {

/// A regular expression that has to match a whole name (Python's re.fullmatch), of the syntax that ECMAScript and
/// Python share. Patterns come with downloaded adapters, and std::regex alone lets one of them overflow the stack, or
/// run for ever: so pattern, names and the sizes of repetitions are limited, and the search is the one that takes
/// polynomial time where the library has it (libstdc++), which knows no references to groups.
class module_pattern {
    std::string text_, what_;
    std::regex regex_;

    [[noreturn]] void refuse(std::string const & found, std::string_view expected) const {
        reject(what_, "'" + printable(text_) + "'", found, expected);
    }
    /// One inside another multiplies its time by the length of the name.
    [[nodiscard]] std::size_t lookaheads() const {
        std::size_t count = 0;
        for (auto at = text_.find("(?"); at != text_.npos; at = text_.find("(?", at + 1))
            count += at + 2 != text_.size() && (text_[at + 2] == '=' || text_[at + 2] == '!');
        return count;
    }
    /// Whether \1 to \9 stand in it: the polynomial search cannot have them, and libstdc++ lets their numbers overflow.
    [[nodiscard]] bool has_references() const {
        for (auto at = text_.find('\\'); at != text_.npos && at + 1 != text_.size(); at = text_.find('\\', at + 2))
            if (text_[at + 1] >= '1' && text_[at + 1] <= '9')
                return true;
        return false;
    }
    /// A repetition {n} is n copies of what it repeats, and the search goes as deep as there are copies.
    [[nodiscard]] std::size_t copies() const {
        std::size_t product = 1;
        for (std::size_t i = 0; i != text_.size(); ++i) {
            if (text_[i] == '\\' && i + 1 != text_.size()) {
                ++i;
                continue;
            }
            if (text_[i] != '{')
                continue;
            std::size_t number = 0, largest = 1;
            for (auto j = i + 1; j != text_.size() && text_[j] != '}'; ++j) {
                auto const digit = text_[j] >= '0' && text_[j] <= '9';
                number =
                    digit ? std::min<std::size_t>(number * 10 + static_cast<std::size_t>(text_[j] - '0'), 1 << 20) : 0;
                largest = std::max(largest, number);
            }
            product = std::min<std::size_t>(product * largest, std::size_t{1} << 30);
        }
        return product;
    }

public:
    static constexpr std::size_t max_pattern = 256, ///< characters of a pattern
        max_name = 512,                             ///< characters of a name
        max_states = 4096,  ///< of the characters of a pattern, times the copies that its repetitions make
        max_lookaheads = 3; ///< in a pattern

    /// \param what names the place of the pattern in messages \throws format_error
    module_pattern(std::string text, std::string what) : text_{std::move(text)}, what_{std::move(what)} {
        if (text_.size() > max_pattern)
            refuse(std::to_string(text_.size()) + " characters", "at most " + std::to_string(max_pattern));
        if (copies() * text_.size() > max_states)
            refuse("repetitions of more than " + std::to_string(max_states) + " characters in all", "fewer");
        if (lookaheads() > max_lookaheads)
            refuse(std::to_string(lookaheads()) + " lookaheads", "at most " + std::to_string(max_lookaheads));
        if (has_references())
            refuse("a reference to a group", "none");
        auto flags = std::regex::ECMAScript | std::regex::optimize;
#ifdef __GLIBCXX__
        flags |= std::regex_constants::__polynomial;
#endif
        try {
            regex_.assign(text_, flags);
        } catch (std::regex_error const & e) {
            refuse(e.what(), "a regular expression");
        }
    }
    /// Time: a polynomial in the lengths. \throws format_error for a name longer than max_name
    [[nodiscard]] bool matches(std::string const & module) const {
        if (module.size() > max_name)
            refuse("a name of " + std::to_string(module.size()) + " characters to match",
                   "at most " + std::to_string(max_name));
        try {
            return std::regex_match(module, regex_);
        } catch (std::regex_error const & e) {
            refuse(e.what(), "a regular expression");
        }
    }
};

} // namespace io
LATHE_NAMESPACE_END
