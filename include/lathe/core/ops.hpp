#pragma once
/// \file  The operations algorithms call: ops::x(be, ...). Each checks extents, uses the backend's member of that name
///        if there is one, else a default written in simpler operations.
///
/// The object and the member are different entities, so a default can never call itself. A backend states which members
/// it meant to be used by `static_assert(all_live<backend, T, ops::axpby_fn, ...>)`: a drifted signature fails there.
#include <lathe/core/backend.hpp>
#include <lathe/core/gemm.hpp>
#include <lathe/core/host.hpp>

LATHE_NAMESPACE_BEGIN
namespace host {

/// Plain pointers, so host kernels apply.
template <class Operand> inline constexpr bool is_host_operand = true;
/// Views by their pointer, lists by their items.
///@{
template <class P> inline constexpr bool is_host_operand<vec_view<P>> = std::is_pointer_v<P>;
template <class P> inline constexpr bool is_host_operand<storage_view<P>> = std::is_pointer_v<P>;
template <class O> inline constexpr bool is_host_operand<list<O>> = is_host_operand<O>;
///@}

/// The backend's executor, or the serial one.
template <class B> decltype(auto) executor_of(B & be) {
    if constexpr (requires { be.executor(); })
        return (be.executor());
    else
        return serial_executor{};
}

} // namespace host

namespace ops {

/// Holds an operand against an extent; nothing for what has no extent of its own. \throws shape_error with `what`
template <class Operand> constexpr void expect_extent(Operand const & operand, std::size_t n, char const * what) {
    if constexpr (requires { operand.items; }) {
        for (auto const & item : operand.items)
            expect_extent(item, n, what);
    } else if constexpr (requires { operand.n; })
        expects_shape(operand.n == n, what);
}

/// Elements of an operand that has an extent. \throws shape_error for a list without items
template <class Operand> constexpr std::size_t extent_of(Operand const & operand) {
    if constexpr (requires { operand.items; }) {
        expects_shape(!operand.items.empty(), "the operand that tells the extent is an empty list");
        return extent_of(operand.items.front());
    } else
        return operand.n;
}

/// out[i] = kernel(in[i]...): one pass over every operand. Operands: core/kernel.hpp. `out` is a view or a tuple of
/// views.
/// \throws shape_error if the extents differ; unsupported_error for elements without arithmetic
template <real T> struct map_fn {
    /// With several outputs: the kernel returns a std::array of as many values.
    template <class B, class Kernel, class... Outs, class... Ins>
        requires has_map<B, T>
    void operator()(B & be, Kernel const & kernel, std::tuple<Outs...> const & outs, Ins const &... ins) const {
        auto const n = std::get<0>(outs).n;
        std::apply([&](auto const &... out) { (expect_extent(out, n, "map: the extents differ"), ...); }, outs);
        (expect_extent(ins, n, "map: the extents differ"), ...);
        if constexpr (requires { be.template map<T>(kernel, outs, ins...); })
            be.template map<T>(kernel, outs, ins...);
        else {
            static_assert(host_addressable<B, T>, "the backend's map does not take these operands");
            auto && e = host::executor_of(be);
            host::map<T>(e, kernel, n, outs, ins...);
        }
    }
    /// With one output.
    template <class B, class Kernel, class Out, class... Ins>
        requires has_map<B, T>
    void operator()(B & be, Kernel const & kernel, Out const & out, Ins const &... ins) const {
        (*this)(be, kernel, std::tuple<Out>{out}, ins...);
    }
};
template <real T> inline constexpr map_fn<T> map{}; ///< ops::map<T>(be, kernel, out, in...): see map_fn

/// totals[k] += what the kernel adds to sums k over all elements: one pass, however many sums. Blocks. Contract of the
/// sums: core/host.hpp. A few sums, of a number the compiler knows (std::span<double, 6>), are the fastest.
/// \throws shape_error, unsupported_error
template <real T> struct reduce_fn {
    /// With a number of sums that only the run knows.
    template <class B, class Kernel, class First, class... Ins>
        requires has_reduce<B, T>
    void operator()(B & be, Kernel const & kernel, std::span<double> totals, First const & first,
                    Ins const &... ins) const {
        run(be, kernel, totals, first, ins...);
    }
    /// With a number of sums that the compiler knows: on plain pointers they stay in registers.
    template <class B, class Kernel, std::size_t Sums, class First, class... Ins>
        requires has_reduce<B, T>
    void operator()(B & be, Kernel const & kernel, std::span<double, Sums> totals, First const & first,
                    Ins const &... ins) const {
        run(be, kernel, totals, first, ins...);
    }

private:
    template <class B, class Kernel, std::size_t Sums, class First, class... Ins>
    static void run(B & be, Kernel const & kernel, std::span<double, Sums> totals, First const & first,
                    Ins const &... ins) {
        auto const n = extent_of(first);
        (expect_extent(first, n, "reduce: the extents differ"), ...,
         expect_extent(ins, n, "reduce: the extents differ"));
        if (totals.empty())
            return;
        if constexpr (requires { be.template reduce<T>(kernel, std::span<double>{totals}, first, ins...); })
            be.template reduce<T>(kernel, std::span<double>{totals}, first, ins...);
        else {
            static_assert(host_addressable<B, T>, "the backend's reduce does not take these operands");
            auto && e = host::executor_of(be);
            host::reduce<T>(e, kernel, n, totals, first, ins...);
        }
    }
};
template <real T> inline constexpr reduce_fn<T> reduce{}; ///< ops::reduce<T>(be, kernel, totals, in...): see reduce_fn

namespace kernels {
/// The values of a kernel(sums, in...) that returns values and adds to sums, without the sums.
template <class Kernel> struct values_of {
    /// What is added here is forgotten.
    struct nowhere {
        /// Adds nothing.
        template <class Value> constexpr void add(std::size_t, Value const &) const {}
    };
    /// \returns what the kernel returns
    template <class... Ins> constexpr auto operator()(Ins const &... ins) const {
        nowhere sums;
        return Kernel{}(sums, ins...);
    }
};
/// The sums of such a kernel, without its values.
template <class Kernel> struct sums_of {
    /// Adds what the kernel adds.
    template <class Sums, class... Ins> constexpr void operator()(Sums & sums, Ins const &... ins) const {
        Kernel{}(sums, ins...);
    }
};
} // namespace kernels

/// out[i] = kernel(sums, in[i]...), which also adds to sums; totals[k] += what it adds to sums k. Blocks. One pass
/// where pointers are plain or the backend has the member, else a reduction and then a map. \throws shape_error,
/// unsupported_error
template <real T> struct map_reduce_fn {
    /// With several outputs: the kernel returns a std::array of as many values.
    template <class B, class Kernel, class... Outs, class... Ins>
        requires has_map<B, T> && has_reduce<B, T>
    void operator()(B & be, Kernel const & kernel, std::tuple<Outs...> const & outs, std::span<double> totals,
                    Ins const &... ins) const {
        auto const n = std::get<0>(outs).n;
        std::apply([&](auto const &... out) { (expect_extent(out, n, "map_reduce: the extents differ"), ...); }, outs);
        (expect_extent(ins, n, "map_reduce: the extents differ"), ...);
        if constexpr (requires { be.template map_reduce<T>(kernel, outs, totals, ins...); })
            be.template map_reduce<T>(kernel, outs, totals, ins...);
        else if constexpr (host_addressable<B, T>) {
            auto && e = host::executor_of(be);
            host::map_reduce<T>(e, kernel, n, outs, totals, ins...);
        } else { // in this order, as an output may be an input
            reduce<T>(be, kernels::sums_of<Kernel>{}, totals, ins...);
            map<T>(be, kernels::values_of<Kernel>{}, outs, ins...);
        }
    }
    /// With one output.
    template <class B, class Kernel, class Out, class... Ins>
        requires has_map<B, T> && has_reduce<B, T>
    void operator()(B & be, Kernel const & kernel, Out const & out, std::span<double> totals,
                    Ins const &... ins) const {
        (*this)(be, kernel, std::tuple<Out>{out}, totals, ins...);
    }
};
/// ops::map_reduce<T>(be, kernel, out, totals, in...): see map_reduce_fn.
template <real T> inline constexpr map_reduce_fn<T> map_reduce{};

namespace kernels {
inline constexpr auto identity = [](auto const & x) { return x; };                                     ///< x
inline constexpr auto product = [](auto const & a, auto const & x) { return a * x; };                  ///< a x
inline constexpr auto axpy = [](auto const & a, auto const & x, auto const & y) { return a * x + y; }; ///< a x + y
/// a x + b y
inline constexpr auto axpby = [](auto const & a, auto const & x, auto const & b, auto const & y) {
    return a * x + b * y;
};
inline constexpr auto dot = [](auto & sums, auto const & x, auto const & y) { sums.add(0, x * y); }; ///< sum 0 of x y
/// Sums k of xs[k] y.
inline constexpr auto dot_many = [](auto & sums, auto const & y, auto const & xs) {
    for (std::size_t k = 0; k != xs.size(); ++k)
        sums.add(k, xs[k] * y);
};
/// Sum 0 of x - x: 0 for every finite x, NaN for the others.
inline constexpr auto difference_to_itself = [](auto & sums, auto const & x) { sums.add(0, x - x); };
} // namespace kernels

/// The element type an operand's view is over.
template <class V> using value_of = std::remove_const_t<typename V::element_type>;

/// y := a.
struct fill_fn {
    /// T is the element type of y.
    template <class B, class P, class T = value_of<vec_view<P>>>
        requires has_fill<B, T>
    void operator()(B & be, std::type_identity_t<T> a, vec_view<P> y) const {
        if constexpr (requires { be.fill(a, y); })
            be.fill(a, y);
        else
            map<T>(be, kernels::identity, y, a);
    }
};
inline constexpr fill_fn fill{}; ///< ops::fill(be, a, y): see fill_fn

/// y := x.
struct copy_fn {
    /// \throws shape_error if the extents differ
    template <class B, class P, class Q, class T = value_of<vec_view<Q>>>
        requires has_copy<B, T>
    void operator()(B & be, vec_view<P> x, vec_view<Q> y) const {
        expects_shape(x.n == y.n, "copy: the extents differ");
        if constexpr (requires { be.copy(cvec<B, T>(x), y); })
            be.copy(cvec<B, T>(x), y);
        else
            map<T>(be, kernels::identity, y, x);
    }
};
inline constexpr copy_fn copy{}; ///< ops::copy(be, x, y): see copy_fn

/// y := a y.
struct scale_fn {
    /// T is the element type of y.
    template <class B, class P, class T = value_of<vec_view<P>>>
        requires has_scale<B, T>
    void operator()(B & be, std::type_identity_t<T> a, vec_view<P> y) const {
        if constexpr (requires { be.scale(a, y); })
            be.scale(a, y);
        else
            map<T>(be, kernels::product, y, a, y);
    }
};
inline constexpr scale_fn scale{}; ///< ops::scale(be, a, y): see scale_fn

/// y := a x + y.
struct axpy_fn {
    /// \throws shape_error if the extents differ
    template <class B, class P, class Q, class T = value_of<vec_view<Q>>>
        requires has_axpy<B, T>
    void operator()(B & be, std::type_identity_t<T> a, vec_view<P> x, vec_view<Q> y) const {
        expects_shape(x.n == y.n, "axpy: the extents differ");
        if constexpr (requires { be.axpy(a, cvec<B, T>(x), y); })
            be.axpy(a, cvec<B, T>(x), y);
        else
            map<T>(be, kernels::axpy, y, a, x, y);
    }
};
inline constexpr axpy_fn axpy{}; ///< ops::axpy(be, a, x, y): see axpy_fn

/// y := a x + b y; x and y do not overlap. Without kernels: scale, then axpy (5 transfers an element instead of 3).
struct axpby_fn {
    /// Whether it is one pass over x and y on B.
    template <class B, class T>
    static constexpr bool fused =
        has_map<B, T> || requires(B & be, T a, cvec<B, T> x, vec<B, T> y) { be.axpby(a, x, a, y); };

    /// \throws shape_error if the extents differ
    template <class B, class P, class Q, class T = value_of<vec_view<Q>>>
        requires vector_space<B, T>
    void operator()(B & be, std::type_identity_t<T> a, vec_view<P> x, std::type_identity_t<T> b, vec_view<Q> y) const {
        expects_shape(x.n == y.n, "axpby: the extents differ");
        if constexpr (requires { be.axpby(a, cvec<B, T>(x), b, y); })
            be.axpby(a, cvec<B, T>(x), b, y);
        else if constexpr (has_map<B, T>)
            map<T>(be, kernels::axpby, y, a, x, b, y);
        else {
            scale_fn{}(be, b, y);
            axpy_fn{}(be, a, x, y);
        }
    }
};
inline constexpr axpby_fn axpby{}; ///< ops::axpby(be, a, x, b, y): see axpby_fn

/// <x, y>. Blocks. |error| <= 32 eps |x| |y| for n <= 2^24; of doubles, whose blocks are summed in double too, (32 + n
/// / 2^15) eps.
struct dot_fn {
    /// \throws shape_error if the extents differ
    template <class B, class P, class Q, class T = value_of<vec_view<P>>>
        requires has_dot<B, T>
    double operator()(B & be, vec_view<P> x, vec_view<Q> y) const {
        expects_shape(x.n == y.n, "dot: the extents differ");
        if constexpr (requires { be.dot(cvec<B, T>(x), cvec<B, T>(y)); })
            return static_cast<double>(be.dot(cvec<B, T>(x), cvec<B, T>(y)));
        else {
            double total = 0;
            reduce<T>(be, kernels::dot, std::span<double, 1>{&total, 1}, x, y);
            return total;
        }
    }
};
inline constexpr dot_fn dot{}; ///< ops::dot(be, x, y): see dot_fn

/// out[k] := <x_k, y> for all k. With kernels in one pass and one synchronisation, else a dot each.
struct dot_many_fn {
    /// Whether y is read once on B, however many x there are.
    template <class B, class T> static constexpr bool fused = has_reduce<B, T>;

    /// \throws shape_error if the extents differ, or there is not one output for each vector
    template <class B, class P, class Q, class T = value_of<vec_view<Q>>>
        requires has_dot<B, T>
    void operator()(B & be, std::span<vec_view<P> const> xs, vec_view<Q> y, std::span<double> out) const {
        expects_shape(xs.size() == out.size(), "dot_many: one output for each vector");
        if constexpr (has_reduce<B, T>) {
            std::fill(out.begin(), out.end(), 0.0);
            reduce<T>(be, kernels::dot_many, out, y, list(xs));
        } else
            for (std::size_t k = 0; k != xs.size(); ++k)
                out[k] = dot_fn{}(be, xs[k], y);
    }
};
inline constexpr dot_many_fn dot_many{}; ///< ops::dot_many(be, xs, y, out): see dot_many_fn

/// C := a op(A) op(B) + b C; C is not read where b is 0. \throws shape_error
struct gemm_fn {
    /// T is the element type of C.
    template <class B, class P, class Q, class R, class T = typename mat_view<R>::element_type>
        requires has_gemm<B, T>
    void operator()(B & be, op oa, op ob, std::type_identity_t<T> alpha, mat_view<P> A, mat_view<Q> Bm,
                    std::type_identity_t<T> beta, mat_view<R> C) const {
        auto const rows = oa == op::none ? A.rows : A.cols, inner = oa == op::none ? A.cols : A.rows;
        auto const inner_b = ob == op::none ? Bm.rows : Bm.cols, cols = ob == op::none ? Bm.cols : Bm.rows;
        expects_shape(inner == inner_b && rows == C.rows && cols == C.cols, "gemm: the extents do not fit");
        if constexpr (requires { be.gemm(oa, ob, alpha, cmat<B, T>(A), cmat<B, T>(Bm), beta, C); })
            be.gemm(oa, ob, alpha, cmat<B, T>(A), cmat<B, T>(Bm), beta, C);
        else {
            static_assert(host_addressable<B, T>, "the backend's gemm does not take these operands");
            auto && e = host::executor_of(be);
            host::gemm<T>(e, oa, ob, alpha, cmat<B, T>(A), cmat<B, T>(Bm), beta, C);
        }
    }
};
inline constexpr gemm_fn gemm{}; ///< ops::gemm(be, oa, ob, a, A, B, b, C): see gemm_fn

/// Whether every element is finite. One pass; blocks.
struct all_finite_fn {
    /// False for the first NaN or infinity, wherever it is.
    template <class B, class P, class T = value_of<vec_view<P>>>
        requires has_reduce<B, T>
    bool operator()(B & be, vec_view<P> x) const {
        double total = 0;
        reduce<T>(be, kernels::difference_to_itself, std::span{&total, 1}, x);
        return total == 0;
    }
};
inline constexpr all_finite_fn all_finite{}; ///< ops::all_finite(be, x): see all_finite_fn

} // namespace ops

/// Whether each of these operations runs in one pass on B, by a member or by kernels.
template <class B, class T, class... Ops> inline constexpr bool all_live = (Ops::template fused<B, T> && ...);

LATHE_NAMESPACE_END
