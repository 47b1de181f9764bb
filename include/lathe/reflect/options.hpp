#pragma once
/// \file  Option structs and results as JSON, and descriptions of options for programs and documents.
#include <lathe/core/decimal.hpp>
#include <lathe/core/error.hpp>
#include <lathe/reflect/fields.hpp>
#include <lathe/reflect/suggest.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>
#include <map>
#include <ranges>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace reflect {

/// Keeps the order of the fields.
using json = nlohmann::ordered_json;

/// What a field is to a program that makes flags of fields.
enum class field_kind : unsigned char {
    number,  ///< that may have a fraction
    integer, ///< not negative
    boolean, ///< true or false
    choice,  ///< an enumerator
    text,    ///< as it is typed
    list,    ///< values between commas, or JSON
    group,   ///< an option struct inside the struct: a flag for each of its fields
    other    ///< what its codec takes: JSON, or a notation of its own
};

/// One field of an option struct, with everything a person may ask about it.
struct field_description {
    /// As the struct has it.
    std::string_view name, text;           ///< its help text
    field_kind kind;                       ///< what it is to flags
    std::string type;                      ///< in words: "number", "list of numbers", "strict|keep_base|intersect"
    json value;                            ///< the default; null where it is unset
    std::vector<field_description> fields; ///< of a group: an option struct inside the struct
    json (*parse)(std::string_view);       ///< what a person types, as JSON; from_json judges it
    /// A value of the field, read and written again: with all fields of groups and numbers in their type; null stays.
    /// \throws option_error that begins with the path given
    json (*complete)(json const &, std::string_view path);
};

template <documented_options Options> std::vector<field_description> describe(Options const & defaults = {});

/// A value for messages: JSON, cut where it gets long.
inline std::string shown(json const & value) {
    auto s = value.dump(-1, ' ', false, json::error_handler_t::replace);
    return s.size() <= 60 ? s : s.substr(0, 57) + "...";
}
/// \throws option_error that says what was found at the path, and what was expected there
[[noreturn]] inline void reject(std::string_view path, json const & found, std::string_view expected) {
    throw option_error{
        std::string{path}.append(": found ").append(shown(found)).append(", expected ").append(expected)};
}

/// How a type of field is written, read and typed. Specialise it for a type of your own:
/// - `kind`: its field_kind;
/// - `type()`: what it is in words, for people;
/// - `write(value)`: as JSON;
/// - `read(json, value, path)`: from JSON; throws option_error that begins with the path of the option;
/// - `parse(text)`: what a person types as the value of a flag, as JSON, which read() judges.
template <class T> struct codec;

/// JSON if the text is that, in at most 64 levels (copying and writing it recurse), else the text as a string, which
/// `read` will not take for a number.
inline json parse_json(std::string_view text) {
    bool deep = false;
    auto j = json::parse(text, [&](int depth, json::parse_event_t event, json &) {
        using enum json::parse_event_t;
        deep = deep || (depth >= 64 && (event == array_start || event == object_start)); // depth: of what is around it
        return !deep;
    }, false);
    return deep || j.is_discarded() ? json(std::string{text}) : j;
}

/// Numbers with a fraction. What is not finite is null as JSON; a flag takes finite ones only.
template <class T>
    requires std::floating_point<T>
struct codec<T> {
    /// A number.
    static constexpr auto kind = field_kind::number;
    /// In words.
    static std::string type() { return "number"; }
    /// A number.
    static json write(T const & v) { return v; }
    /// \throws option_error for anything but a number
    static void read(json const & j, T & v, std::string_view path) {
        if (!j.is_number())
            reject(path, j, "a number");
        v = j.get<T>();
    }
    /// A finite number; other text is passed on as a string, for read() to reject.
    static json parse(std::string_view text) {
        auto const v = parse_decimal(text);
        return v ? json(*v) : json(std::string{text});
    }
};

/// Integers that are not negative. As JSON they may be written as 1e6 or 20.0, too, up to 2^53.
template <class T>
    requires(std::unsigned_integral<T> && !std::same_as<T, bool>)
struct codec<T> {
    /// An integer.
    static constexpr auto kind = field_kind::integer;
    /// In words.
    static std::string type() { return "integer"; }
    /// A number.
    static json write(T const & v) { return v; }
    /// \throws option_error for anything but a whole number from 0 to the largest of the type
    static void read(json const & j, T & v, std::string_view path) {
        auto const limit = std::numeric_limits<T>::max();
        if (j.is_number_unsigned() && j.get<std::uint64_t>() <= limit)
            v = static_cast<T>(j.get<std::uint64_t>());
        else if (auto const d = j.is_number_float() ? j.get<double>() : -1.0;
                 d >= 0 && d == std::floor(d) && d <= 0x1p53 && d <= static_cast<double>(limit))
            v = static_cast<T>(d); // 1e6, and 20.0 of a writer that knows only doubles
        else
            reject(path, j, "an integer from 0 to " + std::to_string(limit));
    }
    /// JSON, or a string where it is none.
    static json parse(std::string_view text) { return parse_json(text); }
};

/// True and false, by these words.
template <> struct codec<bool> {
    ///@{
    /// As codec has it.
    static constexpr auto kind = field_kind::boolean;
    static std::string type() { return "true|false"; }
    static json write(bool v) { return v; }
    static void read(json const & j, bool & v, std::string_view path) {
        if (!j.is_boolean())
            reject(path, j, "true or false");
        v = j.get<bool>();
    }
    static json parse(std::string_view text) { return parse_json(text); }
    ///@}
};

/// Text, typed as it is.
template <> struct codec<std::string> {
    ///@{
    /// As codec has it.
    static constexpr auto kind = field_kind::text;
    static std::string type() { return "text"; }
    static json write(std::string const & v) { return v; }
    static void read(json const & j, std::string & v, std::string_view path) {
        if (!j.is_string())
            reject(path, j, "a string");
        v = j.get<std::string>();
    }
    static json parse(std::string_view text) { return std::string{text}; }
    ///@}
};

/// Enumerators, by their names.
template <choice E> struct codec<E> {
    ///@{
    /// As codec has it.
    static constexpr auto kind = field_kind::choice;
    static std::string type() {
        std::string s;
        for (auto const name : enumerators<E>)
            s.append(s.empty() ? "" : "|").append(name);
        return s;
    }
    static json write(E v) { return std::string{name_of(v)}; }
    static void read(json const & j, E & v, std::string_view path) {
        auto const found = j.is_string() ? enumerator_named<E>(j.get_ref<std::string const &>()) : std::nullopt;
        if (!found)
            reject(path, j, "one of " + type());
        v = *found;
    }
    static json parse(std::string_view text) { return std::string{text}; }
    ///@}
};

/// A value or none, which is null as JSON. read() is not asked about null: read_fields sees to it.
template <class T> struct codec<std::optional<T>> {
    ///@{
    /// As codec has it.
    static constexpr auto kind = codec<T>::kind;
    static std::string type() { return codec<T>::type(); }
    static json write(std::optional<T> const & v) { return v ? codec<T>::write(*v) : json(nullptr); }
    static void read(json const & j, std::optional<T> & v, std::string_view path) {
        T value{};
        if (v)
            value = *v; // of a group, fields that j does not give stay
        codec<T>::read(j, value, path);
        v = std::move(value);
    }
    static json parse(std::string_view text) { return codec<T>::parse(text); }
    ///@}
};

/// Lists. What is read takes the place of the whole list.
template <class T> struct codec<std::vector<T>> {
    ///@{
    /// As codec has it.
    static constexpr auto kind = field_kind::list;
    static std::string type() {
        auto const element = codec<T>::type();
        return "list of " + (element == "number" || element == "integer" ? element + "s" : element);
    }
    static json write(std::vector<T> const & v) {
        auto j = json::array();
        for (auto const & e : v)
            j.push_back(codec<T>::write(e));
        return j;
    }
    static void read(json const & j, std::vector<T> & v, std::string_view path) {
        if (!j.is_array())
            reject(path, j, "a " + type());
        std::vector<T> values(j.size());
        for (std::size_t i = 0; i != j.size(); ++i) {
            T value{};
            codec<T>::read(j[i], value, std::string{path} + "[" + std::to_string(i) + "]");
            values[i] = std::move(value);
        }
        v = std::move(values);
    }
    ///@}
    /// A JSON list, or values between commas; of texts, which may hold commas, one.
    static json parse(std::string_view text) {
        if (text.starts_with('['))
            return parse_json(text);
        auto j = json::array();
        if constexpr (std::same_as<T, std::string>) {
            j.push_back(std::string{text});
            return j;
        }
        while (!text.empty()) {
            auto const comma = std::min(text.find(','), text.size());
            auto const first = std::min(text.find_first_not_of(' '), comma);
            j.push_back(codec<T>::parse(text.substr(first, comma - first)));
            text.remove_prefix(std::min(comma + 1, text.size()));
        }
        return j;
    }
};

/// Of results only.
template <class T, std::size_t N> struct codec<std::array<T, N>> {
    /// As codec has it.
    static json write(std::array<T, N> const & v) {
        auto j = json::array();
        for (auto const & e : v)
            j.push_back(codec<T>::write(e));
        return j;
    }
};

/// Values by name. What is read takes the place of all of them.
template <class T> struct codec<std::map<std::string, T>> {
    ///@{
    /// As codec has it.
    static constexpr auto kind = field_kind::other;
    static std::string type() { return "JSON object, name to " + codec<T>::type(); }
    static json write(std::map<std::string, T> const & v) {
        auto j = json::object();
        for (auto const & [name, e] : v)
            j[name] = codec<T>::write(e);
        return j;
    }
    static void read(json const & j, std::map<std::string, T> & v, std::string_view path) {
        if (!j.is_object())
            reject(path, j, "an object, name to " + codec<T>::type());
        std::map<std::string, T> values;
        for (auto const & [name, e] : j.items())
            codec<T>::read(e, values[name], std::string{path} + "['" + name + "']");
        v = std::move(values);
    }
    static json parse(std::string_view text) { return parse_json(text); }
    ///@}
};

/// Whether a field may be unset.
template <class T> inline constexpr bool is_optional = false;
template <class T> inline constexpr bool is_optional<std::optional<T>> = true;

/// The fields that an object gives; the others keep their values. Null makes an optional field unset and leaves any
/// other.
/// \throws option_error naming the option, what was found and what was expected; of an unknown key with the nearest
/// known one
template <reflected T> void read_fields(json const & j, T & value, std::string_view path) {
    if (!j.is_object())
        reject(path.empty() ? "options" : path, j, "an object");
    std::vector<std::string_view> known;
    for_each_field(value, [&](std::string_view name, auto &) { known.push_back(name); });
    auto const prefix = path.empty() ? std::string{} : std::string{path} + ".";
    for (auto const & [key, unused] : j.items())
        if (std::ranges::find(known, std::string_view{key}) == known.end())
            throw option_error{prefix + key + ": unknown option; " + suggestion(key, known)};
    for_each_field(value, [&]<class F>(std::string_view name, F & field) {
        auto const at = j.find(std::string{name});
        if (at == j.end())
            return;
        if (!at->is_null())
            codec<F>::read(*at, field, prefix + std::string{name});
        else if constexpr (is_optional<F>)
            field.reset();
    });
}

/// An option struct inside another, or a result: an object. What is read changes the fields it names: read_fields.
template <reflected T> struct codec<T> {
    /// A group of fields.
    static constexpr auto kind = field_kind::group;
    /// In words.
    static std::string type() { return "JSON object"; }
    /// An object with every field, in order.
    static json write(T const & v) {
        auto j = json::object();
        for_each_field(
            v, [&]<class F>(std::string_view name, F const & field) { j[std::string{name}] = codec<F>::write(field); });
        return j;
    }
    /// \throws option_error: read_fields
    static void read(json const & j, T & v, std::string_view path) { read_fields(j, v, path); }
    /// JSON, or a string where it is none.
    static json parse(std::string_view text) { return parse_json(text); }
};

/// Options or a result as an object with all fields in their order; what is unset, and what is not finite, is null.
template <reflected T> json to_json(T const & value) { return codec<T>::write(value); }

/// Options from an object: see read_fields. `value` is untouched if it throws.
template <reflected T> void from_json(json const & j, T & value) {
    auto changed = value;
    read_fields(j, changed, {});
    value = std::move(changed);
}
/// The default options, changed by an object: see read_fields. \throws option_error
template <reflected T> T options_from(json const & j) {
    T value{};
    from_json(j, value);
    return value;
}

/// The type of the value that a field may hold.
template <class T> struct without_optional {
    using type = T; ///< the field's own
};
/// Of a field that may be unset.
template <class T> struct without_optional<std::optional<T>> {
    using type = T; ///< what the optional holds
};

/// The fields of an option struct in order, each with its help text, its type and its default.
template <documented_options Options> std::vector<field_description> describe(Options const & defaults) {
    std::vector<field_description> all;
    for_each_field(defaults, [&]<class F>(std::string_view name, F const & field) {
        using value = typename without_optional<F>::type;
        std::vector<field_description> inner;
        if constexpr (reflected<value>)
            inner = describe<value>();
        all.push_back({name, help<Options>[all.size()].text, codec<F>::kind, codec<F>::type(), codec<F>::write(field),
                       std::move(inner), &codec<F>::parse, [](json const & given, std::string_view path) {
            F read{};
            if (given.is_null())
                return given;
            codec<F>::read(given, read, path);
            return codec<F>::write(read);
        }});
    });
    return all;
}

} // namespace reflect
LATHE_NAMESPACE_END
