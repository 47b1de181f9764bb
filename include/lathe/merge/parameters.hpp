#pragma once
/// \file  Objectives: what a method that iterates minimises over the parameters of a pool.
#include <lathe/core/parameters.hpp>
#include <lathe/merge/pool.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

using lathe::parameter_layout;
using lathe::read_parameters;
using lathe::write_parameters;

/// A smooth loss over a parameter vector: writes its gradient at x into g, which it owns until it returns, and returns its value.
template <class F, class B, class T>
concept differentiable = storage<B, T> && requires(F & f, B & be, cvec<B, T> x, vec<B, T> g) {
    { f.value_and_gradient(be, x, g) } -> std::convertible_to<double>;
};

} // namespace merge
LATHE_NAMESPACE_END
