#pragma once
/// \file  Where points come from: a matrix in memory, or a source that gives blocks of rows, which may be larger than
///        memory.
#include <lathe/cluster/partition.hpp>
#include <lathe/core/checkpoint.hpp>

LATHE_NAMESPACE_BEGIN
namespace cluster {

/// Rows of one length, read in blocks: `read(be, first, count)` gives rows [first, first + count) in the memory of the
/// backend, valid until the next call.
template <class S, class B, class T>
concept row_source = requires(S & s, B & be, std::size_t n) {
    { std::as_const(s).rows() } -> std::same_as<std::size_t>;
    { std::as_const(s).cols() } -> std::same_as<std::size_t>;
    { s.read(be, n, n) } -> std::convertible_to<cmat<B, T>>;
};

/// The rows of a tensor of a checkpoint (a .npy or .safetensors file, memory), of floating type and two extents;
/// widened or rounded to T. On the host, elements of type T are used where they lie. Refers to the checkpoint.
template <class B, real T>
    requires storage<B, T>
class checkpoint_rows {
    checkpoint * source_;
    std::size_t index_, rows_, cols_;
    window_buffer bytes_;
    std::optional<buffer_t<B, T>> buffer_;
    std::size_t room_ = 0;

public:
    /// \throws mismatch_error unless the tensor has two extents and floating elements
    checkpoint_rows(checkpoint & source, std::size_t tensor) : source_{&source}, index_{tensor}, rows_{0}, cols_{0} {
        expects_shape(tensor < source.tensors().size(), "checkpoint_rows: no tensor of that index");
        auto const & t = source.tensors()[tensor];
        if (t.extents.size() != 2 || !is_floating(t.type))
            throw mismatch_error{std::string{source.label()} + ": tensor '" + t.name + "' of type "
                                 + std::string{name_of(t.type)} + " and shape " + to_string(t.extents)
                                 + ": expected floating elements and two extents, points x dimensions"};
        rows_ = t.extents[0];
        cols_ = t.extents[1];
    }
    /// Points.
    [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
    /// Elements of a point.
    [[nodiscard]] std::size_t cols() const noexcept { return cols_; }
    /// \throws shape_error beyond the end; io_error, format_error
    cmat<B, T> read(B & be, std::size_t first, std::size_t count) {
        auto const & t = source_->tensors()[index_];
        auto const size = cols_ * size_of(t.type), n = count * cols_;
        expects_shape(first <= rows_ && count <= rows_ - first, "checkpoint_rows::read: beyond the end");
        auto const bytes = source_->read(index_, first * size, count * size, bytes_);
        if constexpr (host_addressable<B, T>)
            if (t.type == dtype_of<T> && reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(T) == 0)
                return {reinterpret_cast<T const *>(bytes.data()), count, cols_};
        if (room_ < n || !buffer_) {
            buffer_.emplace(be.template allocate<T>(n));
            room_ = n;
        }
        auto const view = buffer_->view().sub(0, n);
        if constexpr (host_addressable<B, T>)
            host::load(t.type, bytes.data(), n, view.data);
        else {
            std::vector<T> values(n);
            host::load(t.type, bytes.data(), n, values.data());
            be.upload(std::span<T const>{values}, view);
        }
        return cmat<B, T>(as_matrix(view, count, cols_));
    }
};

/// Points that are all in the memory of the backend. Views the matrix.
template <class B, real T> class resident_points {
    point_set<B, T> points_;

public:
    /// One pass, for lengths. \throws non_finite_error
    resident_points(B & be, cmat<B, T> x, metric of) : points_(be, x, of) {}
    /// Points.
    [[nodiscard]] std::size_t size() const noexcept { return points_.size(); }
    /// Elements of a point.
    [[nodiscard]] std::size_t dimensions() const noexcept { return points_.dimensions(); }
    /// What D is.
    [[nodiscard]] metric distance() const noexcept { return points_.distance(); }
    /// f(points, number of the first) for blocks in order; here it is one.
    template <class F> void for_each(B &, F && f) { f(points_, std::size_t{0}); }
    /// Point i, on the host.
    std::vector<double> row(B & be, std::size_t i) { return points_.row(be, i); }
};

/// Points of a source, read again in every pass. Memory: one block, of about 32 MiB.
template <class B, real T, row_source<B, T> Source> class streamed_points {
    Source * source_;
    metric metric_;
    std::size_t block_;

public:
    /// Reads nothing yet. `source` must outlive it.
    streamed_points(Source & source, metric of)
        : source_{&source}, metric_{of},
          block_{std::max<std::size_t>(1, (std::size_t{32} << 20)
                                              / (std::max<std::size_t>(1, source.cols()) * sizeof(T) * block_rows))
                 * block_rows} {}
    /// Points.
    [[nodiscard]] std::size_t size() const noexcept { return source_->rows(); }
    /// Elements of a point.
    [[nodiscard]] std::size_t dimensions() const noexcept { return source_->cols(); }
    /// What D is.
    [[nodiscard]] metric distance() const noexcept { return metric_; }
    /// \throws non_finite_error, and what the source throws
    template <class F> void for_each(B & be, F && f) {
        for (std::size_t first = 0; first < size(); first += block_) {
            point_set<B, T> points(be, source_->read(be, first, std::min(block_, size() - first)), metric_, first);
            f(points, first);
        }
    }
    /// Point i, on the host: one read. \throws non_finite_error, and what the source throws
    std::vector<double> row(B & be, std::size_t i) {
        return point_set<B, T>(be, source_->read(be, i, 1), metric_, i).row(be, 0);
    }
};

} // namespace cluster
LATHE_NAMESPACE_END
