#pragma once
/// \file  Kernels on host memory: the interpreter that every backend with plain pointers shares.
///
/// Elements go through in blocks that stay in the first-level cache: widened into it where the storage type is not the
/// compute type, read in place where it is; the kernel runs on packets; the result is rounded once on its way out.
/// Everything is read once and written once. Parallel tasks are cut by size, so any number of threads gives the same
/// bits.
#include <lathe/core/convert.hpp>
#include <lathe/core/executor.hpp>
#include <lathe/core/kernel.hpp>
#include <lathe/random/philox.hpp>

#include <tuple>

LATHE_NAMESPACE_BEGIN
namespace host {

/// Elements of one summation block: sums over it are kept in T, lane by lane; sums of blocks in double, in order.
inline constexpr std::size_t reduction_block = 4096;
/// Terms a lane sums up before its sum goes on in double: with equal terms the error stays below 32 eps. float gets
/// there at the end of a block, double half-way.
inline constexpr std::size_t lane_terms = 256;
/// Elements of one parallel task. A multiple of reduction_block.
inline constexpr std::size_t task_elements = 16 * reduction_block;

inline namespace LATHE_VECTOR_ABI {

/// Elements between load and store: what the first-level cache holds of some ten operands.
inline constexpr std::size_t cache_block = 512;

/// How far ahead of its reading memory is asked for. Processors see by themselves where a loop is going, but not when
/// it also keeps sums in memory or branches: then this halves the time.
inline constexpr std::size_t prefetch_bytes = 2048;

/// Elements in memory as packets. Two-byte floats are widened as they are read: a buffer between would cost more than
/// the widening. Everything else is of type T here.
template <real T> struct packet_source {
    std::byte const * data = nullptr; ///< the first element, at any alignment
    dtype type = dtype_of<T>;         ///< of the elements; `reads` it

    /// Whether elements of this type can be read as packets, without a buffer between.
    [[nodiscard]] static constexpr bool reads(dtype t) {
        return t == dtype_of<T>
               || (std::same_as<T, float> && (t == dtype::bf16 || (t == dtype::f16 && !halves_in_blocks)));
    }
    /// Elements i, i + 1, ... All of the packet is read: the caller knows that memory reaches so far.
    [[nodiscard]] packet<T> at(std::size_t i) const {
        auto const bytes = type == dtype_of<T> ? sizeof(T) : 2; // of an element
        __builtin_prefetch(
            reinterpret_cast<void const *>(reinterpret_cast<std::uintptr_t>(data) + i * bytes + prefetch_bytes));
        if constexpr (std::same_as<T, float>) {
            if (type == dtype::bf16)
                return widen_packet<bfloat16>(data + 2 * i);
            if (!halves_in_blocks && type == dtype::f16)
                return widen_packet<half>(data + 2 * i);
        }
        return packet<T>::load(reinterpret_cast<T const *>(data) + i); // through an unaligned type only
    }
};

/// Reads an operand block by block. `seek` makes elements [first, first + count) available, `at` gives the packet from
/// element i of them on; the last packet of a block may reach beyond `count`, where it holds zeros.
template <real T, class Operand> class cursor;

/// A cursor over elements in memory: in place where the block is whole packets of a type that can be read, else through
/// a buffer of T.
template <real T> class element_cursor {
    packet_source<T> source_;
    std::vector<T> buffer_;

public:
    /// What is read at present: the elements themselves, or the buffer.
    [[nodiscard]] packet_source<T> const & source() const noexcept { return source_; }
    /// The packet from element i of the block on.
    [[nodiscard]] packet<T> at(std::size_t i) const { return source_.at(i); }
    /// Goes to the `count` elements of that type at `from`. \throws unsupported_error for elements without arithmetic
    void seek(dtype type, std::byte const * from, std::size_t count) {
        if (packet_source<T>::reads(type) && count % packet_size<T> == 0)
            source_ = {from, type};
        else
            load(type, from, count, buffer(count));
    }
    /// Where to put `count` elements that are made, not read.
    T * buffer(std::size_t count) {
        if (buffer_.empty())
            buffer_.resize(cache_block);
        for (std::size_t i = count; i % packet_size<T> != 0; ++i)
            buffer_[i] = T(0);
        source_ = {reinterpret_cast<std::byte const *>(buffer_.data()), dtype_of<T>};
        return buffer_.data();
    }
};
// One for each operand of core/kernel.hpp.
/// \cond cursors
template <real T, class P>
    requires std::same_as<std::remove_const_t<P>, T>
class cursor<T, vec_view<P *>> : public element_cursor<T> {
    vec_view<P const *> view_;

public:
    explicit cursor(vec_view<P *> v) : view_(v) {}
    void seek(std::size_t first, std::size_t count) {
        element_cursor<T>::seek(dtype_of<T>, reinterpret_cast<std::byte const *>(view_.data + first), count);
    }
};
template <real T, class P> class cursor<T, storage_view<P *>> : public element_cursor<T> {
    storage_view<std::byte const *> view_;

public:
    explicit cursor(storage_view<P *> v) : view_(v) {}
    void seek(std::size_t first, std::size_t count) {
        element_cursor<T>::seek(view_.type, view_.data + first * size_of(view_.type), count);
    }
};
template <real T> class cursor<T, random::uniform_stream> : public element_cursor<T> {
    random::uniform_stream stream_;

public:
    explicit cursor(random::uniform_stream s) : stream_(s) {}
    void seek(std::size_t first, std::size_t count) {
        T * const out = this->buffer(count);
        std::uint64_t i = stream_.first + first;
        for (std::size_t done = 0; done != count;) {
            auto const quad = stream_.quad(i / 4);
            for (std::size_t lane = i % 4; lane != 4 && done != count; ++lane, ++i)
                out[done++] = static_cast<T>(quad[lane]);
        }
    }
};
template <real T> class cursor<T, T> {
    T value_;

public:
    explicit cursor(T v) : value_(v) {}
    void seek(std::size_t, std::size_t) {}
    [[nodiscard]] T at(std::size_t) const { return value_; }
};
template <real T> class cursor<T, list<T>> {
    std::span<T const> values_;

public:
    explicit cursor(list<T> v) : values_(v.items) {}
    void seek(std::size_t, std::size_t) {}
    [[nodiscard]] std::span<T const> at(std::size_t) const { return values_; }
};
template <real T, class Operand> class cursor<T, list<Operand>> {
    std::vector<cursor<T, Operand>> cursors_;
    std::vector<packet_source<T>> sources_;

public:
    /// What the kernel sees of a list: packets by index.
    struct packets {
        packet_source<T> const * sources;
        std::size_t count, i;
        [[nodiscard]] std::size_t size() const noexcept { return count; }
        [[nodiscard]] packet<T> operator[](std::size_t k) const { return sources[k].at(i); }
    };
    explicit cursor(list<Operand> const & l) : sources_(l.items.size()) {
        cursors_.reserve(l.items.size());
        for (auto const & operand : l.items)
            cursors_.emplace_back(operand);
    }
    void seek(std::size_t first, std::size_t count) {
        for (std::size_t k = 0; k != cursors_.size(); ++k) {
            cursors_[k].seek(first, count);
            sources_[k] = cursors_[k].source();
        }
    }
    [[nodiscard]] packets at(std::size_t i) const { return {sources_.data(), sources_.size(), i}; }
};
/// \endcond

/// Writes an output block by block: `begin` says where packets go, `end` puts them in place.
template <real T> class output_cursor {
    std::byte * data_;
    dtype type_;
    std::vector<T> buffer_;
    std::byte * at_ = nullptr; // of packets: in place, or in the buffer
    dtype written_ = dtype_of<T>;

public:
    /// Over the elements of an output.
    ///@{
    explicit output_cursor(vec_view<T *> v) : data_(reinterpret_cast<std::byte *>(v.data)), type_(dtype_of<T>) {}
    explicit output_cursor(storage_view<std::byte *> v) : data_(v.data), type_(v.type) {}
    ///@}
    /// Elements [first, first + count) come next. They go in place where they are whole packets of a type that can be
    /// written so, else to a buffer.
    void begin(std::size_t first, std::size_t count) {
        if (packet_source<T>::reads(type_) && count % packet_size<T> == 0) {
            at_ = data_ + first * size_of(type_);
            written_ = type_;
            return;
        }
        if (buffer_.empty())
            buffer_.resize(cache_block);
        at_ = reinterpret_cast<std::byte *>(buffer_.data());
        written_ = dtype_of<T>;
    }
    /// The packet from element i of these on.
    void put(std::size_t i, packet<T> const & p) {
        if constexpr (std::same_as<T, float>) {
            if (written_ == dtype::bf16)
                return narrow_packet<bfloat16>(p, at_ + 2 * i);
            if (!halves_in_blocks && written_ == dtype::f16)
                return narrow_packet<half>(p, at_ + 2 * i);
        }
        p.store(reinterpret_cast<T *>(at_) + i); // through an unaligned type only
    }
    /// All packets are put: rounds what is in the buffer into place. \throws unsupported_error for elements without
    /// arithmetic
    void end(std::size_t first, std::size_t count) {
        if (!buffer_.empty() && at_ == reinterpret_cast<std::byte *>(buffer_.data()))
            store(type_, static_cast<T const *>(buffer_.data()), count, data_ + first * size_of(type_));
    }
};

/// A collector takes what a kernel hands out beside its outputs. `collector(task)` makes one for a parallel task, and
/// of that
///   at(i), at(i, valid)    give what the kernel calls `add(k, value)` on, for the packet from element i of the block on;
///   hold(), release(h)     in the place of at(i): make h, for all whole packets up to the end of a part, and take it back;
///   choose(first, count)   gives {first, count} of what to look at in a part, nothing for a count of 0; else all of it,
///   end_part(count)        says that cache_block elements (at last, fewer) are through,
///   end_block(index)       that a summation block is.
/// This one is for kernels that hand out nothing: they are called without it.
struct no_collector {
    /// Nothing is taken, so nothing is to be done.
    ///@{
    constexpr no_collector operator()(std::size_t) const { return {}; }
    constexpr void end_part(std::size_t) const {}
    constexpr void end_block(std::size_t) const {}
    ///@}
};

/// The interpreter: calls the kernel on every packet of n elements; its values go to `outs`, what it adds to the
/// collector.
template <real T, class Executor, class Kernel, class... Outs, class Collector, class... Ins>
void interpret(Executor & e, Kernel const & kernel, std::size_t n, std::tuple<Outs...> const & outs,
               Collector const & collector, Ins const &... ins) {
    constexpr bool collects = !std::same_as<Collector, no_collector>;
    e.parallel_for((n + task_elements - 1) / task_elements, [&](std::size_t task) {
        std::tuple<cursor<T, Ins>...> in{cursor<T, Ins>(ins)...};
        auto targets = std::apply([](auto const &... out) {
            return std::array<output_cursor<T>, sizeof...(Outs)>{output_cursor<T>(out)...};
        }, outs);
        auto taken = collector(task);
        auto const on_packet = [&]([[maybe_unused]] auto && sums, std::size_t i) {
            std::apply([&](auto const &... c) {
                auto const values = [&] {
                    if constexpr (collects)
                        return kernel(sums, c.at(i)...);
                    else
                        return kernel(c.at(i)...);
                };
                if constexpr (sizeof...(Outs) == 0)
                    values();
                else if constexpr (sizeof...(Outs) == 1)
                    targets[0].put(i, packet<T>(values()));
                else {
                    auto const v = values();
                    for (std::size_t k = 0; k != sizeof...(Outs); ++k)
                        targets[k].put(i, packet<T>(v[k]));
                }
            }, in);
        };
        // Flattened: kernels and all they call are inlined, however large they look to the compiler.
        auto const on_part = [&](std::size_t count) __attribute__((flatten)) {
            auto const whole = count - count % packet_size<T>;
            if constexpr (!collects)
                for (std::size_t i = 0; i < count; i += packet_size<T>)
                    on_packet(taken, i);
            else {
                if constexpr (requires { taken.hold(); }) {
                    auto held = taken.hold();
                    for (std::size_t i = 0; i != whole; i += packet_size<T>)
                        on_packet(held, i);
                    taken.release(held);
                } else
                    for (std::size_t i = 0; i != whole; i += packet_size<T>)
                        on_packet(taken.at(i), i);
                if (whole != count) {
                    auto const valid = packet_mask<T>::first(count - whole);
                    on_packet(taken.at(whole, valid), whole);
                }
            }
        };
        auto const last = std::min(n, (task + 1) * task_elements);
        for (auto block = task * task_elements; block < last; block += reduction_block) {
            auto const block_end = std::min(last, block + reduction_block);
            for (auto first = block; first != block_end;) {
                auto const count = std::min(cache_block, block_end - first);
                std::pair<std::size_t, std::size_t> part{first, count};
                if constexpr (requires { taken.choose(first, count); })
                    part = taken.choose(first, count);
                if (part.second != 0) {
                    std::apply([&](auto &... c) { (c.seek(part.first, part.second), ...); }, in);
                    for (auto & t : targets)
                        t.begin(part.first, part.second);
                    on_part(part.second);
                    for (auto & t : targets)
                        t.end(part.first, part.second);
                }
                taken.end_part(count);
                first += count;
            }
            taken.end_block(block / reduction_block);
        }
    });
}

/// out[i] = kernel(in[i]...) for all i < n. With several outputs the kernel returns a std::array of as many values.
/// An output may be one of the inputs; it must not overlap one otherwise. Time: one pass over every operand.
template <real T, class Executor, class Kernel, class... Outs, class... Ins>
void map(Executor & e, Kernel const & kernel, std::size_t n, std::tuple<Outs...> const & outs, Ins const &... ins) {
    interpret<T>(e, kernel, n, outs, no_collector{}, ins...);
}

/// The collector of sums: over a block in T, lane by lane; the sum of a block in double. Where the compiler knows how
/// many there are, they live in registers.
template <real T, std::size_t Sums = std::dynamic_extent> class sum_collector {
    static constexpr bool fixed = Sums != std::dynamic_extent;

    std::size_t sums_;
    double * partial_; // block after block
    std::vector<packet<T>> lanes_;

    /// What the kernel adds to.
    struct accumulators {
        packet<T> * sums;
        void add(std::size_t k, packet<T> const & value) const { sums[k] += value; }
    };
    struct held_accumulators {
        std::array<packet<T>, fixed ? Sums : 0> sums;
        void add(std::size_t k, packet<T> const & value) { sums[k] += value; }
    };
    /// At the end of an odd block: counts the first lanes only.
    struct partial_accumulators {
        packet<T> * sums;
        packet_mask<T> const & valid;
        void add(std::size_t k, packet<T> const & value) const { sums[k] += valid.select(value, packet<T>(T(0))); }
    };

public:
    /// \param partial where the sums of block b go, from partial[b * sums] on: the caller's
    sum_collector(std::size_t sums, double * partial) : sums_(sums), partial_(partial) {}
    /// For one parallel task, its sums zero.
    [[nodiscard]] sum_collector operator()(std::size_t) const {
        auto fresh = *this;
        fresh.lanes_.assign(sums_, packet<T>(T(0)));
        fresh.block_.assign(sums_, 0.0);
        return fresh;
    }
    /// For a whole packet: the lanes in memory.
    [[nodiscard]] accumulators at(std::size_t) { return {lanes_.data()}; }
    /// For whole packets in a row: the lanes in registers.
    [[nodiscard]] held_accumulators hold() const
        requires fixed
    {
        held_accumulators h;
        std::copy_n(lanes_.begin(), Sums, h.sums.begin());
        return h;
    }
    /// Takes the lanes back from registers.
    void release(held_accumulators const & h)
        requires fixed
    {
        std::ranges::copy(h.sums, lanes_.begin());
    }
    /// For the last packet of an odd block: lanes that are not valid add nothing.
    [[nodiscard]] partial_accumulators at(std::size_t, packet_mask<T> const & valid) { return {lanes_.data(), valid}; }
    /// Moves the lanes into the sums of the block when each has lane_terms terms.
    void end_part(std::size_t count) {
        elements_ += count;
        if (elements_ == lane_terms * packet_size<T>)
            empty_lanes();
    }
    /// Puts the sums of the block in their place, and begins the next with zero.
    void end_block(std::size_t block) {
        empty_lanes();
        std::ranges::copy(block_, partial_ + block * sums_);
        block_.assign(sums_, 0.0);
    }

private:
    std::vector<double> block_; // sums of the block so far
    std::size_t elements_ = 0;  // since the lanes were empty

    void empty_lanes() {
        elements_ = 0;
        for (std::size_t k = 0; k != sums_; ++k) {
            std::array<T, packet_size<T>> values;
            lanes_[k].store(values.data());
            for (auto const v : values)
                block_[k] += static_cast<double>(v);
            lanes_[k] = packet<T>(T(0));
        }
    }
};

/// As `map`, of a kernel(sums, in[i]...) that also adds to sums: totals[k] += the sum over i < n of what it adds to
/// sums k. Blocks of 4096 elements are summed in T, lane by lane, their sums in double in order: the same bits for any
/// executor, and for any way to cut a long operand into calls at multiples of 4096. Time: one pass over every operand,
/// however many sums.
template <real T, class Executor, class Kernel, class... Outs, std::size_t Sums, class... Ins>
void map_reduce(Executor & e, Kernel const & kernel, std::size_t n, std::tuple<Outs...> const & outs,
                std::span<double, Sums> totals, Ins const &... ins) {
    auto const sums = totals.size();
    std::vector<double> partial((n + reduction_block - 1) / reduction_block * sums);
    interpret<T>(e, kernel, n, outs, sum_collector<T, Sums>(sums, partial.data()), ins...);
    for (std::size_t i = 0; i != partial.size(); ++i)
        totals[i % sums] += partial[i];
}
/// The same without outputs.
template <real T, class Executor, class Kernel, std::size_t Sums, class... Ins>
void reduce(Executor & e, Kernel const & kernel, std::size_t n, std::span<double, Sums> totals, Ins const &... ins) {
    map_reduce<T>(e, kernel, n, std::tuple{}, totals, ins...);
}

} // namespace LATHE_VECTOR_ABI
} // namespace host
LATHE_NAMESPACE_END
