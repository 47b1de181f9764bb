#pragma once
/// \file  The singular triplets at one end of the spectrum, with a bound of the error, and without the others.
#include <lathe/core/control.hpp>
#include <lathe/linalg/spd_panels.hpp>
#include <lathe/linalg/svd.hpp>

#include <optional>
#include <variant>

LATHE_NAMESPACE_BEGIN
namespace linalg {

/// Which end of the spectrum is wanted.
enum class spectrum_end : unsigned char {
    largest, ///< the largest singular values
    smallest ///< the smallest, zeros included
};

/// What the iteration computes in.
enum class arithmetic : unsigned char {
    widest, ///< vectors in double where the backend computes in double; the Gram matrix, which only guides, in float
    same    ///< all of it that of the elements: where double is slow. Bounds down to some 1e-6, 1e-4 for graded spectra
};
/// How partial_svd goes about it.
enum class svd_method : unsigned char {
    automatic, ///< iteration where it is the faster one
    full,      ///< the whole decomposition
    iteration  ///< block_krylov, however many triplets are wanted
};

/// Options of partial_svd.
struct partial_svd_options {
    double tolerance = 0;        ///< of the bound; 0: 1e-10 in double, 2e-6 in float
    std::size_t max_rounds = 24; ///< of the iteration
    lathe::linalg::arithmetic arithmetic = lathe::linalg::arithmetic::widest; ///< of the iteration
    svd_method method = svd_method::automatic; ///< full, iteration, or the faster of both
    std::uint64_t seed = 0;                    ///< of the start of the iteration
};

/// r triplets of a matrix A, as the sum of their products: left^T right. A row of `left` or `right` belongs to one
/// triplet. One side is orthonormal, the other carries the singular values.
template <class B, real T> struct partial_svd_result {
    std::size_t rows,          ///< of A
        cols;                  ///< of A
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

    /// r x rows: left singular vectors, times their values unless right_orthonormal.
    [[nodiscard]] mat<B, T> left() { return as_matrix(left_rows.view(), s.size(), rows); }
    /// r x cols: right singular vectors, times their values if right_orthonormal.
    [[nodiscard]] mat<B, T> right() { return as_matrix(right_rows.view(), s.size(), cols); }
    /// The side that is orthonormal, and the side that carries the values.
    [[nodiscard]] mat<B, T> orthonormal() { return right_orthonormal ? right() : left(); }
    /// The rows of the other side, of lengths s.
    [[nodiscard]] mat<B, T> scaled() { return right_orthonormal ? left() : right(); }
};

namespace kernels {
/// A number in [0, 1) less one half: elements of a random block.
inline constexpr auto centred = [](auto const & u) { return u - 0.5f; };
/// Sum of squares.
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
    std::vector<double> values; ///< descending
    host_matrix rows;           ///< one eigenvector each
    /// Of a, by the one-sided Jacobi method, serially.
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

/// Rows of y := as many orthonormal rows as y spans beside the rows of `basis`, which are orthonormal, in front: by the
/// Cholesky factor of the Gram matrix where its pivots are large, else by its eigenvectors, which any rank leaves
/// stable (Stathopoulos and Wu 2002). `scratch` is as large as y. Time: 3 times 4 c b k + 2 b^2 k in products.
/// \returns their number \throws non_finite_error
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
        auto count = n;
        auto t = gram;
        bool regular = invert_factor(t);
        for (std::size_t i = 0; i != n && regular; ++i)
            regular = t(i, i) < 1e3; // one over the root of the pivot: digits that one pass loses
        if (!regular) {
            host_eigenvectors const e(std::move(gram));
            count = 0;
            while (count != n && e.values[count] > static_cast<double>(n) * eps * e.values[0] && e.values[count] > 0)
                ++count;
            if (count == 0)
                return count;
            t = host_matrix(count, n);
            for (std::size_t i = 0; i != count; ++i)
                for (std::size_t j = 0; j != n; ++j)
                    t(i, j) = e.rows(i, j) / std::sqrt(e.values[i]);
        }
        for (std::size_t i = 0; i != count; ++i)
            for (std::size_t j = 0; j != n; ++j)
                t(i, j) *= scale[j];
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

/// to := from, element by element, between types. Blocks where pointers are not plain.
template <class B, class P, class Q> void convert(B & be, mat_view<P> from, mat_view<Q> to, double factor = 1) {
    using T = std::remove_const_t<pointee_t<P>>;
    using C = pointee_t<Q>;
    std::vector<T> in(host_addressable<B, T> ? 0 : from.cols);
    std::vector<C> out(host_addressable<B, C> ? 0 : from.cols);
    for (std::size_t i = 0; i != from.rows; ++i) {
        T const * source = in.data();
        C * target = out.data();
        if constexpr (host_addressable<B, T>)
            source = from.data + i * from.ld;
        else
            be.download(cvec<B, T>(from.row(i)), std::span<T>{in});
        if constexpr (host_addressable<B, C>)
            target = to.data + i * to.ld;
        for (std::size_t j = 0; j != from.cols; ++j)
            target[j] = static_cast<C>(static_cast<double>(source[j]) * factor);
        if constexpr (!host_addressable<B, C>)
            be.upload(std::span<C const>{out}, to.row(i));
    }
}
/// A copy of `a` as elements of C, each times `factor`. Blocks where pointers are not plain.
template <class C, class B, class P> buffer_t<B, C> converted(B & be, mat_view<P> a, double factor) {
    auto out = be.template allocate<C>(a.rows * a.cols);
    convert(be, a, as_matrix(out.view(), a.rows, a.cols), factor);
    return out;
}

/// (G - shift I)^-1 of the Gram matrix G = op(A) op(A)^T, in arithmetic of S, for vectors of any type. The shift is
/// below every eigenvalue of G, as the Cholesky factorisation shows, or just above -0.
template <class B, real S> class gram_inverse {
    lower_panels<B, S> gram_;
    spd_panels<B, S> inverse_;
    std::optional<spd_panels<B, S>> spare_;
    std::optional<buffer_t<B, S>> vectors_, scratch_; // for vectors of another type
    double shift_ = 0, largest_diagonal_ = 0;

public:
    /// \throws non_finite_error
    template <class P>
    gram_inverse(B & be, mat_view<P> a, bool tall)
        : gram_(be, std::min(a.rows, a.cols)), inverse_(be, std::min(a.rows, a.cols)) {
        gram_panels(be, cmat<B, S>(a), tall ? op::none : op::transpose, gram_);
        for (std::size_t p = 0; p != gram_.count(); ++p) {
            auto const block = to_host(be, gram_.panel(p).first_rows(gram_.cols(p)), op::none, "partial_svd");
            for (std::size_t i = 0; i != block.rows(); ++i)
                largest_diagonal_ = std::max(largest_diagonal_, block(i, i));
        }
        auto shift = 0.0;
        while (!inverse_.factor(be, gram_, shift))
            shift = std::max(4 * shift, static_cast<double>(std::numeric_limits<S>::epsilon()) * largest_diagonal_);
        shift_ = -shift;
    }
    /// What is subtracted from the diagonal of G.
    [[nodiscard]] double shift() const noexcept { return shift_; }
    /// How far rounding has moved the matrix that is inverted: an estimate, generous for random errors.
    [[nodiscard]] double blur() const noexcept {
        return 4 * std::sqrt(static_cast<double>(gram_.size())) * static_cast<double>(std::numeric_limits<S>::epsilon())
               * largest_diagonal_;
    }
    /// \returns whether G - tau I is positive; then it is what is inverted from now on
    bool move_to(B & be, double tau) {
        if (!spare_)
            spare_.emplace(be, gram_.size());
        if (!spare_->factor(be, gram_, -tau))
            return false;
        std::swap(inverse_, *spare_);
        shift_ = tau;
        return true;
    }
    /// Every row of x := (G - shift I)^-1 of it. `scratch` is as large as x.
    template <real C> void solve(B & be, mat<B, C> x, mat<B, C> scratch) {
        if constexpr (std::same_as<C, S>)
            inverse_.solve(be, x, scratch);
        else {
            auto const n = x.rows * x.cols;
            if (!vectors_ || vectors_->view().n < n) {
                vectors_.emplace(be.template allocate<S>(n));
                scratch_.emplace(be.template allocate<S>(n));
            }
            auto const y = as_matrix(vectors_->view().sub(0, n), x.rows, x.cols);
            convert(be, x, y);
            inverse_.solve(be, y, as_matrix(scratch_->view().sub(0, n), x.rows, x.cols));
            convert(be, y, x);
        }
    }
};

/// Block Krylov iteration for one end of the spectrum of A, which has l x k elements as op(A), k <= l; vectors are rows
/// of k, of type C. Rounds of q steps with Rayleigh-Ritz on A itself, not on its Gram matrix; for the small end every
/// step solves with the factored Gram matrix. That matrix only speeds the iteration up: what its arithmetic blurs in
/// it, or a shift changes, costs steps and no accuracy. So it is computed in float where there is a choice; should
/// that be too coarse for the spectrum, in C.
template <class B, real C, class P> class block_krylov {
    using coarse = gram_inverse<B, float>;
    static constexpr bool has_coarse = matrix_space<B, float> && !std::same_as<C, float>;

    B & be_;
    mat_view<P> a_;
    bool tall_, small_;
    std::size_t k_, l_, wanted_, width_, steps_;
    buffer_t<B, C> basis_, images_, next_, scratch_, next_images_, residual_rows_;
    std::optional<std::conditional_t<has_coarse, coarse, std::monostate>> coarse_inverse_;
    std::optional<gram_inverse<B, C>> inverse_; // used if it is there
    std::optional<buffer_t<B, C>> direction_, image_, choice_;
    std::vector<double> squares_, residuals_; // of the block, in the order of preference
    std::vector<double> solved_;              // r^T (G - shift I)^-1 r for every residual r
    std::size_t held_ = 0;                    // rows of the block
    std::uint64_t seed_;
    std::uint32_t draws_ = 0;
    double too_far_ = std::numeric_limits<double>::infinity(); // a shift that was refused
    std::size_t waited_ = 0;                                   // rounds with the same matrix

    static mat<B, C> rows_of(buffer_t<B, C> & b, std::size_t first, std::size_t count, std::size_t cols) {
        return as_matrix(b.view().sub(first * cols, count * cols), count, cols);
    }
    void apply(mat<B, C> x, mat<B, C> image) {
        ops::gemm(be_, op::none, tall_ ? op::transpose : op::none, C(1), x, a_, C(0), image);
    }
    void apply_transposed(mat<B, C> image, mat<B, C> x) {
        ops::gemm(be_, op::none, tall_ ? op::none : op::transpose, C(1), image, a_, C(0), x);
    }
    template <class F> decltype(auto) with_inverse(F && f) {
        if constexpr (has_coarse)
            if (!inverse_)
                return f(*coarse_inverse_);
        return f(*inverse_);
    }
    template <class F> decltype(auto) with_inverse(F && f) const {
        return const_cast<block_krylov *>(this)->with_inverse([&](auto const & m) { return f(m); });
    }
    void solve(mat<B, C> x, mat<B, C> scratch) {
        with_inverse([&](auto & m) { m.solve(be_, x, scratch); });
    }
    [[nodiscard]] double shift() const {
        return with_inverse([](auto const & m) { return m.shift(); });
    }
    [[nodiscard]] double blur() const {
        return with_inverse([](auto const & m) { return m.blur(); });
    }
    void draw(vec<B, C> x) { ops::map<C>(be_, kernels::centred, x, random::uniform_stream{seed_, draws_++, 0}); }
    /// Factors G - tau I if that is far enough from what is there, below every eigenvalue by all we know.
    /// \returns whether it did
    bool move_shift() {
        auto const last = squares_.back(), at = squares_[wanted_ - 1];
        auto const near = std::min(2 * residuals_[0], 0.25 * (last - squares_[0]));
        auto const tau = squares_[0] - near - blur();
        auto const gain = [&](double s) { return std::log((last - s) / (at - s)); };
        if (residuals_[0] > 0.5 * squares_[0] || !(tau > shift() && tau < too_far_ && last > at && at > tau)
            || gain(tau) < 1.3 * gain(shift()))
            return false;
        bool const moved = with_inverse([&](auto & m) { return m.move_to(be_, tau); });
        if (!moved)
            too_far_ = tau;
        return moved;
    }
    /// The block, of which there are rows in basis_, := the best Ritz vectors of (G - shift I)^-1 in the Krylov space
    /// of `steps_` steps: as far as that matrix goes, and without a product with A. squares_ := their values.
    void explore() {
        auto count = held_, fresh = held_;
        auto const spare = rows_of(scratch_, 0, width_, k_);
        std::size_t imaged = 0;
        for (std::size_t step = 0; fresh != 0; ++step) {
            auto const y = rows_of(next_, 0, fresh, k_);
            ops::copy(be_, basis_.view().sub(imaged * k_, fresh * k_), next_.view().sub(0, fresh * k_));
            solve(y, spare.first_rows(fresh));
            ops::copy(be_, next_.view().sub(0, fresh * k_), images_.view().sub(imaged * k_, fresh * k_));
            imaged += fresh;
            if (step == steps_)
                break;
            fresh = orthonormalise_rows<B, C>(be_, rows_of(basis_, 0, count, k_), y, spare.first_rows(fresh));
            ops::copy(be_, next_.view().sub(0, fresh * k_), basis_.view().sub(count * k_, fresh * k_));
            count += fresh;
        }
        auto memory = be_.template allocate<C>(count * count);
        auto const inner = as_matrix(memory.view(), count, count);
        ops::gemm(be_, op::none, op::transpose, C(1), rows_of(basis_, 0, count, k_), rows_of(images_, 0, count, k_),
                  C(0), inner);
        auto h = to_host(be_, inner, op::none, "partial_svd");
        for (std::size_t i = 0; i != count; ++i)
            for (std::size_t j = 0; j != i; ++j)
                h(i, j) = h(j, i) = 0.5 * (h(i, j) + h(j, i));
        host_eigenvectors const e(std::move(h));
        held_ = std::min(width_, count);
        squares_.resize(held_);
        for (std::size_t i = 0; i != held_; ++i)
            squares_[i] = e.values[i] > 0 ? shift() + 1 / e.values[i] : std::numeric_limits<double>::infinity();
        choose(e, 0, count);
    }
    /// The first rows of the basis := combinations of its first `count`, by the eigenvectors from `first` on.
    void choose(host_eigenvectors const & e, std::size_t first, std::size_t count, bool backwards = false) {
        host_matrix chosen(held_, count);
        for (std::size_t i = 0; i != held_; ++i)
            std::copy_n(e.rows.row(backwards ? first - i : first + i), count, chosen.row(i));
        choice_.emplace(be_.template allocate<C>(held_ * count));
        from_host(be_, chosen, op::none, as_matrix(choice_->view(), held_, count));
        combine(basis_, next_, count, k_);
    }
    void combine(buffer_t<B, C> & of, buffer_t<B, C> & by_way, std::size_t count, std::size_t cols) {
        ops::gemm(be_, op::none, op::none, C(1), as_matrix(choice_->view(), held_, count), rows_of(of, 0, count, cols),
                  C(0), rows_of(by_way, 0, held_, cols));
        ops::copy(be_, by_way.view().sub(0, held_ * cols), of.view().sub(0, held_ * cols));
    }
    /// The block := the best Ritz vectors in the first `count` rows of the basis, of which the images are there.
    void rayleigh_ritz(std::size_t count) {
        host_eigenvectors const e(gram_of_rows(to_host(be_, rows_of(images_, 0, count, l_), op::none, "partial_svd")));
        held_ = std::min(width_, count);
        squares_.resize(held_);
        for (std::size_t i = 0; i != held_; ++i)
            squares_[i] = e.values[small_ ? count - 1 - i : i];
        choose(e, small_ ? count - 1 : 0, count, small_);
        if (small_) // what is small must not be the difference of what is not
            apply(rows_of(basis_, 0, held_, k_), rows_of(images_, 0, held_, l_));
        else
            combine(images_, next_images_, count, l_);
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
            solve(r, rows_of(scratch_, 0, held_, k_));
            for (std::size_t i = 0; i != held_; ++i)
                solved_.push_back(std::max(0.0, ops::dot(be_, kept.row(i), r.row(i))));
        }
    }

    /// next_ := (G - shift I)^-1 r again, for another shift or arithmetic.
    void restart() {
        ops::copy(be_, residual_rows_.view().sub(0, held_ * k_), next_.view().sub(0, held_ * k_));
        solve(rows_of(next_, 0, held_, k_), rows_of(scratch_, 0, held_, k_));
    }
    /// next_ := about (G - theta_i^2 I)^-1 r_i for every residual, beside the block's vectors: some steps of
    /// Chebyshev's semi-iteration with the factored matrix (Jacobi and Davidson's correction; Saad 2003,
    /// algorithm 12.1). For wide blocks, which have no room for a Krylov space.
    void correct() {
        if (!direction_) {
            direction_.emplace(be_.template allocate<C>(width_ * k_));
            image_.emplace(be_.template allocate<C>(width_ * k_));
        }
        auto const n = held_ * k_;
        auto const basis = rows_of(basis_, 0, held_, k_), rest = rows_of(next_, 0, held_, k_),
                   p = rows_of(*direction_, 0, held_, k_), t = rows_of(*image_, 0, held_, k_),
                   spare = rows_of(scratch_, 0, held_, k_);
        auto memory = be_.template allocate<C>(held_ * held_);
        auto const overlap = as_matrix(memory.view(), held_, held_);
        auto const project = [&](mat<B, C> x) {
            ops::gemm(be_, op::none, op::transpose, C(1), x, basis, C(0), overlap);
            ops::gemm(be_, op::none, op::none, C(-1), overlap, basis, C(1), x);
        };
        auto const from = shift(), last = squares_.back() - from;
        struct interval {
            double centre, radius, rho;
        };
        std::vector<interval> of(held_); // of the eigenvalues 1 - (theta^2 - shift) / (sigma^2 - shift) beyond
        project(rest);
        ops::fill(be_, C(0), residual_rows_.view().sub(0, n));
        double slowest = 0;
        for (std::size_t i = 0; i != held_; ++i) {
            auto const low = last > 0 ? std::clamp(1 - (squares_[i] - from) / last, 0.05, 0.9) : 0.9;
            of[i] = {(1 + low) / 2, (1 - low) / 2, (1 - low) / (1 + low)};
            if (i < wanted_)
                slowest = std::max(slowest, (1 - std::sqrt(low)) / (1 + std::sqrt(low)));
            ops::copy(be_, rest.row(i), p.row(i));
            ops::scale(be_, static_cast<C>(1 / of[i].centre), p.row(i));
        }
        auto const iterations =
            static_cast<std::size_t>(std::clamp(std::ceil(std::log(1e-3) / std::log(slowest)), 1., 12.));
        for (std::size_t it = 0; it != iterations; ++it) {
            ops::axpy(be_, C(1), direction_->view().sub(0, n), residual_rows_.view().sub(0, n));
            if (it + 1 == iterations)
                break;
            ops::copy(be_, direction_->view().sub(0, n), image_->view().sub(0, n));
            solve(t, spare);
            for (std::size_t i = 0; i != held_; ++i)
                ops::axpby(be_, C(-1), p.row(i), static_cast<C>(squares_[i] - from), t.row(i)); // -(image of p)
            ops::axpy(be_, C(1), image_->view().sub(0, n), next_.view().sub(0, n));
            project(rest);
            for (std::size_t i = 0; i != held_; ++i) {
                auto const rho = 1 / (2 * of[i].centre / of[i].radius - of[i].rho);
                ops::axpby(be_, static_cast<C>(2 * rho / of[i].radius), rest.row(i), static_cast<C>(rho * of[i].rho),
                           p.row(i));
                of[i].rho = rho;
            }
        }
        ops::copy(be_, residual_rows_.view().sub(0, n), next_.view().sub(0, n));
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
            auto const image = weighted * std::max(1.0, 1 + (blur() - shift()) / beyond);
            best = std::min(best, square(image / beyond, image));
        }
        return inflation * std::sqrt(best);
    }

public:
    /// What `a` is in float; nothing where C is float, or if a is to be converted.
    using coarse_matrix = std::optional<std::conditional_t<has_coarse, cmat<B, float>, std::monostate>>;

    /// A random start of `width` vectors for the `wanted` triplets at an end of the spectrum of `a`, which is not
    /// copied; a round takes `steps` steps. The small end factors the Gram matrix here. \pre wanted <= width <= the
    /// shorter side
    /// \throws non_finite_error
    block_krylov(B & be, mat_view<P> a, [[maybe_unused]] coarse_matrix const & in_float, spectrum_end end,
                 std::size_t wanted, std::size_t width, std::size_t steps, std::uint64_t seed)
        : be_{be}, a_{a}, tall_{a.cols < a.rows}, small_{end == spectrum_end::smallest}, k_{std::min(a.rows, a.cols)},
          l_{std::max(a.rows, a.cols)}, wanted_{wanted}, width_{width}, steps_{steps},
          basis_{be.template allocate<C>(width * (steps + 1) * k_)},
          images_{be.template allocate<C>(width * (steps + 1) * l_)}, next_{be.template allocate<C>(width * k_)},
          scratch_{be.template allocate<C>(width * k_)}, next_images_{be.template allocate<C>(small_ ? 0 : width * l_)},
          residual_rows_{be.template allocate<C>(small_ ? width * k_ : 0)}, seed_{seed} {
        if (small_) {
            if constexpr (has_coarse)
                if (k_ >= 512) { // below, double costs nothing
                    if (in_float)
                        coarse_inverse_.emplace(be, *in_float, tall_);
                    else {
                        auto copy = converted<float>(be, a_, 1);
                        coarse_inverse_.emplace(be, cmat<B, float>(as_matrix(copy.view(), a.rows, a.cols)), tall_);
                    }
                }
            if (!coarse_inverse_)
                inverse_.emplace(be, a_, tall_);
        }
        auto const start = rows_of(next_, 0, width_, k_), spare = rows_of(scratch_, 0, width_, k_);
        if (width_ == k_) { // everything: no draw is as good as the axes
            host_matrix axes(k_, k_);
            for (std::size_t i = 0; i != k_; ++i)
                axes(i, i) = 1;
            from_host(be_, axes, op::none, start);
        } else
            draw(next_.view());
        std::size_t const powers = !small_ || width_ == k_ ? 0 : steps_ == 1 ? 3 : 1;
        held_ = width_;
        for (std::size_t i = 0; i <= powers && held_ != 0; ++i) {
            if (i != 0)
                solve(start.first_rows(held_), spare.first_rows(held_));
            if (i != 0 || powers == 0)
                held_ = orthonormalise_rows<B, C>(be_, start.first_rows(0), start.first_rows(held_), spare);
        }
        ops::copy(be_, next_.view().sub(0, held_ * k_), basis_.view().sub(0, held_ * k_));
        while (held_ != width_) { // directions that rounding has taken from it
            auto const more = rows_of(next_, 0, width_ - held_, k_);
            draw(next_.view().sub(0, more.rows * k_));
            auto const fresh = orthonormalise_rows<B, C>(be_, rows_of(basis_, 0, held_, k_), more, spare);
            ops::copy(be_, next_.view().sub(0, fresh * k_), basis_.view().sub(held_ * k_, fresh * k_));
            held_ += fresh;
        }
        if (powers == 1 && steps_ != 0) {
            explore();
            for (bool moved = true; moved;) {
                residuals_.assign(1, 0.08 * (squares_.back() - squares_[0])); // about how far a value may still fall
                moved = move_shift();
                if (moved)
                    explore();
            }
        }
        apply(rows_of(basis_, 0, held_, k_), rows_of(images_, 0, held_, l_));
        rayleigh_ritz(held_);
        compute_residuals();
    }

    /// Whether the Gram matrix is in float although vectors are not, and has had its time.
    [[nodiscard]] bool may_refine() const noexcept { return small_ && !inverse_ && waited_ >= 3; }
    /// The Gram matrix in C.
    void refine() {
        coarse_inverse_.reset();
        inverse_.emplace(be_, a_, tall_);
        restart();
        waited_ = 0;
    }
    /// Of no more steps than there is room for.
    void round(std::size_t steps) {
        auto count = held_, fresh = held_;
        ++waited_;
        if (small_ && move_shift()) {
            restart();
            waited_ = 0;
        }
        if (small_ && steps_ == 1)
            correct();
        for (std::size_t step = 0; step != steps && fresh != 0; ++step) {
            auto const y = rows_of(next_, 0, fresh, k_), spare = rows_of(scratch_, 0, fresh, k_);
            if (small_ && step != 0)
                solve(y, spare);
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
    /// |A^T A x - theta^2 x| of the first `count` Ritz pairs together.
    [[nodiscard]] double residual(std::size_t count) const {
        double sum = 0;
        for (std::size_t i = 0; i != std::min(count, held_); ++i)
            sum += residuals_[i] * residuals_[i];
        return std::sqrt(sum);
    }
    /// Vectors in the block; fewer than its width if rounding has taken some.
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

    /// wanted x the shorter side: the Ritz vectors x_i, orthonormal.
    [[nodiscard]] mat<B, C> vectors() { return rows_of(basis_, 0, wanted_, k_); }
    /// wanted x the longer side: their products with A.
    [[nodiscard]] mat<B, C> images() { return rows_of(images_, 0, wanted_, l_); }
};

/// partial_svd(be, a, end, r, options, ctl): the r largest or smallest singular triplets of a, found without the others
/// and with a bound of the error that was computed, not hoped for.
///
/// The bound rests on residuals, and on the assumption that the iteration, which starts from a random block, has missed
/// no vector: the probability of that is 0. It is of the exact left^T right for the given A, before rounding to T.
/// Where the value at the cut is (nearly) that of its neighbour beyond, the exact triplets are (nearly) undetermined:
/// then error_bound stays above the tolerance, and excess_bound says how good a choice of r triplets this is.
///
/// Time of the small end, with b = r + max(8, r / 4) vectors and q = 3 steps (fewer where b is large): once k^2 l +
/// k^3 / 3 for the Gram matrix and its factor, in float from k = 512 on, and that in double only if float turns out too
/// coarse for the spectrum; k^3 / 3 for every shift, of which wide and tall matrices need one or two; and 2 (q + 2) b k
/// l
/// + 2 q b k^2 a round, all in products of matrices. Of the large end 4 q b k l a round, q = 7. Two to five rounds are
/// usual. Memory: k^2 (the small end) + (q + 1) b (k + l) elements, and A in double if it is not.
/// Matrices with a short side, or of which much is wanted, are decomposed as a whole (svd).
///
/// Progress: after every round, with the bound as residual; a stop leaves what there is. r is from 1 to the shorter
/// side. \throws option_error, non_finite_error
struct partial_svd_fn {
    /// \see partial_svd_fn for what is computed and at what price
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
                                     a.cols < a.rows,
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
                    run<C>(be, cmat<B, C>(a), {}, end, r, width, steps, options, 0, out, ctl);
                    return;
                }
            }
            copy.emplace(converted<C>(be, a, std::ldexp(1.0, -exponent)));
            typename block_krylov<B, C, pointer_t<B, C const>>::coarse_matrix in_float;
            if constexpr (!std::same_as<C, T> && std::same_as<T, float>)
                if (exponent == 0)
                    in_float.emplace(cmat<B, T>(a));
            run<C>(be, cmat<B, C>(as_matrix(copy->view(), a.rows, a.cols)), in_float, end, r, width, steps, options,
                   exponent, out, ctl);
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
    static void run(B & be, cmat<B, C> a,
                    typename block_krylov<B, C, pointer_t<B, C const>>::coarse_matrix const & in_float,
                    spectrum_end end, std::size_t r, std::size_t width, std::size_t steps,
                    partial_svd_options const & options, int exponent, partial_svd_result<B, T> & out,
                    control<Obs, Stop> & ctl) {
        auto const tolerance = options.tolerance > 0 ? options.tolerance : std::same_as<C, double> ? 1e-10 : 2e-6;
        auto const norm = frobenius_norm(be, a);
        block_krylov<B, C, pointer_t<B, C const>> search(be, a, in_float, end, r, width, steps, options.seed);
        auto best = std::numeric_limits<double>::infinity();
        auto before = best;
        auto last = steps;
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
            if (search.may_refine() && !(out.error_bound < 0.2 * before)) // too coarse
                search.refine();
            auto next = steps;
            if (end == spectrum_end::largest && out.error_bound < before && before < 1) { // at the rate of the last
                auto const rate = std::log(before / out.error_bound) / static_cast<double>(last);
                auto const needed = std::ceil(std::log(out.error_bound / tolerance) / rate) + 1;
                next = needed < static_cast<double>(steps) ? static_cast<std::size_t>(needed) : steps;
            }
            before = out.error_bound;
            last = next;
            search.round(next);
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
/// The r largest or smallest singular triplets, with a bound of their error: partial_svd_fn.
inline constexpr partial_svd_fn partial_svd{};

} // namespace linalg
LATHE_NAMESPACE_END
