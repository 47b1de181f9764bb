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

/// Rows of a panel: of 768 floats it stays in the second-level cache. Whole packets, and whole tiles of rows.
inline constexpr std::size_t panel_rows = 144;

/// Terms of a product that are summed in T before their sum goes on in double.
inline constexpr std::size_t panel_terms = 768;

/// A few vectors of one length as products with rows take them: element by element, side by side in one machine
/// register, or two where there are more.
template <real T> class packed_vectors {
    static constexpr std::size_t lanes = LATHE_VECTOR_BYTES / sizeof(T);

    std::size_t count_ = 0, length_ = 0;
    std::vector<T> data_;

public:
    packed_vectors() = default;
    /// Room for `count` vectors of `length` elements, all zero.
    packed_vectors(std::size_t count, std::size_t length)
        : count_{count}, length_{length}, data_((count + lanes - 1) / lanes * lanes * length) {}
    /// How many vectors.
    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    /// Elements of each.
    [[nodiscard]] std::size_t length() const noexcept { return length_; }
    /// Registers side by side in the group that begins with vector j, a multiple of 2 * lanes.
    [[nodiscard]] std::size_t width(std::size_t j) const noexcept { return count_ - j > lanes ? 2 : 1; }
    /// The group's elements from element k of its vectors on.
    [[nodiscard]] T const * group(std::size_t j, std::size_t k) const noexcept {
        return data_.data() + j * length_ + k * width(j) * lanes;
    }
    /// Element k of vector j.
    [[nodiscard]] T & operator()(std::size_t j, std::size_t k) noexcept {
        auto const first = j - j % (2 * lanes);
        return data_[first * length_ + k * width(first) * lanes + j - first];
    }
};

/// sums[r * Width + c] := products of n elements of Rows rows, `ld` apart, with Width registers of vectors.
template <std::size_t Rows, std::size_t Width, real T>
[[gnu::always_inline]] inline void multiply_rows(T const * x, std::size_t ld, T const * packed, std::size_t n,
                                                 std::array<typename registers<T>::value, Rows * Width> & sums) {
    using vector = typename registers<T>::value;
    constexpr std::size_t lanes = LATHE_VECTOR_BYTES / sizeof(T);
    constexpr std::size_t thirds = (Rows + 2) / 3; // a pointer for three rows: one for each would not fit the registers
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        std::array<vector, Rows * Width> s{(static_cast<void>(I), vector{})...};
        std::array<T const *, thirds> row;
        for (std::size_t r = 0; r != thirds; ++r)
            row[r] = x + 3 * r * ld;
        auto const step = [&](std::size_t k) {
            typename registers<T>::unaligned const * const c =
                reinterpret_cast<typename registers<T>::unaligned const *>(packed + k * Width * lanes);
            ((s[I] += row[I / Width / 3][I / Width % 3 * ld + k] * c[I % Width]), ...);
        };
        std::size_t k = 0;
        for (; k + packet_size<T> <= n; k += packet_size<T>) {
            for (std::size_t r = 0; r != Rows; ++r) // processors do not see by themselves that the next rows are next
                __builtin_prefetch(reinterpret_cast<void const *>(reinterpret_cast<std::uintptr_t>(x)
                                                                  + ((Rows + r) * ld + k) * sizeof(T)),
                                   0, 2);
#pragma GCC unroll 8
            for (std::size_t q = 0; q != packet_size<T>; ++q)
                step(q);
            packed += packet_size<T> * Width * lanes;
            for (auto & r : row)
                r += packet_size<T>;
        }
        for (std::size_t q = 0; k + q != n; ++q)
            step(q);
        sums = s;
    }(std::make_index_sequence<Rows * Width>{});
}

/// out[j * panel_rows + i] := <row i of x, vector j> for every row of x, of which there are at most panel_rows.
/// Sums of panel_terms products in T, of those sums in double.
template <real T> void panel_products(mat_view<T const *> x, packed_vectors<T> const & c, double * out) {
    constexpr std::size_t lanes = LATHE_VECTOR_BYTES / sizeof(T);
    constexpr std::size_t sums_of_tile = LATHE_VECTOR_BYTES == 64 ? 24 : 12; // registers that are sums
    for (std::size_t k = 0; k == 0 || k < x.cols; k += panel_terms) {
        auto const n = std::min(panel_terms, x.cols - k);
        for (std::size_t j = 0; j < c.count(); j += 2 * lanes) {
            auto const group = [&]<std::size_t Width>(std::integral_constant<std::size_t, Width>) {
                auto const tile = [&]<std::size_t Rows>(std::size_t i, std::integral_constant<std::size_t, Rows>) {
                    std::array<typename registers<T>::value, Rows * Width> sums;
                    multiply_rows<Rows, Width>(x.data + i * x.ld + k, x.ld, c.group(j, k), n, sums);
                    std::array<T, Rows * Width * lanes> values;
                    std::memcpy(&values, &sums, sizeof values);
                    for (std::size_t q = 0; q != std::min(Width * lanes, c.count() - j); ++q)
                        for (std::size_t r = 0; r != Rows; ++r) {
                            auto & o = out[(j + q) * panel_rows + i + r];
                            auto const sum = static_cast<double>(values[r * Width * lanes + q]);
                            o = k == 0 ? sum : o + sum;
                        }
                };
                constexpr std::size_t rows = sums_of_tile / Width;
                std::size_t i = 0;
                for (; i + rows <= x.rows; i += rows)
                    tile(i, std::integral_constant<std::size_t, rows>{});
                for (; i != x.rows; ++i)
                    tile(i, std::integral_constant<std::size_t, 1>{});
            };
            if (c.width(j) == 2)
                group(std::integral_constant<std::size_t, 2>{});
            else
                group(std::integral_constant<std::size_t, 1>{});
        }
    }
}

/// What lanes are added up in: 16 bytes, whatever the machine's registers.
template <real T> struct quarter_of_packet {
    typedef T value __attribute__((vector_size(16))); ///< elements side by side
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

/// Sums of rows weighted for each of `count` vectors: V^T X, in double. A panel's own sums are in T.
///
/// A few rows at a time are read along their length and added to sums that the first-level cache holds: a packet of
/// each row stays in registers while all vectors go by.
template <real T> class weighted_rows {
    static constexpr std::size_t rows_of_tile = LATHE_VECTOR_BYTES == 64 ? 12 : LATHE_VECTOR_BYTES == 32 ? 6 : 2;

    std::size_t count_ = 0, length_ = 0, columns_ = 0; // columns_: whose sums of a panel exist at a time
    std::vector<double> sums_;                         // packet after packet of the columns, in it vector after vector
    std::vector<T> of_panel_;                          // the same for columns_ of them

    /// Adds a packet of each of the rows, `ld` apart, to the packets of `count` sums. Returns where the next sums are.
    template <std::size_t... I>
    [[gnu::always_inline]] static T * add_packets(std::index_sequence<I...>, T const * x, std::size_t ld, T const * v,
                                                  std::size_t count, T * sums, bool ahead) {
        std::array<packet<T>, sizeof...(I)> const row{packet<T>::load(x + I * ld)...};
        if (ahead)
            (__builtin_prefetch(reinterpret_cast<void const *>(reinterpret_cast<std::uintptr_t>(x)
                                                               + (panel_rows + I) * ld * sizeof(T)),
                                0, 2),
             ...);
        for (std::size_t j = 0; j != count; ++j, v += panel_rows, sums += packet_size<T>) {
            auto s = packet<T>::load(sums);
            ((s = s + v[I] * row[I]), ...);
            s.store(sums);
        }
        return sums;
    }
    void add_columns(T const * x, std::size_t ld, std::size_t rows, std::size_t first, std::size_t cols, T const * v) {
        auto const sums = std::span{of_panel_}.first(cols * count_);
        std::ranges::fill(sums, T(0));
        std::size_t i = 0;
        // The second half of the next panel comes while this one is summed, the first while it is multiplied.
        auto const tile = [&](auto of_rows, bool ahead) {
            auto * to = of_panel_.data();
            for (std::size_t k = 0; k != cols; k += packet_size<T>)
                to = add_packets(of_rows, x + i * ld + k, ld, v + i, count_, to, ahead);
        };
        for (; i + rows_of_tile <= rows; i += rows_of_tile)
            tile(std::make_index_sequence<rows_of_tile>{}, i >= panel_rows / 2);
        for (; i < rows; ++i)
            tile(std::make_index_sequence<1>{}, false);
        auto * const to = sums_.data() + first * count_;
        for (std::size_t k = 0; k != sums.size(); ++k)
            to[k] += static_cast<double>(sums[k]);
    }

public:
    weighted_rows() = default;
    /// `count` sums of `length` elements each, all zero.
    weighted_rows(std::size_t count, std::size_t length) : count_{count}, length_{length} {
        constexpr std::size_t cached = 24 << 10;
        auto const packets = (length + packet_size<T> - 1) / packet_size<T>;
        columns_ = std::clamp<std::size_t>(cached / (64 * std::max<std::size_t>(count, 1)), 1,
                                           std::max<std::size_t>(packets, 1))
                   * packet_size<T>;
        sums_.resize(packets * packet_size<T> * count);
        of_panel_.resize(columns_ * count);
    }
    /// All sums zero again.
    void clear() { std::ranges::fill(sums_, 0.0); }

    /// Adds v[j * panel_rows + i] times row i of x to sum j, for every j and every row of x, of which there are at most
    /// panel_rows.
    void add(mat_view<T const *> x, T const * v) {
        auto const whole = x.cols - x.cols % packet_size<T>;
        for (std::size_t k = 0; k < whole; k += columns_)
            add_columns(x.data + k, x.ld, x.rows, k, std::min(columns_, whole - k), v);
        if (whole == x.cols)
            return;
        std::array<T, panel_rows * packet_size<T>> last{};
        for (std::size_t i = 0; i != x.rows; ++i)
            std::copy_n(x.data + i * x.ld + whole, x.cols - whole, last.begin() + i * packet_size<T>);
        add_columns(last.data(), packet_size<T>, x.rows, whole, packet_size<T>, v);
    }
    /// Adds w times a row to sum j.
    void add_row(std::size_t j, T const * x, double w) {
        for (std::size_t k = 0; k < length_; k += packet_size<T>) {
            auto * const to = sums_.data() + k * count_ + j * packet_size<T>;
            for (std::size_t q = 0; q != std::min(packet_size<T>, length_ - k); ++q)
                to[q] += w * static_cast<double>(x[k + q]);
        }
    }
    /// to[k] += element k of sum j
    void add_to(std::size_t j, double * to) const {
        for (std::size_t k = 0; k != length_; ++k)
            to[k] += sums_[(k - k % packet_size<T>)*count_ + j * packet_size<T> + k % packet_size<T>];
    }
};

} // namespace LATHE_VECTOR_ABI
} // namespace host
LATHE_NAMESPACE_END
