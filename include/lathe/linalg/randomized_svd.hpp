#pragma once
/// \file  The largest singular triplets from a random sketch (Halko, Martinsson and Tropp 2011), as torch.svd_lowrank
///        takes them: a fixed number of passes, and no word about the error. partial_svd is as fast and has one.
#include <lathe/linalg/partial_svd.hpp>

LATHE_NAMESPACE_BEGIN
namespace linalg {

/// Options of randomized_svd with a sketch that is drawn.
struct randomized_svd_options {
    std::size_t iterations = 4;   ///< passes over A A^T
    std::size_t oversampling = 0; ///< rows of the sketch beyond r; PyTorch, and so PEFT, have none
    std::uint64_t seed = 0;       ///< of the sketch
};

/// randomized_svd(be, a, r, sketch, iterations): the sketch is given, (at least r) x rows of a: Omega^T.
/// randomized_svd(be, a, r, options): it is drawn, uniform on +-1/2.
///
/// The range of A^T Omega, orthonormalised after every product, then the decomposition of A Q, as torch.svd_lowrank
/// does where it has fewer columns than A. The result depends on the sketch alone. Time 4 (iterations + 1) q rows cols
/// for a sketch of q rows. Triplets that the sketch has not got are 0. The bounds are infinite: none is computed.
/// \throws option_error, shape_error, non_finite_error
struct randomized_svd_fn {
    /// With a sketch that is given: at least r and at most min(a.rows, a.cols) rows, a.rows columns.
    template <class B, class P, class Q, class T = std::remove_const_t<pointee_t<P>>>
        requires matrix_space<B, T>
    partial_svd_result<B, T> operator()(B & be, mat_view<P> a, std::size_t r, mat_view<Q> sketch,
                                        std::size_t iterations) const {
        auto const m = a.rows, n = a.cols, k = std::min(m, n);
        expects_option(r >= 1 && r <= k, "r", std::to_string(r), "a number from 1 to " + std::to_string(k));
        expects_shape(sketch.cols == m && sketch.rows >= r && sketch.rows <= k,
                      "randomized_svd: the sketch does not fit the matrix");
        auto const q = sketch.rows;
        auto right = be.template allocate<T>(q * n);
        auto left = be.template allocate<T>(q * m);
        auto spare = be.template allocate<T>(q * std::max(m, n));
        auto count = q;
        auto const rows = [&](buffer_t<B, T> & b, std::size_t cols) {
            return as_matrix(b.view().sub(0, count * cols), count, cols);
        };
        auto const orthonormalise = [&](buffer_t<B, T> & b, std::size_t cols) {
            auto const y = rows(b, cols);
            count = orthonormalise_rows<B, T>(be, y.first_rows(0), y, rows(spare, cols));
        };
        ops::gemm(be, op::none, op::none, T(1), sketch, a, T(0), rows(right, n));
        orthonormalise(right, n);
        for (std::size_t i = 0; i != iterations; ++i) {
            ops::gemm(be, op::none, op::transpose, T(1), rows(right, n), a, T(0), rows(left, m));
            orthonormalise(left, m);
            ops::gemm(be, op::none, op::none, T(1), rows(left, m), a, T(0), rows(right, n));
            orthonormalise(right, n);
        }
        auto const none = std::numeric_limits<double>::infinity();
        partial_svd_result<B, T> out{m,
                                     n,
                                     std::vector<double>(r),
                                     be.template allocate<T>(r * m),
                                     be.template allocate<T>(r * n),
                                     true,
                                     frobenius_norm(be, a),
                                     none,
                                     none,
                                     iterations,
                                     status::iteration_limit};
        ops::fill(be, T(0), out.left_rows.view());
        ops::fill(be, T(0), out.right_rows.view());
        if (count == 0)
            return out;
        ops::gemm(be, op::none, op::transpose, T(1), rows(right, n), a, T(0), rows(left, m));
        // A Q = (rows of left)^T: its right singular vectors turn Q, its left ones are those of A.
        host_eigenvectors const e(gram_of_rows(to_host(be, rows(left, m), op::none, "randomized_svd")));
        auto const taken = std::min(r, count);
        host_matrix turn(taken, count);
        for (std::size_t i = 0; i != taken; ++i)
            std::copy_n(e.rows.row(i), count, turn.row(i));
        auto memory = be.template allocate<T>(taken * count);
        auto const by = as_matrix(memory.view(), taken, count);
        from_host(be, turn, op::none, by);
        ops::gemm(be, op::none, op::none, T(1), by, rows(right, n), T(0), out.right().first_rows(taken));
        ops::gemm(be, op::none, op::none, T(1), by, rows(left, m), T(0), out.left().first_rows(taken));
        for (std::size_t i = 0; i != taken; ++i)
            out.s[i] = std::sqrt(ops::dot(be, out.left().row(i), out.left().row(i)));
        return out;
    }
    /// With r + oversampling rows that are drawn, at most the shorter side.
    template <class B, class P, class T = std::remove_const_t<pointee_t<P>>>
        requires matrix_space<B, T>
    partial_svd_result<B, T> operator()(B & be, mat_view<P> a, std::size_t r,
                                        randomized_svd_options const & options = {}) const {
        auto const q = std::min(r + options.oversampling, std::min(a.rows, a.cols));
        auto sketch = be.template allocate<T>(q * a.rows);
        ops::map<T>(be, kernels::centred, sketch.view(), random::uniform_stream{options.seed, 0, 0});
        return (*this)(be, a, r, as_matrix(sketch.view(), q, a.rows), options.iterations);
    }
};
/// The r largest singular triplets from a random sketch: randomized_svd_fn.
inline constexpr randomized_svd_fn randomized_svd{};

} // namespace linalg
LATHE_NAMESPACE_END
