/// \file  How long scoring workflows takes, similarities given. Prints a JSON line for each measurement.
///
///     worfeval_times FOLDER [PAIRS.json]
///
/// FOLDER has golds.jsonl, samples.jsonl, strings.json and embeddings.safetensors as the recorded cases of WorFEval
/// have them; its group `perturbed` is scored. PAIRS.json is written for the other side: the parsed pairs, their
/// similarities.
#include <lathe/backend/eigen.hpp>
#include <lathe/core/convert.hpp>
#include <lathe/evaluate/similarity.hpp>
#include <lathe/evaluate/worfeval.hpp>
#include <lathe/io/safetensors.hpp>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>

namespace {

namespace evaluate = lathe::evaluate;
using json = nlohmann::json;
using clock_type = std::chrono::steady_clock;

struct texts {
    std::string predicted, gold;
};
std::vector<json> read_lines(std::filesystem::path const & path) {
    std::ifstream in(path);
    std::vector<json> lines;
    for (std::string line; std::getline(in, line);)
        lines.push_back(json::parse(line));
    return lines;
}

/// The least time of a call in microseconds a pair, over at least a second and seven calls.
template <class F> double least(std::size_t pairs, F && f) {
    auto best = clock_type::duration::max();
    auto const begin = clock_type::now();
    for (int calls = 0; calls < 7 || clock_type::now() - begin < std::chrono::seconds(1); ++calls) {
        auto const start = clock_type::now();
        f();
        best = std::min(best, clock_type::now() - start);
    }
    return std::chrono::duration<double, std::micro>(best).count() / static_cast<double>(pairs);
}
void report(char const * what, std::size_t threads, std::size_t pairs, double microseconds, double mean_f1) {
    std::printf(R"({"who": "lathe", "what": "%s", "threads": %zu, "pairs": %zu, "us_a_pair": %.3f, "mean_f1": %.17g})"
                "\n",
                what, threads, pairs, microseconds, mean_f1);
    std::fflush(stdout);
}

int run(std::filesystem::path const & folder, char const * pairs_file) {
    std::map<std::string, std::string> golds;
    for (auto const & g : read_lines(folder / "golds.jsonl"))
        golds[g.at("gid")] = g.at("text");
    std::vector<texts> all;
    for (auto const & s : read_lines(folder / "samples.jsonl"))
        if (s.at("group") == "perturbed")
            all.push_back({s.at("pred_text"), golds.at(s.at("gid"))});
    std::map<std::string, std::size_t> row_of;
    for (auto const & s : json::parse(std::ifstream(folder / "strings.json")))
        row_of.emplace(s.get<std::string>(), row_of.size());
    auto const file = lathe::io::open_checkpoint(folder / "embeddings.safetensors");
    auto const & info = file->tensors()[0];
    evaluate::embedding_table table{static_cast<std::size_t>(info.extents[1]), std::vector<float>(info.count())};
    lathe::window_buffer buffer;
    lathe::host::load<float>(info.type, file->read(0, 0, info.bytes(), buffer).data(), info.count(),
                             table.values.data());

    std::vector<std::optional<evaluate::workflow>> parsed;
    report("parse", 1, all.size(),
           least(all.size(),
                 [&] {
        parsed.clear();
        for (auto const & t : all) {
            parsed.push_back(evaluate::parse_workflow(t.predicted));
            parsed.push_back(evaluate::parse_workflow(t.gold));
        }
    }),
           0);
    std::vector<evaluate::similarity_request> requests(all.size());
    for (std::size_t i = 0; i != all.size(); ++i) {
        for (auto const & node : parsed[2 * i].value().nodes)
            requests[i].rows.push_back(row_of.at(node));
        for (auto const & node : parsed[2 * i + 1].value().nodes)
            requests[i].cols.push_back(row_of.at(node));
    }
    lathe::eigen_backend backend(1);
    evaluate::similarity_result similarities;
    report("similarities", 1, all.size(),
           least(all.size(), [&] { similarities = evaluate::similarities(backend, table, requests); }), 0);

    std::vector<evaluate::workflow_pair> pairs;
    for (std::size_t i = 0; i != all.size(); ++i)
        pairs.push_back({&*parsed[2 * i], &*parsed[2 * i + 1], similarities.matrices[i].view()});
    if (pairs_file != nullptr) {
        auto out = json::array();
        auto const as_json = [](evaluate::workflow const & w) {
            auto edges = json::array();
            for (auto const & e : w.edges)
                edges.push_back({e.from, e.to});
            return json{{"nodes", w.nodes}, {"edges", edges}};
        };
        for (std::size_t i = 0; i != all.size(); ++i)
            out.push_back({{"predicted", as_json(*pairs[i].predicted)},
                           {"gold", as_json(*pairs[i].gold)},
                           {"similarities", similarities.matrices[i].values}});
        std::ofstream(pairs_file) << out;
    }
    for (auto const threads : std::vector<std::size_t>{1, 2}) {
        lathe::thread_pool executor(threads);
        std::vector<evaluate::reference_score> scores;
        auto const time = least(pairs.size(), [&] { scores = evaluate::reference_scores(executor, pairs); });
        auto const averages = evaluate::averages_of(std::span<evaluate::reference_score const>{scores});
        report("reference, node and graph", threads, pairs.size(), time, averages.node.f1 + averages.graph.f1);
        std::vector<evaluate::strict_score> strict;
        auto const strict_time = least(pairs.size(), [&] { strict = evaluate::strict_scores(executor, pairs); });
        auto const strict_averages = evaluate::averages_of(std::span<evaluate::strict_score const>{strict});
        report("strict, chain and graphs", threads, pairs.size(), strict_time,
               strict_averages.node.f1 + strict_averages.graph.f1);
    }
    return 0;
}

} // namespace

int main(int argc, char ** argv) {
    if (argc != 2 && argc != 3) {
        std::fprintf(stderr, "usage: worfeval_times FOLDER [PAIRS.json]\n");
        return 2;
    }
    try {
        return run(argv[1], argc == 3 ? argv[2] : nullptr);
    } catch (std::exception const & e) {
        std::fprintf(stderr, "worfeval_times: %s\n", e.what());
        return 1;
    }
}
