#pragma once
/// \file  What a position in memory is, on the host or on a device.
#include <lathe/config.hpp>

#include <concepts>
#include <cstddef>

LATHE_NAMESPACE_BEGIN

/// What a pointer, plain or fancy, points to.
template <class P> struct pointee {};
/// Of a fancy pointer, which says so itself.
template <class P>
    requires requires { typename P::element_type; }
struct pointee<P> {
    using type = typename P::element_type; ///< what it points to, const or not
};
/// Of a plain pointer.
template <class T> struct pointee<T *> {
    using type = T; ///< what it points to, const or not
};
template <class P> using pointee_t = typename pointee<P>::type; ///< see pointee

/// A position in some memory space: copyable and offsettable. Dereferencing is NOT required.
template <class P>
concept device_pointer = std::copyable<P> && requires(P p, std::ptrdiff_t n) {
    typename pointee_t<P>;
    { p + n } -> std::same_as<P>;
};

LATHE_NAMESPACE_END
