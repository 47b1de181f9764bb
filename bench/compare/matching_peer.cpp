// Times the matching of one matrix of similarities, for matching.py: float32 by rows, from a file.
//   matching_peer FILE ROWS COLUMNS any|networkx|lexicographic REPEATS
// A line of JSON: the least processor seconds of the repeats, for edges from the matrix and matching them; weight;
// pairs; unique.
#include <lathe/graph/matching.hpp>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string_view>

int main(int argc, char ** argv) {
    if (argc != 6) {
        std::fputs("matching_peer FILE ROWS COLUMNS any|networkx|lexicographic REPEATS\n", stderr);
        return 2;
    }
    auto const rows = std::strtoull(argv[2], nullptr, 10), columns = std::strtoull(argv[3], nullptr, 10);
    std::vector<float> similarities(rows * columns);
    std::ifstream file(argv[1], std::ios::binary);
    file.read(reinterpret_cast<char *>(similarities.data()),
              static_cast<std::streamsize>(similarities.size() * sizeof(float)));
    if (!file) {
        std::fprintf(stderr, "%s: not %llu x %llu numbers\n", argv[1], rows, columns);
        return 1;
    }
    std::string_view const name = argv[4];
    auto const rule = name == "any"        ? lathe::graph::tie_rule::any
                      : name == "networkx" ? lathe::graph::tie_rule::networkx
                                           : lathe::graph::tie_rule::lexicographic;
    lathe::graph::bipartite_graph graph;
    lathe::graph::matching_solver solver;
    lathe::graph::matching found;
    double edges = 1e30, matching = 1e30;
    auto const now = [] { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; };
    // Many matchings of a small matrix to one look at the clock.
    auto const times = std::size_t{1} + 100'000 / (1 + rows * columns);
    for (auto repeat = std::strtoull(argv[5], nullptr, 10); repeat != 0; --repeat) {
        auto const start = now();
        for (std::size_t t = 0; t != times; ++t)
            graph.assign(rows, columns, similarities);
        auto const between = now();
        for (std::size_t t = 0; t != times; ++t)
            static_cast<void>(solver.solve(graph, rule));
        auto const end = now();
        edges = std::min(edges, (between - start) / static_cast<double>(times));
        matching = std::min(matching, (end - between) / static_cast<double>(times));
    }
    found = solver.solve(graph, rule);
    std::printf(R"({"edges": %zu, "edges_s": %.9f, "matching_s": %.9f, "weight": %lld, "pairs": %zu, "unique": %s})"
                "\n",
                graph.edges(), edges, matching, static_cast<long long>(found.weight), found.size,
                found.unique ? "true" : "false");
}
