#pragma once
/// \file  Checkpoints as methods see them: a list of named tensors that can be read, or written, a window at a time.
///
/// Files, shards, memory and checkpoints that are computed as they are read all come in by these two interfaces; a
/// method never holds a checkpoint, only one window of each.
#include <lathe/core/dtype.hpp>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

LATHE_NAMESPACE_BEGIN

/// Memory a reader may use for one window. Reused between windows; grows, never shrinks.
class window_buffer {
    std::vector<std::byte> store_;

public:
    /// At least n bytes; what they hold is unspecified.
    std::span<std::byte> reserve(std::size_t n) {
        if (store_.size() < n)
            store_.resize(n);
        return {store_.data(), n};
    }
};

/// A checkpoint that can be read.
class checkpoint {
public:
    checkpoint() = default;
    checkpoint(checkpoint const &) = delete;
    checkpoint & operator=(checkpoint const &) = delete;
    virtual ~checkpoint() = default;

    /// The tensors, in ascending order of the bytes of their names.
    [[nodiscard]] virtual std::span<tensor_info const> tensors() const = 0;
    /// `size` bytes of tensor `index` from byte `first` on: in place where they lie in memory already, else in
    /// `buffer`. Valid until the next read with the same buffer, or until the checkpoint goes. Alignment is not
    /// promised. Calls with different buffers may run at the same time.
    /// \throws shape_error beyond the tensor's end; io_error, format_error from a file
    virtual std::span<std::byte const> read(std::size_t index, std::size_t first, std::size_t size,
                                            window_buffer & buffer) = 0;
    /// What messages call this checkpoint: a path, as a rule.
    [[nodiscard]] virtual std::string_view label() const = 0;
    /// Free-form string metadata (`__metadata__` of safetensors).
    [[nodiscard]] virtual std::map<std::string, std::string> const & metadata() const = 0;

    /// Position of a name in tensors(), by bisection.
    [[nodiscard]] std::optional<std::size_t> find(std::string_view name) const {
        auto const all = tensors();
        auto const at =
            std::ranges::lower_bound(all, name, {}, [](tensor_info const & t) { return std::string_view{t.name}; });
        if (at == all.end() || at->name != name)
            return std::nullopt;
        return static_cast<std::size_t>(at - all.begin());
    }
};

/// A checkpoint that is being written. The tensors are known before the first byte.
class checkpoint_sink {
public:
    checkpoint_sink() = default;
    checkpoint_sink(checkpoint_sink const &) = delete;
    checkpoint_sink & operator=(checkpoint_sink const &) = delete;
    virtual ~checkpoint_sink() = default;

    /// Announces what will be written, once, before anything else. `tensors` is sorted by the bytes of the names.
    virtual void begin(std::vector<tensor_info> tensors, std::map<std::string, std::string> metadata) = 0;
    /// Memory to put `size` bytes of tensor `index` from byte `first` on: the final place if it is in memory, else
    /// `buffer`.
    virtual std::span<std::byte> window(std::size_t index, std::size_t first, std::size_t size,
                                        window_buffer & buffer) = 0;
    /// Hands over a window filled before; `bytes` is what window() returned.
    virtual void commit(std::size_t index, std::size_t first, std::span<std::byte const> bytes) = 0;
    /// Everything is written: makes the result visible under its name, whole. Without it nothing appears.
    virtual void finish() = 0;
};

/// Checks a request against a tensor. \throws shape_error
inline void expects_window(tensor_info const & t, std::size_t first, std::size_t size) {
    auto const all = t.bytes();
    if (first > all || size > all - first)
        throw shape_error{"tensor '" + t.name + "': window of " + std::to_string(size) + " bytes at "
                          + std::to_string(first) + " of " + std::to_string(all)};
}

/// Checks the size of what a tensor is made of. \throws shape_error
inline void expects_bytes(tensor_info const & t, std::size_t bytes) {
    if (bytes != t.bytes())
        throw shape_error{"tensor '" + t.name + "': " + std::to_string(bytes) + " bytes for shape "
                          + to_string(t.extents)};
}

/// A checkpoint in memory: what a program already has, and what tests compare.
class memory_checkpoint final : public checkpoint, public checkpoint_sink {
    std::string label_;
    std::vector<tensor_info> tensors_;
    std::vector<std::vector<std::byte>> bytes_;
    std::map<std::string, std::string> metadata_;

public:
    /// Without tensors. \param label what messages call it
    explicit memory_checkpoint(std::string label = "memory") : label_{std::move(label)} {}

    [[nodiscard]] std::span<tensor_info const> tensors() const override { return tensors_; }
    [[nodiscard]] std::string_view label() const override { return label_; }
    [[nodiscard]] std::map<std::string, std::string> const & metadata() const override { return metadata_; }
    std::span<std::byte const> read(std::size_t index, std::size_t first, std::size_t size, window_buffer &) override {
        expects_window(tensors_[index], first, size);
        return std::span<std::byte const>{bytes_[index]}.subspan(first, size);
    }

    void begin(std::vector<tensor_info> tensors, std::map<std::string, std::string> metadata) override {
        bytes_.clear();
        for (auto const & t : tensors)
            bytes_.emplace_back(t.bytes());
        tensors_ = std::move(tensors);
        metadata_ = std::move(metadata);
    }
    std::span<std::byte> window(std::size_t index, std::size_t first, std::size_t size, window_buffer &) override {
        expects_window(tensors_[index], first, size);
        return std::span<std::byte>{bytes_[index]}.subspan(first, size);
    }
    void commit(std::size_t, std::size_t, std::span<std::byte const>) override {}
    void finish() override {}

    /// Adds a tensor, or replaces the one of that name. \throws shape_error if the bytes do not fill the shape
    void set(tensor_info info, std::span<std::byte const> bytes) {
        expects_bytes(info, bytes.size());
        auto const at = static_cast<std::size_t>(std::ranges::lower_bound(tensors_, info.name, {}, &tensor_info::name)
                                                 - tensors_.begin());
        std::vector<std::byte> copy(bytes.begin(), bytes.end());
        if (at != tensors_.size() && tensors_[at].name == info.name) {
            tensors_[at] = std::move(info);
            bytes_[at] = std::move(copy);
        } else {
            tensors_.insert(tensors_.begin() + static_cast<std::ptrdiff_t>(at), std::move(info));
            bytes_.insert(bytes_.begin() + static_cast<std::ptrdiff_t>(at), std::move(copy));
        }
    }
    /// The same of numbers, whose type becomes that of the tensor.
    template <storage_scalar S> void set(std::string name, shape extents, std::span<S const> values) {
        set({std::move(name), dtype_of<S>, std::move(extents)}, std::as_bytes(values));
    }
    /// The bytes of a tensor, to read or to change in place.
    [[nodiscard]] std::span<std::byte> bytes(std::size_t index) { return bytes_.at(index); }
    /// The same, to be read only.
    [[nodiscard]] std::span<std::byte const> bytes(std::size_t index) const { return bytes_.at(index); }
};

/// A checkpoint over arrays that belong to someone else: they are read where they are, and have to outlive it.
class borrowed_checkpoint final : public checkpoint {
    std::string label_;
    std::vector<tensor_info> tensors_;
    std::vector<std::span<std::byte const>> bytes_;
    std::map<std::string, std::string> metadata_;

public:
    /// Without tensors. \param label what messages call it
    explicit borrowed_checkpoint(std::string label = "arrays") : label_{std::move(label)} {}

    [[nodiscard]] std::span<tensor_info const> tensors() const override { return tensors_; }
    [[nodiscard]] std::string_view label() const override { return label_; }
    [[nodiscard]] std::map<std::string, std::string> const & metadata() const override { return metadata_; }
    std::span<std::byte const> read(std::size_t index, std::size_t first, std::size_t size, window_buffer &) override {
        expects_window(tensors_[index], first, size);
        return bytes_[index].subspan(first, size);
    }

    /// Adds a tensor. \throws shape_error if the bytes do not fill the shape, or the name is taken
    void add(tensor_info info, std::span<std::byte const> bytes) {
        expects_bytes(info, bytes.size());
        auto const at = std::ranges::lower_bound(tensors_, info.name, {}, &tensor_info::name);
        if (at != tensors_.end() && at->name == info.name)
            throw shape_error{"tensor '" + info.name + "': there is one of that name"};
        bytes_.insert(bytes_.begin() + (at - tensors_.begin()), bytes);
        tensors_.insert(at, std::move(info));
    }
    /// The same of numbers, whose type becomes that of the tensor.
    template <storage_scalar S> void add(std::string name, shape extents, std::span<S const> values) {
        add({std::move(name), dtype_of<S>, std::move(extents)}, std::as_bytes(values));
    }
};

LATHE_NAMESPACE_END
