#pragma once
/// \file  Text as UTF-8: how long a character is, which one it is, and where a text is not UTF-8.
#include <lathe/config.hpp>

#include <cstddef>
#include <optional>
#include <string_view>

LATHE_NAMESPACE_BEGIN

/// Bytes of the first character of `text`; 0 if it is not well-formed UTF-8 (Unicode, table 3-7: no surrogates, no
/// overlong forms) or there is none.
constexpr std::size_t utf8_length(std::string_view text) noexcept {
    auto const byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    auto const lead = byte(0);
    if (lead < 0x80u)
        return text.empty() ? 0 : 1;
    std::size_t const length = lead >= 0xf0u ? 4 : lead >= 0xe0u ? 3 : 2;
    unsigned const low = lead == 0xe0u ? 0xa0u : lead == 0xf0u ? 0x90u : 0x80u;
    unsigned const high = lead == 0xedu ? 0x9fu : lead == 0xf4u ? 0x8fu : 0xbfu;
    if (lead < 0xc2u || lead > 0xf4u || byte(1) < low || byte(1) > high)
        return 0;
    for (std::size_t k = 2; k < length; ++k)
        if ((byte(k) & 0xc0u) != 0x80u)
            return 0;
    return length;
}

/// Position of the first byte that is not part of well-formed UTF-8.
constexpr std::optional<std::size_t> first_not_utf8(std::string_view text) noexcept {
    for (std::size_t i = 0, length = 0; i != text.size(); i += length)
        if (length = utf8_length(text.substr(i)); length == 0)
            return i;
    return std::nullopt;
}

/// A character of a text and how many bytes it takes.
struct utf8_character {
    /// The code of a byte that is not part of well-formed UTF-8: no character has it.
    static constexpr char32_t invalid = 0xffffffffu;
    char32_t code;      ///< of Unicode, or `invalid`
    std::size_t length; ///< in bytes
};

/// The first character of `text`, which is not empty; a byte that is not part of well-formed UTF-8 counts as one.
constexpr utf8_character first_character(std::string_view text) noexcept {
    auto const byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
    switch (utf8_length(text)) {
    case 1: return {byte(0), 1};
    case 2: return {(byte(0) & 0x1fu) << 6 | (byte(1) & 0x3fu), 2};
    case 3: return {(byte(0) & 0x0fu) << 12 | (byte(1) & 0x3fu) << 6 | (byte(2) & 0x3fu), 3};
    case 4: return {(byte(0) & 0x07u) << 18 | (byte(1) & 0x3fu) << 12 | (byte(2) & 0x3fu) << 6 | (byte(3) & 0x3fu), 4};
    default: return {utf8_character::invalid, 1};
    }
}
/// The last character of `text`, which is not empty. Reading forward and backward cut a text the same way.
constexpr utf8_character last_character(std::string_view text) noexcept {
    for (std::size_t length = 1; length <= 4 && length <= text.size(); ++length)
        if (auto const c = first_character(text.substr(text.size() - length));
            c.length == length && c.code != utf8_character::invalid)
            return c;
    return {utf8_character::invalid, 1};
}

LATHE_NAMESPACE_END
