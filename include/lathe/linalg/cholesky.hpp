#pragma once
/// \file  Systems with a symmetric positive definite matrix.
#include <lathe/linalg/host_matrix.hpp>

LATHE_NAMESPACE_BEGIN
namespace linalg {
inline namespace LATHE_VECTOR_ABI {

/// A = L L^T; the lower triangle of A is read. Time n^3 / 3, memory that of A. The same bits for any number of threads.
template <class Executor> class cholesky {
    static constexpr std::size_t block = 64;

    Executor & threads_;
    host_matrix l_;
    double smallest_pivot_ = std::numeric_limits<double>::infinity();

    /// What the first j elements of rows p and q take from element (p, j) or (q, j).
    [[nodiscard]] double known_part(std::size_t p, std::size_t q, std::size_t j) const {
        auto const whole = j - j % host::packet_size<double>;
        auto sum = dot(l_.row(p), l_.row(q), whole);
        for (auto k = whole; k != j; ++k)
            sum += l_(p, k) * l_(q, k);
        return sum;
    }
    /// Column by column within the diagonal block. \returns whether all pivots were positive
    bool factor_diagonal(std::size_t first, std::size_t last) {
        for (auto j = first; j != last; ++j) {
            auto const diagonal = l_(j, j), pivot = diagonal - known_part(j, j, j);
            smallest_pivot_ = std::min(smallest_pivot_, diagonal > 0 ? pivot / diagonal : 0.0);
            if (!(smallest_pivot_ > 0))
                return false;
            l_(j, j) = std::sqrt(pivot);
            for (auto i = j + 1; i != last; ++i)
                l_(i, j) = (l_(i, j) - known_part(i, j, j)) / l_(j, j);
        }
        return true;
    }

public:
    /// Factors `a` on `threads`, which must outlive the object. Stops at the first pivot that is not positive: look at
    /// smallest_pivot() before solving.
    cholesky(Executor & threads, host_matrix a) : threads_{threads}, l_{std::move(a)} {
        auto const n = l_.rows();
        for (std::size_t first = 0; first < n; first += block) {
            auto const last = std::min(n, first + block);
            if (!factor_diagonal(first, last))
                return;
            threads_.parallel_for((n - last + block - 1) / block, [&](std::size_t task) {
                auto const begin = last + task * block;
                for (auto i = begin; i != std::min(n, begin + block); ++i)
                    for (auto j = first; j != last; ++j)
                        l_(i, j) = (l_(i, j) - known_part(i, j, j)) / l_(j, j);
            });
        }
        for (std::size_t i = 0; i != n; ++i)
            std::fill(l_.row(i) + i + 1, l_.row(i) + l_.stride(), 0.0);
    }
    /// The smallest of the pivots, each as a part of its diagonal element: what of that unknown the others leave open.
    /// Not positive if the factorisation stopped there.
    [[nodiscard]] double smallest_pivot() const noexcept { return smallest_pivot_; }

    /// Every row of x := A^-1 of it.
    void solve(host_matrix & x) {
        std::size_t const together = 16, n = l_.rows(); // right-hand sides that pass over L at once
        threads_.parallel_for((x.rows() + together - 1) / together, [&](std::size_t task) {
            auto const first = task * together, last = std::min(x.rows(), first + together);
            for (std::size_t i = 0; i != n; ++i) {
                auto const whole = i - i % host::packet_size<double>;
                for (auto r = first; r != last; ++r) {
                    auto sum = dot(l_.row(i), x.row(r), whole);
                    for (auto k = whole; k != i; ++k)
                        sum += l_(i, k) * x(r, k);
                    x(r, i) = (x(r, i) - sum) / l_(i, i);
                }
            }
            for (auto i = n; i-- != 0;)
                for (auto r = first; r != last; ++r) {
                    auto const value = x(r, i) / l_(i, i);
                    // The row of L is zero behind the diagonal, where whole packets reach.
                    axpy(-value, l_.row(i), x.row(r), (i / host::packet_size<double> + 1) * host::packet_size<double>);
                    x(r, i) = value;
                }
        });
    }
};

} // namespace LATHE_VECTOR_ABI

/// solve_spd(be, a, o, x, ridge, tolerance): op(x) := (a + ridge I)^-1 op(x): right-hand sides are the columns of x, or
/// its rows for op::transpose. The lower triangle of the symmetric matrix a is read.
///
/// \returns the smallest pivot as a part of its diagonal element: the part of one unknown that the others do not
/// determine, and a lower bound of what is left of the precision. At `tolerance` or below the system counts as
/// singular.
///
/// Computed in double whatever T is, rounded at the end. Blocks. A backend may do it:
/// double solve_spd(cmat<B, T> a, double ridge, op o, mat<B, T> x), in double as well; x is unspecified if the result
/// is not positive. Time and memory without that: n^3 / 3 + 2 k n^2, n^2 + k n doubles, on the host.
/// \throws shape_error; singular_error; non_finite_error. x is unspecified then
struct solve_spd_fn {
    /// \returns the smallest pivot; 1 of an empty system
    template <class B, class P, class Q, class T = pointee_t<Q>>
        requires elementwise<B, T>
    double operator()(B & be, mat_view<P> a, op o, mat_view<Q> x, double ridge = 0,
                      double tolerance = std::numeric_limits<double>::epsilon()) const {
        expects_shape(a.rows == a.cols, "solve_spd: the matrix is not square");
        expects_shape((o == op::none ? x.rows : x.cols) == a.rows, "solve_spd: the extents differ");
        if (a.rows == 0)
            return 1;
        double pivot;
        if constexpr (requires {
                          { be.solve_spd(cmat<B, T>(a), ridge, o, x) } -> std::same_as<double>;
                      }) {
            for (std::size_t i = 0; i != a.rows; ++i)
                if (!ops::all_finite(be, a.row(i)))
                    throw non_finite_error{"solve_spd: row " + std::to_string(i)
                                           + " of the matrix holds NaN or infinity"};
            pivot = be.solve_spd(cmat<B, T>(a), ridge, o, x);
            expect_regular(pivot, tolerance);
        } else {
            auto && threads = host::executor_of(be);
            auto lower = to_host(be, a, op::none, "solve_spd: matrix");
            for (std::size_t i = 0; i != a.rows; ++i)
                lower(i, i) += ridge;
            cholesky solver(threads, std::move(lower));
            pivot = solver.smallest_pivot();
            expect_regular(pivot, tolerance);
            auto const side = o == op::none ? op::transpose : op::none;
            auto rows = to_host(be, x, side, "solve_spd: right-hand side");
            solver.solve(rows);
            from_host(be, rows, side, x);
        }
        return pivot;
    }

private:
    static void expect_regular(double pivot, double tolerance) {
        if (!(pivot > std::max(0.0, tolerance)))
            throw singular_error{"solve_spd: the matrix is singular to working precision, or not positive"};
    }
};
/// Solves systems with a symmetric positive definite matrix: solve_spd_fn.
inline constexpr solve_spd_fn solve_spd{};

} // namespace linalg
LATHE_NAMESPACE_END
