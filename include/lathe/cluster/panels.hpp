#pragma once
/// \file  Distances and products of many points with a few vectors, computed on any backend, looked at on the host
///        panel by panel: what decides about single points (ranks, signs, nearest centres) is made of these.
#include <lathe/cluster/partition.hpp>

LATHE_NAMESPACE_BEGIN
namespace cluster {

/// A panel of at most host::panel_rows points. Element (vector j, point i) is values[j * host::panel_rows + i];
/// elements up to the next whole packet are 1.
template <class B, real T> class value_panel {
    B * be_;
    point_set<B, T> const * points_;

public:
    std::size_t first, ///< number of the panel's first point
        count;         ///< of its points, at most host::panel_rows
    double * values;   ///< may be changed

    /// Points [f, f + c) of `points`, which must outlive it, with `v` as their values.
    value_panel(B & be, point_set<B, T> const & points, std::size_t f, std::size_t c, double * v)
        : be_{&be}, points_{&points}, first{f}, count{c}, values{v} {}
    /// Point `first + i` itself: for what the precision of T does not settle.
    void row(std::size_t i, std::vector<double> & out) const {
        if constexpr (host_addressable<B, T>) {
            auto const x = points_->block(first + i, 1);
            out.assign(x.data, x.data + x.cols);
        } else
            out = points_->row(*be_, first + i);
    }
};

/// f(panel) for all points, where a block of rows is turned into values by `on_host(first, count, values)`, or by
/// `on_device(first, rows, out)`, out a row of `rows` elements for each of `vectors` vectors. On several threads where
/// pointers are plain.
template <real T, class B, class OnHost, class OnDevice, class F>
    requires matrix_space<B, T>
void for_each_panel(B & be, point_set<B, T> & points, std::size_t vectors, OnHost && on_host, OnDevice && on_device,
                    F && f) {
    if constexpr (host_addressable<B, T>) {
        auto && e = host::executor_of(be);
        e.parallel_for((points.size() + block_rows - 1) / block_rows, [&](std::size_t block) {
            std::vector<double> values(vectors * host::panel_rows);
            auto const end = std::min(points.size(), (block + 1) * block_rows);
            for (auto first = block * block_rows; first < end; first += host::panel_rows) {
                auto const count = std::min(host::panel_rows, end - first);
                on_host(first, count, values.data());
                for (std::size_t j = 0; j != vectors; ++j)
                    for (auto i = count; i % host::packet_size<double> != 0; ++i)
                        values[j * host::panel_rows + i] = 1;
                f(value_panel<B, T>(be, points, first, count, values.data()));
            }
        });
    } else {
        auto out = be.template allocate<T>(vectors * std::min(block_rows, points.size()));
        std::vector<T> downloaded;
        std::vector<double> values(vectors * host::panel_rows);
        for (std::size_t begin = 0; begin < points.size(); begin += block_rows) {
            auto const rows = std::min(block_rows, points.size() - begin);
            auto const view = out.view().sub(0, vectors * rows);
            on_device(begin, rows, view);
            downloaded.resize(vectors * rows);
            be.download(cvec<B, T>(view), std::span{downloaded});
            for (std::size_t first = 0; first < rows; first += host::panel_rows) {
                auto const count = std::min(host::panel_rows, rows - first);
                std::ranges::fill(values, 1.0);
                for (std::size_t j = 0; j != vectors; ++j)
                    for (std::size_t i = 0; i != count; ++i)
                        values[j * host::panel_rows + i] = static_cast<double>(downloaded[j * rows + first + i]);
                f(value_panel<B, T>(be, points, begin + first, count, values.data()));
            }
        }
    }
}

/// f(panel of distances D) of all points from centres, as passes compute them: products in T, near pairs by
/// differences. 2 N K d. \see distance_error
template <real T, class B, class F>
    requires matrix_space<B, T>
void for_each_distance_panel(B & be, point_set<B, T> & points, centre_set<B, T> & centres, F && f) {
    if constexpr (host_addressable<B, T>)
        for_each_panel<T>(be, points, centres.clusters(), [&](std::size_t first, std::size_t count, double * out) {
            panel_distances(points, centres, first, count, out);
        }, 0, f);
    else {
        block_distances<B, T> distances(be, centres.clusters(), centres.dimensions());
        for_each_panel<T>(be, points, centres.clusters(), 0, [&](std::size_t first, std::size_t rows, vec<B, T> out) {
            distances(be, points, centres, first, rows, out);
        }, f);
    }
}
/// f(panel of products) of all points with vectors, in T. 2 N K d.
template <real T, class B, class F>
    requires matrix_space<B, T>
void for_each_product_panel(B & be, point_set<B, T> & points, centre_set<B, T> & vectors, F && f) {
    if constexpr (host_addressable<B, T>)
        for_each_panel<T>(be, points, vectors.clusters(), [&](std::size_t first, std::size_t count, double * out) {
            host::panel_products<T>(points.block(first, count), vectors.rounded(), out);
        }, 0, f);
    else
        for_each_panel<T>(be, points, vectors.clusters(), 0, [&](std::size_t first, std::size_t rows, vec<B, T> out) {
            ops::gemm(be, op::none, op::transpose, T(1), vectors.device(), points.block(first, rows), T(0),
                      as_matrix(out, vectors.clusters(), rows));
        }, f);
}

/// What a product of two vectors of length 1 may be off by where it is computed in T, the vectors rounded to T.
template <real T> double product_error(std::size_t dimensions) {
    return (static_cast<double>(dimensions) + 8) * static_cast<double>(std::numeric_limits<T>::epsilon());
}

/// The terms' sum, eight of them side by side as numpy sums up to 128.
template <class Term> double sum_of_terms(std::size_t n, Term const & term) {
    std::array<double, 8> lanes{};
    auto const whole = n - n % 8;
    double sum = 0;
    if (whole != 0) {
        for (std::size_t k = 0; k != whole; k += 8)
            for (std::size_t q = 0; q != 8; ++q)
                lanes[q] += term(k + q);
        sum = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
    }
    for (auto k = whole; k != n; ++k)
        sum += term(k);
    return sum;
}
/// |x - c|^2 in double, from differences: equal sets of differences give equal numbers, in most orders.
inline double square_distance(std::span<double const> x, double const * c) {
    return sum_of_terms(x.size(), [&](std::size_t k) { return (x[k] - c[k]) * (x[k] - c[k]); });
}
/// <x, c> in double.
inline double product_of(std::span<double const> x, double const * c) {
    return sum_of_terms(x.size(), [&](std::size_t k) { return x[k] * c[k]; });
}

} // namespace cluster
LATHE_NAMESPACE_END
