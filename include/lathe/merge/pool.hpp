#pragma once
/// \file  A pool: the checkpoints a merge reads, aligned by the names of their tensors, and the loop that streams them.
#include <lathe/core/window.hpp>

#include <cmath>
#include <memory>

LATHE_NAMESPACE_BEGIN
namespace merge {

/// What to do with a tensor that some checkpoint lacks, or has with another shape.
enum class mismatch_policy : unsigned char {
    strict,    ///< throw mismatch_error
    keep_base, ///< copy it from the base (the first model where there is no base)
    intersect  ///< leave it out of the result
};

/// Options of model_pool.
struct pool_options {
    mismatch_policy policy = mismatch_policy::strict; ///< what to do with tensors that do not fit
    std::optional<dtype> output_type{}; ///< of floating tensors; unset: that of the base (first model) tensor by tensor
    std::size_t window =
        default_window; ///< elements read at a time from each checkpoint; rounded up to whole summation blocks
};

/// N models and perhaps a base, seen as rows: one for each tensor of the result, in ascending order of the bytes of the
/// name.
///
/// A row is merged if every checkpoint has the tensor with one shape and a floating type, and it is not empty; else it
/// is copied from the base (first model), a floating one as the output type. Integers and booleans are always copied.
/// Holds no data; refers to the checkpoints.
class model_pool {
public:
    /// One tensor of the result.
    struct row {
        tensor_info info; ///< of the result
        bool merged;      ///< whether the method computes it; else it is copied
        std::vector<std::size_t>
            index;             ///< of the tensor in each model, then in the base if there is one; empty if copied
        std::size_t reference; ///< of the tensor in the base (first model)
    };

    /// \param base may be null. \throws option_error without models; mismatch_error under mismatch_policy::strict
    model_pool(checkpoint * base, std::vector<checkpoint *> models, pool_options const & options = {})
        : models_{std::move(models)}, base_{base}, options_{options} {
        expects_option(!models_.empty(), "models", "none", "at least one checkpoint");
        options_.window = std::max<std::size_t>(1, (options.window + host::reduction_block - 1) / host::reduction_block)
                          * host::reduction_block;
        if (options_.policy == mismatch_policy::strict)
            expect_same_names();
        auto const tensors = reference().tensors();
        for (std::size_t i = 0; i != tensors.size(); ++i)
            add_row(tensors[i], i);
    }

    /// In ascending order of the bytes of the names.
    [[nodiscard]] std::span<row const> rows() const noexcept { return rows_; }
    /// N, without the base.
    [[nodiscard]] std::size_t size() const noexcept { return models_.size(); }
    /// Model i, from 0. \throws std::out_of_range
    [[nodiscard]] checkpoint & model(std::size_t i) const { return *models_.at(i); }
    /// Whether there is a base.
    [[nodiscard]] bool has_base() const noexcept { return base_ != nullptr; }
    /// \throws option_error without one
    [[nodiscard]] checkpoint & base() const {
        expects_option(has_base(), "base", "none", "the checkpoint the models were fine-tuned from");
        return *base_;
    }
    /// Where copied tensors, names and types come from: the base, or the first model.
    [[nodiscard]] checkpoint & reference() const noexcept { return base_ != nullptr ? *base_ : *models_.front(); }
    /// Elements read at a time, a multiple of host::reduction_block.
    [[nodiscard]] std::size_t window() const noexcept { return options_.window; }
    /// Elements of the merged rows.
    [[nodiscard]] std::size_t parameters() const {
        std::size_t n = 0;
        for (auto const & r : rows_)
            n += r.merged ? r.info.count() : 0;
        return n;
    }
    /// Whether a merged row holds f64 anywhere, so that arithmetic in double is called for.
    [[nodiscard]] bool wants_double() const {
        for (auto const & r : rows_)
            for (std::size_t k = 0; r.merged && k != r.index.size(); ++k)
                if (source(k).tensors()[r.index[k]].type == dtype::f64)
                    return true;
        return false;
    }
    /// Model k, or the base for k == size().
    [[nodiscard]] checkpoint & source(std::size_t k) const { return k == models_.size() ? *base_ : *models_[k]; }
    /// The tensors of the result: for checkpoint_sink::begin.
    [[nodiscard]] std::vector<tensor_info> output() const {
        std::vector<tensor_info> all;
        all.reserve(rows_.size());
        for (auto const & r : rows_)
            all.push_back(r.info);
        return all;
    }

private:
    std::vector<checkpoint *> models_;
    checkpoint * base_;
    pool_options options_;
    std::vector<row> rows_;

    [[nodiscard]] std::size_t sources() const noexcept { return models_.size() + (base_ != nullptr ? 1 : 0); }

    void expect_same_names() const {
        for (auto const * m : models_)
            for (auto const & t : m->tensors())
                if (!reference().find(t.name))
                    throw mismatch_error{std::string{m->label()} + ": tensor '" + t.name + "' is not in "
                                         + std::string{reference().label()}};
    }
    void add_row(tensor_info const & t, std::size_t position) {
        row r{t, is_floating(t.type) && t.count() != 0, {}, position};
        std::string problem;
        for (std::size_t k = 0; k != sources() && problem.empty(); ++k) {
            auto const found = source(k).find(t.name);
            auto const where = std::string{source(k).label()} + ": tensor '" + t.name + "' ";
            if (!found)
                problem = where + "is missing; " + std::string{reference().label()} + " has it with shape "
                          + to_string(t.extents);
            else if (auto const & other = source(k).tensors()[*found]; other.extents != t.extents)
                problem = where + "has shape " + to_string(other.extents) + ", expected " + to_string(t.extents);
            else if (is_floating(other.type) != is_floating(t.type))
                problem = where + "is of type " + std::string{name_of(other.type)} + ", expected "
                          + std::string{name_of(t.type)};
            else
                r.index.push_back(*found);
        }
        if (!problem.empty()) {
            if (options_.policy == mismatch_policy::strict)
                throw mismatch_error{problem};
            if (options_.policy == mismatch_policy::intersect)
                return;
            r.merged = false;
        }
        if (!r.merged)
            r.index.clear();
        if (options_.output_type && is_floating(t.type))
            r.info.type = *options_.output_type;
        rows_.push_back(std::move(r));
    }
};

/// The windows of all models and the base at one place, as operands.
template <class B, real T> class pool_reader {
    model_pool const * pool_;
    std::vector<window_reader<B, T>> readers_;
    std::vector<input_operand<B, T>> operands_;
    std::size_t first_ = 0, count_ = 0;
    model_pool::row const * row_ = nullptr;

public:
    /// Refers to the pool; holds nothing before seek().
    explicit pool_reader(model_pool const & pool) : pool_(&pool), readers_(pool.size() + (pool.has_base() ? 1 : 0)) {}

    /// Makes elements [first, first + count) of a merged row available; those of the base only if they are asked for.
    void seek(B & be, model_pool::row const & row, std::size_t first, std::size_t count, bool with_base = true) {
        row_ = &row;
        first_ = first;
        count_ = count;
        operands_.clear();
        for (std::size_t k = 0; k != (with_base ? readers_.size() : pool_->size()); ++k)
            operands_.push_back(readers_[k].read(be, pool_->source(k), row.index[k], first, count));
    }
    /// The pool that it reads.
    [[nodiscard]] model_pool const & pool() const noexcept { return *pool_; }
    /// The row of the last seek().
    [[nodiscard]] model_pool::row const & row() const noexcept { return *row_; }
    /// Position of the row in the pool's rows.
    [[nodiscard]] std::size_t row_index() const noexcept {
        return static_cast<std::size_t>(row_ - pool_->rows().data());
    }
    /// Where in the row the window begins, in elements.
    [[nodiscard]] std::size_t first() const noexcept { return first_; }
    /// Elements of the window.
    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    /// One operand a model, as one operand of a kernel.
    [[nodiscard]] list<input_operand<B, T>> models() const {
        return list<input_operand<B, T>>(std::span{operands_}.first(pool_->size()));
    }
    /// The window of model k.
    [[nodiscard]] input_operand<B, T> const & model(std::size_t k) const { return operands_[k]; }
    /// The window of the base; only after a seek() with it.
    [[nodiscard]] input_operand<B, T> const & base() const { return operands_[pool_->size()]; }
};

/// A method that makes a window of the result from the windows of the pool at the same place: recipe(be, in, out).
/// `out` is an output_operand<B, T> or a vec<B, T>. `static constexpr bool reads_base = false` spares it the base. What
/// only the end of the pass tells may come late: `again()` then names the windows to be made once more, and is asked
/// once.
template <class R, class B, class T>
concept recipe = real<T> && elementwise<B, T>
                 && requires(R & r, B & be, pool_reader<B, T> const & in, output_operand<B, T> out) { r(be, in, out); };

/// Elements [first, first + count) of row `row` of a pool.
struct pool_window {
    ///@{
    /// Position of the row in the pool; beginning and length of the window in it, in elements.
    std::size_t row, first, count;
    ///@}
};

/// Whether a recipe wants windows of the base.
template <class R> constexpr bool reads_base() {
    if constexpr (requires { R::reads_base; })
        return R::reads_base;
    else
        return true;
}

/// Calls f(reader) for every window of every merged row, in order, reading each checkpoint once (the base if asked
/// for). Between windows the observer is told the elements done of all, and the token is asked. \returns stopped, or
/// converged
template <class B, real T, class F, class Obs = no_observer, class Stop = never_stop>
    requires elementwise<B, T>
status stream(B & be, model_pool const & pool, F && f, control<Obs, Stop> ctl = {}, bool with_base = true) {
    pool_reader<B, T> in(pool);
    auto const total = pool.parameters();
    std::size_t done = 0;
    auto const nan = std::numeric_limits<double>::quiet_NaN();
    for (auto const & row : pool.rows()) {
        if (!row.merged)
            continue;
        bool stopped = false;
        for_each_window(row.info.count(), pool.window(), [&](std::size_t first, std::size_t count) {
            stopped = stopped || ctl.stop.stop_requested();
            if (stopped)
                return;
            in.seek(be, row, first, count, with_base);
            f(in);
            done += count;
            ctl.observe(progress{done, total, nan, nan});
        });
        if (stopped)
            return status::stopped;
    }
    return status::converged;
}

/// Copies a row that is not merged from the reference: byte by byte, or rounded where the result has another type.
inline void copy_row(model_pool const & pool, std::size_t index, checkpoint_sink & sink) {
    auto const & row = pool.rows()[index];
    auto const type = pool.reference().tensors()[row.reference].type;
    window_buffer in, out;
    if (type != row.info.type) {
        std::vector<double> values(std::min(pool.window(), row.info.count()));
        for_each_window(row.info.count(), pool.window(), [&](std::size_t first, std::size_t count) {
            auto const from = pool.reference().read(row.reference, first * size_of(type), count * size_of(type), in);
            auto const to = sink.window(index, first * size_of(row.info.type), count * size_of(row.info.type), out);
            host::load(type, from.data(), count, values.data());
            host::store(row.info.type, static_cast<double const *>(values.data()), count, to.data());
            sink.commit(index, first * size_of(row.info.type), to);
        });
        return;
    }
    for_each_window(row.info.bytes(), std::size_t{4} << 20, [&](std::size_t first, std::size_t size) {
        auto const from = pool.reference().read(row.reference, first, size, in);
        auto const to = sink.window(index, first, size, out);
        std::ranges::copy(from, to.begin());
        sink.commit(index, first, to);
    });
}

/// Writes the checkpoint that `recipe` makes of the pool: one pass over everything, one window of each in memory.
/// Nothing appears under the sink's name unless all of it was written. \returns stopped, or converged
template <class B, real T, class Recipe, class Obs = no_observer, class Stop = never_stop>
    requires recipe<Recipe, B, T>
status write(B & be, model_pool const & pool, Recipe & recipe, checkpoint_sink & sink, control<Obs, Stop> ctl = {}) {
    sink.begin(pool.output(), pool.reference().metadata());
    window_writer<B, T> out;
    auto const make = [&](pool_reader<B, T> const & in) {
        auto const target = out.begin(be, sink, in.row().info, in.row_index(), in.first(), in.count());
        recipe(be, in, target);
        out.end(be, sink);
    };
    auto const result = stream<B, T>(be, pool, make, ctl, reads_base<Recipe>());
    if (result == status::stopped)
        return result;
    if constexpr (requires { recipe.again(); }) {
        pool_reader<B, T> in(pool);
        for (pool_window const w : recipe.again()) {
            in.seek(be, pool.rows()[w.row], w.first, w.count, reads_base<Recipe>());
            make(in);
        }
    }
    out.finish(be, sink);
    for (std::size_t i = 0; i != pool.rows().size(); ++i)
        if (!pool.rows()[i].merged)
            copy_row(pool, i, sink);
    sink.finish();
    return result;
}

} // namespace merge
LATHE_NAMESPACE_END
