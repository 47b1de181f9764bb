#pragma once
/// \file  Starting points of clustering.
#include <lathe/cluster/rows.hpp>

LATHE_NAMESPACE_BEGIN
namespace cluster {

/// Where a method starts unless centres or memberships are given.
enum class seeding : unsigned char {
    d_squared,         ///< points, each with probability in proportion to a power of its distance from those before
    points,            ///< distinct points, all alike in probability
    random_memberships ///< rows of uniform numbers divided by their sum; in high dimensions all centres start near the
                       ///< mean, so it is slow, and a fuzzifier that is too large ends there
};

/// What draws of one seed are for.
inline constexpr std::uint32_t seeding_purpose = 0x636c7573; // "clus"

/// Number i of the seed, in [0, 1), of 48 bits: 24 are not enough to draw among many points.
inline double uniform(std::uint64_t seed, std::size_t i) {
    random::uniform_stream const u{seed, seeding_purpose};
    return static_cast<double>(u[2 * i]) + static_cast<double>(u[2 * i + 1]) * 0x1p-24;
}

/// The distance of every point from one centre, on the host. One pass.
template <real T, class B, class Points>
    requires matrix_space<B, T>
void distances_from(B & be, Points & all, std::span<double const> centre, std::span<double> out) {
    centre_set<B, T> one(be, centre, 1, all.dimensions());
    all.for_each(be, [&](point_set<B, T> & points, std::size_t number) {
        auto * const to = out.data() + number;
        if constexpr (host_addressable<B, T>) {
            auto && e = host::executor_of(be);
            e.parallel_for((points.size() + block_rows - 1) / block_rows, [&](std::size_t block) {
                std::array<double, host::panel_rows> d;
                auto const end = std::min(points.size(), (block + 1) * block_rows);
                for (auto first = block * block_rows; first < end; first += host::panel_rows) {
                    auto const count = std::min(host::panel_rows, end - first);
                    panel_distances(points, one, first, count, d.data());
                    std::copy_n(d.data(), count, to + first);
                }
            });
        } else {
            block_distances<B, T> distances(be, 1, points.dimensions());
            auto d = be.template allocate<T>(block_rows);
            std::vector<T> values(block_rows);
            for (std::size_t first = 0; first < points.size(); first += block_rows) {
                auto const rows = std::min(block_rows, points.size() - first);
                distances(be, points, one, first, rows, d.view().sub(0, rows));
                be.download(cvec<B, T>(d.view().sub(0, rows)), std::span{values}.first(rows));
                for (std::size_t i = 0; i != rows; ++i)
                    to[first + i] = static_cast<double>(values[i]);
            }
        }
    });
}

/// The centre that a point makes: itself, of length 1 in cosines.
template <class B, class Points> std::vector<double> centre_at(B & be, Points & points, std::size_t i) {
    auto c = points.row(be, i);
    if (points.distance() == metric::cosine) {
        double square = 0;
        for (auto const x : c)
            square += x * x;
        for (auto & x : c)
            x /= std::sqrt(square);
    }
    return c;
}

/// The first index whose cumulative term exceeds r times the sum of all; the last index with a positive term if
/// rounding says none does. Sums in order, in double.
inline std::size_t draw(std::span<double const> terms, double r) {
    double total = 0;
    for (auto const t : terms)
        total += t;
    double cumulative = 0;
    std::size_t last = 0;
    for (std::size_t i = 0; i != terms.size(); ++i) {
        cumulative += terms[i];
        if (cumulative > r * total)
            return i;
        if (terms[i] > 0)
            last = i;
    }
    return last;
}

/// Indices of K points for the uniforms r, one for each: the first is r_0 N, or drawn by weight; each other is drawn
/// in proportion to weight times the distance D from the nearest before it, to the power `power` (1: k-means++, Arthur
/// and Vassilvitskii 2007). Points that all are where a centre is already are drawn by weight alone. K passes.
/// \throws shape_error, option_error, non_finite_error
template <real T, class B, class Points>
    requires matrix_space<B, T> && requires(Points & p) { p.distance(); }
std::vector<std::size_t> d_squared_seeding(B & be, Points & points, std::span<double const> uniforms,
                                           std::span<double const> weights, double power) {
    auto const n = points.size();
    expects_shape(weights.empty() || weights.size() == n, "d_squared_seeding: one weight for each point");
    expects_shape(n != 0 || uniforms.empty(), "d_squared_seeding: there are no points");
    std::vector<std::size_t> chosen;
    std::vector<double> nearest(n, std::numeric_limits<double>::infinity()), d(n), terms(n);
    auto const weight = [&](std::size_t i) { return weights.empty() ? 1.0 : weights[i]; };
    for (auto const r : uniforms) {
        expects_option(r >= 0 && r < 1, "uniforms", std::to_string(r), "numbers in [0, 1)");
        if (chosen.empty() && weights.empty())
            chosen.push_back(std::min(n - 1, static_cast<std::size_t>(r * static_cast<double>(n))));
        else {
            bool any = false;
            for (std::size_t i = 0; i != n; ++i) {
                terms[i] =
                    chosen.empty() ? weight(i) : weight(i) * (power == 1 ? nearest[i] : std::pow(nearest[i], power));
                any |= terms[i] > 0;
            }
            if (!any)
                for (std::size_t i = 0; i != n; ++i)
                    terms[i] = weight(i);
            chosen.push_back(draw(terms, r));
        }
        if (chosen.size() == uniforms.size())
            break;
        distances_from<T>(be, points, std::span<double const>{centre_at(be, points, chosen.back())}, std::span{d});
        for (std::size_t i = 0; i != n; ++i)
            nearest[i] = std::min(nearest[i], d[i]);
    }
    return chosen;
}
/// The same of a matrix in the memory of the backend, in T.
template <real T, class B, class P>
    requires matrix_space<B, T>
std::vector<std::size_t> d_squared_seeding(B & be, mat_view<P> x, std::span<double const> uniforms,
                                           std::span<double const> weights = {}, double power = 1,
                                           metric of = metric::euclidean) {
    resident_points<B, T> points(be, cmat<B, T>(x), of);
    return d_squared_seeding<T>(be, points, uniforms, weights, power);
}

/// Indices of K distinct points, drawn without replacement; equal points are taken twice only when there are no others.
/// Points of weight 0 are not drawn while there are others.
template <class B, class Points>
std::vector<std::size_t> distinct_points(B & be, Points & points, std::size_t clusters, std::uint64_t seed,
                                         std::span<double const> weights) {
    auto const n = points.size();
    expects_shape(n != 0 || clusters == 0, "distinct_points: there are no points");
    std::vector<std::size_t> order(n), chosen, later;
    for (std::size_t i = 0; i != n; ++i)
        order[i] = i;
    std::vector<std::vector<double>> rows;
    for (std::size_t i = 0; i != n && chosen.size() != clusters; ++i) {
        auto const r = uniform(seed, i) * static_cast<double>(n - i);
        std::swap(order[i], order[i + std::min(n - i - 1, static_cast<std::size_t>(r))]);
        auto const at = order[i];
        auto row = points.row(be, at);
        bool const known = std::ranges::find(rows, row) != rows.end();
        if (known || (!weights.empty() && weights[at] == 0)) {
            later.push_back(at);
            continue;
        }
        rows.push_back(std::move(row));
        chosen.push_back(at);
    }
    for (std::size_t i = 0; chosen.size() < clusters; ++i)
        chosen.push_back(later.empty() ? order[i % n] : later[i % later.size()]);
    return chosen;
}

/// The points that a method starts from. \pre `how` is not random_memberships
template <real T, class B, class Points>
std::vector<std::size_t> seed_points(B & be, Points & points, std::span<double const> weights, std::size_t clusters,
                                     seeding how, double power, std::uint64_t seed) {
    if (how == seeding::points)
        return distinct_points(be, points, clusters, seed, weights);
    std::vector<double> uniforms(clusters);
    for (std::size_t j = 0; j != clusters; ++j)
        uniforms[j] = uniform(seed, j);
    return d_squared_seeding<T>(be, points, uniforms, weights, power);
}

/// Memberships of the seed: point i draws numbers i K to i K + K - 1, in (0, 1].
inline membership_source random_memberships(std::size_t clusters, std::uint64_t seed) {
    return [clusters, u = random::uniform_stream{seed, seeding_purpose}](std::size_t first, std::size_t count,
                                                                         double * panel, std::size_t stride) {
        for (std::size_t i = 0; i != count; ++i) {
            double sum = 0;
            for (std::size_t j = 0; j != clusters; ++j)
                sum += panel[j * stride + i] = 1 - static_cast<double>(u[(first + i) * clusters + j]);
            for (std::size_t j = 0; j != clusters; ++j)
                panel[j * stride + i] /= sum;
        }
    };
}

/// Memberships in memory, N x K. Refers to them.
inline membership_source stored_memberships(std::span<double const> u, std::size_t clusters) {
    return [u, clusters](std::size_t first, std::size_t count, double * panel, std::size_t stride) {
        for (std::size_t i = 0; i != count; ++i)
            for (std::size_t j = 0; j != clusters; ++j)
                panel[j * stride + i] = u[(first + i) * clusters + j];
    };
}

} // namespace cluster
LATHE_NAMESPACE_END
