#pragma once
/// \file  A host backend that brings nothing but memory, so that every default of the library is used, and matrices for
/// tests.
#include <lathe/core/ops.hpp>
#include <lathe/random/philox.hpp>

#include <memory>

namespace lathe_test {

template <class Executor = lathe::serial_executor> class plain_backend {
    Executor executor_;

public:
    template <class T> using pointer = T *;
    template <class T> class buffer {
        std::unique_ptr<T[]> data_;
        std::size_t n_;

    public:
        explicit buffer(std::size_t n) : data_(new T[n]), n_(n) {}
        [[nodiscard]] lathe::vec_view<T *> view() noexcept { return {data_.get(), n_}; }
    };
    plain_backend() = default;
    explicit plain_backend(std::size_t threads) : executor_(threads) {}
    [[nodiscard]] Executor & executor() noexcept { return executor_; }
    template <class T> [[nodiscard]] buffer<T> allocate(std::size_t n) { return buffer<T>(n); }
    template <lathe::real T> void upload(std::span<T const> s, lathe::vec_view<T *> y) { std::ranges::copy(s, y.data); }
    template <lathe::real T> void download(lathe::vec_view<T const *> x, std::span<T> d) {
        std::copy_n(x.data, x.n, d.begin());
    }
    void sync() noexcept {}
};

/// A matrix on the host.
template <class T> struct matrix {
    std::size_t rows, cols;
    std::vector<T> values;
    matrix(std::size_t r, std::size_t c) : rows{r}, cols{c}, values(r * c) {}
    T & operator()(std::size_t i, std::size_t j) { return values[i * cols + j]; }
    T const & operator()(std::size_t i, std::size_t j) const { return values[i * cols + j]; }
    [[nodiscard]] lathe::mat_view<T *> view() { return {values.data(), rows, cols}; }
    [[nodiscard]] lathe::mat_view<T const *> view() const { return {values.data(), rows, cols}; }
};
/// Numbers in [-1, 1), the same on every machine.
template <class T> matrix<T> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed = 1) {
    matrix<T> m(rows, cols);
    lathe::random::uniform_stream const stream{seed, 0, 0};
    for (std::size_t i = 0; i != m.values.size(); ++i)
        m.values[i] = static_cast<T>(2 * static_cast<double>(stream.quad(i / 4)[i % 4]) - 1);
    return m;
}
/// What a buffer holds.
template <class T, class B, class V> matrix<T> on_host(B & be, lathe::mat_view<V> m) {
    matrix<T> out(m.rows, m.cols);
    for (std::size_t i = 0; i != m.rows; ++i)
        be.download(lathe::cvec<B, T>(m.row(i)), std::span{out.values}.subspan(i * m.cols, m.cols));
    return out;
}
/// a b in double, of a transposed if asked.
template <class T>
matrix<double> product(matrix<T> const & a, bool transpose_a, matrix<T> const & b, bool transpose_b) {
    auto const rows = transpose_a ? a.cols : a.rows, inner = transpose_a ? a.rows : a.cols,
               cols = transpose_b ? b.rows : b.cols;
    matrix<double> c(rows, cols);
    for (std::size_t i = 0; i != rows; ++i)
        for (std::size_t j = 0; j != cols; ++j)
            for (std::size_t k = 0; k != inner; ++k)
                c(i, j) += static_cast<double>(transpose_a ? a(k, i) : a(i, k))
                           * static_cast<double>(transpose_b ? b(j, k) : b(k, j));
    return c;
}
/// The largest |a - b|; NaN if there is one.
template <class S, class T> double distance(matrix<S> const & a, matrix<T> const & b) {
    double worst = a.rows == b.rows && a.cols == b.cols ? 0 : std::numeric_limits<double>::quiet_NaN();
    for (std::size_t i = 0; i != std::min(a.values.size(), b.values.size()); ++i) {
        auto const d = std::abs(static_cast<double>(a.values[i]) - static_cast<double>(b.values[i]));
        worst = d > worst || std::isnan(d) ? d : worst;
    }
    return worst;
}
inline matrix<double> identity(std::size_t n) {
    matrix<double> m(n, n);
    for (std::size_t i = 0; i != n; ++i)
        m(i, i) = 1;
    return m;
}

} // namespace lathe_test
