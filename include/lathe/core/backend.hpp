#pragma once
/// \file  The backend concept tower. An algorithm names the lowest floor it can live on.
///
/// A backend is an OBJECT (it owns a queue, a kernel cache, an executor) passed first to every call. It is extended by
/// MEMBER functions only; nothing is specialised and nothing is found by ADL. Operations on one backend object are
/// observed in program order. What returns a host value (reduce, dot, download) is complete when it returns; the rest
/// may still run. A backend object belongs to one thread at a time. n == 0 is legal everywhere.
#include <lathe/core/kernel.hpp>

#include <tuple>

LATHE_NAMESPACE_BEGIN

/// A position in B's memory; T may be const.
template <class B, class T> using pointer_t = typename B::template pointer<T>;
template <class B, class T> using buffer_t = typename B::template buffer<T>; ///< the owner of elements in B's memory
template <class B, class T> using vec = vec_view<pointer_t<B, T>>; ///< elements in B's memory that can be written
template <class B, class T> using cvec = vec_view<pointer_t<B, T const>>; ///< elements in B's memory to be read
/// A row-major matrix in B's memory that can be written.
template <class B, class T> using mat = mat_view<pointer_t<B, T>>;
/// A row-major matrix in B's memory to be read.
template <class B, class T> using cmat = mat_view<pointer_t<B, T const>>;

/// Kernels the concepts are asked with.
namespace probe {
inline constexpr auto copy = [](auto const & x) { return x; }; ///< one input, one output: what has_map asks with
/// One input, one sum: what has_reduce asks with.
inline constexpr auto square = [](auto & sums, auto const & x) { sums.add(0, x * x); };
} // namespace probe

// One named atom per operation: a diagnostic then names the operation that is missing.

/// buffer<T> allocate<T>(n): n elements, of unspecified value; move-only, `.view()` gives vec<B, T>.
template <class B, class T>
concept has_allocate = requires(B & be, std::size_t n) {
    { be.template allocate<T>(n) } -> std::same_as<buffer_t<B, T>>;
};
/// upload(host, y): returns when the host may reuse its memory.
template <class B, class T>
concept has_upload = requires(B & be, std::span<T const> s, vec<B, T> y) { be.upload(s, y); };
/// download(x, host): blocks.
template <class B, class T>
concept has_download = requires(B & be, cvec<B, T> x, std::span<T> d) { be.download(x, d); };
/// sync(): blocks until everything asked for is done.
template <class B>
concept has_sync = requires(B & be) { be.sync(); };

/// Memory: allocate, move across the bus, wait.
template <class B, class T>
concept storage = real<T> && device_pointer<pointer_t<B, T>> && device_pointer<pointer_t<B, T const>>
                  && std::convertible_to<pointer_t<B, T>, pointer_t<B, T const>> && std::movable<buffer_t<B, T>>
                  && requires(buffer_t<B, T> & b) {
                         { b.view() } -> std::same_as<vec<B, T>>;
                     } && has_allocate<B, T> && has_upload<B, T> && has_download<B, T> && has_sync<B>;

/// Pointers are plain: kernels run by core/host.hpp, and every operation below is there for free.
template <class B, class T>
concept host_addressable = storage<B, T> && std::same_as<pointer_t<B, T>, T *>;

/// map<T>(kernel, tuple of outputs, in...): see core/kernel.hpp.
template <class B, class T>
concept has_map = host_addressable<B, T>
                  || requires(B & be, vec<B, T> y, cvec<B, T> x) { be.template map<T>(probe::copy, std::tuple{y}, x); };
/// reduce<T>(kernel, totals, in...): adds to totals.
template <class B, class T>
concept has_reduce = host_addressable<B, T> || requires(B & be, std::span<double> totals, cvec<B, T> x) {
    be.template reduce<T>(probe::square, totals, x);
};
/// fill(a, y): y := a; not needed beside map. So are copy, scale and axpy; dot is not needed beside reduce.
template <class B, class T>
concept has_fill = has_map<B, T> || requires(B & be, T a, vec<B, T> y) { be.fill(a, y); };
/// copy(x, y): y := x.
template <class B, class T>
concept has_copy = has_map<B, T> || requires(B & be, cvec<B, T> x, vec<B, T> y) { be.copy(x, y); };
/// scale(a, y): y := a y.
template <class B, class T>
concept has_scale = has_map<B, T> || requires(B & be, T a, vec<B, T> y) { be.scale(a, y); };
/// axpy(a, x, y): y := a x + y.
template <class B, class T>
concept has_axpy = has_map<B, T> || requires(B & be, T a, cvec<B, T> x, vec<B, T> y) { be.axpy(a, x, y); };
/// dot(x, y): the inner product, as a T; blocks.
template <class B, class T>
concept has_dot = has_reduce<B, T> || requires(B & be, cvec<B, T> x) {
    { be.dot(x, x) } -> std::same_as<T>;
};
/// gemm(op, op, a, A, B, b, C): C = a op(A) op(B) + b C; C is not read where b is 0.
template <class B, class T>
concept has_gemm =
    host_addressable<B, T> || requires(B & be, op o, T a, cmat<B, T> A, mat<B, T> C) { be.gemm(o, o, a, A, A, a, C); };

/// Linear combinations.
template <class B, class T>
concept vector_space = storage<B, T> && has_fill<B, T> && has_copy<B, T> && has_scale<B, T> && has_axpy<B, T>;
/// Adds an inner product (and so a norm): what first-order methods over resident vectors need.
template <class B, class T>
concept inner_product_space = vector_space<B, T> && has_dot<B, T>;
/// Adds kernels: what everything that streams checkpoints needs.
template <class B, class T>
concept elementwise = inner_product_space<B, T> && has_map<B, T> && has_reduce<B, T>;
/// Adds products of matrices: what factorisations and batches of rows are composed from.
template <class B, class T>
concept matrix_space = elementwise<B, T> && has_gemm<B, T>;

/// Kernels of B take storage_view operands: elements are widened and rounded where they are. Plain pointers always do.
template <class B, class T>
concept has_storage_operands = host_addressable<B, T> || (has_map<B, T> && B::storage_operands);

LATHE_NAMESPACE_END
