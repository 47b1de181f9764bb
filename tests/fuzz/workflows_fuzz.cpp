// Readers of workflows under libFuzzer. The letters:
//   w  WorFBench's text, held against the definition written down plainly: code points first, then what the regular
//      expressions say, without any care for time
//   j  JSON          e  the edges of a graph in JSON          d  DOT          g  what lies in the braces of a digraph
// A graph that is accepted can be diagnosed.
#include "fuzzing.hpp"

#include <lathe/evaluate/workflow_graph.hpp>
#include <lathe/evaluate/workflow_text.hpp>
#include <lathe/io/workflow_dot.hpp>
#include <lathe/io/workflow_json.hpp>

using namespace lathe_fuzz;

namespace {

using namespace lathe::evaluate;

/// A text as characters, each with its bytes.
struct character {
    char32_t code;
    std::string bytes;
};
std::vector<character> characters_of(std::string_view text) {
    std::vector<character> all;
    while (!text.empty()) {
        auto const c = lathe::first_character(text);
        all.push_back({c.code, std::string{text.substr(0, c.length)}});
        text.remove_prefix(c.length);
    }
    return all;
}

class plain_parser {
    std::vector<character> text_;

    [[nodiscard]] char32_t at(std::size_t i) const { return i < text_.size() ? text_[i].code : 0x110000; }
    std::size_t skip(std::size_t i) const {
        while (is_white_space(at(i)))
            ++i;
        return i;
    }
    bool word(std::size_t & i, std::string_view w) const {
        for (std::size_t k = 0; k != w.size(); ++k)
            if (at(i + k) != static_cast<char32_t>(w[k]))
                return false;
        i += w.size();
        return true;
    }
    bool number(std::size_t & i, std::string & digits) const {
        auto const first = i;
        for (; digit_value(at(i)) >= 0; ++i)
            digits.push_back(static_cast<char>('0' + digit_value(at(i))));
        return i != first;
    }
    static std::uint32_t value_of(std::string const & digits) {
        long double value = 0; // exact as far as it matters
        for (auto const d : digits)
            value = 10 * value + (d - '0');
        return value > largest_position ? largest_position : static_cast<std::uint32_t>(value);
    }

public:
    explicit plain_parser(std::string_view text) : text_{characters_of(text)} {}

    std::optional<workflow> parse() const {
        bool named = false;
        for (std::size_t i = 0; i != text_.size(); ++i) {
            auto k = i;
            named = named || word(k, "Node");
        }
        if (!named)
            return std::nullopt;
        workflow w;
        w.nodes.emplace_back("START");
        for (std::size_t begin = 0, end = 0; begin <= text_.size(); begin = end + 1) {
            for (end = begin; end < text_.size() && at(end) != '\n'; ++end) {}
            for (auto k = begin; k + 3 < end; ++k)
                if (digit_value(at(k)) >= 0 && (at(k + 1) == ':' || at(k + 1) == '.') && at(k + 2) == ' ') {
                    auto first = k + 3, last = end;
                    while (first != last && is_white_space(at(first)))
                        ++first;
                    while (first != last && is_white_space(at(last - 1)))
                        --last;
                    std::string node;
                    for (; first != last; ++first)
                        node += text_[first].bytes;
                    w.nodes.push_back(node);
                    break;
                }
        }
        w.nodes.emplace_back("END");
        for (std::size_t open = 0; open < text_.size();) {
            auto i = open + 1;
            std::string a, b;
            bool const found = at(open) == '(' && (i = skip(i), word(i, "START") ? (a = "0", true) : number(i, a))
                               && (i = skip(i), word(i, ",")) && (i = skip(i), true)
                               && (word(i, "END") ? (b = std::to_string(w.nodes.size() - 1), true) : number(i, b))
                               && (i = skip(i), word(i, ")"));
            if (found) {
                if (a.size() > 4300 || b.size() > 4300)
                    return std::nullopt;
                w.edges.push_back({value_of(a), value_of(b)});
            }
            open = found ? i : open + 1;
        }
        if (w.edges.empty())
            return std::nullopt;
        return w;
    }
};

template <workflow_parser Parser> void read(Parser const & parser, std::string_view text) {
    static_cast<void>(accepted([&] {
        auto const graph = parser(text);
        auto const found = diagnose(graph);
        expect(found.sources.size() <= graph.labels.size(), "no more sources than vertices");
    }));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(unsigned char const * data, std::size_t size) {
    auto const [reader, text] = select(data, size);
    switch (reader) {
    case 'w':
        // What the fuzzer finds hard to guess comes for free.
        for (auto const & whole : {std::string{text}, "Node (1,2)" + std::string{text}}) {
            expect(parse_workflow(whole) == plain_parser(whole).parse(), "a text is read as it is defined");
            read(worfbench_parser{}, whole);
        }
        return 0;
    case 'j': read(lathe::io::json_parser{}, text); return 0;
    case 'e':
        read(lathe::io::json_parser{}, "{\"nodes\": [\"a\", \"b\"], \"edges\": [" + std::string{text} + "]}");
        return 0;
    case 'd': read(lathe::io::dot_parser{}, text); return 0;
    case 'g': read(lathe::io::dot_parser{}, "digraph {" + std::string{text} + "}"); return 0;
    default: return -1;
    }
}
