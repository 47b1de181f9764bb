#pragma once
/// \file  Selection: the magnitude of a given rank in vectors that are too long to hold and stream by, exactly.
///
/// Each pass narrows, for each vector, an interval that holds the magnitude sought, by counting the elements below it
/// and in it. Counts are integers, so any threads, any windows and any backend give the same answer.
#include <lathe/core/ops.hpp>

#include <mutex>

LATHE_NAMESPACE_BEGIN

/// Magnitudes as integers in the same order. All NaN are one pattern, above that of infinity.
template <real T> struct magnitude_pattern {
    /// An unsigned integer as wide as T.
    using type = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    static constexpr type infinity = std::bit_cast<type>(std::numeric_limits<T>::infinity()); ///< of infinity
    static constexpr type nan = infinity + 1;                                                 ///< of every NaN
    /// The magnitude of a pattern.
    static constexpr T value(type p) {
        return p > infinity ? std::numeric_limits<T>::quiet_NaN() : std::bit_cast<T>(p);
    }
};

/// The n-th smallest, 0-based, of at least n + 1 integers, in linear time and whatever they are: counts leading digits,
/// keeps what has the digit sought, and so on. A quarter of the time of nth_element, whose branches nobody can predict.
template <std::unsigned_integral U> U nth_smallest(std::vector<U> v, std::size_t n) {
    constexpr std::size_t cells = 1024;
    while (v.size() > cells / 4) {
        auto const [low, high] = std::ranges::minmax(v);
        if (low == high)
            return low;
        unsigned shift = 0;
        while ((high - low) >> shift >= cells)
            ++shift;
        std::array<std::uint32_t, cells> count{};
        for (auto const x : v)
            ++count[static_cast<std::size_t>((x - low) >> shift)];
        std::size_t cell = 0;
        while (n >= count[cell])
            n -= count[cell++];
        std::size_t kept = 0;
        for (auto const x : v) {
            v[kept] = x;
            kept += (x - low) >> shift == cell ? 1 : 0;
        }
        v.resize(kept);
        if (shift == 0)
            return low + static_cast<U>(cell);
    }
    std::ranges::nth_element(v, v.begin() + static_cast<std::ptrdiff_t>(n));
    return v[n];
}

/// Where a magnitude is sought: patterns from `low` to `high`, both included.
template <real T> struct magnitude_interval {
    typename magnitude_pattern<T>::type low = 0, ///< the least that it may be
        high = magnitude_pattern<T>::nan;        ///< the largest
    std::uint64_t below = 0;                     ///< elements smaller than low, if that was counted
    std::uint64_t up_to = 0;                     ///< elements not larger than high; 0 if that was not counted
    std::uint64_t inside = std::numeric_limits<std::uint64_t>::max(); ///< about so many elements between low and high
};

namespace host {
inline namespace LATHE_VECTOR_ABI {

/// The collector of `magnitude_selection` on plain pointers: gathers a sample of the magnitudes that a kernel makes, or
/// counts them. Each task has a desk of its own to work at; the desks are cleared up at the end of a pass.
template <real T> class magnitude_counter {
    using patterns = magnitude_pattern<T>;
    using pattern = typename patterns::type;
    using word = typename registers<T>::mask;
    using integer = typename registers<T>::integer;
    using interval = magnitude_interval<T>;

    /// Counters of one vector: the ends of its interval by themselves; cells of 2^shift patterns between them, or none.
    struct tally {
        pattern low, high;
        unsigned shift = 0;
        std::size_t first_cell = 0, cells = 0;
        std::uint64_t below = 0, at_low = 0, at_high = 0, between = 0;
    };
    struct desk {
        std::vector<tally> tallies;
        std::vector<std::array<word, packet_registers>> below; // lane by lane
        std::vector<std::uint32_t> cells;
        std::vector<std::vector<pattern>> kept;
    };
    struct room {
        std::mutex mutex;
        std::vector<std::unique_ptr<desk>> desks;
        std::vector<desk *> free;
    };
    std::unique_ptr<room> room_ = std::make_unique<room>();
    desk blank_; // what a desk is at the beginning of a pass
    bool gathers_ = false;
    std::uint64_t before_ = 0;  // elements of earlier windows in this pass
    std::uint32_t chance_ = 0;  // 2^-32 of a part to be in the sample
    std::size_t share_ = 0;     // elements taken of such a part
    std::size_t most_kept_ = 0; // of a vector at a desk

    desk * take() const {
        std::lock_guard const lock{room_->mutex};
        if (room_->free.empty()) {
            room_->desks.push_back(std::make_unique<desk>(blank_));
            room_->free.push_back(room_->desks.back().get());
        }
        auto * const d = room_->free.back();
        room_->free.pop_back();
        return d;
    }
    void give_back(desk * d) const {
        std::lock_guard const lock{room_->mutex};
        room_->free.push_back(d);
    }

    /// What the kernel adds to. Lanes that are no elements are larger than everything.
    struct sink {
        desk * at;
        bool gathers;
        std::size_t most_kept;
        packet_mask<T> const * valid = nullptr;

        void add(std::size_t k, packet<T> const & v) const {
            std::array<word, packet_registers> p;
            for (std::size_t r = 0; r != packet_registers; ++r) {
                auto const m = (word)v.r[r] & (word{} + std::numeric_limits<integer>::max());
                auto const nan = word{} + static_cast<integer>(patterns::nan);
                p[r] = m > nan ? nan : m;
                if (valid != nullptr)
                    p[r] |= ~valid->r[r] & std::numeric_limits<integer>::max();
            }
            if (gathers) {
                std::array<pattern, packet_size<T>> lanes;
                std::memcpy(lanes.data(), p.data(), sizeof lanes);
                auto const elements =
                    valid == nullptr ? lanes.size() : static_cast<std::size_t>(std::popcount(valid->bits()));
                at->kept[k].insert(at->kept[k].end(), lanes.data(), lanes.data() + elements);
                return;
            }
            auto & t = at->tallies[k];
            auto const low = word{} + static_cast<integer>(t.low), high = word{} + static_cast<integer>(t.high);
            packet_mask<T> outside;
            for (std::size_t r = 0; r != packet_registers; ++r) {
                auto const smaller = (word)(p[r] < low);
                at->below[k][r] -= smaller;
                outside.r[r] = smaller | (word)(p[r] > high);
            }
            auto within = ~outside.bits() & ((1u << packet_size<T>)-1);
            if (within == 0) [[likely]]
                return;
            packet_mask<T> is_low, is_high;
            for (std::size_t r = 0; r != packet_registers; ++r) {
                is_low.r[r] = (word)(p[r] == low);
                is_high.r[r] = (word)(p[r] == high);
            }
            t.at_low += static_cast<unsigned>(std::popcount(is_low.bits()));
            t.at_high += static_cast<unsigned>(std::popcount(is_high.bits()));
            within &= ~(is_low.bits() | is_high.bits());
            t.between += static_cast<unsigned>(std::popcount(within));
            std::array<pattern, packet_size<T>> lanes;
            std::memcpy(lanes.data(), p.data(), sizeof lanes);
            for (; within != 0; within &= within - 1) {
                auto const m = lanes[static_cast<std::size_t>(std::countr_zero(within))];
                if (t.cells != 0)
                    ++at->cells[t.first_cell + static_cast<std::size_t>((m - t.low - 1) >> t.shift)];
                else if (at->kept[k].size() < most_kept)
                    at->kept[k].push_back(m);
            }
        }
    };
    class task {
        magnitude_counter const * counter_;
        desk * desk_;

    public:
        explicit task(magnitude_counter const & c) : counter_(&c), desk_(c.take()) {}
        task(task && other) noexcept : counter_(other.counter_), desk_(std::exchange(other.desk_, nullptr)) {}
        ~task() {
            if (desk_ != nullptr)
                counter_->give_back(desk_);
        }
        /// The part of a part that a pass looks at: all of it, or at random some packets or nothing.
        [[nodiscard]] std::pair<std::size_t, std::size_t> choose(std::size_t first, std::size_t count) const {
            if (!counter_->gathers_ || counter_->share_ >= count)
                return {first, count};
            auto const at = counter_->before_ + first;
            auto const draw = random::philox({random::low_word(at), random::high_word(at), 0, 0}, {});
            if (draw[0] > counter_->chance_)
                return {first, 0};
            auto const steps = (count - counter_->share_) / packet_size<T> + 1;
            return {first + draw[1] % steps * packet_size<T>, counter_->share_};
        }
        [[nodiscard]] sink hold() const { return {desk_, counter_->gathers_, counter_->most_kept_}; }
        void release(sink const &) const {}
        [[nodiscard]] sink at(std::size_t, packet_mask<T> const & valid) const {
            return {desk_, counter_->gathers_, counter_->most_kept_, &valid};
        }
        void end_part(std::size_t) const {}
        void end_block(std::size_t) const { // before a lane of `below` can overflow
            for (std::size_t k = 0; k != desk_->tallies.size(); ++k) {
                std::array<integer, packet_size<T>> lanes;
                std::memcpy(lanes.data(), &desk_->below[k], sizeof lanes);
                for (auto const n : lanes)
                    desk_->tallies[k].below += static_cast<std::uint64_t>(n);
                desk_->below[k] = {};
            }
        }
    };

    void begin(desk blank, bool gathers) {
        blank_ = std::move(blank);
        gathers_ = gathers;
        before_ = 0;
        for (auto const & d : room_->desks)
            *d = blank_;
    }

    [[nodiscard]] std::vector<pattern> kept(std::size_t k) const {
        std::vector<pattern> all;
        for (auto const & d : room_->desks)
            all.insert(all.end(), d->kept[k].begin(), d->kept[k].end());
        return all;
    }

public:
    /// Vectors of so many elements are gathered whole.
    static constexpr std::size_t small = std::size_t{1} << 14;
    /// Elements of a vector of n in a sample: n^(2/3) keeps the work on the sample and on what it leaves open in
    /// balance.
    static std::size_t sample_size(std::uint64_t n) {
        return std::clamp(static_cast<std::size_t>(1.3 * std::pow(static_cast<double>(n), 2.0 / 3)), small, 16 * small);
    }
    /// Cells of a vector: few enough to stay in the second-level cache.
    static constexpr std::size_t cell_count = std::size_t{1} << 13;
    /// Elements of all vectors that may be kept.
    static constexpr std::size_t keep_count = std::size_t{1} << 22;

    /// For one parallel task.
    [[nodiscard]] task operator()(std::size_t) const { return task(*this); }

    /// Starts a pass that gathers a sample: of small vectors all elements.
    void begin_sample(std::size_t vectors, std::uint64_t elements) {
        desk blank;
        blank.kept.resize(vectors);
        begin(std::move(blank), true);
        auto const wanted = sample_size(elements);
        auto const parts = static_cast<std::size_t>((elements + cache_block - 1) / cache_block);
        share_ = elements <= small ? cache_block
                                   : std::max<std::size_t>(1, wanted / parts / packet_size<T>) * packet_size<T>;
        auto const chance = static_cast<double>(wanted) / static_cast<double>(share_ * parts);
        chance_ = chance >= 1 ? std::numeric_limits<std::uint32_t>::max() : static_cast<std::uint32_t>(chance * 0x1p32);
    }
    /// The magnitudes of vector k that were gathered.
    [[nodiscard]] std::vector<pattern> sample(std::size_t k) const { return kept(k); }

    /// Starts a pass that counts.
    void begin_count(std::span<interval const> intervals) {
        desk blank;
        most_kept_ = keep_count / std::max<std::size_t>(1, intervals.size());
        for (auto const & i : intervals) {
            tally t{i.low, i.high};
            t.first_cell = blank.cells.size();
            if (auto const width = i.high - i.low; width > 1 && i.inside > most_kept_) {
                while ((width - 2) >> t.shift >= cell_count)
                    ++t.shift;
                t.cells = static_cast<std::size_t>((width - 2) >> t.shift) + 1;
                blank.cells.resize(t.first_cell + t.cells);
            }
            blank.tallies.push_back(t);
        }
        blank.below.resize(intervals.size());
        blank.kept.resize(intervals.size());
        begin(std::move(blank), false);
    }
    /// The next n elements of every vector, in the order of all passes.
    template <class Executor, class Kernel, class... Ins>
    void add(Executor & e, Kernel const & kernel, std::size_t n, Ins const &... ins) {
        interpret<T>(e, kernel, n, std::tuple{}, *this, ins...);
        before_ += n;
    }
    /// Narrows the interval of vector k to where the element of that rank is, or, where it is outside, to that side.
    void narrow(std::size_t k, std::uint64_t rank, interval & i) const {
        auto sum = blank_.tallies[k];
        for (auto const & d : room_->desks) {
            sum.below += d->tallies[k].below;
            sum.at_low += d->tallies[k].at_low;
            sum.at_high += i.high == i.low ? 0 : d->tallies[k].at_high;
            sum.between += d->tallies[k].between;
        }
        auto const to = [&](pattern low, pattern high, std::uint64_t below, std::uint64_t here) {
            i = {low, high, below, below + here, here};
        };
        if (rank <= sum.below)
            return to(0, i.low - 1, 0, sum.below);
        if (rank <= sum.below + sum.at_low)
            return to(i.low, i.low, sum.below, sum.at_low);
        auto below = sum.below + sum.at_low;
        if (rank > below + sum.between + sum.at_high)
            return to(i.high + 1, patterns::nan, below + sum.between + sum.at_high,
                      before_ - below - sum.between - sum.at_high);
        if (rank > below + sum.between)
            return to(i.high, i.high, below + sum.between, sum.at_high);
        if (sum.cells == 0) {
            auto elements = kept(k);
            if (elements.size() != sum.between) { // more than expected: in cells, next time
                i.inside = std::numeric_limits<std::uint64_t>::max();
                return;
            }
            auto const sought = nth_smallest(elements, static_cast<std::size_t>(rank - below - 1));
            below += static_cast<std::uint64_t>(std::ranges::count_if(elements, [&](pattern p) { return p < sought; }));
            return to(sought, sought, below, static_cast<std::uint64_t>(std::ranges::count(elements, sought)));
        }
        for (std::size_t c = 0;; ++c) {
            std::uint64_t here = 0;
            for (auto const & d : room_->desks)
                here += d->cells[sum.first_cell + c];
            if (rank <= below + here) {
                auto const low = i.low + 1 + (static_cast<pattern>(c) << sum.shift);
                return to(low, std::min<pattern>(low + ((pattern{1} << sum.shift) - 1), i.high - 1), below, here);
            }
            below += here;
        }
    }
};

} // namespace LATHE_VECTOR_ABI
} // namespace host

namespace kernels {

/// Kernel(sums, first, bounds, rest...) made of a kernel(values, first, rest...) for vectors: adds to sums k m + j how
/// many of the elements of vector k are at most bounds k m + j in magnitude, m bounds a vector. NaN is above every
/// bound.
template <class Kernel, std::size_t Bounds> struct count_up_to {
    /// What the kernel adds elements to.
    template <class Sums, class List> struct counter {
        Sums & sums;         ///< the counts
        List const & bounds; ///< of all vectors
        /// Counts an element of vector k against the bounds of that vector.
        template <class Value> void add(std::size_t k, Value const & v) const {
            using number = std::remove_cvref_t<Value>;
            for (std::size_t j = 0; j != Bounds; ++j)
                sums.add(k * Bounds + j, math::select(math::abs(v) <= bounds[k * Bounds + j], number(1), number(0)));
        }
    };
    /// `rest` goes to the kernel behind `first`, as it is.
    template <class Sums, class First, class List, class... Rest>
    constexpr void operator()(Sums & sums, First const & first, List const & bounds, Rest const &... rest) const {
        counter<Sums, List> values{sums, bounds};
        Kernel{}(values, first, rest...);
    }
};

} // namespace kernels

/// The ranks sought in several vectors at once, all of them made by one kernel and as long as each other.
///
///     magnitude_selection<B, T> search;
///     search.start(ranks, n);                            // 1-based, from the smallest; NaN counts as largest
///     while (!search.done()) {
///         for (every window)                             // the same elements in every pass
///             search.add(be, kernel, in...);             // kernel(values, in...) calls values.add(k, v_k)
///         search.end_pass();
///     }
///     search.value(k)                                    // the magnitude of rank ranks[k] of vector k
///
/// Where pointers are plain: one pass for short vectors; else one that looks at a sample and, as a rule, one over
/// everything; one or two more where vectors are so many or so long that what the sample leaves open does not fit in
/// memory, or where the sample misled. Memory: 2^18 elements of each vector, 2^22 of all. Elsewhere 8 passes for float
/// and 16 for double, counting with ops::reduce. Blocks.
template <class B, real T>
    requires has_reduce<B, T>
class magnitude_selection {
    using patterns = magnitude_pattern<T>;
    using pattern = typename patterns::type;
    using interval = magnitude_interval<T>;
    static constexpr bool plain = host_addressable<B, T>;
    static constexpr std::size_t bounds = 15; // of 16 parts of an interval
    struct nothing {};

    std::vector<std::uint64_t> ranks_;
    std::vector<interval> intervals_;
    std::uint64_t elements_ = 0; // as announced
    std::uint64_t seen_ = 0;     // in this pass
    bool sampling_ = false;
    std::conditional_t<plain, host::magnitude_counter<T>, nothing> counter_;
    std::vector<T> bounds_;
    std::vector<double> sums_;

    /// The last pattern of part j of an interval cut into 16.
    static pattern end_of_part(interval const & i, std::size_t j) {
        auto const width = i.high - i.low + 1;
        auto const n = static_cast<pattern>(j + 1);
        return i.low + width / 16 * n + std::min<pattern>(n, width % 16) - 1;
    }
    void begin_pass() {
        seen_ = 0;
        if constexpr (plain) {
            if (sampling_)
                counter_.begin_sample(ranks_.size(), elements_);
            else
                counter_.begin_count(intervals_);
        } else {
            sums_.assign(ranks_.size() * bounds, 0);
            bounds_.clear();
            for (auto const & i : intervals_)
                for (std::size_t j = 0; j != bounds; ++j)
                    bounds_.push_back(patterns::value(std::min(end_of_part(i, j), patterns::infinity)));
        }
    }
    /// What a sample says: the sought magnitude itself if it is everything, else an interval that holds it all but
    /// certainly.
    void judge(std::vector<pattern> const & sample, std::uint64_t rank, interval & i) const {
        i = {};
        if (sample.size() == seen_) {
            i.low = i.high = nth_smallest(sample, static_cast<std::size_t>(rank) - 1);
            i.below = static_cast<std::uint64_t>(std::ranges::count_if(sample, [&](pattern p) { return p < i.low; }));
            i.up_to = static_cast<std::uint64_t>(std::ranges::count_if(sample, [&](pattern p) { return p <= i.low; }));
            return;
        }
        auto const n = static_cast<double>(sample.size());
        auto const q = static_cast<double>(rank) / static_cast<double>(seen_);
        // Five standard deviations, were the elements independent.
        auto const margin = 5 * std::sqrt(n * q * (1 - q)) + 1;
        if (auto const at = std::floor(n * q - margin) - 1; at >= 0)
            i.low = nth_smallest(sample, static_cast<std::size_t>(at));
        if (auto const at = std::ceil(n * q + margin); at < n)
            i.high = nth_smallest(sample, static_cast<std::size_t>(at));
        auto const between = std::ranges::count_if(sample, [&](pattern p) { return p > i.low && p < i.high; });
        i.inside = static_cast<std::uint64_t>(static_cast<double>(between) / n * static_cast<double>(seen_));
    }

public:
    magnitude_selection() = default;
    /// As start().
    explicit magnitude_selection(std::span<std::uint64_t const> ranks, std::uint64_t elements = 0) {
        start(ranks, elements);
    }
    /// Begins a search; keeps memory. \param elements of each vector, if that is known: then a sample goes first
    void start(std::span<std::uint64_t const> ranks, std::uint64_t elements = 0) {
        ranks_.assign(ranks.begin(), ranks.end());
        intervals_.assign(ranks.size(), {});
        elements_ = elements;
        sampling_ = plain && elements != 0;
        if (!done())
            begin_pass();
    }
    /// Whether all magnitudes are found.
    [[nodiscard]] bool done() const {
        // Found, and counted: what a sample shows is a guess, even where it leaves only one magnitude.
        return std::ranges::all_of(intervals_, [](interval const & i) { return i.low == i.high && i.up_to != 0; });
    }

    /// The next elements, as many of every vector. \throws shape_error if the extents differ; unsupported_error for
    /// elements without arithmetic
    template <class Kernel, class First, class... Rest>
    void add(B & be, Kernel const & kernel, First const & first, Rest const &... rest) {
        auto const n = ops::extent_of(first);
        (ops::expect_extent(first, n, "select: the extents differ"), ...,
         ops::expect_extent(rest, n, "select: the extents differ"));
        seen_ += n;
        if constexpr (plain) {
            auto && e = host::executor_of(be);
            counter_.add(e, kernel, n, first, rest...);
        } else
            ops::reduce<T>(be, kernels::count_up_to<Kernel, bounds>{}, std::span<double>{sums_}, first, list(bounds_),
                           rest...);
    }
    /// Narrows the intervals by what was counted, and begins the next pass unless the search is done.
    /// \throws shape_error if a rank is 0 or beyond the elements that were added
    void end_pass() {
        for (std::size_t k = 0; k != ranks_.size(); ++k) {
            auto const rank = ranks_[k];
            auto & i = intervals_[k];
            expects_shape(rank != 0 && rank <= seen_, "select: no element has this rank");
            if constexpr (plain) {
                if (sampling_)
                    judge(counter_.sample(k), rank, i);
                else
                    counter_.narrow(k, rank, i);
            } else {
                auto const whole = i;
                for (std::size_t j = 0; j != bounds; ++j) {
                    auto const end = end_of_part(whole, j);
                    auto const up_to =
                        end > patterns::infinity ? seen_ : static_cast<std::uint64_t>(sums_[k * bounds + j]);
                    if (rank <= up_to) {
                        i.high = end;
                        i.up_to = up_to;
                        break;
                    }
                    i.low = end + 1;
                    i.below = up_to;
                }
                if (i.high == patterns::nan)
                    i.up_to = seen_;
            }
        }
        sampling_ = false;
        if (!done())
            begin_pass();
    }

    /// The magnitude sought in vector k; NaN if that is where the rank lies. Of a finished search only, as the others.
    [[nodiscard]] T value(std::size_t k) const { return patterns::value(intervals_.at(k).low); }
    /// How many elements are smaller.
    [[nodiscard]] std::uint64_t below(std::size_t k) const { return intervals_.at(k).below; }
    /// How many are as large.
    [[nodiscard]] std::uint64_t equal(std::size_t k) const { return intervals_.at(k).up_to - intervals_.at(k).below; }
};

LATHE_NAMESPACE_END
