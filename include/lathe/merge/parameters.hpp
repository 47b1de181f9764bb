#pragma once
/// \file  What a method that iterates needs of a pool: the objective it minimises, and its state as the result.
#include <lathe/core/parameters.hpp>
#include <lathe/merge/pool.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

using lathe::parameter_layout;
using lathe::read_parameters;
using lathe::write_parameters;

/// What has a choice, weights or a coefficient of its own.
enum class granularity : unsigned char {
    task, ///< a model
    layer ///< a tensor of a model: the authors' "layer" is one parameter tensor, not a block of a transformer
};

/// A smooth loss over a parameter vector: writes its gradient at x into g, which it owns until it returns, and returns
/// its value.
template <class F, class B, class T>
concept differentiable = storage<B, T> && requires(F & f, B & be, cvec<B, T> x, vec<B, T> g) {
    { f.value_and_gradient(be, x, g) } -> std::convertible_to<double>;
};

/// One smooth loss for each of several tasks, over one parameter vector: value and gradient as above, of the task asked
/// for.
template <class F, class B, class T>
concept task_objectives = storage<B, T> && requires(F & f, B & be, std::size_t task, cvec<B, T> x, vec<B, T> g) {
    { f.size() } -> std::convertible_to<std::size_t>;
    { f.value_and_gradient(be, task, x, g) } -> std::convertible_to<double>;
};

/// The sum of the losses of all tasks as one objective. Refers to the tasks. Memory: one more gradient.
template <class B, real T, class Tasks>
    requires vector_space<B, T> && task_objectives<Tasks, B, T>
class sum_of_tasks {
    Tasks * tasks_;

public:
    /// Refers to the tasks.
    explicit sum_of_tasks(Tasks & tasks) : tasks_{&tasks} {}
    /// The sum of the values; g becomes the sum of the gradients.
    double value_and_gradient(B & be, cvec<B, T> x, vec<B, T> g) {
        double sum = 0;
        ops::fill(be, T(0), g);
        auto one = be.template allocate<T>(g.n);
        for (std::size_t k = 0; k != static_cast<std::size_t>(tasks_->size()); ++k) {
            sum += static_cast<double>(tasks_->value_and_gradient(be, k, x, one.view()));
            ops::axpy(be, T(1), one.view(), g);
        }
        return sum;
    }
};

/// The merged rows of a pool: row i is tensor i of its parameter_layout.
inline std::vector<model_pool::row const *> merged_rows(model_pool const & pool) {
    std::vector<model_pool::row const *> rows;
    for (auto const & r : pool.rows())
        if (r.merged)
            rows.push_back(&r);
    return rows;
}

/// Takes what an iteration says about each of its steps, and drops it.
struct ignore_steps {
    /// Takes anything.
    template <class... Ts> constexpr void operator()(Ts const &...) const noexcept {}
};

/// Writes the result of a pool: x, rounded once, in the merged rows (the tensors of its layout), the other rows copied.
/// Begins and finishes the sink; nothing appears under its name unless all of it was written.
template <class B, real T>
    requires elementwise<B, T>
void write_merged(B & be, model_pool const & pool, cvec<B, T> x, checkpoint_sink & to) {
    to.begin(pool.output(), pool.reference().metadata());
    window_writer<B, T> writer;
    std::size_t offset = 0;
    for (std::size_t i = 0; i != pool.rows().size(); ++i) {
        auto const & row = pool.rows()[i];
        if (!row.merged) {
            copy_row(pool, i, to);
            continue;
        }
        for_each_window(row.info.count(), pool.window(), [&](std::size_t first, std::size_t count) {
            ops::map<T>(be, ops::kernels::identity, writer.begin(be, to, row.info, i, first, count),
                        x.sub(offset + first, count));
            writer.end(be, to);
        });
        offset += row.info.count();
    }
    writer.finish(be, to);
    to.finish();
}

} // namespace merge
LATHE_NAMESPACE_END
