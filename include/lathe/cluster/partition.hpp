#pragma once
/// \file  What clustering methods share: distances, memberships, and one pass over the points that gives the weighted
///        sums the next centres are made of. docs/clustering.md.
///
/// A pass reads the points once and keeps nothing of their number. On plain pointers panels of rows go through the
/// cache: products with the centres, distances, memberships, weighted sums. Elsewhere the same steps are products of
/// matrices and kernels on blocks of rows, in the memory of the backend. Sums over points are in double, block by
/// block in order: the same bits for any number of threads, and for any way to hand in the points in whole blocks.
#include <lathe/core/ops.hpp>
#include <lathe/core/panel.hpp>

#include <functional>
#include <optional>
#include <string>

LATHE_NAMESPACE_BEGIN
namespace cluster {

/// How far a point x is from a centre c.
enum class metric : unsigned char {
    euclidean, ///< D = |x - c|^2; a centre is the weighted mean of its points
    cosine     ///< D = 1 - <x, c> / (|x| |c|); a centre is the weighted mean, scaled to length 1
};

/// Rows of points whose sums are added up before they go on to the total: what a pass may be cut at.
inline constexpr std::size_t block_rows = 10 * host::panel_rows;

/// Distances below this part of |x|^2 + |c|^2 are computed from differences: the products have lost two digits.
inline constexpr double near = 1e-2;

/// Memberships by distance with fuzzifier m: u_j = D_j^-a / sum over k of D_k^-a, a = 1 / (m - 1), from ratios to the
/// smallest distance, so that nothing overflows (Bezdek 1981; docs/clustering.md). Centres at distance 0 share alike.
class fuzzy_rule {
    double m_, a_;
    unsigned power_ = 0; // a, where it is a small whole number

    /// t^a
    template <real T> [[nodiscard, gnu::always_inline]] host::packet<T> power(host::packet<T> const & t) const {
        if (power_ == 0)
            return t.pow(a_);
        auto base = t, product = host::packet<T>(T(1));
        for (auto p = power_;;) {
            if ((p & 1) != 0)
                product = product * base;
            p >>= 1;
            if (p == 0)
                return product;
            base = base * base;
        }
    }

public:
    /// \throws option_error unless m is finite and above 1
    explicit fuzzy_rule(double m) : m_{m}, a_{1 / (m - 1)} {
        expects_option(std::isfinite(m) && m > 1, "fuzzifier", std::to_string(m), "a number above 1");
        // 1 / (1.1 - 1) is 9.999999999999991: what is whole but for rounding takes products in the place of powers.
        if (auto const whole = std::nearbyint(a_); whole >= 1 && whole <= 64 && std::abs(a_ - whole) <= 1e-12 * a_)
            power_ = static_cast<unsigned>(whole);
    }
    /// m
    [[nodiscard]] double fuzzifier() const noexcept { return m_; }
    /// a = 1 / (m - 1); the whole number where it is one but for rounding.
    [[nodiscard]] double exponent() const noexcept { return power_ != 0 ? power_ : a_; }

    /// u := memberships and um := u^m of a panel; element (cluster j, point i) at [j * host::panel_rows + i].
    /// terms[i] := the sum of u^m D of point i. No power is taken of an element where a is whole, else one; one of each
    /// point. Ratios of distances are taken in double, their powers in T, where u^m below the least normal number is 0.
    template <real T>
    void operator()(std::size_t clusters, std::size_t points, double const * distances, T * u, T * um,
                    double * terms) const {
        using packet = host::packet<T>;
        using wide = host::packet<double>;
        constexpr std::size_t parts = host::packet_size<T> / host::packet_size<double>;
        auto const smallest = static_cast<T>( // its power a + 1 is a normal number, and numbers that are not are slow
            1.01 * std::pow(static_cast<double>(std::numeric_limits<T>::min()), 1 / (exponent() + 1)));
        for (std::size_t i = 0; i < points; i += host::packet_size<T>) {
            std::array<wide, parts> least;
            for (std::size_t p = 0; p != parts; ++p) {
                auto const * const d = distances + i + p * host::packet_size<double>;
                least[p] = wide::load(d);
                for (std::size_t j = 1; j < clusters; ++j)
                    least[p] = math::min(wide::load(d + j * host::panel_rows), least[p]);
            }
            packet sum(T(0));
            for (std::size_t j = 0; j != clusters; ++j) {
                auto const at = j * host::panel_rows + i;
                std::array<wide, parts> ratio;
                for (std::size_t p = 0; p != parts; ++p) {
                    auto const d = wide::load(distances + at + p * host::packet_size<double>);
                    ratio[p] = math::select(d <= wide(0.0), wide(1.0), least[p] / d);
                }
                auto const all = host::narrowed<T>(ratio);
                auto const t = math::select(all < packet(smallest), packet(T(0)), all);
                auto const e = power(t);
                sum += e;
                e.store(u + at);
                (e * t).store(um + at);
            }
            auto const share = T(1) / sum, scale = sum.pow(-m_);
            for (std::size_t j = 0; j != clusters; ++j) {
                auto const at = j * host::panel_rows + i;
                (packet::load(u + at) * share).store(u + at);
                (packet::load(um + at) * scale).store(um + at);
            }
            std::array<T, host::packet_size<T>> of_point;
            (sum * scale).store(of_point.data());
            for (std::size_t p = 0; p != parts; ++p)
                least[p].store(terms + i + p * host::packet_size<double>);
            for (std::size_t k = 0; k != of_point.size(); ++k)
                terms[i + k] *= static_cast<double>(of_point[k]);
        }
    }
    /// Memberships are between 0 and 1.
    static constexpr bool hard = false;
    /// u := given memberships, um := u^m.
    template <real T> void raise(std::size_t clusters, std::size_t points, double const * given, T * u, T * um) const {
        for (std::size_t j = 0; j != clusters; ++j)
            for (auto at = j * host::panel_rows; at != j * host::panel_rows + points; ++at) {
                u[at] = static_cast<T>(given[at]);
                um[at] = static_cast<T>(std::pow(given[at], m_));
            }
    }
};

/// A point belongs to the nearest centre, of equally near ones to the first.
struct nearest_rule {
    /// Memberships are 0 or 1.
    static constexpr bool hard = true;

    /// As fuzzy_rule: u = um := 1 for the nearest centre, else 0; terms[i] := the distance from it.
    template <real T>
    void operator()(std::size_t clusters, std::size_t points, double const * distances, T * u, T * um,
                    double * terms) const {
        for (std::size_t i = 0; i < points; ++i) {
            std::size_t nearest = 0;
            for (std::size_t j = 1; j < clusters; ++j)
                if (distances[j * host::panel_rows + i] < distances[nearest * host::panel_rows + i])
                    nearest = j;
            terms[i] = distances[nearest * host::panel_rows + i];
            for (std::size_t j = 0; j != clusters; ++j)
                u[j * host::panel_rows + i] = um[j * host::panel_rows + i] = j == nearest ? T(1) : T(0);
        }
    }
    /// u := um := given memberships.
    template <real T> void raise(std::size_t clusters, std::size_t points, double const * given, T * u, T * um) const {
        for (std::size_t j = 0; j != clusters; ++j)
            for (auto at = j * host::panel_rows; at != j * host::panel_rows + points; ++at)
                u[at] = um[at] = static_cast<T>(given[at]);
    }
    /// Stands for u^m = u.
    [[nodiscard]] static double fuzzifier() noexcept { return 1; }
};

namespace kernels {
/// x^2
inline constexpr auto square = [](auto const & x) { return x * x; };
/// x^-1/2
inline constexpr auto inverse_root = [](auto const & x) { return 1 / math::sqrt(x); };
/// 1 / x
inline constexpr auto inverse = [](auto const & x) { return 1 / x; };
/// |x - c|^2 from <x, c>, |x|^2 and |c|^2; rounding does not take it below 0.
inline constexpr auto euclidean_distance = [](auto const & product, auto const & x, auto const & c) {
    using value = std::remove_cvref_t<decltype(product + x)>;
    return math::max(x + c - 2 * product, value(0));
};
/// 1 - <x, c> / |x| of a centre c of length 1; not below 0.
inline constexpr auto cosine_distance = [](auto const & product, auto const & inverse_length) {
    using value = std::remove_cvref_t<decltype(product * inverse_length)>;
    return math::max(1 - product * inverse_length, value(0));
};
/// count + 1 where d is below `part` of x + c.
inline constexpr auto count_near = [](auto const & count, auto const & d, auto const & x, auto const & c,
                                      auto const & part) {
    using value = std::remove_cvref_t<decltype(d + x)>;
    return math::select(value(d) < part * (x + c), count + 1, value(count));
};
/// `exact` where d is below `part` of x + c, else d.
inline constexpr auto replace_near = [](auto const & d, auto const & exact, auto const & x, auto const & c,
                                        auto const & part) {
    using value = std::remove_cvref_t<decltype(d + x)>;
    return math::select(value(d) < part * (x + c), value(exact), value(d));
};
/// A cosine distance from the square x of |x - |x| c| and y = 1 / |x|.
inline constexpr auto half_product_square = [](auto const & x, auto const & y) { return x * y * y / 2; };
/// The lesser of two distances.
inline constexpr auto minimum = [](auto const & a, auto const & b) { return math::min(a, b); };
/// t = least / d; 1 where d is 0.
inline constexpr auto ratio = [](auto const & least, auto const & d) {
    using value = std::remove_cvref_t<decltype(least / d)>;
    return math::select(value(d) <= value(0), value(1), least / d);
};
/// {t^a, sum + t^a}
inline constexpr auto share = [](auto const & least, auto const & d, auto const & sum, auto const & a) {
    auto const e = math::pow(ratio(least, d), a);
    return std::array{e, sum + e};
};
/// x^a
inline constexpr auto power = [](auto const & x, auto const & a) { return math::pow(x, a); };
/// {u, u^m} of e = t^a, the sum of the e, and its power -m
inline constexpr auto membership = [](auto const & e, auto const & least, auto const & d, auto const & sum,
                                      auto const & scale) { return std::array{e / sum, e * ratio(least, d) * scale}; };
/// {1 for the first cluster as near as the least, else 0; how many were found so far}
inline constexpr auto first_nearest = [](auto const & found, auto const & d, auto const & least) {
    using value = std::remove_cvref_t<decltype(d + least)>;
    auto const hit = math::select(value(d) <= value(least), value(1) - found, value(0));
    return std::array{hit, found + hit};
};
/// Sums of u^2, of u ln u, of u^2 D, so far.
inline constexpr auto index_terms = [](auto const & squares, auto const & entropy, auto const & compact, auto const & u,
                                       auto const & d) {
    using value = std::remove_cvref_t<decltype(u + d)>;
    auto const positive = value(u) > value(0);
    return std::array{squares + u * u,
                      entropy
                          + math::select(positive, u * math::log(math::select(positive, value(u), value(1))), value(0)),
                      compact + u * u * d};
};
/// a + b c
inline constexpr auto multiply_add = [](auto const & a, auto const & b, auto const & c) { return a + b * c; };
/// {sum of |u - v|, sum of (u - v)^2, largest |u - v|} over clusters.
inline constexpr auto changes = [](auto const & sum, auto const & squares, auto const & most, auto const & u,
                                   auto const & v) {
    auto const d = math::abs(u - v);
    return std::array{sum + d, squares + d * d, math::max(d, most)};
};
} // namespace kernels

/// Points, one a row, with what distances from them need: |x|^2, or 1 / |x| of cosines.
template <class B, real T> class point_set {
    cmat<B, T> x_;
    metric metric_;
    std::vector<double> host_lengths_;
    std::optional<buffer_t<B, T>> lengths_; // where pointers are not plain

    [[noreturn]] static void reject(std::size_t row, double length) {
        auto const point = "point " + std::to_string(row) + ": ";
        if (length == 0)
            throw non_finite_error{point + "has length 0, so that its cosines are not defined"};
        throw non_finite_error{point + "an element is not finite, or the squared length overflows"};
    }

public:
    /// Views X. One pass. \throws non_finite_error for NaN and infinity, squared lengths that overflow, and cosines of
    /// points of length 0; names the point, counted from `first`
    point_set(B & be, cmat<B, T> x, metric of, std::size_t first = 0) : x_{x}, metric_{of} {
        if constexpr (host_addressable<B, T>) {
            host_lengths_.resize(x.rows);
            auto && e = host::executor_of(be);
            e.parallel_for((x.rows + block_rows - 1) / block_rows, [&](std::size_t block) {
                auto const end = std::min(x.rows, (block + 1) * block_rows);
                for (auto i = block * block_rows; i != end; ++i) {
                    auto const square = squared_length(x.data + i * x.ld, x.cols);
                    if (!(square <= std::numeric_limits<double>::max()) || (of == metric::cosine && square == 0))
                        reject(first + i, square);
                    host_lengths_[i] = of == metric::cosine ? 1 / std::sqrt(square) : square;
                }
            });
        } else {
            lengths_.emplace(be.template allocate<T>(x.rows));
            auto ones = be.template allocate<T>(x.cols), squares = be.template allocate<T>(block_rows * x.cols);
            ops::fill(be, T(1), ones.view());
            std::vector<T> values(std::min(x.rows, block_rows));
            for (std::size_t i = 0; i < x.rows; i += block_rows) {
                auto const rows = std::min(block_rows, x.rows - i);
                auto const all = squares.view().sub(0, rows * x.cols), out = lengths_->view().sub(i, rows);
                copy_rows(be, block(i, rows), all);
                ops::map<T>(be, kernels::square, all, all);
                ops::gemm(be, op::none, op::none, T(1), as_matrix(all, rows, x.cols), as_matrix(ones.view(), x.cols, 1),
                          T(0), as_matrix(out, rows, 1));
                be.download(cvec<B, T>(out), std::span{values}.first(rows));
                for (std::size_t k = 0; k != rows; ++k)
                    if (!std::isfinite(values[k]) || (of == metric::cosine && values[k] == 0))
                        reject(first + i + k, static_cast<double>(values[k]));
                if (of == metric::cosine)
                    ops::map<T>(be, kernels::inverse_root, out, out);
            }
        }
    }
    /// Points.
    [[nodiscard]] std::size_t size() const noexcept { return x_.rows; }
    /// Elements of a point.
    [[nodiscard]] std::size_t dimensions() const noexcept { return x_.cols; }
    /// What D is.
    [[nodiscard]] metric distance() const noexcept { return metric_; }
    /// Points [first, first + rows).
    [[nodiscard]] cmat<B, T> block(std::size_t first, std::size_t rows) const {
        return {x_.data + static_cast<std::ptrdiff_t>(first * x_.ld), rows, x_.cols, x_.ld};
    }
    /// |x|^2 of every point, 1 / |x| of cosines. Empty unless pointers are plain.
    [[nodiscard]] std::span<double const> host_lengths() const noexcept { return host_lengths_; }
    /// \pre pointers are not plain
    [[nodiscard]] cvec<B, T> lengths(std::size_t first, std::size_t rows) {
        return cvec<B, T>(lengths_->view().sub(first, rows));
    }
    /// Row i, on the host.
    std::vector<double> row(B & be, std::size_t i) const {
        std::vector<T> values(x_.cols);
        be.download(cvec<B, T>(x_.row(i)), std::span{values});
        return {values.begin(), values.end()};
    }

    /// Contiguous rows.
    static void copy_rows(B & be, cmat<B, T> from, vec<B, T> to) {
        if (from.ld == from.cols || from.rows == 1)
            return ops::copy(be, cvec<B, T>(from.data, to.n), to);
        for (std::size_t i = 0; i != from.rows; ++i)
            ops::copy(be, from.row(i), to.sub(i * from.cols, from.cols));
    }

private:
    static double squared_length(T const * x, std::size_t n) {
        std::array<double, 8> sums{};
        std::size_t i = 0;
        for (; i + 8 <= n; i += 8)
            for (std::size_t k = 0; k != 8; ++k)
                sums[k] += static_cast<double>(x[i + k]) * static_cast<double>(x[i + k]);
        for (; i != n; ++i)
            sums[i % 8] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
        return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    }
};

/// Centres as a pass takes them: in double, and rounded to T for the products.
template <class B, real T> class centre_set {
    std::size_t clusters_, dimensions_;
    std::vector<double> values_, squares_; // squared lengths of the rounded ones
    host::packed_vectors<T> rounded_;
    std::optional<buffer_t<B, T>> device_;

public:
    /// Uploads the rounded centres unless pointers are plain. \pre values are clusters x dimensions
    centre_set(B & be, std::span<double const> values, std::size_t clusters, std::size_t dimensions)
        : clusters_{clusters}, dimensions_{dimensions}, values_(values.begin(), values.end()), squares_(clusters),
          rounded_(clusters, dimensions) {
        for (std::size_t j = 0; j != clusters; ++j)
            for (std::size_t k = 0; k != dimensions; ++k) {
                auto const c = static_cast<T>(values[j * dimensions + k]);
                rounded_(j, k) = c;
                squares_[j] += static_cast<double>(c) * static_cast<double>(c);
            }
        if constexpr (!host_addressable<B, T>) {
            device_.emplace(be.template allocate<T>(clusters * dimensions));
            std::vector<T> all;
            for (auto const v : values)
                all.push_back(static_cast<T>(v));
            be.upload(std::span<T const>{all}, device_->view());
        }
    }
    /// Number of clusters, K.
    [[nodiscard]] std::size_t clusters() const noexcept { return clusters_; }
    /// Elements of a centre.
    [[nodiscard]] std::size_t dimensions() const noexcept { return dimensions_; }
    /// Centre j, in double.
    [[nodiscard]] double const * row(std::size_t j) const { return values_.data() + j * dimensions_; }
    /// Squared lengths of the rounded centres.
    [[nodiscard]] std::vector<double> const & squares() const noexcept { return squares_; }
    /// The centres rounded to T, packed for products on the host.
    [[nodiscard]] host::packed_vectors<T> const & rounded() const noexcept { return rounded_; }
    /// \pre pointers are not plain
    [[nodiscard]] cmat<B, T> device() { return cmat<B, T>(as_matrix(device_->view(), clusters_, dimensions_)); }
};

/// distances[j * host::panel_rows + i] := D of point `first + i` from centre j, for at most host::panel_rows points.
/// Elements up to the next whole packet of floats are 1. Host memory.
template <class B, real T>
    requires host_addressable<B, T>
void panel_distances(point_set<B, T> const & points, centre_set<B, T> const & centres, std::size_t first,
                     std::size_t count, double * distances) {
    auto const x = points.block(first, count);
    auto const lengths = points.host_lengths().subspan(first, count);
    bool const cosine = points.distance() == metric::cosine;
    host::panel_products<T>(x, centres.rounded(), distances);
    for (std::size_t j = 0; j != centres.clusters(); ++j) {
        auto * const d = distances + j * host::panel_rows;
        auto const square = centres.squares()[j];
        auto const * const c = centres.row(j);
        bool any_near = false;
        for (std::size_t i = 0; i != count; ++i) {
            auto const scale = cosine ? 1 : lengths[i] + square;
            d[i] = cosine ? 1 - d[i] * lengths[i] : scale - 2 * d[i];
            any_near |= !(d[i] >= near * scale);
        }
        if (any_near)
            for (std::size_t i = 0; i != count; ++i)
                if (!(d[i] >= near * (cosine ? 1 : lengths[i] + square))) {
                    auto const factor = cosine ? lengths[i] : 1.0;
                    double sum = 0;
                    for (std::size_t k = 0; k != x.cols; ++k) {
                        auto const difference = factor * static_cast<double>(x.data[i * x.ld + k]) - c[k];
                        sum += difference * difference;
                    }
                    d[i] = cosine ? sum / 2 : sum;
                }
        for (auto i = count; i % host::packet_size<float> != 0; ++i)
            d[i] = 1;
    }
}

/// The same of a block of points in the memory of any backend: D as a matrix, one row for each cluster.
template <class B, real T>
    requires matrix_space<B, T>
class block_distances {
    std::size_t clusters_, dimensions_;
    buffer_t<B, T> scratch_, ones_, count_, exact_, lengths_;

public:
    /// Allocates work space for blocks of up to block_rows points.
    block_distances(B & be, std::size_t clusters, std::size_t dimensions)
        : clusters_{clusters}, dimensions_{dimensions}, scratch_(be.template allocate<T>(block_rows * dimensions)),
          ones_(be.template allocate<T>(std::max(block_rows, dimensions))), count_(be.template allocate<T>(block_rows)),
          exact_(be.template allocate<T>(block_rows)), lengths_(be.template allocate<T>(block_rows)) {
        ops::fill(be, T(1), ones_.view());
    }
    /// n ones. \pre n <= max(block_rows, dimensions)
    [[nodiscard]] cvec<B, T> ones(std::size_t n) { return cvec<B, T>(ones_.view().sub(0, n)); }

    /// out := D of points [first, first + rows), [cluster][point]. \pre rows <= block_rows
    void operator()(B & be, point_set<B, T> & points, centre_set<B, T> & centres, std::size_t first, std::size_t rows,
                    vec<B, T> out) {
        bool const cosine = points.distance() == metric::cosine;
        auto const x = points.block(first, rows);
        auto const lengths = points.lengths(first, rows);
        auto const count = count_.view().sub(0, rows);
        auto const d = [&](std::size_t j) { return out.sub(j * rows, rows); };
        auto const square = [&](std::size_t j) { return static_cast<T>(centres.squares()[j]); };
        auto const part = static_cast<T>(near);
        // In cosines the scale is 1.
        auto const each = [&](auto const & kernel, auto const & output, std::size_t j, auto const &... ins) {
            if (cosine)
                ops::map<T>(be, kernel, output, ins..., T(0), T(1), part);
            else
                ops::map<T>(be, kernel, output, ins..., lengths, square(j), part);
        };
        ops::gemm(be, op::none, op::transpose, T(1), centres.device(), x, T(0), as_matrix(out, clusters_, rows));
        ops::fill(be, T(0), count);
        for (std::size_t j = 0; j != clusters_; ++j) {
            if (cosine)
                ops::map<T>(be, kernels::cosine_distance, d(j), d(j), lengths);
            else
                ops::map<T>(be, kernels::euclidean_distance, d(j), d(j), lengths, square(j));
            each(kernels::count_near, count, j, count, d(j));
        }
        if (ops::dot(be, count, ones(rows)) == 0)
            return;
        if (cosine) // |x|
            ops::map<T>(be, kernels::inverse, lengths_.view().sub(0, rows), lengths);
        for (std::size_t j = 0; j != clusters_; ++j) {
            ops::fill(be, T(0), count);
            each(kernels::count_near, count, j, count, d(j));
            if (ops::dot(be, count, ones(rows)) == 0)
                continue;
            // x - c, or x - |x| c
            auto const all = scratch_.view().sub(0, rows * dimensions_);
            auto const exact = exact_.view().sub(0, rows);
            point_set<B, T>::copy_rows(be, x, all);
            auto const factor = cosine ? cvec<B, T>(lengths_.view().sub(0, rows)) : ones(rows);
            auto const c = cmat<B, T>(centres.device().row(j).data, 1, dimensions_);
            ops::gemm(be, op::none, op::none, T(-1), as_matrix(factor, rows, 1), c, T(1),
                      as_matrix(all, rows, dimensions_));
            ops::map<T>(be, kernels::square, all, all);
            ops::gemm(be, op::none, op::none, T(1), as_matrix(all, rows, dimensions_),
                      as_matrix(ones(dimensions_), dimensions_, 1), T(0), as_matrix(exact, rows, 1));
            if (cosine)
                ops::map<T>(be, kernels::half_product_square, exact, exact, lengths);
            each(kernels::replace_near, d(j), j, d(j), exact);
        }
    }
};

/// Memberships that are given, not computed: fills element (cluster j, point i) at [j * stride + i] for the points
/// [first, first + count), the first of which is number 0. Called on several threads.
using membership_source = std::function<void(std::size_t first, std::size_t count, double * panel, std::size_t stride)>;

/// Sums over the points of one pass.
struct pass_totals {
    std::vector<double> sums;    ///< [cluster][dimension]: of w u^m x
    std::vector<double> weights; ///< of each cluster: of w u^m
    std::vector<double> masses;  ///< of each cluster: of w u
    double objective = 0;        ///< sum of w u^m D
    double mixed_objective = 0;  ///< the same with the previous memberships
    double squares = 0,          ///< if asked for: sum of w u^2
        entropy = 0,             ///< if asked for: sum of w u ln u
        compactness = 0;         ///< if asked for: sum of w u^2 D
    double absolute_change = 0,  ///< sum of |u - v|, v the previous memberships
        squared_change = 0,      ///< sum of (u - v)^2
        largest_change = 0;      ///< max of |u - v|
};

/// What one pass computes.
template <class B, real T> struct pass_request {
    centre_set<B, T> * centres = nullptr;          ///< memberships are those of these centres, or
    membership_source const * memberships{};       ///< given; then there is no objective
    centre_set<B, T> * previous_centres = nullptr; ///< changes are from those of these centres, or
    membership_source const * previous{};          ///< from given ones
    bool sums = true;                              ///< whether `sums` are wanted
    bool indices = false;                          ///< whether squares, entropy and compactness are
};

/// A pass over points with a rule of membership. Time: 4 N K d, of which 2 N K d for the sums; another 2 N K d if
/// changes from previous centres are wanted. Memory: K d doubles for each of at most 32 blocks.
template <class B, real T, class Rule = fuzzy_rule>
    requires matrix_space<B, T>
class membership_pass {
    static constexpr std::size_t slots = 32; // blocks whose sums exist at a time

    Rule rule_;
    std::size_t clusters_, dimensions_;
    std::vector<pass_totals> partial_; // of blocks
    std::vector<host::weighted_rows<T>> partial_sums_;
    // Where pointers are not plain:
    struct device_memory {
        block_distances<B, T> distances;
        buffer_t<B, T> d, u, um, previous_d, previous_u, previous_um, rows, sums, weights;
    };
    std::optional<device_memory> device_;

    [[nodiscard]] pass_totals zeros(bool sums) const {
        pass_totals t;
        t.sums.assign(sums ? clusters_ * dimensions_ : 0, 0.0);
        t.weights.assign(clusters_, 0.0);
        t.masses.assign(clusters_, 0.0);
        return t;
    }
    /// Everything but the sums.
    static void add_facts(pass_totals const & from, pass_totals & to) {
        for (std::size_t j = 0; j != to.weights.size(); ++j) {
            to.weights[j] += from.weights[j];
            to.masses[j] += from.masses[j];
        }
        to.objective += from.objective;
        to.mixed_objective += from.mixed_objective;
        to.squares += from.squares;
        to.entropy += from.entropy;
        to.compactness += from.compactness;
        to.absolute_change += from.absolute_change;
        to.squared_change += from.squared_change;
        to.largest_change = std::max(to.largest_change, from.largest_change);
    }

    struct panel_memory {
        std::vector<double> d, previous_d; // or given memberships
        std::vector<T> u, um, previous_u, previous_um;
        panel_memory(std::size_t clusters, bool previous)
            : d(clusters * host::panel_rows), previous_d(previous ? d.size() : 0), u(d.size()), um(d.size()),
              previous_u(previous_d.size()), previous_um(previous_d.size()) {}
    };
    void host_panel(pass_request<B, T> const & ask, point_set<B, T> const & points, std::span<double const> weights,
                    std::size_t number, std::size_t first, std::size_t count, panel_memory & m, pass_totals & totals,
                    host::weighted_rows<T> & sums) const {
        using packet = host::packet<T>;
        std::array<double, host::panel_rows> terms;
        auto const memberships = [&](centre_set<B, T> * centres, membership_source const * given, double * d, T * u,
                                     T * um) {
            if (centres != nullptr) {
                panel_distances(points, *centres, first, count, d);
                rule_(clusters_, count, d, u, um, terms.data());
            } else {
                (*given)(number + first, count, d, host::panel_rows);
                rule_.raise(clusters_, count, d, u, um);
            }
        };
        memberships(ask.centres, ask.memberships, m.d.data(), m.u.data(), m.um.data());
        std::array<T, host::panel_rows> w{}; // 0 beyond the points
        for (std::size_t i = 0; i != count; ++i)
            w[i] = weights.empty() ? T(1) : static_cast<T>(weights[first + i]);
        if (ask.centres != nullptr)
            for (std::size_t i = 0; i != count; ++i)
                totals.objective += static_cast<double>(w[i]) * terms[i];
        for (std::size_t j = 0; j != clusters_; ++j) {
            packet weight(T(0)), mass(T(0));
            for (std::size_t i = 0; i < count; i += host::packet_size<T>) {
                auto const at = j * host::panel_rows + i;
                auto const factor = packet::load(w.data() + i);
                auto const v = factor * packet::load(m.um.data() + at);
                v.store(m.um.data() + at);
                weight += v;
                mass += factor * packet::load(m.u.data() + at);
            }
            totals.weights[j] += static_cast<double>(host::sum_of_lanes(weight));
            totals.masses[j] += static_cast<double>(host::sum_of_lanes(mass));
        }
        if (ask.indices)
            for (std::size_t j = 0; j != clusters_; ++j)
                for (std::size_t i = 0; i != count; ++i) {
                    auto const u = static_cast<double>(m.u[j * host::panel_rows + i]);
                    auto const weight = static_cast<double>(w[i]);
                    totals.squares += weight * u * u;
                    totals.entropy += u > 0 ? weight * u * std::log(u) : 0;
                    totals.compactness += weight * u * u * m.d[j * host::panel_rows + i];
                }
        if (ask.previous_centres != nullptr || ask.previous != nullptr) {
            memberships(ask.previous_centres, ask.previous, m.previous_d.data(), m.previous_u.data(),
                        m.previous_um.data());
            packet most(T(0));
            for (std::size_t i = 0; i < count; i += host::packet_size<T>) {
                auto const valid = host::packet_mask<T>::first(std::min(host::packet_size<T>, count - i));
                packet sum(T(0)), squares(T(0));
                for (std::size_t j = 0; j != clusters_; ++j) {
                    auto const at = j * host::panel_rows + i;
                    auto const change = valid.select(
                        math::abs(packet::load(m.u.data() + at) - packet::load(m.previous_u.data() + at)), T(0));
                    sum += change;
                    squares += change * change;
                    most = math::max(change, most);
                }
                totals.absolute_change += static_cast<double>(host::sum_of_lanes(sum));
                totals.squared_change += static_cast<double>(host::sum_of_lanes(squares));
            }
            std::array<T, host::packet_size<T>> lanes;
            most.store(lanes.data());
            totals.largest_change =
                std::max(totals.largest_change, static_cast<double>(*std::ranges::max_element(lanes)));
            if (ask.centres != nullptr)
                for (std::size_t i = 0; i != count; ++i) {
                    double sum = 0;
                    for (std::size_t j = 0; j != clusters_; ++j)
                        sum += static_cast<double>(m.previous_um[j * host::panel_rows + i])
                               * m.d[j * host::panel_rows + i];
                    totals.mixed_objective += static_cast<double>(w[i]) * sum;
                }
        }
        if (!ask.sums)
            return;
        auto const x = points.block(first, count);
        if constexpr (Rule::hard) {
            if (ask.centres != nullptr) {
                for (std::size_t i = 0; i != count; ++i)
                    for (std::size_t j = 0; j != clusters_; ++j)
                        if (m.u[j * host::panel_rows + i] != 0) {
                            sums.add_row(j, x.data + i * x.ld, static_cast<double>(w[i]));
                            break;
                        }
                return;
            }
        }
        sums.add(x, m.um.data());
    }

    void add_on_host(B & be, pass_request<B, T> const & ask, point_set<B, T> const & points,
                     std::span<double const> weights, std::size_t number, pass_totals & totals) {
        auto && e = host::executor_of(be);
        auto const blocks = (points.size() + block_rows - 1) / block_rows;
        bool const previous = ask.previous_centres != nullptr || ask.previous != nullptr;
        for (std::size_t done = 0; done != blocks;) {
            auto const wave = std::min(slots, blocks - done);
            if (partial_.size() < wave) {
                partial_.resize(wave);
                partial_sums_.resize(wave, host::weighted_rows<T>(clusters_, dimensions_));
            }
            e.parallel_for(wave, [&](std::size_t slot) {
                auto & part = partial_[slot];
                part = zeros(false);
                if (ask.sums)
                    partial_sums_[slot].clear();
                panel_memory memory(clusters_, previous);
                auto const begin = (done + slot) * block_rows, end = std::min(points.size(), begin + block_rows);
                for (auto first = begin; first < end; first += host::panel_rows)
                    host_panel(ask, points, weights, number, first, std::min(host::panel_rows, end - first), memory,
                               part, partial_sums_[slot]);
            });
            for (std::size_t slot = 0; slot != wave; ++slot)
                add_facts(partial_[slot], totals);
            if (ask.sums)
                e.parallel_for(clusters_, [&](std::size_t j) {
                    for (std::size_t slot = 0; slot != wave; ++slot)
                        partial_sums_[slot].add_to(j, totals.sums.data() + j * dimensions_);
                });
            done += wave;
        }
    }

    /// f(i, u) for every point, u its memberships, host::panel_rows apart. On several threads.
    template <class F>
    void host_memberships(B & be, point_set<B, T> const & points, centre_set<B, T> const & centres, F const & f) const {
        auto && e = host::executor_of(be);
        e.parallel_for((points.size() + block_rows - 1) / block_rows, [&](std::size_t block) {
            panel_memory m(clusters_, false);
            std::array<double, host::panel_rows> terms;
            auto const end = std::min(points.size(), (block + 1) * block_rows);
            for (auto first = block * block_rows; first < end; first += host::panel_rows) {
                auto const count = std::min(host::panel_rows, end - first);
                panel_distances(points, centres, first, count, m.d.data());
                rule_(clusters_, count, m.d.data(), m.u.data(), m.um.data(), terms.data());
                for (std::size_t i = 0; i != count; ++i)
                    f(first + i, m.u.data() + i);
            }
        });
    }
    device_memory & device(B & be) {
        if (!device_) {
            auto const room = [&](std::size_t n) { return be.template allocate<T>(n); };
            auto const all = clusters_ * block_rows;
            device_.emplace(device_memory{block_distances<B, T>(be, clusters_, dimensions_), room(all), room(all),
                                          room(all), room(all), room(all), room(all), room(6 * block_rows),
                                          room(clusters_ * dimensions_), room(block_rows)});
        }
        return *device_;
    }
    /// Distances, memberships and their powers of a block, each a row of `rows` elements for each cluster.
    void device_memberships(B & be, point_set<B, T> & points, centre_set<B, T> & centres, std::size_t first,
                            std::size_t rows, buffer_t<B, T> & d, buffer_t<B, T> & u, buffer_t<B, T> & um) {
        auto & m = device(be);
        auto const row = [&](buffer_t<B, T> & matrix, std::size_t j) { return matrix.view().sub(j * rows, rows); };
        auto const vector = [&](std::size_t k) { return m.rows.view().sub(k * block_rows, rows); };
        auto const least = vector(0), sum = vector(1), scale = vector(2);
        m.distances(be, points, centres, first, rows, d.view().sub(0, clusters_ * rows));
        ops::copy(be, row(d, 0), least);
        for (std::size_t j = 1; j != clusters_; ++j)
            ops::map<T>(be, kernels::minimum, least, row(d, j), least);
        if constexpr (Rule::hard) {
            ops::fill(be, T(0), sum);
            for (std::size_t j = 0; j != clusters_; ++j) {
                ops::map<T>(be, kernels::first_nearest, std::tuple{row(u, j), sum}, sum, row(d, j), least);
                ops::copy(be, row(u, j), row(um, j));
            }
        } else {
            ops::fill(be, T(0), sum);
            for (std::size_t j = 0; j != clusters_; ++j)
                ops::map<T>(be, kernels::share, std::tuple{row(u, j), sum}, least, row(d, j), sum,
                            static_cast<T>(rule_.exponent()));
            ops::map<T>(be, kernels::power, scale, sum, static_cast<T>(-rule_.fuzzifier()));
            for (std::size_t j = 0; j != clusters_; ++j)
                ops::map<T>(be, kernels::membership, std::tuple{row(u, j), row(um, j)}, row(u, j), least, row(d, j),
                            sum, scale);
        }
    }

    void add_on_device(B & be, pass_request<B, T> const & ask, point_set<B, T> & points,
                       std::span<double const> weights, std::size_t number, pass_totals & totals) {
        auto & m = device(be);
        for (std::size_t first = 0; first < points.size(); first += block_rows) {
            auto const rows = std::min(block_rows, points.size() - first);
            auto const row = [&](buffer_t<B, T> & matrix, std::size_t j) { return matrix.view().sub(j * rows, rows); };
            auto const vector = [&](std::size_t k) { return m.rows.view().sub(k * block_rows, rows); };
            auto const whole = [&](buffer_t<B, T> & matrix) { return matrix.view().sub(0, clusters_ * rows); };
            auto const memberships = [&](centre_set<B, T> * centres, membership_source const * given,
                                         buffer_t<B, T> & d, buffer_t<B, T> & u, buffer_t<B, T> & um) {
                if (centres != nullptr)
                    return device_memberships(be, points, *centres, first, rows, d, u, um);
                std::vector<double> values(clusters_ * rows);
                (*given)(number + first, rows, values.data(), rows);
                std::vector<T> rounded(values.size());
                std::ranges::transform(values, rounded.begin(), [](double v) { return static_cast<T>(v); });
                be.upload(std::span<T const>{rounded}, whole(u));
                ops::map<T>(be, kernels::power, whole(um), whole(u), static_cast<T>(rule_.fuzzifier()));
            };
            memberships(ask.centres, ask.memberships, m.d, m.u, m.um);
            auto const w = m.weights.view().sub(0, rows);
            if (weights.empty())
                ops::fill(be, T(1), w);
            else {
                std::vector<T> rounded(rows);
                for (std::size_t i = 0; i != rows; ++i)
                    rounded[i] = static_cast<T>(weights[first + i]);
                be.upload(std::span<T const>{rounded}, w);
            }
            auto const terms = vector(3);
            auto const objective = [&](buffer_t<B, T> & um) {
                ops::fill(be, T(0), terms);
                for (std::size_t j = 0; j != clusters_; ++j)
                    ops::map<T>(be, kernels::multiply_add, terms, terms, row(um, j), row(m.d, j));
                return ops::dot(be, terms, w);
            };
            if (ask.centres != nullptr)
                totals.objective += objective(m.um);
            if (ask.indices) {
                auto const entropy = vector(4), compact = vector(5);
                for (auto const & v : {terms, entropy, compact})
                    ops::fill(be, T(0), v);
                for (std::size_t j = 0; j != clusters_; ++j)
                    ops::map<T>(be, kernels::index_terms, std::tuple{terms, entropy, compact}, terms, entropy, compact,
                                row(m.u, j), row(m.d, j));
                totals.squares += ops::dot(be, terms, w);
                totals.entropy += ops::dot(be, entropy, w);
                totals.compactness += ops::dot(be, compact, w);
            }
            if (ask.previous_centres != nullptr || ask.previous != nullptr) {
                memberships(ask.previous_centres, ask.previous, m.previous_d, m.previous_u, m.previous_um);
                auto const squares = vector(4), most = vector(5);
                if (ask.centres != nullptr)
                    totals.mixed_objective += objective(m.previous_um);
                for (auto const & v : {terms, squares, most})
                    ops::fill(be, T(0), v);
                for (std::size_t j = 0; j != clusters_; ++j)
                    ops::map<T>(be, kernels::changes, std::tuple{terms, squares, most}, terms, squares, most,
                                row(m.u, j), row(m.previous_u, j));
                auto const one = m.distances.ones(rows);
                totals.absolute_change += ops::dot(be, terms, one);
                totals.squared_change += ops::dot(be, squares, one);
                std::vector<T> values(rows);
                be.download(cvec<B, T>(most), std::span{values});
                totals.largest_change =
                    std::max(totals.largest_change, static_cast<double>(*std::ranges::max_element(values)));
            }
            std::vector<vec<B, T>> u_rows, um_rows;
            for (std::size_t j = 0; j != clusters_; ++j) {
                ops::map<T>(be, ops::kernels::product, row(m.um, j), w, row(m.um, j));
                u_rows.push_back(row(m.u, j));
                um_rows.push_back(row(m.um, j));
            }
            std::vector<double> of_block(clusters_);
            auto const add_to = [&](std::vector<double> & to) {
                for (std::size_t j = 0; j != clusters_; ++j)
                    to[j] += of_block[j];
            };
            ops::dot_many(be, std::span<vec<B, T> const>{um_rows}, m.distances.ones(rows), std::span{of_block});
            add_to(totals.weights);
            ops::dot_many(be, std::span<vec<B, T> const>{u_rows}, cvec<B, T>(w), std::span{of_block});
            add_to(totals.masses);
            if (ask.sums) {
                ops::gemm(be, op::none, op::none, T(1), as_matrix(whole(m.um), clusters_, rows),
                          points.block(first, rows), T(0), as_matrix(m.sums.view(), clusters_, dimensions_));
                std::vector<T> values(clusters_ * dimensions_);
                be.download(cvec<B, T>(m.sums.view()), std::span{values});
                for (std::size_t k = 0; k != values.size(); ++k)
                    totals.sums[k] += static_cast<double>(values[k]);
            }
        }
    }

public:
    /// For `clusters` centres of `dimensions` elements.
    membership_pass(Rule rule, std::size_t clusters, std::size_t dimensions)
        : rule_{rule}, clusters_{clusters}, dimensions_{dimensions} {}

    /// The sums of no points.
    [[nodiscard]] pass_totals begin(pass_request<B, T> const & ask) const { return zeros(ask.sums); }
    /// Adds points, of which the first is number `number` of all. \pre weights are one for each of the points, or none
    void add(B & be, pass_request<B, T> const & ask, point_set<B, T> & points, std::span<double const> weights,
             std::size_t number, pass_totals & totals) {
        if constexpr (host_addressable<B, T>)
            add_on_host(be, ask, points, weights, number, totals);
        else
            add_on_device(be, ask, points, weights, number, totals);
    }
    /// out := the cluster of each point whose membership is the largest, the first of several. Host memory.
    void write_labels(B & be, point_set<B, T> & points, centre_set<B, T> & centres, std::span<std::size_t> out) {
        auto const largest = [&](auto const * u, std::size_t stride) {
            std::size_t best = 0;
            for (std::size_t j = 1; j != clusters_; ++j)
                if (u[j * stride] > u[best * stride])
                    best = j;
            return best;
        };
        if constexpr (host_addressable<B, T>)
            host_memberships(be, points, centres,
                             [&](std::size_t i, T const * u) { out[i] = largest(u, host::panel_rows); });
        else {
            auto & m = device(be);
            std::vector<T> values(clusters_ * block_rows);
            for (std::size_t first = 0; first < points.size(); first += block_rows) {
                auto const rows = std::min(block_rows, points.size() - first);
                auto const all = std::span{values}.first(clusters_ * rows);
                device_memberships(be, points, centres, first, rows, m.d, m.u, m.um);
                be.download(cvec<B, T>(m.u.view().sub(0, all.size())), all);
                for (std::size_t i = 0; i != rows; ++i)
                    out[first + i] = largest(values.data() + i, rows);
            }
        }
    }
    /// out := the memberships of the points, one a row.
    void write(B & be, point_set<B, T> & points, centre_set<B, T> & centres, mat<B, T> out) {
        if constexpr (host_addressable<B, T>) {
            host_memberships(be, points, centres, [&](std::size_t i, T const * u) {
                for (std::size_t j = 0; j != clusters_; ++j)
                    out.data[i * out.ld + j] = u[j * host::panel_rows];
            });
        } else { // transposed by a product with the identity, which is exact
            auto & m = device(be);
            std::vector<T> identity(clusters_ * clusters_);
            for (std::size_t j = 0; j != clusters_; ++j)
                identity[j * clusters_ + j] = 1;
            auto unit = be.template allocate<T>(identity.size());
            be.upload(std::span<T const>{identity}, unit.view());
            for (std::size_t first = 0; first < points.size(); first += block_rows) {
                auto const rows = std::min(block_rows, points.size() - first);
                device_memberships(be, points, centres, first, rows, m.d, m.u, m.um);
                ops::gemm(be, op::transpose, op::none, T(1),
                          as_matrix(m.u.view().sub(0, clusters_ * rows), clusters_, rows),
                          as_matrix(unit.view(), clusters_, clusters_), T(0),
                          mat<B, T>(out.data + static_cast<std::ptrdiff_t>(first * out.ld), rows, clusters_, out.ld));
            }
        }
    }
};

} // namespace cluster
LATHE_NAMESPACE_END
