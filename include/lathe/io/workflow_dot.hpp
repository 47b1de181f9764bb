#pragma once
/// \file  Workflows in Graphviz's DOT language, by Boost.Graph's reader: link lathe::dot, or boost_graph and
/// boost_regex.
#include <lathe/graph/labelled_graph.hpp>
#include <lathe/io/json.hpp>

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/graphviz.hpp>

LATHE_NAMESPACE_BEGIN
namespace io {

/// Bounds of what is read: texts come from models, and may be anything.
struct dot_options {
    std::size_t max_bytes = std::size_t{1} << 20;  ///< of the text
    std::size_t max_depth = 64;                    ///< of subgraphs in each other
    std::size_t max_copies = std::size_t{1} << 22; ///< of names and attributes that the reader may come to make: edges
                                                   ///< between groups multiply, defaults are copied to every vertex
};

/// Reads ahead of Boost's parser, by the rules of its tokens, and refuses what would have it recurse or multiply beyond
/// the limits: the parser itself knows none.
class dot_precheck {
    std::string_view rest_, label_;
    dot_options const & options_;

    enum class token : unsigned char { end, word, open, close, open_list, close_list, arrow, other };

    [[noreturn]] void refuse(std::string_view rule, std::string const & found, std::string const & expected) const {
        reject(label_, rule, found, expected);
    }
    void skip_past(std::string_view end, std::string_view what) {
        auto const at = rest_.find(end);
        if (at == rest_.npos)
            refuse("DOT", std::string{what} + " that does not end", "its end");
        rest_.remove_prefix(at + end.size());
    }
    void skip_quoted() {
        std::size_t i = 1, escapes = 0;
        while (i < rest_.size() && rest_[i] != '"') {
            escapes += rest_[i] == '\\' ? 1u : 0u;
            i += rest_[i] == '\\' ? 2u : 1u;
        }
        if (i >= rest_.size())
            refuse("DOT", "a string that does not end", "its end");
        if (escapes * i > 64 * options_.max_copies) // the reader moves the rest of the string for each
            refuse("DOT", "a string of " + std::to_string(i) + " bytes with " + std::to_string(escapes) + " escapes",
                   "a shorter one");
        rest_.remove_prefix(i + 1);
    }
    // A tag ends at the first '>'. Quotes in it, comments and processing instructions have rules of their own.
    void skip_html() {
        std::size_t depth = 0;
        do {
            auto const open = rest_.find('<');
            if (open == rest_.npos)
                refuse("DOT", "an HTML string that does not end", "its end");
            rest_.remove_prefix(open + 1);
            auto const tag = rest_.substr(0, rest_.find('>'));
            if (tag.size() == rest_.size() || tag.find_first_of("!?'\"") != tag.npos)
                refuse("DOT", "an HTML string with a tag that does not end, or has attributes", "tags without them");
            rest_.remove_prefix(tag.size() + 1);
            if (tag.starts_with('/'))
                depth -= depth != 0 ? 1u : 0u;
            else if (!tag.ends_with('/'))
                ++depth;
        } while (depth != 0);
    }
    static bool starts_word(char c) noexcept {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
    }
    token next(std::string_view & word) {
        for (;;) {
            if (rest_.empty())
                return token::end;
            auto const c = rest_.front();
            if (c == '#' || rest_.starts_with("//"))
                rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
            else if (rest_.starts_with("/*")) {
                rest_.remove_prefix(2);
                skip_past("*/", "a comment");
            } else if (c == '"') {
                skip_quoted();
                word = {};
                return token::word;
            } else if (c == '<') {
                skip_html();
                word = {};
                return token::word;
            } else if (starts_word(c)) {
                std::size_t length = 1;
                while (length < rest_.size() && starts_word(rest_[length]))
                    ++length;
                word = rest_.substr(0, length);
                rest_.remove_prefix(length);
                return token::word;
            } else {
                bool const arrow = rest_.starts_with("->") || rest_.starts_with("--");
                rest_.remove_prefix(arrow ? 2 : 1);
                switch (c) {
                case '{': return token::open;
                case '}': return token::close;
                case '[': return token::open_list;
                case ']': return token::close_list;
                case ' ':
                case '\t':
                case '\n':
                case '\r':
                case '\f':
                case '\v': continue;
                default: return arrow ? token::arrow : token::other;
                }
            }
        }
    }
    static bool is(std::string_view word, std::string_view keyword) noexcept { // in any case
        return std::ranges::equal(word, keyword, {}, [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    }

public:
    /// Refers to all three.
    dot_precheck(std::string_view text, std::string_view label, dot_options const & options)
        : rest_{text}, label_{label}, options_{options} {}

    /// Goes through the text, once. \throws format_error where a limit would be passed, or something does not end
    void check() {
        std::size_t depth = 0, words = 0, groups = 0, group_edges = 0, defaults = 0, longest = 0, attributes = 0;
        bool in_list = false, of_defaults = false, after_keyword = false;
        std::size_t since_subgraph = 3; // tokens since the word: "subgraph x" may be the end of an edge
        auto last = token::other;
        std::string_view word;
        for (auto t = next(word); t != token::end; last = t, t = next(word)) {
            ++since_subgraph;
            switch (t) {
            case token::open:
                if (++depth > options_.max_depth)
                    refuse("nesting of subgraphs", "more than " + std::to_string(options_.max_depth) + " levels",
                           "fewer");
                ++groups;
                group_edges += last == token::arrow ? 1u : 0u;
                break;
            case token::close: depth -= depth != 0 ? 1u : 0u; break;
            case token::open_list:
                if (last != token::close_list) { // lists one after the other are one
                    attributes = 0;
                    of_defaults = last == token::word && after_keyword;
                }
                in_list = true;
                break;
            case token::close_list: in_list = false; break;
            case token::arrow: group_edges += last == token::close || since_subgraph <= 2 ? 1u : 0u; break;
            case token::word:
                ++words;
                if (in_list) {
                    longest = std::max(longest, ++attributes);
                    defaults += of_defaults ? 1u : 0u;
                    break;
                }
                after_keyword = is(word, "node") || is(word, "edge") || is(word, "graph");
                if (is(word, "subgraph")) {
                    group_edges += last == token::arrow ? 1u : 0u;
                    since_subgraph = 0;
                    ++groups;
                }
                break;
            case token::end:
            case token::other: break;
            }
        }
        // At most 2^20 bytes make at most 2^20 of each, whose products fit.
        auto const copies = static_cast<double>(words + groups) * static_cast<double>(longest + defaults)
                            + static_cast<double>(group_edges) * static_cast<double>(words) * static_cast<double>(words)
                                  * static_cast<double>(1 + longest + defaults);
        if (copies > static_cast<double>(options_.max_copies))
            refuse("DOT", "groups and attributes that may come to " + std::to_string(copies) + " copies",
                   "at most " + std::to_string(options_.max_copies));
    }
};

/// The graph of a text in DOT: `digraph { a [label="find a pan"]; a -> b }`. Vertices are in the order of the bytes of
/// their names, as the reader gives them; a vertex without a label has its name. Attributes other than labels are
/// passed over. What Boost's reader does not accept is refused: undirected graphs, and in some versions groups in
/// braces as ends of edges. O(bytes log bytes), memory a small multiple, within the limits.
/// \throws format_error
inline graph::labelled_graph read_workflow_dot(std::string_view text, std::string_view label = "DOT",
                                               dot_options const & options = {}) {
    if (text.size() > options.max_bytes)
        reject(label, "size", std::to_string(text.size()) + " bytes", "at most " + std::to_string(options.max_bytes));
    if (auto const at = first_not_utf8(text))
        reject(label, "encoding", "a byte at " + std::to_string(*at) + " that is not UTF-8", "UTF-8");
    if (auto const at = text.find('\0'); at != text.npos)
        reject(label, "DOT", "a zero byte at " + std::to_string(at), "text");
    dot_precheck(text, label, options).check();

    struct node {
        std::string name, label;
    };
    using dot_graph = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, node>;
    dot_graph read;
    try {
        boost::dynamic_properties properties(boost::ignore_other_properties);
        properties.property("node_id", boost::get(&node::name, read));
        properties.property("label", boost::get(&node::label, read));
        boost::read_graphviz(std::string{text}, read, properties);
    } catch (std::bad_alloc const &) {
        throw;
    } catch (std::exception const & e) { // of syntax, of a kind of graph, of a string too long for the expressions
        throw format_error{std::string{label}.append(": DOT: ").append(printable(e.what(), 300))};
    }
    graph::labelled_graph out;
    out.labels.reserve(boost::num_vertices(read));
    for (std::size_t v = 0; v != boost::num_vertices(read); ++v)
        out.labels.push_back(read[v].label.empty() ? std::move(read[v].name) : std::move(read[v].label));
    out.arcs.reserve(boost::num_edges(read));
    for (auto [e, end] = boost::edges(read); e != end; ++e)
        out.arcs.push_back(
            {static_cast<graph::vertex>(boost::source(*e, read)), static_cast<graph::vertex>(boost::target(*e, read))});
    return out;
}

/// The reader as a parser of workflows. \see evaluate::workflow_parser
struct dot_parser {
    dot_options options = {}; ///< bounds of every text
    /// The graph of a text. \throws format_error
    graph::labelled_graph operator()(std::string_view text) const { return read_workflow_dot(text, "DOT", options); }
};

} // namespace io
LATHE_NAMESPACE_END
