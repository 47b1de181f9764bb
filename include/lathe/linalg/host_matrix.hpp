#pragma once
/// \file  Dense matrices in host memory, in double: what the factorisations that every backend falls back on work on.
#include <lathe/core/ops.hpp>

LATHE_NAMESPACE_BEGIN
namespace linalg {

/// rows x cols numbers, a row a contiguous vector, padded with zeros to whole packets.
class host_matrix {
    std::size_t rows_, cols_, stride_;
    std::vector<double> data_;

public:
    /// Zeros.
    host_matrix(std::size_t rows, std::size_t cols)
        : rows_{rows}, cols_{cols},
          stride_{(cols + host::packet_size<double> - 1) / host::packet_size<double> * host::packet_size<double>},
          data_(rows * stride_) {}
    /// Extent; the padding of `stride()` does not count.
    [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
    /// Elements of a row, without its padding.
    [[nodiscard]] std::size_t cols() const noexcept { return cols_; }
    /// Elements from one row to the next.
    [[nodiscard]] std::size_t stride() const noexcept { return stride_; }
    /// Row i, stride() elements. \pre i < rows()
    [[nodiscard]] double * row(std::size_t i) noexcept { return data_.data() + i * stride_; }
    /// Row i, stride() elements. \pre i < rows()
    [[nodiscard]] double const * row(std::size_t i) const noexcept { return data_.data() + i * stride_; }
    /// Element (i, j), unchecked.
    [[nodiscard]] double & operator()(std::size_t i, std::size_t j) noexcept { return data_[i * stride_ + j]; }
    /// Element (i, j), unchecked.
    [[nodiscard]] double operator()(std::size_t i, std::size_t j) const noexcept { return data_[i * stride_ + j]; }
};

/// The matrix on the host, transposed if asked. Blocks. Memory beside the result: a copy in T if the pointers of B are
/// not plain. \throws non_finite_error, which names `what`, for NaN and infinity
template <class B, class P, class T = std::remove_const_t<pointee_t<P>>>
    requires storage<B, T>
host_matrix to_host(B & be, mat_view<P> a, op o, char const * what) {
    host_matrix m(o == op::none ? a.rows : a.cols, o == op::none ? a.cols : a.rows);
    auto const take = [&](std::size_t i, T const * row) {
        for (std::size_t j = 0; j != a.cols; ++j) {
            if (!std::isfinite(row[j])) [[unlikely]]
                throw non_finite_error{std::string{what} + ": element (" + std::to_string(i) + ", " + std::to_string(j)
                                       + ") is not finite"};
            (o == op::none ? m(i, j) : m(j, i)) = static_cast<double>(row[j]);
        }
    };
    if constexpr (host_addressable<B, T>) {
        for (std::size_t i = 0; i != a.rows; ++i)
            take(i, a.data + i * a.ld);
    } else {
        bool const whole = a.ld == a.cols;
        std::vector<T> rows((whole ? a.rows : 1) * a.cols);
        if (whole)
            be.download(cvec<B, T>(vec_view<P>(a.data, rows.size())), std::span<T>{rows});
        for (std::size_t i = 0; i != a.rows; ++i) {
            if (!whole)
                be.download(cvec<B, T>(a.row(i)), std::span<T>{rows});
            take(i, rows.data() + (whole ? i * a.cols : 0));
        }
    }
    return m;
}

/// a := the first rows and columns of m, transposed if asked, rounded to T.
template <class B, class P, class T = pointee_t<P>>
    requires storage<B, T>
void from_host(B & be, host_matrix const & m, op o, mat_view<P> a) {
    auto const put = [&](std::size_t i, T * row) {
        for (std::size_t j = 0; j != a.cols; ++j)
            row[j] = static_cast<T>(o == op::none ? m(i, j) : m(j, i));
    };
    if constexpr (host_addressable<B, T>) {
        for (std::size_t i = 0; i != a.rows; ++i)
            put(i, a.data + i * a.ld);
    } else {
        bool const whole = a.ld == a.cols;
        std::vector<T> rows((whole ? a.rows : 1) * a.cols);
        for (std::size_t i = 0; i != a.rows; ++i) {
            put(i, rows.data() + (whole ? i * a.cols : 0));
            if (!whole)
                be.upload(std::span<T const>{rows}, a.row(i));
        }
        if (whole)
            be.upload(std::span<T const>{rows}, vec_view<P>(a.data, rows.size()));
    }
}

inline namespace LATHE_VECTOR_ABI {

/// Sum of x[i] y[i] over n elements, n a multiple of the packet size.
inline double dot(double const * x, double const * y, std::size_t n) {
    using packet = host::packet<double>;
    constexpr auto width = host::packet_size<double>;
    packet a(0.0), b(0.0), c(0.0), d(0.0); // an addition takes four times as long as one may begin after another
    std::size_t i = 0;
    for (; i + 4 * width <= n; i += 4 * width) {
        a += packet::load(x + i) * packet::load(y + i);
        b += packet::load(x + i + width) * packet::load(y + i + width);
        c += packet::load(x + i + 2 * width) * packet::load(y + i + 2 * width);
        d += packet::load(x + i + 3 * width) * packet::load(y + i + 3 * width);
    }
    for (; i != n; i += width)
        a += packet::load(x + i) * packet::load(y + i);
    std::array<double, host::packet_size<double>> lanes;
    ((a + b) + (c + d)).store(lanes.data());
    double sum = 0;
    for (auto const v : lanes)
        sum += v;
    return sum;
}
/// y += a x over n elements, n a multiple of the packet size.
inline void axpy(double a, double const * x, double * y, std::size_t n) {
    using packet = host::packet<double>;
    for (std::size_t i = 0; i != n; i += host::packet_size<double>)
        (packet::load(y + i) + a * packet::load(x + i)).store(y + i);
}
/// (x, y) := (c x - s y, s x + c y) over n elements, n a multiple of the packet size.
inline void rotate(double c, double s, double * x, double * y, std::size_t n) {
    using packet = host::packet<double>;
    for (std::size_t i = 0; i != n; i += host::packet_size<double>) {
        auto const p = packet::load(x + i), q = packet::load(y + i);
        (c * p - s * q).store(x + i);
        (s * p + c * q).store(y + i);
    }
}

} // namespace LATHE_VECTOR_ABI
} // namespace linalg
LATHE_NAMESPACE_END
