#pragma once
/// \file  Operands of kernels.
///
/// A kernel is a generic callable without branches, captures or state, written once and interpreted by each backend: a
/// host calls it on packets of elements, a device calls it once on symbols and compiles what they wrote down.
///
///     inline constexpr auto step = [](auto const & x, auto const & s, auto const & gamma) { return x + gamma * (s - x); };
///     ops::map<float>(be, step, x, x, s, gamma);          // out first, then the kernel's operands in order
///     inline constexpr auto dot = [](auto & sums, auto const & x, auto const & y) { sums.add(0, x * y); };
///     ops::reduce<float>(be, dot, totals, x, y);
///
/// Operands of ops::map and ops::reduce, with what the kernel sees in their place:
///
/// | operand                   | in the kernel                                              |
/// |---------------------------|------------------------------------------------------------|
/// | vec<B, T>, cvec<B, T>     | an element                                                 |
/// | storage_view<P>           | an element, widened to T; as an output it is rounded once  |
/// | random::uniform_stream    | an element of [0, 1)                                       |
/// | T                         | a number, the same for all elements                        |
/// | list(span of the above)   | xs[k], xs.size(); the size is known when the kernel runs   |
#include <lathe/core/dtype.hpp>
#include <lathe/core/view.hpp>

LATHE_NAMESPACE_BEGIN

/// n elements of a type known at run time, at any alignment; P points to std::byte, const or not.
template <device_pointer P> struct storage_view {
    using element_type = pointee_t<P>; ///< std::byte, const or not
    P data;                            ///< the first byte
    dtype type;                        ///< of every element
    std::size_t n;                     ///< elements, not bytes
    /// `count` elements of type t from p on; not checked.
    constexpr storage_view(P p, dtype t, std::size_t count) : data(p), type(t), n(count) {}
    /// What can be written can be read: storage_view over std::byte to one over std::byte const.
    template <other_pointer_to<P> Q> constexpr storage_view(storage_view<Q> v) : data(v.data), type(v.type), n(v.n) {}
    /// Elements [first, first + count). \throws shape_error if there are no such
    [[nodiscard]] constexpr storage_view sub(std::size_t first, std::size_t count) const {
        expects_shape(first <= n && count <= n - first, "storage_view::sub: out of range");
        return {data + static_cast<std::ptrdiff_t>(first * size_of(type)), type, count};
    }
};

/// Host bytes as elements. \throws shape_error if they are no whole number of elements
inline storage_view<std::byte const *> storage_of(std::span<std::byte const> bytes, dtype type) {
    expects_shape(bytes.size() % size_of(type) == 0, "storage_of: the bytes are no whole number of elements");
    return {bytes.data(), type, bytes.size() / size_of(type)};
}
/// The same, to be written too.
inline storage_view<std::byte *> storage_of(std::span<std::byte> bytes, dtype type) {
    expects_shape(bytes.size() % size_of(type) == 0, "storage_of: the bytes are no whole number of elements");
    return {bytes.data(), type, bytes.size() / size_of(type)};
}

/// Several operands of one kind. Refers to the span's elements.
template <class Operand> struct list {
    std::span<Operand const> items; ///< not owned
    /// Of what a span refers to.
    explicit constexpr list(std::span<Operand const> s) : items(s) {}
    /// Of what a contiguous container holds, which has to outlive the call.
    template <class Range> explicit constexpr list(Range const & r) : items(r.data(), r.size()) {}
};
/// list(container): of its elements.
template <class Range> list(Range const &) -> list<typename Range::value_type>;

LATHE_NAMESPACE_END
