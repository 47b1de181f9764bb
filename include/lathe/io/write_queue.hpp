#pragma once
/// \file  Writing files on a thread of its own, so that the next window is computed while the last one is written.
#include <lathe/core/checkpoint.hpp>
#include <lathe/io/file.hpp>

#include <condition_variable>
#include <deque>
#include <exception>
#include <thread>

LATHE_NAMESPACE_BEGIN
namespace io {

/// Lends buffers to one producer and writes those handed back, in order, on one thread. At most three buffers exist:
/// the producer waits rather than run ahead of the disk. The thread starts with the first write.
///
/// A write that fails drops what follows it, and is thrown by the producer's next call.
class write_queue {
    enum class use : unsigned char { free, lent, queued };
    struct slot {
        window_buffer memory;
        std::byte const * data = nullptr;
        use state = use::free;
    };
    struct job {
        staged_file * to;
        std::uint64_t offset;
        std::span<std::byte const> bytes;
        slot * from;
    };
    std::array<slot, 3> slots_;
    std::deque<job> jobs_;
    std::mutex mutex_;
    std::condition_variable work_, done_;
    std::exception_ptr failure_;
    bool stop_ = false;
    std::thread thread_;

    void serve() {
        for (std::unique_lock lock{mutex_};;) {
            work_.wait(lock, [&] { return stop_ || !jobs_.empty(); });
            if (stop_)
                return;
            auto const next = jobs_.front();
            if (!failure_) {
                lock.unlock();
                std::exception_ptr failure;
                try {
                    next.to->write(next.bytes, next.offset);
                } catch (...) {
                    failure = std::current_exception();
                }
                lock.lock();
                failure_ = failure;
            }
            jobs_.pop_front();
            next.from->state = use::free;
            done_.notify_one();
        }
    }
    void rethrow() const {
        if (failure_)
            std::rethrow_exception(failure_);
    }
    [[nodiscard]] slot * first(use state) {
        auto const at = std::ranges::find(slots_, state, &slot::state);
        return at == slots_.end() ? nullptr : &*at;
    }

public:
    /// Longer windows are not worth three buffers.
    static constexpr std::size_t max_window = std::size_t{16} << 20;

    write_queue() = default;
    write_queue(write_queue const &) = delete;
    write_queue & operator=(write_queue const &) = delete;
    ~write_queue() {
        {
            std::lock_guard const lock{mutex_};
            stop_ = true;
        }
        work_.notify_one();
        if (thread_.joinable())
            thread_.join();
    }

    /// A buffer of `size` bytes; empty if it would be too long, or if the producer holds all of them.
    std::span<std::byte> lend(std::size_t size) {
        if (size == 0 || size > max_window)
            return {};
        std::unique_lock lock{mutex_};
        done_.wait(lock, [&] { return first(use::free) != nullptr || first(use::queued) == nullptr; });
        rethrow();
        auto * const s = first(use::free);
        if (s == nullptr)
            return {};
        auto const memory = s->memory.reserve(size);
        s->state = use::lent;
        s->data = memory.data();
        return memory;
    }
    /// Queues a write if `bytes` were lent by this queue; tells whether. `to` must outlive the write.
    bool submit(staged_file & to, std::uint64_t offset, std::span<std::byte const> bytes) {
        std::lock_guard const lock{mutex_};
        rethrow();
        auto const s = std::ranges::find_if(
            slots_, [&](slot const & x) { return x.state == use::lent && x.data == bytes.data(); });
        if (s == slots_.end())
            return false;
        jobs_.push_back({&to, offset, bytes, &*s});
        s->state = use::queued;
        if (!thread_.joinable())
            thread_ = std::thread{[this] { serve(); }};
        work_.notify_one();
        return true;
    }
    /// Returns when all is written.
    void drain() {
        std::unique_lock lock{mutex_};
        done_.wait(lock, [&] { return jobs_.empty(); });
        rethrow();
    }
};

} // namespace io
LATHE_NAMESPACE_END
