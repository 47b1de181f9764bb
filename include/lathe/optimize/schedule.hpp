#pragma once
/// \file  How long the steps of an optimiser are, from the first to the last.
#include <lathe/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <string>

LATHE_NAMESPACE_BEGIN
namespace optimize {

/// From 0 to 1 in `warmup` steps, from there to 0 at step `total`: transformers' linear schedule with warm-up.
struct linear_schedule {
    std::size_t warmup = 0, ///< steps from 0 to 1
        total = 1;          ///< steps until 0 again

    /// With a share of the steps as warm-up, rounded up. \throws option_error unless it is in [0, 1] and total > 0
    static linear_schedule with_ratio(double warmup_ratio, std::size_t total) {
        expects_option(warmup_ratio >= 0 && warmup_ratio <= 1, "warmup_ratio", std::to_string(warmup_ratio),
                       "a number in [0, 1]");
        expects_option(total > 0, "total", "0", "a positive number");
        return {static_cast<std::size_t>(std::ceil(warmup_ratio * static_cast<double>(total))), total};
    }
    /// The factor of step t, counted from 0; 0 from `total` on.
    [[nodiscard]] double operator()(std::size_t t) const {
        if (t < warmup)
            return static_cast<double>(t) / static_cast<double>(warmup);
        if (t >= total)
            return 0;
        return static_cast<double>(total - t) / static_cast<double>(std::max<std::size_t>(1, total - warmup));
    }
};

} // namespace optimize
LATHE_NAMESPACE_END
