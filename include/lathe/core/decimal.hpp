#pragma once
/// \file  Numbers as people and files write them.
#include <lathe/config.hpp>

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include <locale.h>
#if defined __APPLE__
#    include <xlocale.h>
#endif

LATHE_NAMESPACE_BEGIN

/// The double nearest to a text that is a decimal number and nothing else: -1, 0.5, .5, 2., 1e-3. In every locale the
/// point is a point. Nothing for a space, a plus, hexadecimal digits, infinity and NaN, and for what is larger than any
/// double; zero, with its sign, for what is too small. Not std::from_chars: libc++ has that from version 20 on, and it
/// does not tell too large from too small.
[[nodiscard]] inline std::optional<double> parse_decimal(std::string_view text) {
    auto const at = [&](std::size_t i) { return i < text.size() ? text[i] : '\0'; };
    std::size_t i = at(0) == '-' ? 1 : 0;
    auto const digits = [&] {
        auto const first = i;
        while (at(i) >= '0' && at(i) <= '9')
            ++i;
        return i - first;
    };
    auto count = digits();
    if (at(i) == '.') {
        ++i;
        count += digits();
    }
    if (count == 0)
        return std::nullopt;
    if (at(i) == 'e' || at(i) == 'E') {
        ++i;
        if (at(i) == '+' || at(i) == '-')
            ++i;
        if (digits() == 0)
            return std::nullopt;
    }
    if (i != text.size())
        return std::nullopt;
    static ::locale_t const c = ::newlocale(LC_ALL_MASK, "C", nullptr);
    auto const value = ::strtod_l(std::string{text}.c_str(), nullptr, c);
    return std::isfinite(value) ? std::optional{value} : std::nullopt;
}

LATHE_NAMESPACE_END
