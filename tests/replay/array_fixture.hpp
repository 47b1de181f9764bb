#pragma once
/// \file  Cases that are a manifest and .npy arrays: {"case", "params", "inputs", "expected", "tolerance"}.
#include "cases.hpp"

#include <lathe/io/npy.hpp>

namespace lathe_replay {

/// Numbers of any type, as double.
struct number_array {
    lathe::shape extents;
    std::vector<double> values;

    [[nodiscard]] std::size_t extent(std::size_t i) const { return extents.at(i); }
    template <class T> [[nodiscard]] std::vector<T> as() const {
        std::vector<T> all(values.size());
        std::ranges::transform(values, all.begin(), [](double v) { return static_cast<T>(v); });
        return all;
    }
    /// Part `i` along the first extent.
    [[nodiscard]] number_array part(std::size_t i) const {
        auto const size = values.size() / extents.at(0);
        return {{extents.begin() + 1, extents.end()},
                {values.begin() + static_cast<std::ptrdiff_t>(i * size),
                 values.begin() + static_cast<std::ptrdiff_t>((i + 1) * size)}};
    }
};
/// \throws lathe::error; failure for elements that are no numbers
number_array read_npy(fs::path const & path);

class array_fixture {
    fs::path folder_;
    json manifest_;

public:
    /// \throws failure, lathe::error
    explicit array_fixture(fs::path folder)
        : folder_{std::move(folder)}, manifest_(read_json(folder_ / "manifest.json")) {}

    [[nodiscard]] json const & params() const { return manifest_.at("params"); }
    [[nodiscard]] json const & inputs() const { return manifest_.at("inputs"); }
    [[nodiscard]] json const & expected() const { return manifest_.at("expected"); }
    [[nodiscard]] json const & tolerance() const { return manifest_.at("tolerance"); }
    [[nodiscard]] number_array input(std::string const & name) const { return array(inputs().at(name)); }
    [[nodiscard]] number_array expected_array(std::string const & name) const { return array(expected().at(name)); }
    [[nodiscard]] double expected_number(std::string const & name) const { return expected().at(name).get<double>(); }

private:
    [[nodiscard]] number_array array(json const & entry) const {
        return read_npy(folder_ / entry.at("file").get<std::string>());
    }
};

/// Throws failure unless all |actual - expected| <= atol + rtol |expected|; NaN is expected where it is expected.
void expect_close(std::string const & what, std::span<double const> actual, std::span<double const> expected,
                  double atol, double rtol = 0);
inline void expect_close(std::string const & what, double actual, double expected, double atol, double rtol = 0) {
    expect_close(what, {&actual, 1}, {&expected, 1}, atol, rtol);
}
template <class Value> void expect_equal(std::string const & what, Value const & actual, Value const & expected) {
    if (actual == expected)
        return;
    if constexpr (requires { json(actual); })
        throw failure{what + ": found " + json(actual).dump() + ", expected " + json(expected).dump()};
    else
        throw failure{what + ": differs"};
}

/// "1.1" as names of files have it, "1_1"; 2.0 as "2".
std::string tag_of(double number);

} // namespace lathe_replay
