#pragma once
/// \file  QR decomposition by Householder reflections, on the host.
#include <lathe/linalg/host_matrix.hpp>

LATHE_NAMESPACE_BEGIN
namespace linalg {

/// M = Q R of an m x n matrix, n <= m, of which the columns are rows here; Q as the reflections that it is made of.
class householder_qr {
    host_matrix vectors_;
    std::vector<double> tau_;

    void reflect(std::size_t k, double * y) const {
        auto const from = k - k % host::packet_size<double>, count = vectors_.stride() - from;
        auto const * const v = vectors_.row(k) + from;
        axpy(-tau_[k] * dot(v, y + from, count), v, y + from, count);
    }

public:
    host_matrix r; ///< n x n, upper triangular

    /// Time 2 m n^2. \throws shape_error if there are more columns than rows
    explicit householder_qr(host_matrix columns)
        : vectors_(std::move(columns)), tau_(vectors_.rows()), r(vectors_.rows(), vectors_.rows()) {
        auto const n = vectors_.rows(), m = vectors_.cols();
        expects_shape(n <= m, "householder_qr: more columns than rows");
        for (std::size_t k = 0; k != n; ++k) {
            auto * const v = vectors_.row(k);
            for (std::size_t i = 0; i != k; ++i)
                reflect(i, v);
            for (std::size_t i = 0; i != k; ++i) {
                r(i, k) = v[i];
                v[i] = 0;
            }
            double largest = 0; // squares must neither overflow nor vanish
            for (std::size_t i = k; i != m; ++i)
                largest = std::max(largest, std::abs(v[i]));
            if (largest == 0)
                continue; // tau is 0
            double sum = 0;
            for (std::size_t i = k; i != m; ++i)
                sum += v[i] / largest * (v[i] / largest);
            auto const length = largest * std::sqrt(sum), diagonal = v[k] > 0 ? -length : length,
                       scale = 1 / (v[k] - diagonal);
            tau_[k] = (diagonal - v[k]) / diagonal;
            r(k, k) = diagonal;
            v[k] = 1;
            for (std::size_t i = k + 1; i != m; ++i)
                v[i] *= scale;
        }
    }
    /// A row Q c for every row c of coefficients, n of them. Time 4 m n a row.
    [[nodiscard]] host_matrix combinations(host_matrix const & coefficients) const {
        auto const n = vectors_.rows();
        expects_shape(coefficients.cols() == n, "householder_qr: one coefficient for each column");
        host_matrix out(coefficients.rows(), vectors_.cols());
        for (std::size_t j = 0; j != out.rows(); ++j) {
            std::copy_n(coefficients.row(j), n, out.row(j));
            auto last = n; // reflections behind the last coefficient change nothing
            while (last != 0 && out(j, last - 1) == 0)
                --last;
            for (auto k = last; k-- != 0;)
                reflect(k, out.row(j));
        }
        return out;
    }
};

/// The same with the columns of Q: orthonormal for any rank of M. Time 4 m n^2. \throws shape_error
struct thin_qr {
    host_matrix q_rows; ///< n x m, Q^T
    host_matrix r;      ///< n x n, upper triangular

    /// Of M, given as its columns, one a row.
    explicit thin_qr(host_matrix columns) : thin_qr(householder_qr(std::move(columns))) {}

private:
    explicit thin_qr(householder_qr qr) : q_rows(qr.combinations(identity(qr.r.rows()))), r(std::move(qr.r)) {}
    static host_matrix identity(std::size_t n) {
        host_matrix m(n, n);
        for (std::size_t i = 0; i != n; ++i)
            m(i, i) = 1;
        return m;
    }
};

} // namespace linalg
LATHE_NAMESPACE_END
