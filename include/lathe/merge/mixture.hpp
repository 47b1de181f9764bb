#pragma once
/// \file  Checkpoints that are computed as they are read: weighted sums of models.
#include <lathe/merge/linear.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

/// The checkpoint in which every merged row of a pool is a weighted sum of its models, rounded once; the other rows are
/// those of the base (first model). Nothing is stored: windows are computed from windows of the models, which are read
/// in place where one model counts with weight 1 and has the type of the result.
///
/// Memory: rows x models numbers; while it reads, a window of each model that counts. Refers to the pool.
template <real T> class mixture_checkpoint final : public checkpoint {
    model_pool const * pool_;
    std::string label_;
    std::vector<tensor_info> tensors_;
    std::vector<double> weights_;

public:
    /// \param weights of the models for every row of the pool, row after row
    mixture_checkpoint(model_pool const & pool, std::string label, std::vector<double> weights)
        : pool_{&pool}, label_{std::move(label)}, tensors_(pool.output()), weights_{std::move(weights)} {
        expects_shape(weights_.size() == tensors_.size() * pool.size(),
                      "mixture_checkpoint: one weight for each row and model");
    }
    [[nodiscard]] std::span<tensor_info const> tensors() const override { return tensors_; }
    [[nodiscard]] std::string_view label() const override { return label_; }
    [[nodiscard]] std::map<std::string, std::string> const & metadata() const override {
        return pool_->reference().metadata();
    }
    /// Of the models at a row.
    [[nodiscard]] std::span<double const> weights(std::size_t row) const {
        return std::span{weights_}.subspan(row * pool_->size(), pool_->size());
    }

    std::span<std::byte const> read(std::size_t index, std::size_t first, std::size_t size,
                                    window_buffer & buffer) override {
        expects_window(tensors_[index], first, size);
        auto const & row = pool_->rows()[index];
        if (!row.merged)
            return pool_->reference().read(row.reference, first, size, buffer);
        auto const w = weights(index);
        auto const only = std::ranges::find(w, 1.0) - w.begin();
        if (std::ranges::count(w, 0.0) + 1 == std::ssize(w) && only != std::ssize(w)) {
            auto const k = static_cast<std::size_t>(only);
            if (pool_->model(k).tensors()[row.index[k]].type == row.info.type)
                return pool_->model(k).read(row.index[k], first, size, buffer);
        }
        // Whole elements around the bytes asked for.
        auto const width = size_of(row.info.type), begin = first / width,
                   count = (first + size + width - 1) / width - begin;
        std::vector<window_buffer> buffers(w.size());
        std::vector<storage_view<std::byte const *>> models;
        std::vector<T> factors;
        for (std::size_t k = 0; k != w.size(); ++k) {
            if (w[k] == 0)
                continue;
            auto const type = pool_->model(k).tensors()[row.index[k]].type;
            models.push_back(storage_of(
                pool_->model(k).read(row.index[k], begin * size_of(type), count * size_of(type), buffers[k]), type));
            factors.push_back(static_cast<T>(w[k]));
        }
        auto const out = buffer.reserve(count * width);
        serial_executor here;
        if (models.empty())
            std::ranges::fill(out, std::byte{0});
        else
            host::map<T>(here, kernels::weighted_sum, count, std::tuple{storage_of(out, row.info.type)}, list(models),
                         list(factors));
        return std::span<std::byte const>{out}.subspan(first - begin * width, size);
    }
};

/// The tensors of a checkpoint that have certain names.
class tensor_subset final : public checkpoint {
    checkpoint * whole_;
    std::vector<std::size_t> index_;
    std::vector<tensor_info> tensors_;

public:
    /// \param names of tensors that are there, ascending \throws mismatch_error
    tensor_subset(checkpoint & whole, std::span<std::string const> names) : whole_{&whole} {
        for (auto const & name : names) {
            auto const found = whole.find(name);
            if (!found)
                throw mismatch_error{std::string{whole.label()} + ": tensor '" + name + "' is missing"};
            index_.push_back(*found);
            tensors_.push_back(whole.tensors()[*found]);
        }
    }
    [[nodiscard]] std::span<tensor_info const> tensors() const override { return tensors_; }
    [[nodiscard]] std::string_view label() const override { return whole_->label(); }
    [[nodiscard]] std::map<std::string, std::string> const & metadata() const override { return whole_->metadata(); }
    std::span<std::byte const> read(std::size_t index, std::size_t first, std::size_t size,
                                    window_buffer & buffer) override {
        return whole_->read(index_.at(index), first, size, buffer);
    }
};

} // namespace merge
LATHE_NAMESPACE_END
