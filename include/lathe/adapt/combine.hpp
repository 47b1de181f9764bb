#pragma once
/// \file  Arithmetic with adapters: PEFT's add_weighted_adapter, right by default, with the ways of its versions named.
#include <lathe/adapt/spectral.hpp>

LATHE_NAMESPACE_BEGIN
namespace adapt {

/// What combine does with the adapters, by PEFT's names.
enum class combination : unsigned char {
    cat,    ///< exact: the ranks add up
    svd,    ///< the best of rank svd_rank, without the dense sum
    linear, ///< factor by factor, with the roots of the weights: NOT the sum, it has products of all A's and B's
    ties,   ///< A's and B's apart, like the next three: the largest magnitudes stay, an elected sign wins
    magnitude_prune, ///< the same without an election
    dare_linear,     ///< elements stay at random, rescaled
    dare_ties,       ///< the same with an election
    ties_svd, ///< these four treat the dense changes and decompose the result: O(out in) memory, a whole SVD's worth of
              ///< work
    magnitude_prune_svd, ///< as magnitude_prune
    dare_linear_svd,     ///< as dare_linear
    dare_ties_svd        ///< as dare_ties
};
/// Which sign wins an element in the ties kinds.
enum class election : unsigned char {
    total,    ///< the sign of the sum of the pruned tensors
    frequency ///< of the sum of their signs
};
/// How often a scaling counts.
enum class combine_scaling : unsigned char {
    once,        ///< a change counts weight x scaling B A, as PEFT does since #3111
    legacy_twice ///< of svd and *_svd: PEFT to 0.20 took weight x scaling of changes that contained the scaling
};

/// Options of combine.
struct combine_options {
    combination kind = combination::cat; ///< cat needs no equal ranks and loses nothing
    std::vector<double> weights = {};    ///< one for each adapter; none: all 1
    std::size_t svd_rank = 0;            ///< 0: the largest of the adapters' ranks
    double density = 1;                  ///< of ties, dare and magnitude_prune
    election elect = election::total;    ///< of ties
    double clamp = 0; ///< of svd and *_svd: clip both factors to this quantile of their elements, if it is positive
    combine_scaling scaling = combine_scaling::once; ///< legacy_twice repeats what old versions of PEFT made
    std::uint64_t seed = 0;                          ///< of dare
    /// Of dare: 1 to keep an element, 0 to drop it; in place of random ones. For every adapter one for A and one for B,
    /// or one for the dense change.
    std::vector<std::vector<unsigned char>> masks_a = {}, ///< of A, one for each adapter
        masks_b = {},                                     ///< of B, likewise
        masks = {};                                       ///< of dense changes, likewise
};

/// The methods of PEFT on tensors of equal extents, on the host.
struct tensor_combination {
    combination kind; ///< ties, magnitude_prune, dare_linear or dare_ties
    double density;   ///< share of the elements that pruning keeps
    election elect;   ///< of ties and dare_ties

    /// The int(density n) largest magnitudes stay; of equals the first.
    static void prune_magnitude(std::vector<double> & t, double density) {
        auto const keep = static_cast<std::size_t>(density * static_cast<double>(t.size()));
        if (density >= 1 || keep >= t.size())
            return;
        std::vector<std::size_t> order(t.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(keep), order.end(),
                         [&](std::size_t i, std::size_t j) {
            auto const x = std::abs(t[i]), y = std::abs(t[j]);
            return x != y ? x > y : i < j;
        });
        for (auto i = keep; i != t.size(); ++i)
            t[order[i]] = 0;
    }
    /// Keeps an element with the probability `density`, or as the mask says, divided by `density`. \throws shape_error
    static void prune_random(std::vector<double> & t, double density, std::span<unsigned char const> mask,
                             random::uniform_stream stream) {
        if (density >= 1)
            return;
        expects_shape(mask.empty() || mask.size() == t.size(),
                      "combine: a mask has not as many elements as its tensor");
        for (std::size_t i = 0; i != t.size(); ++i)
            t[i] = (mask.empty() ? static_cast<double>(stream[i]) < density : mask[i] != 0) ? t[i] / density : 0;
    }
    /// \param masks for dare: one for each tensor, or none
    [[nodiscard]] std::vector<double> operator()(std::vector<std::vector<double>> tensors,
                                                 std::span<double const> weights,
                                                 std::span<std::vector<unsigned char> const> masks, std::uint64_t seed,
                                                 std::uint32_t purpose) const {
        bool const random_ones = kind == combination::dare_linear || kind == combination::dare_ties;
        bool const elects = kind == combination::ties || kind == combination::dare_ties;
        for (std::size_t i = 0; i != tensors.size(); ++i)
            if (random_ones)
                prune_random(tensors[i], density, masks.empty() ? std::span<unsigned char const>{} : masks[i],
                             {seed, purpose + 16 * static_cast<std::uint32_t>(i), 0});
            else
                prune_magnitude(tensors[i], density);
        std::vector<double> out(tensors[0].size());
        auto const sign = [](double x) { return (x > 0) - (x < 0); };
        for (std::size_t e = 0; e != out.size(); ++e) {
            double total = 0;
            for (auto const & t : tensors)
                total += elect == election::total ? t[e] : sign(t[e]);
            int const elected = total < 0 ? -1 : 1;
            double sum = 0, agreeing = 0;
            for (std::size_t i = 0; i != tensors.size(); ++i)
                if (!elects || sign(tensors[i][e]) == elected) {
                    sum += weights[i] * tensors[i][e];
                    agreeing += 1;
                }
            out[e] = elects ? sum / std::max(1.0, agreeing) : sum;
        }
        return out;
    }
};

/// combine(be, adapters, options): one adapter, of scaling 1, for a weighted sum of changes. Sigma (KaSA, AdaLoRA) and
/// any scaling (rsLoRA) are part of the changes, which PEFT forgets in places; one adapter alone is taken as it is, by
/// the linear kind, as PEFT does. Kinds that treat factors apart need equal ranks.
///
/// Time: cat one copy; svd: compress. \throws option_error, shape_error, non_finite_error
struct combine_fn {
    /// The adapters are of equal outputs and inputs, and only read.
    template <class B, real T>
        requires matrix_space<B, T>
    adapter<B, T> operator()(B & be, std::span<factors<B, T> const> all, combine_options const & options = {}) const {
        expects_option(!all.empty(), "adapters", "none", "at least one");
        auto weights = options.weights.empty() ? std::vector<double>(all.size(), 1.0) : options.weights;
        expects_option(weights.size() == all.size(), "weights", std::to_string(weights.size()),
                       "one for each of " + std::to_string(all.size()) + " adapters");
        for (auto const w : weights)
            expects_option(std::isfinite(w), "weights", std::to_string(w), "finite numbers");
        expects_option(options.density > 0 && options.density <= 1, "density", std::to_string(options.density),
                       "a number in (0, 1]");
        expects_option(options.clamp >= 0 && options.clamp <= 1, "clamp", std::to_string(options.clamp),
                       "a number from 0 to 1");
        for (auto const & f : all) {
            f.expect_valid();
            expects_shape(f.outputs() == all[0].outputs() && f.inputs() == all[0].inputs(),
                          "combine: the adapters are for weights of different extents");
        }
        auto const kind = all.size() == 1 ? combination::linear : options.kind;
        if (kind == combination::cat)
            return stack(be, all, std::span<double const>{weights});
        std::size_t largest = 0;
        for (auto const & f : all)
            largest = std::max(largest, f.rank());
        auto const rank = options.svd_rank == 0 ? largest : options.svd_rank;
        auto twice = weights;
        if (options.scaling == combine_scaling::legacy_twice)
            for (std::size_t i = 0; i != all.size(); ++i)
                twice[i] *= all[i].scaling;
        if (kind == combination::svd) {
            auto out = compress(be, all, std::span<double const>{twice}, rank);
            clamp(be, out, options.clamp);
            return out;
        }
        if (kind >= combination::ties_svd)
            return dense(be, all, twice, rank, kind, options);
        return apart(be, all, weights, kind, options);
    }

private:
    static void expect_masks(combination kind, std::vector<std::vector<unsigned char>> const & masks, std::size_t n) {
        bool const dare = kind == combination::dare_linear || kind == combination::dare_ties;
        expects_option(masks.empty() || (dare && masks.size() == n), "masks", std::to_string(masks.size()),
                       "none, or for dare one for each adapter");
    }
    template <class B, class T> static std::vector<double> values(B & be, cmat<B, T> m) {
        auto const h = linalg::to_host(be, m, op::none, "combine");
        std::vector<double> out;
        out.reserve(m.rows * m.cols);
        for (std::size_t i = 0; i != m.rows; ++i)
            out.insert(out.end(), h.row(i), h.row(i) + m.cols);
        return out;
    }
    template <class B, class T> static void put(B & be, std::vector<double> const & x, mat<B, T> m) {
        linalg::host_matrix h(m.rows, m.cols);
        for (std::size_t i = 0; i != x.size(); ++i)
            h(i / m.cols, i % m.cols) = x[i];
        linalg::from_host(be, h, op::none, m);
    }
    /// A and B each for itself, with the roots of the weights; the sign goes to A.
    template <class B, class T>
    static adapter<B, T> apart(B & be, std::span<factors<B, T> const> all, std::span<double const> weights,
                               combination kind, combine_options const & options) {
        for (auto const & f : all)
            expects_option(f.rank() == all[0].rank(), "adapters",
                           "ranks " + std::to_string(all[0].rank()) + " and " + std::to_string(f.rank()),
                           "equal ranks, or another kind");
        expect_masks(kind, options.masks_a, all.size());
        expect_masks(kind, options.masks_b, all.size());
        auto const r = all[0].rank();
        std::vector<double> of_a, of_b;
        std::vector<std::vector<double>> a, b;
        for (std::size_t i = 0; i != all.size(); ++i) {
            auto const & f = all[i];
            auto const w = weights[i] * f.scaling, root = std::sqrt(std::abs(w));
            of_a.push_back(w < 0 ? -root : root);
            of_b.push_back(root);
            a.push_back(values<B, T>(be, f.a));
            b.push_back(values<B, T>(be, f.b));
            if (f.sigma) { // B diag(sigma)
                auto unit = f;
                unit.scaling = 1;
                auto const sigma = weights_of(be, unit);
                for (std::size_t e = 0; e != b.back().size(); ++e)
                    b.back()[e] *= sigma[e % r];
            }
        }
        adapter<B, T> out(be, all[0].outputs(), all[0].inputs(), r, 1);
        // The linear kind is magnitude_prune with nothing pruned.
        tensor_combination const method{kind == combination::linear ? combination::magnitude_prune : kind,
                                        kind == combination::linear ? 1.0 : options.density, options.elect};
        put<B, T>(be, method(std::move(a), of_a, options.masks_a, options.seed, purposes::a), out.a());
        put<B, T>(be, method(std::move(b), of_b, options.masks_b, options.seed, purposes::b), out.b());
        return out;
    }
    template <class B, class T>
    static adapter<B, T> dense(B & be, std::span<factors<B, T> const> all, std::span<double const> weights,
                               std::size_t rank, combination kind, combine_options const & options) {
        static_assert(static_cast<int>(combination::dare_ties_svd) - static_cast<int>(combination::ties_svd)
                      == static_cast<int>(combination::dare_ties) - static_cast<int>(combination::ties));
        auto const plain = static_cast<combination>(static_cast<int>(kind) - static_cast<int>(combination::ties_svd)
                                                    + static_cast<int>(combination::ties));
        expect_masks(plain, options.masks, all.size());
        auto const m = all[0].outputs(), n = all[0].inputs();
        auto memory = be.template allocate<T>(m * n);
        auto const d = as_matrix(memory.view(), m, n);
        std::vector<std::vector<double>> tensors;
        for (auto const & f : all) {
            delta(be, f, d);
            tensors.push_back(values<B, T>(be, d));
        }
        tensor_combination const method{plain, options.density, options.elect};
        put<B, T>(be, method(std::move(tensors), weights, options.masks, options.seed, purposes::sketch), d);
        auto triplets = linalg::partial_svd(be, d, linalg::spectrum_end::largest, rank);
        auto out = split(be, triplets, rank, singular_values::in_b);
        clamp(be, out, options.clamp);
        return out;
    }
    /// Both factors to +- the quantile of all their elements, interpolated as torch.quantile does.
    template <class B, class T> static void clamp(B & be, adapter<B, T> & f, double quantile) {
        if (quantile == 0)
            return;
        auto a = values<B, T>(be, f.a()), b = values<B, T>(be, f.b());
        auto all = b;
        all.insert(all.end(), a.begin(), a.end());
        if (all.empty())
            return;
        std::ranges::sort(all);
        auto const at = quantile * static_cast<double>(all.size() - 1);
        auto const low = static_cast<std::size_t>(at);
        auto const high =
            all[low] + (at - static_cast<double>(low)) * (all[std::min(low + 1, all.size() - 1)] - all[low]);
        for (auto * const x : {&a, &b})
            for (auto & v : *x)
                v = std::min(std::max(v, -high), high);
        put<B, T>(be, a, f.a());
        put<B, T>(be, b, f.b());
    }
};
/// One adapter for a weighted sum of adapters: combine_fn.
inline constexpr combine_fn combine{};

} // namespace adapt
LATHE_NAMESPACE_END
