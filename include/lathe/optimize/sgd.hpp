#pragma once
/// \file  Stochastic gradient descent with momentum.
#include <lathe/core/ops.hpp>

LATHE_NAMESPACE_BEGIN
namespace optimize {

/// Options of stochastic gradient descent; names and meaning as in PyTorch.
struct sgd_options {
    double lr = 1e-2;        ///< step size
    double momentum = 0;     ///< in [0, 1)
    double dampening = 0;    ///< in [0, 1]: what of the gradient does not enter the momentum, from the second step on
    double weight_decay = 0; ///< times the parameter, added to the gradient
    bool nesterov = false;   ///< looks ahead along the momentum; needs one, and no dampening
};

namespace kernels {
/// The parameter after one step without momentum.
inline constexpr auto plain_step = [](auto const & p, auto const & gradient, auto const & lr, auto const & decay) {
    return p - lr * (gradient + decay * p);
};
/// Parameter and momentum after one step along `of_gradient` g + `of_momentum` m.
inline constexpr auto momentum_step = [](auto const & p, auto const & gradient, auto const & momentum, auto const & lr,
                                         auto const & decay, auto const & keep, auto const & take,
                                         auto const & of_gradient, auto const & of_momentum) {
    auto const g = gradient + decay * p;
    auto const m = keep * momentum + take * g;
    return std::array{p - lr * (of_gradient * g + of_momentum * m), m};
};
} // namespace kernels

/// SGD of one vector of parameters where they are, with momentum as in torch: m := momentum m + (1 - dampening) g, in
/// the first step m := g; p -= lr m, with Nesterov p -= lr (g + momentum m). Memory: as much again if there is a
/// momentum. What is NaN in a gradient stays so.
template <class B, real T>
    requires elementwise<B, T>
class sgd {
    sgd_options options_;
    std::size_t n_;
    buffer_t<B, T> momentum_;
    bool first_ = true;

    static std::size_t checked(std::size_t n, sgd_options const & o) {
        auto const number = [](bool fits, char const * name, double x, char const * range) {
            expects_option(std::isfinite(x) && fits, name, std::to_string(x), range);
        };
        number(o.lr >= 0, "lr", o.lr, "a number >= 0");
        number(o.momentum >= 0 && o.momentum < 1, "momentum", o.momentum, "a number in [0, 1)");
        number(o.dampening >= 0 && o.dampening <= 1, "dampening", o.dampening, "a number in [0, 1]");
        number(o.weight_decay >= 0, "weight_decay", o.weight_decay, "a number >= 0");
        expects_option(!o.nesterov || (o.momentum > 0 && o.dampening == 0), "nesterov", "true",
                       "a momentum, and no dampening");
        return o.momentum > 0 ? n : 0;
    }

public:
    /// For n parameters. \throws option_error
    sgd(B & be, std::size_t n, sgd_options const & options = {})
        : options_{options}, n_{n}, momentum_{be.template allocate<T>(checked(n, options))} {
        ops::fill(be, T(0), momentum_.view());
    }
    /// One step along the gradient, of `factor` times the length: a schedule's. One pass. \throws shape_error,
    /// option_error
    void step(B & be, vec<B, T> parameters, cvec<B, T> gradient, double factor = 1) {
        expects_shape(parameters.n == n_ && gradient.n == n_, "sgd: the extents differ");
        expects_option(std::isfinite(factor) && factor >= 0, "factor", std::to_string(factor), "a number >= 0");
        auto const lr = static_cast<T>(options_.lr * factor), decay = static_cast<T>(options_.weight_decay);
        if (options_.momentum == 0) {
            ops::map<T>(be, kernels::plain_step, parameters, cvec<B, T>(parameters), gradient, lr, decay);
            return;
        }
        auto const take = first_ ? T(1) : static_cast<T>(1 - options_.dampening);
        ops::map<T>(be, kernels::momentum_step, std::tuple{parameters, momentum_.view()}, cvec<B, T>(parameters),
                    gradient, cvec<B, T>(momentum_.view()), lr, decay, static_cast<T>(options_.momentum), take,
                    T(options_.nesterov ? 1 : 0), static_cast<T>(options_.nesterov ? options_.momentum : 1));
        first_ = false;
    }
};

} // namespace optimize
LATHE_NAMESPACE_END
