#pragma once
/// \file  Strict reading of JSON from files that may be hostile: UTF-8 checked, nesting bounded, no tree in memory.
#include <lathe/core/error.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

LATHE_NAMESPACE_BEGIN
namespace io {

/// Text from a file for use in a one-line message: control characters as \xNN, cut at about `limit` bytes.
inline std::string printable(std::string_view text, std::size_t limit = 120) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    for (std::size_t i = 0; i != text.size(); ++i) {
        auto const c = static_cast<unsigned char>(text[i]);
        bool const continues = (c & 0xc0u) == 0x80u;
        if (out.size() >= limit && !continues)
            return out + "...";
        bool const c1_control = c == 0xc2u && i + 1 != text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0u;
        bool const after_c1 = continues && c < 0xa0u && i != 0 && static_cast<unsigned char>(text[i - 1]) == 0xc2u;
        if (c < 0x20u || c == 0x7fu || c1_control || after_c1)
            out.append("\\x").append(1, digits[c >> 4]).append(1, digits[c & 15u]);
        else
            out.push_back(static_cast<char>(c));
    }
    return out;
}

/// Position of the first byte that is not part of well-formed UTF-8 (Unicode, table 3-7: no surrogates, no overlong
/// forms).
constexpr std::optional<std::size_t> first_not_utf8(std::string_view text) noexcept {
    auto const byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    for (std::size_t i = 0; i < text.size();) {
        auto const lead = byte(i);
        if (lead < 0x80u) {
            ++i;
            continue;
        }
        std::size_t const length = lead >= 0xf0u ? 4 : lead >= 0xe0u ? 3 : 2;
        unsigned const low = lead == 0xe0u ? 0xa0u : lead == 0xf0u ? 0x90u : 0x80u;
        unsigned const high = lead == 0xedu ? 0x9fu : lead == 0xf4u ? 0x8fu : 0xbfu;
        if (lead < 0xc2u || lead > 0xf4u || byte(i + 1) < low || byte(i + 1) > high)
            return i;
        for (std::size_t k = 2; k < length; ++k)
            if ((byte(i + k) & 0xc0u) != 0x80u)
                return i;
        i += length;
    }
    return std::nullopt;
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

/// What readers of headers share. nlohmann's parser reports events; a value nobody asked for is passed over whatever it
/// holds; what remains goes to the Reader that derives:
///   bool on_open(kind)        an object or array begins, depth() includes it; false passes it over
///   void on_close()           it has ended, depth() no longer includes it
///   void on_key(text)         a key; the text may be moved from
///   void on_string(text), on_unsigned(n), on_other(kind, as written)   scalars
/// Each may throw. Memory: what the Reader keeps, plus one token.
template <class Reader> class json_events {
    static constexpr std::size_t max_depth = 16;
    std::size_t depth_ = 0, skipped_ = 0; ///< containers open; how many of them inside a value that is passed over

    Reader & self() noexcept { return static_cast<Reader &>(*this); }
    bool open(std::string_view kind) {
        if (++depth_ > max_depth)
            reject(label_, "nesting of JSON", "more than " + std::to_string(max_depth) + " levels", "at most 3");
        if (skipped_ != 0 || !self().on_open(kind))
            ++skipped_;
        return true;
    }
    bool close() {
        --depth_;
        if (skipped_ != 0)
            --skipped_;
        else
            self().on_close();
        return true;
    }
    bool other(std::string_view kind, std::string const & written) {
        if (skipped_ == 0)
            self().on_other(kind, written);
        return true;
    }

protected:
    std::string_view label_; ///< what messages call the file

    explicit json_events(std::string_view label) : label_{label} {}
    /// Containers open around the current event.
    [[nodiscard]] std::size_t depth() const noexcept { return depth_; }

public:
    bool null() { return other("null", "null"); }
    bool boolean(bool b) { return other("boolean", b ? "true" : "false"); }
    bool number_integer(std::int64_t n) { return other("number", std::to_string(n)); }
    bool number_float(double, std::string const & written) { return other("number", written); }
    bool number_unsigned(std::uint64_t n) {
        if (skipped_ == 0)
            self().on_unsigned(n);
        return true;
    }
    bool string(std::string & s) {
        if (skipped_ == 0)
            self().on_string(s);
        return true;
    }
    bool key(std::string & k) {
        if (skipped_ == 0)
            self().on_key(k);
        return true;
    }
    bool binary(nlohmann::json::binary_t &) { return false; } // JSON text has none
    bool start_object(std::size_t) { return open("object"); }
    bool end_object() { return close(); }
    bool start_array(std::size_t) { return open("array"); }
    bool end_array() { return close(); }
    bool parse_error(std::size_t, std::string const &, nlohmann::detail::exception const & e) {
        std::string_view what = e.what(); // "[json.exception.parse_error.101] parse error at line 1, column 9: ..."
        if (auto const tag = what.find("] "); tag != what.npos)
            what.remove_prefix(tag + 2);
        throw format_error{std::string{label_}.append(": JSON: ").append(printable(what, 300))};
    }
};

/// Feeds `text`, one JSON object and nothing else but white space, to the reader. \throws format_error
template <class Reader> void read_json(std::string_view text, std::string_view label, Reader & reader) {
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
