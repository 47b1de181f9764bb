#pragma once
// The merging methods of the experiment.
#include "digits.hpp"

#include <lathe/core/checkpoint.hpp>

namespace quickstart {

/// What a merge may use: the base, the models of one mixture, and a few hundred rows of each task that no model was
/// trained on and that the result is not tested on.
struct ingredients {
    lathe::checkpoint * base;
    std::vector<lathe::checkpoint *> models;
    std::vector<lathe::checkpoint *> fishers, grams; ///< of the models, from their own training rows
    std::vector<rows> validation;                    ///< of each task
};

struct method {
    std::string name;
    bool frank_wolfe;
    /// Whether it applies to that many models.
    std::function<bool(std::size_t)> applies;
    std::function<void(backend &, ingredients const &, lathe::checkpoint_sink &)> merge;
};
std::vector<method> methods();

/// The mean over the rows of the squared gradient, row by row: the diagonal of the empirical Fisher information.
vector fisher_diagonal(backend & be, vector const & parameters, rows const & data);
/// The mean of x x^T over the inputs x of both layers, as tensors named like the weights.
std::unique_ptr<lathe::memory_checkpoint> gram_matrices(backend & be, vector const & parameters, rows const & data);

} // namespace quickstart
