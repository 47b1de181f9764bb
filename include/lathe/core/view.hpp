#pragma once
/// \file  Non-owning views over a backend's pointer. One layout: row-major with a leading dimension.
#include <lathe/core/error.hpp>
#include <lathe/core/pointer.hpp>

#include <span>
#include <utility>

LATHE_NAMESPACE_BEGIN

/// Another pointer that converts to P, as T * does to T const *: what a view of P can be made from.
template <class Q, class P>
concept other_pointer_to = !std::same_as<P, Q> && device_pointer<Q> && std::convertible_to<Q, P>;

/// n elements from a position on.
template <device_pointer P> struct vec_view {
    using element_type = pointee_t<P>; ///< what P points to, const or not
    P data;                            ///< element 0
    std::size_t n;                     ///< elements
    /// `count` elements from p on; not checked, not owned.
    constexpr vec_view(P p, std::size_t count) : data(std::move(p)), n(count) {}
    /// vec_view<T*> to vec_view<T const*>, for any fancy pointer.
    template <other_pointer_to<P> Q>
    constexpr vec_view(vec_view<Q> v)
        : data(std::move(v.data)), n(v.n) {} // (): braces would elide into an aggregate pointer
    /// Elements, as in std::span.
    [[nodiscard]] constexpr std::size_t size() const noexcept { return n; }
    /// Elements [first, first + count). \throws shape_error if there are no such
    [[nodiscard]] constexpr vec_view sub(std::size_t first, std::size_t count) const {
        expects_shape(first <= n && count <= n - first, "vec_view::sub: out of range");
        return {data + static_cast<std::ptrdiff_t>(first), count};
    }
};

/// rows x cols, row-major, `ld` elements from one row to the next.
template <device_pointer P> struct mat_view {
    using element_type = pointee_t<P>; ///< what P points to, const or not
    P data;                            ///< element (0, 0)
    std::size_t rows,                  ///< each of `cols` elements
        cols,                          ///< elements of a row
        ld;                            ///< elements from the beginning of a row to that of the next
    /// \throws shape_error if the leading dimension is shorter than a row
    constexpr mat_view(P p, std::size_t r, std::size_t c, std::size_t stride)
        : data(std::move(p)), rows(r), cols(c), ld(stride) {
        expects_shape(r <= 1 || stride >= c, "mat_view: leading dimension shorter than a row");
    }
    /// Rows without gaps.
    constexpr mat_view(P p, std::size_t r, std::size_t c) : mat_view(std::move(p), r, c, c) {}
    /// mat_view<T *> to mat_view<T const *>.
    template <other_pointer_to<P> Q>
    constexpr mat_view(mat_view<Q> m) : mat_view(std::move(m.data), m.rows, m.cols, m.ld) {}
    /// Row i. \throws shape_error if there is none
    [[nodiscard]] constexpr vec_view<P> row(std::size_t i) const {
        expects_shape(i < rows, "mat_view::row: out of range");
        return {data + static_cast<std::ptrdiff_t>(i * ld), cols};
    }
    /// The same with fewer rows. \throws shape_error if there are not so many
    [[nodiscard]] constexpr mat_view first_rows(std::size_t count) const {
        expects_shape(count <= rows, "mat_view::first_rows: out of range");
        return {data, count, cols, ld};
    }
};

/// How gemm takes an operand.
enum class op : unsigned char {
    none,     ///< as it is
    transpose ///< rows for columns
};

/// Any contiguous host range (std::span, Eigen::Map, xt::adapt, an mmap) is a view already.
template <class T, std::size_t Extent> constexpr vec_view<T *> view_of(std::span<T, Extent> s) noexcept {
    return {s.data(), s.size()};
}
/// A vector seen as a matrix, row after row. \throws shape_error unless it has rows times cols elements
template <class P> constexpr mat_view<P> as_matrix(vec_view<P> v, std::size_t rows, std::size_t cols) {
    expects_shape(rows * cols == v.n, "as_matrix: the number of elements differs");
    return {v.data, rows, cols};
}

LATHE_NAMESPACE_END
