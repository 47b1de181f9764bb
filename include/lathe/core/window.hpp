#pragma once
/// \file  Windows of checkpoints as operands: what lies between files and kernels.
///
/// With plain pointers a window is the file's own memory. A device whose kernels take storage elements gets the raw
/// bytes; any other gets elements widened on the host. Either way one window of each operand is held, and no more.
#include <lathe/core/checkpoint.hpp>
#include <lathe/core/control.hpp>
#include <lathe/core/ops.hpp>

#include <type_traits>

LATHE_NAMESPACE_BEGIN

/// Elements of one window of a long tensor: a multiple of the summation block, 4 MiB of f32.
inline constexpr std::size_t default_window = std::size_t{1} << 20;

/// What a window of a checkpoint is to kernels of B.
template <class B, real T>
using input_operand = std::conditional_t<host_addressable<B, T>, storage_view<std::byte const *>, cvec<B, T>>;
/// What a window that is written is to kernels of B.
template <class B, real T>
using output_operand = std::conditional_t<host_addressable<B, T>, storage_view<std::byte *>, vec<B, T>>;

/// Reads windows of one checkpoint at a time; a window is valid until the next read.
template <class B, real T> class window_reader {
    window_buffer bytes_;
    std::vector<T> host_;
    std::optional<buffer_t<B, T>> device_;

public:
    /// Elements [first, first + count) of tensor `index`. \throws shape_error, unsupported_error, and what the
    /// checkpoint throws
    input_operand<B, T> read(B & be, checkpoint & from, std::size_t index, std::size_t first, std::size_t count) {
        auto const & info = from.tensors()[index];
        auto const size = size_of(info.type);
        auto const bytes = from.read(index, first * size, count * size, bytes_);
        if constexpr (host_addressable<B, T>)
            return storage_of(bytes, info.type);
        else {
            if (!device_ || host_.size() < count) {
                host_.resize(count);
                device_.emplace(be.template allocate<T>(count));
            }
            host::load(info.type, bytes.data(), count, host_.data());
            auto const y = device_->view().sub(0, count);
            be.upload(std::span<T const>{host_.data(), count}, y);
            return y;
        }
    }
};

/// Writes windows to a sink, one at a time: `begin` gives the operand to fill, `end` hands it over.
template <class B, real T> class window_writer {
    window_buffer bytes_;
    std::span<std::byte> window_;
    std::vector<T> host_;
    std::optional<buffer_t<B, T>> device_;
    std::size_t index_ = 0, first_ = 0;
    dtype type_ = dtype::f32;

public:
    output_operand<B, T> begin(B & be, checkpoint_sink & to, tensor_info const & info, std::size_t index,
                               std::size_t first, std::size_t count) {
        auto const size = size_of(info.type);
        index_ = index;
        first_ = first * size;
        type_ = info.type;
        window_ = to.window(index, first_, count * size, bytes_);
        if constexpr (host_addressable<B, T>)
            return storage_of(window_, info.type);
        else {
            if (!device_ || host_.size() < count) {
                host_.resize(count);
                device_.emplace(be.template allocate<T>(count));
            }
            return device_->view().sub(0, count);
        }
    }
    void end(B & be, checkpoint_sink & to) {
        if constexpr (!host_addressable<B, T>) {
            auto const count = window_.size() / size_of(type_);
            be.download(cvec<B, T>(device_->view().sub(0, count)), std::span<T>{host_.data(), count});
            host::store(type_, static_cast<T const *>(host_.data()), count, window_.data());
        }
        to.commit(index_, first_, window_);
    }
};

/// Calls f(first, count) for the windows of a tensor of n elements, in order.
template <class F> void for_each_window(std::size_t n, std::size_t window, F && f) {
    for (std::size_t first = 0; first < n; first += window)
        f(first, std::min(window, n - first));
}

LATHE_NAMESPACE_END
