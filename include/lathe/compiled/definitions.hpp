#pragma once
/// \file  Definitions of what lathe/compiled.hpp declares, for the translation units that instantiate it.
#include <lathe/compiled.hpp>

LATHE_NAMESPACE_BEGIN
namespace compiled {

/// A caller's any_step as the methods call it: with the state or without.
template <class Method, class B, real T> auto as_callable(any_step<Method, B, T> const & on_step) {
    return [&on_step](typename Method::step const & s, auto const &... x) {
        if (on_step) {
            if constexpr (sizeof...(x) == 0)
                on_step(s, nullptr);
            else
                on_step(s, &x...);
        }
    };
}

template <class Method, real T, class B>
typename Method::result merging<Method, T, B>::run(B & be, merge::model_pool const & pool, registry::file_list files,
                                                   checkpoint_sink & sink, typename Method::options const & options,
                                                   any_control ctl) {
    return Method::template run<T>(be, pool, files, sink, options, std::move(ctl));
}

template <class Method, real T, class B>
typename Method::result minimising<Method, T, B>::run(B & be, merge::model_pool const & pool,
                                                      any_objective<B, T> & objective, checkpoint_sink & sink,
                                                      typename Method::options const & options, any_control ctl,
                                                      any_step<Method, B, T> on_step) {
    return Method::template run<T>(be, pool, objective, sink, options, std::move(ctl),
                                   as_callable<Method, B, T>(on_step));
}

template <real T, class B>
merge::kinship_search_result searching<T, B>::run(B & be, merge::model_pool const & pool,
                                                  std::function<double(checkpoint &)> evaluate, checkpoint_sink & sink,
                                                  merge::kinship_search_options const & options, any_control ctl) {
    return merge::kinship_search<T>(be, pool, evaluate, sink, options, std::move(ctl));
}

template <real T, class B>
merge::frank_wolfe_result minimising_distance<T, B>::streamed(B & be, merge::model_pool const & pool,
                                                              merge::quadratic_distance<B, T> & distance,
                                                              checkpoint_sink & sink,
                                                              merge::frank_wolfe_options const & options,
                                                              any_control ctl, step on_step) {
    return merge::frank_wolfe<T>(be, pool, distance, sink, options, std::move(ctl),
                                 as_callable<registry::frank_wolfe, B, T>(on_step));
}

template <real T, class B>
merge::frank_wolfe_result minimising_distance<T, B>::from_products(B & be, merge::model_pool const & pool,
                                                                   merge::quadratic_distance<B, T> & distance,
                                                                   checkpoint_sink & sink,
                                                                   merge::frank_wolfe_options const & options,
                                                                   any_control ctl, step on_step) {
    return merge::frank_wolfe_gram<T>(be, pool, distance, sink, options, std::move(ctl),
                                      as_callable<registry::frank_wolfe, B, T>(on_step));
}

template <real T, class B>
merge::kinship_result measuring_kinship<T, B>::run(B & be, merge::model_pool const & pool,
                                                   merge::kinship_options const & options, any_control ctl) {
    return merge::kinship<T>(be, pool, options, std::move(ctl));
}

template <class Method, real T, class B>
adapt::started<B, T> starting<Method, T, B>::run(B & be, mat<B, T> w, std::size_t r,
                                                 typename Method::options const & options, any_control ctl) {
    return Method::template run<T>(be, w, r, options, std::move(ctl));
}

template <real T, class B> void adapting<T, B>::add(B & be, factors const & f, double factor, mat<B, T> w) {
    adapt::add_delta(be, f, factor, w);
}
template <real T, class B>
void adapting<T, B>::merge_dora(B & be, factors const & f, std::span<double const> magnitude, mat<B, T> w) {
    std::vector<T> values(magnitude.size());
    std::ranges::transform(magnitude, values.begin(), [](double x) { return static_cast<T>(x); });
    auto memory = be.template allocate<T>(values.size());
    be.upload(std::span<T const>{values}, memory.view());
    adapt::dora_layer<B, T>(be, {w}, f, memory.view()).merge(be, w);
}
template <real T, class B>
adapt::adapter<B, T> adapting<T, B>::combine(B & be, std::span<factors const> all,
                                             adapt::combine_options const & options) {
    return adapt::combine.template operator()<B, T>(be, all, options);
}
template <real T, class B>
adapt::adapter<B, T> adapting<T, B>::compress(B & be, std::span<factors const> all, std::span<double const> weights,
                                              std::size_t r) {
    return adapt::compress<B, T>(be, all, weights, r);
}
template <real T, class B>
adapt::extract_result<B, T> adapting<T, B>::extract(B & be, mat<B, T> change, adapt::extract_options const & options,
                                                    any_control ctl) {
    return adapt::extract_change(be, change, options, std::move(ctl));
}
template <real T, class B>
adapt::kasa_truncation<B, T> adapting<T, B>::truncate(B & be, mat<B, T> w, std::size_t r,
                                                      adapt::kasa_options const & options, any_control ctl) {
    return adapt::kasa_truncate(be, w, r, options, std::move(ctl));
}
template <real T, class B>
adapt::adapter<B, T> adapting<T, B>::kasa_to_lora(B & be, factors const & f,
                                                  adapt::kasa_truncation<B, T> & truncation) {
    return adapt::kasa_to_lora<B, T>(be, f, truncation);
}

} // namespace compiled
LATHE_NAMESPACE_END
