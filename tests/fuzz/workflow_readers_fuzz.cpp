// Readers of workflow graphs under libFuzzer: whatever the bytes are, a graph whose diagnosis can be made, or a
// format_error.
#include <lathe/evaluate/workflow_graph.hpp>
#include <lathe/io/workflow_dot.hpp>
#include <lathe/io/workflow_json.hpp>

#include <cstdio>
#include <cstdlib>

namespace {

template <lathe::evaluate::workflow_parser Parser> void read(Parser const & parser, std::string_view text) {
    try {
        auto const graph = parser(text);
        auto const found = lathe::evaluate::diagnose(graph);
        if (found.sources.size() > graph.labels.size()) {
            std::fprintf(stderr, "more sources than vertices\n");
            std::abort();
        }
    } catch (lathe::format_error const &) {}
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(unsigned char const * data, std::size_t size) {
    std::string_view const text(reinterpret_cast<char const *>(data), size);
    read(lathe::evaluate::worfbench_parser{}, text);
    read(lathe::io::json_parser{}, text);
    read(lathe::io::json_parser{}, "{\"nodes\": [\"a\", \"b\"], \"edges\": [" + std::string{text} + "]}");
    read(lathe::io::dot_parser{}, text);
    read(lathe::io::dot_parser{}, "digraph {" + std::string{text} + "}");
    return 0;
}
