#pragma once
/// \file  Windows of checkpoints as operands: what lies between files and kernels.
///
/// With plain pointers a window is the file's own memory. A device whose kernels take storage elements gets the raw
/// bytes, which it widens and rounds itself; any other gets elements widened on the host. One window of each operand is
/// held, or two where the backend moves one while it computes on the other.
#include <lathe/core/checkpoint.hpp>
#include <lathe/core/control.hpp>
#include <lathe/core/ops.hpp>

#include <type_traits>

LATHE_NAMESPACE_BEGIN

/// Elements of one window of a long tensor: a multiple of the summation block, 4 MiB of f32.
inline constexpr std::size_t default_window = std::size_t{1} << 20;

namespace windows {

/// What a window is to kernels of B: elements as they are stored, or elements of T.
template <class B, real T, class Byte, class Element> struct operand {
    using type = vec_view<pointer_t<B, Element>>; ///< elements of T
};
/// For backends whose kernels take elements as they are stored.
template <class B, real T, class Byte, class Element>
    requires has_storage_operands<B, T>
struct operand<B, T, Byte, Element> {
    using type = storage_view<pointer_t<B, Byte>>; ///< elements of a type known at run time
};

/// A buffer of at least n elements: the one that is there, or a new one.
template <class E, class B> vec<B, E> reserve(B & be, std::optional<buffer_t<B, E>> & buffer, std::size_t n) {
    if (!buffer || buffer->view().n < n)
        buffer.emplace(be.template allocate<E>(n));
    return buffer->view().sub(0, n);
}

/// Windows of bytes on their way to the device, one after the other. A backend that can move one window while it
/// computes on another brings a class of its own with these two members, as B::input_stage.
template <class B> class input_stage {
    window_buffer host_;
    std::optional<buffer_t<B, std::byte>> device_;

public:
    /// Memory to read the next window into. All work on the last one has been asked for.
    window_buffer & next(B &) { return host_; }
    /// The window on the device, until the call of `next` after this. `bytes` stay as they are until the second call of
    /// `next` after this, or the end of the stage.
    vec<B, std::byte> put(B & be, std::span<std::byte const> bytes) {
        auto const window = reserve<std::byte>(be, device_, bytes.size());
        be.upload(bytes, window);
        return window;
    }
};
/// Windows of bytes on their way from the device; as B::output_stage, which may leave one window on its way while the
/// next is made.
template <class B> class output_stage {
    std::optional<buffer_t<B, std::byte>> device_;
    std::span<std::byte> to_;

public:
    /// Memory on the device for what is to come to `to`.
    vec<B, std::byte> begin(B & be, std::span<std::byte> to) {
        to_ = to;
        return reserve<std::byte>(be, device_, to.size());
    }
    /// All work on it has been asked for: brings it to the host.
    void fetch(B & be) {
        be.download(vec_view<pointer_t<B, std::byte const>>(device_->view().sub(0, to_.size())), to_);
    }
    /// Returns when the earliest window that was fetched and not waited for is there.
    void wait(B &) {}
};

/// Backends with stages of their own, which move one window while the kernels work on another.
template <class B>
concept overlapped = requires {
    typename B::input_stage;
    typename B::output_stage;
};
/// The stages that windows go through on B.
template <class B> struct stages {
    using input = input_stage<B>;   ///< to the device
    using output = output_stage<B>; ///< from the device
};
/// Its own, if it has some.
template <overlapped B> struct stages<B> {
    using input = typename B::input_stage;   ///< to the device
    using output = typename B::output_stage; ///< from the device
};
/// Without members.
struct nothing {};

/// Whether windows go through a stage.
template <class B, class T> inline constexpr bool staged = has_storage_operands<B, T> && !host_addressable<B, T>;

} // namespace windows

/// What a window of a checkpoint is to kernels of B.
template <class B, real T> using input_operand = typename windows::operand<B, T, std::byte const, T const>::type;
/// What a window that is written is to kernels of B.
template <class B, real T> using output_operand = typename windows::operand<B, T, std::byte, T>::type;

/// Reads windows of one checkpoint at a time; a window is valid until the next read. A checkpoint outlives the reader,
/// or its next read but one.
template <class B, real T> class window_reader {
    static constexpr bool staged = windows::staged<B, T>;
    struct on_host {
        window_buffer bytes;
        std::vector<T> elements;
        std::optional<buffer_t<B, T>> device;
    };
    std::conditional_t<staged, typename windows::stages<B>::input, on_host> stage_;

public:
    /// Elements [first, first + count) of tensor `index`. \throws shape_error, unsupported_error, and what the
    /// checkpoint throws
    input_operand<B, T> read(B & be, checkpoint & from, std::size_t index, std::size_t first, std::size_t count) {
        auto const & info = from.tensors()[index];
        auto const size = size_of(info.type);
        auto const bytes_in = [&](window_buffer & buffer) {
            return from.read(index, first * size, count * size, buffer);
        };
        if constexpr (host_addressable<B, T>)
            return storage_of(bytes_in(stage_.bytes), info.type);
        else if constexpr (staged)
            return storage_view<pointer_t<B, std::byte const>>(stage_.put(be, bytes_in(stage_.next(be))).data,
                                                               info.type, count);
        else {
            auto & host = stage_.elements;
            host.resize(std::max(host.size(), count));
            host::load(info.type, bytes_in(stage_.bytes).data(), count, host.data());
            auto const y = windows::reserve<T>(be, stage_.device, count);
            be.upload(std::span<T const>{host.data(), count}, y);
            return y;
        }
    }
};

/// Writes windows to a sink, one at a time: `begin` gives the operand to fill, `end` says that it is filled, `finish`
/// that there are no more. A window may reach the sink after its `end`, but they do so in order.
template <class B, real T> class window_writer {
    static constexpr bool staged = windows::staged<B, T>;
    static constexpr bool overlapped = staged && windows::overlapped<B>;
    struct place {
        std::size_t index, first; // in bytes
        std::span<std::byte> bytes;
    };
    struct on_host {
        std::vector<T> elements;
        std::optional<buffer_t<B, T>> device;
    };
    std::array<window_buffer, overlapped ? 2 : 1> memory_;
    std::conditional_t<staged, typename windows::stages<B>::output, on_host> stage_; // goes before the memory it fills
    std::size_t turn_ = 0;
    place now_{};
    std::optional<place> under_way_;
    dtype type_ = dtype::f32;

public:
    /// Where kernels are to put elements [first, first + count) of tensor `index` of the sink, which `info` describes.
    /// \throws what the sink throws
    output_operand<B, T> begin(B & be, checkpoint_sink & to, tensor_info const & info, std::size_t index,
                               std::size_t first, std::size_t count) {
        auto const size = size_of(info.type);
        type_ = info.type;
        now_ = {index, first * size, to.window(index, first * size, count * size, memory_[turn_])};
        turn_ = (turn_ + 1) % memory_.size();
        if constexpr (host_addressable<B, T>)
            return storage_of(now_.bytes, info.type);
        else if constexpr (staged)
            return storage_view<pointer_t<B, std::byte>>(stage_.begin(be, now_.bytes).data, info.type, count);
        else
            return windows::reserve<T>(be, stage_.device, count);
    }
    /// All work on the operand has been asked for. \throws what the sink and the backend throw
    void end(B & be, checkpoint_sink & to) {
        if constexpr (staged)
            stage_.fetch(be);
        else if constexpr (!host_addressable<B, T>) {
            auto const count = now_.bytes.size() / size_of(type_);
            auto & host = stage_.elements;
            host.resize(std::max(host.size(), count));
            be.download(cvec<B, T>(stage_.device->view().sub(0, count)), std::span<T>{host.data(), count});
            host::store(type_, static_cast<T const *>(host.data()), count, now_.bytes.data());
        }
        if constexpr (overlapped) {
            finish(be, to);
            under_way_ = now_;
        } else {
            if constexpr (staged)
                stage_.wait(be);
            to.commit(now_.index, now_.first, now_.bytes);
        }
    }
    /// Brings what is on its way to the sink, which it does not finish. \throws what the sink and the backend throw
    void finish([[maybe_unused]] B & be, [[maybe_unused]] checkpoint_sink & to) {
        if constexpr (overlapped)
            if (under_way_) {
                stage_.wait(be);
                to.commit(under_way_->index, under_way_->first, under_way_->bytes);
                under_way_.reset();
            }
    }
};

/// Calls f(first, count) for the windows of a tensor of n elements, in order.
template <class F> void for_each_window(std::size_t n, std::size_t window, F && f) {
    for (std::size_t first = 0; first < n; first += window)
        f(first, std::min(window, n - first));
}

LATHE_NAMESPACE_END
