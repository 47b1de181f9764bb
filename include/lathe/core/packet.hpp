#pragma once
/// \file  A packet: 64 bytes of neighbouring elements that behave like one number. What host kernels are called on.
///
/// Written on the compiler's vector types (g++, clang), so a kernel is vectorised at -O2 and without intrinsics. A
/// packet has the same number of lanes whatever the machine: sums over lanes are the same bits with and without AVX.
/// Operators are always inlined: with narrow registers g++ -O2 would call them, at half the speed.
#include <lathe/core/math.hpp>

#include <array>
#include <cstddef>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

LATHE_NAMESPACE_BEGIN
namespace host {
inline namespace LATHE_VECTOR_ABI {

/// One machine register of T, and the integers of the same width for masks.
template <real T> struct registers {
    using integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>; ///< as wide as T
    typedef T value __attribute__((vector_size(LATHE_VECTOR_BYTES)));               ///< elements side by side
    typedef integer mask __attribute__((vector_size(LATHE_VECTOR_BYTES))); ///< of a lane: all bits set, or none
    typedef T unaligned
        __attribute__((vector_size(LATHE_VECTOR_BYTES), aligned(1), may_alias)); ///< in memory of any kind
};

inline constexpr std::size_t packet_registers = 64 / LATHE_VECTOR_BYTES;     ///< of a packet
template <real T> inline constexpr std::size_t packet_size = 64 / sizeof(T); ///< elements of a packet

/// f on every register of the operands.
template <class R, class F, class... Ps> [[gnu::always_inline]] inline R per_register(F f, Ps const &... ps) {
    return [&]<std::size_t... K>(std::index_sequence<K...>) {
        auto const apply = [&](std::size_t index) { return f(ps.r[index]...); };
        R result;
        ((result.r[K] = apply(K)), ...);
        return result;
    }(std::make_index_sequence<packet_registers>{});
}

template <real T> struct packet;
/// The result of a comparison, lane by lane.
template <real T> struct packet_mask {
    std::array<typename registers<T>::mask, packet_registers> r; ///< lanes that hold have all bits set, others none

    /// `yes` in lanes that hold, `no` in the others.
    [[nodiscard, gnu::always_inline]] packet<T> select(packet<T> const & yes, packet<T> const & no) const {
        return per_register<packet<T>>([](auto m, auto x, auto y) { return m ? x : y; }, *this, yes, no);
    }
    /// Bit i is set where lane i is.
    [[nodiscard]] unsigned bits() const {
        unsigned all = 0;
#if LATHE_VECTOR_BYTES > 16 || defined(__SSE2__)
        typedef float floats __attribute__((vector_size(LATHE_VECTOR_BYTES > 16 ? 32 : 16)));
        typedef double doubles __attribute__((vector_size(sizeof(floats))));
        std::array<std::conditional_t<sizeof(T) == 4, floats, doubles>, 64 / sizeof(floats)> parts;
        std::memcpy(&parts, &r, sizeof r);
        for (std::size_t k = 0; k != parts.size(); ++k) {
            int signs;
#    if LATHE_VECTOR_BYTES > 16
            if constexpr (sizeof(T) == 4)
                signs = __builtin_ia32_movmskps256(parts[k]);
            else
                signs = __builtin_ia32_movmskpd256(parts[k]);
#    else
            if constexpr (sizeof(T) == 4)
                signs = __builtin_ia32_movmskps(parts[k]);
            else
                signs = __builtin_ia32_movmskpd(parts[k]);
#    endif
            all |= static_cast<unsigned>(signs) << (k * sizeof(floats) / sizeof(T));
        }
#else
        std::array<typename registers<T>::integer, 64 / sizeof(T)> lanes;
        std::memcpy(&lanes, &r, sizeof r);
        for (std::size_t i = 0; i != lanes.size(); ++i)
            all |= (lanes[i] != 0 ? 1u : 0u) << i;
#endif
        return all;
    }
    /// Lanes 0 to n-1.
    static packet_mask first(std::size_t n) {
        std::array<typename registers<T>::integer, packet_size<T>> lanes{};
        for (std::size_t i = 0; i != n; ++i)
            lanes[i] = -1;
        packet_mask m;
        std::memcpy(&m, lanes.data(), sizeof m);
        return m;
    }
};

/// 16 floats or 8 doubles.
template <real T> struct packet {
    using vector = typename registers<T>::value;        ///< one machine register
    using unaligned = typename registers<T>::unaligned; ///< the same in memory of any kind
    std::array<vector, packet_registers> r;             ///< register after register, in the order of the elements

    packet() = default;
    /// Of registers.
    explicit packet(std::array<vector, packet_registers> const & v) : r(v) {}
    /// All lanes equal. Implicit, so that literals and run-time scalars mix with packets.
    template <class S>
        requires std::is_arithmetic_v<S>
    [[gnu::always_inline]] packet(S s) {
        auto const all = static_cast<T>(s) - vector{}; // minus zero keeps the sign of -0
        for (auto & v : r)
            v = all;
    }
    /// 64 bytes of elements, at any alignment.
    [[gnu::always_inline]] static packet load(T const * p) {
        return [&]<std::size_t... K>(std::index_sequence<K...>) {
            unaligned const * const q = reinterpret_cast<unaligned const *>(p); // auto would drop the alignment
            packet x;
            ((x.r[K] = q[K]), ...);
            return x;
        }(std::make_index_sequence<packet_registers>{});
    }
    /// To 64 bytes, at any alignment.
    [[gnu::always_inline]] void store(T * p) const {
        [&]<std::size_t... K>(std::index_sequence<K...>) {
            unaligned * const q = reinterpret_cast<unaligned *>(p);
            ((q[K] = r[K]), ...);
        }(std::make_index_sequence<packet_registers>{});
    }

    /// The functions of lathe::math, lane by lane.
    ///@{
    [[nodiscard]] [[gnu::always_inline]] packet abs() const {
        using mask = typename registers<T>::mask;
        using integer = typename registers<T>::integer;
        return per_register<packet>(
            [](auto x) { return (vector)((mask)x & (mask{} + std::numeric_limits<integer>::max())); }, *this);
    }
    [[nodiscard]] packet sqrt() const {
        return per_lane([](T x) { return std::sqrt(x); });
    }
    [[nodiscard]] packet exp() const {
        return per_lane([](T x) { return std::exp(x); });
    }
    [[nodiscard]] packet log() const {
        return per_lane([](T x) { return std::log(x); });
    }
    [[nodiscard]] packet rint() const {
        return per_lane([](T x) { return std::nearbyint(x); });
    }
    template <class S>
        requires std::is_arithmetic_v<S>
    [[nodiscard]] packet pow(S b) const {
        return per_lane([e = static_cast<T>(b)](T x) { return std::pow(x, e); });
    }
    ///@}

    /// Lane by lane through a function of numbers; vectorised where the machine has the instruction.
    template <class F> [[nodiscard]] packet per_lane(F f) const {
        std::array<T, packet_size<T>> lanes;
        store(lanes.data());
        for (auto & x : lanes)
            x = f(x);
        return load(lanes.data());
    }
    /// Lane by lane.
    [[gnu::always_inline]] packet & operator+=(packet const & b) {
        r = per_register<packet>([](auto x, auto y) { return x + y; }, *this, b).r;
        return *this;
    }
};

/// Packets of doubles, as one packet of T.
template <real T>
[[gnu::always_inline]] inline packet<T> narrowed(
    std::array<packet<double>, packet_size<T> / packet_size<double>> const & wide) {
    if constexpr (std::same_as<T, double>)
        return wide[0];
    else {
        typedef float half __attribute__((vector_size(LATHE_VECTOR_BYTES / 2)));
        std::array<half, 2 * packet_registers> parts;
        for (std::size_t k = 0; k != parts.size(); ++k)
            parts[k] = __builtin_convertvector(wide[k / packet_registers].r[k % packet_registers], half);
        packet<T> p;
        std::memcpy(&p, &parts, sizeof p);
        return p;
    }
}

// Binary operators: packet with packet, packet with number, number with packet. What else has no common_packet.
/// \cond operands
template <class A, class B> struct common_packet {};
template <real T> struct common_packet<packet<T>, packet<T>> {
    using type = packet<T>;
};
template <real T, class S>
    requires std::is_arithmetic_v<S>
struct common_packet<packet<T>, S> {
    using type = packet<T>;
};
template <real T, class S>
    requires std::is_arithmetic_v<S>
struct common_packet<S, packet<T>> {
    using type = packet<T>;
};
template <class A, class B> using common_packet_t = typename common_packet<A, B>::type;
template <class P> struct mask_of;
template <real T> struct mask_of<packet<T>> {
    using type = packet_mask<T>;
};
template <class P> using mask_of_t = typename mask_of<P>::type;
/// \endcond

/// Arithmetic lane by lane, of packets with each other and with numbers.
///@{
template <class A, class B, class P = common_packet_t<A, B>>
[[gnu::always_inline]] inline P operator+(A const & a, B const & b) {
    return per_register<P>([](auto x, auto y) { return x + y; }, P(a), P(b));
}
template <class A, class B, class P = common_packet_t<A, B>>
[[gnu::always_inline]] inline P operator-(A const & a, B const & b) {
    return per_register<P>([](auto x, auto y) { return x - y; }, P(a), P(b));
}
template <class A, class B, class P = common_packet_t<A, B>>
[[gnu::always_inline]] inline P operator*(A const & a, B const & b) {
    return per_register<P>([](auto x, auto y) { return x * y; }, P(a), P(b));
}
template <class A, class B, class P = common_packet_t<A, B>>
[[gnu::always_inline]] inline P operator/(A const & a, B const & b) {
    return per_register<P>([](auto x, auto y) { return x / y; }, P(a), P(b));
}
template <real T> [[gnu::always_inline]] inline packet<T> operator-(packet<T> const & a) {
    return per_register<packet<T>>([](auto x) { return -x; }, a);
}
///@}

/// Comparisons lane by lane, as of numbers: NaN is unequal to all and not ordered.
///@{
template <class A, class B, class P = common_packet_t<A, B>>
[[gnu::always_inline]] inline mask_of_t<P> operator<(A const & a, B const & b) {
    return per_register<mask_of_t<P>>([](auto x, auto y) { return x < y; }, P(a), P(b));
}
template <class A, class B, class P = common_packet_t<A, B>>
[[gnu::always_inline]] inline mask_of_t<P> operator<=(A const & a, B const & b) {
    return per_register<mask_of_t<P>>([](auto x, auto y) { return x <= y; }, P(a), P(b));
}
template <class A, class B, class P = common_packet_t<A, B>>
[[gnu::always_inline]] inline mask_of_t<P> operator>(A const & a, B const & b) {
    return per_register<mask_of_t<P>>([](auto x, auto y) { return x > y; }, P(a), P(b));
}
template <class A, class B, class P = common_packet_t<A, B>>
[[gnu::always_inline]] inline mask_of_t<P> operator>=(A const & a, B const & b) {
    return per_register<mask_of_t<P>>([](auto x, auto y) { return x >= y; }, P(a), P(b));
}
template <class A, class B, class P = common_packet_t<A, B>>
[[gnu::always_inline]] inline mask_of_t<P> operator==(A const & a, B const & b) {
    return per_register<mask_of_t<P>>([](auto x, auto y) { return x == y; }, P(a), P(b));
}
template <class A, class B, class P = common_packet_t<A, B>>
[[gnu::always_inline]] inline mask_of_t<P> operator!=(A const & a, B const & b) {
    return per_register<mask_of_t<P>>([](auto x, auto y) { return x != y; }, P(a), P(b));
}
///@}

/// Lane by lane; both sides are evaluated.
///@{
template <real T>
[[gnu::always_inline]] inline packet_mask<T> operator&&(packet_mask<T> const & a, packet_mask<T> const & b) {
    return per_register<packet_mask<T>>([](auto x, auto y) { return x & y; }, a, b);
}
template <real T>
[[gnu::always_inline]] inline packet_mask<T> operator||(packet_mask<T> const & a, packet_mask<T> const & b) {
    return per_register<packet_mask<T>>([](auto x, auto y) { return x | y; }, a, b);
}
template <real T> [[gnu::always_inline]] inline packet_mask<T> operator!(packet_mask<T> const & a) {
    return per_register<packet_mask<T>>([](auto x) { return ~x; }, a);
}
///@}

} // namespace LATHE_VECTOR_ABI
} // namespace host
LATHE_NAMESPACE_END
