#pragma once
/// \file  The beginning of an adapter in one shape for all methods, for programs that go through the weights of a
/// model.
#include <lathe/adapt/adalora.hpp>
#include <lathe/adapt/blocks.hpp>
#include <lathe/adapt/dora.hpp>
#include <lathe/adapt/loftq.hpp>

LATHE_NAMESPACE_BEGIN
namespace adapt {

/// What a method makes of one weight.
template <class B, real T> struct started {
    adapt::adapter<B, T> adapter;       ///< to train from
    std::vector<double> magnitude = {}; ///< of DoRA: one for each output
    bool base_changed = false;          ///< W is no longer what it was: the adapter goes with what W is now
    triplet_report triplets = {};       ///< NaN for methods that decompose nothing; for KaSA of what stays in W
};

/// Options of pissa_fast where it begins the adapters of a model.
struct pissa_fast_options {
    double alpha = 8;                           ///< the scaling is alpha / r or alpha / sqrt(r)
    scaling_rule rule = scaling_rule::lora;     ///< which of the two
    linalg::randomized_svd_options sketch = {}; ///< its seed is that of a model: for_weight gives every weight its own
};

/// The options as they are for one of many weights: alpha, and streams of random numbers of its own. Sizes that an
/// option has of its own are set to the rank where they say the same.
template <class Options> Options for_weight(Options options, std::string_view name, std::size_t r, double alpha) {
    auto const mark = random::fnv1a(name);
    if constexpr (requires { options.alpha; })
        options.alpha = alpha;
    if constexpr (requires { options.seed; })
        options.seed ^= mark;
    if constexpr (requires { options.sketch.seed; })
        options.sketch.seed ^= mark;
    if constexpr (requires { options.initial_rank; })
        options.initial_rank = r;
    return options;
}

/// LoRA of an embedding as PEFT begins it: W is taken as [dimensions, entries], A = 0, B normal. \throws option_error
template <real T, class B>
    requires elementwise<B, T>
adapter<B, T> lora_embedding(B & be, std::size_t dimensions, std::size_t entries, std::size_t r,
                             lora_options const & options = {}) {
    adapter<B, T> out(be, dimensions, entries, r, scaling_of(options.alpha, r, options.rule));
    ops::fill(be, T(0), out.a_elements.view());
    fill_normal(be, 1, random::uniform_stream{options.seed, purposes::b, 0}, out.b_elements.view());
    return out;
}

} // namespace adapt
LATHE_NAMESPACE_END
