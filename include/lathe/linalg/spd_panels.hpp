#pragma once
/// \file  Cholesky factorisation by products of matrices: what runs where the matrix is, however large, with the host
///        seeing blocks of 128 x 128 only.
#include <lathe/linalg/host_matrix.hpp>

LATHE_NAMESPACE_BEGIN
namespace linalg {

/// m := L^-1 where m = L L^T; the lower triangle of m is read. Time 2 n^3 / 3. \returns false, with m unspecified, if a
/// pivot is not positive
inline bool invert_factor(host_matrix & m) {
    auto const n = m.rows();
    for (std::size_t j = 0; j != n; ++j) {
        auto pivot = m(j, j);
        for (std::size_t k = 0; k != j; ++k)
            pivot -= m(j, k) * m(j, k);
        if (!(pivot > 0) || !std::isfinite(pivot))
            return false;
        m(j, j) = std::sqrt(pivot);
        for (auto i = j + 1; i != n; ++i) {
            auto sum = m(i, j);
            for (std::size_t k = 0; k != j; ++k)
                sum -= m(i, k) * m(j, k);
            m(i, j) = sum / m(j, j);
        }
    }
    for (std::size_t i = 0; i != n; ++i) { // row i of the inverse, from rows before it
        for (std::size_t j = 0; j != i; ++j) {
            double sum = 0;
            for (auto k = j; k != i; ++k)
                sum += m(i, k) * m(k, j);
            m(i, j) = -sum / m(i, i);
        }
        m(i, i) = 1 / m(i, i);
        std::fill(m.row(i) + i + 1, m.row(i) + m.stride(), 0.0);
    }
    return true;
}

/// The lower triangle of an n x n matrix in panels of 128 columns, each a matrix of its own from the diagonal down.
template <class B, real T> class lower_panels {
    std::size_t n_;
    buffer_t<B, T> data_;

public:
    /// Columns of a panel; the last may have fewer.
    static constexpr std::size_t width = 128;

    /// Not initialised.
    lower_panels(B & be, std::size_t n) : n_{n}, data_{be.template allocate<T>(offset_of(n, panels_of(n)))} {}
    /// The extent n.
    [[nodiscard]] std::size_t size() const noexcept { return n_; }
    /// Panels.
    [[nodiscard]] std::size_t count() const noexcept { return panels_of(n_); }
    /// The first column of a panel, and of its diagonal block the first row.
    [[nodiscard]] static constexpr std::size_t first(std::size_t panel) noexcept { return panel * width; }
    /// Columns of panel p.
    [[nodiscard]] std::size_t cols(std::size_t panel) const noexcept { return std::min(width, n_ - first(panel)); }
    /// Panel p, from row `skip` below the diagonal block's first on.
    [[nodiscard]] mat<B, T> panel(std::size_t p, std::size_t skip = 0) {
        auto const w = cols(p), rows = n_ - first(p) - skip;
        return as_matrix(data_.view().sub(offset_of(n_, p) + skip * w, rows * w), rows, w);
    }

private:
    static constexpr std::size_t panels_of(std::size_t n) { return (n + width - 1) / width; }
    static constexpr std::size_t offset_of(std::size_t n, std::size_t p) { // all panels before p are of full width
        auto const columns = std::min(n, p * width);
        std::size_t sum = 0;
        for (std::size_t q = 0; q != p; ++q)
            sum += (n - q * width) * std::min(width, n - q * width);
        return columns == 0 ? 0 : sum;
    }
};

/// G := op(A)^T op(A), lower panels. Time n^2 l (1 + 128 / n) for l rows of op(A).
template <class B, class P, real T> void gram_panels(B & be, mat_view<P> a, op o, lower_panels<B, T> & g) {
    bool const tall = o == op::none;
    for (std::size_t p = 0; p != g.count(); ++p) {
        auto const first = g.first(p), rest = g.size() - first, w = g.cols(p);
        auto const at = [&](std::size_t count) {
            return tall ? mat_view<P>(a.data + static_cast<std::ptrdiff_t>(first), a.rows, count, a.ld)
                        : mat_view<P>(a.data + static_cast<std::ptrdiff_t>(first * a.ld), count, a.cols, a.ld);
        };
        ops::gemm(be, tall ? op::transpose : op::none, tall ? op::none : op::transpose, T(1), at(rest), at(w), T(0),
                  g.panel(p));
    }
}

/// (G + shift I)^-1 for a symmetric positive definite G: factored once, applied to few rows at a time.
///
/// Time: n^3 / 3 to factor, 2 n^2 a row to apply, both in products. Memory: n^2 / 2. The diagonal blocks are factored
/// and inverted on the host, in double.
template <class B, real T> class spd_panels {
    lower_panels<B, T> l_;
    buffer_t<B, T> inverses_, block_;
    static constexpr std::size_t width = lower_panels<B, T>::width;

    mat<B, T> inverse(std::size_t p) {
        auto const w = l_.cols(p);
        return as_matrix(inverses_.view().sub(p * width * width, w * w), w, w);
    }
    static mat<B, T> columns(mat<B, T> m, std::size_t first, std::size_t count) {
        return {m.data + static_cast<std::ptrdiff_t>(first), m.rows, count, m.ld};
    }

public:
    /// Memory for an n x n matrix and a block of rows; nothing is factored yet.
    spd_panels(B & be, std::size_t n)
        : l_(be, n), inverses_{be.template allocate<T>(l_.count() * width * width)},
          block_{be.template allocate<T>(n * width)} {}

    /// \returns false if a pivot is not positive \throws non_finite_error
    bool factor(B & be, lower_panels<B, T> & g, double shift) {
        for (std::size_t p = 0; p != l_.count(); ++p) {
            auto const w = l_.cols(p), first = l_.first(p), rest = l_.size() - first;
            auto const work = as_matrix(block_.view().sub(0, rest * w), rest, w);
            ops::copy(be, as_vector(g.panel(p)), as_vector(work));
            for (std::size_t q = 0; q != p; ++q) {
                auto const left = l_.panel(q, first - l_.first(q));
                ops::gemm(be, op::none, op::transpose, T(-1), left, left.first_rows(w), T(1), work);
            }
            auto diagonal = to_host(be, work.first_rows(w), op::none, "spd_panels");
            for (std::size_t i = 0; i != w; ++i)
                diagonal(i, i) += shift;
            if (!invert_factor(diagonal))
                return false;
            from_host(be, diagonal, op::none, inverse(p));
            ops::gemm(be, op::none, op::transpose, T(1), work, inverse(p), T(0), l_.panel(p));
        }
        return true;
    }
    /// Every row of x := (G + shift I)^-1 of it. `scratch` is as large as x.
    void solve(B & be, mat<B, T> x, mat<B, T> scratch) {
        for (std::size_t p = 0; p != l_.count(); ++p) {
            auto const first = l_.first(p), w = l_.cols(p), rest = l_.size() - first - w;
            auto const part = columns(scratch, first, w);
            ops::gemm(be, op::none, op::transpose, T(1), columns(x, first, w), inverse(p), T(0), part);
            if (rest != 0)
                ops::gemm(be, op::none, op::transpose, T(-1), part, l_.panel(p, w), T(1), columns(x, first + w, rest));
        }
        for (auto p = l_.count(); p-- != 0;) {
            auto const first = l_.first(p), w = l_.cols(p), rest = l_.size() - first - w;
            auto const part = columns(scratch, first, w);
            if (rest != 0)
                ops::gemm(be, op::none, op::none, T(-1), columns(x, first + w, rest), l_.panel(p, w), T(1), part);
            ops::gemm(be, op::none, op::none, T(1), part, inverse(p), T(0), columns(x, first, w));
        }
    }

private:
    static vec<B, T> as_vector(mat<B, T> m) { return {m.data, m.rows * m.cols}; } // panels have no gaps
};

} // namespace linalg
LATHE_NAMESPACE_END
