#pragma once
/// \file  Symbols: what a kernel is called on, once, to learn its source. Every operation on symbols writes down one
///        statement of OpenCL C, and stands for its value.
#include <lathe/core/scalar.hpp>

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace opencl {

/// The statements of a kernel, one a value, in the order of their making. A value that was there before is not made
/// again, so that what a kernel reads or says twice costs nothing.
class tracer {
    struct statement {
        bool condition;
        std::string expression;
    };
    std::vector<statement> statements_;
    std::unordered_map<std::string, std::size_t> known_;
    static inline thread_local tracer * current_ = nullptr;
    tracer * outer_;

public:
    /// From now on symbols of this thread write here.
    tracer() : outer_(current_) { current_ = this; }
    ~tracer() { current_ = outer_; }
    tracer(tracer const &) = delete;
    tracer & operator=(tracer const &) = delete;
    /// The latest tracer of this thread, of which there has to be one.
    static tracer & current() { return *current_; }

    // Not inlined: kernels are many, and none of this is in a hurry.

    /// The number of the value of an expression.
    [[gnu::noinline]] std::size_t value_of(std::string expression, bool condition = false) {
        auto const [at, fresh] = known_.emplace(std::move(expression), statements_.size());
        if (fresh)
            statements_.push_back({condition, at->first});
        return at->second;
    }
    /// The number of the value of an operation on values of these numbers.
    ///@{
    [[gnu::noinline]] std::size_t unary(char const * before, std::size_t a, char const * behind,
                                        bool condition = false) {
        return value_of(std::string{before}.append(name(a)).append(behind), condition);
    }
    [[gnu::noinline]] std::size_t binary(std::size_t a, char const * between, std::size_t b, bool condition = false) {
        return value_of(name(a).append(between).append(name(b)), condition);
    }
    [[gnu::noinline]] std::size_t select(std::size_t condition, std::size_t yes, std::size_t no) {
        return value_of(name(condition).append(" ? ").append(name(yes)).append(" : ").append(name(no)));
    }
    ///@}
    /// A number in OpenCL C, to the bit. T is the arithmetic type there too.
    template <real T> [[gnu::noinline]] std::size_t literal(T x) {
        if (x != x)
            return value_of("(T)NAN");
        if (x - x != 0)
            return value_of(x > 0 ? "(T)INFINITY" : "-(T)INFINITY");
        char text[64];
        std::snprintf(text, sizeof text, "%a%s", static_cast<double>(x), sizeof(T) == 4 ? "f" : "");
        return value_of(text);
    }
    /// What the source calls a value.
    [[nodiscard]] static std::string name(std::size_t value) { return "v" + std::to_string(value); }
    /// The statements as source, each line begun with `indent`.
    [[nodiscard]] std::string source(std::string_view indent) const {
        std::string all;
        for (std::size_t i = 0; i != statements_.size(); ++i)
            all.append(indent)
                .append(statements_[i].condition ? "const int v" : "const T v")
                .append(std::to_string(i))
                .append(" = ")
                .append(statements_[i].expression)
                .append(";\n");
        return all;
    }
};

template <real T> class condition;

/// The number of a value that was written down. The only data of symbols.
struct written {
    std::size_t value; ///< as tracer::value_of numbers it
};

/// Stands for an element. Behaves like a number, branches aside.
template <real T> class symbol {
    std::size_t value_;

    static symbol call(char const * function, symbol const & x) {
        return written{tracer::current().unary(function, x.value_, ")")};
    }
    static symbol join(symbol const & a, char const * between, symbol const & b) {
        return written{tracer::current().binary(a.value_, between, b.value_)};
    }
    static condition<T> compare(symbol const & a, char const * between, symbol const & b) {
        return written{tracer::current().binary(a.value_, between, b.value_, true)};
    }

public:
    /// Stands for that value.
    symbol(written w) : value_(w.value) {}
    /// Literals mix with symbols.
    template <class Number>
        requires std::is_arithmetic_v<Number>
    symbol(Number x) : value_(tracer::current().literal(static_cast<T>(x))) {}

    /// The number of its value.
    [[nodiscard]] std::size_t value() const noexcept { return value_; }

    /// Writes down one operation of OpenCL C.
    ///@{
    friend symbol operator+(symbol const & a, symbol const & b) { return join(a, " + ", b); }
    friend symbol operator-(symbol const & a, symbol const & b) { return join(a, " - ", b); }
    friend symbol operator*(symbol const & a, symbol const & b) { return join(a, " * ", b); }
    friend symbol operator/(symbol const & a, symbol const & b) { return join(a, " / ", b); }
    friend symbol operator-(symbol const & a) { return written{tracer::current().unary("-", a.value_, "")}; }
    friend condition<T> operator<(symbol const & a, symbol const & b) { return compare(a, " < ", b); }
    friend condition<T> operator<=(symbol const & a, symbol const & b) { return compare(a, " <= ", b); }
    friend condition<T> operator>(symbol const & a, symbol const & b) { return compare(a, " > ", b); }
    friend condition<T> operator>=(symbol const & a, symbol const & b) { return compare(a, " >= ", b); }
    friend condition<T> operator==(symbol const & a, symbol const & b) { return compare(a, " == ", b); }
    friend condition<T> operator!=(symbol const & a, symbol const & b) { return compare(a, " != ", b); }
    ///@}

    /// The functions of lathe::math.
    ///@{
    [[nodiscard]] symbol abs() const { return call("fabs(", *this); }
    [[nodiscard]] symbol sqrt() const { return call("sqrt(", *this); }
    [[nodiscard]] symbol exp() const { return call("exp(", *this); }
    [[nodiscard]] symbol log() const { return call("log(", *this); }
    [[nodiscard]] symbol rint() const { return call("rint(", *this); }
    [[nodiscard]] symbol pow(symbol const & exponent) const {
        auto & t = tracer::current();
        return written{t.value_of("pow(" + tracer::name(value_) + ", " + tracer::name(exponent.value_) + ")")};
    }
    ///@}
};

/// Stands for the result of a comparison: an int that is 0 or 1.
template <real T> class condition {
    std::size_t value_;

public:
    /// Stands for that value.
    condition(written w) : value_(w.value) {}
    /// Chooses between values, both of which are computed.
    [[nodiscard]] symbol<T> select(symbol<T> const & yes, symbol<T> const & no) const {
        return written{tracer::current().select(value_, yes.value(), no.value())};
    }
    /// Writes down one operation on conditions; both sides are computed.
    ///@{
    friend condition operator&&(condition const & a, condition const & b) {
        return written{tracer::current().binary(a.value_, " & ", b.value_, true)};
    }
    friend condition operator||(condition const & a, condition const & b) {
        return written{tracer::current().binary(a.value_, " | ", b.value_, true)};
    }
    friend condition operator!(condition const & a) {
        return written{tracer::current().unary("!", a.value_, "", true)};
    }
    ///@}
};

/// What a kernel adds to: remembers the values that were added, and to which sum.
template <real T> class sums_recorder {
    std::vector<std::pair<std::size_t, std::size_t>> * terms_;

public:
    /// \param terms where they are put, pairs of a sum and a value's number; the caller's
    explicit sums_recorder(std::vector<std::pair<std::size_t, std::size_t>> & terms) : terms_(&terms) {}
    /// Adds a value, a symbol or a literal, to a sum.
    template <class Value> void add(std::size_t sum, Value const & value) const {
        terms_->emplace_back(sum, symbol<T>(value).value());
    }
};

} // namespace opencl
LATHE_NAMESPACE_END
