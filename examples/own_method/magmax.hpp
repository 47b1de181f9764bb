#pragma once
/// \file  A method of one's own: MagMax (Marczak et al., ECCV 2024). Of every element the largest change of any model.
#include <lathe/merge/pool.hpp>

namespace mine {
namespace math = lathe::math;

struct magmax_options {
    double scaling = 0.5; ///< of the change
};

/// One body for every backend: numbers or packets on a host, symbols that become source on a device. No branches and no
/// captures; run-time values are operands. NaN stays NaN; of equal changes that of the first model counts.
inline constexpr auto magmax_element = [](auto const & base, auto const & models, auto const & scaling) {
    auto most = models[0] - base;
    for (std::size_t k = 1; k != models.size(); ++k) {
        auto const change = models[k] - base;
        most = math::select(math::is_nan(most), most, math::select(math::abs(most) >= math::abs(change), most, change));
    }
    return base + scaling * most;
};

/// What a window of the result is made from: called for one window after the other, of all tensors.
template <class B, lathe::real T> class magmax_recipe {
    T scaling_;

public:
    explicit magmax_recipe(magmax_options const & o) : scaling_(static_cast<T>(o.scaling)) {}
    template <class Out> void operator()(B & be, lathe::merge::pool_reader<B, T> const & in, Out out) {
        lathe::ops::map<T>(be, magmax_element, out, in.base(), in.models(), scaling_);
    }
};

/// Writes base + scaling * (the change of largest magnitude). One pass; memory: a window of each checkpoint.
/// \throws lathe::option_error if scaling is not finite or the pool has no base
template <lathe::real T = float, class B, class Obs = lathe::no_observer, class Stop = lathe::never_stop>
    requires lathe::elementwise<B, T>
lathe::status magmax(B & be, lathe::merge::model_pool const & pool, lathe::checkpoint_sink & sink,
                     magmax_options const & options = {}, lathe::control<Obs, Stop> ctl = {}) {
    static_cast<void>(pool.base());
    lathe::expects_option(std::isfinite(options.scaling), "scaling", std::to_string(options.scaling),
                          "a finite number");
    magmax_recipe<B, T> recipe(options);
    return lathe::merge::write<B, T>(be, pool, recipe, sink, ctl);
}

} // namespace mine
