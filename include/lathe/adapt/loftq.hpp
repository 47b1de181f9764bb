#pragma once
/// \file  LoftQ (Li et al. 2023): a quantised weight and an adapter for what quantising lost.
#include <lathe/adapt/spectral.hpp>

LATHE_NAMESPACE_BEGIN
namespace adapt {

/// The 16 values of NF4 (Dettmers et al. 2023), as bitsandbytes has them.
inline constexpr std::array<double, 16> nf4_values{-1.0,
                                                   -0.6961928009986877,
                                                   -0.5250730514526367,
                                                   -0.39491748809814453,
                                                   -0.28444138169288635,
                                                   -0.18477343022823334,
                                                   -0.09105003625154495,
                                                   0.0,
                                                   0.07958029955625534,
                                                   0.16093020141124725,
                                                   0.24611230194568634,
                                                   0.33791524171829224,
                                                   0.44070982933044434,
                                                   0.5626170039176941,
                                                   0.7229568362236023,
                                                   1.0};

/// How the base weight is stored.
enum class quantisation : unsigned char {
    nf4, ///< blocks of 64 elements, row after row, relative to the largest magnitude of the block
    int8 ///< rows, rint(127 x / largest magnitude of the row)
};
/// A matrix of codes and scales. A block of zeros has the scale 0.
struct quantised {
    quantisation kind;              ///< what codes and scales mean
    std::size_t rows,               ///< of the matrix
        cols;                       ///< of the matrix
    std::vector<std::int8_t> codes; ///< 0 to 15, or -127 to 127
    std::vector<double> scales;     ///< the largest magnitudes

    /// Elements that share a scale.
    [[nodiscard]] std::size_t block() const noexcept {
        return std::max<std::size_t>(1, kind == quantisation::nf4 ? 64 : cols);
    }
    /// Element i, row after row, dequantised.
    [[nodiscard]] double operator[](std::size_t i) const {
        auto const scale = scales[i / block()];
        return kind == quantisation::nf4 ? scale * nf4_values[static_cast<unsigned char>(codes[i])]
                                         : scale * codes[i] / 127;
    }
};

/// The nearest codes; of two as near, the lower one for NF4, the even one for int8. \throws non_finite_error
inline quantised quantise(linalg::host_matrix const & w, quantisation kind) {
    quantised q{kind, w.rows(), w.cols(), std::vector<std::int8_t>(w.rows() * w.cols()), {}};
    auto const n = q.codes.size(), block = q.block();
    auto const at = [&](std::size_t i) { return w(i / w.cols(), i % w.cols()); };
    for (std::size_t first = 0; first < n; first += block) {
        auto const last = std::min(n, first + block);
        double largest = 0;
        for (auto i = first; i != last; ++i) {
            if (!std::isfinite(at(i)))
                throw non_finite_error{"quantise: element " + std::to_string(i) + " is NaN or infinity"};
            largest = std::max(largest, std::abs(at(i)));
        }
        q.scales.push_back(largest);
        for (auto i = first; i != last; ++i) {
            auto const x = largest > 0 ? at(i) / largest : 0;
            int code = kind == quantisation::nf4 ? 0 : static_cast<int>(std::nearbyint(127 * x));
            if (kind == quantisation::nf4)
                for (; code != 15; ++code) {
                    auto const next = static_cast<std::size_t>(code);
                    if (!(x > (nf4_values[next] + nf4_values[next + 1]) / 2))
                        break;
                }
            q.codes[i] = static_cast<std::int8_t>(code);
        }
    }
    return q;
}

/// Options of loftq.
struct loftq_options {
    quantisation kind = quantisation::nf4; ///< of the base weight
    std::size_t iterations = 1;            ///< at least 1
    double alpha = 8; ///< LoftQ's B A knows of no scaling: the function is kept where alpha = r only
    scaling_rule rule = scaling_rule::lora; ///< of the scaling: see alpha
    linalg::partial_svd_options svd = {};   ///< of the triplets
};
/// What loftq found. W holds the base, dequantised.
template <class B, real T> struct loftq_result {
    adapt::adapter<B, T> adapter; ///< B A of the last step, with the scaling that the options ask for
    adapt::quantised base;        ///< Q_T
    double error;                 ///< |W - base - B A|_F
};

/// R_0 = W; Q_t = quantised R_{t-1}, B A = the r largest triplets of W - Q_t, R_t = W - B A. W := Q_T, dequantised. Not
/// checked against bitsandbytes: the rule and the table are what is published. Quantising is done on the host.
/// \throws option_error, non_finite_error
template <class B, class P, class T = pointee_t<P>>
    requires matrix_space<B, T>
loftq_result<B, T> loftq(B & be, mat_view<P> w, std::size_t r, loftq_options const & options = {}) {
    expects_option(options.iterations > 0, "iterations", "0", "a positive number");
    auto const scaling = scaling_of(options.alpha, r, options.rule);
    auto const original = linalg::to_host(be, w, op::none, "loftq");
    auto residual = original;
    std::optional<adapter<B, T>> low;
    std::optional<quantised> base;
    for (std::size_t t = 0; t != options.iterations; ++t) {
        base = quantise(residual, options.kind);
        for (std::size_t i = 0; i != original.rows(); ++i)
            for (std::size_t j = 0; j != original.cols(); ++j)
                residual(i, j) = original(i, j) - (*base)[i * original.cols() + j];
        linalg::from_host(be, residual, op::none, w);
        auto triplets = linalg::partial_svd(be, w, linalg::spectrum_end::largest, r, options.svd);
        low.emplace(split(be, triplets, r, singular_values::balanced));
        linalg::from_host(be, original, op::none, w);
        add_delta(be, low->factors(), -1, w);
        residual = linalg::to_host(be, w, op::none, "loftq");
    }
    double error = 0;
    for (std::size_t i = 0; i != original.rows(); ++i)
        for (std::size_t j = 0; j != original.cols(); ++j) {
            auto const q = (*base)[i * original.cols() + j];
            error += (residual(i, j) - q) * (residual(i, j) - q);
            residual(i, j) = q;
        }
    linalg::from_host(be, residual, op::none, w);
    low->scaling = scaling;
    return {std::move(*low), std::move(*base), std::sqrt(error)};
}

} // namespace adapt
LATHE_NAMESPACE_END
