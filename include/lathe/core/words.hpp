#pragma once
/// \file  Words of a text: what white space separates.
#include <lathe/core/utf8.hpp>

#include <string_view>
#include <vector>

LATHE_NAMESPACE_BEGIN

/// Whether a character is white space to Python's str.split(): Unicode's White_Space and the four ASCII separators.
constexpr bool is_white_space(char32_t c) noexcept {
    return (c >= 0x09u && c <= 0x0du) || (c >= 0x1cu && c <= 0x20u) || c == 0x85u || c == 0xa0u || c == 0x1680u
           || (c >= 0x2000u && c <= 0x200au) || c == 0x2028u || c == 0x2029u || c == 0x202fu || c == 0x205fu
           || c == 0x3000u;
}

/// The words of a text, as parts of it; a byte that is not UTF-8 is part of a word. O(bytes).
inline std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    std::size_t begin = 0;
    for (std::size_t i = 0; i <= text.size();) {
        auto const c = i == text.size() ? utf8_character{U' ', 1} : first_character(text.substr(i));
        if (is_white_space(c.code)) {
            if (i != begin)
                words.push_back(text.substr(begin, i - begin));
            begin = i + c.length;
        }
        i += c.length;
    }
    return words;
}

LATHE_NAMESPACE_END
