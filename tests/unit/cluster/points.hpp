#pragma once
/// \file  Points for the tests of clustering, and the method written down plainly.
#include <lathe/cluster/fuzzy_c_means.hpp>

namespace lathe_test {

/// n points of d dimensions around `groups` corners, from a seed.
template <class T>
std::vector<T> blobs(std::size_t n, std::size_t d, std::size_t groups, std::uint64_t seed, double spread = 0.4) {
    std::vector<T> x(n * d);
    lathe::random::uniform_stream const u{seed};
    for (std::size_t i = 0; i != n; ++i)
        for (std::size_t k = 0; k != d; ++k)
            x[i * d + k] = static_cast<T>(spread * (static_cast<double>(u[i * d + k]) - 0.5)
                                          + (k % groups == i % groups ? 1.0 : -0.25));
    return x;
}
template <class T> lathe::mat_view<T const *> rows_of(std::vector<T> const & x, std::size_t d) {
    return {x.data(), x.size() / d, d};
}

/// Distances, in long double and by differences.
inline std::vector<long double> plain_distances(std::vector<double> const & x, std::vector<double> const & c,
                                                std::size_t d, bool cosine) {
    auto const n = x.size() / d, k = c.size() / d;
    std::vector<long double> out(n * k);
    for (std::size_t i = 0; i != n; ++i)
        for (std::size_t j = 0; j != k; ++j) {
            long double square = 0, xx = 0, cc = 0, xc = 0;
            for (std::size_t e = 0; e != d; ++e) {
                long double const a = x[i * d + e], b = c[j * d + e];
                square += (a - b) * (a - b);
                xx += a * a;
                cc += b * b;
                xc += a * b;
            }
            out[i * k + j] = cosine ? 1 - xc / std::sqrt(xx * cc) : square;
        }
    return out;
}
/// Memberships by their definition, in long double: 1 / sum of (D_ij / D_ik)^(1 / (m - 1)).
inline std::vector<long double> plain_memberships(std::vector<long double> const & distances, std::size_t k, double m) {
    std::vector<long double> u(distances.size());
    for (std::size_t i = 0; i != u.size() / k; ++i)
        for (std::size_t j = 0; j != k; ++j) {
            long double sum = 0;
            for (std::size_t l = 0; l != k; ++l)
                sum += std::pow(distances[i * k + j] / distances[i * k + l], 1 / (static_cast<long double>(m) - 1));
            u[i * k + j] = 1 / sum;
        }
    return u;
}

} // namespace lathe_test
