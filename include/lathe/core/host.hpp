#pragma once
/// \file  Kernels on host memory: the interpreter that every backend with plain pointers shares.
///
/// Elements go through in blocks that stay in the first-level cache: widened into it where the storage type is not the
/// compute type, read in place where it is; the kernel runs on packets; the result is rounded once on its way out.
/// Everything is read once and written once. Parallel tasks are cut by size, so any number of threads gives the same bits.
#include <lathe/core/convert.hpp>
#include <lathe/core/executor.hpp>
#include <lathe/core/kernel.hpp>
#include <lathe/random/philox.hpp>

#include <tuple>

LATHE_NAMESPACE_BEGIN
namespace host {

/// Elements of one summation block: sums over it are kept in T, lane by lane; sums of blocks in double, in order.
inline constexpr std::size_t reduction_block = 4096;
/// Elements of one parallel task. A multiple of reduction_block.
inline constexpr std::size_t task_elements = 16 * reduction_block;

inline namespace LATHE_VECTOR_ABI {

/// Elements between load and store: what the first-level cache holds of some ten operands.
inline constexpr std::size_t cache_block = 512;

/// Reads an operand block by block. `seek` makes elements [first, first + count) available, `at` gives the packet from
/// element i of them on; the last packet of a block may reach beyond `count`, where it holds zeros.
template <real T, class Operand> class cursor;

/// A cursor over elements in memory: in place where the type is T and the block is whole packets, else through a buffer.
template <real T> class element_cursor {
    std::vector<T> buffer_;
    T const * at_ = nullptr;

public:
    [[nodiscard]] T const * data() const noexcept { return at_; }
    [[nodiscard]] packet<T> at(std::size_t i) const { return packet<T>::load(at_ + i); }
    void seek(dtype type, std::byte const * from, std::size_t count) {
        if (type == dtype_of<T> && count % packet_size<T> == 0) {
            at_ = reinterpret_cast<T const *>(from); // read through an unaligned type only
            return;
        }
        load(type, from, count, buffer(count));
    }
    /// Where to put `count` elements that are made, not read.
    T * buffer(std::size_t count) {
        if (buffer_.empty())
            buffer_.resize(cache_block);
        for (std::size_t i = count; i % packet_size<T> != 0; ++i)
            buffer_[i] = T(0);
        at_ = buffer_.data();
        return buffer_.data();
    }
};
template <real T, class P>
    requires std::same_as<std::remove_const_t<P>, T>
class cursor<T, vec_view<P *>> {
    vec_view<P const *> view_;
    element_cursor<T> elements_;

public:
    explicit cursor(vec_view<P *> v) : view_(v) {}
    void seek(std::size_t first, std::size_t count) {
        elements_.seek(dtype_of<T>, reinterpret_cast<std::byte const *>(view_.data + first), count);
    }
    [[nodiscard]] T const * data() const noexcept { return elements_.data(); }
    [[nodiscard]] packet<T> at(std::size_t i) const { return elements_.at(i); }
};
template <real T, class P> class cursor<T, storage_view<P *>> {
    storage_view<std::byte const *> view_;
    element_cursor<T> elements_;

public:
    explicit cursor(storage_view<P *> v) : view_(v) {}
    void seek(std::size_t first, std::size_t count) { elements_.seek(view_.type, view_.data + first * size_of(view_.type), count); }
    [[nodiscard]] T const * data() const noexcept { return elements_.data(); }
    [[nodiscard]] packet<T> at(std::size_t i) const { return elements_.at(i); }
};
template <real T> class cursor<T, random::uniform_stream> {
    random::uniform_stream stream_;
    element_cursor<T> elements_;

public:
    explicit cursor(random::uniform_stream s) : stream_(s) {}
    void seek(std::size_t first, std::size_t count) {
        T * const out = elements_.buffer(count);
        std::uint64_t i = stream_.first + first;
        for (std::size_t done = 0; done != count;) {
            auto const quad = stream_.quad(i / 4);
            for (std::size_t lane = i % 4; lane != 4 && done != count; ++lane, ++i)
                out[done++] = static_cast<T>(quad[lane]);
        }
    }
    [[nodiscard]] T const * data() const noexcept { return elements_.data(); }
    [[nodiscard]] packet<T> at(std::size_t i) const { return elements_.at(i); }
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
    std::vector<T const *> data_;

public:
    /// What the kernel sees of a list: packets by index.
    struct packets {
        T const * const * data;
        std::size_t count, i;
        [[nodiscard]] std::size_t size() const noexcept { return count; }
        [[nodiscard]] packet<T> operator[](std::size_t k) const { return packet<T>::load(data[k] + i); }
    };
    explicit cursor(list<Operand> const & l) : data_(l.items.size()) {
        cursors_.reserve(l.items.size());
        for (auto const & operand : l.items)
            cursors_.emplace_back(operand);
    }
    void seek(std::size_t first, std::size_t count) {
        for (std::size_t k = 0; k != cursors_.size(); ++k) {
            cursors_[k].seek(first, count);
            data_[k] = cursors_[k].data();
        }
    }
    [[nodiscard]] packets at(std::size_t i) const { return {data_.data(), data_.size(), i}; }
};

/// Writes an output block by block: `begin` says where packets go, `end` puts them in place.
template <real T> class output_cursor {
    std::byte * data_;
    dtype type_;
    std::vector<T> buffer_;
    T * at_ = nullptr;

public:
    explicit output_cursor(vec_view<T *> v) : data_(reinterpret_cast<std::byte *>(v.data)), type_(dtype_of<T>) {}
    explicit output_cursor(storage_view<std::byte *> v) : data_(v.data), type_(v.type) {}
    void begin(std::size_t first, std::size_t count) {
        if (type_ == dtype_of<T> && count % packet_size<T> == 0) {
            at_ = reinterpret_cast<T *>(data_ + first * sizeof(T)); // written through an unaligned type only
            return;
        }
        if (buffer_.empty())
            buffer_.resize(cache_block);
        at_ = buffer_.data();
    }
    void put(std::size_t i, packet<T> const & p) { p.store(at_ + i); }
    void end(std::size_t first, std::size_t count) {
        if (at_ == buffer_.data() && count != 0)
            store(type_, static_cast<T const *>(at_), count, data_ + first * size_of(type_));
    }
};

/// out[i] = kernel(in[i]...) for all i < n. With several outputs the kernel returns a std::array of as many values.
/// An output may be one of the inputs; it must not overlap one otherwise. Time: one pass over every operand.
template <real T, class Executor, class Kernel, class... Outs, class... Ins>
void map(Executor & e, Kernel const & kernel, std::size_t n, std::tuple<Outs...> const & outs, Ins const &... ins) {
    auto const tasks = (n + task_elements - 1) / task_elements;
    e.parallel_for(tasks, [&](std::size_t task) {
        std::tuple<cursor<T, Ins>...> in{cursor<T, Ins>(ins)...};
        std::apply([&](auto const &... out) {
            std::array<output_cursor<T>, sizeof...(Outs)> targets{output_cursor<T>(out)...};
            auto const last = std::min(n, (task + 1) * task_elements);
            for (auto first = task * task_elements; first != last;) {
                auto const count = std::min(cache_block, last - first);
                std::apply([&](auto &... c) { (c.seek(first, count), ...); }, in);
                for (auto & t : targets)
                    t.begin(first, count);
                for (std::size_t i = 0; i < count; i += packet_size<T>)
                    std::apply([&](auto const &... c) {
                        if constexpr (sizeof...(Outs) == 1)
                            targets[0].put(i, packet<T>(kernel(c.at(i)...)));
                        else {
                            auto const values = kernel(c.at(i)...);
                            for (std::size_t k = 0; k != sizeof...(Outs); ++k)
                                targets[k].put(i, packet<T>(values[k]));
                        }
                    }, in);
                for (auto & t : targets)
                    t.end(first, count);
                first += count;
            }
        }, outs);
    });
}

/// What a reducing kernel adds to. Partial: the last packet of an odd block counts its first lanes only.
template <real T, bool Partial> class accumulators {
    packet<T> * sums_;
    packet_mask<T> const * valid_;

public:
    accumulators(packet<T> * sums, packet_mask<T> const * valid) : sums_(sums), valid_(valid) {}
    void add(std::size_t k, packet<T> const & value) {
        if constexpr (Partial)
            sums_[k] += valid_->select(value, packet<T>(T(0)));
        else
            sums_[k] += value;
    }
};

/// totals[k] += the sum over i < n of what kernel(sums, in[i]...) adds to sums k. Blocks of 4096 elements are summed in T,
/// lane by lane, their sums in double in order: the same bits for any executor, and for any way to cut a long operand
/// into calls at multiples of 4096. Time: one pass over every operand, whatever the number of sums.
template <real T, class Executor, class Kernel, class... Ins>
void reduce(Executor & e, Kernel const & kernel, std::size_t n, std::span<double> totals, Ins const &... ins) {
    auto const sums = totals.size();
    std::vector<double> partial((n + reduction_block - 1) / reduction_block * sums);
    auto const tasks = (n + task_elements - 1) / task_elements;
    e.parallel_for(tasks, [&](std::size_t task) {
        std::tuple<cursor<T, Ins>...> in{cursor<T, Ins>(ins)...};
        std::vector<packet<T>> lanes(sums);
        auto const last = std::min(n, (task + 1) * task_elements);
        for (auto block = task * task_elements; block < last; block += reduction_block) {
            std::fill(lanes.begin(), lanes.end(), packet<T>(T(0)));
            auto const block_end = std::min(last, block + reduction_block);
            for (auto first = block; first != block_end;) {
                auto const count = std::min(cache_block, block_end - first);
                auto const whole = count - count % packet_size<T>;
                std::apply([&](auto &... c) {
                    (c.seek(first, count), ...);
                    accumulators<T, false> all(lanes.data(), nullptr);
                    for (std::size_t i = 0; i != whole; i += packet_size<T>)
                        kernel(all, c.at(i)...);
                    if (whole != count) {
                        auto const valid = packet_mask<T>::first(count - whole);
                        accumulators<T, true> some(lanes.data(), &valid);
                        kernel(some, c.at(whole)...);
                    }
                }, in);
                first += count;
            }
            auto * const out = partial.data() + block / reduction_block * sums;
            for (std::size_t k = 0; k != sums; ++k) {
                std::array<T, packet_size<T>> values;
                lanes[k].store(values.data());
                for (auto const v : values)
                    out[k] += static_cast<double>(v);
            }
        }
    });
    for (std::size_t i = 0; i != partial.size(); ++i)
        totals[i % sums] += partial[i];
}

} // namespace LATHE_VECTOR_ABI
} // namespace host
LATHE_NAMESPACE_END
