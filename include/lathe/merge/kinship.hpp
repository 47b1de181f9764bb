#pragma once
/// \file  Model kinship (Hu et al., Exploring model kinship for merging LLMs, 2024; docs/merging.md, 10): how alike
///        the task vectors of fine-tuned models are.
#include <lathe/merge/pool.hpp>

#include <numeric>

LATHE_NAMESPACE_BEGIN
namespace merge {

/// How alike two task vectors are.
enum class kinship_metric : unsigned char {
    pcc,       ///< Pearson's correlation: the cosine of the vectors less their means
    cs,        ///< |cosine|, as the published code takes it: opposite vectors count as alike
    cs_signed, ///< the cosine
    ed         ///< Euclidean distance
};
/// Which vectors are compared.
enum class kinship_mode : unsigned char {
    full, ///< of the vectors of all parameters
    split ///< of each tensor, then the mean weighted by elements over the tensors that have a value; of distances no
          ///< distance
};

/// The metrics of one pair. NaN where a metric is not defined: for a vector that is 0 (cosines) or constant (pcc).
struct kinship_scores {
    ///@{
    /// The metric of that name: kinship_metric.
    double pcc, cs, cs_signed, ed;
    ///@}
    /// The metric asked for.
    [[nodiscard]] double operator[](kinship_metric m) const {
        return m == kinship_metric::pcc         ? pcc
               : m == kinship_metric::cs        ? cs
               : m == kinship_metric::cs_signed ? cs_signed
                                                : ed;
    }
};

/// Options of kinship().
struct kinship_options {
    bool low_precision = false; ///< of task vectors rounded to 8 bits: rint(127 x / max |x|), the maximum over the
                                ///< vector (full) or the tensor (split). Distances are in those units
    bool per_tensor = false;    ///< report every tensor too
};

/// A value for every pair of N models.
template <class V> class pair_table {
    std::size_t models_ = 0;
    std::vector<V> values_;

public:
    pair_table() = default; ///< of no models
    /// Every value is V{}.
    explicit pair_table(std::size_t models) : models_{models}, values_(models < 2 ? 0 : models * (models - 1) / 2) {}
    /// How many models there are (N).
    [[nodiscard]] std::size_t models() const noexcept { return models_; }
    /// In any order. \throws shape_error for a model with itself, or one that is not there
    [[nodiscard]] V const & at(std::size_t a, std::size_t b) const {
        expects_shape(a != b && a < models_ && b < models_, "pair_table: no such pair");
        auto const [low, high] = std::minmax(a, b);
        return values_[high * (high - 1) / 2 + low];
    }
    /// The same, to be written to.
    [[nodiscard]] V & at(std::size_t a, std::size_t b) { return const_cast<V &>(std::as_const(*this).at(a, b)); }
    /// f(a, b, value) for every pair a < b.
    template <class F> void each(F && f) {
        for (std::size_t b = 1; b < models_; ++b)
            for (std::size_t a = 0; a != b; ++a)
                f(a, b, at(a, b));
    }
};

/// What kinship() measured.
struct kinship_result {
    /// One merged tensor, if they were asked for.
    struct tensor {
        std::string name;                  ///< its name in the pool
        std::size_t count;                 ///< elements
        pair_table<kinship_scores> scores; ///< of the pairs of models, as far as this tensor goes
    };
    lathe::status status = status::converged; ///< stopped: the scores are of the tensors that had been read
    /// Of the pairs of models, by kinship_mode::full.
    pair_table<kinship_scores> full, split; ///< by kinship_mode::split
    std::vector<tensor> tensors;            ///< if asked for

    /// The kinship of models a and b, in any order. \throws shape_error as pair_table::at
    [[nodiscard]] double value(kinship_metric metric, kinship_mode mode, std::size_t a, std::size_t b) const {
        return (mode == kinship_mode::full ? full : split).at(a, b)[metric];
    }
};

namespace kernels {

/// Six sums for two task vectors: of d and e, the elements less a shift near their mean (so that nothing cancels
/// later), of their squares, of their product, and of the squared distance.
inline constexpr auto co_moments = [](auto & sums, auto const & x, auto const & y, auto const & base,
                                      auto const & shift_x, auto const & shift_y) {
    auto const d = x - base - shift_x;
    auto const e = y - base - shift_y;
    auto const apart = x - y;
    sums.add(0, d);
    sums.add(1, e);
    sums.add(2, d * d);
    sums.add(3, e * e);
    sums.add(4, d * e);
    sums.add(5, apart * apart);
};
/// The same of elements rounded to whole multiples of peak / 127. None exceeds 127, a clip would do nothing.
inline constexpr auto quantised_co_moments = [](auto & sums, auto const & x, auto const & y, auto const & base,
                                                auto const & peak_x, auto const & peak_y) {
    auto const d = math::rint(127 * (x - base) / peak_x);
    auto const e = math::rint(127 * (y - base) / peak_y);
    auto const apart = d - e;
    sums.add(0, d);
    sums.add(1, e);
    sums.add(2, d * d);
    sums.add(3, e * e);
    sums.add(4, d * e);
    sums.add(5, apart * apart);
};
/// Sum k: of the elements of x_k - base.
inline constexpr auto task_vectors = [](auto & sums, auto const & xs, auto const & base) {
    for (std::size_t i = 0; i != xs.size(); ++i)
        sums.add(i, xs[i] - base);
};
/// |x - base|.
inline constexpr auto task_magnitude = [](auto const & x, auto const & base) { return math::abs(x - base); };

} // namespace kernels

/// The sums of kernels::co_moments.
using pair_sums = std::array<double, 6>;

/// Means, centred products and squared distance of two vectors.
class pair_moments {
    double count_ = 0, mean_x_ = 0, mean_y_ = 0, xx_ = 0, yy_ = 0, xy_ = 0, squared_distance_ = 0;

public:
    pair_moments() = default; ///< of vectors without elements
    /// From sums over `count` elements relative to shifts, in which every term has the relative error `epsilon`.
    pair_moments(pair_sums const & sums, std::size_t count, double shift_x, double shift_y, double epsilon)
        : count_{static_cast<double>(count)}, mean_x_{shift_x + sums[0] / count_}, mean_y_{shift_y + sums[1] / count_},
          xx_{sums[2] - sums[0] * (sums[0] / count_)}, yy_{sums[3] - sums[1] * (sums[1] / count_)},
          xy_{sums[4] - sums[0] * (sums[1] / count_)}, squared_distance_{sums[5]} {
        // The square of the deviation of a constant vector is rounding: a lane sums lane_terms terms, three sums meet.
        auto const rounding = 3 * static_cast<double>(host::lane_terms) * epsilon;
        if (xx_ <= rounding * sums[2])
            xx_ = xy_ = 0;
        if (yy_ <= rounding * sums[3])
            yy_ = xy_ = 0;
    }
    /// Those of both pieces of the vectors, end to end (Chan, Golub and LeVeque 1979).
    void append(pair_moments const & b) {
        if (b.count_ == 0)
            return;
        auto const both = count_ + b.count_, weight = count_ * (b.count_ / both), x = b.mean_x_ - mean_x_,
                   y = b.mean_y_ - mean_y_;
        xx_ += b.xx_ + x * x * weight;
        yy_ += b.yy_ + y * y * weight;
        xy_ += b.xy_ + x * y * weight;
        squared_distance_ += b.squared_distance_;
        mean_x_ += x * (b.count_ / both);
        mean_y_ += y * (b.count_ / both);
        count_ = both;
    }
    /// The four metrics; NaN where one is not defined.
    [[nodiscard]] kinship_scores scores() const {
        auto const cosine = [](double xy, double xx, double yy) {
            return std::clamp(xy / (std::sqrt(xx) * std::sqrt(yy)), -1.0, 1.0);
        };
        auto const signed_cosine = cosine(xy_ + count_ * mean_x_ * mean_y_, xx_ + count_ * mean_x_ * mean_x_,
                                          yy_ + count_ * mean_y_ * mean_y_);
        return {cosine(xy_, xx_, yy_), std::fabs(signed_cosine), signed_cosine, std::sqrt(squared_distance_)};
    }
};

/// Means of kinship scores over tensors, weighted by elements; scores that are NaN are left out with their weight.
class mean_scores {
    struct sum {
        double value = 0, weight = 0;
        void add(double x, double w) {
            if (!std::isnan(x)) {
                value += w * x;
                weight += w;
            }
        }
        [[nodiscard]] double mean() const { return value / weight; } // 0 / 0 where no tensor has a value
    };
    sum pcc_, cs_, cs_signed_, ed_;

public:
    /// \param weight elements of the tensor
    void add(kinship_scores const & x, double weight) {
        pcc_.add(x.pcc, weight);
        cs_.add(x.cs, weight);
        cs_signed_.add(x.cs_signed, weight);
        ed_.add(x.ed, weight);
    }
    /// NaN where no tensor has a value.
    [[nodiscard]] kinship_scores mean() const { return {pcc_.mean(), cs_.mean(), cs_signed_.mean(), ed_.mean()}; }
};

/// Adds up what kinship reports, tensor by tensor.
class kinship_report {
    pair_table<mean_scores> split_;
    bool per_tensor_;
    kinship_result result_;

public:
    /// For that many models; with `per_tensor` what every tensor adds is listed, too.
    kinship_report(std::size_t models, bool per_tensor) : split_(models), per_tensor_{per_tensor} {
        result_.full = result_.split = pair_table<kinship_scores>(models);
    }
    /// \param moments of the tensor, for every pair
    void add_tensor(tensor_info const & info, pair_table<pair_moments> const & moments) {
        kinship_result::tensor tensor{info.name, info.count(), pair_table<kinship_scores>(moments.models())};
        tensor.scores.each([&](std::size_t a, std::size_t b, kinship_scores & s) {
            s = moments.at(a, b).scores();
            split_.at(a, b).add(s, static_cast<double>(tensor.count));
        });
        if (per_tensor_)
            result_.tensors.push_back(std::move(tensor));
    }
    /// The report. \param full moments of the vectors of all parameters
    [[nodiscard]] kinship_result take(status s, pair_table<pair_moments> const & full) {
        result_.status = s;
        result_.full.each([&](std::size_t a, std::size_t b, kinship_scores & x) { x = full.at(a, b).scores(); });
        result_.split.each([&](std::size_t a, std::size_t b, kinship_scores & x) { x = split_.at(a, b).mean(); });
        return std::move(result_);
    }
};

/// The largest |theta_k - theta_0| of every merged tensor (a row), and of all of them (the last row). NaN is passed
/// over.
template <class B, real T> class task_peaks {
    std::size_t models_;
    std::vector<T> values_;
    lathe::status status_;

public:
    /// One pass over base and models.
    template <class Obs, class Stop>
    task_peaks(B & be, model_pool const & pool, control<Obs, Stop> ctl) : models_{pool.size()} {
        std::size_t const piece = host::task_elements; // magnitudes on their way to the host
        auto magnitudes = be.template allocate<T>(piece);
        std::vector<T> on_host(piece), all(models_, T(0));
        status_ = stream<B, T>(be, pool, [&](pool_reader<B, T> const & in) {
            if (in.first() == 0)
                values_.resize(values_.size() + models_, T(0));
            auto * const peaks = values_.data() + values_.size() - models_;
            for_each_window(in.count(), piece, [&](std::size_t first, std::size_t count) {
                for (std::size_t k = 0; k != models_; ++k) {
                    auto const x = magnitudes.view().sub(0, count);
                    ops::map<T>(be, kernels::task_magnitude, x, in.model(k).sub(first, count),
                                in.base().sub(first, count));
                    be.download(cvec<B, T>(x), std::span{on_host}.first(count));
                    peaks[k] = std::accumulate(on_host.begin(), on_host.begin() + static_cast<std::ptrdiff_t>(count),
                                               peaks[k], [](T top, T v) { return v > top ? v : top; });
                }
            });
            for (std::size_t k = 0; k != models_; ++k)
                all[k] = std::max(all[k], peaks[k]);
        }, ctl);
        values_.insert(values_.end(), all.begin(), all.end());
    }
    /// stopped: the peaks are of what had been read.
    [[nodiscard]] lathe::status status() const noexcept { return status_; }
    /// Of every model, in tensor i of the merged ones.
    [[nodiscard]] std::span<T const> of_tensor(std::size_t i) const {
        return std::span{values_}.subspan(i * models_, models_);
    }
    /// Of every model, over all tensors.
    [[nodiscard]] std::span<T const> of_vector() const { return std::span{values_}.last(models_); }
};

/// sums += those of kernel(sums, x, y, base, p_x, p_y) over a window, for all pairs x, y of models: in pieces that stay
/// in a cache while the pairs pass, each enough for four threads.
template <class B, real T, class Kernel>
void add_pair_sums(B & be, pool_reader<B, T> const & in, Kernel const & kernel, std::span<T const> parameters,
                   pair_table<pair_sums> & sums) {
    auto const piece = sums.models() == 2 ? in.count() : 4 * host::task_elements;
    for_each_window(in.count(), piece, [&](std::size_t first, std::size_t count) {
        sums.each([&](std::size_t a, std::size_t b, pair_sums & s) {
            ops::reduce<T>(be, kernel, std::span{s}, in.model(a).sub(first, count), in.model(b).sub(first, count),
                           in.base().sub(first, count), parameters[a], parameters[b]);
        });
    });
}

/// kinship() of the task vectors as they are: one pass, with sums relative to the mean of the first block of a tensor.
template <class B, real T, class Obs, class Stop>
kinship_result full_precision_kinship(B & be, model_pool const & pool, bool per_tensor, control<Obs, Stop> ctl) {
    auto const N = pool.size();
    kinship_report report(N, per_tensor);
    pair_table<pair_moments> full(N), tensor(N);
    pair_table<pair_sums> sums(N);
    std::vector<T> shift(N);
    auto const status = stream<B, T>(be, pool, [&](pool_reader<B, T> const & in) {
        if (in.first() == 0) { // the mean of the first block stands for that of the tensor
            auto const count = std::min(in.count(), host::reduction_block);
            std::vector<input_operand<B, T>> start;
            for (std::size_t k = 0; k != N; ++k)
                start.push_back(in.model(k).sub(0, count));
            std::vector<double> first(N);
            ops::reduce<T>(be, kernels::task_vectors, std::span{first}, list(start), in.base().sub(0, count));
            for (std::size_t k = 0; k != N; ++k)
                shift[k] = static_cast<T>(first[k] / static_cast<double>(count));
            sums = pair_table<pair_sums>(N);
        }
        add_pair_sums<B, T>(be, in, kernels::co_moments, shift, sums);
        if (in.first() + in.count() == in.row().info.count()) {
            tensor.each([&](std::size_t a, std::size_t b, pair_moments & m) {
                m = pair_moments(sums.at(a, b), in.row().info.count(), static_cast<double>(shift[a]),
                                 static_cast<double>(shift[b]), static_cast<double>(std::numeric_limits<T>::epsilon()));
                full.at(a, b).append(m);
            });
            report.add_tensor(in.row().info, tensor);
        }
    }, ctl);
    return report.take(status, full);
}

/// kinship() of rounded task vectors: a pass for the peaks, and one for the sums.
template <class B, real T, class Obs, class Stop>
kinship_result low_precision_kinship(B & be, model_pool const & pool, bool per_tensor, control<Obs, Stop> ctl) {
    auto const N = pool.size();
    kinship_report report(N, per_tensor);
    pair_table<pair_moments> full(N), tensor(N);
    task_peaks<B, T> const peaks(be, pool, ctl);
    if (peaks.status() == status::stopped)
        return report.take(status::stopped, full);
    pair_table<pair_sums> tensor_sums(N), full_sums(N); // of whole numbers
    std::size_t tensors = 0, elements = 0;
    auto const moments_of = [](pair_sums const & s, std::size_t count) {
        return pair_moments(s, count, 0, 0, std::numeric_limits<double>::epsilon());
    };
    auto const status = stream<B, T>(be, pool, [&](pool_reader<B, T> const & in) {
        add_pair_sums<B, T>(be, in, kernels::quantised_co_moments, peaks.of_tensor(tensors), tensor_sums);
        add_pair_sums<B, T>(be, in, kernels::quantised_co_moments, peaks.of_vector(), full_sums);
        auto const count = in.row().info.count();
        if (in.first() + in.count() == count) {
            tensor.each(
                [&](std::size_t a, std::size_t b, pair_moments & m) { m = moments_of(tensor_sums.at(a, b), count); });
            report.add_tensor(in.row().info, tensor);
            tensor_sums = pair_table<pair_sums>(N);
            elements += count;
            ++tensors;
        }
    }, ctl);
    full.each([&](std::size_t a, std::size_t b, pair_moments & m) { m = moments_of(full_sums.at(a, b), elements); });
    return report.take(status, full);
}

/// All four metrics, of the full vectors and split, for every pair of the pool's models, over the merged rows of the
/// pool.
///
/// One pass over base and models, however many pairs and metrics: per element 6 sums a pair. With `low_precision` two
/// passes, in double where B has plain pointers. Memory: a window of each checkpoint and O(N^2) numbers (and as many a
/// tensor if asked for). The same bits for any number of threads and any window. The published code cuts every tensor
/// to as many rows as lm_head.weight has and needs that tensor; here nothing is cut.
/// \throws option_error without a base
template <real T = float, class B, class Obs = no_observer, class Stop = never_stop>
    requires elementwise<B, T>
kinship_result kinship(B & be, model_pool const & pool, kinship_options const & options = {},
                       control<Obs, Stop> ctl = {}) {
    static_cast<void>(pool.base());
    if (!options.low_precision)
        return full_precision_kinship<B, T>(be, pool, options.per_tensor, ctl);
    // A quotient near one half must not be rounded by single precision first.
    using wide = std::conditional_t<host_addressable<B, double>, double, T>;
    return low_precision_kinship<B, wide>(be, pool, options.per_tensor, ctl);
}

} // namespace merge
LATHE_NAMESPACE_END
