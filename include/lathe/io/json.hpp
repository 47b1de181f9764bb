#pragma once
/// \file  Strict reading of JSON from files that may be hostile: UTF-8 checked, nesting bounded, no tree in memory.
#include <lathe/core/error.hpp>
#include <lathe/core/utf8.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

LATHE_NAMESPACE_BEGIN
namespace io {

using lathe::first_not_utf8;
using lathe::utf8_length;

/// Whether a character shows as itself in a line of a terminal: no control character of either set (C0, C1), no mark
/// that turns the direction of what follows or ends the line, none that cannot be seen.
constexpr bool is_plain(char32_t c) noexcept {
    struct range {
        char32_t first, last;
    };
    constexpr range hidden[] = {
        {0, 0x1f},        {0x7f, 0x9f},     {0xad, 0xad},      {0x61c, 0x61c},   // soft hyphen, Arabic letter mark
        {0x200b, 0x200b}, {0x200e, 0x200f}, {0x2028, 0x202e},  {0x2060, 0x206f}, // not the joiners, which scripts need
        {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f}};
    for (auto const & [first, last] : hidden)
        if (c >= first && c <= last)
            return false;
    return c != utf8_character::invalid;
}

/// Text from a file for use in a one-line message: bytes of what is not UTF-8, or not plain, as `\xNN`, cut at about
/// `limit` bytes.
inline std::string printable(std::string_view text, std::size_t limit = 120) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    while (!text.empty()) {
        if (out.size() >= limit)
            return out + "...";
        auto const [code, length] = first_character(text);
        bool const shown = is_plain(code);
        for (auto const c : text.substr(0, length)) {
            auto const byte = static_cast<unsigned char>(c);
            if (shown)
                out.push_back(c);
            else
                out.append("\\x").append(1, digits[byte >> 4]).append(1, digits[byte & 15u]);
        }
        text.remove_prefix(length);
    }
    return out;
}

/// "<file>: <rule>: found <found>, expected <expected>". \throws format_error always
[[noreturn]] inline void reject(std::string_view file, std::string_view rule, std::string_view found,
                                std::string_view expected) {
    throw format_error{std::string{file}
                           .append(": ")
                           .append(rule)
                           .append(": found ")
                           .append(found)
                           .append(", expected ")
                           .append(expected)};
}

/// The text as a JSON string, quotes included. The text must be UTF-8.
inline std::string json_string(std::string_view text) { return nlohmann::json(text).dump(); }

/// What readers of headers derive from. nlohmann's parser reports its events here; a value nobody asked for is passed
/// over whatever it holds; what remains goes to the virtual functions, each of which may throw.
///
/// Memory: what the reader keeps, plus one token. (Virtual, so that the parser is compiled once for all readers.)
class json_events {
    static constexpr std::size_t max_depth = 16;
    std::size_t depth_ = 0, skipped_ = 0; ///< containers open; how many of them inside a value that is passed over

    bool open(std::string_view kind) {
        if (++depth_ > max_depth)
            reject(label_, "nesting of JSON", "more than " + std::to_string(max_depth) + " levels", "at most 3");
        if (skipped_ != 0 || !on_open(kind))
            ++skipped_;
        return true;
    }
    bool close() {
        --depth_;
        if (skipped_ != 0)
            --skipped_;
        else
            on_close();
        return true;
    }
    bool other(std::string_view kind, std::string const & written) {
        if (skipped_ == 0)
            on_other(kind, written);
        return true;
    }

protected:
    std::string_view label_; ///< what messages call the file

    /// \param label what messages call the file; it has to outlive the reader
    explicit json_events(std::string_view label) : label_{label} {}
    /// A reader may be copied, with what it has read so far.
    ///@{
    json_events(json_events const &) = default;
    json_events & operator=(json_events const &) = default;
    ///@}
    ~json_events() = default;

    /// Containers open around the current event.
    [[nodiscard]] std::size_t depth() const noexcept { return depth_; }
    /// An object or array begins; depth() includes it. False passes it over.
    virtual bool on_open(std::string_view kind) = 0;
    /// One that was not passed over has ended; depth() no longer includes it.
    virtual void on_close() = 0;
    /// A key; it may be moved from.
    virtual void on_key(std::string & text) = 0;
    /// A string; it may be moved from.
    virtual void on_string(std::string & text) = 0;
    /// A whole number from 0 to 2^64 - 1.
    virtual void on_unsigned(std::uint64_t n) = 0;
    /// null, a boolean, or another number, as it is written.
    virtual void on_other(std::string_view kind, std::string const & written) = 0;

public:
    /// What nlohmann's parser calls, event by event. True goes on; what is wrong is thrown.
    ///@{
    bool null() { return other("null", "null"); }
    bool boolean(bool b) { return other("boolean", b ? "true" : "false"); }
    bool number_integer(std::int64_t n) { return other("number", std::to_string(n)); }
    bool number_float(double, std::string const & written) { return other("number", written); }
    bool number_unsigned(std::uint64_t n) {
        if (skipped_ == 0)
            on_unsigned(n);
        return true;
    }
    bool string(std::string & s) {
        if (skipped_ == 0)
            on_string(s);
        return true;
    }
    bool key(std::string & k) {
        if (skipped_ == 0)
            on_key(k);
        return true;
    }
    bool binary(nlohmann::json::binary_t &) { return false; } // JSON text has none
    bool start_object(std::size_t) { return open("object"); }
    bool end_object() { return close(); }
    bool start_array(std::size_t) { return open("array"); }
    bool end_array() { return close(); }
    bool parse_error(std::size_t, std::string const &, nlohmann::json::exception const & e) {
        std::string_view what = e.what(); // "[json.exception.parse_error.101] parse error at line 1, column 9: ..."
        if (auto const tag = what.find("] "); tag != what.npos)
            what.remove_prefix(tag + 2);
        throw format_error{std::string{label_}.append(": JSON: ").append(printable(what, 300))};
    }
    ///@}
};

/// Feeds `text`, one JSON object and nothing else but white space, to the reader. \throws format_error
inline void read_json(std::string_view text, std::string_view label, json_events & reader) {
    if (auto const at = first_not_utf8(text))
        reject(label, "encoding", "a byte at " + std::to_string(*at) + " of the JSON text that is not UTF-8", "UTF-8");
    if (auto const at = text.find('\0'); at != text.npos) // for nlohmann's lexer the text would end there
        reject(label, "JSON", "a zero byte at " + std::to_string(at), "text");
    if (text.empty() || text.front() != '{')
        reject(label, "JSON", text.empty() ? "no text" : "text that starts with '" + printable(text.substr(0, 1)) + "'",
               "an object, '{' first");
    nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &reader);
}

} // namespace io
LATHE_NAMESPACE_END
