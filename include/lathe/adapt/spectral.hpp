#pragma once
/// \file  Adapters from singular vectors: PiSSA, MiLoRA, OLoRA, MiCA, LED, extraction from a fine-tuned weight, and the
///        reduction of ranks. Signs, and rotations within equal singular values, are free: only products are determined.
#include <lathe/adapt/initial.hpp>
#include <lathe/linalg/qr.hpp>
#include <lathe/linalg/randomized_svd.hpp>

LATHE_NAMESPACE_BEGIN
namespace adapt {

/// Where the singular values go.
enum class singular_values : unsigned char {
    balanced, ///< their root into A, and into B
    in_a,     ///< all of them into A
    in_b      ///< all of them into B
};

/// scaling B A = the first `count` triplets of r. A value of 0 gives rows and columns of 0 where it goes.
/// `fan_in_fan_out`: r is of W^T. \throws option_error unless the scaling is positive
template <class B, real T>
    requires matrix_space<B, T>
adapter<B, T> split(B & be, linalg::partial_svd_result<B, T> & r, std::size_t count, singular_values place,
                    double scaling = 1, bool fan_in_fan_out = false) {
    expects_option(scaling > 0 && std::isfinite(scaling), "scaling", std::to_string(scaling), "a positive number");
    expects_shape(count <= r.s.size(), "split: more triplets than there are");
    auto const outputs = fan_in_fan_out ? r.right() : r.left(), inputs = fan_in_fan_out ? r.left() : r.right();
    bool const a_orthonormal = fan_in_fan_out != r.right_orthonormal; // the other carries s
    adapter<B, T> out(be, outputs.cols, inputs.cols, count, scaling);
    linalg::host_matrix diagonal(count, count);
    for (std::size_t i = 0; i != count; ++i) {
        auto const s = r.s[i];
        // What is to carry s / scaling, its root or nothing (of what carries the scaling), over what it carries.
        auto const of_a = place == singular_values::in_a   ? s / scaling
                          : place == singular_values::in_b ? 1.0
                                                           : std::sqrt(s / scaling);
        auto const of_b = place == singular_values::in_b   ? s / scaling
                          : place == singular_values::in_a ? 1.0
                                                           : std::sqrt(s / scaling);
        auto const over = s > 0 ? 1 / s : 0.0;
        ops::copy(be, inputs.row(i), out.a().row(i));
        ops::scale(be, static_cast<T>(a_orthonormal ? of_a : of_a * over), out.a().row(i));
        diagonal(i, i) = a_orthonormal ? of_b * over : of_b;
    }
    auto memory = be.template allocate<T>(count * count);
    auto const by = as_matrix(memory.view(), count, count);
    linalg::from_host(be, diagonal, op::none, by);
    if (count != 0)
        ops::gemm(be, op::transpose, op::none, T(1), outputs.first_rows(count), by, T(0), out.b());
    return out;
}

/// Options of the adapters that are made of an end of W's spectrum.
struct spectral_options {
    double alpha = 8;                       ///< the scaling is alpha / r or alpha / sqrt(r)
    scaling_rule rule = scaling_rule::lora; ///< which of the two
    linalg::partial_svd_options svd = {};   ///< of the triplets
    bool fan_in_fan_out = false;            ///< the layer keeps W^T
};

/// What is known of the triplets that an adapter was made of.
struct triplet_report {
    double energy = std::numeric_limits<double>::quiet_NaN();      ///< their share of |W|_F^2
    double error_bound = std::numeric_limits<double>::quiet_NaN(); ///< linalg::partial_svd
    lathe::status status = lathe::status::converged;               ///< linalg::partial_svd
};
/// From what was found of W. A weight of 0 has the energy 1.
template <class B, real T> triplet_report report_of(linalg::partial_svd_result<B, T> const & found) {
    double sum = 0;
    for (auto const s : found.s)
        sum += s * s;
    auto const all = found.norm * found.norm;
    return {all > 0 ? std::min(1.0, sum / all) : 1.0, found.error_bound, found.status};
}

/// Takes an end of W's spectrum into an adapter, W := W - s B A; W + s B A is what it was, to rounding.
template <class B, class P, class T = pointee_t<P>, class Obs, class Stop>
    requires matrix_space<B, T>
adapter<B, T> take_triplets(B & be, mat_view<P> w, linalg::spectrum_end end, std::size_t r,
                            spectral_options const & options, control<Obs, Stop> & ctl,
                            triplet_report * report = nullptr) {
    auto const scaling = scaling_of(options.alpha, r, options.rule);
    auto triplets = linalg::partial_svd(be, w, end, r, options.svd, ctl);
    if (report != nullptr)
        *report = report_of(triplets);
    auto out = split(be, triplets, r, singular_values::balanced, scaling, options.fan_in_fan_out);
    add_delta(be, out.factors(), -1, w, options.fan_in_fan_out);
    return out;
}

/// PiSSA (Meng et al. 2024): B = U_r sqrt(S_r / s), A = sqrt(S_r / s) V_r^T of the r largest triplets; W := the
/// residual. Time: linalg::partial_svd. \throws option_error, non_finite_error
template <class B, class P, class T = pointee_t<P>, class Obs = no_observer, class Stop = never_stop>
    requires matrix_space<B, T>
adapter<B, T> pissa(B & be, mat_view<P> w, std::size_t r, spectral_options const & options = {},
                    control<Obs, Stop> ctl = {}) {
    return take_triplets(be, w, linalg::spectrum_end::largest, r, options, ctl);
}
/// The same with the triplets of a random sketch ("pissa_niter_4" in PEFT): the residual is formed with the B A that
/// there is, so that the function is that of W however far off they are.
template <class B, class P, class T = pointee_t<P>>
    requires matrix_space<B, T>
adapter<B, T> pissa_fast(B & be, mat_view<P> w, std::size_t r, linalg::randomized_svd_options const & sketch = {},
                         spectral_options const & options = {}) {
    auto const scaling = scaling_of(options.alpha, r, options.rule);
    auto triplets = linalg::randomized_svd(be, w, r, sketch);
    auto out = split(be, triplets, r, singular_values::balanced, scaling, options.fan_in_fan_out);
    add_delta(be, out.factors(), -1, w, options.fan_in_fan_out);
    return out;
}
/// MiLoRA (Wang et al. 2024): PiSSA with the r smallest triplets; its authors take alpha = r.
template <class B, class P, class T = pointee_t<P>, class Obs = no_observer, class Stop = never_stop>
    requires matrix_space<B, T>
adapter<B, T> milora(B & be, mat_view<P> w, std::size_t r, spectral_options const & options = {},
                     control<Obs, Stop> ctl = {}) {
    return take_triplets(be, w, linalg::spectrum_end::smallest, r, options, ctl);
}
/// OLoRA (Buyukakyuz 2024): W = Q R, B the first r columns of Q, A the first r rows of R; W := W - s B A. Only the
/// first r columns of W decide about B, and A = B^T W: time 2 r out in + 4 out r^2, not that of a whole QR
/// decomposition.
/// \throws option_error unless r is from 1 to the shorter side; non_finite_error
template <class B, class P, class T = pointee_t<P>>
    requires matrix_space<B, T>
adapter<B, T> olora(B & be, mat_view<P> w, std::size_t r, spectral_options const & options = {}) {
    bool const stored_transposed = options.fan_in_fan_out;
    auto const m = stored_transposed ? w.cols : w.rows, n = stored_transposed ? w.rows : w.cols;
    expects_option(r >= 1 && r <= std::min(m, n), "r", std::to_string(r),
                   "a number from 1 to " + std::to_string(std::min(m, n)));
    adapter<B, T> out(be, m, n, r, scaling_of(options.alpha, r, options.rule));
    linalg::thin_qr const qr(stored_transposed
                                 ? linalg::to_host(be, w.first_rows(r), op::none, "olora")
                                 : linalg::to_host(be, mat_view<P>(w.data, m, r, w.ld), op::transpose, "olora"));
    linalg::from_host(be, qr.q_rows, op::transpose, out.b());
    ops::gemm(be, op::transpose, stored_transposed ? op::transpose : op::none, T(1), out.b(), w, T(0), out.a());
    if (!ops::all_finite(be, out.a_elements.view()))
        throw non_finite_error{"olora: the weight holds NaN or infinity"};
    add_delta(be, out.factors(), -1, w, stored_transposed);
    return out;
}
/// MiCA (PEFT): B = the left singular vectors of the r smallest values, to stay as it is; A = 0; W untouched. \throws
/// option_error, non_finite_error
template <class B, class P, class T = std::remove_const_t<pointee_t<P>>, class Obs = no_observer,
          class Stop = never_stop>
    requires matrix_space<B, T>
adapter<B, T> mica(B & be, mat_view<P> w, std::size_t r, spectral_options const & options = {},
                   control<Obs, Stop> ctl = {}, triplet_report * report = nullptr) {
    auto triplets = linalg::partial_svd(be, w, linalg::spectrum_end::smallest, r, options.svd, ctl);
    if (report != nullptr)
        *report = report_of(triplets);
    auto const outputs = options.fan_in_fan_out ? triplets.right() : triplets.left();
    auto const inputs = options.fan_in_fan_out ? triplets.left() : triplets.right();
    adapter<B, T> out(be, outputs.cols, inputs.cols, r, scaling_of(options.alpha, r, options.rule));
    ops::fill(be, T(0), out.a_elements.view());
    bool const orthonormal = options.fan_in_fan_out == triplets.right_orthonormal;
    if (orthonormal)
        copy_into_columns<B, T>(be, 1, op::transpose, outputs, out.b(), 0);
    else // orthogonal but for the values, descending: values of 0 leave the choice to the decomposition
        linalg::from_host(be, linalg::thin_qr(linalg::to_host(be, outputs, op::none, "mica")).q_rows, op::transpose,
                          out.b());
    return out;
}

/// LED (Winata et al. 2020; greenformer): the rank for a layer, or nothing if it is to stay as it is: below 1, a share
/// of the rank at which nothing is saved, out in / (out + in). \throws option_error unless positive
inline std::optional<std::size_t> led_rank(std::size_t outputs, std::size_t inputs, double rank) {
    expects_option(rank > 0 && std::isfinite(rank), "rank", std::to_string(rank), "a positive number");
    if (outputs + inputs == 0)
        return std::nullopt;
    auto const most = outputs * inputs / (outputs + inputs);
    auto const limit = static_cast<double>(most);
    auto const wanted = std::floor(rank < 1 ? limit * rank : rank);
    if (wanted < 1 || limit <= wanted)
        return std::nullopt;
    return static_cast<std::size_t>(wanted);
}
/// The layer as two: y = (x P^T) Q^T + bias, P = A with the singular values, Q = B. A convolution is the same on its
/// (outputs, inputs x kernel) matrix (CED): A is a convolution to `rank` channels, B one of 1 x 1.
template <class B, class P, class T = std::remove_const_t<pointee_t<P>>, class Obs = no_observer,
          class Stop = never_stop>
    requires matrix_space<B, T>
adapter<B, T> led(B & be, mat_view<P> w, std::size_t rank, linalg::partial_svd_options const & options = {},
                  control<Obs, Stop> ctl = {}) {
    auto triplets = linalg::partial_svd(be, w, linalg::spectrum_end::largest, rank, options, ctl);
    return split(be, triplets, rank, singular_values::in_a);
}

/// Options of extract and extract_change.
struct extract_options {
    std::size_t max_rank = 16;                         ///< 0: the shorter side
    double sv_epsilon = 0;                             ///< only values above it, if it is positive
    double energy = 1;                                 ///< the smallest rank with this share of the sum of s^2
    singular_values place = singular_values::balanced; ///< mergekit; in_a without its distribute_scale; PEFT has in_b
    linalg::partial_svd_options svd = {};              ///< of the triplets
};
/// What extract and extract_change found.
template <class B, real T> struct extract_result {
    adapt::adapter<B, T> adapter; ///< with scaling 1
    std::vector<double> s;        ///< its singular values
    double energy;                ///< its share of the sum of s^2
    double error_bound;           ///< linalg::partial_svd
};
/// An adapter for a change D: its largest triplets, as many as the options leave. Rank 0 may come out where sv_epsilon
/// is above everything. Time: linalg::partial_svd for max_rank. \throws option_error, non_finite_error
template <class B, class P, class T = std::remove_const_t<pointee_t<P>>, class Obs = no_observer,
          class Stop = never_stop>
    requires matrix_space<B, T>
extract_result<B, T> extract_change(B & be, mat_view<P> d, extract_options const & options = {},
                                    control<Obs, Stop> ctl = {}) {
    expects_option(options.energy > 0 && options.energy <= 1, "energy", std::to_string(options.energy),
                   "a number in (0, 1]");
    expects_option(options.sv_epsilon >= 0, "sv_epsilon", std::to_string(options.sv_epsilon), "a number, not negative");
    auto const k = std::min(d.rows, d.cols);
    auto const cap = options.max_rank == 0 ? k : std::min(options.max_rank, k);
    auto triplets = linalg::partial_svd(be, d, linalg::spectrum_end::largest, cap, options.svd, ctl);
    auto const total = triplets.norm * triplets.norm;
    std::size_t count = cap;
    // What differs from sv_epsilon by rounding is not above it: a singular value is known to about this.
    auto const rounding = static_cast<double>(std::max(d.rows, d.cols))
                          * static_cast<double>(std::numeric_limits<T>::epsilon()) * triplets.norm;
    auto const above = options.sv_epsilon + rounding;
    if (options.sv_epsilon > 0)
        count = static_cast<std::size_t>(std::ranges::count_if(triplets.s, [&](double s) { return s > above; }));
    double held = 0;
    for (std::size_t i = 0; i != count; ++i) {
        if (options.energy < 1 && held >= options.energy * total) {
            count = i;
            break;
        }
        held += triplets.s[i] * triplets.s[i];
    }
    auto out = split(be, triplets, count, options.place);
    triplets.s.resize(count);
    return {std::move(out), std::move(triplets.s), total > 0 ? std::min(1.0, held / total) : 1.0, triplets.error_bound};
}
/// The same for what fine-tuning did, finetuned - base. Memory: the difference. \throws shape_error, option_error,
/// non_finite_error
template <class B, class P, class Q, class T = std::remove_const_t<pointee_t<P>>, class Obs = no_observer,
          class Stop = never_stop>
    requires matrix_space<B, T>
extract_result<B, T> extract(B & be, mat_view<P> base, mat_view<Q> finetuned, extract_options const & options = {},
                             control<Obs, Stop> ctl = {}) {
    expects_shape(base.rows == finetuned.rows && base.cols == finetuned.cols, "extract: the extents differ");
    auto difference = be.template allocate<T>(base.rows * base.cols);
    auto const d = as_matrix(difference.view(), base.rows, base.cols);
    for (std::size_t i = 0; i != d.rows; ++i)
        ops::map<T>(be, ops::kernels::axpy, d.row(i), T(-1), base.row(i), finetuned.row(i));
    return extract_change(be, d, options, ctl);
}

/// The r largest triplets of a sum of changes, weights and scalings in it, as an adapter of scaling 1: exact, without
/// the out x in matrix. QR decompositions of the stacked B's and A's, and the SVD of a matrix as small as the sum R of
/// the ranks: time 4 (out + in) R^2 + O(R^3) on the host, in double (Halko et al. 2011, 5.1). Where R is not below the
/// shorter side, by way of the whole matrix. Also what lowers the rank of one adapter. \throws option_error,
/// shape_error, non_finite_error
template <class B, real T>
    requires matrix_space<B, T>
adapter<B, T> compress(B & be, std::span<factors<B, T> const> all, std::span<double const> weights, std::size_t r,
                       singular_values place = singular_values::in_b) {
    auto sum = stack(be, all, weights);
    auto const R = sum.rank, m = sum.outputs, n = sum.inputs, k = std::min(m, n);
    expects_option(r >= 1 && r <= k, "r", std::to_string(r), "a number from 1 to " + std::to_string(k));
    if (R >= k) {
        auto dense = be.template allocate<T>(m * n);
        auto const d = as_matrix(dense.view(), m, n);
        delta(be, sum.factors(), d);
        auto triplets = linalg::partial_svd(be, d, linalg::spectrum_end::largest, r);
        return split(be, triplets, r, place);
    }
    linalg::householder_qr const left(linalg::to_host(be, sum.b(), op::transpose, "compress: B")),
        right(linalg::to_host(be, sum.a(), op::none, "compress: A"));
    linalg::host_matrix core(R, R); // of R_1 R_2^T a row for each column
    for (std::size_t i = 0; i != R; ++i)
        for (std::size_t j = 0; j != R; ++j)
            core(j, i) = linalg::dot(left.r.row(i), right.r.row(j), left.r.stride());
    serial_executor one;
    linalg::host_matrix u(R, R), v(R, R);
    std::vector<double> s(R);
    linalg::jacobi_svd(one, std::move(core)).extract(u, s, v);
    auto const known = std::min(r, R);
    adapter<B, T> out(be, m, n, r, 1);
    linalg::host_matrix a(r, R), b(r, R); // by coefficients
    for (std::size_t i = 0; i != known; ++i) {
        auto const of_a = place == singular_values::in_a   ? s[i]
                          : place == singular_values::in_b ? 1.0
                                                           : std::sqrt(s[i]),
                   of_b = place == singular_values::in_b   ? s[i]
                          : place == singular_values::in_a ? 1.0
                                                           : std::sqrt(s[i]);
        linalg::axpy(of_b, u.row(i), b.row(i), b.stride());
        linalg::axpy(of_a, v.row(i), a.row(i), a.stride());
    }
    linalg::from_host(be, right.combinations(a), op::none, out.a());
    linalg::from_host(be, left.combinations(b), op::transpose, out.b());
    return out;
}

/// A plain LoRA on the original W of an adapter that was trained on its residual (PiSSA, MiLoRA, OLoRA): W's change is
/// s (B A - B0 A0), of twice the rank, with scaling 1. \throws shape_error
template <class B, real T>
    requires matrix_space<B, T>
adapter<B, T> to_lora(B & be, factors<B, T> const & trained, factors<B, T> const & initial) {
    std::array const both{trained, initial};
    std::array const weights{1.0, -1.0};
    return stack<B, T>(be, both, weights);
}

} // namespace adapt
LATHE_NAMESPACE_END
