#pragma once
/// \file  Row-wise softmax.
#include <lathe/core/ops.hpp>

#include <algorithm>
#include <cmath>

LATHE_NAMESPACE_BEGIN
namespace host {

/// One row, of at least one element: exp(x - max x), divided by the sum, in order.
template <real T> void softmax(std::span<T> row) {
    T const top = *std::ranges::max_element(row);
    T sum = 0;
    for (auto & x : row)
        sum += x = std::exp(x - top);
    for (auto & x : row)
        x /= sum;
}

} // namespace host

namespace ops {

/// Every row of a matrix := its softmax, in place: x[i, j] = exp(x[i, j] - m_i) / sum_k exp(x[i, k] - m_i), m_i the
/// largest of the row. A row with NaN or +infinity, or with nothing but -infinity, becomes NaN. With plain pointers on
/// the backend's threads, the same bits for any number; by the backend's member `softmax_rows` if it has one; else on
/// the host, between a download and an upload. Error of an element: a few ulp of the exponential, and the length of a
/// row times the rounding of T.
struct softmax_rows_fn {
    /// Whether the rows stay where they are on B.
    template <class B, class T>
    static constexpr bool fused = host_addressable<B, T> || requires(B & be, mat<B, T> m) { be.softmax_rows(m); };

    /// Waits only where it goes by the host. Nothing happens without rows or columns.
    template <class B, class P, class T = pointee_t<P>>
        requires storage<B, T>
    void operator()(B & be, mat_view<P> m) const {
        if (m.rows == 0 || m.cols == 0)
            return;
        if constexpr (requires { be.softmax_rows(m); })
            be.softmax_rows(m);
        else if constexpr (host_addressable<B, T>) {
            auto && e = host::executor_of(be);
            auto const rows = std::max<std::size_t>(1, 4096 / m.cols);
            e.parallel_for((m.rows + rows - 1) / rows, [&](std::size_t block) {
                for (auto i = block * rows; i != std::min(m.rows, (block + 1) * rows); ++i)
                    host::softmax(std::span<T>{m.data + i * m.ld, m.cols});
            });
        } else {
            std::vector<T> row(m.cols);
            for (std::size_t i = 0; i != m.rows; ++i) {
                be.download(cvec<B, T>(m.row(i)), std::span<T>{row});
                host::softmax(std::span<T>{row});
                be.upload(std::span<T const>{row}, m.row(i));
            }
        }
    }
};
inline constexpr softmax_rows_fn softmax_rows{}; ///< ops::softmax_rows(be, m): see softmax_rows_fn

} // namespace ops
LATHE_NAMESPACE_END
