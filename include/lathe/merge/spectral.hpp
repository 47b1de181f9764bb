#pragma once
/// \file  Merges in the singular vectors of the task vectors: TSV-M, Iso-C and Iso-CTS (docs/merging.md, 11). Matrices
///        (two extents) are merged so; any other tensor gets the mean of its task vectors.
#include <lathe/linalg/svd.hpp>
#include <lathe/merge/linear.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

/// What became of one matrix.
struct spectral_tensor {
    std::string name;      ///< its name in the pool
    std::size_t from_each; ///< triplets every model gave
    std::size_t common;    ///< triplets of the sum of the task vectors
};
/// What tsv(), iso_c() and iso_cts() did; the merged model is in the sink.
struct spectral_result {
    lathe::status status;                 ///< converged, or stopped: then nothing was written
    std::vector<spectral_tensor> tensors; ///< the matrices, in the order of the pool's rows
};

/// The task vectors of one row, one at a time, as matrices.
template <class B, real T> class task_matrices {
    model_pool const * pool_;
    model_pool::row const * row_ = nullptr;
    window_reader<B, T> model_reader_, base_reader_;

    static constexpr auto difference = [](auto const & x, auto const & base) { return x - base; };
    static constexpr auto add_difference = [](auto const & sum, auto const & x, auto const & base) {
        return sum + (x - base);
    };

    template <class F> void for_windows(B & be, std::size_t model, F && f) {
        auto const N = pool_->size();
        for_each_window(row_->info.count(), pool_->window(), [&](std::size_t first, std::size_t count) {
            f(first, count, model_reader_.read(be, pool_->model(model), row_->index[model], first, count),
              base_reader_.read(be, pool_->base(), row_->index[N], first, count));
        });
    }
    void expect_finite(B & be, cvec<B, T> x, std::string const & whose) const {
        if (!ops::all_finite(be, x))
            throw non_finite_error{"tensor '" + row_->info.name + "': the task vector" + whose
                                   + " holds NaN or infinity and has no singular vectors"};
    }

public:
    /// Refers to the pool, which has a base. select() comes before everything else.
    explicit task_matrices(model_pool const & pool) : pool_{&pool} {}
    /// The row that the others are about, one with two extents.
    void select(model_pool::row const & row) { row_ = &row; }

    /// How many task vectors there are (N).
    [[nodiscard]] std::size_t models() const noexcept { return pool_->size(); }
    ///@{
    /// Of the row selected.
    [[nodiscard]] std::size_t rows() const noexcept { return row_->info.extents[0]; }
    [[nodiscard]] std::size_t cols() const noexcept { return row_->info.extents[1]; }
    [[nodiscard]] std::size_t shorter_side() const noexcept { return std::min(rows(), cols()); }
    [[nodiscard]] std::string const & name() const noexcept { return row_->info.name; }
    ///@}

    /// out := theta_k - theta_0. \throws non_finite_error
    void read(B & be, std::size_t k, vec<B, T> out) {
        for_windows(be, k, [&](std::size_t first, std::size_t count, auto const & x, auto const & base) {
            ops::map<T>(be, difference, out.sub(first, count), x, base);
        });
        expect_finite(be, out, " of " + std::string{pool_->model(k).label()});
    }
    /// out := the sum of theta_k - theta_0 over all k. \throws non_finite_error
    void read_sum(B & be, vec<B, T> out) {
        ops::fill(be, T(0), out);
        for (std::size_t k = 0; k != models(); ++k)
            for_windows(be, k, [&](std::size_t first, std::size_t count, auto const & x, auto const & base) {
                auto const part = out.sub(first, count);
                ops::map<T>(be, add_difference, part, part, x, base);
            });
        expect_finite(be, out, "s' sum");
    }
};

/// Singular triplets put together from several decompositions: slots of one vector a row.
template <class B, real T> class triplet_slots {
    std::size_t rows_, cols_;
    buffer_t<B, T> left_, right_;
    std::vector<double> s_;

public:
    /// That many slots for triplets of rows x cols matrices. Values are 0, vectors are left open.
    triplet_slots(B & be, std::size_t slots, std::size_t rows, std::size_t cols)
        : rows_{rows}, cols_{cols}, left_{be.template allocate<T>(slots * rows)},
          right_{be.template allocate<T>(slots * cols)}, s_(slots) {}

    /// The first `count` triplets of r, from `slot` on. Vectors of singular values that count as 0 are arbitrary: they
    /// are left zero, so that they take no part in what follows.
    void put(B & be, std::size_t slot, std::size_t count, linalg::svd_result<B, T> & r) {
        auto const move = [&](std::size_t length, vec<B, T> from, vec<B, T> to) {
            auto const known = std::min(count, linalg::rank(r));
            ops::copy(be, cvec<B, T>(from.sub(0, known * length)), to.sub(slot * length, known * length));
            ops::fill(be, T(0), to.sub((slot + known) * length, (count - known) * length));
        };
        move(rows_, r.left_rows.view(), left_.view());
        move(cols_, r.right_rows.view(), right_.view());
        std::copy_n(r.s.begin(), count, s_.begin() + static_cast<std::ptrdiff_t>(slot));
    }
    /// Left vectors from `slot` on.
    [[nodiscard]] mat<B, T> left(std::size_t slot, std::size_t count) {
        return as_matrix(left_.view().sub(slot * rows_, count * rows_), count, rows_);
    }
    /// The singular values, slot by slot.
    [[nodiscard]] std::span<double> values() noexcept { return s_; }
    /// out := U diag(s) V^T with the polar factors U and V of the left and of the right vectors.
    void combine(B & be, vec<B, T> out) {
        auto const left = as_matrix(left_.view(), s_.size(), rows_), right = as_matrix(right_.view(), s_.size(), cols_);
        linalg::polar(be, left, left);
        linalg::polar(be, right, right);
        for (std::size_t k = 0; k != s_.size(); ++k)
            ops::scale(be, static_cast<T>(s_[k]), right.row(k));
        ops::gemm(be, op::transpose, op::none, T(1), left, right, T(0), as_matrix(out, rows_, cols_));
    }
};

/// theta_0 + scaling Delta where update(be, task_matrices, out) makes the Delta of a matrix, the mean of the task
/// vectors elsewhere. Holds the Delta of one matrix.
template <class B, real T, class Update> class spectral_recipe {
    Update update_;
    T scaling_;
    std::vector<T> mean_;
    task_matrices<B, T> tasks_;
    std::optional<buffer_t<B, T>> delta_;
    std::vector<spectral_tensor> report_;

public:
    /// Refers to the pool. \param update spectral_tensor(B &, task_matrices<B, T> &, vec<B, T> out)
    spectral_recipe(model_pool const & pool, double scaling, Update update)
        : update_{std::move(update)}, scaling_{static_cast<T>(scaling)},
          mean_(pool.size(), static_cast<T>(scaling / static_cast<double>(pool.size()))), tasks_{pool} {}

    /// Makes the window that `in` holds; the Delta of a matrix is made when its first window is asked for.
    template <class Out> void operator()(B & be, pool_reader<B, T> const & in, Out out) {
        auto const & info = in.row().info;
        if (info.extents.size() != 2) {
            ops::map<T>(be, kernels::weighted_deltas, out, in.base(), in.models(), list(mean_));
            return;
        }
        if (in.first() == 0) {
            tasks_.select(in.row());
            delta_.emplace(be.template allocate<T>(info.count()));
            report_.push_back(update_(be, tasks_, delta_->view()));
        }
        ops::map<T>(be, ops::kernels::axpy, out, scaling_, delta_->view().sub(in.first(), in.count()), in.base());
        if (in.first() + in.count() == info.count())
            delta_.reset();
    }
    /// What update said of each matrix, in order; leaves nothing.
    [[nodiscard]] std::vector<spectral_tensor> take_report() { return std::move(report_); }
};

/// Checks what the spectral methods share, runs the recipe. \throws option_error
template <real T, class B, class Update, class Obs, class Stop>
spectral_result merge_spectra(B & be, model_pool const & pool, checkpoint_sink & sink, std::string_view option,
                              double scaling, Update update, control<Obs, Stop> ctl) {
    static_cast<void>(pool.base());
    expects_option(std::isfinite(scaling), option, std::to_string(scaling), "a finite number");
    spectral_recipe<B, T, Update> recipe(pool, scaling, std::move(update));
    auto const status = write<B, T>(be, pool, recipe, sink, ctl);
    return {status, recipe.take_report()};
}

// ---- TSV-M ----------------------------------------------------------------------------------------------------------

/// Options of tsv().
struct tsv_options {
    double alpha = 1; ///< of the merged task vector; fusion_bench ignores one given without a decimal point, as its
                      ///< configuration does
};

/// The merged task vector of TSV-M for one matrix of shape m x n: the first trunc(min(m, n) (1/N)) triplets of every
/// model, their left and right vectors orthogonalised together. The product is one of doubles: 49 models leave nothing
/// of a 49 x 49.
template <class B, real T> struct tsv_update {
    /// out := Delta. \throws non_finite_error
    spectral_tensor operator()(B & be, task_matrices<B, T> & tasks, vec<B, T> out) const {
        auto const N = tasks.models();
        auto const r =
            static_cast<std::size_t>(static_cast<double>(tasks.shorter_side()) * (1.0 / static_cast<double>(N)));
        if (r == 0)
            ops::fill(be, T(0), out);
        else {
            triplet_slots<B, T> slots(be, N * r, tasks.rows(), tasks.cols());
            for (std::size_t k = 0; k != N; ++k) {
                tasks.read(be, k, out);
                auto triplets = linalg::svd(be, as_matrix(out, tasks.rows(), tasks.cols()));
                slots.put(be, k * r, r, triplets);
            }
            slots.combine(be, out);
        }
        return {tasks.name(), r, 0};
    }
};

/// Writes theta_0 + alpha U diag(s) V^T for every matrix (TSV-Merge; Gargiulo et al., Task singular vectors, 2025).
///
/// Where vectors of different models depend on each other the polar factor is the partial isometry, and a task vector
/// of lower rank gives fewer triplets; the published code takes arbitrary directions there. Time: N + 2 decompositions
/// of each matrix. Memory: one task vector, one decomposition and min(m, n) triplets of one matrix, whatever N. Every
/// checkpoint is read twice.
/// \throws option_error, also without a base; non_finite_error for a matrix whose task vector is not finite
template <real T = float, class B, class Obs = no_observer, class Stop = never_stop>
    requires matrix_space<B, T>
spectral_result tsv(B & be, model_pool const & pool, checkpoint_sink & sink, tsv_options const & options = {},
                    control<Obs, Stop> ctl = {}) {
    return merge_spectra<T>(be, pool, sink, "alpha", options.alpha, tsv_update<B, T>{}, ctl);
}

// ---- Iso-C ----------------------------------------------------------------------------------------------------------

/// Options of iso_c().
struct iso_c_options {
    double scaling = 1; ///< of the merged task vector
};

/// The sum of the task vectors with every singular value replaced by their mean. Directions in which the sum is 0 stay
/// 0.
template <class B, real T> struct iso_c_update {
    /// out := Delta. \throws non_finite_error
    spectral_tensor operator()(B & be, task_matrices<B, T> & tasks, vec<B, T> out) const {
        tasks.read_sum(be, out);
        auto const sum = as_matrix(out, tasks.rows(), tasks.cols());
        auto triplets = linalg::svd(be, sum);
        auto const count = triplets.s.size();
        linalg::isometry(be, triplets, sum);
        ops::scale(
            be, static_cast<T>(std::accumulate(triplets.s.begin(), triplets.s.end(), 0.0) / static_cast<double>(count)),
            out);
        return {tasks.name(), 0, count};
    }
};

/// Writes theta_0 + scaling times the isotropic sum of the task vectors for every matrix (Iso-C; Marczak et al., No
/// task left behind, 2025). Time: one decomposition of each matrix. Memory: one matrix and its decomposition. Every
/// checkpoint is read twice. \throws option_error, also without a base; non_finite_error for a matrix whose task
/// vectors' sum is not finite
template <real T = float, class B, class Obs = no_observer, class Stop = never_stop>
    requires matrix_space<B, T>
spectral_result iso_c(B & be, model_pool const & pool, checkpoint_sink & sink, iso_c_options const & options = {},
                      control<Obs, Stop> ctl = {}) {
    return merge_spectra<T>(be, pool, sink, "scaling", options.scaling, iso_c_update<B, T>{}, ctl);
}

// ---- Iso-CTS --------------------------------------------------------------------------------------------------------

/// Options of iso_cts().
struct iso_cts_options {
    double scaling = 1;                 ///< of the merged task vector
    double common_space_fraction = 0.8; ///< of the directions: taken from the sum of the task vectors; in [0, 1]
};

/// How Iso-CTS shares out s directions among the sum of N task vectors and each of them: fraction s to the sum, rounded
/// so that the rest divides by N (half to even; down where the sum would be left with less than none).
inline spectral_tensor iso_cts_share(std::string name, std::size_t s, double fraction, std::size_t N) {
    auto const wanted = static_cast<std::size_t>(static_cast<double>(s) * fraction);
    auto each = static_cast<std::size_t>(std::nearbyint(static_cast<double>(s - wanted) / static_cast<double>(N)));
    if (each * N > s)
        each = s / N;
    return {std::move(name), each, s - each * N};
}

/// Directions of the sum of the task vectors, and of each task vector those that the former leave, orthogonalised
/// together; every value is the mean of all of them. Unique where the singular values are distinct.
template <class B, real T> struct iso_cts_update {
    double fraction; ///< common_space_fraction

    /// out := Delta. \throws non_finite_error
    spectral_tensor operator()(B & be, task_matrices<B, T> & tasks, vec<B, T> out) const {
        auto const N = tasks.models(), m = tasks.rows(), n = tasks.cols(), s = tasks.shorter_side();
        auto share = iso_cts_share(tasks.name(), s, fraction, N);
        auto const common = share.common, each = share.from_each;
        auto const matrix = as_matrix(out, m, n);
        triplet_slots<B, T> slots(be, s, m, n);
        if (common != 0) {
            tasks.read_sum(be, out);
            auto triplets = linalg::svd(be, matrix);
            slots.put(be, N * each, common, triplets);
        }
        auto projection = be.template allocate<T>(common * n);
        for (std::size_t k = 0; each != 0 && k != N; ++k) {
            tasks.read(be, k, out);
            if (common != 0) {
                auto const basis = slots.left(N * each, common);
                auto const coordinates = as_matrix(projection.view(), common, n);
                ops::gemm(be, op::none, op::none, T(1), basis, matrix, T(0), coordinates);
                ops::gemm(be, op::transpose, op::none, T(-1), basis, coordinates, T(1), matrix);
            }
            auto triplets = linalg::svd(be, matrix);
            slots.put(be, k * each, each, triplets);
        }
        std::ranges::fill(slots.values(),
                          std::accumulate(slots.values().begin(), slots.values().end(), 0.0) / static_cast<double>(s));
        slots.combine(be, out);
        return share;
    }
};

/// Writes theta_0 + scaling times the isotropic merge in common and task-specific subspaces for every matrix (Iso-CTS;
/// Marczak et al. 2025). Time: N + 3 decompositions of each matrix. Memory: one matrix, its decomposition and min(m, n)
/// triplets, whatever N. Every checkpoint is read up to three times.
/// \throws option_error, also without a base; non_finite_error for a matrix whose task vectors are not finite
template <real T = float, class B, class Obs = no_observer, class Stop = never_stop>
    requires matrix_space<B, T>
spectral_result iso_cts(B & be, model_pool const & pool, checkpoint_sink & sink, iso_cts_options const & options = {},
                        control<Obs, Stop> ctl = {}) {
    auto const fraction = options.common_space_fraction;
    expects_option(fraction >= 0 && fraction <= 1, "common_space_fraction", std::to_string(fraction),
                   "a number in [0, 1]");
    return merge_spectra<T>(be, pool, sink, "scaling", options.scaling, iso_cts_update<B, T>{fraction}, ctl);
}

} // namespace merge
LATHE_NAMESPACE_END
