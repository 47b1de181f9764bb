#pragma once
/// \file  Companions: checkpoints that go with the models of a pool, tensor by tensor (Fisher diagonals, masks,
/// targets).
#include <lathe/merge/pool.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

/// Checkpoints whose tensors match the merged rows of a pool by name and shape, read in step with it.
template <class B, real T> class companion_reader {
    std::vector<checkpoint *> from_;
    std::vector<std::vector<std::size_t>> index_; // of a row's tensor in each; empty for rows that are not merged
    std::vector<window_reader<B, T>> readers_;
    std::vector<input_operand<B, T>> operands_;

public:
    /// \param role what messages call them. \throws option_error unless there is one for each model;
    /// mismatch_error naming the file and the tensor that is missing or has another shape
    companion_reader(std::string_view role, model_pool const & pool, std::vector<checkpoint *> companions)
        : from_{std::move(companions)}, readers_(from_.size()) {
        expects_option(from_.size() == pool.size(), role, std::to_string(from_.size()) + " checkpoints",
                       "one for each of " + std::to_string(pool.size()) + " models");
        for (auto const & row : pool.rows()) {
            auto & index = index_.emplace_back();
            for (auto const * c : from_) {
                if (!row.merged)
                    continue;
                auto const found = c->find(row.info.name);
                if (!found || c->tensors()[*found].extents != row.info.extents)
                    throw mismatch_error{
                        std::string{c->label()} + ": tensor '" + row.info.name + "' "
                        + (found ? "has shape " + to_string(c->tensors()[*found].extents) : std::string{"is missing"})
                        + ", expected shape " + to_string(row.info.extents)};
                index.push_back(*found);
            }
        }
    }
    /// Elements [first, first + count) of a merged row, one operand a model; valid until the next read.
    [[nodiscard]] list<input_operand<B, T>> read(B & be, std::size_t row, std::size_t first, std::size_t count) {
        operands_.clear();
        for (std::size_t k = 0; k != from_.size(); ++k)
            operands_.push_back(readers_[k].read(be, *from_[k], index_[row][k], first, count));
        return list<input_operand<B, T>>(std::span<input_operand<B, T> const>{operands_});
    }
};

} // namespace merge
LATHE_NAMESPACE_END
