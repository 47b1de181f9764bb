#pragma once
/// \file  DARE (Yu et al., Language models are super Mario, ICML 2024): drop elements of the task vectors at random,
///        scale up the rest, then merge.
#include <lathe/merge/election.hpp>
#include <lathe/merge/linear.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {
namespace kernels {

/// What is left of x - base: nothing where the draw u is not below keep, unless it is not finite, which stays visible.
inline constexpr auto kept_delta = [](auto const & x, auto const & base, auto const & u, auto const & keep) {
    auto const delta = x - base;
    return math::select(u < keep, delta, delta - delta);
};
/// base + sum_k w_k of what is kept.
inline constexpr auto add_kept = [](auto const & base, auto const & xs, auto const & us, auto const & keep,
                                    auto const & w) {
    auto sum = w[0] * kept_delta(xs[0], base, us[0], keep);
    for (std::size_t k = 1; k != xs.size(); ++k)
        sum = sum + w[k] * kept_delta(xs[k], base, us[k], keep);
    return base + sum;
};
/// base + lambda times what the sign election leaves of the kept deltas.
inline constexpr auto elect_kept = [](auto const & base, auto const & xs, auto const & us, auto const & keep,
                                      auto const & scale, auto const & w, auto const & lambda, auto const & normalize) {
    return base + lambda * elect(xs.size(), [&](std::size_t k) {
        return scale[k] * kept_delta(xs[k], base, us[k], keep);
    }, w, normalize, std::remove_cvref_t<decltype(lambda)>(0));
};
/// Sums of |x_k - base|, then of what is kept of it.
inline constexpr auto kept_norms = [](auto & sums, auto const & base, auto const & xs, auto const & us,
                                      auto const & keep) {
    for (std::size_t k = 0; k != xs.size(); ++k) {
        sums.add(k, math::abs(xs[k] - base));
        sums.add(xs.size() + k, math::abs(kept_delta(xs[k], base, us[k], keep)));
    }
};

} // namespace kernels

/// Whose rules.
enum class dare_variant : unsigned char {
    fusion_bench, ///< and the paper: every tensor is thinned, what is left is divided by 1 - drop
    fwm,          ///< FW-Merging: vectors (one dimension, biases and norms) are never thinned, nor scaled up
    mergekit      ///< what is left is scaled so that each tensor's task vector keeps its L1 norm
};
/// What is made of the thinned task vectors.
enum class dare_then : unsigned char {
    task_arithmetic, ///< base + scaling sum_k w_k tau_k
    ties ///< base + lambda times the weighted sign election of TIES, without another trim. For FW-Merging's trim on
         ///< top, write each model's own DARE (scaling 1) and give those to ties.
};

/// Options of dare().
struct dare_options {
    /// whose rules for what is thinned and how the rest is scaled up
    dare_variant variant = dare_variant::fusion_bench;
    double drop = 0.5;                           ///< probability p of dropping an element; in [0, 1]
    bool rescale = true;                         ///< scale up what is left, by the variant's rule
    double mask_scale = 1;                       ///< another factor of every task vector (FW-Merging's), thinned or not
    dare_then then = dare_then::task_arithmetic; ///< what is made of the thinned task vectors
    double scaling = 0.3;                        ///< task_arithmetic: of the sum of the task vectors
    double lambda = 1;                           ///< ties: of the merged task vector
    std::vector<schedule> weights = {};          ///< of the models; none: all 1
    bool normalize = false;                      ///< divide by the sum of the weights (ties: of those that agree)
    std::uint64_t seed = 0;                      ///< of the masks
};

/// The draws of a tensor: element i of model k is kept where element i of the stream is below 1 - drop. Pure functions
/// of the seed, the tensor's name and the model's index: the same on every backend, in any order, for any window.
inline random::uniform_stream dare_stream(std::uint64_t seed, std::string_view tensor, std::size_t model) {
    return {seed ^ random::fnv1a(tensor), static_cast<std::uint32_t>(model), 0};
}

/// Writes the mask of one model, 1 for what is kept, as U8 tensors: one for each floating tensor of the pool's result.
inline void dare_mask(model_pool const & pool, std::size_t model, double keep, std::uint64_t seed,
                      checkpoint_sink & sink) {
    expects_option(keep >= 0 && keep <= 1, "keep", std::to_string(keep), "a probability");
    std::vector<tensor_info> tensors;
    for (auto const & row : pool.rows())
        if (is_floating(row.info.type))
            tensors.push_back({row.info.name, dtype::u8, row.info.extents});
    sink.begin(tensors, {});
    window_buffer buffer;
    for (std::size_t i = 0; i != tensors.size(); ++i) {
        auto const draws = dare_stream(seed, tensors[i].name, model);
        for_each_window(tensors[i].count(), pool.window(), [&](std::size_t first, std::size_t count) {
            auto const out = sink.window(i, first, count, buffer);
            for (std::size_t j = 0; j < count; j += 4) { // windows begin at multiples of 4096
                auto const u = draws.quad((first + j) / 4);
                for (std::size_t lane = 0; lane != 4 && j + lane != count; ++lane)
                    out[j + lane] = std::byte{static_cast<double>(u[lane]) < keep};
            }
            sink.commit(i, first, out);
        });
    }
    sink.finish();
}

/// Masks that come from files: 0 and 1 as U8, BOOL or floating tensors, as draws that are 0 where the element is kept.
template <class B, real T> class mask_reader {
    std::vector<checkpoint *> masks_;
    static constexpr bool is_bytes(dtype t) { return t == dtype::u8 || t == dtype::boolean; }
    std::vector<buffer_t<B, T>> windows_;
    std::vector<cvec<B, T>> operands_;
    std::vector<T> host_;
    window_buffer bytes_;

public:
    /// \param masks one for each model, in their order; none: there is nothing to read
    /// \throws option_error for another number; mismatch_error if one lacks a merged tensor, or has it in another shape
    /// or of a type that is neither U8, BOOL nor floating
    mask_reader(model_pool const & pool, std::vector<checkpoint *> masks) : masks_{std::move(masks)} {
        if (masks_.empty())
            return;
        expects_option(masks_.size() == pool.size(), "masks", std::to_string(masks_.size()) + " checkpoints",
                       "one for each of " + std::to_string(pool.size()) + " models");
        for (auto const & row : pool.rows())
            for (auto const * m : masks_) {
                if (!row.merged)
                    continue;
                auto const refused = [&](std::string const & found, std::string const & expected) {
                    return mismatch_error{std::string{m->label()} + ": mask '" + row.info.name + "' " + found
                                          + ", expected " + expected};
                };
                auto const index = m->find(row.info.name);
                auto const right_shape = "shape " + to_string(row.info.extents);
                if (!index)
                    throw refused("is missing", right_shape);
                auto const & mask = m->tensors()[*index];
                if (mask.extents != row.info.extents)
                    throw refused("has shape " + to_string(mask.extents), right_shape);
                if (!is_bytes(mask.type) && !is_floating(mask.type))
                    throw refused("has type " + std::string{name_of(mask.type)}, "U8, BOOL or a floating type");
            }
    }
    /// Whether there are no masks, so that they are to be drawn.
    [[nodiscard]] bool empty() const noexcept { return masks_.empty(); }
    /// Draws for elements [first, first + count) of a merged tensor, one operand a model; valid until the next read.
    /// \throws what the checkpoints throw
    [[nodiscard]] list<cvec<B, T>> read(B & be, std::string_view tensor, std::size_t first, std::size_t count) {
        operands_.clear();
        host_.resize(count);
        for (std::size_t k = 0; k != masks_.size(); ++k) {
            auto const index = *masks_[k]->find(tensor);
            auto const type = masks_[k]->tensors()[index].type;
            auto const bytes = masks_[k]->read(index, first * size_of(type), count * size_of(type), bytes_);
            if (is_bytes(type))
                std::ranges::transform(bytes, host_.begin(),
                                       [](std::byte b) { return b == std::byte{} ? T(1) : T(0); });
            else {
                host::load(type, bytes.data(), count, host_.data());
                std::ranges::transform(host_, host_.begin(), [](T m) { return m == T(0) ? T(1) : T(0); });
            }
            if (windows_.size() == k)
                windows_.push_back(be.template allocate<T>(count));
            else if (windows_[k].view().n < count)
                windows_[k] = be.template allocate<T>(count);
            auto const window = windows_[k].view().sub(0, count);
            be.upload(std::span<T const>{host_}, window);
            operands_.push_back(window);
        }
        return list<cvec<B, T>>(std::span<cvec<B, T> const>{operands_});
    }
};

/// Makes windows of the DARE merge: base plus the task vectors, thinned by draws or by masks from files, scaled up by
/// the variant's rule and combined as `then` says. Memory beyond the pool's windows: with masks, one of each.
template <class B, real T> class dare_recipe {
    dare_options options_;
    mask_reader<B, T> masks_;
    model_factors<T> factors_;
    std::vector<T> scale_, weights_;
    std::vector<random::uniform_stream> draws_;
    pool_reader<B, T> scan_; // of the tensor at hand, for its norms
    std::size_t row_ = std::numeric_limits<std::size_t>::max();
    T keep_ = 1;

    /// f(draws) for a window: streams of numbers, or masks.
    template <class F> void with_draws(B & be, std::string_view tensor, std::size_t first, std::size_t count, F && f) {
        if (!masks_.empty())
            return f(masks_.read(be, tensor, first, count));
        draws_.clear();
        for (std::size_t k = 0; k != scale_.size(); ++k)
            draws_.push_back(dare_stream(options_.seed, tensor, k).skip(first));
        f(list<random::uniform_stream>(std::span<random::uniform_stream const>{draws_}));
    }
    /// What is kept of this tensor, and the factors of what is left of it.
    void look_at(B & be, model_pool::row const & row, std::size_t index) {
        row_ = index;
        bool const whole =
            options_.variant == dare_variant::fwm && (row.info.extents.size() == 1 || options_.drop == 0);
        // Draws are multiples of 2^-24, below 1: so is the threshold, and float and double keep the same elements.
        keep_ = whole ? T(2) : static_cast<T>(std::ceil((1 - options_.drop) * 0x1p24) * 0x1p-24);
        bool const scaled_up = options_.rescale && !whole && options_.drop < 1; // of nothing, nothing is left to scale
        std::ranges::fill(scale_, static_cast<T>(options_.mask_scale * (scaled_up ? 1 / (1 - options_.drop) : 1.0)));
        if (options_.variant != dare_variant::mergekit || !options_.rescale)
            return;
        std::vector<double> norms(2 * scale_.size(), 0.0);
        for_each_window(row.info.count(), scan_.pool().window(), [&](std::size_t first, std::size_t count) {
            scan_.seek(be, row, first, count);
            with_draws(be, row.info.name, first, count, [&](auto const & us) {
                ops::reduce<T>(be, kernels::kept_norms, norms, scan_.base(), scan_.models(), us, keep_);
            });
        });
        for (std::size_t k = 0; k != scale_.size(); ++k) {
            auto const before = norms[k], after = norms[scale_.size() + k];
            bool const usable = before >= 1e-7 && after >= 1e-7 && std::isfinite(before / after);
            scale_[k] = static_cast<T>(options_.mask_scale * (usable ? before / after : 1.0));
        }
    }

public:
    /// \param masks of the models, from files; none: drawn. \throws option_error, mismatch_error
    dare_recipe(B &, model_pool const & pool, dare_options const & options, std::vector<checkpoint *> masks = {})
        : options_{options}, masks_(pool, std::move(masks)),
          factors_(options.weights, options.normalize && options.then == dare_then::task_arithmetic,
                   options.then == dare_then::task_arithmetic ? options.scaling : 1, pool),
          scale_(pool.size(), T(1)), weights_(pool.size()), scan_(pool) {
        static_cast<void>(pool.base());
        expects_option(options.drop >= 0 && options.drop <= 1, "drop", std::to_string(options.drop), "a probability");
        expects_option(options.drop < 1 || !options.rescale || options.variant != dare_variant::fusion_bench, "drop",
                       "1",
                       "a probability below 1, by which fusion_bench scales up; rescale = false; or another variant");
        expects_option(std::isfinite(options.mask_scale), "mask_scale", std::to_string(options.mask_scale),
                       "a finite number");
    }
    /// Makes the window that `in` holds. Variant mergekit reads a tensor once more when it comes to it, for its norms.
    template <class Out> void operator()(B & be, pool_reader<B, T> const & in, Out out) {
        if (in.row_index() != row_)
            look_at(be, in.row(), in.row_index());
        auto const w = factors_[in.row_index()];
        with_draws(be, in.row().info.name, in.first(), in.count(), [&](auto const & us) {
            if (options_.then == dare_then::ties) {
                ops::map<T>(be, kernels::elect_kept, out, in.base(), in.models(), us, keep_, list(scale_), list(w),
                            static_cast<T>(options_.lambda), options_.normalize ? T(1) : T(0));
                return;
            }
            for (std::size_t k = 0; k != w.size(); ++k)
                weights_[k] = w[k] * scale_[k];
            ops::map<T>(be, kernels::add_kept, out, in.base(), in.models(), us, keep_, list(weights_));
        });
    }
};

/// Writes the DARE merge of the pool. One pass, and one more over each tensor for the norms of variant mergekit.
///
/// The published codes draw masks from streams that depend on the order in which tensors come (FW-Merging iterates over
/// a Python set, so one seed gives different models); here masks depend on seed, name and index only. They can be given
/// instead. drop = 1 leaves nothing but what fwm never thins; with the scaling of fusion_bench it is an error (there it
/// gives 0/0). \param masks of the models; none: drawn
/// \returns stopped, or converged. \throws option_error, mismatch_error
template <real T = float, class B, class Obs = no_observer, class Stop = never_stop>
    requires elementwise<B, T>
status dare(B & be, model_pool const & pool, checkpoint_sink & sink, dare_options const & options = {},
            std::vector<checkpoint *> masks = {}, control<Obs, Stop> ctl = {}) {
    dare_recipe<B, T> recipe(be, pool, options, std::move(masks));
    return write<B, T>(be, pool, recipe, sink, ctl);
}

} // namespace merge
LATHE_NAMESPACE_END
