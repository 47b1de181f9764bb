#pragma once
/// \file  Adam, for the handful of numbers that a merge learns.
#include <lathe/core/error.hpp>

#include <cmath>
#include <span>
#include <string>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace merge {

struct adam_options {
    double lr = 1e-3;                      ///< step size
    std::vector<double> betas{0.9, 0.999}; ///< decay of the mean and of the mean square of the gradient; each in [0, 1)
    double eps = 1e-8;                     ///< added to the root of the bias-corrected mean square
};

/// Adam (Kingma and Ba 2014, Algorithm 1), in double, on the host:
/// p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps), as torch evaluates it.
class adam {
    adam_options options_;
    std::vector<double> mean_, square_;
    std::size_t step_ = 0;

public:
    /// For n parameters. \throws option_error
    explicit adam(std::size_t n, adam_options options = {}) : options_{std::move(options)}, mean_(n), square_(n) {
        expects_option(std::isfinite(options_.lr) && options_.lr >= 0, "lr", std::to_string(options_.lr),
                       "a number >= 0");
        expects_option(options_.betas.size() == 2, "betas", std::to_string(options_.betas.size()) + " numbers",
                       "two numbers in [0, 1)");
        for (auto const b : options_.betas)
            expects_option(b >= 0 && b < 1, "betas", std::to_string(b), "two numbers in [0, 1)");
        expects_option(std::isfinite(options_.eps) && options_.eps > 0, "adam_eps", std::to_string(options_.eps),
                       "a number > 0");
    }
    /// One step along the gradient. \throws shape_error
    void step(std::span<double> parameters, std::span<double const> gradient) {
        expects_shape(parameters.size() == mean_.size() && gradient.size() == mean_.size(), "adam: the extents differ");
        ++step_;
        auto const beta1 = options_.betas[0], beta2 = options_.betas[1], t = static_cast<double>(step_);
        auto const rate = options_.lr / (1 - std::pow(beta1, t)), correction = std::sqrt(1 - std::pow(beta2, t));
        for (std::size_t i = 0; i != mean_.size(); ++i) {
            mean_[i] = beta1 * mean_[i] + (1 - beta1) * gradient[i];
            square_[i] = beta2 * square_[i] + (1 - beta2) * gradient[i] * gradient[i];
            parameters[i] -= rate * mean_[i] / (std::sqrt(square_[i]) / correction + options_.eps);
        }
    }
};

} // namespace merge
LATHE_NAMESPACE_END
