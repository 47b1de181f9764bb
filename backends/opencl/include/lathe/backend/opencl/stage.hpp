#pragma once
/// \file  Windows of checkpoints between host and device (core/window.hpp): two of each, so that one is moved while
///        kernels work on the other.
///
/// Transfers have queues of their own, one for each direction; events keep them in order with the kernels. Where host
/// and device share one memory nothing is moved: kernels read and write the windows where they are.
#include <lathe/backend/opencl/memory.hpp>
#include <lathe/core/checkpoint.hpp>

#include <array>

LATHE_NAMESPACE_BEGIN
namespace opencl {

/// Memory of the host as memory of the device. The buffer begins at an aligned address at or before the bytes.
struct shared_bytes {
    memory_handle memory;   ///< a buffer over the host's memory
    std::size_t offset = 0; ///< of the bytes in it

    /// Nothing is copied: the bytes have to outlive all work on them. \throws device_error
    template <class Byte> static shared_bytes of(cl_context context, std::span<Byte> bytes) {
        constexpr std::size_t alignment = 128; // of the largest type of OpenCL C
        auto const offset = reinterpret_cast<std::uintptr_t>(bytes.data()) % alignment;
        auto * const begin = const_cast<std::byte *>(bytes.data()) - offset;
        cl_int status = CL_SUCCESS;
        shared_bytes s;
        s.memory = memory_handle::adopt(clCreateBuffer(
            context, CL_MEM_USE_HOST_PTR | (std::is_const_v<Byte> ? CL_MEM_READ_ONLY : CL_MEM_READ_WRITE),
            offset + bytes.size(), begin, &status));
        s.offset = offset;
        check(status, "clCreateBuffer of a window");
        return s;
    }
    /// The first n of the bytes.
    [[nodiscard]] vec_view<pointer<std::byte>> view(std::size_t n) const {
        return {pointer<std::byte>(memory, offset), n};
    }
};

/// Waits for an event, if there is one, and forgets it. \throws device_error if what it stands for failed
inline void wait_for(event_handle & event) {
    if (!event)
        return;
    auto const raw = event.get();
    auto const status = clWaitForEvents(1, &raw);
    event = {};
    check(status, "clWaitForEvents");
}
/// An event at the end of what is in the queue. \throws device_error
inline event_handle mark(cl_command_queue queue) {
    cl_event event = nullptr;
    check(clEnqueueMarkerWithWaitList(queue, 0, nullptr, &event), "clEnqueueMarkerWithWaitList");
    check(clFlush(queue), "clFlush");
    return event_handle::adopt(event);
}

/// Windows on their way to the device.
class input_stage {
    struct slot {
        window_buffer host;
        buffer<std::byte> device{memory_handle{}, 0};
        shared_bytes shared;
        event_handle written, used;
    };
    std::array<slot, 2> slots_;
    std::size_t turn_ = 0;
    queue_handle kernels_;

public:
    input_stage() = default;
    /// The windows on their way move along.
    input_stage(input_stage &&) noexcept = default;
    input_stage & operator=(input_stage &&) = delete;
    ~input_stage() {
        try { // the bytes may go with the caller
            if (kernels_ && slots_[turn_].shared.memory)
                slots_[turn_].used = mark(kernels_.get());
            for (auto & s : slots_) {
                wait_for(s.written);
                if (s.shared.memory)
                    wait_for(s.used);
            }
        } catch (...) { // said already, or of no interest any more
        }
    }
    /// Waits for the transfer of the last window but one; where memory is shared, for the kernels that read it.
    template <class Backend> window_buffer & next(Backend & be) {
        kernels_ = queue_handle::share(be.queue());
        slots_[turn_].used = mark(be.queue());
        turn_ = 1 - turn_;
        auto & s = slots_[turn_];
        wait_for(s.written);
        if (s.shared.memory) {
            wait_for(s.used);
            s.shared = {};
        }
        return s.host;
    }
    /// The window on the device, behind whose arrival later kernels wait. `bytes` stay as windows::input_stage says.
    /// \throws device_error
    template <class Backend> vec_view<pointer<std::byte>> put(Backend & be, std::span<std::byte const> bytes) {
        auto & s = slots_[turn_];
        if (bytes.empty())
            return {pointer<std::byte>{}, 0};
        if (be.shares_memory()) {
            s.shared = shared_bytes::of(be.context(), bytes);
            return s.shared.view(bytes.size());
        }
        if (s.device.view().n < bytes.size())
            s.device = be.template allocate<std::byte>(bytes.size());
        auto const window = s.device.view().sub(0, bytes.size());
        auto const used = s.used.get();
        cl_event written = nullptr;
        check(clEnqueueWriteBuffer(be.upload_queue(), window.data.memory(), CL_FALSE, 0, bytes.size(), bytes.data(),
                                   used != nullptr ? 1 : 0, used != nullptr ? &used : nullptr, &written),
              "clEnqueueWriteBuffer of a window");
        s.written = event_handle::adopt(written);
        check(clFlush(be.upload_queue()), "clFlush");
        check(clEnqueueBarrierWithWaitList(be.queue(), 1, &written, nullptr), "clEnqueueBarrierWithWaitList");
        return window;
    }
};

/// Windows on their way from the device.
class output_stage {
    struct slot {
        buffer<std::byte> device{memory_handle{}, 0};
        shared_bytes shared;
        std::span<std::byte> to;
        void * mapped = nullptr;
        event_handle fetched;
    };
    std::array<slot, 2> slots_;
    std::size_t turn_ = 0, waited_ = 0; // windows that were begun, and that were waited for
    queue_handle kernels_;

    void finish(slot & s) {
        wait_for(s.fetched);
        if (s.mapped != nullptr)
            check(clEnqueueUnmapMemObject(kernels_.get(), s.shared.memory.get(), std::exchange(s.mapped, nullptr), 0,
                                          nullptr, nullptr),
                  "clEnqueueUnmapMemObject");
        s.shared = {};
    }

public:
    output_stage() = default;
    /// The windows on their way move along.
    output_stage(output_stage && other) noexcept
        : slots_(std::move(other.slots_)), turn_(other.turn_), waited_(other.waited_),
          kernels_(std::move(other.kernels_)) {
        for (auto & s : other.slots_)
            s.mapped = nullptr;
    }
    output_stage & operator=(output_stage &&) = delete;
    ~output_stage() {
        try { // nothing may write to the host any more
            if (slots_[0].shared.memory || slots_[1].shared.memory) {
                auto last = mark(kernels_.get());
                wait_for(last);
            }
            for (auto & s : slots_)
                finish(s);
        } catch (...) { // said already, or of no interest any more
        }
    }
    /// Memory on the device for what is to come to `to`, or `to` itself where memory is shared. \throws device_error
    template <class Backend> vec_view<pointer<std::byte>> begin(Backend & be, std::span<std::byte> to) {
        kernels_ = queue_handle::share(be.queue());
        auto & s = slots_[turn_++ % 2];
        s.to = to;
        if (to.empty())
            return {pointer<std::byte>{}, 0};
        if (be.shares_memory()) {
            s.shared = shared_bytes::of(be.context(), to);
            return s.shared.view(to.size());
        }
        if (s.device.view().n < to.size())
            s.device = be.template allocate<std::byte>(to.size());
        return s.device.view().sub(0, to.size());
    }
    /// All work on the window has been asked for: it goes to the host when that is done. \throws device_error
    template <class Backend> void fetch(Backend & be) {
        auto & s = slots_[(turn_ - 1) % 2];
        if (s.to.empty())
            return;
        cl_event fetched = nullptr;
        cl_int status = CL_SUCCESS;
        if (s.shared.memory) {
            s.mapped = clEnqueueMapBuffer(be.queue(), s.shared.memory.get(), CL_FALSE, CL_MAP_READ, s.shared.offset,
                                          s.to.size(), 0, nullptr, &fetched, &status);
            check(status, "clEnqueueMapBuffer of a window");
            check(clFlush(be.queue()), "clFlush");
        } else {
            auto const made = mark(be.queue());
            auto const raw = made.get();
            check(clEnqueueReadBuffer(be.download_queue(), s.device.view().data.memory(), CL_FALSE, 0, s.to.size(),
                                      s.to.data(), 1, &raw, &fetched),
                  "clEnqueueReadBuffer of a window");
            check(clFlush(be.download_queue()), "clFlush");
        }
        s.fetched = event_handle::adopt(fetched);
    }
    /// Returns when the earliest window that was fetched and not waited for is there. \throws device_error
    template <class Backend> void wait(Backend &) { finish(slots_[waited_++ % 2]); }
};

} // namespace opencl
LATHE_NAMESPACE_END
