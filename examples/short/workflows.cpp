/* How well the workflow that an agent planned agrees with the gold one, and what is missing. Both are files, of JSON
   ({"nodes": ["boil water", ...], "edges": [[0, 1], ...]}) or of WorFBench's text ("Node:\n1: boil water\n...").

   g++ -std=c++20 -O1 -pthread -Iinclude -Ibackends/eigen/include -I/usr/include/eigen3 \
       examples/short/workflows.cpp -o workflows
   ./workflows gold.json predicted.txt
*/
#include <lathe/backend/eigen.hpp>
#include <lathe/evaluate/hashing_embedder.hpp>
#include <lathe/evaluate/workflow_graph.hpp>
#include <lathe/io/file.hpp>
#include <lathe/io/workflow_json.hpp>

#include <cstdio>

namespace evaluate = lathe::evaluate;
using lathe::graph::labelled_graph;

namespace {

labelled_graph read(char const * path) {
    auto const in = lathe::io::file::open(path);
    std::string text(in.size(), '\0');
    in.read(std::as_writable_bytes(std::span{text}), 0);
    bool const json = text.find_first_not_of(" \t\r\n") == text.find('{') && text.find('{') != text.npos;
    return json ? lathe::io::json_parser{}(text) : evaluate::worfbench_parser{}(text);
}
/// The form that WorFEval scores: markers first and last.
evaluate::workflow with_markers(labelled_graph const & g) {
    evaluate::workflow w{{"START"}, g.arcs};
    w.nodes.insert(w.nodes.end(), g.labels.begin(), g.labels.end());
    w.nodes.push_back("END");
    for (auto & e : w.edges)
        e = {e.from + 1, e.to + 1};
    return w;
}

} // namespace

int main(int argc, char ** argv) try {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s GOLD PREDICTED\n", argv[0]);
        return 2;
    }
    auto const gold = read(argv[1]), predicted = read(argv[2]);
    auto const g = with_markers(gold), p = with_markers(predicted);
    evaluate::similarity_request rows; // every predicted step against every gold one
    auto texts = p.nodes;
    texts.insert(texts.end(), g.nodes.begin(), g.nodes.end());
    for (std::size_t i = 0; i != texts.size(); ++i)
        (i < p.nodes.size() ? rows.rows : rows.cols).push_back(i);
    lathe::eigen_backend backend;
    auto const table = evaluate::hashed_embeddings(texts); // knows words, not meanings: put your encoder here
    auto const found = evaluate::similarities(backend, table, std::span{&std::as_const(rows), 1});
    auto const & similar = found.matrices[0];

    auto const score = evaluate::worfeval_scorer{}.strict({&p, &g, similar.view()});
    if (score.outcome == evaluate::outcome::failed)
        throw lathe::format_error{std::string{argv[1]} + ": cannot be scored: " + std::string{score.error}};
    for (auto const & [name, f] : {std::pair{"chain", score.chain}, std::pair{"graph", score.graph}})
        std::printf("%s: precision %.3f, recall %.3f, F1 %.3f\n", name, f.precision, f.recall, f.f1);

    auto const why =
        evaluate::compare_graphs(predicted, gold, [&](std::size_t i, std::size_t j) { return similar(i + 1, j + 1); });
    std::vector<std::size_t> partner(gold.labels.size(), lathe::graph::none); // of each gold step
    for (std::size_t i = 0; i != why.partner.size(); ++i)
        if (why.partner[i] != lathe::graph::none)
            partner[why.partner[i]] = i;
        else
            std::printf("not asked for: %s\n", predicted.labels[i].c_str());
    for (std::size_t j = 0; j != partner.size(); ++j)
        if (partner[j] == lathe::graph::none)
            std::printf("missing: %s\n", gold.labels[j].c_str());
    for (auto const & v : why.order.violations)
        std::printf("too early: %s, before %s\n", predicted.labels[v.from].c_str(), predicted.labels[v.to].c_str());
} catch (lathe::error const & e) {
    std::fprintf(stderr, "workflows: %s\n", e.what());
    return 1;
}
