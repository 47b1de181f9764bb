#pragma once
/// \file  SemStamp and k-SemStamp: the next sentence falls into one of the regions that a key draws for the region of
///        the sentence before. docs/watermarking.md.
#include <lathe/random/numpy.hpp>
#include <lathe/random/torch.hpp>
#include <lathe/watermark/sign_bits.hpp>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// Which regions are accepted after which: after region r the first int(rate * regions) of torch's randperm(regions),
/// its CPU generator seeded with prime * r. Region 0 has seed 0 under every prime. Of the product the low 32 bits
/// matter.
class region_masks {
    std::size_t regions_, accepted_;
    std::vector<std::uint32_t> all_; // in drawing order, region after region

public:
    /// \throws option_error unless there are 1 to 65536 regions and the rate is from 0 to 1
    region_masks(std::size_t regions, double rate, std::uint64_t prime) : regions_{regions}, accepted_{0} {
        expects_option(regions != 0 && regions <= 65536, "regions", std::to_string(regions), "1 to 65536");
        expects_option(rate >= 0 && rate <= 1, "rate", std::to_string(rate), "a number from 0 to 1");
        accepted_ = static_cast<std::size_t>(rate * static_cast<double>(regions));
        std::vector<std::uint32_t> permutation(regions);
        all_.reserve(regions * accepted_);
        for (std::uint64_t r = 0; r != regions; ++r) {
            random::torch_generator(prime * r).permutation(permutation, accepted_);
            all_.insert(all_.end(), permutation.begin(), permutation.begin() + static_cast<std::ptrdiff_t>(accepted_));
        }
    }
    /// Regions in all.
    [[nodiscard]] std::size_t regions() const noexcept { return regions_; }
    /// How many regions are accepted after each.
    [[nodiscard]] std::size_t accepted() const noexcept { return accepted_; }
    /// The regions accepted after that one, as they were drawn. \throws shape_error
    [[nodiscard]] std::span<std::uint32_t const> after(std::size_t region) const {
        expects_shape(region < regions_, "region_masks: no such region");
        return std::span{all_}.subspan(region * accepted_, accepted_);
    }
    /// Whether region `current` is accepted after region `previous`. \throws shape_error if there is no region
    /// `previous`
    [[nodiscard]] bool accepts(std::uint64_t previous, std::uint64_t current) const {
        auto const mask = after(static_cast<std::size_t>(previous));
        return std::ranges::find(mask, current) != mask.end();
    }
};

/// Options of semstamp and k_semstamp.
struct semstamp_options {
    double rate = 0.25;               ///< of the regions, accepted after each: gamma
    std::uint64_t prime = 15'485'863; ///< the key
};

/// The half of SemStamp that looks at regions. Its null is binomial_null(rate): the published z. With few regions that
/// null is off for texts that stay where they are: of 8 regions 5 accept themselves under the published prime.
class region_rule {
    region_masks masks_;
    semstamp_options options_;

public:
    /// Codes of many sentences.
    using codes = region_codes;
    /// The code of a sentence.
    using code = region_code;
    /// There is none.
    using state = no_state;

    /// \throws option_error
    region_rule(std::size_t regions, semstamp_options const & options)
        : masks_(regions, options.rate, options.prime), options_(options) {}
    /// Which regions are accepted after which.
    [[nodiscard]] region_masks const & masks() const noexcept { return masks_; }
    /// As given.
    [[nodiscard]] semstamp_options const & options() const noexcept { return options_; }

    /// Nothing to remember.
    [[nodiscard]] state start() const noexcept { return {}; }
    /// Whether the current region is accepted after the previous one.
    [[nodiscard]] bool admits(code const & previous, code const & current, state) const {
        return masks_.accepts(previous.region, current.region);
    }
    /// 1 if it is admitted, else 0.
    [[nodiscard]] double evidence(code const & previous, code const & current, state s) const {
        return admits(previous, current, s) ? 1 : 0;
    }
    /// Nothing to remember.
    [[nodiscard]] state advance(code const &, code const &, state) const noexcept { return {}; }
    /// How far from a border of the region.
    [[nodiscard]] double confidence(code const & c) const noexcept { return c.confidence; }
    /// The number of the region.
    [[nodiscard]] std::uint64_t region(code const & c) const noexcept { return c.region; }
    /// The draws that the prime stands for: one subset for each region before.
    [[nodiscard]] keyed_draw draw(code const & previous, code const & current, state) const noexcept {
        return {previous.region, current.region, masks_.accepted(), masks_.regions()};
    }
};

/// The normals that NearPy's RandomBinaryProjections makes, and SemStamp with it: bits x dimensions numbers of
/// numpy.random.RandomState(seed).randn.
inline std::vector<double> semstamp_normals(std::size_t bits, std::size_t dimensions, std::uint32_t seed = 1234) {
    random::numpy_random_state state(seed);
    std::vector<double> normals(bits * dimensions);
    for (auto & x : normals)
        x = state.normal();
    return normals;
}

/// SemStamp: regions are signs of products with normals (`semstamp_normals`). A
/// candidate whose least |cosine| with a normal is below the margin is turned down. A sentence of zeros is in region 0,
/// with confidence 0.
class semstamp : public region_rule {
    sign_bits bits_;

public:
    /// `normals` is bits x dimensions, at most 16 bits. \throws shape_error, option_error, non_finite_error
    semstamp(std::span<double const> normals, std::size_t bits, semstamp_options const & options = {})
        : region_rule(bits <= 16 ? std::size_t{1} << bits : 0, options), bits_(normals, bits) {}
    /// Length of an embedding.
    [[nodiscard]] std::size_t dimensions() const noexcept { return bits_.dimensions(); }
    /// \see sign_bits::encode
    template <real T, class B>
        requires matrix_space<B, T>
    codes encode(B & be, cmat<B, T> rows) const {
        return bits_.encode<T>(be, rows);
    }
};

/// k-SemStamp: the region is the nearest centre by cosine, of equally near ones the first; a candidate is turned down
/// unless it is nearer to it than to the second nearest by more than the margin.
class k_semstamp : public region_rule {
    std::size_t clusters_, dimensions_;
    std::vector<double> centres_; // scaled to length 1

public:
    /// `centres` is clusters x dimensions. \throws shape_error, option_error; non_finite_error, also for a centre of
    /// length 0
    k_semstamp(std::span<double const> centres, std::size_t clusters, semstamp_options const & options = {})
        : region_rule(clusters, options), clusters_{clusters}, dimensions_{centres.size() / clusters},
          centres_(centres.begin(), centres.end()) {
        expects_shape(dimensions_ != 0 && centres.size() == clusters * dimensions_,
                      "k_semstamp: centres are clusters x dimensions");
        for (std::size_t j = 0; j != clusters; ++j) {
            auto * const c = centres_.data() + j * dimensions_;
            auto const length = std::sqrt(cluster::product_of({c, dimensions_}, c));
            if (!std::isfinite(length) || length == 0) [[unlikely]]
                throw non_finite_error{"k_semstamp: centre " + std::to_string(j) + " is not finite, or of length 0"};
            for (std::size_t k = 0; k != dimensions_; ++k)
                c[k] /= length;
        }
    }
    /// K, the number of regions.
    [[nodiscard]] std::size_t clusters() const noexcept { return clusters_; }
    /// Length of an embedding.
    [[nodiscard]] std::size_t dimensions() const noexcept { return dimensions_; }

    /// The regions of the rows; confidence is the gap to the second nearest centre, infinite of one. Distances are
    /// computed in T; of two nearest that T cannot tell apart, again in double.
    /// \throws shape_error; non_finite_error, also for a row of length 0, which it names
    /// Complexity: 2 N K d.
    template <real T, class B>
        requires matrix_space<B, T>
    codes encode(B & be, cmat<B, T> rows) const {
        expects_shape(rows.rows == 0 || rows.cols == dimensions_,
                      "k_semstamp: embeddings are not as long as the centres");
        codes c{std::vector<std::uint64_t>(rows.rows), std::vector<double>(rows.rows)};
        if (rows.rows == 0)
            return c;
        cluster::point_set<B, T> points(be, rows, cluster::metric::cosine);
        cluster::centre_set<B, T> at(be, centres_, clusters_, dimensions_);
        auto const error = 2 * cluster::product_error<T>(dimensions_);
        cluster::for_each_distance_panel<T>(be, points, at, [&](auto const & panel) {
            std::vector<double> row, d(clusters_);
            for (std::size_t i = 0; i != panel.count; ++i) {
                for (std::size_t j = 0; j != clusters_; ++j)
                    d[j] = panel.values[j * host::panel_rows + i];
                auto & region = c.regions[panel.first + i];
                auto & gap = c.confidences[panel.first + i];
                auto const choose = [&] {
                    std::size_t best = 0;
                    for (std::size_t j = 1; j != clusters_; ++j)
                        if (d[j] < d[best])
                            best = j;
                    gap = std::numeric_limits<double>::infinity();
                    for (std::size_t j = 0; j != clusters_; ++j)
                        if (j != best)
                            gap = std::min(gap, d[j] - d[best]);
                    region = best;
                };
                choose();
                if (gap > error)
                    continue;
                panel.row(i, row);
                auto const length = std::sqrt(cluster::product_of(row, row.data()));
                for (std::size_t j = 0; j != clusters_; ++j)
                    d[j] = 1 - cluster::product_of(row, centres_.data() + j * dimensions_) / length;
                choose();
            }
        });
        return c;
    }
};

} // namespace watermark
LATHE_NAMESPACE_END
