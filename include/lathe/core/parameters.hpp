#pragma once
/// \file  All floating tensors of a checkpoint as one vector: the x and the gradient of methods that iterate.
#include <lathe/core/window.hpp>

LATHE_NAMESPACE_BEGIN

/// Where each tensor lies in the vector: one after the other, in ascending order of the bytes of the names.
class parameter_layout {
    std::vector<tensor_info> tensors_;
    std::vector<std::size_t> offsets_{0};

public:
    /// In any order. \throws shape_error for a tensor of more elements than std::size_t counts
    explicit parameter_layout(std::vector<tensor_info> tensors) : tensors_{std::move(tensors)} {
        std::ranges::sort(tensors_, {}, &tensor_info::name);
        for (auto const & t : tensors_)
            offsets_.push_back(offsets_.back() + t.count());
    }
    /// The merged rows of a pool (merge::model_pool).
    template <class Pool>
        requires requires(Pool const & pool) { pool.rows(); }
    static parameter_layout of(Pool const & pool) {
        std::vector<tensor_info> tensors;
        for (auto const & r : pool.rows())
            if (r.merged)
                tensors.push_back(r.info);
        return parameter_layout(std::move(tensors));
    }
    /// In the order they have in the vector.
    [[nodiscard]] std::span<tensor_info const> tensors() const noexcept { return tensors_; }
    /// Elements of the whole vector.
    [[nodiscard]] std::size_t size() const noexcept { return offsets_.back(); }
    /// Where a tensor begins, in elements; of the number of tensors, the end. \throws std::out_of_range beyond that
    [[nodiscard]] std::size_t offset(std::size_t tensor) const { return offsets_.at(tensor); }
    /// The part of x that is a tensor. \throws std::out_of_range beyond the tensors; shape_error if x is too short
    template <class P> [[nodiscard]] vec_view<P> slice(vec_view<P> x, std::size_t tensor) const {
        return x.sub(offsets_.at(tensor), offsets_.at(tensor + 1) - offsets_[tensor]);
    }
    /// Position of a name. \throws mismatch_error
    [[nodiscard]] std::size_t find(std::string_view name) const {
        auto const at = std::ranges::lower_bound(tensors_, name, {},
                                                 [](tensor_info const & t) { return std::string_view{t.name}; });
        if (at == tensors_.end() || at->name != name)
            throw mismatch_error{"parameters: no tensor '" + std::string{name} + "'"};
        return static_cast<std::size_t>(at - tensors_.begin());
    }
};

/// Reads the tensors of `layout` from a checkpoint into x. \throws mismatch_error if a name is missing or a shape
/// differs
template <class B, real T>
    requires elementwise<B, T>
void read_parameters(B & be, parameter_layout const & layout, checkpoint & from, vec<B, T> x) {
    window_reader<B, T> reader;
    for (std::size_t i = 0; i != layout.tensors().size(); ++i) {
        auto const & t = layout.tensors()[i];
        auto const found = from.find(t.name);
        if (!found || from.tensors()[*found].extents != t.extents)
            throw mismatch_error{std::string{from.label()} + ": tensor '" + t.name + "' "
                                 + (found ? "has shape " + to_string(from.tensors()[*found].extents) + ", expected "
                                                + to_string(t.extents)
                                          : std::string{"is missing"})};
        for_each_window(t.count(), default_window, [&](std::size_t first, std::size_t count) {
            ops::map<T>(be, ops::kernels::identity, layout.slice(x, i).sub(first, count),
                        reader.read(be, from, *found, first, count));
        });
    }
}

/// Writes x as the tensors of `layout`, rounded once to their types; begins and finishes the sink.
template <class B, real T>
    requires elementwise<B, T>
void write_parameters(B & be, parameter_layout const & layout, cvec<B, T> x, checkpoint_sink & to,
                      std::map<std::string, std::string> metadata = {}) {
    to.begin({layout.tensors().begin(), layout.tensors().end()}, std::move(metadata));
    window_writer<B, T> writer;
    for (std::size_t i = 0; i != layout.tensors().size(); ++i) {
        auto const & t = layout.tensors()[i];
        for_each_window(t.count(), default_window, [&](std::size_t first, std::size_t count) {
            ops::map<T>(be, ops::kernels::identity, writer.begin(be, to, t, i, first, count),
                        layout.slice(x, i).sub(first, count));
            writer.end(be, to);
        });
    }
    writer.finish(be, to);
    to.finish();
}

LATHE_NAMESPACE_END
