#pragma once
/// \file  The operands of one call of a kernel, laid out flat: what becomes arguments, and what the kernel sees of
/// them.
#include <lathe/backend/opencl/memory.hpp>
#include <lathe/backend/opencl/symbol.hpp>
#include <lathe/core/kernel.hpp>
#include <lathe/random/philox.hpp>

#include <cstring>

LATHE_NAMESPACE_BEGIN
namespace opencl {

/// One operand, or one item of a list.
struct slot {
    /// How the kernel gets it: from memory, as an argument, or by making it.
    enum class kind : unsigned char {
        elements, ///< in device memory
        number,   ///< the same for all elements
        stream    ///< random numbers, made where they are used
    };
    kind what;                        ///< which of the three
    bool listed = false;              ///< an item of a list
    std::size_t ordinal = 0;          ///< among the slots of its kind; of elements, among those in lists
    dtype type = dtype::f32;          ///< of elements
    bool aligned = true;              ///< whether elements lie at multiples of their size
    cl_mem memory = nullptr;          ///< of elements; the caller's operand keeps it
    std::size_t offset = 0;           ///< of elements, in bytes
    std::array<std::byte, 8> value{}; ///< of a number
    random::uniform_stream stream{};  ///< of a stream
};

/// Operands in the order of the kernel's arguments, outputs first, and the signature: all that a kernel's source
/// depends on. Refers to the memory of the operands.
template <real T> class call {
    std::vector<slot> slots_;
    std::string signature_;
    std::size_t outputs_ = 0, numbers_ = 0, streams_ = 0, listed_ = 0, bytes_ = 0;
    bool in_list_ = false;

    [[gnu::noinline]] void add_elements(cl_mem memory, dtype type, std::size_t offset) {
        // The signature says nothing of other types: no kernel takes them.
        visit_floating(type, [](auto) {});
        slot s{slot::kind::elements, in_list_};
        s.ordinal = in_list_ ? listed_++ : 0;
        s.type = type;
        s.memory = memory;
        s.offset = offset;
        s.aligned = offset % size_of(type) == 0;
        signature_.push_back(static_cast<char>('A' + 2 * static_cast<int>(type) + (s.aligned ? 1 : 0)));
        bytes_ += sizeof(cl_mem) + sizeof(cl_ulong);
        slots_.push_back(s);
    }

public:
    /// In the order of the operands; those of a list side by side.
    [[nodiscard]] std::span<slot const> slots() const noexcept { return slots_; }
    /// Equal for calls that the same source serves: of each slot its kind and, of elements, type and alignment; the
    /// lists and their lengths.
    [[nodiscard]] std::string const & signature() const noexcept { return signature_; }
    /// Slots of outputs: the first ones.
    [[nodiscard]] std::size_t outputs() const noexcept { return outputs_; }
    /// Slots of numbers.
    [[nodiscard]] std::size_t numbers() const noexcept { return numbers_; }
    /// Slots of streams.
    [[nodiscard]] std::size_t streams() const noexcept { return streams_; }
    /// Slots of elements in lists.
    [[nodiscard]] std::size_t listed() const noexcept { return listed_; }
    /// What the arguments of all slots take.
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    /// Ready for the operands of another call; keeps memory.
    void clear() {
        slots_.clear();
        signature_.clear();
        outputs_ = numbers_ = streams_ = listed_ = bytes_ = 0;
    }
    /// After the outputs, before the inputs.
    void end_outputs() {
        outputs_ = slots_.size();
        signature_.push_back('|');
    }
    /// The next operand. \throws unsupported_error for elements without arithmetic
    ///@{
    template <class E>
        requires std::same_as<std::remove_const_t<E>, T>
    void add(vec_view<pointer<E>> const & v) {
        add_elements(v.data.memory(), dtype_of<T>, v.data.offset() * sizeof(T));
    }
    template <class E>
        requires std::same_as<std::remove_const_t<E>, std::byte>
    void add(storage_view<pointer<E>> const & v) {
        add_elements(v.data.memory(), v.type, v.data.offset());
    }
    [[gnu::noinline]] void add(T number) {
        slot s{slot::kind::number, in_list_};
        s.ordinal = numbers_++;
        std::memcpy(s.value.data(), &number, sizeof number);
        signature_.push_back('n');
        bytes_ += sizeof(T);
        slots_.push_back(s);
    }
    [[gnu::noinline]] void add(random::uniform_stream const & stream) {
        slot s{slot::kind::stream, in_list_};
        s.ordinal = streams_++;
        s.stream = stream;
        signature_.push_back('u');
        bytes_ += 3 * sizeof(cl_ulong);
        slots_.push_back(s);
    }
    template <class Operand> void add(list<Operand> const & l) {
        signature_.append("[").append(std::to_string(l.items.size())).append(":");
        in_list_ = true;
        for (auto const & item : l.items)
            add(item);
        in_list_ = false;
        signature_.push_back(']');
    }
    ///@}
};

/// How a kernel goes through its elements: see opencl/source.hpp.
enum class kernel_shape : unsigned char {
    chunks, ///< a work-item takes a range of its own: for processors
    groups  ///< neighbours take neighbouring elements: for the rest
};

/// How the source of a kernel reaches its operands.
template <real T> class access {
    std::span<slot const> slots_;
    bool tables_;
    kernel_shape shape_;

public:
    /// \param tables whether there are so many arguments that numbers and streams come in tables, and elements of lists
    /// in one buffer
    access(std::span<slot const> slots, bool tables, kernel_shape shape)
        : slots_(slots), tables_(tables), shape_(shape) {}

    /// In decimal.
    [[nodiscard]] static std::string number_of(std::size_t i) { return std::to_string(i); }
    /// Whether slot i comes in the buffer that holds all lists; then it is aligned.
    [[nodiscard]] bool gathered(slot const & s) const { return tables_ && s.listed && s.what == slot::kind::elements; }
    /// Whether the kernel finds the elements at multiples of their size.
    [[nodiscard]] bool aligned(slot const & s) const { return s.aligned || gathered(s); }
    /// What the elements of a slot are in OpenCL C: bits for what has no arithmetic there.
    [[nodiscard]] std::string element(slot const & s) const {
        if (!aligned(s))
            return "uchar";
        switch (s.type) {
        case dtype::f64: return sizeof(T) == 8 ? "double" : "ulong";
        case dtype::f32: return "float";
        default: return "ushort";
        }
    }
    /// Seed, purpose and first element of a stream.
    [[nodiscard]] std::array<std::string, 3> stream(std::size_t k) const {
        auto const at = 3 * slots_[k].ordinal;
        auto const id = number_of(k);
        if (tables_)
            return {"streams[" + number_of(at) + "]", "streams[" + number_of(at + 1) + "]",
                    "streams[" + number_of(at + 2) + "]"};
        return {"k" + id, "w" + id, "f" + id};
    }
    /// Element i of slot k.
    [[nodiscard]] std::string load(std::size_t k) const {
        auto const & s = slots_[k];
        auto const id = number_of(k);
        if (s.what == slot::kind::number)
            return tables_ ? "numbers[" + number_of(s.ordinal) + "]" : "s" + id;
        if (s.what == slot::kind::stream) {
            if (shape_ == kernel_shape::chunks)
                return "u" + id + "[d" + id + " + lane]"; // made a tile at a time
            auto const [seed, purpose, first] = stream(k);
            return "uniform(" + first + " + i, " + seed + ", " + purpose + ")";
        }
        auto const in_place = "x" + id + "[i]";
        auto const bytes = "(x" + id + ", i)";
        auto const whole = aligned(s);
        switch (s.type) {
        case dtype::f64:
            if (sizeof(T) == 8)
                return whole ? in_place : "as_double(get8" + bytes + ")";
            return "narrow_f64(" + (whole ? in_place : "get8" + bytes) + ")";
        case dtype::f32: return whole ? in_place : "as_float(get4" + bytes + ")";
        case dtype::f16: return "widen_f16(" + (whole ? in_place : "get2" + bytes) + ")";
        default: return "widen_bf16(" + (whole ? in_place : "get2" + bytes) + ")";
        }
    }
    /// Stores a value as element i of slot k, rounded once.
    [[nodiscard]] std::string store(std::size_t k, std::string const & value) const {
        auto const & s = slots_[k];
        auto const id = number_of(k);
        std::string rounded;
        char const * put = "put2";
        switch (s.type) {
        case dtype::f64:
            rounded = sizeof(T) == 8 ? value : "widen_f32(" + value + ")";
            put = "put8";
            break;
        case dtype::f32:
            rounded = "(float)" + value;
            put = "put4";
            break;
        case dtype::f16: rounded = "narrow_f16(" + value + ")"; break;
        default: rounded = "narrow_bf16(" + value + ")";
        }
        if (s.aligned)
            return "x" + id + "[i] = " + rounded + ";";
        if (s.type == dtype::f32)
            rounded = "as_uint(" + rounded + ")";
        if (s.type == dtype::f64 && sizeof(T) == 8)
            rounded = "as_ulong(" + rounded + ")";
        return std::string{put} + "(x" + id + ", i, " + rounded + ");";
    }

    /// Writes down that element i of slot k is read. \returns its value
    [[nodiscard, gnu::noinline]] written read(std::size_t k) const { return {tracer::current().value_of(load(k))}; }

    /// What the kernel sees of a list.
    class items {
        access const * access_;
        std::size_t first_, size_;

    public:
        /// Slots [first, first + size).
        items(access const & a, std::size_t first, std::size_t size) : access_(&a), first_(first), size_(size) {}
        /// As many as when the kernel is called.
        [[nodiscard]] std::size_t size() const noexcept { return size_; }
        /// Writes down that element i of item k is read.
        [[nodiscard]] symbol<T> operator[](std::size_t k) const { return access_->read(first_ + k); }
    };
    /// What the kernel sees of an operand that begins at slot `next`, which moves on behind it.
    template <class Operand> auto symbols_of(Operand const & operand, std::size_t & next) const {
        if constexpr (requires { operand.items; }) {
            auto const first = next;
            next += operand.items.size();
            return items(*this, first, operand.items.size());
        } else
            return symbol<T>(read(next++));
    }
};

} // namespace opencl
LATHE_NAMESPACE_END
