#pragma once
/// \file  The options and results of clustering as data: names, help texts, JSON.
#include <lathe/cluster/k_means.hpp>
#include <lathe/cluster/streaming.hpp>
#include <lathe/cluster/validity.hpp>
#include <lathe/reflect/options.hpp>

BOOST_HANA_ADAPT_STRUCT(lathe::cluster::fuzzy_c_means_options, clusters, fuzzifier, metric, start, seeding_power, seed,
                        stop, tolerance, max_iterations);
template <>
inline constexpr auto lathe::reflect::help<lathe::cluster::fuzzy_c_means_options> = lathe::reflect::help_table({
    {"clusters", "how many (K), at least 1"},
    {"fuzzifier", "above 1; towards 1 clusters become crisp. Too large, and all centres end at the mean"},
    {"metric", "distances: squared Euclidean ones, or 1 - cosine with centres of length 1"},
    {"start", "points drawn far from each other, distinct points alike, or random memberships"},
    {"seeding_power", "of the distances that d_squared draws by, above 0"},
    {"seed", "of the start"},
    {"stop", "what has to be small: the largest, summed or root mean square (fro) change of memberships, or how far "
             "centres move, which costs nothing"},
    {"tolerance", "how small, not below 0"},
    {"max_iterations", "how many at most, from 1 on"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::cluster::fuzzy_c_means_result, options, status, iterations, dimensions, centres, weights,
                        masses, objective, mixed_objective, residual, separation);

BOOST_HANA_ADAPT_STRUCT(lathe::cluster::k_means_options, clusters, metric, start, seeding_power, seed, tolerance,
                        max_iterations);
template <>
inline constexpr auto lathe::reflect::help<lathe::cluster::k_means_options> = lathe::reflect::help_table({
    {"clusters", "how many (K), at least 1"},
    {"metric", "distances: squared Euclidean ones, or 1 - cosine with centres of length 1 (spherical k-means)"},
    {"start", "points drawn far from each other, or distinct points alike"},
    {"seeding_power", "of the distances that d_squared draws by, above 0"},
    {"seed", "of the start"},
    {"tolerance", "stop when no centre moves further; 0: when none moves"},
    {"max_iterations", "how many at most, from 1 on"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::cluster::k_means_result, options, status, iterations, dimensions, centres, weights,
                        objective, residual);

BOOST_HANA_ADAPT_STRUCT(lathe::cluster::streaming_options, fuzzifier, metric, forget, prior);
template <>
inline constexpr auto lathe::reflect::help<lathe::cluster::streaming_options> = lathe::reflect::help_table({
    {"fuzzifier", "above 1"},
    {"metric", "distances: squared Euclidean ones, or 1 - cosine with centres of length 1"},
    {"forget", "factor of everything earlier at each batch, from 0 to 1; 1 forgets nothing"},
    {"prior", "weight of the starting centres, as if that of points"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::cluster::single_pass_options, fuzzifier, metric, iterations);
template <>
inline constexpr auto lathe::reflect::help<lathe::cluster::single_pass_options> = lathe::reflect::help_table({
    {"fuzzifier", "above 1"},
    {"metric", "distances: squared Euclidean ones, or 1 - cosine with centres of length 1"},
    {"iterations", "on each chunk"},
});

BOOST_HANA_ADAPT_STRUCT(lathe::cluster::validity_result, partition_coefficient, modified_coefficient, partition_entropy,
                        partition_entropy_bits, normalised_entropy, xie_beni, xie_beni_squares, fukuyama_sugeno,
                        separation, objective);
BOOST_HANA_ADAPT_STRUCT(lathe::cluster::collapse_result, lambda, fuzzifier, steps, converged);
