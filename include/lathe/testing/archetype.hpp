#pragma once
/// \file  Archetypes: one backend for each floor of the tower (core/backend.hpp), offering EXACTLY what that floor
///        requires. What compiles and runs on archetype<floor> asks for no more than that floor.
///
/// The library cannot look through a pointer, compare, index or default-construct one; buffers are move-only; arguments
/// are taken in exactly the documented types. Memory is reached by upload and download alone, fresh memory holds NaN,
/// and whatever an operation touches has to lie inside a living buffer of the same backend, else it throws
/// std::logic_error. Calls are logged, host synchronisations and memory counted.
///
///     testing::archetype<testing::floor::elementwise> be;
///     merge::linear(be, pool, sink, options);
///     REQUIRE(be.host_syncs() == windows);
#include <lathe/core/ops.hpp>
#include <lathe/testing/explain.hpp>
#include <lathe/testing/reference.hpp>

#include <algorithm>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace testing {

/// Elements alive on an archetype.
struct memory_use {
    std::size_t now = 0, ///< in buffers that exist
        peak = 0;        ///< the most there were at once, since the log was cleared
};

/// Memory of an archetype. It outlives its buffer, so that a use after the end is noticed and not undefined.
template <class E> struct opaque_block {
    std::vector<E> elements; ///< what it holds
    void const * owner;      ///< the backend it is of
    bool alive = true;       ///< whether its buffer exists
};

/// A position in the memory of an archetype. It can be copied, offset and made const.
template <class E> class opaque_pointer {
    using block = opaque_block<std::remove_const_t<E>>;
    friend class opaque_pointer<E const>;
    friend struct opaque_memory;

    std::shared_ptr<block> block_;
    std::ptrdiff_t offset_;

    opaque_pointer(std::shared_ptr<block> b, std::ptrdiff_t offset) : block_(std::move(b)), offset_(offset) {}

public:
    using element_type = E; ///< as lathe::pointee reads it
    /// To memory that can be written, as to memory to be read.
    template <class U>
        requires std::is_const_v<E> && std::same_as<U, std::remove_const_t<E>>
    opaque_pointer(opaque_pointer<U> p) : block_(std::move(p.block_)), offset_(p.offset_) {}

    /// n elements on; may lie outside its buffer as long as nothing is done there.
    friend opaque_pointer operator+(opaque_pointer p, std::ptrdiff_t n) { return {std::move(p.block_), p.offset_ + n}; }
    E & operator*() const = delete;
    E & operator[](std::ptrdiff_t) const = delete;
    friend bool operator==(opaque_pointer const &, opaque_pointer const &) = delete;
};

/// The archetype's side of its pointers.
struct opaque_memory {
    /// The position of element 0.
    template <class E> static opaque_pointer<E> begin(std::shared_ptr<opaque_block<E>> const & b) { return {b, 0}; }
    /// For the interpreter; the range was checked before.
    template <class E> static E & at(opaque_pointer<E> const & p, std::size_t i) {
        return p.block_->elements[static_cast<std::size_t>(p.offset_) + i];
    }
    /// \throws std::logic_error unless the n elements from p on lie in one living buffer of that backend
    template <class E> static void expect_inside(void const * owner, opaque_pointer<E> const & p, std::size_t n) {
        if (p.block_->owner != owner)
            throw std::logic_error{"archetype: memory of another backend"};
        if (!p.block_->alive)
            throw std::logic_error{"archetype: memory whose buffer is gone"};
        auto const size = p.block_->elements.size();
        if (p.offset_ < 0 || static_cast<std::size_t>(p.offset_) > size
            || n > size - static_cast<std::size_t>(p.offset_))
            throw std::logic_error{"archetype: an operation reaches outside its buffer"};
    }
};

/// A backend over the scalar T that models floor F and no floor above it. With StorageOperands its kernels take
/// storage_view operands too, over memory of std::byte.
template <floor F, real T = float, bool StorageOperands = false> class archetype {
    template <class E> using view_of = vec_view<opaque_pointer<E>>;
    template <class E> using matrix_of = mat_view<opaque_pointer<E>>;
    using interpreter = reference<T, opaque_memory>;
    template <class E>
    static constexpr bool is_element = std::same_as<E, T> || (StorageOperands && std::same_as<E, std::byte>);

    // What a kernel takes, as the table in core/kernel.hpp has it.
    template <class Operand>
    struct is_input : std::bool_constant<std::same_as<Operand, T> || std::same_as<Operand, random::uniform_stream>> {};
    template <class E> struct is_input<view_of<E>> : std::bool_constant<std::same_as<std::remove_const_t<E>, T>> {};
    template <class E> struct is_input<storage_view<opaque_pointer<E>>> : std::bool_constant<StorageOperands> {};
    template <class Operand> struct is_input<list<Operand>> : is_input<Operand> {};
    template <class Operand> struct is_output : std::false_type {};
    template <class E> struct is_output<view_of<E>> : std::bool_constant<std::same_as<E, T>> {};
    template <class E>
    struct is_output<storage_view<opaque_pointer<E>>> : std::bool_constant<StorageOperands && !std::is_const_v<E>> {};

    std::vector<std::string_view> log_;
    std::size_t host_syncs_ = 0;
    std::shared_ptr<memory_use> memory_ = std::make_shared<memory_use>();

public:
    static constexpr bool storage_operands = StorageOperands; ///< what has_storage_operands asks for
    template <class E> using pointer = opaque_pointer<E>;     ///< cannot be looked through

    /// Owns n elements.
    template <class E> class buffer {
        std::shared_ptr<opaque_block<E>> block_;
        std::shared_ptr<memory_use> memory_;
        friend class archetype;

        buffer(void const * owner, std::size_t n, E value, std::shared_ptr<memory_use> memory)
            : block_(std::make_shared<opaque_block<E>>(std::vector<E>(n, value), owner)), memory_(std::move(memory)) {
            memory_->now += n;
            memory_->peak = std::max(memory_->peak, memory_->now);
        }

    public:
        /// The other owns nothing afterwards.
        buffer(buffer &&) noexcept = default;
        /// The two change places: what this owned ends with the other.
        buffer & operator=(buffer && other) noexcept {
            std::swap(block_, other.block_);
            std::swap(memory_, other.memory_);
            return *this;
        }
        ~buffer() {
            if (block_) {
                memory_->now -= block_->elements.size();
                block_->alive = false;
            }
        }
        /// All of it; the view is good as long as the buffer is.
        [[nodiscard]] view_of<E> view() { return {opaque_memory::begin(block_), block_->elements.size()}; }
    };

    archetype() = default;
    archetype(archetype const &) = delete;
    archetype & operator=(archetype const &) = delete;

    // ---- what tests look at

    /// The operations asked for, in order.
    [[nodiscard]] std::span<std::string_view const> log() const noexcept { return log_; }
    /// How many of them were `operation`.
    [[nodiscard]] std::size_t count(std::string_view operation) const {
        return static_cast<std::size_t>(std::ranges::count(log_, operation));
    }
    /// How often the host had to wait: download, sync, dot, reduce.
    [[nodiscard]] std::size_t host_syncs() const noexcept { return host_syncs_; }
    /// Elements in buffers at present, and the most since the log was cleared.
    [[nodiscard]] memory_use memory() const noexcept { return *memory_; }
    /// The log is empty, no synchronisation is counted, and the peak is what there is at present.
    void clear_log() {
        log_.clear();
        host_syncs_ = 0;
        memory_->peak = memory_->now;
    }

    // ---- storage

    /// n elements: NaN, or bytes of 0xff.
    template <class E>
        requires is_element<E>
    [[nodiscard]] buffer<E> allocate(std::size_t n) {
        log_.push_back("allocate");
        if constexpr (std::same_as<E, T>)
            return buffer<E>(this, n, std::numeric_limits<T>::quiet_NaN(), memory_);
        else
            return buffer<E>(this, n, std::byte{0xff}, memory_);
    }
    /// Copies element by element. \throws shape_error if the extents differ; std::logic_error for what reaches outside
    /// its buffer
    ///@{
    template <class E>
        requires is_element<E>
    void upload(std::span<E const> s, view_of<E> y) {
        log_.push_back("upload");
        expects_shape(s.size() == y.n, "upload: the extents differ");
        expect_inside(y);
        for (std::size_t i = 0; i != y.n; ++i)
            opaque_memory::at(y.data, i) = s[i];
    }
    template <class E>
        requires is_element<E>
    void download(view_of<E const> x, std::span<E> d) {
        log_.push_back("download");
        ++host_syncs_;
        expects_shape(d.size() == x.n, "download: the extents differ");
        expect_inside(x);
        for (std::size_t i = 0; i != x.n; ++i)
            d[i] = opaque_memory::at(x.data, i);
    }
    ///@}
    /// There is nothing to wait for, but it counts.
    void sync() {
        log_.push_back("sync");
        ++host_syncs_;
    }

    // ---- vector_space, inner_product_space: members here, kernels from elementwise on

    /// Element by element. \throws std::logic_error for what reaches outside its buffer
    ///@{
    template <std::same_as<T> U>
    void fill(U a, view_of<U> y)
        requires(F == floor::vector_space || F == floor::inner_product_space)
    {
        run("fill", ops::kernels::identity, std::tuple{y}, a);
    }
    template <std::same_as<T> U>
    void copy(view_of<U const> x, view_of<U> y)
        requires(F == floor::vector_space || F == floor::inner_product_space)
    {
        run("copy", ops::kernels::identity, std::tuple{y}, x);
    }
    template <std::same_as<T> U>
    void scale(U a, view_of<U> y)
        requires(F == floor::vector_space || F == floor::inner_product_space)
    {
        run("scale", ops::kernels::product, std::tuple{y}, a, y);
    }
    template <std::same_as<T> U>
    void axpy(U a, view_of<U const> x, view_of<U> y)
        requires(F == floor::vector_space || F == floor::inner_product_space)
    {
        run("axpy", ops::kernels::axpy, std::tuple{y}, a, x, y);
    }
    template <std::same_as<T> U>
    [[nodiscard]] U dot(view_of<U const> x, view_of<U const> y)
        requires(F == floor::inner_product_space)
    {
        log_.push_back("dot");
        ++host_syncs_;
        expect_inside(x);
        expect_inside(y);
        std::array<double, 1> total{};
        add_blocks(ops::kernels::dot, std::span<double>{total}, x, y);
        return static_cast<U>(total[0]);
    }
    ///@}

    // ---- elementwise

    /// By testing::reference. \throws std::logic_error for what reaches outside its buffer
    ///@{
    template <std::same_as<T> U, class Kernel, class... Outs, class... Ins>
        requires(F >= floor::elementwise && (is_output<Outs>::value && ...) && (is_input<Ins>::value && ...))
    void map(Kernel const & kernel, std::tuple<Outs...> const & outs, Ins const &... ins) {
        static_assert(std::is_empty_v<Kernel>, "a kernel has no captures: a device sees its operands only");
        run("map", kernel, outs, ins...);
    }
    template <std::same_as<T> U, class Kernel, class... Ins>
        requires(F >= floor::elementwise && (is_input<Ins>::value && ...))
    void reduce(Kernel const & kernel, std::span<double> totals, Ins const &... ins) {
        static_assert(std::is_empty_v<Kernel>, "a kernel has no captures: a device sees its operands only");
        log_.push_back("reduce");
        ++host_syncs_;
        (expect_inside(ins), ...);
        add_blocks(kernel, totals, ins...);
    }
    ///@}

    // ---- matrix_space

    /// By testing::reference, in double. \throws std::logic_error for what reaches outside its buffer
    template <std::same_as<T> U>
    void gemm(op oa, op ob, U a, matrix_of<U const> A, matrix_of<U const> B, U b, matrix_of<U> C)
        requires(F >= floor::matrix_space)
    {
        log_.push_back("gemm");
        expect_inside(A);
        expect_inside(B);
        expect_inside(C);
        reference<double, opaque_memory>::gemm(oa, ob, a, A, B, b, C);
    }

private:
    template <class Kernel, class... Outs, class... Ins>
    void run(std::string_view name, Kernel const & kernel, std::tuple<Outs...> const & outs, Ins const &... ins) {
        log_.push_back(name);
        std::apply([&](auto const &... out) { (expect_inside(out), ...); }, outs);
        (expect_inside(ins), ...);
        interpreter::map(kernel, outs, ins...);
    }

    /// Blocks of 4096 elements go to the totals in order, as on the host, so that windows do not change the bits.
    template <class Kernel, class First, class... Ins>
    static void add_blocks(Kernel const & kernel, std::span<double> totals, First const & first, Ins const &... ins) {
        auto const n = interpreter::extent(first);
        for (std::size_t begin = 0; begin < n; begin += host::reduction_block) {
            std::vector<compensated_sum> sums(totals.size());
            interpreter::reduce_range(kernel, std::span{sums}, begin, std::min(n, begin + host::reduction_block), first,
                                      ins...);
            for (std::size_t k = 0; k != sums.size(); ++k)
                totals[k] += static_cast<double>(sums[k].value());
        }
    }

    template <class Operand> void expect_inside(Operand const & operand) const {
        if constexpr (requires { operand.items; })
            for (auto const & item : operand.items)
                expect_inside(item);
        else if constexpr (requires { operand.type; })
            opaque_memory::expect_inside(this, operand.data, operand.n * size_of(operand.type));
        else if constexpr (requires { operand.rows; })
            opaque_memory::expect_inside(this, operand.data,
                                         operand.rows == 0 ? 0 : (operand.rows - 1) * operand.ld + operand.cols);
        else if constexpr (requires { operand.n; })
            opaque_memory::expect_inside(this, operand.data, operand.n);
    }
};

} // namespace testing
LATHE_NAMESPACE_END
