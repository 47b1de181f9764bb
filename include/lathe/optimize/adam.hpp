#pragma once
/// \file  Adam and AdamW: for parameters in memory of a backend, and for the handful of numbers that a merge learns.
#include <lathe/core/ops.hpp>

LATHE_NAMESPACE_BEGIN
namespace optimize {

/// Options of Adam, and of AdamW by default.
struct adam_options {
    double lr = 1e-3;                      ///< step size
    std::vector<double> betas{0.9, 0.999}; ///< decay of the mean and of the mean square of the gradient; each in [0, 1)
    double eps = 1e-8;                     ///< added to the root of the bias-corrected mean square
    double weight_decay = 0;               ///< lambda, >= 0; see decoupled
    bool decoupled = true; ///< AdamW: decay shrinks the parameters by lr weight_decay; else it is added to the gradient
};

namespace kernels {
/// Parameter, mean and mean square after one step.
inline constexpr auto adam = [](auto const & p, auto const & gradient, auto const & mean, auto const & square,
                                auto const & beta1, auto const & beta2, auto const & rate, auto const & correction,
                                auto const & eps, auto const & coupled, auto const & shrink) {
    auto const g = gradient + coupled * p;
    auto const m = beta1 * mean + (1 - beta1) * g;
    auto const v = beta2 * square + (1 - beta2) * g * g;
    return std::array{p * shrink - rate * m / (math::sqrt(v) / correction + eps), m, v};
};
} // namespace kernels

/// The numbers of Adam's steps (Kingma and Ba 2014, algorithm 1; Loshchilov and Hutter 2019 for the decay), as torch
/// evaluates them: p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps).
class adam_rule {
    adam_options options_;
    std::size_t step_ = 0;

public:
    /// \throws option_error
    explicit adam_rule(adam_options options) : options_{std::move(options)} {
        auto const at_least_0 = [](char const * name, double x) {
            expects_option(std::isfinite(x) && x >= 0, name, std::to_string(x), "a number >= 0");
        };
        at_least_0("lr", options_.lr);
        at_least_0("weight_decay", options_.weight_decay);
        expects_option(options_.betas.size() == 2, "betas", std::to_string(options_.betas.size()) + " numbers",
                       "two numbers in [0, 1)");
        for (auto const b : options_.betas)
            expects_option(b >= 0 && b < 1, "betas", std::to_string(b), "two numbers in [0, 1)");
        expects_option(std::isfinite(options_.eps) && options_.eps > 0, "adam_eps", std::to_string(options_.eps),
                       "a number > 0");
    }
    /// f(beta1, beta2, rate, correction, eps, coupled, shrink) of the next step: the kernel's operands.
    template <real T, class F> void next(double factor, F && f) {
        expects_option(std::isfinite(factor) && factor >= 0, "factor", std::to_string(factor), "a number >= 0");
        ++step_;
        auto const t = static_cast<double>(step_), lr = options_.lr * factor, beta1 = options_.betas[0],
                   beta2 = options_.betas[1], decay = options_.weight_decay;
        f(static_cast<T>(beta1), static_cast<T>(beta2), static_cast<T>(lr / (1 - std::pow(beta1, t))),
          static_cast<T>(std::sqrt(1 - std::pow(beta2, t))), static_cast<T>(options_.eps),
          static_cast<T>(options_.decoupled ? 0 : decay), static_cast<T>(options_.decoupled ? 1 - lr * decay : 1));
    }
};

/// Adam of one vector of parameters where they are. Memory: twice that. What is NaN in a gradient stays so.
template <class B, real T>
    requires elementwise<B, T>
class adam {
    adam_rule rule_;
    buffer_t<B, T> mean_, square_;

public:
    /// For n parameters. \throws option_error
    adam(B & be, std::size_t n, adam_options options = {})
        : rule_{std::move(options)}, mean_{be.template allocate<T>(n)}, square_{be.template allocate<T>(n)} {
        ops::fill(be, T(0), mean_.view());
        ops::fill(be, T(0), square_.view());
    }
    /// One step along the gradient, of `factor` times the length: a schedule's. One pass over the four vectors.
    /// \throws shape_error, option_error
    void step(B & be, vec<B, T> parameters, cvec<B, T> gradient, double factor = 1) {
        expects_shape(parameters.n == mean_.view().n && gradient.n == parameters.n, "adam: the extents differ");
        rule_.template next<T>(factor, [&](auto... numbers) {
            ops::map<T>(be, kernels::adam, std::tuple{parameters, mean_.view(), square_.view()}, cvec<B, T>(parameters),
                        gradient, cvec<B, T>(mean_.view()), cvec<B, T>(square_.view()), numbers...);
        });
    }
};

/// The same on the host, in double.
class host_adam {
    adam_rule rule_;
    std::vector<double> mean_, square_;

public:
    /// For n parameters. \throws option_error
    explicit host_adam(std::size_t n, adam_options options = {}) : rule_{std::move(options)}, mean_(n), square_(n) {}
    /// One step along the gradient. \throws shape_error, option_error
    void step(std::span<double> parameters, std::span<double const> gradient, double factor = 1) {
        expects_shape(parameters.size() == mean_.size() && gradient.size() == mean_.size(), "adam: the extents differ");
        rule_.next<double>(factor, [&](auto... numbers) {
            for (std::size_t i = 0; i != mean_.size(); ++i) {
                auto const [p, m, v] = kernels::adam(parameters[i], gradient[i], mean_[i], square_[i], numbers...);
                parameters[i] = p;
                mean_[i] = m;
                square_[i] = v;
            }
        });
    }
};

} // namespace optimize
LATHE_NAMESPACE_END
