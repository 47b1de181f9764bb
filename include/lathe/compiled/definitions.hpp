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

} // namespace compiled
LATHE_NAMESPACE_END
