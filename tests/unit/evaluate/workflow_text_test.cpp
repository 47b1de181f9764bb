#include <catch.hpp>

#include <lathe/evaluate/workflow_text.hpp>

namespace {

using lathe::evaluate::parse_workflow;
using lathe::graph::arc;
using strings = std::vector<std::string>;

strings nodes_of(std::string const & lines) {
    return parse_workflow("Node:\n" + lines + "\nEdge: (START,END)").value().nodes;
}
std::vector<arc> edges_of(std::string const & edges) {
    return parse_workflow("Node:\n1: a\n2: b\n" + edges + " (1,1)").value().edges;
}
strings framed(strings nodes) {
    nodes.insert(nodes.begin(), "START");
    nodes.emplace_back("END");
    return nodes;
}

} // namespace

TEST_CASE("A workflow text is nodes by line and edges by parentheses") {
    auto const w = parse_workflow("Node:\n1: find a pan\n2: heat it\nEdge: (START,1) (1,2) (2,END)").value();
    CHECK(w.nodes == framed({"find a pan", "heat it"}));
    CHECK(w.edges == std::vector<arc>{{0, 1}, {1, 2}, {2, 3}});
}

TEST_CASE("Texts without the word Node, without an edge, or with too long a number hold no workflow") {
    CHECK_FALSE(parse_workflow(""));
    CHECK_FALSE(parse_workflow(std::nullopt));
    CHECK_FALSE(parse_workflow("node:\n1: a\nEdge: (1,2)"));
    CHECK_FALSE(parse_workflow("Node:\n1: a\nEdge: 1,2"));
    CHECK_FALSE(parse_workflow("Node:\n1: a\nEdge: (END,START)"));
    CHECK_FALSE(parse_workflow("Node: (1,2) (3," + std::string(4301, '0') + ")"));
    CHECK(parse_workflow("aNodeb (1,2)"));
    CHECK(parse_workflow("Node: (1,2) (" + std::string(4301, '1') + ",x)")); // not an edge, so nobody reads the number
    CHECK(parse_workflow("Node: (1," + std::string(4300, '0') + ")").value().edges == std::vector<arc>{{1, 0}});
    CHECK(parse_workflow("Node: (1," + std::string(4300, '9') + ")").value().edges
          == std::vector<arc>{{1, lathe::evaluate::largest_position}});
}

TEST_CASE("A node is what follows the first digit, colon or dot, and blank of a line") {
    CHECK(nodes_of("1: a") == framed({"a"}));
    CHECK(nodes_of("17. a") == framed({"a"}));
    CHECK(nodes_of("at 3. then 4: b") == framed({"then 4: b"}));
    CHECK(nodes_of("v1.2: x") == framed({"x"}));
    CHECK(nodes_of("1: a 2: b") == framed({"a 2: b"}));
    CHECK(nodes_of("1:   a \t") == framed({"a"}));
    CHECK(nodes_of("1:  ") == framed({""}));
    CHECK(nodes_of("1:: 2. a") == framed({"a"}));
    CHECK(nodes_of("x: a\n: b\n. c\n 1:") == framed({}));
    CHECK(nodes_of("1: ") == framed({})); // nothing follows
    CHECK(nodes_of("1) a\n1 : a\n1:a\n1:\ta\n1:\xc2\xa0"
                   "a")
          == framed({}));
    CHECK(nodes_of("1: a\r\n2: b\r") == framed({"a", "b"}));
    CHECK(nodes_of("1: a\r2: b\xe2\x80\xa8"
                   "3: c\v4: d")
          == framed({"a\r2: b\xe2\x80\xa8"
                     "3: c\v4: d"}));
}

TEST_CASE("Digits are those of all scripts, white space is Python's") {
    CHECK(nodes_of("\xd9\xa3: arabic\n\xef\xbc\x99. wide\n\xf0\x9d\x9f\x98: bold")
          == framed({"arabic", "wide", "bold"}));
    CHECK(nodes_of("\xc2\xb2: superscript") == framed({}));
    CHECK(nodes_of("1: \xe3\x80\x80"
                   "a\x1f\xc2\x85")
          == framed({"a"}));
    CHECK(edges_of("(\xd9\xa1\xd9\xa2,\xef\xbc\x93)") == std::vector<arc>{{12, 3}, {1, 1}});
    CHECK(edges_of("(\xe2\x80\x83 1\n,\xc2\xa0 2\t)") == std::vector<arc>{{1, 2}, {1, 1}});
    std::size_t digits = 0, sum = 0;
    for (char32_t c = 0; c != 0x110000; ++c)
        if (auto const value = lathe::evaluate::digit_value(c); value >= 0) {
            ++digits;
            sum += static_cast<std::size_t>(value);
        }
    CHECK((digits == 660 && sum == 66 * 45));
    CHECK(lathe::evaluate::digit_value(0x1d7f6 + 10) < 0);
    CHECK(lathe::evaluate::digit_value(lathe::utf8_character::invalid) < 0);
}

TEST_CASE("Edges stand anywhere, and what is none is passed over") {
    CHECK(edges_of("(START,END) (0,3) (2,1)(2,1)") == std::vector<arc>{{0, 3}, {0, 3}, {2, 1}, {2, 1}, {1, 1}});
    CHECK(edges_of("((1,2) (1,(2,1)") == std::vector<arc>{{1, 2}, {2, 1}, {1, 1}});
    CHECK(edges_of("(1,2,3) (1) (-1,2) (1.0,2) (STARTS,1) (1,ENDS) (start,1) (1;2)") == std::vector<arc>{{1, 1}});
    CHECK(edges_of("walk to (7, 8)") == std::vector<arc>{{7, 8}, {1, 1}});
}

TEST_CASE("Bytes that are not UTF-8 stand for themselves") {
    CHECK(nodes_of("1: \xff\x80 a\xc3") == framed({"\xff\x80 a\xc3"}));
    CHECK(nodes_of("\xd9: a\n\xa1: b\n\xed\xa0\x80: c") == framed({}));
    CHECK(edges_of("(1\xff,2) (1,\xf0\x9d\x9f)") == std::vector<arc>{{1, 1}});
}

TEST_CASE("Long lines take linear time") {
    std::string const digits(2'000'000, '7');
    CHECK(nodes_of(digits + ": a").size() == 3);
    CHECK(nodes_of(digits) == framed({}));
    CHECK_FALSE(parse_workflow("Node " + std::string(2'000'000, '(')));
    CHECK_FALSE(parse_workflow("Node (" + std::string(2'000'000, ' ') + "1"));
    std::string blanks = "1:  ";
    blanks.append(2'000'000, ' ');
    CHECK(nodes_of(blanks) == framed({""}));
    std::string colons;
    for (int i = 0; i != 500'000; ++i)
        colons += "x: ";
    CHECK(nodes_of(colons) == framed({}));
}
