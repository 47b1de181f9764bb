#pragma once
/// \file  RegMean (Jin et al., Dataless knowledge fusion, 2023; docs/merging.md, 9): linear layers merged so that,
///        together, they answer their inputs as the models did.
#include <lathe/linalg/cholesky.hpp>
#include <lathe/merge/linear.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

/// Options of regmean().
struct regmean_options {
    double reduce_non_diagonal_ratio = 1; ///< factor of the off-diagonal elements of every Gram matrix (rho); in [0, 1]
    bool weight_transpose =
        true;         ///< weights are [outputs, inputs], as of a linear layer; false: [inputs, outputs], as of Conv1D
    double ridge = 0; ///< added to the diagonal of each sum of Gram matrices, times its mean diagonal element; 0: none
};

/// What became of one layer.
struct regmean_layer {
    std::string name;      ///< of the weight
    double ridge;          ///< that was added to the diagonal
    double smallest_pivot; ///< of the factorisation: the part of one input that the others do not determine. Near 0,
                           ///< distrust it
};
/// What regmean() did; the merged model is in the sink.
struct regmean_result {
    lathe::status status;              ///< converged, or stopped: then nothing was written
    std::vector<regmean_layer> layers; ///< in the order of the pool's rows; the other tensors were averaged
};

/// Gram matrices of the models, one checkpoint each, by the rows of the pool they belong to. A Gram matrix (the mean of
/// x x^T over the inputs x of a layer) is named as the weight or as the weight without ".weight".
class gram_pool {
    std::vector<checkpoint *> sources_;
    std::vector<std::optional<std::string>> names_; // by row

public:
    /// \throws option_error if there are not as many as models; mismatch_error if the Gram matrices do not fit the
    /// weights, a model lacks one that another has, or a name fits no tensor
    gram_pool(model_pool const & pool, std::span<checkpoint * const> grams, bool weight_transpose)
        : sources_(grams.begin(), grams.end()), names_(pool.rows().size()) {
        expects_option(sources_.size() == pool.size(), "grams", std::to_string(sources_.size()),
                       "one checkpoint for each of " + std::to_string(pool.size()) + " models");
        for (auto * const source : sources_)
            for (auto const & t : source->tensors()) {
                auto const where = std::string{source->label()} + ": Gram matrix '" + t.name + "' ";
                if (!pool.reference().find(t.name) && !pool.reference().find(t.name + ".weight"))
                    throw mismatch_error{where + "belongs to no tensor of " + std::string{pool.reference().label()}};
                auto const row = row_of(pool, t.name);
                if (!row)
                    continue;
                auto const & weight = pool.rows()[*row].info;
                if (names_[*row] && *names_[*row] != t.name)
                    throw mismatch_error{where + "is the second of tensor '" + weight.name + "', beside '"
                                         + *names_[*row] + "'"};
                names_[*row] = t.name;
                auto const inputs = weight.extents.size() == 2 ? weight.extents[weight_transpose ? 1 : 0] : 0;
                if (weight.extents.size() != 2 || t.extents != shape{inputs, inputs} || !is_floating(t.type))
                    throw mismatch_error{where + "of type " + std::string{name_of(t.type)} + " and shape "
                                         + to_string(t.extents) + " does not fit tensor '" + weight.name + "' of shape "
                                         + to_string(weight.extents)};
            }
        for (auto const & name : names_)
            for (auto * const source : sources_)
                if (name && !source->find(*name))
                    throw mismatch_error{std::string{source->label()} + ": Gram matrix '" + *name + "' is missing"};
    }
    /// Whether the row of the pool has Gram matrices.
    [[nodiscard]] bool has(std::size_t row) const { return names_[row].has_value(); }
    /// The Gram matrices of a model.
    [[nodiscard]] checkpoint & source(std::size_t model) const { return *sources_[model]; }
    /// Position of the row's Gram matrix in a model's.
    [[nodiscard]] std::size_t index(std::size_t row, std::size_t model) const {
        return *sources_[model]->find(*names_[row]);
    }
    /// Of the elements of the row's Gram matrix, in the first model's.
    [[nodiscard]] dtype type(std::size_t row) const { return sources_[0]->tensors()[index(row, 0)].type; }

private:
    static std::optional<std::size_t> row_of(model_pool const & pool, std::string const & name) {
        for (auto const & candidate : {name, name + ".weight"})
            for (std::size_t r = 0; r != pool.rows().size(); ++r)
                if (pool.rows()[r].merged && pool.rows()[r].info.name == candidate)
                    return r;
        return std::nullopt;
    }
};

/// W = W_0 + (sum_i A_i)^-1 sum_i A_i (W_i - W_0), which is (sum A_i)^-1 sum A_i W_i with smaller rounding errors;
/// transposed where weights are [outputs, inputs]. A_i is the Gram matrix with its off-diagonal elements reduced.
template <class B, real T> class regmean_recipe {
    model_pool const * pool_;
    gram_pool grams_;
    regmean_options options_;
    std::vector<T> mean_;
    window_reader<B, T> model_reader_, first_reader_;
    window_buffer gram_bytes_;
    std::optional<buffer_t<B, T>> change_; // W - W_0
    std::vector<regmean_layer> layers_;

    static constexpr auto difference = [](auto const & x, auto const & y) { return x - y; };

    /// gram := A_i. \returns the sum of its diagonal \throws non_finite_error
    double read_gram(B & be, std::size_t row, std::size_t model, std::size_t n, vec<B, T> gram) {
        auto & source = grams_.source(model);
        auto const index = grams_.index(row, model);
        auto const & info = source.tensors()[index];
        std::vector<T> line(n);
        double trace = 0;
        for (std::size_t i = 0; i != n; ++i) {
            auto const size = n * size_of(info.type);
            host::load(info.type, source.read(index, i * size, size, gram_bytes_).data(), n, line.data());
            for (std::size_t j = 0; j != n; ++j) {
                if (!std::isfinite(line[j])) [[unlikely]]
                    throw non_finite_error{std::string{source.label()} + ": Gram matrix '" + info.name
                                           + "' holds NaN or infinity"};
                if (j != i)
                    line[j] *= static_cast<T>(options_.reduce_non_diagonal_ratio);
            }
            trace += static_cast<double>(line[i]);
            be.upload(std::span<T const>{line}, gram.sub(i * n, n));
        }
        return trace;
    }
    /// out := W_k - W_0
    void read_difference(B & be, model_pool::row const & row, std::size_t k, vec<B, T> out) {
        for_each_window(out.n, pool_->window(), [&](std::size_t first, std::size_t count) {
            ops::map<T>(be, difference, out.sub(first, count),
                        model_reader_.read(be, pool_->model(k), row.index[k], first, count),
                        first_reader_.read(be, pool_->model(0), row.index[0], first, count));
        });
        if (!ops::all_finite(be, out))
            throw non_finite_error{"tensor '" + row.info.name + "' of " + std::string{pool_->model(k).label()} + " or "
                                   + std::string{pool_->model(0).label()} + " holds NaN or infinity"};
    }
    void merge_layer(B & be, model_pool::row const & row, std::size_t row_index) {
        auto const rows = row.info.extents[0], cols = row.info.extents[1], n = options_.weight_transpose ? cols : rows;
        auto sum = be.template allocate<T>(n * n);
        auto gram = be.template allocate<T>(n * n);
        auto difference_of = be.template allocate<T>(rows * cols);
        change_.emplace(be.template allocate<T>(rows * cols));
        ops::fill(be, T(0), change_->view());
        auto const A = as_matrix(gram.view(), n, n), D = as_matrix(difference_of.view(), rows, cols),
                   R = as_matrix(change_->view(), rows, cols);
        double trace = read_gram(be, row_index, 0, n, sum.view());
        for (std::size_t k = 1; k != pool_->size(); ++k) {
            trace += read_gram(be, row_index, k, n, gram.view());
            ops::axpy(be, T(1), gram.view(), sum.view());
            read_difference(be, row, k, difference_of.view());
            if (options_.weight_transpose)
                ops::gemm(be, op::none, op::transpose, T(1), D, A, T(1), R);
            else
                ops::gemm(be, op::none, op::none, T(1), A, D, T(1), R);
        }
        auto const ridge = options_.ridge * trace / static_cast<double>(n);
        // What single precision leaves of a pivot, in the file or in the sums here, is noise.
        bool const is_double = std::same_as<T, double> && grams_.type(row_index) == dtype::f64;
        double const tolerance = 8
                                 * (is_double ? std::numeric_limits<double>::epsilon()
                                              : static_cast<double>(std::numeric_limits<float>::epsilon()));
        try {
            auto const pivot =
                linalg::solve_spd(be, as_matrix(sum.view(), n, n), options_.weight_transpose ? op::transpose : op::none,
                                  R, ridge, tolerance);
            layers_.push_back({row.info.name, ridge, pivot});
        } catch (singular_error const &) {
            throw singular_error{"tensor '" + row.info.name
                                 + "': the sum of the Gram matrices is singular to working precision; "
                                   "set ridge, or reduce_non_diagonal_ratio below 1"};
        }
    }

public:
    static constexpr bool reads_base = false; ///< windows of the base are not read
    /// \throws mismatch_error, option_error: gram_pool
    regmean_recipe(model_pool const & pool, std::span<checkpoint * const> grams, regmean_options const & options)
        : pool_{&pool}, grams_(pool, grams, options.weight_transpose), options_{options},
          mean_(pool.size(), static_cast<T>(1 / static_cast<double>(pool.size()))) {}

    /// Makes the window that `in` holds; a layer is merged when its first window is asked for.
    template <class Out> void operator()(B & be, pool_reader<B, T> const & in, Out out) {
        auto const & info = in.row().info;
        if (!grams_.has(in.row_index())) {
            ops::map<T>(be, kernels::weighted_sum, out, in.models(), list(mean_));
            return;
        }
        if (in.first() == 0)
            merge_layer(be, in.row(), in.row_index());
        ops::map<T>(be, ops::kernels::axpy, out, T(1), change_->view().sub(in.first(), in.count()), in.model(0));
        if (in.first() + in.count() == info.count())
            change_.reset();
    }
    /// Of the layers merged, in order; leaves nothing.
    [[nodiscard]] std::vector<regmean_layer> take_layers() { return std::move(layers_); }
};

/// Writes the RegMean merge: weights that have Gram matrices W = (sum_i A_i)^-1 sum_i A_i W_i (transposed where they
/// are stored so), every other tensor the mean of the models. A base only gives types and copied tensors.
///
/// \param grams a checkpoint for each model; its matrices are symmetric and named as the weights, or without ".weight"
/// Time: for a weight of n inputs and m outputs N m n^2 + n^3 / 3 + 2 m n^2, the solution in double.
/// Memory: two such weights, two n x n matrices, and those in double for the solution; one layer at a time, whatever N.
/// \throws singular_error, which names the tensor, unless a ridge makes the sum regular; non_finite_error;
/// mismatch_error and option_error: gram_pool
template <real T = float, class B, class Obs = no_observer, class Stop = never_stop>
    requires matrix_space<B, T>
regmean_result regmean(B & be, model_pool const & pool, std::span<checkpoint * const> grams, checkpoint_sink & sink,
                       regmean_options const & options = {}, control<Obs, Stop> ctl = {}) {
    auto const rho = options.reduce_non_diagonal_ratio;
    expects_option(rho >= 0 && rho <= 1, "reduce_non_diagonal_ratio", std::to_string(rho), "a number in [0, 1]");
    expects_option(options.ridge >= 0 && std::isfinite(options.ridge), "ridge", std::to_string(options.ridge),
                   "a finite number, not negative");
    regmean_recipe<B, T> recipe(pool, grams, options);
    auto const status = write<B, T>(be, pool, recipe, sink, ctl);
    return {status, recipe.take_layers()};
}

} // namespace merge
LATHE_NAMESPACE_END
