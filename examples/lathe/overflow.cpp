#include "overflow.hpp"

#include <lathe/io/json.hpp>

#include <cstring>

namespace lathe_cli {

namespace {
/// Elements of an IEEE 754 type as bits: those of infinity without its sign. The value before it is the largest.
template <class Bits, Bits Infinity> struct elements {
    static constexpr Bits sign = static_cast<Bits>(Bits{1} << (8 * sizeof(Bits) - 1));

    static bool infinite(std::byte const * at) noexcept {
        Bits x;
        std::memcpy(&x, at, sizeof x);
        return static_cast<Bits>(x & static_cast<Bits>(~sign)) == Infinity;
    }
    static std::size_t count(std::span<std::byte const> bytes) noexcept {
        std::size_t found = 0;
        for (std::size_t i = 0; i + sizeof(Bits) <= bytes.size(); i += sizeof(Bits))
            found += infinite(bytes.data() + i) ? 1u : 0u;
        return found;
    }
    static std::size_t first(std::span<std::byte const> bytes) noexcept {
        std::size_t i = 0;
        while (!infinite(bytes.data() + i))
            i += sizeof(Bits);
        return i / sizeof(Bits);
    }
    static void saturate(std::span<std::byte> bytes) noexcept {
        for (std::size_t i = 0; i + sizeof(Bits) <= bytes.size(); i += sizeof(Bits))
            if (infinite(bytes.data() + i)) {
                Bits x;
                std::memcpy(&x, bytes.data() + i, sizeof x);
                x = static_cast<Bits>(x - 1);
                std::memcpy(bytes.data() + i, &x, sizeof x);
            }
    }
};
/// Calls `f` with the elements of a type that results may be too large for.
template <class F> void with_elements(lathe::dtype type, F && f) {
    if (type == lathe::dtype::f16)
        f(elements<std::uint16_t, 0x7c00>{});
    else if (type == lathe::dtype::bf16)
        f(elements<std::uint16_t, 0x7f80>{});
    else if (type == lathe::dtype::f32)
        f(elements<std::uint32_t, 0x7f800000>{});
}
} // namespace

bool overflow_count::look(lathe::tensor_info const & info, std::size_t first, std::span<std::byte const> bytes) {
    bool some = false;
    with_elements(info.type, [&](auto e) {
        auto const found = e.count(bytes);
        if (found == 0)
            return;
        some = true;
        add(found, "tensor '" + lathe::io::printable(info.name) + "' of type " + std::string{lathe::name_of(info.type)}
                       + ", element " + std::to_string(first / lathe::size_of(info.type) + e.first(bytes)));
        if (policy_ == overflow_policy::error)
            throw lathe::non_finite_error{first_
                                          + ": the result is infinite: too large for the type, or infinite in an "
                                            "input"};
    });
    return some && policy_ == overflow_policy::saturate;
}

void overflow_count::saturate(lathe::dtype type, std::span<std::byte> bytes) {
    with_elements(type, [&](auto e) { e.saturate(bytes); });
}

void overflow_count::add(std::uint64_t elements, std::string const & first) {
    if (elements_ == 0)
        first_ = first;
    elements_ += elements;
}

void overflow_watch::begin(std::vector<lathe::tensor_info> tensors, std::map<std::string, std::string> metadata) {
    tensors_ = tensors;
    to_.begin(std::move(tensors), std::move(metadata));
}

void overflow_watch::commit(std::size_t index, std::size_t first, std::span<std::byte const> bytes) {
    auto const & info = tensors_.at(index);
    if (count_.look(info, first, bytes)) {
        changed_.assign(bytes.begin(), bytes.end());
        overflow_count::saturate(info.type, changed_);
        bytes = changed_;
    }
    to_.commit(index, first, bytes);
}

std::string overflow_count::note() const {
    if (elements_ == 0)
        return {};
    return std::to_string(elements_) + (elements_ == 1 ? " element of the result " : " elements of the result ")
           + (policy_ == overflow_policy::saturate ? (elements_ == 1 ? "was" : "were")
                                                   : std::string{elements_ == 1 ? "is" : "are"})
           + " infinite" + (policy_ == overflow_policy::saturate ? " and became the largest of the type" : "")
           + " (too large for the type, or infinite in an input); the first: " + first_;
}

} // namespace lathe_cli
