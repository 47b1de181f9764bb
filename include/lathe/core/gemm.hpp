#pragma once
/// \file  The product of matrices on host memory, for backends with plain pointers that bring none of their own.
#include <lathe/core/executor.hpp>
#include <lathe/core/packet.hpp>
#include <lathe/core/view.hpp>

LATHE_NAMESPACE_BEGIN
namespace host {
inline namespace LATHE_VECTOR_ABI {

/// A tile of C that stays in registers: rows of packets, as many as the machine has room for.
inline constexpr std::size_t tile_rows = LATHE_VECTOR_BYTES == 64 ? 8 : LATHE_VECTOR_BYTES == 32 ? 6 : 2;
inline constexpr std::size_t tile_packets = LATHE_VECTOR_BYTES == 64 ? 2 : 1; ///< of one row of a tile
/// Elements of one row of a tile.
template <real T> inline constexpr std::size_t tile_cols = tile_packets * packet_size<T>;

/// Element (i, j) of op(m).
template <real T> T element(mat_view<T const *> m, op o, std::size_t i, std::size_t j) {
    return o == op::none ? m.data[i * m.ld + j] : m.data[j * m.ld + i];
}

/// tile := the product of `depth` columns of tile_rows elements and `depth` rows of tile_cols elements, both packed.
template <real T> inline void multiply_tile(std::size_t depth, T const * a, T const * b, T * tile) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        std::array<packet<T>, sizeof...(I)> sum{(static_cast<void>(I), packet<T>(T(0)))...};
        for (std::size_t k = 0; k != depth; ++k, a += tile_rows, b += tile_cols<T>)
            ((sum[I] = sum[I] + a[I / tile_packets] * packet<T>::load(b + I % tile_packets * packet_size<T>)), ...);
        (sum[I].store(tile + I * packet_size<T>), ...);
    }(std::make_index_sequence<tile_rows * tile_packets>{});
}

/// C = alpha op(A) op(B) + beta C; C is not read where beta is 0. Blocks of 240 x 256 of op(A) against 256 x 512 of
/// op(B), both packed; sums over one block in T, in order: the same bits for any executor.
template <real T, class Executor>
void gemm(Executor & e, op oa, op ob, T alpha, mat_view<T const *> a, mat_view<T const *> b, T beta, mat_view<T *> c) {
    constexpr std::size_t depth_block = 256, col_block = 512, row_block = 240;
    auto const inner = oa == op::none ? a.cols : a.rows;
    if (beta != T(1) || inner == 0)
        for (std::size_t i = 0; i != c.rows; ++i)
            for (auto & x : std::span{c.data + i * c.ld, c.cols})
                x = beta == T(0) ? T(0) : beta * x;
    std::vector<T> packed_b(depth_block * col_block);
    for (std::size_t j0 = 0; j0 < c.cols; j0 += col_block)
        for (std::size_t k0 = 0; k0 < inner; k0 += depth_block) {
            auto const cols = std::min(col_block, c.cols - j0), depth = std::min(depth_block, inner - k0);
            for (std::size_t j = 0; j < cols; j += tile_cols<T>)
                for (std::size_t k = 0; k != depth; ++k)
                    for (std::size_t q = 0; q != tile_cols<T>; ++q)
                        packed_b[j * depth + k * tile_cols<T> + q] =
                            j + q < cols ? element<T>(b, ob, k0 + k, j0 + j + q) : T(0);
            e.parallel_for((c.rows + row_block - 1) / row_block, [&](std::size_t task) {
                auto const i0 = task * row_block, rows = std::min(row_block, c.rows - i0);
                std::vector<T> packed_a((rows + tile_rows - 1) / tile_rows * tile_rows * depth);
                for (std::size_t i = 0; i < rows; i += tile_rows)
                    for (std::size_t k = 0; k != depth; ++k)
                        for (std::size_t p = 0; p != tile_rows; ++p)
                            packed_a[i * depth + k * tile_rows + p] =
                                i + p < rows ? element<T>(a, oa, i0 + i + p, k0 + k) : T(0);
                std::array<T, tile_rows * tile_cols<T>> tile;
                for (std::size_t j = 0; j < cols; j += tile_cols<T>)
                    for (std::size_t i = 0; i < rows; i += tile_rows) {
                        multiply_tile<T>(depth, packed_a.data() + i * depth, packed_b.data() + j * depth, tile.data());
                        for (std::size_t p = 0; p != std::min(tile_rows, rows - i); ++p) {
                            auto * const out = c.data + (i0 + i + p) * c.ld + j0 + j;
                            for (std::size_t q = 0; q != std::min(tile_cols<T>, cols - j); ++q)
                                out[q] += alpha * tile[p * tile_cols<T> + q];
                        }
                    }
            });
        }
}

} // namespace LATHE_VECTOR_ABI
} // namespace host
LATHE_NAMESPACE_END
