#pragma once
/// \file  Aggregates as data: the names, help texts and values of their fields, and the names of enumerators.
///
/// An option struct is described once, beside BOOST_HANA_ADAPT_STRUCT (which must stand at global scope):
///
///     BOOST_HANA_ADAPT_STRUCT(lathe::merge::linear_options, weights, normalize);
///     template <> inline constexpr auto lathe::reflect::help<lathe::merge::linear_options> =
///         lathe::reflect::help_table({{"weights", "..."}, {"normalize", "..."}});
///
/// and appears with that in JSON, in the flags of the program, in its help and in the reference pages. A field that is
/// forgotten in either list does not compile. Results are adapted too, but need no help texts.
#include <lathe/config.hpp>

#include <boost/hana/accessors.hpp>
#include <boost/hana/adapt_struct.hpp>
#include <boost/hana/concept/struct.hpp>
#include <boost/hana/first.hpp>
#include <boost/hana/second.hpp>
#include <boost/hana/unpack.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

LATHE_NAMESPACE_BEGIN
namespace reflect {

/// One field of an option struct, in words. The text is one sentence without capital and full stop.
struct field_help {
    /// As the struct has it.
    std::string_view name, text; ///< what it governs, for the program's help and the reference of its commands
};
/// The array of the fields in braces: what help is initialised with.
template <std::size_t N> constexpr std::array<field_help, N> help_table(field_help const (&fields)[N]) {
    return std::to_array(fields);
}
/// The help texts of an option struct; specialised beside BOOST_HANA_ADAPT_STRUCT.
template <class Options> inline constexpr std::array<field_help, 0> help{};

/// Converts to the type of any field but an optional, which std::nullopt initialises; for counting. Never called: the
/// body is there because clang wants one for types without linkage.
struct any_field {
    /// Whatever the field is.
    template <class T> operator T() const { throw "any_field"; }
};
/// How many fields an aggregate has: as many as can be initialised.
template <class T, class... Known> consteval std::size_t field_count() {
    if constexpr (requires { T{std::declval<Known>()..., std::declval<any_field>()}; })
        return field_count<T, Known..., any_field>();
    else if constexpr (requires { T{std::declval<Known>()..., std::declval<std::nullopt_t>()}; })
        return field_count<T, Known..., std::nullopt_t>();
    else
        return sizeof...(Known);
}
/// How many fields BOOST_HANA_ADAPT_STRUCT lists.
template <class T> consteval std::size_t adapted_count() {
    return boost::hana::unpack(boost::hana::accessors<T>(), [](auto const &... field) { return sizeof...(field); });
}

/// An aggregate whose fields are known by name.
template <class T>
concept reflected = std::is_aggregate_v<T> && boost::hana::Struct<T>::value;

/// Calls f(name, pointer to function that gives the field of a value) for every field of T, in order.
template <reflected T, class F> constexpr void for_each_accessor(F && f) {
    static_assert(adapted_count<T>() == field_count<T>(),
                  "BOOST_HANA_ADAPT_STRUCT does not list every field of this struct");
    boost::hana::unpack(boost::hana::accessors<T>(), [&](auto const &... field) {
        (f(std::string_view{boost::hana::first(field).c_str()}, boost::hana::second(field)), ...);
    });
}
/// Calls f(name, field) for every field of a value, in order.
template <class T, class F>
    requires reflected<std::remove_const_t<T>>
constexpr void for_each_field(T & value, F && f) {
    for_each_accessor<std::remove_const_t<T>>([&](std::string_view name, auto const & get) { f(name, get(value)); });
}

/// Whether help<T> has a text for every field of T, in the same order, and nothing else.
template <reflected T> consteval bool documented() {
    std::size_t i = 0;
    bool same = help<T>.size() == adapted_count<T>();
    for_each_accessor<T>([&](std::string_view name, auto const &) {
        same = same && i < help<T>.size() && help<T>[i].name == name && !help<T>[i].text.empty();
        ++i;
    });
    return same;
}
/// An aggregate that is reflected with a help text for every field.
template <class T>
concept documented_options = reflected<T> && documented<T>();

/// An enumeration whose enumerators are 0, 1, 2, ... without a gap: the choices of an option.
template <class E>
concept choice = std::is_enum_v<E> && requires { E{0}; };

/// How the compiler spells an enumerator, without its scope; empty if no enumerator has the value.
template <auto Value> consteval std::string_view enumerator_name() {
    std::string_view s =
        __PRETTY_FUNCTION__; // g++: "... [with auto Value = a::b::c; ...]", clang: "... [Value = a::b::c]"
    s.remove_prefix(s.find("Value = ") + 8);
    s = s.substr(0, s.find_first_of(";]"));
    if (auto const scope = s.find_last_of(":)"); scope != std::string_view::npos) // "(a::b)3" where 3 has no name
        s.remove_prefix(scope + 1);
    return s.front() >= '0' && s.front() <= '9' ? std::string_view{} : s;
}
/// How many enumerators there are from the N-th on, and N more: the first number without a name.
template <choice E, std::size_t N = 0> consteval std::size_t enumerator_count() {
    if constexpr (enumerator_name<E{N}>().empty())
        return N;
    else
        return enumerator_count<E, N + 1>();
}
/// The names of the enumerators; enumerators<E>[i] is that of the value i.
template <choice E>
inline constexpr auto enumerators = []<std::size_t... I>(std::index_sequence<I...>) {
    return std::array<std::string_view, sizeof...(I)>{enumerator_name<E{I}>()...};
}(std::make_index_sequence<enumerator_count<E>()>());

/// The name of an enumerator.
template <choice E> constexpr std::string_view name_of(E e) {
    auto const i = static_cast<std::size_t>(e);
    return i < enumerators<E>.size() ? enumerators<E>[i] : std::string_view{};
}
/// The enumerator of that name, if there is one.
template <choice E> constexpr std::optional<E> enumerator_named(std::string_view name) {
    for (std::size_t i = 0; i != enumerators<E>.size(); ++i)
        if (enumerators<E>[i] == name)
            return static_cast<E>(i);
    return std::nullopt;
}

} // namespace reflect
LATHE_NAMESPACE_END
