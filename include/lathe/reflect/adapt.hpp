#pragma once
/// \file  The options of adaptation as data: names and help texts of their fields, for JSON and flags.
#include <lathe/adapt/combine.hpp>
#include <lathe/adapt/start.hpp>
#include <lathe/reflect/options.hpp>

BOOST_HANA_ADAPT_STRUCT(lathe::linalg::partial_svd_options, tolerance, max_rounds, arithmetic, method, seed);
template <>
inline constexpr auto lathe::reflect::help<lathe::linalg::partial_svd_options> = lathe::reflect::help_table({
    {"tolerance", "of the bound of the error, relative to the weight, not below 0; 0: 1e-10 in double, 2e-6 in float"},
    {"max_rounds", "of the iteration"},
    {"arithmetic", "double where there is one, or that of the elements: twice as fast, with bounds down to some 1e-6"},
    {"method", "the whole decomposition, the iteration, or the faster one"},
    {"seed", "of the start of the iteration"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::linalg::randomized_svd_options, iterations, oversampling, seed);
template <>
inline constexpr auto lathe::reflect::help<lathe::linalg::randomized_svd_options> = lathe::reflect::help_table({
    {"iterations", "passes over W W^T (niter)"},
    {"oversampling", "vectors beyond the rank; PyTorch, and so PEFT, have none"},
    {"seed", "of the sketch"},
});

BOOST_HANA_ADAPT_STRUCT(lathe::adapt::lora_options, alpha, rule, a, seed);
template <>
inline constexpr auto lathe::reflect::help<lathe::adapt::lora_options> = lathe::reflect::help_table({
    {"alpha", "of the scaling"},
    {"rule", "of the scaling: alpha / r, or alpha / sqrt(r)"},
    {"a", "A at the beginning: uniform on +-1 / sqrt(inputs), or normal with deviation 1 / r"},
    {"seed", "of A"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::adapt::spectral_options, alpha, rule, svd, fan_in_fan_out);
template <>
inline constexpr auto lathe::reflect::help<lathe::adapt::spectral_options> = lathe::reflect::help_table({
    {"alpha", "of the scaling"},
    {"rule", "of the scaling: alpha / r, or alpha / sqrt(r)"},
    {"svd", "how the singular triplets are found"},
    {"fan_in_fan_out", "the layer keeps the transposed weight"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::adapt::pissa_fast_options, alpha, rule, sketch);
template <>
inline constexpr auto lathe::reflect::help<lathe::adapt::pissa_fast_options> = lathe::reflect::help_table({
    {"alpha", "of the scaling"},
    {"rule", "of the scaling: alpha / r, or alpha / sqrt(r)"},
    {"sketch", "how the singular triplets are found"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::adapt::kasa_options, dialect, alpha, rule, beta, gamma, seed, svd, fan_in_fan_out);
template <>
inline constexpr auto lathe::reflect::help<lathe::adapt::kasa_options> = lathe::reflect::help_table({
    {"dialect", "what is dropped, and the losses: of the paper, of its authors' code, or of PEFT"},
    {"alpha", "of the scaling"},
    {"rule", "of the scaling: alpha / r, or alpha / sqrt(r)"},
    {"beta", "weight of the loss of sigma"},
    {"gamma", "weight of the loss of orthogonality"},
    {"seed", "of A and sigma"},
    {"svd", "how the singular triplets are found"},
    {"fan_in_fan_out", "the layer keeps the transposed weight"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::adapt::loftq_options, kind, iterations, alpha, rule, svd);
template <>
inline constexpr auto lathe::reflect::help<lathe::adapt::loftq_options> = lathe::reflect::help_table({
    {"kind", "of the quantised base: NF4 in blocks of 64, or 8 bits by row"},
    {"iterations", "of quantising and decomposing in turn, at least 1"},
    {"alpha", "of the scaling; the function is kept where it is the rank only"},
    {"rule", "of the scaling: alpha / r, or alpha / sqrt(r)"},
    {"svd", "how the singular triplets are found"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::adapt::adalora_options, alpha, initial_rank, target_rank, tinit, tfinal, delta_t,
                        total_steps, beta1, beta2, orthogonality, seed);
template <>
inline constexpr auto lathe::reflect::help<lathe::adapt::adalora_options> = lathe::reflect::help_table({
    {"alpha", "of the scaling; not positive: the rank at the beginning"},
    {"initial_rank", "of every layer"},
    {"target_rank", "mean over the layers at the end, not above initial_rank"},
    {"tinit", "steps before the first triplet is dropped, below total_steps - tfinal"},
    {"tfinal", "steps after the last one"},
    {"delta_t", "steps from one choice to the next, at least 1"},
    {"total_steps", "of the training"},
    {"beta1", "smoothing of the sensitivity, between 0 and 1"},
    {"beta2", "smoothing of its uncertainty, between 0 and 1"},
    {"orthogonality", "weight of the orthogonality loss"},
    {"seed", "of A and B"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::adapt::melora_options, ranks, alphas, seed);
template <>
inline constexpr auto lathe::reflect::help<lathe::adapt::melora_options> = lathe::reflect::help_table({
    {"ranks", "of the blocks along the diagonal"},
    {"alphas", "of their scalings: one for each, or one for all"},
    {"seed", "of the A's"},
});

BOOST_HANA_ADAPT_STRUCT(lathe::adapt::extract_options, max_rank, sv_epsilon, energy, place, svd);
template <>
inline constexpr auto lathe::reflect::help<lathe::adapt::extract_options> = lathe::reflect::help_table({
    {"max_rank", "at most; 0: the shorter side"},
    {"sv_epsilon", "singular values above it only, if it is positive"},
    {"energy", "the smallest rank with this share of the sum of squares of the singular values, in (0, 1]"},
    {"place", "of the singular values: their roots in both factors, in A, or in B"},
    {"svd", "how the singular triplets are found"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::adapt::combine_options, kind, weights, svd_rank, density, elect, clamp, scaling, seed,
                        masks_a, masks_b, masks);
template <>
inline constexpr auto lathe::reflect::help<lathe::adapt::combine_options> = lathe::reflect::help_table({
    {"kind", "exact (cat), the best of a rank (svd), or PEFT's ways with factors and with dense changes"},
    {"weights", "one for each adapter; none: all 1"},
    {"svd_rank", "of svd and the kinds that end in svd; 0: the largest of the adapters' ranks"},
    {"density", "share of the elements that ties, dare and magnitude_prune keep, in (0, 1]"},
    {"elect", "the sign of a sum: of the elements, or of their signs"},
    {"clamp", "quantile that svd and the kinds that end in svd clip the factors to, in [0, 1]; 0: none"},
    {"scaling", "of a change counts once, or twice as in PEFT to 0.20"},
    {"seed", "of dare"},
    {"masks_a", "of dare: what to keep of every A"},
    {"masks_b", "of dare: what to keep of every B"},
    {"masks", "of dare: what to keep of every dense change"},
});
