#pragma once
/// \file  Positions in device memory, and its owners.
#include <lathe/backend/opencl/api.hpp>
#include <lathe/core/view.hpp>

#include <type_traits>

LATHE_NAMESPACE_BEGIN
namespace opencl {

/// A position in a cl_mem, of which it holds a share. Offsets count elements; sub-buffers, whose beginning would have
/// to be aligned, are not used. Not for reading by the host.
template <class E> class pointer {
    template <class> friend class pointer;
    memory_handle memory_;
    std::size_t offset_ = 0;

public:
    using element_type = E; ///< as lathe::pointee reads it
    pointer() = default;
    /// Element `offset` of a cl_mem, which may be the caller's.
    explicit pointer(memory_handle memory, std::size_t offset = 0) : memory_(std::move(memory)), offset_(offset) {}
    /// To memory that can be written, as to memory to be read.
    template <class U>
        requires std::is_const_v<E> && std::same_as<U, std::remove_const_t<E>>
    pointer(pointer<U> p) : memory_(std::move(p.memory_)), offset_(p.offset_) {}

    /// n elements on, which may be negative.
    friend pointer operator+(pointer p, std::ptrdiff_t n) {
        p.offset_ += static_cast<std::size_t>(n);
        return p;
    }
    /// Without a share of its own; null for no memory.
    [[nodiscard]] cl_mem memory() const noexcept { return memory_.get(); }
    /// In elements.
    [[nodiscard]] std::size_t offset() const noexcept { return offset_; }
};

/// Owns n elements. What is enqueued may outlive it: OpenCL keeps the memory until that is done.
template <class E> class buffer {
    pointer<E> data_;
    std::size_t n_;

public:
    /// n elements at the beginning of `memory`.
    buffer(memory_handle memory, std::size_t n) : data_(std::move(memory)), n_(n) {}
    /// The memory moves; the other can only be assigned to, or end.
    ///@{
    buffer(buffer &&) noexcept = default;
    buffer & operator=(buffer &&) noexcept = default;
    ///@}
    ~buffer() = default;
    /// All of it; the view holds a share of the memory.
    [[nodiscard]] vec_view<pointer<E>> view() const { return {data_, n_}; }
};

} // namespace opencl
LATHE_NAMESPACE_END
