// Workflows in DOT: what is read, what is refused, and that nothing hostile costs more than it should.
#include <catch.hpp>

#include <lathe/io/workflow_dot.hpp>

using namespace lathe;
using graph::labelled_graph;

namespace {

std::string repeated(std::size_t times, std::string const & text) {
    std::string out;
    for (std::size_t i = 0; i != times; ++i)
        out += text;
    return out;
}
std::string names(std::size_t count, std::string const & before) {
    std::string out;
    for (std::size_t i = 0; i != count; ++i)
        out += before + std::to_string(i) + ' ';
    return out;
}

} // namespace

TEST_CASE("workflows in DOT", "[workflow_dot]") {
    io::dot_parser const read;
    CHECK(read(R"(digraph { a [label="find a pan"]; b [label="put it on the stove"]; a -> b })")
          == labelled_graph{{"find a pan", "put it on the stove"}, {{0, 1}}});
    // Vertices by name, whatever their order in the text; without a label the name. Comments, strings and defaults.
    CHECK(read(R"(/* a { */ strict digraph "my plan" {
        rankdir=LR; node [shape=box]; edge [color="#00ff00"]
        // b { [
        "two words" -> b -> "a\"}" [weight=2];
        b [label=<br/>]
# subgraph {
    })") == labelled_graph{{"a\"}", "<br/>", "two words"}, {{1, 0}, {2, 1}}});
    CHECK(read("digraph {}") == labelled_graph{});
    CHECK(read("digraph { a -> a; a -> a }") == labelled_graph{{"a"}, {{0, 0}, {0, 0}}});
    CHECK(read("digraph { subgraph cluster_0 { a; b } subgraph cluster_0 -> c }")
          == labelled_graph{{"a", "b", "c"}, {{0, 2}, {1, 2}}});
    CHECK(read("digraph { \"\xc3\xa9\" }") == labelled_graph{{"\xc3\xa9"}, {}});
}

TEST_CASE("what is no workflow in DOT", "[workflow_dot]") {
    io::dot_parser const read;
    for (std::string const & text :
         {std::string{}, std::string{"graph { a -- b }"}, std::string{"digraph { a -- b }"}, std::string{"digraph { a"},
          std::string{"digraph { a -> }"}, std::string{"digraph { \"a }"}, std::string{"digraph { /* }"},
          std::string{"digraph { a [label=<b] }"}, std::string{"digraph { a } }"}, std::string{"digraph { a [= }"},
          std::string{"{}"}, std::string{"digraph { \xff }"}, std::string{"digraph { } \0", 13},
          std::string{"digraph"}}) {
        INFO(text);
        CHECK_THROWS_AS(read(text), format_error);
    }
    CHECK_THROWS_WITH(io::read_workflow_dot("digraph { a -- b }", "w.dot"), lathe_test::contains("w.dot"));
    CHECK_THROWS_AS(io::read_workflow_dot("digraph { }", "w", {.max_bytes = 5}), format_error);
}

TEST_CASE("texts that would recurse or multiply are refused, large ones are read", "[workflow_dot]") {
    io::dot_parser const read;
    CHECK_THROWS_AS(read("digraph " + repeated(100000, "{")), format_error);
    CHECK_THROWS_AS(read("digraph { " + repeated(100000, "subgraph x {")), format_error);
    CHECK_THROWS_AS(read("digraph { " + repeated(1000, "subgraph {") + "a" + repeated(1001, "}")), format_error);
    // Braces in strings and comments must not lower the depth.
    CHECK_THROWS_AS(read("digraph { " + repeated(1000, "subgraph { \"}\" /* } */ # }\n // }\n") + repeated(1001, "}")),
                    format_error);
    auto const many = names(3000, "a"), others = names(3000, "b");
    CHECK_THROWS_AS(read("digraph { subgraph x {" + many + "} -> subgraph y {" + others + "} }"), format_error);
    CHECK_THROWS_AS(read("digraph { subgraph x {" + many + "} subgraph y {" + others + "} subgraph x -> subgraph y }"),
                    format_error);
    CHECK_THROWS_AS(read("digraph { node [" + many + "] " + names(3000, "v") + "}"), format_error);
    CHECK_THROWS_AS(read("digraph { v0" + repeated(3000, " -> v1") + " [" + many + "] }"), format_error);
    std::string path = "digraph { n0";
    for (int i = 1; i != 20000; ++i)
        path += " -> n" + std::to_string(i);
    auto const large = read(path + " [color=red] }");
    CHECK(large.labels.size() == 20000);
    CHECK(large.arcs.size() == 19999);
    CHECK_THROWS_AS(read("digraph { \"" + repeated(500000, "\\\"") + "\" }"), format_error); // a move for each escape
}
