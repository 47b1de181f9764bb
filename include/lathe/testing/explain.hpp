#pragma once
/// \file  Says to the author of a backend what is missing: one short diagnostic for each requirement of a floor.
///
///     static_assert(lathe::testing::explain<my_backend, float, lathe::testing::floor::elementwise>());
///
/// Where the concept alone would say that has_axpy is not satisfied, and why it is not, this says which member to
/// write. All that is missing is listed at once; what follows from memory is asked for when there is memory.
#include <lathe/core/backend.hpp>

LATHE_NAMESPACE_BEGIN
namespace testing {

/// One function for each requirement, on whether it is met: a diagnostic is about the message alone.
namespace write {
/// Whether it is there: the program is compiled then, and else the compiler says what to write.
///@{
template <bool met> consteval bool scalar() {
    static_assert(met, "lathe: T has to be float or double");
    return met;
}
template <bool met> consteval bool pointer() {
    static_assert(met,
                  "lathe: write `template <class T> using pointer = ...;`, copyable, with element_type and p + n of "
                  "its own type, for const T too; pointer<T> converts to pointer<T const>");
    return met;
}
template <bool met> consteval bool buffer() {
    static_assert(met, "lathe: write `template <class T> class buffer`, which owns memory and can be moved, also by "
                       "assignment");
    return met;
}
template <bool met> consteval bool view() {
    static_assert(met, "lathe: write `vec_view<pointer<T>> view()` in buffer<T>");
    return met;
}
template <bool met> consteval bool allocate() {
    static_assert(met, "lathe: write `template <class T> buffer<T> allocate(std::size_t n)`");
    return met;
}
template <bool met> consteval bool upload() {
    static_assert(met, "lathe: write `void upload(std::span<T const>, vec_view<pointer<T>>)`");
    return met;
}
template <bool met> consteval bool download() {
    static_assert(met, "lathe: write `void download(vec_view<pointer<T const>>, std::span<T>)`, which blocks");
    return met;
}
template <bool met> consteval bool sync() {
    static_assert(met, "lathe: write `void sync()`, which blocks until all work is done");
    return met;
}
template <bool met> consteval bool fill() {
    static_assert(met, "lathe: write `void fill(T a, vec_view<pointer<T>> y)`, or map");
    return met;
}
template <bool met> consteval bool copy() {
    static_assert(met, "lathe: write `void copy(vec_view<pointer<T const>> x, vec_view<pointer<T>> y)`, or map");
    return met;
}
template <bool met> consteval bool scale() {
    static_assert(met, "lathe: write `void scale(T a, vec_view<pointer<T>> y)`, or map");
    return met;
}
template <bool met> consteval bool axpy() {
    static_assert(met, "lathe: write `void axpy(T a, vec_view<pointer<T const>> x, vec_view<pointer<T>> y)`, or map");
    return met;
}
template <bool met> consteval bool dot() {
    static_assert(met, "lathe: write `T dot(vec_view<pointer<T const>> x, vec_view<pointer<T const>> y)`, or reduce");
    return met;
}
template <bool met> consteval bool map() {
    static_assert(met,
                  "lathe: write `template <real T, class Kernel, class... Outs, class... Ins> void map(Kernel const "
                  "&, std::tuple<Outs...> const &, Ins const &...)`; operands: core/kernel.hpp");
    return met;
}
template <bool met> consteval bool reduce() {
    static_assert(met, "lathe: write `template <real T, class Kernel, class... Ins> void reduce(Kernel const &, "
                       "std::span<double> totals, Ins const &...)`, which adds to totals and blocks");
    return met;
}
template <bool met> consteval bool gemm() {
    static_assert(met,
                  "lathe: write `void gemm(op, op, T a, mat_view<pointer<T const>> A, mat_view<pointer<T const>> B, T "
                  "b, mat_view<pointer<T>> C)`, which does not read C where b is 0");
    return met;
}
///@}
} // namespace write

/// pointer<T> and pointer<T const> are positions in memory, and the first converts to the second.
template <class B, class T>
concept has_pointer = device_pointer<pointer_t<B, T>> && device_pointer<pointer_t<B, T const>>
                      && std::convertible_to<pointer_t<B, T>, pointer_t<B, T const>>;
/// buffer<T> can be moved.
template <class B, class T>
concept has_buffer = std::movable<buffer_t<B, T>>;
/// A buffer gives its elements as a vector.
template <class B, class T>
concept has_view = requires(buffer_t<B, T> & b) {
    { b.view() } -> std::same_as<vec<B, T>>;
};

/// The floors of core/backend.hpp, each above the one before.
enum class floor : unsigned char {
    storage,             ///< memory
    vector_space,        ///< fill, copy, scale, axpy
    inner_product_space, ///< and dot
    elementwise,         ///< and kernels: map, reduce
    matrix_space         ///< and gemm
};

/// Always true: what is missing is an error of its own.
template <class B, class T, floor F> consteval bool explain() {
    write::scalar<real<T>>();
    write::pointer<has_pointer<B, T>>();
    write::buffer<has_buffer<B, T>>();
    write::sync<has_sync<B>>();
    if constexpr (has_pointer<B, T> && has_buffer<B, T>) {
        write::view<has_view<B, T>>();
        write::allocate<has_allocate<B, T>>();
        write::upload<has_upload<B, T>>();
        write::download<has_download<B, T>>();
    }
    if constexpr (storage<B, T> && (F == floor::vector_space || F == floor::inner_product_space)) {
        write::fill<has_fill<B, T>>();
        write::copy<has_copy<B, T>>();
        write::scale<has_scale<B, T>>();
        write::axpy<has_axpy<B, T>>();
    }
    if constexpr (storage<B, T> && F == floor::inner_product_space)
        write::dot<has_dot<B, T>>();
    if constexpr (storage<B, T> && F >= floor::elementwise) { // from here on the members above are kernels
        write::map<has_map<B, T>>();
        write::reduce<has_reduce<B, T>>();
    }
    if constexpr (storage<B, T> && F == floor::matrix_space)
        write::gemm<has_gemm<B, T>>();
    return true;
}

} // namespace testing
LATHE_NAMESPACE_END
