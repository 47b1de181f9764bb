#pragma once
/// \file  Singular value decomposition, and what follows from it at once: the polar factor.
#include <lathe/linalg/host_matrix.hpp>

#include <numeric>

LATHE_NAMESPACE_BEGIN
namespace linalg {
inline namespace LATHE_VECTOR_ABI {

/// The thin singular value decomposition of an m x n matrix, m >= n, by one-sided Jacobi rotations on the triangular
/// factor of a QR decomposition with column pivoting (Drmac and Veselic 2008): every singular value to high relative
/// accuracy where the matrix allows it, vectors orthonormal to rounding for any rank. Works on the transpose: a row of
/// `w` is a column of the matrix.
///
/// Time: 4 m n^2 for the triangle and as much to come back, 7 n^3 a sweep, 5 to 10 sweeps. Memory: 2 m n + n^2.
/// The same bits for any number of threads.
template <class Executor> class jacobi_svd {
    static constexpr std::size_t block =
        16; // vectors a task holds against as many others: 32 stay in the second-level cache
    static constexpr std::size_t sweep_limit = 40;

    Executor & threads_;
    host_matrix w_; // columns of the matrix, later the Householder vectors
    std::size_t m_, n_;
    host_matrix x_; // rows of the triangle, later the right vectors times the values
    host_matrix u_; // rotations, later the left vectors
    std::vector<double> tau_, values_, squares_;
    std::vector<std::size_t> column_; // of the matrix, at each place of the pivoted one
    std::vector<std::size_t> order_;  // of the values, descending

    static double squared_norm(double const * x, std::size_t n) { return dot(x, x, n); }
    static constexpr std::size_t whole_packets(std::size_t n) {
        return (n + host::packet_size<double> - 1) / host::packet_size<double> * host::packet_size<double>;
    }
    /// f(j) for first <= j < n, in parallel tasks of some 32768 elements.
    template <class F> void for_rows(std::size_t first, std::size_t n, F && f) {
        auto const chunk = std::max<std::size_t>(1, 32768 / m_);
        threads_.parallel_for((n - first + chunk - 1) / chunk, [&](std::size_t task) {
            auto const begin = first + task * chunk;
            for (auto j = begin; j != std::min(n, begin + chunk); ++j)
                f(j);
        });
    }
    /// y := (I - tau v v^T) y, where v starts at element k.
    void reflect(std::size_t k, double * y) const {
        auto const from = k - k % host::packet_size<double>, count = w_.stride() - from;
        auto const * const v = w_.row(k) + from;
        axpy(-tau_[k] * dot(v, y + from, count), v, y + from, count);
    }

    /// Householder QR with column pivoting: the triangle goes to x_, the vectors stay in w_.
    void triangularise() {
        std::vector<double> norm(n_), exact(n_); // of what is left of each column, and when it was last computed
        for (std::size_t j = 0; j != n_; ++j)
            exact[j] = norm[j] = std::sqrt(squared_norm(w_.row(j), w_.stride()));
        for (std::size_t k = 0; k != n_; ++k) {
            auto const pivot = static_cast<std::size_t>(
                std::max_element(norm.begin() + static_cast<std::ptrdiff_t>(k), norm.end()) - norm.begin());
            if (pivot != k) {
                std::swap_ranges(w_.row(k), w_.row(k) + w_.stride(), w_.row(pivot));
                std::swap(norm[k], norm[pivot]);
                std::swap(exact[k], exact[pivot]);
                std::swap(column_[k], column_[pivot]);
            }
            auto * const v = w_.row(k);
            for (std::size_t i = 0; i != k; ++i) {
                x_(i, k) = v[i];
                v[i] = 0;
            }
            auto const length = std::sqrt(squared_norm(v, w_.stride()));
            if (length == 0)
                continue; // tau is 0
            auto const diagonal = v[k] > 0 ? -length : length, scale = 1 / (v[k] - diagonal);
            tau_[k] = (diagonal - v[k]) / diagonal;
            x_(k, k) = diagonal;
            v[k] = 1;
            for (std::size_t i = k + 1; i != m_; ++i)
                v[i] *= scale;
            for_rows(k + 1, n_, [&](std::size_t j) {
                auto * const y = w_.row(j);
                reflect(k, y);
                if (norm[j] == 0)
                    return;
                auto const ratio = std::abs(y[k]) / norm[j], left = std::max(0.0, 1 - ratio * ratio);
                auto const since = norm[j] / exact[j];
                if (left * since * since > std::sqrt(std::numeric_limits<double>::epsilon()))
                    norm[j] *= std::sqrt(left);
                else { // downdating has lost its digits
                    double sum = 0;
                    for (std::size_t i = k + 1; i != m_; ++i)
                        sum += y[i] * y[i];
                    exact[j] = norm[j] = std::sqrt(sum);
                }
            });
        }
    }

    /// Makes rows p and q of x_ orthogonal. \returns whether they were not
    bool rotate_pair(std::size_t p, std::size_t q) {
        auto const count = whole_packets(n_);
        if (squares_[p] == 0 || squares_[q] == 0)
            return false;
        auto const product = dot(x_.row(p), x_.row(q), count);
        auto const bound = std::numeric_limits<double>::epsilon() * std::sqrt(static_cast<double>(n_));
        if (!(std::abs(product) > bound * std::sqrt(squares_[p]) * std::sqrt(squares_[q])))
            return false;
        auto const zeta = (squares_[q] - squares_[p]) / (2 * product);
        auto const t = (zeta < 0 ? -1 : 1) / (std::abs(zeta) + std::hypot(1.0, zeta));
        auto const c = 1 / std::sqrt(1 + t * t), s = c * t;
        rotate(c, s, x_.row(p), x_.row(q), count);
        rotate(c, s, u_.row(p), u_.row(q), count);
        squares_[p] = std::max(0.0, squares_[p] - t * product);
        squares_[q] = std::max(0.0, squares_[q] + t * product);
        return true;
    }
    /// One pass over all pairs, in rounds of blocks that do not meet. \returns whether anything was rotated
    bool sweep() {
        for (std::size_t j = 0; j != n_; ++j)
            squares_[j] = squared_norm(x_.row(j), x_.stride());
        auto const blocks = (n_ + block - 1) / block;
        std::vector<unsigned char> moved(blocks);
        auto const last = [&](std::size_t b) { return std::min(n_, (b + 1) * block); };
        threads_.parallel_for(blocks, [&](std::size_t b) {
            for (auto p = b * block; p != last(b); ++p)
                for (auto q = p + 1; q != last(b); ++q)
                    if (rotate_pair(p, q))
                        moved[b] = 1;
        });
        auto const places = blocks + blocks % 2; // a round-robin tournament; with an odd number of blocks one rests
        for (std::size_t round = 0; round + 1 < places; ++round)
            threads_.parallel_for(places / 2, [&](std::size_t i) {
                auto const seat = [&](std::size_t place) {
                    return place == 0 ? 0 : 1 + (place - 1 + round) % (places - 1);
                };
                auto const one = seat(i), other = seat(places - 1 - i), a = std::min(one, other),
                           b = std::max(one, other);
                if (b >= blocks)
                    return;
                for (auto p = a * block; p != last(a); ++p)
                    for (auto q = b * block; q != last(b); ++q)
                        if (rotate_pair(p, q))
                            moved[a] = 1;
            });
        return std::ranges::find(moved, 1) != moved.end();
    }
    /// Unit vectors in place of the rows of x_ from `rank` on in `order_`: orthogonal to the others.
    void complete(std::size_t rank) {
        auto const count = whole_packets(n_);
        std::size_t axis = 0;
        for (auto k = rank; k != n_; ++k) {
            auto * const y = x_.row(order_[k]);
            for (double length = 0; length < 0.5 / std::sqrt(static_cast<double>(n_)); ++axis) {
                std::fill(y, y + count, 0.0);
                y[axis % n_] = 1;
                for (int twice = 0; twice != 2; ++twice)
                    for (std::size_t i = 0; i != k; ++i)
                        axpy(-dot(x_.row(order_[i]), y, count), x_.row(order_[i]), y, count);
                length = std::sqrt(squared_norm(y, count));
            }
            auto const length = std::sqrt(squared_norm(y, count));
            for (std::size_t i = 0; i != n_; ++i)
                y[i] /= length;
        }
    }

public:
    /// \param columns a row for each column of the matrix; finite; no more rows than columns
    jacobi_svd(Executor & threads, host_matrix columns)
        : threads_{threads}, w_{std::move(columns)}, m_{w_.cols()}, n_{w_.rows()}, x_(n_, n_), u_(n_, m_), tau_(n_),
          values_(n_), squares_(n_), column_(n_), order_(n_) {
        std::iota(column_.begin(), column_.end(), std::size_t{0});
        std::iota(order_.begin(), order_.end(), std::size_t{0});
        double largest = 0;
        for (std::size_t j = 0; j != n_; ++j)
            for (std::size_t i = 0; i != m_; ++i)
                largest = std::max(largest, std::abs(w_(j, i)));
        int exponent = 0; // squares must neither overflow nor vanish
        std::frexp(largest, &exponent);
        for (std::size_t j = 0; j != n_; ++j)
            for (std::size_t i = 0; i != m_; ++i)
                w_(j, i) = std::ldexp(w_(j, i), -exponent);
        triangularise();
        for (std::size_t j = 0; j != n_; ++j)
            u_(j, j) = 1;
        for (std::size_t s = 0; s != sweep_limit && sweep(); ++s) {}
        for (std::size_t j = 0; j != n_; ++j)
            values_[j] = std::sqrt(squared_norm(x_.row(j), x_.stride()));
        std::ranges::sort(order_, {}, [&](std::size_t j) { return std::pair{-values_[j], j}; });
        std::size_t rank = 0;
        for (; rank != n_ && values_[order_[rank]] != 0; ++rank)
            for (auto * y = x_.row(order_[rank]); auto & v : std::span{y, n_})
                v /= values_[order_[rank]];
        complete(rank);
        for (std::size_t j = 0; j != n_; ++j) { // thousands of rotations have changed the lengths by a little
            auto const length = std::sqrt(squared_norm(u_.row(j), u_.stride()));
            for (auto & v : std::span{u_.row(j), n_})
                v /= length;
        }
        threads_.parallel_for((n_ + block - 1) / block, [&](std::size_t task) {
            for (auto k = n_; k-- != 0;)
                for (auto j = task * block; j != std::min(n_, (task + 1) * block); ++j)
                    reflect(k, u_.row(j));
        });
        for (auto & v : values_)
            v = std::ldexp(v, exponent);
    }

    /// Writes the triplets, one a row, descending.
    void extract(host_matrix & left, std::span<double> s, host_matrix & right) const {
        for (std::size_t k = 0; k != n_; ++k) {
            auto const j = order_[k];
            s[k] = values_[j];
            std::copy_n(u_.row(j), m_, left.row(k));
            for (std::size_t i = 0; i != n_; ++i)
                right(k, column_[i]) = x_(j, i);
        }
    }
};

} // namespace LATHE_VECTOR_ABI

/// A = left^T diag(s) right, thin: as many triplets as the shorter side of A.
///
/// A row of `left` or of `right` is one singular vector, so that the first r triplets are the first r rows.
template <class B, real T> struct svd_result {
    std::size_t rows,          ///< of A
        cols;                  ///< of A
    std::vector<double> s;     ///< the singular values, descending, none negative
    buffer_t<B, T> left_rows;  ///< s.size() x rows
    buffer_t<B, T> right_rows; ///< s.size() x cols

    /// One left singular vector a row.
    [[nodiscard]] mat<B, T> left() { return as_matrix(left_rows.view(), s.size(), rows); }
    /// One right singular vector a row.
    [[nodiscard]] mat<B, T> right() { return as_matrix(right_rows.view(), s.size(), cols); }
};

/// svd(be, a): the thin singular value decomposition. Of each left vector the element largest in magnitude (the first
/// of equals) is positive; where singular values are equal, and for those that are 0, the vectors are some orthonormal
/// ones.
///
/// Computed in double whatever T is (what flattens a spectrum needs the small values too) and rounded at the end.
/// Blocks. A backend may do it: bool svd(cmat<B, T> a, mat<B, T> left, std::span<double> s, mat<B, T> right), in double
/// as well, false if it gave up; `a` is finite and not empty. Time and memory without that: jacobi_svd, on the host.
/// \throws non_finite_error
struct svd_fn {
    /// `a` may have any extents; without elements it has no triplets.
    template <class B, class P, class T = std::remove_const_t<pointee_t<P>>>
        requires elementwise<B, T>
    svd_result<B, T> operator()(B & be, mat_view<P> a) const {
        auto const count = std::min(a.rows, a.cols);
        svd_result<B, T> out{a.rows, a.cols, std::vector<double>(count), be.template allocate<T>(count * a.rows),
                             be.template allocate<T>(count * a.cols)};
        if (count == 0)
            return out;
        if constexpr (requires {
                          {
                              be.svd(cmat<B, T>(a), out.left(), std::span<double>{out.s}, out.right())
                          } -> std::same_as<bool>;
                      }) {
            for (std::size_t i = 0; i != a.rows; ++i)
                if (!ops::all_finite(be, a.row(i)))
                    throw non_finite_error{"svd: row " + std::to_string(i) + " holds NaN or infinity"};
            if (be.svd(cmat<B, T>(a), out.left(), std::span<double>{out.s}, out.right())) {
                orient(be, out);
                return out;
            }
        }
        bool const wide = a.rows < a.cols;
        auto && threads = host::executor_of(be);
        jacobi_svd const solver(threads, to_host(be, a, wide ? op::none : op::transpose, "svd"));
        host_matrix left(count, a.rows), right(count, a.cols);
        solver.extract(wide ? right : left, out.s, wide ? left : right);
        from_host(be, left, op::none, out.left());
        from_host(be, right, op::none, out.right());
        orient(be, out);
        return out;
    }

private:
    /// Gives every left vector its sign.
    template <class B, class T> static void orient(B & be, svd_result<B, T> & r) {
        std::vector<T> u(r.rows);
        for (std::size_t k = 0; k != r.s.size(); ++k) {
            be.download(cvec<B, T>(r.left().row(k)), std::span<T>{u});
            auto const top = std::ranges::max_element(u, {}, [](T x) { return std::abs(x); });
            if (top != u.end() && *top < 0) {
                ops::scale(be, T(-1), r.left().row(k));
                ops::scale(be, T(-1), r.right().row(k));
            }
        }
    }
};
/// The thin singular value decomposition: svd_fn.
inline constexpr svd_fn svd{};

/// How many singular values are more than rounding errors: those above max(rows, cols) 2^-52 s[0].
template <class B, class T> std::size_t rank(svd_result<B, T> const & r) {
    auto const bound =
        r.s.empty() ? 0
                    : static_cast<double>(std::max(r.rows, r.cols)) * std::numeric_limits<double>::epsilon() * r.s[0];
    return static_cast<std::size_t>(std::ranges::find_if(r.s, [&](double v) { return v <= bound; }) - r.s.begin());
}

/// isometry(be, r, q): q := the sum of u_i v_i^T over the first rank(r) triplets of r: the decomposition with every
/// singular value replaced by 1. The other vectors are arbitrary, and left out, so that q does not depend on who
/// computed r. Time: one gemm. \returns the rank \throws shape_error
struct isometry_fn {
    /// Only reads `r`.
    template <class B, class T, class Q>
        requires matrix_space<B, T>
    std::size_t operator()(B & be, svd_result<B, T> & r, mat_view<Q> q) const {
        expects_shape(r.rows == q.rows && r.cols == q.cols, "isometry: the extents differ");
        auto const count = rank(r);
        if (count == 0)
            for (std::size_t i = 0; i != q.rows; ++i)
                ops::fill(be, T(0), q.row(i));
        else
            ops::gemm(be, op::transpose, op::none, T(1), r.left().first_rows(count), r.right().first_rows(count), T(0),
                      q);
        return count;
    }
};
/// The decomposition with every singular value replaced by 1: isometry_fn.
inline constexpr isometry_fn isometry{};

/// polar(be, a, q): q := the polar factor of a, the matrix with orthonormal columns (rows, if it is wide) nearest to
/// it; where a has not full rank, the partial isometry with its range. `q` may be `a`. Time and memory: svd, and one
/// gemm. \returns the rank \throws non_finite_error, shape_error
struct polar_fn {
    /// \see polar_fn
    template <class B, class P, class Q, class T = pointee_t<Q>>
        requires matrix_space<B, T>
    std::size_t operator()(B & be, mat_view<P> a, mat_view<Q> q) const {
        auto r = svd_fn{}(be, a);
        return isometry_fn{}(be, r, q);
    }
};
/// The polar factor: polar_fn.
inline constexpr polar_fn polar{};

} // namespace linalg
LATHE_NAMESPACE_END
