#pragma once
/// \file  The probability simplex: { w : w_i >= 0, sum w_i = 1 }.
#include <lathe/core/error.hpp>
#include <lathe/core/scalar.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace merge {

/// Replaces v by the point of the simplex nearest to it in the Euclidean norm.
///
/// Sorts, finds the largest support whose threshold leaves all of it positive, subtracts the threshold and clips: Held,
/// Wolfe and Crowder 1974; docs/merging.md, 6.2, of the authors' code, which defines it and never calls it. Sums are
/// taken in double relative to the largest entry, so a large common part of v costs no digits.
/// \throws shape_error if v is empty; non_finite_error if an entry is not finite. Time O(n log n), memory O(n).
template <real T> void project_simplex(std::span<T> v) {
    expects_shape(!v.empty(), "project_simplex: the vector is empty");
    for (std::size_t i = 0; i != v.size(); ++i)
        if (!std::isfinite(v[i]))
            throw non_finite_error{"project_simplex: entry " + std::to_string(i) + " is not finite"};
    auto const top = static_cast<double>(*std::ranges::max_element(v));
    std::vector<double> sorted(v.size());
    std::ranges::transform(v, sorted.begin(), [top](T x) { return static_cast<double>(x) - top; });
    std::ranges::sort(sorted, std::greater<>{});

    double sum = 0, threshold = 0;
    for (std::size_t j = 0; j != sorted.size(); ++j) {
        sum += sorted[j];
        auto const candidate = (sum - 1) / static_cast<double>(j + 1);
        if (!(sorted[j] > candidate))
            break;
        threshold = candidate;
    }
    for (auto & x : v)
        x = static_cast<T>(std::max(static_cast<double>(x) - top - threshold, 0.0));
}

} // namespace merge
LATHE_NAMESPACE_END
