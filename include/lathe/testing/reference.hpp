#pragma once
/// \file  The oracle: kernels interpreted one element after the other, on plain numbers, in a precision of choice.
///
/// Nothing is shared with the interpreters it judges: no blocks, no packets, no threads, no conversions of blocks.
///
///     testing::reference<long double>::map(kernel, std::tuple{out}, x, a);    // out[i] = kernel(x[i], a), rounded once
///     testing::reference<float>::reduce(kernel, std::span{totals}, x, y);     // products in float, sums in double
#include <lathe/core/kernel.hpp>
#include <lathe/random/philox.hpp>

#include <cstring>
#include <tuple>

LATHE_NAMESPACE_BEGIN
namespace testing {

/// How the interpreter reaches elements. Memory that has no plain pointers brings a class with this one function.
struct plain_access {
    /// Element i from p on.
    template <class E> static E & at(E * p, std::size_t i) { return p[i]; }
};

/// A sum that keeps what rounding took from it (Knuth's two-sum), so that its error does not grow with the number of
/// terms.
struct compensated_sum {
    long double sum = 0, ///< of the terms, rounded each time
        rest = 0;        ///< what rounding took
    /// Adds a term.
    compensated_sum & operator+=(long double x) {
        auto const s = sum + x, part = s - sum;
        rest += (sum - (s - part)) + (x - part);
        sum = s;
        return *this;
    }
    /// The sum and what was taken, together.
    [[nodiscard]] long double value() const noexcept { return sum + rest; }
};

/// Kernels see numbers of type Value: float or double to do what a backend does, long double to know what is right.
template <class Value, class Access = plain_access>
    requires std::floating_point<Value>
struct reference {
    /// What a kernel sees of a list: numbers by index.
    template <class Operand> struct elements {
        std::span<Operand const> items; ///< of the list
        std::size_t i;                  ///< which element
        /// Operands in the list.
        [[nodiscard]] std::size_t size() const noexcept { return items.size(); }
        /// Element i of operand k.
        [[nodiscard]] Value operator[](std::size_t k) const { return at(items[k], i); }
    };
    /// What a reducing kernel adds to.
    template <class Sum> struct accumulators {
        std::span<Sum> totals; ///< the caller's
        /// totals[k] += x
        template <class X> void add(std::size_t k, X const & x) { totals[k] += static_cast<Value>(x); }
    };

    /// Element i of an operand (core/kernel.hpp), as a kernel sees it.
    ///@{
    template <class P> static Value at(vec_view<P> const & v, std::size_t i) {
        return static_cast<Value>(Access::at(v.data, i));
    }
    template <class P> static Value at(storage_view<P> const & v, std::size_t i) {
        return visit_floating(v.type, [&](auto s) {
            std::array<std::byte, sizeof s> bytes;
            for (std::size_t b = 0; b != sizeof s; ++b)
                bytes[b] = Access::at(v.data, i * sizeof s + b);
            std::memcpy(&s, bytes.data(), sizeof s);
            return static_cast<Value>(widen(s));
        });
    }
    static Value at(random::uniform_stream const & s, std::size_t i) { return static_cast<Value>(s[i]); }
    template <class X>
        requires std::is_arithmetic_v<X>
    static Value at(X x, std::size_t) {
        return static_cast<Value>(x);
    }
    template <class Operand> static elements<Operand> at(list<Operand> const & l, std::size_t i) {
        return {l.items, i};
    }
    ///@}

    /// Rounds x to the element type, once.
    ///@{
    template <class P> static void put(vec_view<P> const & v, std::size_t i, Value x) {
        Access::at(v.data, i) = static_cast<typename vec_view<P>::element_type>(x);
    }
    template <class P> static void put(storage_view<P> const & v, std::size_t i, Value x) {
        using wide = std::conditional_t<std::same_as<Value, float>, float, double>;
        visit_floating(v.type, [&](auto s) {
            s = narrow<decltype(s)>(static_cast<wide>(x));
            std::array<std::byte, sizeof s> bytes;
            std::memcpy(bytes.data(), &s, sizeof s);
            for (std::size_t b = 0; b != sizeof s; ++b)
                Access::at(v.data, i * sizeof s + b) = bytes[b];
        });
    }
    ///@}

    /// out[i] = kernel(in[i]...) in ascending order of i; several outputs take the elements of the array it returns.
    template <class Kernel, class... Outs, class... Ins>
    static void map(Kernel const & kernel, std::tuple<Outs...> const & outs, Ins const &... ins) {
        for (std::size_t i = 0; i != std::get<0>(outs).n; ++i) {
            auto const values = kernel(at(ins, i)...);
            if constexpr (sizeof...(Outs) == 1)
                put(std::get<0>(outs), i, static_cast<Value>(values));
            else
                [&]<std::size_t... K>(std::index_sequence<K...>) {
                    (put(std::get<K>(outs), i, static_cast<Value>(values[K])), ...);
                }(std::index_sequence_for<Outs...>{});
        }
    }

    /// totals[k] += what kernel(sums, in[i]...) adds to sums k, element by element. Sum: double, compensated_sum.
    template <class Kernel, class Sum, std::size_t Extent, class First, class... Ins>
    static void reduce(Kernel const & kernel, std::span<Sum, Extent> totals, First const & first, Ins const &... ins) {
        reduce_range(kernel, totals, 0, extent(first), first, ins...);
    }
    /// The same for the elements [begin, end).
    template <class Kernel, class Sum, std::size_t Extent, class... Ins>
    static void reduce_range(Kernel const & kernel, std::span<Sum, Extent> totals, std::size_t begin, std::size_t end,
                             Ins const &... ins) {
        accumulators<Sum> sums{totals};
        for (std::size_t i = begin; i != end; ++i)
            kernel(sums, at(ins, i)...);
    }
    /// Elements of an operand that has an extent.
    template <class Operand> static std::size_t extent(Operand const & operand) {
        if constexpr (requires { operand.items; })
            return extent(operand.items.front());
        else
            return operand.n;
    }

    /// C = a op(A) op(B) + b C; C is not read where b is 0. Products and sums in Value, each element rounded once.
    template <class P, class Q, class R>
    static void gemm(op oa, op ob, Value a, mat_view<P> const & A, mat_view<Q> const & B, Value b,
                     mat_view<R> const & C) {
        auto const entry = [](auto const & m, op o, std::size_t i, std::size_t j) {
            return static_cast<Value>(Access::at(m.data, o == op::none ? i * m.ld + j : j * m.ld + i));
        };
        auto const inner = oa == op::none ? A.cols : A.rows;
        for (std::size_t i = 0; i != C.rows; ++i)
            for (std::size_t j = 0; j != C.cols; ++j) {
                Value sum = 0;
                for (std::size_t k = 0; k != inner; ++k)
                    sum += entry(A, oa, i, k) * entry(B, ob, k, j);
                auto & c = Access::at(C.data, i * C.ld + j);
                c = static_cast<typename mat_view<R>::element_type>(
                    b == Value(0) ? a * sum : a * sum + b * static_cast<Value>(c));
            }
    }
};

} // namespace testing
LATHE_NAMESPACE_END
