#pragma once
/// \file  What a method that iterates needs of a pool: the objective it minimises, and its state as the result.
#include <lathe/core/parameters.hpp>
#include <lathe/merge/pool.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

using lathe::parameter_layout;
using lathe::read_parameters;
using lathe::write_parameters;

/// A smooth loss over a parameter vector: writes its gradient at x into g, which it owns until it returns, and returns its value.
template <class F, class B, class T>
concept differentiable = storage<B, T> && requires(F & f, B & be, cvec<B, T> x, vec<B, T> g) {
    { f.value_and_gradient(be, x, g) } -> std::convertible_to<double>;
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
            ops::map<T>(be, ops::kernels::identity, writer.begin(be, to, row.info, i, first, count), x.sub(offset + first, count));
            writer.end(be, to);
        });
        offset += row.info.count();
    }
    to.finish();
}

} // namespace merge
LATHE_NAMESPACE_END
