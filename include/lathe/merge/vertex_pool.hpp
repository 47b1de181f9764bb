#pragma once
/// \file  Vertices: the N points whose convex hull a method searches, in memory or streamed from checkpoints.
///
/// The hull is a product of simplices, one for each block of the vector: with merge::granularity::task there is
/// one block, with layer there is one for each tensor and every tensor chooses its own combination.
#include <lathe/merge/linear.hpp>
#include <lathe/merge/parameters.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

/// Which way a block moves.
enum class step_kind : unsigned char {
    none,    ///< nowhere
    fw,      ///< towards `vertex`: d = v - x
    away,    ///< away from `away`: d = x - a
    pairwise ///< weight goes from `away` to `vertex`: d = v - a
};
/// The direction d of one block.
struct block_direction {
    step_kind kind = step_kind::none; ///< which way it goes
    std::size_t vertex = 0;           ///< the one with the smallest slope
    std::optional<std::size_t> away;  ///< the active one with the largest slope, where the kind needs it
};

namespace kernels {
/// <g, v_k - x> for all k: differences first, because the v_k and x have nearly everything in common.
inline constexpr auto vertex_slopes = [](auto & sums, auto const & g, auto const & x, auto const & vs) {
    for (std::size_t k = 0; k != vs.size(); ++k)
        sums.add(k, g * (vs[k] - x));
};
/// The sum of w_k v_k for weights that sum to 1, whatever they sum to when rounded.
inline constexpr auto convex_combination = [](auto const & w, auto const & vs) {
    auto sum = vs[0] - vs[0];
    for (std::size_t k = 1; k != vs.size(); ++k)
        sum = sum + w[k] * (vs[k] - vs[0]);
    return vs[0] + sum;
};
/// |a - b|^2.
inline constexpr auto squared_difference = [](auto & sums, auto const & a, auto const & b) {
    auto const d = a - b;
    sums.add(0, d * d);
};
} // namespace kernels

/// What frank_wolfe asks of a set of N vertices in M blocks. Matrices are M x N, row-major.
///
/// - align(be, g, x, candidates, slopes): slopes(b, k) := <g_b, (v_k - x)_b> for the k in candidates[b].
/// - advance(be, c, x): x_b := x_b + sum over k of c(b, k) (v_k - x)_b. Vertices with coefficient 0 are not read.
/// - combine(be, w, x): x_b := sum over k of w(b, k) v_kb; rows of w sum to 1. Vertices with weight 0 are not read.
/// - measure(be, directions, x, f, totals): calls f(be, first, plus, minus, totals[b]) for the pieces of every block
///   that moves, in order; plus - minus is the direction on the elements [first, first + n) of the vector.
/// - add_squared_length(be, plus, minus, total): total += |plus - minus|^2, for what measure gives.
template <class V, class B, class T>
concept vertex_pool =
    storage<B, T>
    && requires(V & v, B & be, cvec<B, T> x, vec<B, T> y, std::vector<std::vector<std::size_t>> const & candidates,
                std::span<double> out, std::span<double const> in, std::span<block_direction const> directions,
                ignore_steps f, double & total) {
           { v.size() } -> std::same_as<std::size_t>;
           { v.blocks() } -> std::same_as<std::size_t>;
           { v.dimension() } -> std::same_as<std::size_t>;
           v.align(be, x, x, candidates, out);
           v.advance(be, in, y);
           v.combine(be, in, y);
           v.measure(be, directions, x, f, out);
           v.add_squared_length(be, x, x, total);
       };

/// Vertices in memory. Refers to the elements.
template <class B, real T> class resident_source {
    std::vector<cvec<B, T>> vertices_;
    std::vector<std::size_t> offsets_{0};

public:
    using operand = cvec<B, T>; ///< a window
    /// \throws option_error without vertices; shape_error if they differ in length, or the parts do not add up to it
    resident_source(std::span<operand const> vertices, std::span<std::size_t const> parts)
        : vertices_(vertices.begin(), vertices.end()) {
        expects_option(!vertices_.empty(), "models", "none", "at least one vertex");
        auto const n = vertices_.front().n;
        for (auto const & v : vertices_)
            expects_shape(v.n == n, "resident_vertices: the vertices differ in length");
        for (auto const part : parts)
            offsets_.push_back(offsets_.back() + part);
        if (parts.empty())
            offsets_.push_back(n);
        expects_shape(offsets_.back() == n, "resident_vertices: the parts do not add up to the length of a vertex");
    }
    /// How many vertices there are (N).
    [[nodiscard]] std::size_t size() const noexcept { return vertices_.size(); }
    /// Where the parts begin in the vector; then its length.
    [[nodiscard]] std::span<std::size_t const> offsets() const noexcept { return offsets_; }
    /// The longest window to read: all is in memory.
    [[nodiscard]] std::size_t window() const noexcept { return std::max<std::size_t>(1, offsets_.back()); }
    /// Elements [first, first + count) of a part of vertex k.
    operand read(B &, std::size_t k, std::size_t part, std::size_t first, std::size_t count) const {
        return vertices_[k].sub(offsets_[part] + first, count);
    }
};

/// The models of a pool, a window at a time. Refers to the pool. Its base, if there is one, is not a vertex.
template <class B, real T> class streamed_source {
    model_pool const * pool_;
    std::vector<model_pool::row const *> rows_;
    std::vector<std::size_t> offsets_{0};
    std::vector<window_reader<B, T>> readers_;

public:
    /// A window: valid until the next one of the same vertex.
    using operand = input_operand<B, T>;
    /// The parts are the merged rows.
    explicit streamed_source(model_pool const & pool) : pool_{&pool}, rows_{merged_rows(pool)}, readers_(pool.size()) {
        for (auto const * row : rows_)
            offsets_.push_back(offsets_.back() + row->info.count());
    }
    /// How many vertices there are (N).
    [[nodiscard]] std::size_t size() const noexcept { return pool_->size(); }
    /// Where the parts begin in the vector; then its length.
    [[nodiscard]] std::span<std::size_t const> offsets() const noexcept { return offsets_; }
    /// The longest window to read.
    [[nodiscard]] std::size_t window() const noexcept { return pool_->window(); }
    /// Elements [first, first + count) of a part of vertex k.
    operand read(B & be, std::size_t k, std::size_t part, std::size_t first, std::size_t count) {
        return readers_[k].read(be, pool_->model(k), rows_[part]->index[k], first, count);
    }
};

/// A vertex_pool over a source that reads windows of the parts (tensors) of N vertices.
///
/// With kernels each operation is one pass over what it reads, whatever the number of vertices; without them
/// differences go through one scratch vector as long as the longest part. Sums are taken part by part, in order: bits
/// depend neither on the window nor on the number of threads.
template <class B, real T, class Source>
    requires inner_product_space<B, T>
class vertex_blocks {
    Source source_;
    merge::granularity granularity_;
    std::vector<typename Source::operand> operands_;
    std::optional<buffer_t<B, T>> scratch_;

    [[nodiscard]] std::size_t parts() const noexcept { return source_.offsets().size() - 1; }
    [[nodiscard]] std::size_t block(std::size_t part) const noexcept {
        return granularity_ == merge::granularity::layer ? part : 0;
    }
    /// The nonzero entries of the row of a part.
    struct sparse_row {
        std::vector<std::size_t> index;
        std::vector<T> value;
    };
    [[nodiscard]] sparse_row row_of(std::span<double const> matrix, std::size_t part) const {
        sparse_row row;
        for (std::size_t k = 0; k != size(); ++k)
            if (auto const a = matrix[block(part) * size() + k]; a != 0) {
                row.index.push_back(k);
                row.value.push_back(static_cast<T>(a));
            }
        return row;
    }
    /// Calls f(first in the part, first in the vector, count) for the windows of a part.
    template <class F> void windows(std::size_t part, F && f) const {
        auto const offset = source_.offsets()[part];
        for_each_window(source_.offsets()[part + 1] - offset, source_.window(),
                        [&](std::size_t first, std::size_t count) { f(first, offset + first, count); });
    }
    auto read(B & be, std::span<std::size_t const> which, std::size_t part, std::size_t first, std::size_t count) {
        operands_.clear();
        for (auto const k : which)
            operands_.push_back(source_.read(be, k, part, first, count));
        return list(operands_);
    }
    /// a - b, in scratch memory.
    cvec<B, T> difference(B & be, cvec<B, T> a, cvec<B, T> b) {
        if (!scratch_) {
            std::size_t longest = 0;
            for (std::size_t i = 0; i != parts(); ++i)
                longest = std::max(longest, source_.offsets()[i + 1] - source_.offsets()[i]);
            scratch_.emplace(be.template allocate<T>(longest));
        }
        auto const d = scratch_->view().sub(0, a.n);
        ops::copy(be, a, d);
        ops::axpy(be, T(-1), b, d);
        return d;
    }

public:
    /// \param granularity what a block is: everything, or one part
    vertex_blocks(Source source, merge::granularity granularity)
        : source_{std::move(source)}, granularity_{granularity} {}

    /// How many vertices there are (N).
    [[nodiscard]] std::size_t size() const noexcept { return source_.size(); }
    /// How many blocks there are (M).
    [[nodiscard]] std::size_t blocks() const noexcept {
        return granularity_ == merge::granularity::layer ? parts() : 1;
    }
    /// Length of a vertex.
    [[nodiscard]] std::size_t dimension() const noexcept { return source_.offsets().back(); }

    /// slopes(b, k) := <g_b, (v_k - x)_b> for the k in candidates[b]; other slopes stay. Reads each candidate once.
    void align(B & be, cvec<B, T> g, cvec<B, T> x, std::vector<std::vector<std::size_t>> const & candidates,
               std::span<double> slopes) {
        std::vector<double> sums;
        for (std::size_t i = 0; i != parts(); ++i) {
            auto const & which = candidates[block(i)];
            if (i == 0 || granularity_ == merge::granularity::layer)
                sums.assign(which.size(), 0.0);
            if (which.empty())
                continue;
            windows(i, [&](std::size_t first, std::size_t place, std::size_t count) {
                auto const g_here = g.sub(place, count), x_here = x.sub(place, count);
                if constexpr (has_reduce<B, T>)
                    ops::reduce<T>(be, kernels::vertex_slopes, sums, g_here, x_here, read(be, which, i, first, count));
                else
                    for (std::size_t k = 0; k != which.size(); ++k)
                        sums[k] +=
                            ops::dot(be, g_here, difference(be, source_.read(be, which[k], i, first, count), x_here));
            });
            for (std::size_t k = 0; k != which.size(); ++k)
                slopes[block(i) * size() + which[k]] = sums[k];
        }
    }
    /// x_b := x_b + sum over k of c(b, k) (v_k - x)_b. Reads the vertices with coefficients other than 0.
    void advance(B & be, std::span<double const> c, vec<B, T> x) {
        for (std::size_t i = 0; i != parts(); ++i) {
            auto const row = row_of(c, i);
            if (row.index.empty())
                continue;
            windows(i, [&](std::size_t first, std::size_t place, std::size_t count) {
                auto const here = x.sub(place, count);
                if constexpr (has_map<B, T>)
                    ops::map<T>(be, kernels::weighted_deltas, here, here, read(be, row.index, i, first, count),
                                list(row.value));
                else {
                    T kept(1);
                    for (auto const v : row.value)
                        kept -= v;
                    if (kept != T(1))
                        ops::scale(be, kept, here);
                    for (std::size_t k = 0; k != row.index.size(); ++k)
                        ops::axpy(be, row.value[k], source_.read(be, row.index[k], i, first, count), here);
                }
            });
        }
    }
    /// x_b := sum over k of w(b, k) v_kb for rows of w that sum to 1. Reads the vertices with weights other than 0.
    void combine(B & be, std::span<double const> w, vec<B, T> x) {
        for (std::size_t i = 0; i != parts(); ++i) {
            auto const row = row_of(w, i);
            windows(i, [&](std::size_t first, std::size_t place, std::size_t count) {
                auto const here = x.sub(place, count);
                if constexpr (has_map<B, T>)
                    ops::map<T>(be, kernels::convex_combination, here, list(row.value),
                                read(be, row.index, i, first, count));
                else {
                    ops::copy(be, source_.read(be, row.index.front(), i, first, count), here);
                    T rest(0);
                    for (std::size_t k = 1; k != row.index.size(); ++k)
                        rest += row.value[k];
                    if (rest != T(0))
                        ops::scale(be, T(1) - rest, here);
                    for (std::size_t k = 1; k != row.index.size(); ++k)
                        ops::axpy(be, row.value[k], source_.read(be, row.index[k], i, first, count), here);
                }
            });
        }
    }
    /// Calls f(be, first, plus, minus, totals[b]) for the windows of every block that moves, part by part, in order;
    /// plus - minus is the direction on the elements [first, first + n) of the vector.
    template <class F>
    void measure(B & be, std::span<block_direction const> directions, cvec<B, T> x, F && f, std::span<double> totals) {
        for (std::size_t i = 0; i != parts(); ++i) {
            auto const & d = directions[block(i)];
            auto & total = totals[block(i)];
            if (d.kind != step_kind::none)
                windows(i, [&](std::size_t first, std::size_t place, std::size_t count) {
                    auto const here = x.sub(place, count);
                    auto const vertex = [&](std::size_t k) { return source_.read(be, k, i, first, count); };
                    if (d.kind == step_kind::fw)
                        f(be, place, vertex(d.vertex), here, total);
                    else if (d.kind == step_kind::away)
                        f(be, place, here, vertex(*d.away), total);
                    else
                        f(be, place, vertex(d.vertex), vertex(*d.away), total);
                });
        }
    }
    /// total += |plus - minus|^2 for what measure gives.
    template <class Plus, class Minus>
    void add_squared_length(B & be, Plus const & plus, Minus const & minus, double & total) {
        if constexpr (has_reduce<B, T>)
            ops::reduce<T>(be, kernels::squared_difference, std::span{&total, 1}, plus, minus);
        else {
            auto const d = difference(be, plus, minus);
            total += ops::dot(be, d, d);
        }
    }
};

/// Vertices in the memory of any backend with an inner product.
template <class B, real T>
    requires inner_product_space<B, T>
class resident_vertices : public vertex_blocks<B, T, resident_source<B, T>> {
public:
    /// \param parts the lengths of the tensors that a vertex consists of; empty for one
    /// \throws option_error without vertices; shape_error if they differ in length, or the parts do not add up to it
    explicit resident_vertices(std::span<cvec<B, T> const> vertices, std::span<std::size_t const> parts = {},
                               merge::granularity granularity = merge::granularity::task)
        : vertex_blocks<B, T, resident_source<B, T>>({vertices, parts}, granularity) {}
};

/// The models of a pool as vertices. Memory: a window of each vertex that an operation reads.
template <class B, real T>
    requires elementwise<B, T>
class streamed_vertices : public vertex_blocks<B, T, streamed_source<B, T>> {
public:
    /// Refers to the pool.
    explicit streamed_vertices(model_pool const & pool, merge::granularity granularity = merge::granularity::task)
        : vertex_blocks<B, T, streamed_source<B, T>>(streamed_source<B, T>(pool), granularity) {}
};

} // namespace merge
LATHE_NAMESPACE_END
