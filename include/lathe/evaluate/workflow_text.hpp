#pragma once
/// \file  Workflows as WorFBench's models write them: numbered lines and pairs in parentheses (docs/evaluation.md).
///
///     Node:
///     1: find a pan
///     2: put it on the stove
///     Edge: (START,1) (1,2) (2,END)
#include <lathe/core/utf8.hpp>
#include <lathe/graph/digraph.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace evaluate {

/// Nodes by position, the first of them "START" and the last "END", and edges in the order of the text, duplicates
/// included. Ends of edges may lie beyond the nodes.
struct workflow {
    std::vector<std::string> nodes; ///< labels
    std::vector<graph::arc> edges;  ///< by positions
    friend bool operator==(workflow const &, workflow const &) = default;
};

/// Whatever a text says beyond this, the position is this.
inline constexpr std::uint32_t largest_position = 0x7fffffff;
/// Python (since 3.11) refuses to read a longer number, and the authors' parser then gives up.
inline constexpr std::size_t most_digits = 4300;

/// The decimal digits of Unicode 14 (category Nd): the zeros of their runs of ten.
inline constexpr std::array<char32_t, 66> digit_zeros{
    0x30,    0x660,   0x6f0,   0x7c0,   0x966,   0x9e6,   0xa66,   0xae6,   0xb66,   0xbe6,   0xc66,
    0xce6,   0xd66,   0xde6,   0xe50,   0xed0,   0xf20,   0x1040,  0x1090,  0x17e0,  0x1810,  0x1946,
    0x19d0,  0x1a80,  0x1a90,  0x1b50,  0x1bb0,  0x1c40,  0x1c50,  0xa620,  0xa8d0,  0xa900,  0xa9d0,
    0xa9f0,  0xaa50,  0xabf0,  0xff10,  0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0,
    0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60,
    0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0};

/// The value of a decimal digit, or -1 for another character.
constexpr int digit_value(char32_t c) noexcept {
    if (c < 0x80)
        return c >= 0x30 && c <= 0x39 ? static_cast<int>(c - 0x30) : -1;
    auto const after = std::upper_bound(digit_zeros.begin(), digit_zeros.end(), c);
    auto const value = c - *(after - 1); // c is above the first zero
    return value < 10 ? static_cast<int>(value) : -1;
}

/// What Python's str.strip() removes and `\s` matches.
constexpr bool is_white_space(char32_t c) noexcept {
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680
           || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/// `text` without white space at its ends.
constexpr std::string_view stripped(std::string_view text) noexcept {
    while (!text.empty()) {
        auto const c = first_character(text);
        if (!is_white_space(c.code))
            break;
        text.remove_prefix(c.length);
    }
    while (!text.empty()) {
        auto const c = last_character(text);
        if (!is_white_space(c.code))
            break;
        text.remove_suffix(c.length);
    }
    return text;
}

/// What a line names a node: what follows the first digit, ':' or '.', and blank, if anything does.
constexpr std::optional<std::string_view> node_of_line(std::string_view line) noexcept {
    for (auto blank = line.find(' ', 2); blank < line.size(); blank = line.find(' ', blank + 1)) // no npos is below it
        if ((line[blank - 1] == ':' || line[blank - 1] == '.') && blank + 1 != line.size()
            && digit_value(last_character(line.substr(0, blank - 1)).code) >= 0)
            return stripped(line.substr(blank + 1));
    return std::nullopt;
}

/// Reads edges from a text, one after the other.
class edge_reader {
    std::string_view rest_;
    std::uint32_t end_;
    bool too_long_ = false;

    void skip_white_space() noexcept {
        while (!rest_.empty()) {
            auto const c = first_character(rest_);
            if (!is_white_space(c.code))
                return;
            rest_.remove_prefix(c.length);
        }
    }
    bool take(std::string_view word) noexcept {
        if (!rest_.starts_with(word))
            return false;
        rest_.remove_prefix(word.size());
        return true;
    }
    struct endpoint {
        std::uint32_t position;
        bool too_long;
    };
    std::optional<endpoint> take_endpoint(std::string_view marker, std::uint32_t marked) noexcept {
        if (take(marker))
            return endpoint{marked, false};
        std::size_t digits = 0;
        std::uint64_t value = 0;
        for (; !rest_.empty(); ++digits) {
            auto const c = first_character(rest_);
            auto const digit = digit_value(c.code);
            if (digit < 0)
                break;
            value = std::min<std::uint64_t>(10 * value + static_cast<std::uint64_t>(digit), largest_position);
            rest_.remove_prefix(c.length);
        }
        if (digits == 0)
            return std::nullopt;
        return endpoint{static_cast<std::uint32_t>(value), digits > most_digits};
    }
    /// What follows a parenthesis; where it is no edge, reading goes on at the character that does not fit.
    std::optional<graph::arc> take_edge() noexcept {
        skip_white_space();
        auto const from = take_endpoint("START", 0);
        if (!from)
            return std::nullopt;
        skip_white_space();
        if (!take(","))
            return std::nullopt;
        skip_white_space();
        auto const to = take_endpoint("END", end_);
        if (!to)
            return std::nullopt;
        skip_white_space();
        if (!take(")"))
            return std::nullopt;
        too_long_ = too_long_ || from->too_long || to->too_long;
        return graph::arc{from->position, to->position};
    }

public:
    /// \param end the position that END stands for
    edge_reader(std::string_view text, std::uint32_t end) noexcept : rest_{text}, end_{end} {}

    /// The next edge, nothing after the last.
    std::optional<graph::arc> next() noexcept {
        for (;;) {
            auto const open = rest_.find('(');
            if (open == rest_.npos)
                return std::nullopt;
            rest_.remove_prefix(open + 1);
            if (auto const edge = take_edge())
                return edge;
        }
    }
    /// Whether an edge had a number of more than most_digits digits.
    [[nodiscard]] bool met_too_long() const noexcept { return too_long_; }
};

/// The workflow that a text describes, or nothing: without the word "Node" in it, without an edge, and with a number of
/// more than 4300 digits in an edge.
///
/// At most one node a line (only U+000A ends one), anywhere in the text: its first decimal digit followed by ':' or
/// '.', a blank and something; the rest of the line, stripped, is the node, whatever number stands before it. An edge
/// is `(a, b)` anywhere, white space free, a a number or START, b a number or END. Bytes that are not part of
/// well-formed UTF-8 stand for themselves: they are neither digits nor white space.
///
/// Complexity: O(bytes) time; the nodes and edges. Source: workflow_to_graph_list of the authors' node_eval.py, whose
/// regular expressions take the square of the length of a run of digits.
inline std::optional<workflow> parse_workflow(std::string_view text) {
    if (text.find("Node") == text.npos)
        return std::nullopt;
    workflow result;
    result.nodes.emplace_back("START");
    for (auto rest = text; !rest.empty();) {
        auto const line = rest.substr(0, rest.find('\n'));
        if (auto const node = node_of_line(line))
            result.nodes.emplace_back(*node);
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    }
    result.nodes.emplace_back("END");
    edge_reader edges(text,
                      static_cast<std::uint32_t>(std::min<std::size_t>(result.nodes.size() - 1, largest_position)));
    while (auto const edge = edges.next())
        result.edges.push_back(*edge);
    if (result.edges.empty() || edges.met_too_long())
        return std::nullopt;
    return result;
}
/// Nothing, as WorFBench's files may hold null. The same as a text without a workflow.
inline std::optional<workflow> parse_workflow(std::nullopt_t) { return std::nullopt; }

} // namespace evaluate
LATHE_NAMESPACE_END
