#pragma once
/// \file  The singular triplets at one end of the spectrum, with a bound of the error, and without the others.
#include <lathe/core/control.hpp>
#include <lathe/linalg/spd_panels.hpp>
#include <lathe/linalg/svd.hpp>

#include <optional>

LATHE_NAMESPACE_BEGIN
namespace linalg {

enum class spectrum_end : unsigned char { largest, smallest };

enum class arithmetic : unsigned char {
    widest, ///< double where the backend computes in double, else that of the elements
    same    ///< of the elements: with float at twice the speed, and bounds down to some 1e-6
};
enum class svd_method : unsigned char {
    automatic, ///< iteration where it is the faster one
    full,      ///< the whole decomposition
    iteration
};

struct partial_svd_options {
    double tolerance = 0;        ///< of the bound; 0: 1e-10 in double, 2e-6 in float
    std::size_t max_rounds = 24; ///< of the iteration
    lathe::linalg::arithmetic arithmetic = lathe::linalg::arithmetic::widest;
    svd_method method = svd_method::automatic;
    std::uint64_t seed = 0; ///< of the start of the iteration
};

/// r triplets of a matrix A, as the sum of their products: left^T right. A row of `left` or `right` belongs to one
/// triplet. One side is orthonormal, the other carries the singular values.
template <class B, real T> struct partial_svd_result {
    std::size_t rows, cols;    ///< of A
    std::vector<double> s;     ///< descending
    buffer_t<B, T> left_rows;  ///< s.size() x rows
    buffer_t<B, T> right_rows; ///< s.size() x cols
    bool right_orthonormal;    ///< right is orthonormal and left carries s, or the other way round
    double norm;               ///< |A|_F
    double error_bound;        ///< of |left^T right - exact|_F / |A|_F
    double excess_bound;  ///< of how far the sum of s^2 is from that of the exact ones, as a part of |A|_F^2: where
                          ///< values are too close for error_bound, what is known of how good a choice this is
    std::size_t rounds;   ///< 0: the whole decomposition was computed
    lathe::status status; ///< iteration_limit if error_bound is above the tolerance

    [[nodiscard]] mat<B, T> left() { return as_matrix(left_rows.view(), s.size(), rows); }
    [[nodiscard]] mat<B, T> right() { return as_matrix(right_rows.view(), s.size(), cols); }
    /// The side that is orthonormal, and the side that carries the values.
    [[nodiscard]] mat<B, T> orthonormal() { return right_orthonormal ? right() : left(); }
    [[nodiscard]] mat<B, T> scaled() { return right_orthonormal ? left() : right(); }
};

namespace kernels {
inline constexpr auto centred = [](auto const & u) { return u - 0.5f; };
inline constexpr auto square = [](auto & sums, auto const & x) { sums.add(0, x * x); };
} // namespace kernels

/// |a|_F, in double. One pass; blocks.
template <class B, class P, class T = std::remove_const_t<pointee_t<P>>>
    requires has_reduce<B, T>
double frobenius_norm(B & be, mat_view<P> a) {
    double sum = 0;
    if (a.ld == a.cols)
        ops::reduce<T>(be, kernels::square, std::span<double, 1>{&sum, 1}, vec_view<P>(a.data, a.rows * a.cols));
    else
        for (std::size_t i = 0; i != a.rows; ++i)
            ops::reduce<T>(be, kernels::square, std::span<double, 1>{&sum, 1}, a.row(i));
    return std::sqrt(sum);
}

/// Eigenvectors of a symmetric positive semidefinite matrix, one a row, the values descending.
struct host_eigenvectors {
    std::vector<double> values;
    host_matrix rows;
    explicit host_eigenvectors(host_matrix a) : values(a.rows()), rows(a.rows(), a.rows()) {
        host_matrix left(a.rows(), a.rows());
        serial_executor one;
        jacobi_svd const solver(one, std::move(a));
        solver.extract(left, values, rows);
    }
};
/// The products of the rows of m with each other.
inline host_matrix gram_of_rows(host_matrix const & m) {
    host_matrix g(m.rows(), m.rows());
    serial_executor one;
    mat_view<double const *> const rows(m.row(0), m.rows(), m.cols(), m.stride());
    host::gemm<double>(one, op::none, op::transpose, 1, rows, rows, 0,
                       mat_view<double *>(g.row(0), g.rows(), g.cols(), g.stride()));
    return g;
}

/// Rows of y := as many orthonormal rows as y spans beside the rows of `basis`, which are orthonormal, in front
/// (Stathopoulos and Wu 2002: by the eigenvectors of the Gram matrix, which any rank leaves stable). `scratch` is as
/// large as y. Time: 3 times 4 c b k + 2 b^2 k in products. \returns their number \throws non_finite_error
template <class B, real C> std::size_t orthonormalise_rows(B & be, mat<B, C> basis, mat<B, C> y, mat<B, C> scratch) {
    auto const eps = static_cast<double>(std::numeric_limits<C>::epsilon());
    auto const normalise = [&](mat<B, C> m) { // m in scratch, in the end in m
        auto gram = gram_of_rows(to_host(be, m, op::none, "orthonormalise_rows"));
        auto const n = m.rows;
        std::vector<double> scale(n);
        for (std::size_t i = 0; i != n; ++i)
            scale[i] = gram(i, i) > 0 ? 1 / std::sqrt(gram(i, i)) : 0;
        for (std::size_t i = 0; i != n; ++i)
            for (std::size_t j = 0; j != n; ++j)
                gram(i, j) *= scale[i] * scale[j];
        host_eigenvectors const e(std::move(gram));
        std::size_t count = 0;
        while (count != n && e.values[count] > static_cast<double>(n) * eps * e.values[0] && e.values[count] > 0)
            ++count;
        if (count == 0)
            return count;
        host_matrix t(count, n);
        for (std::size_t i = 0; i != count; ++i)
            for (std::size_t j = 0; j != n; ++j)
                t(i, j) = e.rows(i, j) * scale[j] / std::sqrt(e.values[i]);
        auto memory = be.template allocate<C>(count * n);
        auto const transform = as_matrix(memory.view(), count, n);
        from_host(be, t, op::none, transform);
        ops::gemm(be, op::none, op::none, C(1), transform, m, C(0), scratch.first_rows(count));
        for (std::size_t i = 0; i != count; ++i)
            ops::copy(be, scratch.row(i), m.row(i));
        return count;
    };
    auto count = normalise(y);
    for (int pass = 0; pass != 2 && count != 0; ++pass) {
        auto const rows = y.first_rows(count);
        if (basis.rows != 0) {
            auto memory = be.template allocate<C>(count * basis.rows);
            auto const overlap = as_matrix(memory.view(), count, basis.rows);
            ops::gemm(be, op::none, op::transpose, C(1), rows, basis, C(0), overlap);
            ops::gemm(be, op::none, op::none, C(-1), overlap, basis, C(1), rows);
        } else if (pass != 0)
            break;
        count = normalise(rows);
    }
    return count;
}

/// Block Krylov iteration for one end of the spectrum of A, which has l x k elements as op(A), k <= l; vectors are rows
/// of k. Rounds of q steps with Rayleigh-Ritz on A itself, not on its Gram matrix; for the small end every step solves
/// with the factored Gram matrix. That matrix only speeds the iteration up: what single precision blurs in it, or a
/// shift changes, costs steps and no accuracy.
template <class B, real C, class P> class block_krylov {
    B & be_;
    mat_view<P> a_;
    bool tall_, small_;
    std::size_t k_, l_, wanted_, width_, steps_;
    buffer_t<B, C> basis_, images_, next_, scratch_, next_images_, residual_rows_;
    std::optional<lower_panels<B, C>> gram_;
    std::optional<spd_panels<B, C>> inverse_, spare_inverse_;
    double shift_ = 0, largest_diagonal_ = 0;
    std::vector<double> squares_, residuals_; // of the block, in the order of preference
    std::vector<double> solved_;              // r^T (G - shift I)^-1 r for every residual r
    std::size_t held_ = 0;                    // rows of the block

    static mat<B, C> rows_of(buffer_t<B, C> & b, std::size_t first, std::size_t count, std::size_t cols) {
        return as_matrix(b.view().sub(first * cols, count * cols), count, cols);
    }
    void apply(mat<B, C> x, mat<B, C> image) {
        ops::gemm(be_, op::none, tall_ ? op::transpose : op::none, C(1), x, a_, C(0), image);
    }
    void apply_transposed(mat<B, C> image, mat<B, C> x) {
        ops::gemm(be_, op::none, tall_ ? op::none : op::transpose, C(1), image, a_, C(0), x);
    }
    void factor_gram() {
        gram_.emplace(be_, k_);
        gram_panels(be_, cmat<B, C>(a_), tall_ ? op::none : op::transpose, *gram_);
        for (std::size_t p = 0; p != gram_->count(); ++p) {
            auto const block = to_host(be_, gram_->panel(p).first_rows(gram_->cols(p)), op::none, "partial_svd");
            for (std::size_t i = 0; i != block.rows(); ++i)
                largest_diagonal_ = std::max(largest_diagonal_, block(i, i));
        }
        inverse_.emplace(be_, k_);
        auto shift = 0.0;
        while (!inverse_->factor(be_, *gram_, shift))
            shift = std::max(4 * shift, static_cast<double>(std::numeric_limits<C>::epsilon()) * largest_diagonal_);
        shift_ = -shift;
    }
    /// Factors G - tau I if that is far enough from what is there, below every eigenvalue by all we know.
    /// \returns whether it did
    bool move_shift() {
        auto const last = squares_.back(), at = squares_[wanted_ - 1];
        auto const near = std::min(2 * residuals_[0], 0.25 * (last - squares_[0]));
        auto const tau =
            squares_[0] - near - 8 * static_cast<double>(std::numeric_limits<C>::epsilon()) * largest_diagonal_;
        auto const gain = [&](double s) { return std::log((last - s) / (at - s)); };
        if (residuals_[0] > 0.5 * (last - squares_[0]) || !(tau > shift_ && last > at && at > tau)
            || gain(tau) < 1.3 * gain(shift_))
            return false;
        if (!spare_inverse_)
            spare_inverse_.emplace(be_, k_);
        if (spare_inverse_->factor(be_, *gram_, -tau)) { // positive: no eigenvalue is below tau
            std::swap(inverse_, spare_inverse_);
            shift_ = tau;
            return true;
        }
        return false;
    }
    /// The block := the best Ritz vectors in the first `count` rows of the basis, of which the images are there.
    void rayleigh_ritz(std::size_t count) {
        host_eigenvectors const e(gram_of_rows(to_host(be_, rows_of(images_, 0, count, l_), op::none, "partial_svd")));
        held_ = std::min(width_, count);
        host_matrix chosen(held_, count);
        squares_.resize(held_);
        for (std::size_t i = 0; i != held_; ++i) {
            auto const from = small_ ? count - 1 - i : i;
            squares_[i] = e.values[from];
            std::copy_n(e.rows.row(from), count, chosen.row(i));
        }
        auto memory = be_.template allocate<C>(held_ * count);
        auto const choose = as_matrix(memory.view(), held_, count);
        from_host(be_, chosen, op::none, choose);
        auto const move = [&](buffer_t<B, C> & from, buffer_t<B, C> & by, std::size_t cols) {
            auto const out = rows_of(by, 0, held_, cols);
            ops::gemm(be_, op::none, op::none, C(1), choose, rows_of(from, 0, count, cols), C(0), out);
            ops::copy(be_, by.view().sub(0, held_ * cols), from.view().sub(0, held_ * cols));
        };
        move(basis_, next_, k_);
        if (small_) // what is small must not be the difference of what is not
            apply(rows_of(basis_, 0, held_, k_), rows_of(images_, 0, held_, l_));
        else
            move(images_, next_images_, l_);
    }
    /// next_ := A^T A x - theta^2 x for every x of the block.
    void compute_residuals() {
        auto const r = rows_of(next_, 0, held_, k_);
        apply_transposed(rows_of(images_, 0, held_, l_), r);
        residuals_.resize(held_);
        for (std::size_t i = 0; i != held_; ++i) {
            squares_[i] = ops::dot(be_, images_.view().sub(i * l_, l_), images_.view().sub(i * l_, l_));
            ops::axpy(be_, static_cast<C>(-squares_[i]), basis_.view().sub(i * k_, k_), r.row(i));
            residuals_[i] = std::sqrt(ops::dot(be_, r.row(i), r.row(i)));
        }
        solved_.clear();
        if (small_) { // the next step begins so anyhow
            auto const kept = rows_of(residual_rows_, 0, held_, k_);
            ops::copy(be_, next_.view().sub(0, held_ * k_), residual_rows_.view().sub(0, held_ * k_));
            inverse_->solve(be_, r, rows_of(scratch_, 0, held_, k_));
            for (std::size_t i = 0; i != held_; ++i)
                solved_.push_back(std::max(0.0, ops::dot(be_, kept.row(i), r.row(i))));
        }
    }

    /// The same from the first c vectors of the block, or infinity.
    [[nodiscard]] double error_bound(std::size_t c) const {
        auto const none = std::numeric_limits<double>::infinity();
        auto const away = [&](double x, double from) { return small_ ? x - from : from - x; };
        auto const edge = *std::max_element(squares_.begin(), squares_.begin() + static_cast<std::ptrdiff_t>(wanted_));
        auto const inner = squares_[wanted_ - 1], slack = residual(c + 1);
        auto const beyond = std::max(0.0, squares_[c] + (small_ ? -slack : slack));
        if (!(away(beyond, inner) > 0))
            return none;
        double within = 0, inflation = 1;
        if (c != wanted_) {
            auto const near = away(squares_[wanted_], inner), far = away(beyond, inner), r = residual(c);
            within = r / near;
            auto const curvature = 2 * r * r / (near * far);
            if (!(near > 0 && curvature < 0.5))
                return none;
            inflation = 1 / (1 - curvature);
        }
        double plain = 0, weighted = 0;
        for (std::size_t i = 0; i != wanted_; ++i) {
            auto const gap = away(beyond, squares_[i]);
            plain += residuals_[i] / gap * (residuals_[i] / gap);
            if (small_)
                weighted += solved_[i] * beyond / gap * (beyond / gap);
        }
        auto const square = [&](double s, double image) { // of |S|^2 and |Sigma S|^2
            return image + s * (edge + 2 * within * within * std::max(edge, squares_[c]));
        };
        auto best = square(plain, plain * std::max(0.0, beyond));
        if (small_) {
            auto const blur = 8 * static_cast<double>(std::numeric_limits<C>::epsilon()) * largest_diagonal_;
            auto const image = weighted * std::max(1.0, 1 + (blur - shift_) / beyond);
            best = std::min(best, square(image / beyond, image));
        }
        return inflation * std::sqrt(best);
    }

public:
    block_krylov(B & be, mat_view<P> a, spectrum_end end, std::size_t wanted, std::size_t width, std::size_t steps,
                 std::uint64_t seed)
        : be_{be}, a_{a}, tall_{a.cols <= a.rows}, small_{end == spectrum_end::smallest}, k_{std::min(a.rows, a.cols)},
          l_{std::max(a.rows, a.cols)}, wanted_{wanted}, width_{width}, steps_{steps},
          basis_{be.template allocate<C>(width * (steps + 1) * k_)},
          images_{be.template allocate<C>(width * (steps + 1) * l_)}, next_{be.template allocate<C>(width * k_)},
          scratch_{be.template allocate<C>(width * k_)}, next_images_{be.template allocate<C>(small_ ? 0 : width * l_)},
          residual_rows_{be.template allocate<C>(small_ ? width * k_ : 0)} {
        if (small_)
            factor_gram();
        ops::map<C>(be_, kernels::centred, next_.view(), random::uniform_stream{seed, 0, 0});
        auto const start = rows_of(next_, 0, width_, k_), spare = rows_of(scratch_, 0, width_, k_);
        if (width_ == k_) { // everything: no draw is as good as the axes
            host_matrix axes(k_, k_);
            for (std::size_t i = 0; i != k_; ++i)
                axes(i, i) = 1;
            from_host(be_, axes, op::none, start);
        } else if (small_)
            inverse_->solve(be_, start, spare);
        held_ = orthonormalise_rows<B, C>(be_, start.first_rows(0), start, spare);
        ops::copy(be_, next_.view().sub(0, held_ * k_), basis_.view().sub(0, held_ * k_));
        apply(rows_of(basis_, 0, held_, k_), rows_of(images_, 0, held_, l_));
        rayleigh_ritz(held_);
        compute_residuals();
    }

    void round() {
        auto count = held_, fresh = held_;
        if (small_ && move_shift()) {
            ops::copy(be_, residual_rows_.view().sub(0, held_ * k_), next_.view().sub(0, held_ * k_));
            inverse_->solve(be_, rows_of(next_, 0, held_, k_), rows_of(scratch_, 0, held_, k_));
        }
        for (std::size_t step = 0; step != steps_ && fresh != 0; ++step) {
            auto const y = rows_of(next_, 0, fresh, k_), spare = rows_of(scratch_, 0, fresh, k_);
            if (small_ && step != 0)
                inverse_->solve(be_, y, spare);
            else if (step != 0)
                apply_transposed(rows_of(images_, count - fresh, fresh, l_), y);
            fresh = orthonormalise_rows<B, C>(be_, rows_of(basis_, 0, count, k_), y, spare);
            ops::copy(be_, next_.view().sub(0, fresh * k_), basis_.view().sub(count * k_, fresh * k_));
            if (!small_)
                apply(rows_of(basis_, count, fresh, k_), rows_of(images_, count, fresh, l_));
            count += fresh;
        }
        if (small_ && count != held_)
            apply(rows_of(basis_, held_, count - held_, k_), rows_of(images_, held_, count - held_, l_));
        rayleigh_ritz(count);
        compute_residuals();
    }

    /// Squares of the Ritz values.
    [[nodiscard]] std::span<double const> squares() const noexcept { return squares_; }
    [[nodiscard]] double residual(std::size_t count) const {
        double sum = 0;
        for (std::size_t i = 0; i != std::min(count, held_); ++i)
            sum += residuals_[i] * residuals_[i];
        return std::sqrt(sum);
    }
    [[nodiscard]] std::size_t held() const noexcept { return held_; }
    /// |error of the sum of the wanted triplets|_F, at most. What the vector x_i with the residual
    /// r_i = A^T A x_i - theta_i^2 x_i has of the vectors v_j beyond the first c of the block is
    /// S_ij = <v_j, r_i> / (sigma_j^2 - theta_i^2); what it has of those within, by way of those beyond, is smaller by
    /// |r| over the distance within. |E|^2 <= |Sigma S|^2 + sigma^2 |S|^2 (docs/adapting.md). The best c counts;
    /// without any, sqrt(2) |theta|.
    [[nodiscard]] double error_bound() const {
        double total = 0;
        for (std::size_t i = 0; i != wanted_; ++i)
            total += squares_[i];
        auto bound = std::sqrt(2 * total);
        for (auto c = wanted_; c < held_; ++c)
            if (auto const b = error_bound(c); b < bound) // not NaN
                bound = b;
        return bound;
    }
    /// |sum of theta^2 - sum of the exact sigma^2|, at most.
    [[nodiscard]] double excess_bound() const { return std::sqrt(static_cast<double>(wanted_)) * residual(wanted_); }

    [[nodiscard]] mat<B, C> vectors() { return rows_of(basis_, 0, wanted_, k_); }
    [[nodiscard]] mat<B, C> images() { return rows_of(images_, 0, wanted_, l_); }
};

/// A copy of `a` as elements of C, each times `factor`. Blocks where pointers are not plain.
template <class C, class B, class P, class T = std::remove_const_t<pointee_t<P>>>
buffer_t<B, C> converted(B & be, mat_view<P> a, double factor) {
    auto out = be.template allocate<C>(a.rows * a.cols);
    std::vector<T> in(host_addressable<B, T> ? 0 : a.cols);
    std::vector<C> row(host_addressable<B, C> ? 0 : a.cols);
    for (std::size_t i = 0; i != a.rows; ++i) {
        T const * from = in.data();
        C * to = row.data();
        auto const target = out.view().sub(i * a.cols, a.cols);
        if constexpr (host_addressable<B, T>)
            from = a.data + i * a.ld;
        else
            be.download(cvec<B, T>(a.row(i)), std::span<T>{in});
        if constexpr (host_addressable<B, C>)
            to = target.data;
        for (std::size_t j = 0; j != a.cols; ++j)
            to[j] = static_cast<C>(static_cast<double>(from[j]) * factor);
        if constexpr (!host_addressable<B, C>)
            be.upload(std::span<C const>{row}, target);
    }
    return out;
}

/// partial_svd(be, a, end, r, options, ctl): the r largest or smallest singular triplets of a, found without the others
/// and with a bound of the error that was computed, not hoped for.
///
/// The bound rests on residuals, and on the assumption that the iteration, which starts from a random block, has missed
/// no vector: the probability of that is 0. It is of the exact left^T right for the given A, before rounding to T.
/// Where the value at the cut is (nearly) that of its neighbour beyond, the exact triplets are (nearly) undetermined:
/// then error_bound stays above the tolerance, and excess_bound says how good a choice of r triplets this is.
///
/// Time of the small end, per round b = r + max(8, r / 4) vectors and q = 3 steps (fewer where b is large): once k^2 l
/// + k^3 / 3 for the Gram matrix and its factor, and 2 (q + 1) b k (l + k) a round, all in products of matrices; of the
/// large end 4 q b k l a round, q = 7. Two to six rounds are usual. Memory: k^2 (the small end) + (q + 1) b (k + l)
/// elements, and A in double if it is not.
/// Matrices with a short side, or of which much is wanted, are decomposed as a whole (svd).
///
/// Progress: after every round, with the bound as residual; a stop leaves what there is. r is from 1 to the shorter
/// side. \throws option_error, non_finite_error
struct partial_svd_fn {
    template <class B, class P, class T = std::remove_const_t<pointee_t<P>>, class Obs = no_observer,
              class Stop = never_stop>
        requires matrix_space<B, T>
    partial_svd_result<B, T> operator()(B & be, mat_view<P> a, spectrum_end end, std::size_t r,
                                        partial_svd_options const & options = {}, control<Obs, Stop> ctl = {}) const {
        auto const k = std::min(a.rows, a.cols);
        expects_option(r >= 1 && r <= k, "r", std::to_string(r), "a number from 1 to " + std::to_string(k));
        expects_option(options.tolerance >= 0, "tolerance", std::to_string(options.tolerance),
                       "a number, not negative");
        for (std::size_t i = 0; i != a.rows; ++i)
            if (!ops::all_finite(be, a.row(i)))
                throw non_finite_error{"partial_svd: row " + std::to_string(i) + " holds NaN or infinity"};
        partial_svd_result<B, T> out{a.rows,
                                     a.cols,
                                     std::vector<double>(r),
                                     be.template allocate<T>(r * a.rows),
                                     be.template allocate<T>(r * a.cols),
                                     a.cols <= a.rows,
                                     frobenius_norm(be, a),
                                     0,
                                     0,
                                     0,
                                     status::converged};
        auto const typical = out.norm / std::sqrt(static_cast<double>(a.rows) * static_cast<double>(a.cols));
        int exponent = 0; // squares must neither overflow nor vanish
        if (!(typical > 1e-10 && typical < 1e10)) {
            double largest = 0;
            std::vector<T> row(a.cols);
            for (std::size_t i = 0; i != a.rows; ++i) {
                be.download(cvec<B, T>(a.row(i)), std::span<T>{row});
                for (auto const x : row)
                    largest = std::max(largest, std::abs(static_cast<double>(x)));
            }
            if (largest == 0) {
                from_host(be, host_matrix(r, std::max(a.rows, a.cols)), op::none, out.scaled());
                host_matrix axes(r, k);
                for (std::size_t i = 0; i != r; ++i)
                    axes(i, i) = 1;
                from_host(be, axes, op::none, out.orthonormal());
                return out;
            }
            std::frexp(largest, &exponent);
        }
        auto width = std::min(k, r + std::max<std::size_t>(8, r / 4));
        auto const room = std::min<std::size_t>(k / 2, std::max<std::size_t>(2 * width, 256)) / width;
        bool const iterate = options.method == svd_method::iteration
                             || (options.method == svd_method::automatic && k >= 128 && room >= 2);
        if (!iterate) {
            whole(be, a, end, r, options, exponent, out);
            return out;
        }
        if (room < 2) // no room for steps: all vectors at once
            width = k;
        auto const steps =
            std::min(std::max<std::size_t>(room, 1) - 1, std::size_t{end == spectrum_end::smallest ? 3u : 7u});
        auto const with = [&]<class C>(C) {
            auto copy = std::optional<buffer_t<B, C>>{};
            if constexpr (std::same_as<C, T>) {
                if (exponent == 0) {
                    run<C>(be, cmat<B, C>(a), end, r, width, steps, options, 0, out, ctl);
                    return;
                }
            }
            copy.emplace(converted<C>(be, a, std::ldexp(1.0, -exponent)));
            run<C>(be, cmat<B, C>(as_matrix(copy->view(), a.rows, a.cols)), end, r, width, steps, options, exponent,
                   out, ctl);
        };
        if constexpr (matrix_space<B, double>)
            if (options.arithmetic == arithmetic::widest && computes_in_double(be)) {
                with(double{});
                return out;
            }
        with(T{});
        return out;
    }

private:
    template <class B> static bool computes_in_double(B & be) {
        if constexpr (requires { be.template supports<double>(); })
            return be.template supports<double>();
        else
            return true;
    }
    /// Values that are about as far from each other as rounding moves them are not told apart.
    template <class B, class P, class T>
    static void whole(B & be, mat_view<P> a, spectrum_end end, std::size_t r, partial_svd_options const & options,
                      int exponent, partial_svd_result<B, T> & out) {
        auto all = svd_fn{}(be, a);
        auto const k = all.s.size(), first = end == spectrum_end::smallest ? k - r : 0;
        ops::copy(be, cvec<B, T>(all.left_rows.view().sub(first * a.rows, r * a.rows)), out.left_rows.view());
        ops::copy(be, cvec<B, T>(all.right_rows.view().sub(first * a.cols, r * a.cols)), out.right_rows.view());
        std::copy_n(all.s.begin() + static_cast<std::ptrdiff_t>(first), r, out.s.begin());
        for (std::size_t i = 0; i != r; ++i)
            ops::scale(be, static_cast<T>(out.s[i]), out.scaled().row(i));
        auto const length = [&](std::vector<double> const & s) {
            double sum = 0;
            for (auto const v : s)
                sum += std::ldexp(v, -exponent) * std::ldexp(v, -exponent);
            return std::ldexp(std::sqrt(sum), exponent);
        };
        out.norm = length(all.s);
        double const rounding = std::sqrt(static_cast<double>(k)) * std::numeric_limits<double>::epsilon() * all.s[0];
        auto const unresolved = std::sqrt(2.0) * length(out.s);
        auto bound = rounding;
        if (r != k) {
            auto const inner = end == spectrum_end::smallest ? out.s.front() : out.s.back(),
                       beyond = end == spectrum_end::smallest ? all.s[first - 1] : all.s[r];
            bound = std::min(std::max(unresolved, rounding), std::sqrt(2.0 * static_cast<double>(r)) * rounding
                                                                 * (1 + (inner + beyond) / std::abs(inner - beyond)));
        }
        out.error_bound = out.norm > 0 ? bound / out.norm : 0;
        out.excess_bound = static_cast<double>(r) * std::numeric_limits<double>::epsilon();
        if (!(out.error_bound <= (options.tolerance > 0 ? options.tolerance : 1e-10)))
            out.status = status::iteration_limit;
    }
    template <class C, class B, class T, class Obs, class Stop>
    static void run(B & be, cmat<B, C> a, spectrum_end end, std::size_t r, std::size_t width, std::size_t steps,
                    partial_svd_options const & options, int exponent, partial_svd_result<B, T> & out,
                    control<Obs, Stop> & ctl) {
        auto const tolerance = options.tolerance > 0 ? options.tolerance : std::same_as<C, double> ? 1e-10 : 2e-6;
        auto const norm = frobenius_norm(be, a);
        block_krylov<B, C, pointer_t<B, C const>> search(be, a, end, r, width, steps, options.seed);
        auto best = std::numeric_limits<double>::infinity();
        std::size_t idle = 0;
        for (out.rounds = 1;; ++out.rounds) {
            double held = 0; // rounding of the vectors, against all of A and against their own part
            for (std::size_t i = 0; i != r; ++i)
                held += search.squares()[i];
            auto const rounding = 8 * static_cast<double>(std::numeric_limits<C>::epsilon())
                                  * (std::sqrt(static_cast<double>(r) / static_cast<double>(std::min(a.rows, a.cols)))
                                     + std::sqrt(held) / norm);
            out.error_bound = search.error_bound() / norm + rounding;
            out.excess_bound = search.excess_bound() / (norm * norm);
            ctl.observe(
                progress{out.rounds, options.max_rounds, std::numeric_limits<double>::quiet_NaN(), out.error_bound});
            if (out.error_bound <= tolerance) {
                out.status = status::converged;
                break;
            }
            out.status = status::iteration_limit;
            auto const left = search.residual(r) / (norm * norm) * out.error_bound; // neither gets anywhere: rounding
            idle = left < 0.5 * best ? 0 : idle + 1;
            best = std::min(best, left);
            if (out.rounds == options.max_rounds || idle == 3)
                break;
            if (ctl.stop.stop_requested()) {
                out.status = status::stopped;
                break;
            }
            search.round();
        }
        out.norm = std::ldexp(norm, exponent);
        // Descending.
        auto const place = [&](std::size_t i) { return end == spectrum_end::smallest ? r - 1 - i : i; };
        auto const write = [&](mat<B, C> from, mat<B, T> to, int by) {
            auto const in = to_host(be, from, op::none, "partial_svd");
            host_matrix rows(r, in.cols());
            for (std::size_t i = 0; i != r; ++i)
                for (std::size_t j = 0; j != in.cols(); ++j)
                    rows(place(i), j) = std::ldexp(in(i, j), by);
            from_host(be, rows, op::none, to);
        };
        write(search.vectors(), out.orthonormal(), 0);
        write(search.images(), out.scaled(), exponent);
        for (std::size_t i = 0; i != r; ++i)
            out.s[place(i)] = std::ldexp(std::sqrt(search.squares()[i]), exponent);
    }
};
inline constexpr partial_svd_fn partial_svd{};

} // namespace linalg
LATHE_NAMESPACE_END
