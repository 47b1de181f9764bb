#pragma once
/// \file  Says to the author of a backend what is missing: one static_assert for each requirement of a floor.
///
///     static_assert(lathe::testing::explain_elementwise<my_backend, float>());
///
/// Where the concept alone would say that has_axpy is not satisfied, this says which member to write, and it lists all
/// that is missing at once.
#include <lathe/core/backend.hpp>

LATHE_NAMESPACE_BEGIN
namespace testing {

template <class B, class T> consteval bool explain_storage() {
    static_assert(real<T>, "lathe: T has to be float or double");
    static_assert(requires {
        requires device_pointer<pointer_t<B, T>>;
    }, "lathe: write `template <class T> using pointer = ...;`, copyable, with element_type and p + n of its own type");
    static_assert(requires { requires device_pointer<pointer_t<B, T const>>; },
                  "lathe: pointer<T const> is no device_pointer");
    static_assert(requires { requires std::convertible_to<pointer_t<B, T>, pointer_t<B, T const>>; },
                  "lathe: pointer<T> has to convert to pointer<T const>");
    static_assert(requires {
        requires std::movable<buffer_t<B, T>>;
    }, "lathe: write `template <class T> class buffer`, which owns memory and can be moved, also by assignment");
    static_assert(requires(buffer_t<B, T> & b) {
        { b.view() } -> std::same_as<vec<B, T>>;
    }, "lathe: write `vec_view<pointer<T>> view()` in buffer<T>");
    static_assert(has_allocate<B, T>, "lathe: write `template <class T> buffer<T> allocate(std::size_t n)`");
    static_assert(has_upload<B, T>, "lathe: write `void upload(std::span<T const>, vec_view<pointer<T>>)`");
    static_assert(has_download<B, T>,
                  "lathe: write `void download(vec_view<pointer<T const>>, std::span<T>)`, which blocks");
    static_assert(has_sync<B>, "lathe: write `void sync()`, which blocks until all work is done");
    return storage<B, T>;
}

template <class B, class T> consteval bool explain_vector_space() {
    static_assert(explain_storage<B, T>());
    static_assert(has_fill<B, T>, "lathe: write `void fill(T a, vec_view<pointer<T>> y)`, or map");
    static_assert(has_copy<B, T>,
                  "lathe: write `void copy(vec_view<pointer<T const>> x, vec_view<pointer<T>> y)`, or map");
    static_assert(has_scale<B, T>, "lathe: write `void scale(T a, vec_view<pointer<T>> y)`, or map");
    static_assert(has_axpy<B, T>,
                  "lathe: write `void axpy(T a, vec_view<pointer<T const>> x, vec_view<pointer<T>> y)`, or map");
    return vector_space<B, T>;
}

template <class B, class T> consteval bool explain_inner_product_space() {
    static_assert(explain_vector_space<B, T>());
    static_assert(has_dot<B, T>,
                  "lathe: write `T dot(vec_view<pointer<T const>> x, vec_view<pointer<T const>> y)`, or reduce");
    return inner_product_space<B, T>;
}

template <class B, class T> consteval bool explain_elementwise() {
    static_assert(explain_inner_product_space<B, T>());
    static_assert(has_map<B, T>,
                  "lathe: write `template <real T, class Kernel, class... Outs, class... Ins> void map(Kernel const "
                  "&, std::tuple<Outs...> const &, Ins const &...)`; operands: core/kernel.hpp");
    static_assert(has_reduce<B, T>,
                  "lathe: write `template <real T, class Kernel, class... Ins> void reduce(Kernel const &, "
                  "std::span<double> totals, Ins const &...)`, which adds to totals and blocks");
    return elementwise<B, T>;
}

template <class B, class T> consteval bool explain_matrix_space() {
    static_assert(explain_elementwise<B, T>());
    static_assert(has_gemm<B, T>,
                  "lathe: write `void gemm(op, op, T a, mat_view<pointer<T const>> A, mat_view<pointer<T const>> B, T "
                  "b, mat_view<pointer<T>> C)`, which does not read C where b is 0");
    return matrix_space<B, T>;
}

} // namespace testing
LATHE_NAMESPACE_END
