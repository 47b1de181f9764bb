#include "compare.hpp"

#include <lathe/core/host.hpp>

#include <cmath>
#include <cstring>

namespace lathe_replay {

namespace {

std::string text(double v) { return lathe::reflect::json(v).dump(); } // shortest that reads back the same; null for NaN

/// Order of a 16-bit floating number among its neighbours: differences count units in the last place.
std::int64_t rank(std::byte const * p) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, p, sizeof bits);
    return (bits & 0x8000u) != 0 ? -static_cast<std::int64_t>(bits & 0x7fffu) : static_cast<std::int64_t>(bits);
}

std::optional<std::string> floating_difference(lathe::tensor_info const & info, std::span<std::byte const> actual,
                                               std::span<std::byte const> expected, tolerance const & t) {
    auto const n = info.count();
    std::vector<double> a(n), b(n);
    lathe::host::load(info.type, actual.data(), n, a.data());
    lathe::host::load(info.type, expected.data(), n, b.data());
    bool const short_type = lathe::size_of(info.type) == 2;
    for (std::size_t i = 0; i != n; ++i) {
        bool const same = a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]));
        auto const distance = std::abs(a[i] - b[i]);
        bool close =
            same || (std::isfinite(a[i]) && std::isfinite(b[i]) && distance <= t.atol + t.rtol * std::abs(b[i]));
        std::string detail;
        if (!same && close && short_type && t.max_ulp) {
            auto const ulp = std::abs(rank(&actual[2 * i]) - rank(&expected[2 * i]));
            close = static_cast<std::uint64_t>(ulp) <= *t.max_ulp || distance <= t.atol;
            detail = ", " + std::to_string(ulp) + " ulp apart";
        }
        if (!close)
            return "tensor '" + info.name + "'[" + std::to_string(i) + "]: found " + text(a[i]) + ", expected "
                   + text(b[i]) + detail;
    }
    return std::nullopt;
}

} // namespace

std::optional<std::string> difference(lathe::checkpoint & actual, lathe::checkpoint & expected, tolerance const & t) {
    lathe::window_buffer buffer_a, buffer_b;
    for (auto const & info : actual.tensors())
        if (!expected.find(info.name))
            return "tensor '" + info.name + "': not expected";
    for (std::size_t j = 0; j != expected.tensors().size(); ++j) {
        auto const & info = expected.tensors()[j];
        auto const i = actual.find(info.name);
        if (!i)
            return "tensor '" + info.name + "': missing";
        auto const & found = actual.tensors()[*i];
        if (found.type != info.type || found.extents != info.extents)
            return "tensor '" + info.name + "': found " + std::string{lathe::name_of(found.type)} + " "
                   + lathe::to_string(found.extents) + ", expected " + std::string{lathe::name_of(info.type)} + " "
                   + lathe::to_string(info.extents);
        auto const a = actual.read(*i, 0, info.bytes(), buffer_a);
        auto const b = expected.read(j, 0, info.bytes(), buffer_b);
        if (lathe::is_floating(info.type)) {
            if (auto d = floating_difference(info, a, b, t))
                return d;
        } else if (!std::ranges::equal(a, b))
            return "tensor '" + info.name + "': the bytes differ";
    }
    return std::nullopt;
}

std::optional<std::string> difference(json const & actual, json const & expected, tolerance const & t,
                                      std::string const & path) {
    auto const differ = [&] {
        return path + ": found " + lathe::reflect::shown(actual) + ", expected " + lathe::reflect::shown(expected);
    };
    if (expected.is_null()) {
        bool const unset = actual.is_null() || (actual.is_number_float() && std::isnan(actual.get<double>()));
        return unset ? std::nullopt : std::optional{differ()};
    }
    if (expected.is_object()) {
        if (!actual.is_object())
            return differ();
        for (auto const & [key, value] : expected.items()) {
            if (!actual.contains(key))
                return path + "." + key + ": missing";
            if (auto d = difference(actual[key], value, t, path + "." + key))
                return d;
        }
        return std::nullopt;
    }
    if (expected.is_array()) {
        if (!actual.is_array() || actual.size() != expected.size())
            return differ();
        for (std::size_t i = 0; i != expected.size(); ++i)
            if (auto d = difference(actual[i], expected[i], t, path + "[" + std::to_string(i) + "]"))
                return d;
        return std::nullopt;
    }
    if (expected.is_number_float() || (expected.is_number() && actual.is_number_float())) {
        if (!actual.is_number())
            return differ();
        auto const a = actual.get<double>(), b = expected.get<double>();
        return std::abs(a - b) <= std::max(5e-6, t.atol + t.rtol * std::abs(b)) ? std::nullopt
                                                                                : std::optional{differ()};
    }
    return actual == expected ? std::nullopt : std::optional{differ()};
}

} // namespace lathe_replay
