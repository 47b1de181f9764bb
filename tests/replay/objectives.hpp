#pragma once
/// \file  Objectives of recorded cases: gradients from files, and the toy classifier.
#include "fixture.hpp"

#include <lathe/merge/objectives.hpp>

namespace lathe_replay {

/// Gives recorded gradients, one for each call in turn.
template <class B, lathe::real T> class recorded_gradients {
    lathe::parameter_layout layout_;
    std::vector<lathe::checkpoint *> gradients_;
    std::size_t next_ = 0;

public:
    recorded_gradients(lathe::parameter_layout layout, std::vector<lathe::checkpoint *> gradients)
        : layout_{std::move(layout)}, gradients_{std::move(gradients)} {}
    double value_and_gradient(B & be, lathe::cvec<B, T>, lathe::vec<B, T> g) {
        if (next_ == gradients_.size())
            throw failure{"the method asks for more gradients than the " + std::to_string(next_)
                          + " that were recorded"};
        lathe::read_parameters<B, T>(be, layout_, *gradients_[next_++], g);
        return 0;
    }
};

/// The sum over the batches of a call of the mean entropy of softmax(X W^T + b); `batch(call, k)` is the name of the
/// tensor of inputs X of batch k.
template <class B, lathe::real T> class recorded_entropy {
    lathe::parameter_layout layout_;
    lathe::checkpoint * inputs_;
    std::function<std::string(std::size_t call, std::size_t k)> batch_;
    lathe::merge::classifier_objective<B, T> classifier_;
    std::size_t call_ = 0;

    static std::vector<lathe::merge::dense_layer> layers(lathe::parameter_layout const & layout) {
        // W = head.weight, b = head.bias; a case with other names has one matrix and one vector.
        auto const has = [&](std::string_view name) {
            return std::ranges::find(layout.tensors(), name, &lathe::tensor_info::name) != layout.tensors().end();
        };
        if (has("head.weight") && has("head.bias"))
            return {{"head.weight", "head.bias"}};
        lathe::merge::dense_layer only;
        for (auto const & t : layout.tensors())
            (t.extents.size() == 2 ? only.weight : only.bias) = t.name;
        return {only};
    }

public:
    recorded_entropy(lathe::parameter_layout layout, lathe::checkpoint & inputs, double entropy_eps,
                     std::function<std::string(std::size_t, std::size_t)> batch)
        : layout_{std::move(layout)}, inputs_{&inputs}, batch_{std::move(batch)},
          classifier_(layout_, layers(layout_), {lathe::merge::classifier_loss::entropy, entropy_eps}) {}
    double value_and_gradient(B & be, lathe::cvec<B, T> x, lathe::vec<B, T> g) {
        double loss = 0;
        auto part = be.template allocate<T>(g.n);
        lathe::ops::fill(be, T(0), g);
        std::size_t k = 0;
        for (std::optional<std::size_t> index; (index = inputs_->find(batch_(call_, k))); ++k) {
            auto const & info = inputs_->tensors()[*index];
            lathe::window_buffer buffer;
            std::vector<T> rows(info.count());
            lathe::host::load(info.type, inputs_->read(*index, 0, info.bytes(), buffer).data(), info.count(),
                              rows.data());
            classifier_.set_rows(be, std::span<T const>{rows});
            loss += classifier_.value_and_gradient(be, x, part.view());
            lathe::ops::axpy(be, T(1), lathe::cvec<B, T>(part.view()), g);
        }
        if (k == 0)
            throw failure{"no inputs '" + batch_(call_, 0) + "' were recorded"};
        ++call_;
        return loss;
    }
};

/// The state of an iteration, rounded to the types of the layout.
template <class B, lathe::real T>
std::unique_ptr<lathe::memory_checkpoint> snapshot(B & be, lathe::parameter_layout const & layout,
                                                   lathe::cvec<B, T> x) {
    auto state = std::make_unique<lathe::memory_checkpoint>("state");
    lathe::write_parameters<B, T>(be, layout, x, *state);
    return state;
}

} // namespace lathe_replay
