#pragma once
/// \file  Spherical linear interpolation of two models, tensor by tensor (Shoemake, Animating rotation with quaternion
///        curves, SIGGRAPH 1985; as mergekit applies it to weights).
#include <lathe/merge/schedule.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {
namespace kernels {
/// <a, a>, <b, b> and <a, b> of two models.
inline constexpr auto pair_products = [](auto & sums, auto const & xs) {
    sums.add(0, xs[0] * xs[0]);
    sums.add(1, xs[1] * xs[1]);
    sums.add(2, xs[0] * xs[1]);
};
/// a x_0 + b x_1.
inline constexpr auto combine_pair = [](auto const & xs, auto const & a, auto const & b) {
    return a * xs[0] + b * xs[1];
};
} // namespace kernels

/// Options of slerp().
struct slerp_options {
    schedule t = 0.5;              ///< 0 gives the first model, 1 the second
    double dot_threshold = 0.9995; ///< beyond this |cosine| the interpolation is linear
    double eps = 1e-8;             ///< vectors shorter than this are not normalised
};

/// How a tensor was interpolated.
enum class slerp_branch : unsigned char {
    slerp, ///< along the arc
    lerp   ///< along the chord
};
/// What was found in one tensor.
struct slerp_tensor {
    std::string name;    ///< its name in the pool
    double dot;          ///< cosine of the angle between the two tensors; 0 if one is zero
    slerp_branch branch; ///< how it was interpolated
};
/// What slerp() found; the merged model is in the sink.
struct slerp_result {
    lathe::status status;              ///< converged, or stopped: then nothing was written
    std::vector<slerp_tensor> tensors; ///< of the merged rows
};

/// (sin((1 - t) theta) a + sin(t theta) b) / sin theta, theta the angle between the raw tensors a and b; linear where
/// they are nearly parallel or antiparallel, and where the angle is not a number, so that NaN and infinity spoil their
/// element only.
///
/// Fine-tunes of one base have cosines of 0.999 and more, so most of their tensors are interpolated linearly. A zero
/// tensor counts as orthogonal: slerp(0, b) = sin(t pi / 2) b.
template <class B, real T> class slerp_recipe {
    std::vector<std::array<T, 2>> factors_; // of the rows
    std::vector<slerp_tensor> tensors_;

public:
    static constexpr bool reads_base = false; ///< windows of the base are not read
    /// One pass over both models for the angles. \throws option_error unless there are two models, or t has no value
    slerp_recipe(B & be, model_pool const & pool, slerp_options const & options) : factors_(pool.rows().size()) {
        expects_option(pool.size() == 2, "models", std::to_string(pool.size()), "two");
        expects_option(options.dot_threshold >= 0 && options.dot_threshold <= 1, "dot_threshold",
                       std::to_string(options.dot_threshold), "a number from 0 to 1");
        expects_option(options.eps >= 0, "eps", std::to_string(options.eps), "a number not below 0");
        schedule_table const t("t", {options.t}, pool, std::nullopt);
        pool_reader<B, T> in(pool);
        for (std::size_t r = 0; r != pool.rows().size(); ++r) {
            auto const & row = pool.rows()[r];
            if (!row.merged)
                continue;
            std::array<double, 3> sums{};
            for_each_window(row.info.count(), pool.window(), [&](std::size_t first, std::size_t count) {
                in.seek(be, row, first, count, false);
                ops::reduce<T>(be, kernels::pair_products, sums, in.models());
            });
            auto const length = [&](double square) {
                return std::sqrt(square) > options.eps ? std::sqrt(square) : 1.0;
            };
            auto const dot = sums[2] / (length(sums[0]) * length(sums[1]));
            auto const branch = std::fabs(dot) <= options.dot_threshold ? slerp_branch::slerp : slerp_branch::lerp;
            tensors_.push_back({row.info.name, dot, branch});
            auto const s = t[r][0];
            auto const theta = std::acos(std::clamp(dot, -1.0, 1.0));
            // t = 0 and t = 1 give the model itself, to the bit.
            if (branch == slerp_branch::lerp || s == 0 || s == 1 || std::sin(theta) == 0)
                factors_[r] = {static_cast<T>(1 - s), static_cast<T>(s)};
            else
                factors_[r] = {static_cast<T>(std::sin((1 - s) * theta) / std::sin(theta)),
                               static_cast<T>(std::sin(s * theta) / std::sin(theta))};
        }
    }
    /// Makes the window that `in` holds.
    template <class Out> void operator()(B & be, pool_reader<B, T> const & in, Out out) {
        auto const & f = factors_[in.row_index()];
        ops::map<T>(be, kernels::combine_pair, out, in.models(), f[0], f[1]);
    }
    /// What was found in the merged rows, in order.
    [[nodiscard]] std::vector<slerp_tensor> const & tensors() const noexcept { return tensors_; }
    /// What the first and the second model are multiplied by, of a row of the pool.
    [[nodiscard]] std::array<T, 2> const & factors(std::size_t row) const { return factors_.at(row); }
};

/// Writes the spherical interpolation of two models. Two passes over both; memory: one window of each.
/// \throws option_error
template <real T = float, class B, class Obs = no_observer, class Stop = never_stop>
    requires elementwise<B, T>
slerp_result slerp(B & be, model_pool const & pool, checkpoint_sink & sink, slerp_options const & options = {},
                   control<Obs, Stop> ctl = {}) {
    slerp_recipe<B, T> recipe(be, pool, options);
    auto const done = write<B, T>(be, pool, recipe, sink, ctl);
    return {done, recipe.tensors()};
}

} // namespace merge
LATHE_NAMESPACE_END
