// Workflows in JSON: what is read, what is refused.
#include <catch.hpp>

#include <lathe/io/workflow_json.hpp>

using namespace lathe;
using graph::arc;
using graph::labelled_graph;

TEST_CASE("workflows in JSON", "[workflow_json]") {
    io::json_parser const read;
    labelled_graph const expected{{"find a pan", "put it on the stove"}, {{0, 1}}};
    CHECK(read(R"({"nodes": ["find a pan", "put it on the stove"], "edges": [[0, 1]]})") == expected);
    CHECK(read(R"({"edges": [{"to": "b", "from": "a"}],
                   "nodes": [{"id": "a", "label": "find a pan"}, {"text": "put it on the stove", "id": "b"}]})")
          == expected);
    // The form of networkx's node_link_data, with numbers for ids and more than anyone asked for.
    CHECK(read(R"({"directed": true, "graph": {"x": [[], {}]}, "nodes": [{"id": 7, "name": "find a pan", "w": [1, {}]},
                   {"id": 0, "name": "put it on the stove", "z": null}], "links": [{"source": 7, "target": 0, "k": -1.5}]})")
          == expected);
    CHECK(read(R"({"nodes": [], "edges": []})") == labelled_graph{});
    CHECK(read(R"({"nodes": [{}, {"id": "x"}, {"id": 5}], "edges": [["x", 5]]})")
          == labelled_graph{{"", "x", "5"}, {{1, 2}}});
    // Positions beyond the nodes, loops and duplicates are there as written.
    CHECK(read(R"({"nodes": ["a"], "edges": [[0, 3], [0, 0], [0, 0], [18446744073709551615, 0]]})")
          == labelled_graph{{"a"}, {{0, 3}, {0, 0}, {0, 0}, {graph::none - 1, 0}}});
}

TEST_CASE("what is no workflow in JSON", "[workflow_json]") {
    io::json_parser const read;
    for (auto const * text : {"",
                              "[]",
                              "null",
                              R"({"nodes": []})",
                              R"({"edges": []})",
                              R"({"nodes": [], "edges": [)",
                              R"({"nodes": {}, "edges": []})",
                              R"({"nodes": "a", "edges": []})",
                              R"({"nodes": 1, "edges": []})",
                              R"({"nodes": [1], "edges": []})",
                              R"({"nodes": [null], "edges": []})",
                              R"({"nodes": [["a"]], "edges": []})",
                              R"({"nodes": [], "nodes": [], "edges": []})",
                              R"({"nodes": [], "edges": [], "links": []})",
                              R"({"nodes": ["a"], "edges": [0]})",
                              R"({"nodes": ["a"], "edges": ["a"]})",
                              R"({"nodes": ["a"], "edges": [[0]]})",
                              R"({"nodes": ["a"], "edges": [[0, 0, 0]]})",
                              R"({"nodes": ["a"], "edges": [[0, -1]]})",
                              R"({"nodes": ["a"], "edges": [[0, 0.5]]})",
                              R"({"nodes": ["a"], "edges": [[0, [0]]]})",
                              R"({"nodes": ["a"], "edges": [[0, "a"]]})",
                              R"({"nodes": ["a"], "edges": [{"from": 0}]})",
                              R"({"nodes": ["a"], "edges": [{"from": 0, "from": 0}]})",
                              R"({"nodes": ["a"], "edges": [{"from": {}, "to": 0}]})",
                              R"({"nodes": ["a"], "edges": [null]})",
                              R"({"nodes": [{"id": "a"}, {"id": "a"}], "edges": []})",
                              R"({"nodes": [{"id": "a"}], "edges": [[0, 0]]})",
                              R"({"nodes": [{"id": null}], "edges": []})",
                              R"({"nodes": [{"id": "a", "id": "b"}], "edges": []})",
                              R"({"nodes": [{"label": ["a"]}], "edges": []})",
                              R"({"nodes": [{"label": 3}], "edges": []})",
                              "{\"nodes\": [\"\xff\"], \"edges\": []}"}) {
        INFO(text);
        CHECK_THROWS_AS(read(text), format_error);
    }
    CHECK_THROWS_WITH(read(R"({"nodes": [{"id": "a"}], "edges": [["a", "b"]]})"), lathe_test::contains("'b'"));
    CHECK_THROWS_WITH(io::read_workflow_json(R"({"nodes": []})", "w.json"), lathe_test::contains("w.json"));
    CHECK_THROWS_AS(io::read_workflow_json(R"({"nodes": [], "edges": []})", "w", {.max_bytes = 10}), format_error);
    CHECK_THROWS_AS(read(std::string(100000, '[')), format_error);
    CHECK_THROWS_AS(read(R"({"x": )" + std::string(100000, '[')), format_error);
}
