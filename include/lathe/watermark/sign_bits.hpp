#pragma once
/// \file  Sentences as bits: on which sides of some hyperplanes through the origin their embeddings lie. What SemStamp
///        and HammingMark are made of.
#include <lathe/cluster/panels.hpp>
#include <lathe/watermark/partition.hpp>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// Normals of hyperplanes. Bit k of a sentence x is 1 where <normal k, x> > 0; the first normal's bit is the most
/// significant of the region. The confidence is the least |cosine| between x and a normal, 0 of x = 0.
class sign_bits {
    std::size_t bits_, dimensions_;
    std::vector<double> normals_, lengths_;

public:
    /// `normals` is bits x dimensions, at most 64 bits. \throws shape_error, option_error; non_finite_error, also for a
    /// normal of length 0
    sign_bits(std::span<double const> normals, std::size_t bits)
        : bits_{bits}, dimensions_{bits == 0 ? 0 : normals.size() / bits}, normals_(normals.begin(), normals.end()) {
        expects_option(bits >= 1 && bits <= 64, "bits", std::to_string(bits), "1 to 64");
        expects_shape(dimensions_ != 0 && normals.size() == bits * dimensions_, "normals are bits x dimensions");
        for (std::size_t k = 0; k != bits; ++k) {
            auto const * const n = normals_.data() + k * dimensions_;
            auto const length = std::sqrt(cluster::product_of({n, dimensions_}, n));
            if (!std::isfinite(length) || length == 0) [[unlikely]]
                throw non_finite_error{"normal " + std::to_string(k) + " is not finite, or of length 0"};
            lengths_.push_back(length);
        }
    }
    /// Normals, and bits of a region.
    [[nodiscard]] std::size_t bits() const noexcept { return bits_; }
    /// Length of a normal, and of an embedding.
    [[nodiscard]] std::size_t dimensions() const noexcept { return dimensions_; }
    /// bits x dimensions
    [[nodiscard]] std::span<double const> normals() const noexcept { return normals_; }

    /// The regions of the rows. Products are computed in T; those too near 0 for T to tell their sign, again in double.
    /// \throws shape_error; non_finite_error, which names the row
    /// Complexity: 2 N bits d.
    template <real T, class B>
        requires matrix_space<B, T>
    region_codes encode(B & be, cmat<B, T> rows) const {
        expects_shape(rows.rows == 0 || rows.cols == dimensions_, "embeddings are not as long as the normals");
        region_codes codes{std::vector<std::uint64_t>(rows.rows), std::vector<double>(rows.rows)};
        if (rows.rows == 0)
            return codes;
        // One more vector, 0: squares of lengths are distances from it.
        cluster::point_set<B, T> points(be, rows, cluster::metric::euclidean);
        cluster::centre_set<B, T> vectors(be, normals_, bits_, dimensions_),
            origin(be, std::vector<double>(dimensions_), 1, dimensions_);
        std::vector<double> lengths(rows.rows);
        cluster::for_each_distance_panel<T>(be, points, origin, [&](auto const & panel) {
            for (std::size_t i = 0; i != panel.count; ++i)
                lengths[panel.first + i] = std::sqrt(panel.values[i]);
        });
        auto const error = cluster::product_error<T>(dimensions_);
        cluster::for_each_product_panel<T>(be, points, vectors, [&](auto const & panel) {
            std::vector<double> row;
            for (std::size_t i = 0; i != panel.count; ++i) {
                auto const length = lengths[panel.first + i];
                auto least = std::numeric_limits<double>::infinity();
                std::uint64_t region = 0;
                row.clear();
                for (std::size_t k = 0; k != bits_; ++k) {
                    auto product = panel.values[k * host::panel_rows + i];
                    if (!(std::abs(product) > error * length * lengths_[k])) {
                        if (row.empty())
                            panel.row(i, row);
                        product = cluster::product_of(row, normals_.data() + k * dimensions_);
                    }
                    region = region << 1 | (product > 0 ? 1u : 0u);
                    least = std::min(least, length == 0 ? 0 : std::abs(product) / (length * lengths_[k]));
                }
                codes.regions[panel.first + i] = region;
                codes.confidences[panel.first + i] = least;
            }
        });
        return codes;
    }
};

} // namespace watermark
LATHE_NAMESPACE_END
