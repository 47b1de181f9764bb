#pragma once
/// \file  AdaLoRA (Zhang et al. 2023): Delta = alpha / (r + 1e-5) B diag(E) A, with the ranks of the layers shared out
///        during training by the importance of their triplets. As PEFT has it.
#include <lathe/adapt/kasa.hpp>

#include <algorithm>

LATHE_NAMESPACE_BEGIN
namespace adapt {

/// Options of adalora, adalora_budget_at and adalora_importance.
struct adalora_options {
    double alpha = 0;              ///< not positive: the rank
    std::size_t initial_rank = 12; ///< of every layer, and what the scaling is of, whatever is left later
    std::size_t target_rank = 8;   ///< mean over the layers
    std::size_t tinit = 0,         ///< steps at the start with all triplets
        tfinal = 0,                ///< steps at the end with the target
        delta_t = 1,               ///< steps from one masking to the next
        total_steps = 1;           ///< of the training
    double beta1 = 0.85,           ///< smoothing of the sensitivity, between 0 and 1
        beta2 = 0.85;              ///< smoothing of its uncertainty, between 0 and 1
    double orthogonality = 0.5;    ///< weight of the orthogonality loss
    std::uint64_t seed = 0;        ///< of a model; give every weight its own: seed ^ random::fnv1a(name)
};

/// alpha / (r + 1e-5), r the rank at the beginning. 0 for r = 0, which is allowed.
inline double adalora_scaling(adalora_options const & o) {
    auto const r = static_cast<double>(o.initial_rank);
    return (o.alpha > 0 ? o.alpha : r) / (r + 1e-5);
}
/// E = 0, A and B normal with deviation 0.02: the change is 0. E is the adapter's sigma.
template <real T, class B>
    requires elementwise<B, T>
adapter<B, T> adalora(B & be, std::size_t outputs, std::size_t inputs, adalora_options const & options = {}) {
    adapter<B, T> out(be, outputs, inputs, options.initial_rank, adalora_scaling(options), true);
    fill_normal(be, 0.02, random::uniform_stream{options.seed, purposes::a, 0}, out.a_elements.view());
    fill_normal(be, 0.02, random::uniform_stream{options.seed, purposes::b, 0}, out.b_elements.view());
    ops::fill(be, T(0), out.sigma());
    return out;
}

/// How many triplets all layers may have together.
struct adalora_budget {
    std::size_t triplets; ///< of all layers together
    bool mask;            ///< whether the others are to be masked now
};
/// Of step t, counted from 1: all until tinit, the target from total_steps - tfinal on, a cubic between, masked every
/// delta_t steps. `initial` and `target` are over all layers. \throws option_error unless tinit < total_steps - tfinal,
/// and delta_t > 0
inline adalora_budget adalora_budget_at(std::size_t t, std::size_t initial, std::size_t target,
                                        adalora_options const & o) {
    expects_option(o.tfinal <= o.total_steps && o.tinit < o.total_steps - o.tfinal, "tinit", std::to_string(o.tinit),
                   "a number below total_steps - tfinal");
    expects_option(o.delta_t > 0, "delta_t", "0", "a positive number");
    expects_option(target <= initial, "target_rank", std::to_string(target), "no more than at the beginning");
    if (t <= o.tinit)
        return {initial, false};
    if (t > o.total_steps - o.tfinal)
        return {target, true};
    auto const left = 1 - static_cast<double>(t - o.tinit) / static_cast<double>(o.total_steps - o.tfinal - o.tinit);
    auto const more = static_cast<double>(initial - target) * (left * left * left);
    return {static_cast<std::size_t>(more + static_cast<double>(target)), t % o.delta_t == 0};
}

namespace kernels {
/// Ibar, Ubar := their exponential means with |p g| and |I - Ibar|.
inline constexpr auto importance = [](auto const & p, auto const & g, auto const & mean, auto const & spread,
                                      auto const & beta1, auto const & beta2) {
    auto const i = math::abs(p * g);
    auto const m = beta1 * mean + (1 - beta1) * i;
    return std::array{m, beta2 * spread + (1 - beta2) * math::abs(i - m)};
};
} // namespace kernels

/// Importance of the triplets of all layers, from step to step.
template <class B, real T> class adalora_importance {
    struct smoothed {
        buffer_t<B, T> mean, spread;
        smoothed(B & be, std::size_t n) : mean{be.template allocate<T>(n)}, spread{be.template allocate<T>(n)} {
            ops::fill(be, T(0), mean.view());
            ops::fill(be, T(0), spread.view());
        }
        void update(B & be, cvec<B, T> p, cvec<B, T> g, double beta1, double beta2) {
            ops::map<T>(be, kernels::importance, std::tuple{mean.view(), spread.view()}, p, g, cvec<B, T>(mean.view()),
                        cvec<B, T>(spread.view()), static_cast<T>(beta1), static_cast<T>(beta2));
        }
        /// mean x spread of every element, on the host.
        [[nodiscard]] linalg::host_matrix scores(B & be, std::size_t rows, std::size_t cols) {
            auto m = linalg::to_host(be, as_matrix(mean.view(), rows, cols), op::none, "adalora: importance");
            auto const s = linalg::to_host(be, as_matrix(spread.view(), rows, cols), op::none, "adalora: uncertainty");
            for (std::size_t i = 0; i != rows; ++i)
                for (std::size_t j = 0; j != cols; ++j)
                    m(i, j) *= s(i, j);
            return m;
        }
    };
    struct of_layer {
        smoothed a, b, e;
        std::size_t outputs, inputs, rank;
    };
    double beta1_, beta2_;
    std::vector<of_layer> layers_;

    static cvec<B, T> flat(cmat<B, T> m) {
        expects_shape(m.ld == m.cols || m.rows <= 1, "adalora: parameters and gradients without gaps");
        return {m.data, m.rows * m.cols};
    }

public:
    /// Zeros, for layers of these extents. \throws option_error unless both betas are between 0 and 1
    adalora_importance(B & be, std::span<factors<B, T> const> layers, adalora_options const & options = {})
        : beta1_{options.beta1}, beta2_{options.beta2} {
        for (auto const beta : {beta1_, beta2_})
            expects_option(beta > 0 && beta < 1, "beta1, beta2", std::to_string(beta), "a number between 0 and 1");
        for (auto const & f : layers)
            layers_.push_back({smoothed(be, f.rank() * f.inputs()), smoothed(be, f.outputs() * f.rank()),
                               smoothed(be, f.rank()), f.outputs(), f.inputs(), f.rank()});
    }
    /// After a backward pass. \throws shape_error; option_error where a gradient is missing
    void update(B & be, std::span<factors<B, T> const> layers, std::span<gradients<B, T> const> of) {
        expects_shape(layers.size() == layers_.size() && of.size() == layers_.size(),
                      "adalora: not the layers it was made for");
        for (std::size_t l = 0; l != layers.size(); ++l) {
            auto const & f = layers[l];
            expects_option(f.sigma && of[l].a && of[l].b && of[l].sigma, "layer " + std::to_string(l),
                           "E or a gradient missing", "gradients of A, B and E");
            layers_[l].a.update(be, flat(f.a), flat(*of[l].a), beta1_, beta2_);
            layers_[l].b.update(be, flat(f.b), flat(*of[l].b), beta1_, beta2_);
            layers_[l].e.update(be, *f.sigma, *of[l].sigma, beta1_, beta2_);
        }
    }
    /// Of the triplets of every layer: score(E_i) + mean_j score(A_ij) + mean_j score(B_ji).
    [[nodiscard]] std::vector<std::vector<double>> scores(B & be) {
        std::vector<std::vector<double>> all;
        for (auto & l : layers_) {
            auto const a = l.a.scores(be, l.rank, l.inputs), b = l.b.scores(be, l.outputs, l.rank),
                       e = l.e.scores(be, 1, l.rank);
            auto & s = all.emplace_back(l.rank);
            for (std::size_t i = 0; i != l.rank; ++i) {
                double of_a = 0, of_b = 0;
                for (std::size_t j = 0; j != l.inputs; ++j)
                    of_a += a(i, j);
                for (std::size_t j = 0; j != l.outputs; ++j)
                    of_b += b(j, i);
                s[i] = e(0, i) + of_a / static_cast<double>(l.inputs) + of_b / static_cast<double>(l.outputs);
            }
        }
        return all;
    }
};

/// Which triplets stay.
struct adalora_mask {
    double threshold;                    ///< -infinity if all stay
    std::vector<std::vector<bool>> keep; ///< what PEFT calls rank_pattern
};
/// Those with a score above the (all - budget)-th smallest: equals of that go too. All for a budget of all. \throws
/// option_error for a larger budget
inline adalora_mask adalora_keep(std::vector<std::vector<double>> const & scores, std::size_t budget) {
    std::vector<double> all;
    for (auto const & s : scores)
        all.insert(all.end(), s.begin(), s.end());
    expects_option(budget <= all.size(), "budget", std::to_string(budget), "no more than there are triplets");
    adalora_mask out{-std::numeric_limits<double>::infinity(), {}};
    if (auto const dropped = all.size() - budget; dropped != 0) {
        auto const at = all.begin() + static_cast<std::ptrdiff_t>(dropped - 1);
        std::nth_element(all.begin(), at, all.end());
        out.threshold = *at;
    }
    for (auto const & s : scores) {
        auto & keep = out.keep.emplace_back(s.size());
        for (std::size_t i = 0; i != s.size(); ++i)
            keep[i] = s[i] > out.threshold;
    }
    return out;
}
/// E_i := 0 where it is not kept. \throws shape_error
template <class B, class P, class T = pointee_t<P>>
void adalora_apply(B & be, std::vector<bool> const & keep, vec_view<P> e) {
    expects_shape(keep.size() == e.n, "adalora: the mask is of another rank");
    for (std::size_t i = 0; i != keep.size(); ++i)
        if (!keep[i])
            ops::fill(be, T(0), e.sub(i, 1));
}

/// weight mean over all A and B of |A A^T - I|_F and |B^T B - I|_F; its gradients are added to what `out` holds (none,
/// or one for each layer). Time O((outputs + inputs) r^2). \throws shape_error, non_finite_error
template <class B, real T>
    requires matrix_space<B, T>
double adalora_orthogonality(B & be, std::span<factors<B, T> const> layers, double weight,
                             std::span<gradients<B, T> const> out = {}) {
    expects_shape(out.empty() || out.size() == layers.size(), "adalora_orthogonality: one gradient for each layer");
    auto const share = layers.empty() ? 0.0 : weight / (2 * static_cast<double>(layers.size()));
    double loss = 0;
    for (std::size_t l = 0; l != layers.size(); ++l) {
        auto const & f = layers[l];
        auto const a = defect_of(be, f.a, op::none), b = defect_of(be, f.b, op::transpose);
        loss += share * (a.small + b.small);
        if (out.empty())
            continue;
        if (out[l].a)
            add_defect_gradient(be, a, a.small, share, f.a, op::none, *out[l].a);
        if (out[l].b)
            add_defect_gradient(be, b, b.small, share, f.b, op::transpose, *out[l].b);
    }
    return loss;
}

} // namespace adapt
LATHE_NAMESPACE_END
