#pragma once
/// \file  The sign election of TIES, position by position, weighted: what merges that resolve conflicts of sign share.
#include <lathe/core/math.hpp>

#include <cstddef>

LATHE_NAMESPACE_BEGIN
namespace merge::kernels {

/// The sum of those u_k = w_k delta_k whose sign is that of all of them together, divided by the sum of their weights
/// if `normalize` is 1 (not 0), where that sum is not zero. A sum of zero elects plus; zeros never agree; a negative
/// weight votes the other way; with `count` 1 (not 0) every u_k has one vote. NaN where any delta is NaN. Rule of
/// mergekit.
/// \param delta delta(k) gives delta_k
inline constexpr auto elect = []<class Delta>(std::size_t models, Delta const & delta, auto const & w,
                                              auto const & normalize, auto const & count) {
    auto total = w[0] * delta(0);
    using value = decltype(total);
    auto votes = math::sign(total);
    for (std::size_t k = 1; k != models; ++k) {
        auto const u = w[k] * delta(k);
        total = total + u;
        votes = votes + math::sign(u);
    }
    auto const plus = math::select(count > 0, votes, total) >= value(0);
    auto sum = value(0), weight = value(0);
    for (std::size_t k = 0; k != models; ++k) {
        auto const u = w[k] * delta(k);
        auto const agrees = math::select(plus, u, value(0) - u) > value(0);
        sum = sum + math::select(agrees, u, value(0));
        weight = weight + math::select(agrees, value(w[k]), value(0));
    }
    auto const divisor = math::select(weight == value(0), value(1), weight);
    return math::select(math::is_nan(total), total, sum / math::select(normalize > 0, divisor, value(1)));
};

} // namespace merge::kernels
LATHE_NAMESPACE_END
