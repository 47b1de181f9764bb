#pragma once
/// \file  Selection: the magnitude of a given rank in vectors that are too long to hold and stream by, exactly.
///
/// A magnitude is an integer once its sign is off: a radix search finds the one sought digit by digit, each pass
/// counting the digits of the elements whose leading ones are known. Counts are integers, so any threads, any windows
/// and any backend give the same answer.
#include <lathe/core/ops.hpp>

#include <mutex>

LATHE_NAMESPACE_BEGIN

/// Magnitudes as integers in the same order. All NaN are one pattern, above that of infinity.
template <real T> struct magnitude_pattern {
    using type = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    static constexpr unsigned bits = 8 * sizeof(T) - 1;
    static constexpr type infinity = std::bit_cast<type>(std::numeric_limits<T>::infinity());
    static constexpr type nan = infinity + 1;
    static constexpr T value(type p) {
        return p > infinity ? std::numeric_limits<T>::quiet_NaN() : std::bit_cast<T>(p);
    }
};

/// The digit a pass counts: `width` bits from bit `shift` on, of the patterns whose higher bits are prefixes[k].
template <real T> struct digit_query {
    std::span<typename magnitude_pattern<T>::type const> prefixes; ///< one for each vector
    unsigned shift, width;
};

namespace host {
inline namespace LATHE_VECTOR_ABI {

/// Whether any lane of a register is set.
template <class Mask> inline bool any_lane(Mask m) {
#if LATHE_VECTOR_BYTES == 32
    typedef char bytes __attribute__((vector_size(32)));
    return __builtin_ia32_pmovmskb256((bytes)m) != 0;
#elif LATHE_VECTOR_BYTES == 16 && defined(__SSE2__)
    typedef char bytes __attribute__((vector_size(16)));
    return __builtin_ia32_pmovmskb128((bytes)m) != 0;
#else
    std::array<std::uint64_t, sizeof m / 8> words;
    std::memcpy(words.data(), &m, sizeof m);
    std::uint64_t all = 0;
    for (auto const w : words)
        all |= w;
    return all != 0;
#endif
}

/// Counts digits of the magnitudes that a kernel makes of host operands: the collector of `magnitude_selection`.
///
/// Each thread has tables of its own, all of them added up at the end of a pass. The first digit, which every element
/// has, is counted in four tables by turns: elements of one exponent hit the same few counters, and an increment would
/// wait for the one before.
template <real T> class digit_counter {
    using pattern = typename magnitude_pattern<T>::type;
    struct tables {
        std::vector<std::uint32_t> counts;
        std::vector<pattern> values; // cache_block of each vector
    };
    struct state {
        std::mutex mutex;
        std::vector<std::unique_ptr<tables>> all;
        std::vector<tables *> idle;
    };
    std::unique_ptr<state> state_ = std::make_unique<state>();
    digit_query<T> query_{};
    std::size_t copies_ = 1;  // of each table
    std::uint64_t added_ = 0; // elements since the tables were empty

    [[nodiscard]] std::size_t vectors() const noexcept { return query_.prefixes.size(); }
    [[nodiscard]] std::size_t table_size() const noexcept { return copies_ << query_.width; }

    tables * acquire() const {
        std::lock_guard const lock{state_->mutex};
        if (state_->idle.empty()) {
            state_->all.push_back(std::make_unique<tables>());
            state_->idle.push_back(state_->all.back().get());
        }
        auto * const t = state_->idle.back();
        state_->idle.pop_back();
        t->counts.resize(vectors() * table_size());
        t->values.resize(vectors() * cache_block);
        return t;
    }
    void release(tables * t) const {
        std::lock_guard const lock{state_->mutex};
        state_->idle.push_back(t);
    }

    /// Stores the patterns of a packet.
    static void store_patterns(packet<T> const & v, pattern * to) {
        using word = typename registers<T>::mask;
        using integer = typename registers<T>::integer;
        for (std::size_t k = 0; k != packet_registers; ++k) {
            auto const m = (word)v.r[k] & (word{} + std::numeric_limits<integer>::max());
            auto const nan = (word)(m > (word{} + static_cast<integer>(magnitude_pattern<T>::infinity)));
            auto const p = (m & ~nan) | (nan & (word{} + static_cast<integer>(magnitude_pattern<T>::nan)));
            std::memcpy(to + k * (sizeof p / sizeof(pattern)), &p, sizeof p);
        }
    }
    void count_all(pattern const * p, std::size_t count, std::uint32_t * table) const {
        auto const shift = query_.shift;
        auto const size = std::size_t{1} << query_.width;
        std::size_t i = 0;
        for (; i + 4 <= count; i += 4)
            for (std::size_t copy = 0; copy != 4; ++copy)
                ++table[copy * size + static_cast<std::size_t>(p[i + copy] >> shift)];
        for (; i != count; ++i)
            ++table[static_cast<std::size_t>(p[i] >> shift)];
    }
    void count_matching(pattern const * p, std::size_t count, pattern prefix, std::uint32_t * table) const {
        typedef pattern words __attribute__((vector_size(LATHE_VECTOR_BYTES)));
        auto const shift = query_.shift, above = query_.shift + query_.width;
        auto const digits = (pattern{1} << query_.width) - 1;
        constexpr auto step = packet_size<T>;
        for (std::size_t i = 0; i < count; i += step) {
            words hit{};
            for (std::size_t k = 0; k != packet_registers; ++k) {
                words w;
                std::memcpy(&w, p + i + k * (sizeof w / sizeof(pattern)), sizeof w);
                hit |= (words)((w >> above) == prefix);
            }
            if (any_lane(hit))
                for (auto j = i; j != std::min(i + step, count); ++j)
                    if (p[j] >> above == prefix)
                        ++table[static_cast<std::size_t>(p[j] >> shift & digits)];
        }
    }

    /// The tables of one task, and what its kernel adds to.
    class lease {
        digit_counter const * counter_;
        tables * tables_;

    public:
        explicit lease(digit_counter const & c) : counter_(&c), tables_(c.acquire()) {}
        lease(lease && other) noexcept : counter_(other.counter_), tables_(std::exchange(other.tables_, nullptr)) {}
        ~lease() {
            if (tables_ != nullptr)
                counter_->release(tables_);
        }
        struct sink {
            pattern * values;
            void add(std::size_t k, packet<T> const & v) const { store_patterns(v, values + k * cache_block); }
        };
        [[nodiscard]] sink at(std::size_t i) const { return {tables_->values.data() + i}; }
        [[nodiscard]] sink at(std::size_t i, packet_mask<T> const &) const { return at(i); }
        void end_part(std::size_t count) const {
            for (std::size_t k = 0; k != counter_->vectors(); ++k) {
                auto const * const p = tables_->values.data() + k * cache_block;
                auto * const table = tables_->counts.data() + k * counter_->table_size();
                if (counter_->copies_ != 1)
                    counter_->count_all(p, count, table);
                else
                    counter_->count_matching(p, count, counter_->query_.prefixes[k], table);
            }
        }
        void end_block(std::size_t) const {}
    };

public:
    [[nodiscard]] lease operator()(std::size_t) const { return lease(*this); }

    /// Starts a pass. The query's prefixes must stay where they are until its end.
    void begin(digit_query<T> const & query) {
        query_ = query;
        copies_ = query.shift + query.width == magnitude_pattern<T>::bits ? 4 : 1;
        added_ = 0;
        for (auto const & t : state_->all)
            t->counts.assign(vectors() * table_size(), 0);
    }
    /// Adds the elements of a window. Every value of the kernel, called as kernel(values, in...), goes to values.add(k,
    /// v).
    template <class Executor, class Kernel, class... Ins>
    void add(Executor & e, Kernel const & kernel, std::size_t n, std::span<std::uint64_t> counts, Ins const &... ins) {
        if (added_ + n > std::numeric_limits<std::uint32_t>::max())
            empty_into(counts);
        added_ += n;
        interpret<T>(e, kernel, n, std::tuple{}, *this, ins...);
    }
    /// counts[(k << width) + digit] += what was counted since the tables were empty.
    void empty_into(std::span<std::uint64_t> counts) {
        auto const size = std::size_t{1} << query_.width;
        for (auto const & t : state_->all) {
            auto * table = t->counts.data();
            for (std::size_t k = 0; k != vectors(); ++k)
                for (std::size_t copy = 0; copy != copies_; ++copy, table += size)
                    for (std::size_t d = 0; d != size; ++d)
                        counts[k * size + d] += table[d];
            std::ranges::fill(t->counts, 0u);
        }
        added_ = 0;
    }
};

} // namespace LATHE_VECTOR_ABI
} // namespace host

namespace kernels {

/// Kernel(sums, first, bounds, rest...) made of a kernel(values, first, rest...) for vectors: adds to sums k m + j how
/// many of the elements of vector k are at most bounds k m + j in magnitude, m bounds a vector. NaN is above every
/// bound.
template <class Kernel, std::size_t Bounds> struct count_up_to {
    template <class Sums, class List> struct counter {
        Sums & sums;
        List const & bounds;
        template <class Value> void add(std::size_t k, Value const & v) const {
            using number = std::remove_cvref_t<Value>;
            for (std::size_t j = 0; j != Bounds; ++j)
                sums.add(k * Bounds + j, math::select(math::abs(v) <= bounds[k * Bounds + j], number(1), number(0)));
        }
    };
    template <class Sums, class First, class List, class... Rest>
    constexpr void operator()(Sums & sums, First const & first, List const & bounds, Rest const &... rest) const {
        counter<Sums, List> values{sums, bounds};
        Kernel{}(values, first, rest...);
    }
};

} // namespace kernels

/// The ranks sought in several vectors at once, all of them made by one kernel and as long as each other.
///
///     magnitude_selection<B, T> search(ranks);          // 1-based, from the smallest; NaN counts as largest
///     while (!search.done()) {
///         for (every window)                             // the same elements in every pass
///             search.add(be, kernel, in...);             // kernel(values, in...) calls values.add(k, v_k)
///         search.end_pass();
///     }
///     search.value(k)                                    // the magnitude of rank ranks[k] of vector k
///
/// Two passes for float and four for double where pointers are plain, 8 and 16 by counting with ops::reduce elsewhere.
/// Memory: at most 2^18 counters a vector and thread, whatever the length. Blocks.
template <class B, real T>
    requires has_reduce<B, T>
class magnitude_selection {
    using patterns = magnitude_pattern<T>;
    using pattern = typename patterns::type;
    static constexpr bool counts_digits = host_addressable<B, T>;
    static constexpr unsigned digit_bits = counts_digits ? 16 : 4;
    static constexpr std::size_t bounds = (std::size_t{1} << digit_bits) - 1;
    struct nothing {};

    std::vector<std::uint64_t> ranks_; // among the elements whose known bits are those of prefixes_
    std::vector<pattern> prefixes_;
    std::vector<std::uint64_t> below_, equal_;
    unsigned unknown_ = 0; // bits of the patterns sought
    std::uint64_t seen_ = 0;
    std::vector<std::uint64_t> counts_;
    std::conditional_t<counts_digits, host::digit_counter<T>, nothing> counter_;
    std::vector<T> bounds_;
    std::vector<double> sums_;

    [[nodiscard]] unsigned width() const noexcept {
        return unknown_ % digit_bits != 0 ? unknown_ % digit_bits : digit_bits;
    }
    [[nodiscard]] digit_query<T> query() const { return {prefixes_, unknown_ - width(), width()}; }

    void begin_pass() {
        seen_ = 0;
        counts_.assign(ranks_.size() << width(), 0);
        if constexpr (counts_digits)
            counter_.begin(query());
        else {
            sums_.assign(ranks_.size() * bounds, 0);
            bounds_.clear();
            for (auto const prefix : prefixes_)
                for (pattern d = 0; d != bounds; ++d) { // the last pattern of digit d, or the largest of all
                    auto const digit = std::min<pattern>(d, (pattern{1} << width()) - 1);
                    auto const last = (((prefix << width()) + digit + 1) << (unknown_ - width())) - 1;
                    bounds_.push_back(patterns::value(std::min(last, patterns::infinity)));
                }
        }
    }

public:
    static constexpr unsigned passes = (patterns::bits + digit_bits - 1) / digit_bits;

    magnitude_selection() = default;
    explicit magnitude_selection(std::span<std::uint64_t const> ranks) { start(ranks); }
    /// Begins a new search; keeps memory.
    void start(std::span<std::uint64_t const> ranks) {
        ranks_.assign(ranks.begin(), ranks.end());
        prefixes_.assign(ranks.size(), 0);
        below_.assign(ranks.size(), 0);
        equal_.assign(ranks.size(), 0);
        unknown_ = ranks.empty() ? 0 : patterns::bits;
        if (!done())
            begin_pass();
    }
    [[nodiscard]] bool done() const noexcept { return unknown_ == 0; }

    /// \throws shape_error, unsupported_error
    template <class Kernel, class First, class... Rest>
    void add(B & be, Kernel const & kernel, First const & first, Rest const &... rest) {
        auto const n = ops::extent_of(first);
        (ops::expect_extent(first, n, "select: the extents differ"), ...,
         ops::expect_extent(rest, n, "select: the extents differ"));
        seen_ += n;
        if constexpr (counts_digits) {
            auto && e = host::executor_of(be);
            counter_.add(e, kernel, n, std::span{counts_}, first, rest...);
        } else
            ops::reduce<T>(be, kernels::count_up_to<Kernel, bounds>{}, std::span{sums_}, first, list(bounds_), rest...);
    }
    /// \throws shape_error if a rank is 0 or beyond the elements that were added
    void end_pass() {
        auto const digits = std::size_t{1} << width();
        if constexpr (counts_digits)
            counter_.empty_into(counts_);
        else
            for (std::size_t k = 0; k != ranks_.size(); ++k) {
                auto const inside = unknown_ == patterns::bits ? seen_ : equal_[k]; // of known bits
                auto before = below_[k];
                for (std::size_t d = 0; d != digits; ++d) {
                    auto const last =
                        (((prefixes_[k] << width()) + static_cast<pattern>(d) + 1) << (unknown_ - width())) - 1;
                    auto const up_to = d + 1 == digits             ? below_[k] + inside
                                       : last > patterns::infinity ? seen_
                                                                   : static_cast<std::uint64_t>(sums_[k * bounds + d]);
                    counts_[k * digits + d] = up_to - before;
                    before = up_to;
                }
            }
        for (std::size_t k = 0; k != ranks_.size(); ++k) {
            auto const * const count = counts_.data() + k * digits;
            std::size_t d = 0;
            std::uint64_t before = 0;
            while (d + 1 != digits && before + count[d] < ranks_[k])
                before += count[d++];
            expects_shape(ranks_[k] != 0 && ranks_[k] <= before + count[d], "select: no element has this rank");
            ranks_[k] -= before;
            below_[k] += before;
            equal_[k] = count[d];
            prefixes_[k] = (prefixes_[k] << width()) + static_cast<pattern>(d);
        }
        unknown_ -= width();
        if (!done())
            begin_pass();
    }

    /// The magnitude sought in vector k; NaN if that is where the rank lies. Of a finished search only, as the others.
    [[nodiscard]] T value(std::size_t k) const { return patterns::value(prefixes_.at(k)); }
    /// How many elements are smaller, and how many are as large.
    [[nodiscard]] std::uint64_t below(std::size_t k) const { return below_.at(k); }
    [[nodiscard]] std::uint64_t equal(std::size_t k) const { return equal_.at(k); }
};

LATHE_NAMESPACE_END
