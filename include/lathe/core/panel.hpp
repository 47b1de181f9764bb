#pragma once
/// \file  Panels on the host: a hundred rows of a long matrix against a few vectors, while the rows are in the cache.
///
/// What a general product of matrices wastes on such shapes is copies of the rows; here they are read in place. With
/// both functions one reading of the rows gives products with K vectors, something made of the products, and the sums
/// of the rows weighted by that.
#include <lathe/core/packet.hpp>
#include <lathe/core/view.hpp>

#include <algorithm>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace host {
inline namespace LATHE_VECTOR_ABI {

/// Rows of a panel: of 768 floats it stays in the second-level cache.
inline constexpr std::size_t panel_rows = 96;

/// A few vectors of one length, each padded with zeros to whole packets.
template <real T> class padded_rows {
    std::size_t rows_ = 0, cols_ = 0, stride_ = 0;
    std::vector<T> data_;

public:
    padded_rows() = default;
    padded_rows(std::size_t rows, std::size_t cols)
        : rows_{rows}, cols_{cols}, stride_{(cols + packet_size<T> - 1) / packet_size<T> * packet_size<T>},
          data_(rows * stride_) {}
    [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
    [[nodiscard]] std::size_t cols() const noexcept { return cols_; }
    [[nodiscard]] T * row(std::size_t j) noexcept { return data_.data() + j * stride_; }
    [[nodiscard]] T const * row(std::size_t j) const noexcept { return data_.data() + j * stride_; }
};

template <real T> struct quarter_of_packet {
    typedef T value __attribute__((vector_size(16)));
};

/// The sum of the lanes, in a fixed order.
template <real T> [[gnu::always_inline]] inline T sum_of_lanes(packet<T> const & p) {
    using quarter = typename quarter_of_packet<T>::value;
    struct quarters {
        quarter a, b, c, d;
    } q;
    std::memcpy(&q, &p, sizeof q);
    quarter const sum = (q.a + q.b) + (q.c + q.d);
    std::array<T, 16 / sizeof(T)> s;
    std::memcpy(&s, &sum, sizeof s);
    if constexpr (sizeof(T) == 4)
        return (s[0] + s[1]) + (s[2] + s[3]);
    else
        return s[0] + s[1];
}

/// n elements of Rows vectors against those of Cols others: sums[r * Cols + c] += the products. n is whole packets.
template <std::size_t Rows, std::size_t Cols, real T>
[[gnu::always_inline]] inline void multiply_rows(std::array<T const *, Rows> const & x,
                                                 std::array<T const *, Cols> const & c, std::size_t n,
                                                 std::array<packet<T>, Rows * Cols> & sums) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        std::array<packet<T>, Rows * Cols> s = sums;
        for (std::size_t k = 0; k != n; k += packet_size<T>) {
            std::array<packet<T>, Cols> b;
            for (std::size_t j = 0; j != Cols; ++j)
                b[j] = packet<T>::load(c[j] + k);
            std::array<packet<T>, Rows> a;
            for (std::size_t i = 0; i != Rows; ++i)
                a[i] = packet<T>::load(x[i] + k);
            ((s[I] = s[I] + a[I / Cols] * b[I % Cols]), ...);
        }
        sums = s;
    }(std::make_index_sequence<Rows * Cols>{});
}

/// out[j * panel_rows + i] := <row i of x, row j of c> for every row of x, of which there are at most panel_rows.
/// Products of 4096 elements are summed in T, lane by lane, what is longer in double.
template <real T> void panel_products(mat_view<T const *> x, padded_rows<T> const & c, double * out) {
    constexpr std::size_t piece = 256 * packet_size<T>;
    constexpr std::size_t tile_r = LATHE_VECTOR_BYTES == 64 ? 4 : LATHE_VECTOR_BYTES == 32 ? 3 : 1;
    constexpr std::size_t tile_c = LATHE_VECTOR_BYTES == 64 ? 4 : 2;
    auto const whole = x.cols - x.cols % packet_size<T>;
    for (std::size_t k0 = 0; k0 == 0 || k0 < x.cols; k0 += piece) {
        auto const n = k0 < whole ? std::min(piece, whole - k0) : 0;
        auto const rest = k0 + piece >= x.cols ? x.cols - whole : 0;
        auto const tile = [&]<std::size_t R, std::size_t C>(std::size_t i0, std::size_t j0,
                                                            std::integral_constant<std::size_t, R>,
                                                            std::integral_constant<std::size_t, C>) {
            std::array<T const *, R> a;
            std::array<T const *, C> b;
            for (std::size_t i = 0; i != R; ++i)
                a[i] = x.data + (i0 + i) * x.ld + k0;
            for (std::size_t j = 0; j != C; ++j)
                b[j] = c.row(j0 + j) + k0;
            std::array<packet<T>, R * C> sums;
            sums.fill(packet<T>(T(0)));
            multiply_rows<R, C>(a, b, n, sums);
            if (rest != 0) {
                std::array<std::array<T, packet_size<T>>, R> last{};
                for (std::size_t i = 0; i != R; ++i) {
                    std::copy_n(a[i] + n, rest, last[i].begin());
                    a[i] = last[i].data();
                }
                for (auto & p : b)
                    p += n;
                multiply_rows<R, C>(a, b, packet_size<T>, sums);
            }
            for (std::size_t j = 0; j != C; ++j)
                for (std::size_t i = 0; i != R; ++i) {
                    auto & o = out[(j0 + j) * panel_rows + i0 + i];
                    auto const sum = static_cast<double>(sum_of_lanes(sums[i * C + j]));
                    o = k0 == 0 ? sum : o + sum;
                }
        };
        using one = std::integral_constant<std::size_t, 1>;
        using rows_of_tile = std::integral_constant<std::size_t, tile_r>;
        using cols_of_tile = std::integral_constant<std::size_t, tile_c>;
        std::size_t i = 0;
        auto const columns = [&](auto r) {
            std::size_t j = 0;
            for (; j + tile_c <= c.rows(); j += tile_c)
                tile(i, j, r, cols_of_tile{});
            for (; j != c.rows(); ++j)
                tile(i, j, r, one{});
        };
        for (; i + tile_r <= x.rows; i += tile_r)
            columns(rows_of_tile{});
        for (; i < x.rows; ++i)
            columns(one{});
    }
}

/// Adds to row j of `sums` the sum over i of v[j * panel_rows + i] times row i of x, for `count` rows j: G at a time.
template <std::size_t G, real T>
inline void add_weighted_rows(mat_view<T const *> x, T const * v, double * sums, std::size_t stride) {
    auto const strip = [&](T const * from, std::size_t ld, std::size_t cols, double * to) {
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            std::array<packet<T>, G> s{(static_cast<void>(I), packet<T>(T(0)))...};
            auto const * a = from;
            for (std::size_t i = 0; i != x.rows; ++i, a += ld) {
                auto const p = packet<T>::load(a);
                ((s[I] = s[I] + v[I * panel_rows + i] * p), ...);
            }
            for (std::size_t j = 0; j != G; ++j) {
                std::array<T, packet_size<T>> lanes;
                s[j].store(lanes.data());
                for (std::size_t k = 0; k != cols; ++k)
                    to[j * stride + k] += static_cast<double>(lanes[k]);
            }
        }(std::make_index_sequence<G>{});
    };
    auto const whole = x.cols - x.cols % packet_size<T>;
    for (std::size_t k = 0; k != whole; k += packet_size<T>)
        strip(x.data + k, x.ld, packet_size<T>, sums + k);
    if (whole != x.cols) {
        std::array<T, panel_rows * packet_size<T>> last{};
        for (std::size_t i = 0; i != x.rows; ++i)
            std::copy_n(x.data + i * x.ld + whole, x.cols - whole, last.begin() + i * packet_size<T>);
        strip(last.data(), packet_size<T>, x.cols - whole, sums + whole);
    }
}

/// sums[j * x.cols + k] += sum over i of v[j * panel_rows + i] x(i, k), for j < count: V^T X of a panel, whose own sums
/// are in T.
template <real T> void add_panel(mat_view<T const *> x, T const * v, std::size_t count, double * sums) {
    constexpr std::size_t most = LATHE_VECTOR_BYTES == 64 ? 8 : LATHE_VECTOR_BYTES == 32 ? 6 : 2;
    if (count == 0)
        return;
    auto const groups = (count + most - 1) / most;
    for (std::size_t g = 0, j = 0; g != groups; ++g) {
        auto const size = (count - j + groups - g - 1) / (groups - g); // as equal as they can be
        [&]<std::size_t... S>(std::index_sequence<S...>) {
            ((size == S + 1 ? add_weighted_rows<S + 1>(x, v + j * panel_rows, sums + j * x.cols, x.cols)
                            : static_cast<void>(0)),
             ...);
        }(std::make_index_sequence<most>{});
        j += size;
    }
}

} // namespace LATHE_VECTOR_ABI
} // namespace host
LATHE_NAMESPACE_END
