#pragma once
/// \file  SimMark: the similarity of the next sentence to the sentence before lies in an interval.
/// docs/watermarking.md.
#include <lathe/cluster/panels.hpp>
#include <lathe/watermark/null_models.hpp>
#include <lathe/watermark/partition.hpp>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// Vectors of many sentences, of one length.
struct vector_codes {
    std::size_t dimension = 0;  ///< length of a vector
    std::vector<double> values; ///< sentence by sentence
    /// Sentences.
    [[nodiscard]] std::size_t size() const noexcept { return dimension == 0 ? 0 : values.size() / dimension; }
    /// The vector of sentence i, a view. \pre i < size()
    [[nodiscard]] std::span<double const> operator[](std::size_t i) const {
        return std::span{values}.subspan(i * dimension, dimension);
    }
};

/// What is compared of two neighbouring sentences.
enum class similarity_measure : unsigned char {
    cosine,   ///< <x, y> / (|x| |y|); NaN, which is no evidence, for a vector of length 0
    euclidean ///< |x - y|
};
/// What the authors' code does where it departs from its own training.
enum class simmark_conformance : unsigned char {
    none,                  ///< embeddings are standardised before they are projected
    project_unstandardised ///< principal components of standardised embeddings, applied to embeddings as they are
};

/// Principal components of standardised embeddings: y = components ((x - mean) / scale).
struct linear_projection {
    std::vector<double> components; ///< outputs x dimensions
    std::vector<double> mean;       ///< of each dimension; empty: 0
    std::vector<double> scale;      ///< likewise, above 0; empty: 1
};

/// Options of simmark.
struct simmark_options {
    similarity_measure measure = similarity_measure::cosine; ///< of two neighbouring sentences
    double low = 0.68,  ///< start of the interval; Euclidean in the paper: 0.28 with 16 components
        high = 0.76;    ///< end of the interval; Euclidean in the paper: 0.36 with 16 components
    double decay = 250; ///< K: evidence is exp(-K distance from the interval)
    simmark_conformance conformance = simmark_conformance::none; ///< of the projection
};

/// SimMark as a partition. Embeddings are taken as they are: of length 1 in the paper.
class simmark {
    std::size_t dimensions_, outputs_;
    simmark_options options_;
    std::vector<double> projection_, offset_; // outputs x dimensions, folded with mean and scale; empty: none

public:
    /// Codes of many sentences.
    using codes = vector_codes;
    /// The code of a sentence: its vector, a view.
    using code = std::span<double const>;
    /// There is none.
    using state = no_state;

    /// Of embeddings of that length, with or without a projection. \throws option_error, shape_error, non_finite_error
    explicit simmark(std::size_t dimensions, simmark_options const & options = {},
                     linear_projection const & projection = {})
        : dimensions_{dimensions}, outputs_{dimensions}, options_(options) {
        expects_option(dimensions != 0, "dimensions", "0", "at least 1");
        expects_option(options.low <= options.high, "low, high",
                       std::to_string(options.low) + ", " + std::to_string(options.high), "an interval");
        expects_option(options.decay >= 0 && std::isfinite(options.decay), "decay", std::to_string(options.decay),
                       "a number not below 0");
        auto const & p = projection;
        if (p.components.empty())
            return;
        expects_shape(p.components.size() % dimensions == 0 && (p.mean.empty() || p.mean.size() == dimensions)
                          && (p.scale.empty() || p.scale.size() == dimensions),
                      "simmark: components are outputs x dimensions, mean and scale of that many dimensions");
        outputs_ = p.components.size() / dimensions;
        projection_ = p.components;
        offset_.assign(outputs_, 0.0);
        if (options.conformance == simmark_conformance::none)
            for (std::size_t j = 0; j != outputs_; ++j)
                for (std::size_t k = 0; k != dimensions; ++k) {
                    auto & w = projection_[j * dimensions + k];
                    w /= p.scale.empty() ? 1 : p.scale[k];
                    offset_[j] += w * (p.mean.empty() ? 0 : p.mean[k]);
                }
        for (auto const w : projection_)
            if (!std::isfinite(w)) [[unlikely]]
                throw non_finite_error{"simmark: a component is not finite, or a scale is 0"};
    }
    /// Length of an embedding.
    [[nodiscard]] std::size_t dimensions() const noexcept { return dimensions_; }
    /// As given.
    [[nodiscard]] simmark_options const & options() const noexcept { return options_; }

    /// The vectors to compare, in double. \throws shape_error; non_finite_error, which names the row
    /// Complexity: 2 N d outputs with a projection, else a copy.
    template <real T, class B>
        requires matrix_space<B, T>
    codes encode(B & be, cmat<B, T> rows) const {
        expects_shape(rows.rows == 0 || rows.cols == dimensions_, "simmark: embeddings are of another length");
        codes c{outputs_, std::vector<double>(rows.rows * outputs_)};
        if (rows.rows == 0)
            return c;
        cluster::point_set<B, T> points(be, rows, cluster::metric::euclidean); // names what is not finite
        if (projection_.empty()) {
            auto dense = be.template allocate<T>(rows.rows * dimensions_);
            cluster::point_set<B, T>::copy_rows(be, rows, dense.view());
            std::vector<T> values(rows.rows * dimensions_);
            be.download(cvec<B, T>(dense.view()), std::span{values});
            c.values.assign(values.begin(), values.end());
            return c;
        }
        cluster::centre_set<B, T> vectors(be, projection_, outputs_, dimensions_);
        cluster::for_each_product_panel<T>(be, points, vectors, [&](auto const & panel) {
            for (std::size_t i = 0; i != panel.count; ++i)
                for (std::size_t j = 0; j != outputs_; ++j)
                    c.values[(panel.first + i) * outputs_ + j] = panel.values[j * host::panel_rows + i] - offset_[j];
        });
        return c;
    }

    /// The similarity or distance of two sentences.
    [[nodiscard]] double value(code const & previous, code const & current) const {
        double aa = 0, bb = 0, ab = 0, square = 0;
        for (std::size_t k = 0; k != previous.size(); ++k) {
            aa += previous[k] * previous[k];
            bb += current[k] * current[k];
            ab += previous[k] * current[k];
            square += (previous[k] - current[k]) * (previous[k] - current[k]);
        }
        return options_.measure == similarity_measure::cosine ? ab / (std::sqrt(aa) * std::sqrt(bb))
                                                              : std::sqrt(square);
    }
    /// How far a value lies outside the interval; 0 inside.
    [[nodiscard]] double distance(double value) const noexcept {
        return value < options_.low ? options_.low - value : value > options_.high ? value - options_.high : 0;
    }

    /// Nothing to remember.
    [[nodiscard]] state start() const noexcept { return {}; }
    /// Whether the value of the two lies in the interval, ends included.
    [[nodiscard]] bool admits(code const & previous, code const & current, state) const {
        auto const v = value(previous, current);
        return v >= options_.low && v <= options_.high;
    }
    /// exp(-K distance) of their value; 0 where that is NaN.
    [[nodiscard]] double evidence(code const & previous, code const & current, state) const {
        auto const v = value(previous, current);
        return std::isnan(v) ? 0 : std::exp(-options_.decay * distance(v));
    }
    /// Nothing to remember.
    [[nodiscard]] state advance(code const &, code const &, state) const noexcept { return {}; }
    /// Infinite: no candidate is too near a border.
    [[nodiscard]] double confidence(code const &) const noexcept { return std::numeric_limits<double>::infinity(); }
    /// Minus the distance of their value from the interval.
    [[nodiscard]] double preference(code const & previous, code const & current, state) const {
        auto const v = value(previous, current);
        return std::isnan(v) ? -std::numeric_limits<double>::infinity() : -distance(v);
    }
};

/// The published null of SimMark's score: gamma is the share of pairs of neighbouring sentences that people wrote whose
/// value lies in the interval.
inline normal_null simmark_null(double gamma) {
    expects_option(gamma >= 0 && gamma <= 1, "gamma", std::to_string(gamma), "a number from 0 to 1");
    return {gamma, 1e-12};
}

} // namespace watermark
LATHE_NAMESPACE_END
