#pragma once
/// \file  Executors: how a host backend runs independent blocks. Blocks are fixed by size, never by the number of
///        threads, so every executor gives the same bits.
#include <lathe/core/error.hpp>

#include <algorithm>
#include <atomic>
#include <concepts>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

LATHE_NAMESPACE_BEGIN

/// Runs f(0) ... f(count - 1) in any order, on any threads, and returns when all are done; the first exception comes
/// out.
template <class E>
concept executor =
    std::movable<E> && requires(E & e, std::size_t count, void (*f)(std::size_t)) { e.parallel_for(count, f); };

/// One thread: the caller's.
struct serial_executor {
    /// f(0) ... f(count - 1), in this order. The first exception ends it.
    template <class F> void parallel_for(std::size_t count, F && f) {
        for (std::size_t i = 0; i != count; ++i)
            f(i);
    }
};

/// A fork-join pool over std::thread. The caller is one of the threads; the others are started by the first parallel
/// call and sleep between calls. Calls from inside a block run serially. Not for use by two threads at once.
class thread_pool {
    struct state {
        std::mutex mutex;
        std::condition_variable work, done;
        std::vector<std::thread> threads;
        void (*run)(void *, std::size_t) = nullptr;
        void * context = nullptr;
        std::size_t count = 0, generation = 0, active = 0;
        std::atomic<std::size_t> next{0};
        std::atomic<bool> failed{false};
        std::exception_ptr failure;
        bool stop = false;

        void take_blocks() noexcept {
            for (std::size_t i; !failed.load(std::memory_order_relaxed) && (i = next.fetch_add(1)) < count;) {
                try {
                    run(context, i);
                } catch (...) {
                    std::lock_guard const lock{mutex};
                    if (!failure)
                        failure = std::current_exception();
                    failed = true;
                }
            }
        }
        void serve() {
            std::size_t seen = 0;
            for (std::unique_lock lock{mutex};;) {
                work.wait(lock, [&] { return stop || generation != seen; });
                if (stop)
                    return;
                seen = generation;
                lock.unlock();
                take_blocks();
                lock.lock();
                if (--active == 0)
                    done.notify_one();
            }
        }
        ~state() {
            {
                std::lock_guard const lock{mutex};
                stop = true;
            }
            work.notify_all();
            for (auto & t : threads)
                t.join();
        }
    };
    std::size_t threads_;
    std::unique_ptr<state> state_;
    bool busy_ = false;

public:
    /// `threads` counts the caller; 0 means one per processor.
    explicit thread_pool(std::size_t threads = 1)
        : threads_{threads != 0 ? threads : std::max(1u, std::thread::hardware_concurrency())} {}

    /// How many, the caller included.
    [[nodiscard]] std::size_t threads() const noexcept { return threads_; }

    /// Each i goes to the next thread that is free. After an exception no more are begun; it comes out when those under
    /// way are done.
    template <class F> void parallel_for(std::size_t count, F && f) {
        if (count <= 1 || threads_ == 1 || busy_) {
            for (std::size_t i = 0; i != count; ++i)
                f(i);
            return;
        }
        if (!state_)
            start();
        auto & s = *state_;
        {
            std::lock_guard const lock{s.mutex};
            s.run = [](void * context, std::size_t i) { (*static_cast<std::remove_reference_t<F> *>(context))(i); };
            s.context = const_cast<void *>(static_cast<void const *>(std::addressof(f)));
            s.count = count;
            s.next = 0;
            s.failed = false;
            s.failure = nullptr;
            s.active = s.threads.size();
            ++s.generation;
            busy_ = true; // before any block of this call runs, for it may call again
        }
        s.work.notify_all();
        s.take_blocks();
        std::unique_lock lock{s.mutex};
        s.done.wait(lock, [&] { return s.active == 0; });
        busy_ = false;
        if (s.failure)
            std::rethrow_exception(s.failure);
    }

private:
    void start() {
        state_ = std::make_unique<state>();
        for (std::size_t i = 1; i != threads_; ++i)
            state_->threads.emplace_back([s = state_.get()] { s->serve(); });
    }
};

LATHE_NAMESPACE_END
