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
    static tracer & current() { return *current_; }

    /// The number of the value of an expression.
    std::size_t value_of(std::string expression, bool condition = false) {
        auto const [at, fresh] = known_.emplace(std::move(expression), statements_.size());
        if (fresh)
            statements_.push_back({condition, at->first});
        return at->second;
    }
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

/// A number in OpenCL C, to the bit. T is the arithmetic type there too.
template <real T> std::string literal(T x) {
    if (x != x)
        return "(T)NAN";
    if (x - x != 0)
        return x > 0 ? "(T)INFINITY" : "-(T)INFINITY";
    char text[64];
    std::snprintf(text, sizeof text, "%a%s", static_cast<double>(x), sizeof(T) == 4 ? "f" : "");
    return text;
}

template <real T> class condition;

/// Stands for an element. Behaves like a number, branches aside.
template <real T> class symbol {
    std::size_t value_;

    static symbol of(std::string expression) { return symbol(written{}, std::move(expression)); }
    static symbol call(char const * function, symbol const & x) {
        return of(std::string{function}.append("(").append(x.name()).append(")"));
    }
    static symbol join(symbol const & a, char const * between, symbol const & b) {
        return of(a.name().append(between).append(b.name()));
    }
    static condition<T> compare(symbol const & a, char const * between, symbol const & b) {
        return condition<T>(a.name().append(between).append(b.name()));
    }

public:
    /// How an expression becomes a symbol.
    struct written {};
    symbol(written, std::string expression) : value_(tracer::current().value_of(std::move(expression))) {}
    /// Literals mix with symbols.
    template <class Number>
        requires std::is_arithmetic_v<Number>
    symbol(Number x) : symbol(written{}, literal(static_cast<T>(x))) {}

    [[nodiscard]] std::string name() const { return tracer::name(value_); }

    friend symbol operator+(symbol const & a, symbol const & b) { return join(a, " + ", b); }
    friend symbol operator-(symbol const & a, symbol const & b) { return join(a, " - ", b); }
    friend symbol operator*(symbol const & a, symbol const & b) { return join(a, " * ", b); }
    friend symbol operator/(symbol const & a, symbol const & b) { return join(a, " / ", b); }
    friend symbol operator-(symbol const & a) { return of("-" + a.name()); }
    friend condition<T> operator<(symbol const & a, symbol const & b) { return compare(a, " < ", b); }
    friend condition<T> operator<=(symbol const & a, symbol const & b) { return compare(a, " <= ", b); }
    friend condition<T> operator>(symbol const & a, symbol const & b) { return compare(a, " > ", b); }
    friend condition<T> operator>=(symbol const & a, symbol const & b) { return compare(a, " >= ", b); }
    friend condition<T> operator==(symbol const & a, symbol const & b) { return compare(a, " == ", b); }
    friend condition<T> operator!=(symbol const & a, symbol const & b) { return compare(a, " != ", b); }

    // The functions of lathe::math.
    [[nodiscard]] symbol abs() const { return call("fabs", *this); }
    [[nodiscard]] symbol sqrt() const { return call("sqrt", *this); }
    [[nodiscard]] symbol exp() const { return call("exp", *this); }
    [[nodiscard]] symbol log() const { return call("log", *this); }
    [[nodiscard]] symbol rint() const { return call("rint", *this); }
    [[nodiscard]] symbol pow(symbol const & exponent) const {
        return of("pow(" + name() + ", " + exponent.name() + ")");
    }
};

/// Stands for the result of a comparison: an int that is 0 or 1.
template <real T> class condition {
    std::size_t value_;

public:
    explicit condition(std::string expression) : value_(tracer::current().value_of(std::move(expression), true)) {}
    [[nodiscard]] std::string name() const { return tracer::name(value_); }
    [[nodiscard]] symbol<T> select(symbol<T> const & yes, symbol<T> const & no) const {
        return symbol<T>(typename symbol<T>::written{}, name() + " ? " + yes.name() + " : " + no.name());
    }
    friend condition operator&&(condition const & a, condition const & b) {
        return condition(a.name() + " & " + b.name());
    }
    friend condition operator||(condition const & a, condition const & b) {
        return condition(a.name() + " | " + b.name());
    }
    friend condition operator!(condition const & a) { return condition("!" + a.name()); }
};

/// What a kernel adds to: remembers what was added, and where.
template <real T> class sums_recorder {
    std::vector<std::pair<std::size_t, symbol<T>>> * terms_;

public:
    explicit sums_recorder(std::vector<std::pair<std::size_t, symbol<T>>> & terms) : terms_(&terms) {}
    template <class Value> void add(std::size_t sum, Value const & value) const {
        terms_->emplace_back(sum, symbol<T>(value));
    }
};

/// What a kernel sees of a list: symbols by index. `Expression` gives the source of item k.
template <real T, class Expression> class symbol_list {
    std::size_t size_;
    Expression expression_;

public:
    symbol_list(std::size_t size, Expression expression) : size_(size), expression_(std::move(expression)) {}
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] symbol<T> operator[](std::size_t k) const {
        return symbol<T>(typename symbol<T>::written{}, expression_(k));
    }
};

} // namespace opencl
LATHE_NAMESPACE_END
