#pragma once
/// \file  Progress out, cancellation in.
#include <lathe/config.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>

LATHE_NAMESPACE_BEGIN

/// What a long computation says about itself between two steps. Trivially copyable; safe to hand to another thread.
struct progress {
    std::size_t step, ///< done so far: iterations of an iterative method, bytes of a streaming one
        total;        ///< how many there are at most
    double objective, ///< what is minimised or maximised; NaN where the method has no such number
        residual;     ///< what it stops by (a gap, a bound, a change); NaN where it has none
};
/// What is told of progress: whatever can be called with it.
template <class F>
concept observer = std::invocable<F &, progress const &>;
/// The observer by default: takes no notice.
struct no_observer {
    /// Does nothing.
    constexpr void operator()(progress const &) const noexcept {}
};

/// What is asked whether to stop. std::stop_token models this but is not included here: `<stop_token>` costs every
/// translation unit 0.2 s.
template <class S>
concept stop_token = std::copyable<S> && requires(S const & s) {
    { s.stop_requested() } -> std::same_as<bool>;
};
/// The token by default: the computation runs to its end.
struct never_stop {
    /// Always false.
    static constexpr bool stop_requested() noexcept { return false; }
};

/// One channel each way: the observer is told, the token is asked, between steps.
template <observer F = no_observer, stop_token S = never_stop> struct control {
    F observe{}; ///< told after a step, on the thread that called the method
    S stop{};    ///< asked between steps
};
/// An observer, alone or with a token: `control{observe, token}`.
///@{
template <class F> control(F) -> control<F>;
template <class F, class S> control(F, S) -> control<F, S>;
///@}

/// The control of part `part` of `parts` that take about as long as each other: shows progress through the whole.
/// Refers to `ctl`.
template <observer F, stop_token S> auto part_of(control<F, S> & ctl, std::size_t part, std::size_t parts) {
    auto const observe = [&ctl, part, parts](progress const & p) {
        ctl.observe(progress{part * p.total + p.step, parts * p.total, p.objective, p.residual});
    };
    return control<std::remove_const_t<decltype(observe)>, S>{observe, ctl.stop};
}

/// How an iterative method ended.
enum class status : unsigned char {
    converged,       ///< its own criterion was met
    iteration_limit, ///< as often as it was allowed to
    stopped          ///< the token asked for it
};

LATHE_NAMESPACE_END
