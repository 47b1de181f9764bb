#pragma once
/// \file  KaSA, knowledge-aware singular-value adaptation (Wang et al. 2024, arXiv 2412.06071): the weight without its
///        smallest singular triplets, a change s B diag(sigma) A, and two auxiliary losses. What the paper, the
///        authors' code and PEFT do differently is a dialect.
#include <lathe/adapt/initial.hpp>
#include <lathe/linalg/partial_svd.hpp>

LATHE_NAMESPACE_BEGIN
namespace adapt {

/// Whose KaSA: they differ in what is dropped and in the losses.
enum class kasa_dialect : unsigned char {
    paper,   ///< drops the r smallest of k = min(outputs, inputs); norms of r x r Gram matrices; losses summed
    authors, ///< keeps the first inputs - r as a slice of Python does: for wide weights nothing, or less than r, is
             ///< dropped; norms of inputs x inputs and outputs x outputs matrices; losses averaged over the layers
    peft     ///< since 0.21: as the paper
};

/// Options of the KaSA functions, each of which looks at its own.
struct kasa_options {
    kasa_dialect dialect = kasa_dialect::paper; ///< of truncation and losses
    double alpha = 16;                          ///< the scaling is alpha / r or alpha / sqrt(r)
    scaling_rule rule = scaling_rule::lora;     ///< which of the two
    double beta = 1e-4,                         ///< weight of sigma's loss; the paper tunes both by task
        gamma = 1e-3;                           ///< weight of the orthogonality losses
    std::uint64_t seed = 0;                     ///< of a model; give every weight its own: seed ^ random::fnv1a(name)
    linalg::partial_svd_options svd = {};       ///< of the truncation
    bool fan_in_fan_out = false;                ///< the layer keeps W^T
};

/// How many components truncation keeps. \throws option_error if r is 0, or as large as the shorter side and the
/// dialect is not that of the authors
inline std::size_t kasa_kept(kasa_dialect dialect, std::size_t outputs, std::size_t inputs, std::size_t r) {
    auto const k = std::min(outputs, inputs);
    if (dialect == kasa_dialect::authors) {
        expects_option(r >= 1, "r", "0", "a positive number");
        if (r <= inputs)
            return std::min(k, inputs - r);
        return r - inputs < k ? k - (r - inputs) : 0;
    }
    expects_option(r >= 1 && r < k, "r", std::to_string(r),
                   "a number from 1 to " + std::to_string(k == 0 ? 0 : k - 1) + ", one less than the shorter side");
    return k - r;
}

/// What truncation took away.
template <class B, real T> struct kasa_truncation {
    std::size_t kept;                                        ///< components that are left
    std::optional<linalg::partial_svd_result<B, T>> dropped; ///< of the weight as stored; nothing if all were kept
    /// Components that were dropped.
    [[nodiscard]] std::size_t rank() const { return dropped ? dropped->s.size() : 0; }
};

/// W := W' = W - U_2 S_2 V_2^T, without its smallest singular triplets, which are kept: kasa_restore brings W back. A
/// second truncation truncates what is left, as in PEFT. On an error W is as it was.
///
/// Stored with 16 bits W' may have full rank again: what is dropped can be below the rounding of the type.
/// Time and bound of the error: linalg::partial_svd. \throws option_error, non_finite_error
template <class B, class P, class T = pointee_t<P>, class Obs = no_observer, class Stop = never_stop>
    requires matrix_space<B, T>
kasa_truncation<B, T> kasa_truncate(B & be, mat_view<P> w, std::size_t r, kasa_options const & options = {},
                                    control<Obs, Stop> ctl = {}) {
    auto const outputs = options.fan_in_fan_out ? w.cols : w.rows, inputs = options.fan_in_fan_out ? w.rows : w.cols;
    kasa_truncation<B, T> out{kasa_kept(options.dialect, outputs, inputs, r), std::nullopt};
    auto const k = std::min(outputs, inputs);
    if (out.kept == k) {
        for (std::size_t i = 0; i != w.rows; ++i)
            if (!ops::all_finite(be, w.row(i)))
                throw non_finite_error{"kasa_truncate: row " + std::to_string(i) + " holds NaN or infinity"};
        return out;
    }
    out.dropped.emplace(linalg::partial_svd(be, w, linalg::spectrum_end::smallest, k - out.kept, options.svd, ctl));
    if (out.kept == 0)
        for (std::size_t i = 0; i != w.rows; ++i)
            ops::fill(be, T(0), w.row(i));
    else
        ops::gemm(be, op::transpose, op::none, T(-1), out.dropped->left(), out.dropped->right(), T(1), w);
    return out;
}
/// W' := W' + U_2 S_2 V_2^T: W again, to rounding. \throws shape_error
template <class B, class P, class T = pointee_t<P>>
    requires matrix_space<B, T>
void kasa_restore(B & be, mat_view<P> w, kasa_truncation<B, T> & truncation) {
    if (truncation.dropped)
        ops::gemm(be, op::transpose, op::none, T(1), truncation.dropped->left(), truncation.dropped->right(), T(1), w);
}

/// A uniform on +-1 / sqrt(inputs), B = 0, sigma normal: the change is 0. \throws option_error
template <real T, class B>
    requires elementwise<B, T>
adapter<B, T> kasa(B & be, std::size_t outputs, std::size_t inputs, std::size_t r, kasa_options const & options = {}) {
    adapter<B, T> out(be, outputs, inputs, r, scaling_of(options.alpha, r, options.rule), true);
    fill_uniform(be, 1 / std::sqrt(static_cast<double>(inputs)), random::uniform_stream{options.seed, purposes::a, 0},
                 out.a_elements.view());
    ops::fill(be, T(0), out.b_elements.view());
    fill_normal(be, 1, random::uniform_stream{options.seed, purposes::sigma, 0}, out.sigma());
    return out;
}

/// A plain LoRA on the original W that does what the adapter does on W': W' + Delta = W + [s B sigma, -U_2 S_2] [A;
/// V_2^T], exactly. Its rank is that of both, its scaling 1. \throws shape_error
template <class B, real T>
    requires matrix_space<B, T>
adapter<B, T> kasa_to_lora(B & be, factors<B, T> const & f, kasa_truncation<B, T> & truncation,
                           bool fan_in_fan_out = false) {
    f.expect_valid();
    auto const dropped = truncation.rank(), r = f.rank();
    adapter<B, T> out(be, f.outputs(), f.inputs(), r + dropped, 1);
    auto weights = weights_of(be, f);
    for (std::size_t i = 0; i != r; ++i) {
        ops::copy(be, f.a.row(i), out.a().row(i));
        ops::scale(be, static_cast<T>(weights[i]), out.a().row(i));
    }
    copy_into_columns<B, T>(be, 1, op::none, f.b, out.b(), 0);
    if (dropped != 0) {
        auto & d = *truncation.dropped;
        auto const output_side = fan_in_fan_out ? d.right() : d.left(),
                   input_side = fan_in_fan_out ? d.left() : d.right();
        expects_shape(output_side.cols == f.outputs() && input_side.cols == f.inputs(),
                      "kasa_to_lora: the truncation is of a weight of other extents");
        for (std::size_t i = 0; i != dropped; ++i)
            ops::copy(be, input_side.row(i), out.a().row(r + i));
        copy_into_columns<B, T>(be, -1, op::transpose, output_side, out.b(), r);
    }
    return out;
}

/// How far rows (or columns) are from orthonormal: the Gram matrix D + I of r of them, of n elements.
struct gram_defect {
    linalg::host_matrix d; ///< r x r
    double small;          ///< |M M^T - I_r|_F
    double big;            ///< |M^T M - I_n|_F = sqrt(small^2 + n - r), for any M (docs/adapting.md)
};
/// Of the rows of m, or of its columns with op::transpose. Time 2 n r^2, where the n x n form takes 2 n^2 r. Blocks.
template <class B, class P, class T = std::remove_const_t<pointee_t<P>>>
    requires matrix_space<B, T>
gram_defect defect_of(B & be, mat_view<P> m, op o) {
    auto const r = o == op::none ? m.rows : m.cols, n = o == op::none ? m.cols : m.rows;
    auto memory = be.template allocate<T>(r * r);
    auto const gram = as_matrix(memory.view(), r, r);
    ops::gemm(be, o, o == op::none ? op::transpose : op::none, T(1), m, m, T(0), gram);
    gram_defect out{linalg::to_host(be, gram, op::none, "defect_of"), 0, 0};
    double sum = 0;
    for (std::size_t i = 0; i != r; ++i) {
        out.d(i, i) -= 1;
        for (std::size_t j = 0; j != r; ++j)
            sum += out.d(i, j) * out.d(i, j);
    }
    out.small = std::sqrt(sum);
    out.big = std::sqrt(std::max(0.0, sum + static_cast<double>(n) - static_cast<double>(r)));
    return out;
}
/// gradient := gradient + 2 factor / norm times the derivative's direction, D M for rows and M D for columns; nothing
/// where the norm is 0, where it has no derivative.
template <class B, class P, class Q, class T = pointee_t<Q>>
void add_defect_gradient(B & be, gram_defect const & defect, double norm, double factor, mat_view<P> m, op o,
                         mat_view<Q> gradient) {
    if (norm == 0)
        return;
    auto const r = defect.d.rows();
    auto memory = be.template allocate<T>(r * r);
    auto const d = as_matrix(memory.view(), r, r);
    linalg::from_host(be, defect.d, op::none, d);
    auto const by = static_cast<T>(2 * factor / norm);
    if (o == op::none)
        ops::gemm(be, op::none, op::none, by, d, m, T(1), gradient);
    else
        ops::gemm(be, op::none, op::none, by, m, d, T(1), gradient);
}

/// The auxiliary losses of one layer.
struct kasa_layer_loss {
    double sigma_square; ///< sum of sigma_i^2
    double small_a,      ///< |A A^T - I_r|_F
        small_b;         ///< |B^T B - I_r|_F
    double big_a,        ///< |A^T A - I|_F
        big_b;           ///< |B B^T - I|_F
};
/// What kasa_loss found.
struct kasa_loss_result {
    double loss; ///< beta sum sigma^2 + gamma (orthogonality of A and of B), over the layers as the dialect has it
    std::vector<kasa_layer_loss> layers; ///< in order, unweighted
};

/// The auxiliary losses of all layers, and their gradients, which are added to what `gradients` holds (none, or one for
/// each layer; only a, b and sigma are looked at). The norm has no derivative at 0: that counts as 0.
///
/// Time O((outputs + inputs) r^2), memory O(r^2) a layer in every dialect: the authors' code forms inputs x inputs
/// matrices, of which the norm follows from that of the r x r one. Its gradient has the same direction and is shorter
/// by small / big. \throws option_error without a sigma; shape_error; non_finite_error
template <class B, real T>
    requires matrix_space<B, T>
kasa_loss_result kasa_loss(B & be, std::span<factors<B, T> const> layers, kasa_options const & options = {},
                           std::span<gradients<B, T> const> out = {}) {
    expects_shape(out.empty() || out.size() == layers.size(), "kasa_loss: one gradient for each layer");
    bool const authors = options.dialect == kasa_dialect::authors;
    auto const share = authors && !layers.empty() ? 1 / static_cast<double>(layers.size()) : 1.0;
    kasa_loss_result result{0, {}};
    for (std::size_t l = 0; l != layers.size(); ++l) {
        auto const & f = layers[l];
        f.expect_valid();
        expects_option(f.sigma.has_value(), "layer " + std::to_string(l), "no sigma", "an adapter with sigma");
        auto const a = defect_of(be, f.a, op::none), b = defect_of(be, f.b, op::transpose);
        auto const square = ops::dot(be, *f.sigma, *f.sigma);
        auto const norm_a = authors ? a.big : a.small, norm_b = authors ? b.big : b.small;
        result.layers.push_back({square, a.small, b.small, a.big, b.big});
        result.loss += share * (options.beta * square + options.gamma * (norm_a + norm_b));
        if (out.empty())
            continue;
        if (out[l].a)
            add_defect_gradient(be, a, norm_a, share * options.gamma, f.a, op::none, *out[l].a);
        if (out[l].b)
            add_defect_gradient(be, b, norm_b, share * options.gamma, f.b, op::transpose, *out[l].b);
        if (out[l].sigma)
            ops::axpy(be, static_cast<T>(2 * share * options.beta), *f.sigma, *out[l].sigma);
    }
    return result;
}

} // namespace adapt
LATHE_NAMESPACE_END
