#pragma once
/// \file  Thin QR decomposition by Householder reflections, on the host.
#include <lathe/linalg/host_matrix.hpp>

LATHE_NAMESPACE_BEGIN
namespace linalg {

/// M = Q R of an m x n matrix, n <= m, of which the columns are rows here: Q^T has orthonormal rows for any rank of M.
struct thin_qr {
    host_matrix q_rows; ///< n x m, Q^T
    host_matrix r;      ///< n x n, upper triangular

    /// Time 4 m n^2. \throws shape_error if there are more columns than rows
    explicit thin_qr(host_matrix columns) : q_rows(columns.rows(), columns.cols()), r(columns.rows(), columns.rows()) {
        auto const n = columns.rows(), m = columns.cols();
        expects_shape(n <= m, "thin_qr: more columns than rows");
        std::vector<double> tau(n);
        auto const reflect = [&](std::size_t k, double * y) {
            auto const from = k - k % host::packet_size<double>, count = columns.stride() - from;
            auto const * const v = columns.row(k) + from;
            axpy(-tau[k] * dot(v, y + from, count), v, y + from, count);
        };
        for (std::size_t k = 0; k != n; ++k) {
            auto * const v = columns.row(k);
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
            tau[k] = (diagonal - v[k]) / diagonal;
            r(k, k) = diagonal;
            v[k] = 1;
            for (std::size_t i = k + 1; i != m; ++i)
                v[i] *= scale;
        }
        for (std::size_t j = 0; j != n; ++j) {
            q_rows(j, j) = 1;
            for (auto k = n; k-- != 0;)
                reflect(k, q_rows.row(j));
        }
    }
};

} // namespace linalg
LATHE_NAMESPACE_END
