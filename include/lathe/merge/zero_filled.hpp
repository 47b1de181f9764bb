#pragma once
/// \file  Checkpoints that lack tensors, seen as if they had them, full of zeros: task vectors of adapters that do not
///        all touch the same layers.
#include <lathe/core/checkpoint.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

/// All tensors that occur in any of the checkpoints, each described as where it occurs first; sorted by name.
/// \throws mismatch_error if two have a tensor with different shapes
inline std::vector<tensor_info> all_tensors(std::span<checkpoint * const> checkpoints) {
    std::map<std::string, std::pair<tensor_info, checkpoint *>, std::less<>> all;
    for (auto * const c : checkpoints)
        for (auto const & t : c->tensors()) {
            auto const [at, fresh] = all.try_emplace(t.name, t, c);
            if (auto const & [first, where] = at->second; !fresh && first.extents != t.extents)
                throw mismatch_error{std::string{c->label()} + ": tensor '" + t.name + "' has shape "
                                     + to_string(t.extents) + ", expected " + to_string(first.extents) + " as in "
                                     + std::string{where->label()}};
        }
    std::vector<tensor_info> tensors;
    tensors.reserve(all.size());
    for (auto & [name, found] : all)
        tensors.push_back(std::move(found.first));
    return tensors;
}

/// A checkpoint with every tensor of a list: its own where it has them, zeros elsewhere. Refers to the checkpoint.
class zero_filled_checkpoint final : public checkpoint {
    checkpoint * inner_;
    std::vector<tensor_info> tensors_;
    std::vector<std::optional<std::size_t>> index_;

public:
    /// \param tensors sorted by name, as all_tensors gives them
    /// \throws mismatch_error if the checkpoint has a tensor that is not in the list, or with another shape
    zero_filled_checkpoint(checkpoint & inner, std::vector<tensor_info> tensors)
        : inner_{&inner}, tensors_{std::move(tensors)}, index_(tensors_.size()) {
        std::size_t found = 0;
        for (std::size_t i = 0; i != tensors_.size(); ++i) {
            index_[i] = inner.find(tensors_[i].name);
            if (!index_[i])
                continue;
            ++found;
            auto const & own = inner.tensors()[*index_[i]];
            if (own.extents != tensors_[i].extents)
                throw mismatch_error{std::string{inner.label()} + ": tensor '" + own.name + "' has shape "
                                     + to_string(own.extents) + ", expected " + to_string(tensors_[i].extents)};
            tensors_[i].type = own.type;
        }
        for (auto const & own : inner.tensors())
            if (found != inner.tensors().size() && !find(own.name))
                throw mismatch_error{std::string{inner.label()} + ": tensor '" + own.name
                                     + "' is not in the list of tensors"};
    }

    [[nodiscard]] std::span<tensor_info const> tensors() const override { return tensors_; }
    std::span<std::byte const> read(std::size_t index, std::size_t first, std::size_t size,
                                    window_buffer & buffer) override {
        if (index_[index])
            return inner_->read(*index_[index], first, size, buffer);
        expects_window(tensors_[index], first, size);
        auto const zeros = buffer.reserve(size);
        std::ranges::fill(zeros, std::byte{0});
        return zeros;
    }
    [[nodiscard]] std::string_view label() const override { return inner_->label(); }
    [[nodiscard]] std::map<std::string, std::string> const & metadata() const override { return inner_->metadata(); }
};

} // namespace merge
LATHE_NAMESPACE_END
