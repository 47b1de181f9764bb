#pragma once
/// \file  TIES (Yadav et al., TIES-merging: resolving interference when merging models, NeurIPS 2023): trim every task
///        vector to its largest elements, elect a sign at every position, average what agrees with it.
#include <lathe/core/selection.hpp>
#include <lathe/merge/election.hpp>
#include <lathe/merge/linear.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {
namespace kernels {

/// The task vectors, for a selection.
inline constexpr auto differences = [](auto & values, auto const & base, auto const & xs) {
    for (std::size_t k = 0; k != xs.size(); ++k)
        values.add(k, xs[k] - base);
};
/// x - base unless it is smaller than the threshold. NaN stays.
inline constexpr auto trimmed = [](auto const & x, auto const & base, auto const & threshold) {
    auto const delta = x - base;
    using value = std::remove_cvref_t<decltype(delta)>;
    return math::select(math::abs(delta) < value(threshold), value(0), delta);
};
/// How many elements of each task vector are of its threshold's magnitude.
inline constexpr auto count_equal = [](auto & sums, auto const & base, auto const & xs, auto const & thresholds) {
    for (std::size_t k = 0; k != xs.size(); ++k) {
        auto const magnitude = math::abs(xs[k] - base);
        using value = std::remove_cvref_t<decltype(magnitude)>;
        sums.add(k, math::select(magnitude == value(thresholds[k]), value(1), value(0)));
    }
};
/// The L1 norms of the task vectors, then of what the trim leaves.
inline constexpr auto trimmed_norms = [](auto & sums, auto const & base, auto const & xs, auto const & thresholds) {
    for (std::size_t k = 0; k != xs.size(); ++k) {
        sums.add(k, math::abs(xs[k] - base));
        sums.add(xs.size() + k, math::abs(trimmed(xs[k], base, thresholds[k])));
    }
};
/// base + factor times the election's result; scale[k] multiplies task vector k before it.
inline constexpr auto elect_trimmed = [](auto const & base, auto const & xs, auto const & thresholds,
                                         auto const & scale, auto const & w, auto const & factor,
                                         auto const & normalize, auto const & count) {
    return base + factor * elect(xs.size(), [&](std::size_t k) {
        return scale[k] * trimmed(xs[k], base, thresholds[k]);
    }, w, normalize, count);
};

/// Adds the sign of the sum of the trimmed task vectors to sum 0.
inline constexpr auto count_signs = [](auto & sums, auto const & base, auto const & xs, auto const & thresholds) {
    auto total = trimmed(xs[0], base, thresholds[0]);
    for (std::size_t k = 1; k != xs.size(); ++k)
        total = total + trimmed(xs[k], base, thresholds[k]);
    sums.add(0, math::sign(total));
};
/// The published whole-model rule: the sign of the sum of the trimmed task vectors, `majority` where that is zero; zero
/// itself acts as minus. base + factor times the sum of what agrees, divided by how many do if `mean` is 1 (not 0).
/// Adds the elected sign before majority to sum 0, and to sum 1 whether majority made a difference.
inline constexpr auto majority_sum = [](auto & sums, auto const & base, auto const & xs, auto const & thresholds,
                                        auto const & factor, auto const & majority, auto const & mean) {
    using value = std::remove_cvref_t<decltype(base + base)>;
    value const zero(0), one(1);
    auto total = zero, plus = zero, minus = zero, pluses = zero, minuses = zero;
    for (std::size_t k = 0; k != xs.size(); ++k) {
        auto const u = trimmed(xs[k], base, thresholds[k]);
        auto const up = u > zero, down = u < zero;
        total = total + u;
        plus = plus + math::select(up, u, zero);
        minus = minus + math::select(down, u, zero);
        pluses = pluses + math::select(up, one, zero);
        minuses = minuses + math::select(down, one, zero);
    }
    auto const sign = math::sign(total);
    sums.add(0, sign);
    sums.add(1, math::select(total == zero && plus > zero, one, zero));
    auto const elected = math::select(sign == zero, value(majority), sign) > zero;
    auto const sum = math::select(elected, plus, minus);
    auto const divisor = math::select(value(mean) > zero, math::max(math::select(elected, pluses, minuses), one), one);
    return base + factor * math::select(math::is_nan(total), total, sum / divisor);
};
/// The same with the largest magnitude that agrees, times the sign.
inline constexpr auto majority_max = [](auto & sums, auto const & base, auto const & xs, auto const & thresholds,
                                        auto const & factor, auto const & majority) {
    using value = std::remove_cvref_t<decltype(base + base)>;
    value const zero(0), one(1);
    auto total = zero, largest = zero, least = zero;
    for (std::size_t k = 0; k != xs.size(); ++k) {
        auto const u = trimmed(xs[k], base, thresholds[k]);
        total = total + u;
        largest = math::max(u, largest);
        least = math::min(u, least);
    }
    auto const sign = math::sign(total);
    sums.add(0, sign);
    sums.add(1, math::select(total == zero && largest > zero, one, zero));
    auto const elected = math::select(sign == zero, value(majority), sign);
    auto const merged = elected * math::select(elected > zero, largest, -least);
    return base + factor * math::select(math::is_nan(total), total, merged);
};

} // namespace kernels

/// Whose rules. They differ in what is trimmed together, in how many elements stay, in where a sum of zero goes and in
/// weights.
enum class ties_variant : unsigned char {
    lathe, ///< the paper's trim, of the whole task vector, keeping exactly trunc(density d) of its d elements; then
           ///< mergekit's election
    fusion_bench, ///< FusionBench, and the authors' own code: the whole task vector is trimmed to `threshold` percent
                  ///< and one more, and all of equal magnitude; zero sums take the majority sign of the whole model
    fwm,          ///< FW-Merging: the same, keeping 1 - mask_rate
    mergekit ///< every tensor is trimmed by itself, keeping exactly trunc(density n) of its n elements (an error where
             ///< that is none); weighted election, in which zero sums elect plus
};
/// What becomes of the elements that agree (fusion_bench, fwm).
enum class ties_merge_func : unsigned char {
    mean, ///< their mean
    sum,  ///< their sum
    max   ///< the one of the largest magnitude
};
/// What is summed up to elect a sign (lathe, mergekit).
enum class ties_consensus : unsigned char {
    sum,  ///< task vectors times their weights
    count ///< the signs of these: one vote a model
};
/// Which of several elements of equal magnitude stay where not all can (lathe, mergekit; mergekit itself leaves it
/// open).
enum class ties_tie_break : unsigned char {
    lowest_index ///< the first ones, in the order of tensors and elements
};

/// The default variant does what the paper says, with the liberties that cost nothing: trimming whole task vectors lets
/// a tensor that fine-tuning rewrote keep more than one that it hardly touched, and works for tensors of any size,
/// where mergekit's rule fails on a tensor of fewer than 1 / density elements; the number kept is exact for every
/// density up to 1, where the published code keeps one more, and nothing at all can be said at 1; models have weights.
struct ties_options {
    ties_variant variant = ties_variant::lathe;         ///< whose rules
    std::optional<double> mask_rate = {};               ///< fwm: share dropped; unset: 0.8
    std::optional<double> threshold = {};               ///< fusion_bench: share kept, above 1 in percent; unset: 20
    std::vector<schedule> density = {};                 ///< lathe, mergekit: share kept of each model; none: 0.2
    std::vector<schedule> weights = {};                 ///< lathe, mergekit: of the models; none: all 1
    double scaling = 1;                                 ///< of the merged task vector
    std::optional<double> lambda = {};                  ///< mergekit's name of scaling, in its place
    ties_merge_func merge_func = ties_merge_func::mean; ///< fusion_bench, fwm
    ties_consensus consensus = ties_consensus::sum;     ///< lathe, mergekit
    bool normalize = true;                              ///< lathe, mergekit: divide by the weights that agree
    bool rescale = false;                               ///< lathe, mergekit: the trim keeps the L1 norm
    ties_tie_break tie_break = ties_tie_break::lowest_index; ///< lathe, mergekit
};

/// What ties() found; the merged model is in the sink.
struct ties_result {
    lathe::status status;             ///< stopped: nothing was written
    std::vector<double> threshold;    ///< magnitudes from which on elements of each model stay; empty with mergekit
    std::optional<std::uint64_t> kth; ///< fusion_bench, fwm: their rank among all, from the smallest
    std::vector<std::uint64_t> kept;  ///< elements of each model that stay
    std::optional<double> majority;   ///< fusion_bench, fwm: the sign that zero sums take, -1, 0 or 1
};

/// Rank from the smallest, 1-based, of the magnitude from which on elements stay when a vector of d is trimmed whole,
/// as published (docs/merging.md, 2): d - trunc(d K), so that trunc(d K) + 1 stay, and all of equal magnitude. \param
/// rate is the mask_rate of fwm (K = 1 - rate, in percent from 1 on, everything at exactly 100), or the threshold of
/// fusion_bench (K = rate, in percent above 1). \throws option_error if the code has no such rank
inline std::uint64_t kth_of(ties_variant variant, double rate, std::uint64_t d) {
    bool const fwm = variant == ties_variant::fwm;
    auto k = fwm ? 1 - rate : rate;
    if (fwm && k == 100)
        return d == 0 ? 0 : 1;
    if (fwm ? k >= 1 : k > 1)
        k /= 100;
    auto const kept = static_cast<double>(d) * k;
    if (!(k >= 0) || (d != 0 && kept >= static_cast<double>(d)))
        throw option_error{std::string{fwm ? "mask_rate" : "threshold"} + ": found " + std::to_string(rate)
                           + ", expected a share that drops at least one element of " + std::to_string(d)};
    return d - static_cast<std::uint64_t>(kept);
}
/// The same for the rate in the options, or its default.
inline std::uint64_t kth_of(ties_options const & options, std::uint64_t d) {
    return kth_of(
        options.variant,
        options.variant == ties_variant::fwm ? options.mask_rate.value_or(0.8) : options.threshold.value_or(20), d);
}

/// \throws option_error for options that the variant does not have, or values out of range
inline void validate(ties_options const & options, model_pool const & pool) {
    static_cast<void>(pool.base());
    bool const published = options.variant == ties_variant::fusion_bench || options.variant == ties_variant::fwm;
    auto const only_with = [](bool ok, char const * name, char const * variants) {
        expects_option(ok, name, "a value", std::string{"none: it belongs to variant "} + variants);
    };
    only_with(!options.mask_rate || options.variant == ties_variant::fwm, "mask_rate", "fwm");
    only_with(!options.threshold || options.variant == ties_variant::fusion_bench, "threshold", "fusion_bench");
    only_with(options.density.empty() || !published, "density", "lathe or mergekit");
    only_with(options.weights.empty() || !published, "weights", "lathe or mergekit");
    only_with(options.merge_func == ties_merge_func::mean || published, "merge_func", "fusion_bench or fwm");
    only_with(options.consensus == ties_consensus::sum || !published, "consensus", "lathe or mergekit");
    only_with(options.normalize || !published, "normalize", "lathe or mergekit");
    only_with(!options.rescale || !published, "rescale", "lathe or mergekit");
    expects_option(std::isfinite(options.scaling), "scaling", std::to_string(options.scaling), "a finite number");
    expects_option(std::isfinite(options.lambda.value_or(0)), "lambda", std::to_string(options.lambda.value_or(0)),
                   "a finite number");
}

/// What a trim leaves of each task vector of a pool, in a scope that is trimmed together: a tensor, or the whole model.
///
/// Found by streaming: the magnitudes of the wanted ranks (core/selection.hpp), and, where exactly so many elements are
/// to stay and some of the last magnitude must go, the position from which on they do. Elements of a magnitude at or
/// above a threshold stay: the threshold itself up to that position, the next larger number after it.
template <class B, real T> class task_vector_trim {
    model_pool const * pool_;
    magnitude_selection<B, T> selection_;
    std::vector<T> found_, next_; // magnitudes, and the numbers above them
    std::vector<std::uint64_t> kept_, cut_;
    std::vector<T> thresholds_;
    std::vector<input_operand<B, T>> operands_;
    static constexpr auto never = std::numeric_limits<std::uint64_t>::max();

    /// Position in a window, from `first` to before `last`, of the `rank`-th element of the magnitude found for model
    /// k.
    std::size_t find_equal(B & be, pool_reader<B, T> const & in, std::size_t k, std::size_t first, std::size_t last,
                           std::uint64_t rank) {
        while (last - first > 1) {
            auto const half = (last - first) / 2;
            std::array const x{in.model(k).sub(first, half)};
            double count = 0;
            ops::reduce<T>(be, kernels::count_equal, std::span<double, 1>{&count, 1}, in.base().sub(first, half),
                           list(x), list(std::span<T const>{found_}.subspan(k, 1)));
            if (static_cast<double>(rank) <= count)
                last = first + half;
            else {
                rank -= static_cast<std::uint64_t>(count);
                first += half;
            }
        }
        return first;
    }
    /// Looks in a window, which begins at element `position` of the scope, for the wanted[k]-th element of the
    /// magnitude found for model k; that is where the cut goes. What was found is not wanted any more.
    void find_cuts(B & be, pool_reader<B, T> const & in, std::uint64_t position, std::span<std::uint64_t> wanted) {
        std::vector<double> equal(wanted.size());
        auto const step =
            host_addressable<B, T> ? host::task_elements : in.count(); // the halves of so much are in the cache
        for_each_window(in.count(), step, [&](std::size_t first, std::size_t count) {
            if (std::ranges::all_of(wanted, [](auto w) { return w == never; }))
                return;
            operands_.clear();
            for (std::size_t k = 0; k != pool_->size(); ++k)
                operands_.push_back(in.model(k).sub(first, count));
            std::ranges::fill(equal, 0.0);
            ops::reduce<T>(be, kernels::count_equal, std::span<double>{equal}, in.base().sub(first, count),
                           list(operands_), list(found_));
            for (std::size_t k = 0; k != wanted.size(); ++k)
                if (auto const here = static_cast<std::uint64_t>(equal[k]); wanted[k] != never) {
                    if (wanted[k] <= here)
                        cut_[k] = position + find_equal(be, in, k, first, first + count, wanted[k]) + 1;
                    wanted[k] = wanted[k] <= here ? never : wanted[k] - here;
                }
        });
    }

public:
    /// Refers to the pool. keep_all() or look() comes before everything else.
    explicit task_vector_trim(model_pool const & pool)
        : pool_{&pool}, found_(pool.size(), T(0)), next_(pool.size(), T(0)), kept_(pool.size(), 0),
          cut_(pool.size(), never), thresholds_(pool.size()) {}

    /// Keeps everything of a scope of n elements.
    void keep_all(std::uint64_t n) {
        std::ranges::fill(found_, T(0));
        std::ranges::fill(kept_, n);
        std::ranges::fill(cut_, never);
    }
    /// Looks for thresholds. \param for_each for_each(f) calls f(reader) for every window of the scope, n elements in
    /// all, in order, each time, and returns a status \param ranks of the thresholds, from the smallest; or \param
    /// counts of elements to keep, where they are not empty, exactly. \returns stopped, or converged
    template <class ForEach>
    status look(B & be, ForEach && for_each, std::uint64_t n, std::span<std::uint64_t const> ranks,
                std::span<std::uint64_t const> counts) {
        selection_.start(ranks, n);
        while (!selection_.done()) {
            if (for_each([&](pool_reader<B, T> const & in) {
                selection_.add(be, kernels::differences, in.base(), in.models());
            }) == status::stopped)
                return status::stopped;
            selection_.end_pass();
        }
        std::vector<std::uint64_t> wanted(ranks.size(), never); // of the last magnitude, where some must go
        bool some = false;
        for (std::size_t k = 0; k != ranks.size(); ++k) {
            found_[k] = selection_.value(k);
            auto const from_here = n - selection_.below(k);
            kept_[k] = counts.empty() ? from_here : counts[k];
            cut_[k] = never;
            next_[k] = found_[k];
            // Whether elements that are zero stay makes no difference; infinity and NaN have nothing above.
            if (counts.empty() || from_here == counts[k] || found_[k] == T(0) || !std::isfinite(found_[k]))
                continue;
            next_[k] = std::nextafter(found_[k], std::numeric_limits<T>::infinity());
            wanted[k] = counts[k] - (from_here - selection_.equal(k));
            some = true;
        }
        if (!some)
            return status::converged;
        std::uint64_t position = 0;
        return for_each([&](pool_reader<B, T> const & in) {
            find_cuts(be, in, position, wanted);
            position += in.count();
        });
    }

    /// The magnitudes found, one for each model; of the last scope.
    [[nodiscard]] std::span<T const> found() const noexcept { return found_; }
    /// Elements that stay, one number for each model; of the last scope.
    [[nodiscard]] std::span<std::uint64_t const> kept() const noexcept { return kept_; }

    /// Calls f(first, base, models, thresholds) for the parts of a window, from element `first` of it on, in which the
    /// thresholds are the same; the window begins at element `position` of the scope. After a cut a part ends at a
    /// whole summation block again, so that sums do not depend on the windows.
    template <class F> void for_each_part(pool_reader<B, T> const & in, std::uint64_t position, F && f) {
        for (std::size_t first = 0; first != in.count();) {
            auto last = static_cast<std::uint64_t>(in.count());
            if (auto const into = (in.first() + first) % host::reduction_block; into != 0)
                last = std::min<std::uint64_t>(last, first + (host::reduction_block - into));
            for (std::size_t k = 0; k != cut_.size(); ++k) {
                auto const here = position + first;
                if (cut_[k] > here && cut_[k] != never)
                    last = std::min(last, cut_[k] - position);
                auto const t = cut_[k] > here ? found_[k] : next_[k];
                thresholds_[k] = std::isnan(t) ? std::numeric_limits<T>::infinity() : t;
            }
            auto const count = static_cast<std::size_t>(last) - first;
            operands_.clear();
            for (std::size_t k = 0; k != pool_->size(); ++k)
                operands_.push_back(in.model(k).sub(first, count));
            f(first, in.base().sub(first, count), list(operands_), list(thresholds_));
            first += count;
        }
    }
};

/// Makes windows of the TIES merge. Trims whole task vectors ahead, tensors when it comes to them.
///
/// The majority sign of the published variants is known only when all is done. Either a pass for it goes first, and
/// windows can then be made in any order; or it is guessed, and `again` names the windows in which that made a
/// difference.
template <class B, real T> class ties_recipe {
    ties_options options_;
    model_pool const * pool_;
    bool published_, per_tensor_;
    std::optional<schedule_table> weights_, density_;
    std::vector<std::uint64_t> offset_; // of the merged rows in the whole vector
    task_vector_trim<B, T> trim_;
    std::vector<T> scale_, w_;
    std::vector<std::uint64_t> kept_; // per tensor: of all rows so far
    std::size_t row_ = std::numeric_limits<std::size_t>::max();
    pool_reader<B, T> scan_; // of the tensor at hand
    status status_ = status::converged;
    std::optional<std::uint64_t> kth_;

    double votes_ = 0;
    bool decided_ = false;
    struct guess {
        pool_window where;
        double sign;
    };
    std::vector<guess> guesses_;

    [[nodiscard]] double majority_now() const { return votes_ > 0 ? 1 : votes_ < 0 ? -1 : 0; }
    [[nodiscard]] T factor() const { return static_cast<T>(options_.lambda.value_or(options_.scaling)); }

    /// How many elements of n a model keeps. \throws option_error if that is none
    [[nodiscard]] static std::uint64_t count_of(double density, std::uint64_t n, std::string const & what) {
        if (density >= 1)
            return n;
        auto const k = density > 0 ? static_cast<std::uint64_t>(density * static_cast<double>(n)) : 0;
        if (k == 0 && n != 0)
            throw option_error{"density: found " + std::to_string(density) + ", which keeps none of the "
                               + std::to_string(n) + " elements of " + what + ", expected more"};
        return k;
    }
    [[nodiscard]] std::vector<std::uint64_t> counts_of(std::size_t row, std::uint64_t n,
                                                       std::string const & what) const {
        std::vector<std::uint64_t> counts;
        for (auto const density : (*density_)[row])
            counts.push_back(count_of(density, n, what));
        return counts;
    }
    /// Finds the trim of a scope, and what rescales it. \param position of a window in the scope
    template <class ForEach, class Position>
    void look(B & be, ForEach && for_each, Position && position, std::uint64_t n,
              std::vector<std::uint64_t> const & counts) {
        std::ranges::fill(scale_, T(1));
        if (std::ranges::all_of(counts, [&](auto c) { return c == n; })) {
            trim_.keep_all(n);
            return;
        }
        std::vector<std::uint64_t> ranks;
        ranks.reserve(counts.size());
        for (auto const c : counts)
            ranks.push_back(n - c + 1);
        status_ = trim_.look(be, for_each, n, ranks, counts);
        if (!options_.rescale || status_ == status::stopped)
            return;
        std::vector<double> norms(2 * scale_.size(), 0.0);
        status_ = for_each([&](pool_reader<B, T> const & in) {
            trim_.for_each_part(in, position(in),
                                [&](std::size_t, auto const & base, auto const & models, auto const & thresholds) {
                ops::reduce<T>(be, kernels::trimmed_norms, std::span{norms}, base, models, thresholds);
            });
        });
        for (std::size_t k = 0; k != scale_.size(); ++k)
            if (auto const before = norms[k], after = norms[scale_.size() + k];
                before >= 1e-7 && after >= 1e-7 && std::isfinite(before / after))
                scale_[k] = static_cast<T>(before / after);
    }
    void look_at_row(B & be, std::size_t index) {
        auto const & row = pool_->rows()[index];
        auto const n = row.info.count();
        look(be, [&](auto && f) {
            for_each_window(n, pool_->window(), [&](std::size_t first, std::size_t count) {
                scan_.seek(be, row, first, count);
                f(scan_);
            });
            return status::converged;
        }, [](auto const & in) { return in.first(); }, n, counts_of(index, n, "tensor '" + row.info.name + "'"));
        row_ = index;
    }
    template <class Out> void make(B & be, pool_reader<B, T> const & in, Out out, std::span<double, 2> votes) {
        auto const position = per_tensor_ ? in.first() : offset_[in.row_index()] + in.first();
        trim_.for_each_part(in, position,
                            [&](std::size_t first, auto const & base, auto const & models, auto const & thresholds) {
            auto const part = out.sub(first, base.n);
            if (!published_)
                ops::map<T>(be, kernels::elect_trimmed, part, base, models, thresholds, list(scale_), list(w_),
                            factor(), options_.normalize ? T(1) : T(0),
                            options_.consensus == ties_consensus::count ? T(1) : T(0));
            else if (options_.merge_func == ties_merge_func::max)
                ops::map_reduce<T>(be, kernels::majority_max, part, votes, base, models, thresholds, factor(),
                                   static_cast<T>(majority_now()));
            else
                ops::map_reduce<T>(be, kernels::majority_sum, part, votes, base, models, thresholds, factor(),
                                   static_cast<T>(majority_now()),
                                   options_.merge_func == ties_merge_func::mean ? T(1) : T(0));
        });
    }

public:
    /// Validates, and trims whole task vectors: the passes of core/selection.hpp over the pool, and one more each for
    /// magnitudes that only some elements of can stay, for `rescale`, and for the majority sign with `decide`. \throws
    /// option_error
    template <class Obs = no_observer, class Stop = never_stop>
    ties_recipe(B & be, model_pool const & pool, ties_options const & options, bool decide = true,
                control<Obs, Stop> ctl = {})
        : options_{options}, pool_{&pool},
          published_{options.variant == ties_variant::fusion_bench || options.variant == ties_variant::fwm},
          per_tensor_{options.variant == ties_variant::mergekit}, trim_(pool), scale_(pool.size(), T(1)),
          w_(pool.size(), T(1)), kept_(pool.size(), 0), scan_(pool) {
        validate(options, pool);
        std::uint64_t d = 0;
        for (auto const & row : pool.rows()) {
            offset_.push_back(d);
            d += row.merged ? row.info.count() : 0;
        }
        if (!published_) {
            weights_.emplace("weights", options.weights, pool,
                             options.weights.empty() ? std::optional{1.0} : std::nullopt);
            density_.emplace("density", options.density, pool,
                             options.density.empty() ? std::optional{0.2} : std::nullopt);
        }
        auto const all_windows = [&](auto && f) { return stream<B, T>(be, pool, f, ctl); };
        auto const position = [&](auto const & in) { return offset_[in.row_index()] + in.first(); };
        if (per_tensor_) {
            for (std::size_t r = 0; r != pool.rows().size(); ++r)
                if (auto const & row = pool.rows()[r]; row.merged)
                    static_cast<void>(counts_of(r, row.info.count(), "tensor '" + row.info.name + "'"));
        } else if (d != 0 && !published_) {
            for (auto const & s : options.density)
                expects_option(std::holds_alternative<double>(s.value), "density", "a schedule",
                               "a number with variant lathe");
            look(be, all_windows, position, d, counts_of(0, d, "the model"));
        } else if (d != 0) {
            kth_ = kth_of(options, d);
            status_ = trim_.look(be, all_windows, d, std::vector<std::uint64_t>(pool.size(), *kth_), {});
            if (decide && status_ != status::stopped) {
                status_ = all_windows([&](pool_reader<B, T> const & in) {
                    trim_.for_each_part(
                        in, position(in),
                        [&](std::size_t, auto const & base, auto const & models, auto const & thresholds) {
                        ops::reduce<T>(be, kernels::count_signs, std::span<double, 1>{&votes_, 1}, base, models,
                                       thresholds);
                    });
                });
                decided_ = true;
            }
        }
    }
    /// Whether the control asked to stop: then nothing can be made.
    [[nodiscard]] bool stopped() const noexcept { return status_ == status::stopped; }

    /// Makes the window that `in` holds.
    template <class Out> void operator()(B & be, pool_reader<B, T> const & in, Out out) {
        if (per_tensor_ && in.row_index() != row_) {
            look_at_row(be, in.row_index());
            for (std::size_t k = 0; k != kept_.size(); ++k)
                kept_[k] += trim_.kept()[k];
        }
        if (weights_)
            for (std::size_t k = 0; k != w_.size(); ++k)
                w_[k] = static_cast<T>((*weights_)[in.row_index()][k]);
        std::array<double, 2> votes{};
        make(be, in, out, votes);
        if (decided_)
            return;
        if (votes[1] != 0)
            guesses_.push_back({{in.row_index(), in.first(), in.count()}, majority_now()});
        votes_ += votes[0];
    }
    /// The windows in which another majority was taken than the one found: decides. For `write`.
    [[nodiscard]] std::vector<pool_window> again() {
        decided_ = true;
        std::vector<pool_window> windows;
        for (auto const & g : guesses_) // none counts as minus, but not as a factor
            if (g.sign != majority_now()
                && (options_.merge_func == ties_merge_func::max || (g.sign > 0) != (majority_now() > 0)))
                windows.push_back(g.where);
        return windows;
    }
    /// What was found, when all windows have been made.
    [[nodiscard]] ties_result result() const {
        ties_result r{status_, {}, kth_, {kept_.begin(), kept_.end()}, std::nullopt};
        if (!per_tensor_) {
            r.threshold.assign(trim_.found().begin(), trim_.found().end());
            r.kept.assign(trim_.kept().begin(), trim_.kept().end());
        }
        if (published_)
            r.majority = majority_now();
        return r;
    }
};

/// Writes the TIES merge of the pool.
///
/// Passes over the checkpoints: lathe, fusion_bench and fwm two to find the thresholds (four in double) and one to
/// merge; mergekit the same, tensor by tensor. One more where only some elements of the last magnitude can stay (common
/// in two-byte types), and one for `rescale`. Memory: one window of each checkpoint, and the counters of
/// core/selection.hpp.
/// \throws option_error, and what the checkpoints and the sink throw
template <real T = float, class B, class Obs = no_observer, class Stop = never_stop>
    requires elementwise<B, T>
ties_result ties(B & be, model_pool const & pool, checkpoint_sink & sink, ties_options const & options = {},
                 control<Obs, Stop> ctl = {}) {
    ties_recipe<B, T> recipe(be, pool, options, false, part_of(ctl, 0, 2));
    if (recipe.stopped())
        return recipe.result();
    auto const done = write<B, T>(be, pool, recipe, sink, part_of(ctl, 1, 2));
    auto result = recipe.result();
    result.status = done;
    return result;
}

} // namespace merge
LATHE_NAMESPACE_END
