#pragma once
/// \file  An objective for each of several tasks, for the tests of methods that take them.
#include <lathe/merge/quadratic.hpp>

#include "models.hpp"

namespace lathe_test {

/// Distances to several models, one for each task.
template <class B> struct distances {
    std::vector<merge::quadratic_distance<B, double>> of;
    distances(merge::model_pool const & pool, models & m, std::size_t count) {
        for (std::size_t k = 0; k != count; ++k)
            of.emplace_back(merge::parameter_layout::of(pool), m[k]);
    }
    [[nodiscard]] std::size_t size() const { return of.size(); }
    double value_and_gradient(B & be, std::size_t task, cvec<B, double> x, vec<B, double> g) {
        return of[task].value_and_gradient(be, x, g);
    }
};

} // namespace lathe_test
