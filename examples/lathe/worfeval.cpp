#include "backends.hpp"
#include "commands.hpp"
#include "embedders.hpp"
#include "html.hpp"
#include "interrupt.hpp"
#include "progress_bar.hpp"
#include "worfbench.hpp"
#include "worfeval_report.hpp"

#include <lathe/compiled/similarity.hpp>
#include <lathe/core/convert.hpp>
#include <lathe/evaluate/hashing_embedder.hpp>
#include <lathe/io/file.hpp>

#include <map>

namespace lathe_cli {

namespace {
struct worfeval_settings {
    std::vector<std::string> gold, predicted;
    std::string embeddings, strings;
    embedder_choice embedder = embedder_choice::file;
    std::string model;
    std::optional<conformance_level> conformance;
    std::string html;
};
} // namespace
} // namespace lathe_cli

BOOST_HANA_ADAPT_STRUCT(lathe_cli::worfeval_settings, gold, predicted, embeddings, strings, embedder, model,
                        conformance, html);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::worfeval_settings> = lathe::reflect::help_table({
    {"gold", "gold workflows as WorFBench has them, .json or .jsonl; may be repeated, each with its --predicted"},
    {"predicted", "predictions of them, .json or .jsonl"},
    {"embeddings", "embeddings of the nodes: a safetensors file with one matrix, or a matrix `embeddings`"},
    {"strings", "the texts that the rows of --embeddings belong to: a JSON list"},
    {"embedder", "where embeddings come from: from --embeddings, hashed from the words, or from all-MiniLM-L6-v2"},
    {"model", "minilm: the folder of the model, unless it is where examples/fetch_minilm.sh puts it"},
    {"conformance", "print one level only: reference, as the authors' program scores, or strict, as the paper says"},
    {"html", "write a page that shows every pair, both graphs side by side"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::evaluate::worfeval_options, threshold, orders, one_order_from, graph, steps);
template <>
inline constexpr auto lathe::reflect::help<lathe::evaluate::worfeval_options> = lathe::reflect::help_table({
    {"threshold", "nodes match only if their similarity is greater"},
    {"orders", "reference: how many topological orders of the gold workflow are looked at, at least 1"},
    {"one_order_from", "reference: workflows of so many nodes, markers counted, have one order: the list"},
    {"graph", "strict: what the graph score counts: nodes of a common induced subgraph (mcis), of a connected one "
              "(mccis), or of the largest component of the edges in both (lcc_mapped)"},
    {"steps", "strict: of one search for a subgraph"},
});

namespace lathe_cli {
namespace {

namespace evaluate = lathe::evaluate;
namespace graph = lathe::graph;
using lathe::reflect::describe;
using lathe::reflect::name_of;

constexpr std::size_t most_similarities = std::size_t{1} << 26; ///< of one pair

template <class... Backends> auto runners(backend_list<Backends...>) {
    return by_backend<decltype(&lathe::compiled::similarities_on<backends::eigen>)>{
        {Backends::name, &lathe::compiled::similarities_on<Backends>}...};
}

// ---- embeddings -----------------------------------------------------------------------------------------------------

/// Rows of a table by text.
struct embedded_texts {
    evaluate::embedding_table table;
    std::map<std::string, std::size_t> row_of;
};

embedded_texts read_embeddings(worfeval_settings const & s) {
    if (s.embeddings.empty() || s.strings.empty())
        throw usage_error{std::string{s.embeddings.empty() ? "--embeddings" : "--strings"}
                          + ": found nothing, expected a file, or --embedder hashing or minilm"};
    auto const in = open_input(s.embeddings);
    auto const tensors = in.file->tensors();
    auto const named = in.file->find("embeddings");
    if (!named && tensors.size() != 1)
        lathe::io::reject(s.embeddings, "tensors", std::to_string(tensors.size()), "one, or one named 'embeddings'");
    auto const at = named.value_or(0);
    auto const & info = tensors[at];
    auto const strings = read_strings(s.strings);
    if (info.extents.size() != 2 || info.extents[0] != strings.size() || info.extents[1] == 0)
        lathe::io::reject(s.embeddings, "shape of '" + lathe::io::printable(info.name) + "'",
                          lathe::to_string(info.extents),
                          "a row for each of the " + std::to_string(strings.size()) + " strings of " + s.strings);
    embedded_texts all;
    all.table.dimension = static_cast<std::size_t>(info.extents[1]);
    all.table.values.resize(info.count());
    lathe::window_buffer buffer;
    lathe::host::load<float>(info.type, in.file->read(at, 0, info.bytes(), buffer).data(), info.count(),
                             all.table.values.data());
    for (std::size_t i = 0; i != strings.size(); ++i)
        all.row_of.emplace(strings[i], i);
    return all;
}
/// The nodes of all samples, each text once.
embedded_texts embed_nodes(std::vector<scored_sample> const & samples, worfeval_settings const & s,
                           run_settings const & how) {
    embedded_texts all;
    std::vector<std::string> texts;
    for (auto const & sample : samples)
        for (auto const * const w : {&sample.predicted, &sample.gold})
            if (*w)
                for (auto const & node : (*w)->nodes)
                    if (all.row_of.emplace(node, texts.size()).second)
                        texts.push_back(node);
    all.table = embed_texts(texts, s.embedder, s.model, how);
    return all;
}

// ---- scoring --------------------------------------------------------------------------------------------------------

std::vector<scored_sample> read_samples(worfeval_settings const & s) {
    if (s.gold.empty() || s.gold.size() != s.predicted.size())
        throw usage_error{"--predicted: found " + std::to_string(s.predicted.size())
                          + " files, expected one for each of " + std::to_string(s.gold.size())
                          + " given with --gold, and at least one"};
    std::vector<scored_sample> samples;
    for (std::size_t i = 0; i != s.gold.size(); ++i)
        for (auto & texts : read_worfbench(s.gold[i], s.predicted[i])) {
            auto & sample = samples.emplace_back();
            sample.id = std::move(texts.id);
            sample.set = std::move(texts.set);
            if (texts.predicted)
                sample.predicted = evaluate::parse_workflow(*texts.predicted);
            if (texts.gold)
                sample.gold = evaluate::parse_workflow(*texts.gold);
        }
    return samples;
}

/// Scores every sample. Pairs of workflows too large to compare become errors of their samples.
void score(std::vector<scored_sample> & samples, embedded_texts const & texts,
           evaluate::worfeval_options const & options, run_settings const & how) {
    auto const rows_of = [&](evaluate::workflow const & w) {
        std::vector<std::size_t> rows;
        for (auto const & node : w.nodes) {
            auto const at = texts.row_of.find(node);
            if (at == texts.row_of.end())
                throw lathe::mismatch_error{"--strings: no embedding of the node '" + lathe::io::printable(node) + "'"};
            rows.push_back(at->second);
        }
        return rows;
    };
    std::vector<evaluate::similarity_request> requests;
    std::vector<scored_sample *> scored;
    for (auto & s : samples) {
        if (s.predicted && s.gold && s.predicted->nodes.size() > most_similarities / s.gold->nodes.size()) {
            auto & e = s.scores;
            e.reference.node.outcome = e.reference.graph.outcome = e.strict.outcome = evaluate::outcome::failed;
            e.reference.node.error = e.reference.graph.error = e.strict.error = "too_large";
            continue;
        }
        scored.push_back(&s);
        requests.emplace_back();
        if (s.predicted && s.gold)
            requests.back() = {rows_of(*s.predicted), rows_of(*s.gold)};
    }
    auto const compute = choose_backend(how.backend, runners(built_backends{}));
    progress_bar bar("similarities", 0, how.quiet);
    catch_interrupts();
    backend_choice const choice{how.backend};
    auto const similarities =
        compute({how.threads, choice.device}, texts.table, requests, [&bar](lathe::progress const & p) {
        bar(p);
        return !interrupt_token{}.stop_requested();
    });
    bar.clear();
    if (similarities.status == lathe::status::stopped)
        throw interrupted{};

    std::vector<evaluate::workflow_pair> pairs;
    for (std::size_t i = 0; i != scored.size(); ++i)
        pairs.push_back({scored[i]->predicted ? &*scored[i]->predicted : nullptr,
                         scored[i]->gold ? &*scored[i]->gold : nullptr, similarities.matrices[i].view()});
    lathe::thread_pool executor(how.threads);
    auto all = evaluate::explanations(executor, pairs, options);
    for (std::size_t i = 0; i != scored.size(); ++i)
        scored[i]->scores = std::move(all[i]);
}

scored_set average(std::string name, std::vector<scored_sample> const & samples, std::string_view set) {
    std::vector<evaluate::reference_score> reference;
    std::vector<evaluate::strict_score> strict;
    for (auto const & s : samples)
        if (set.empty() || s.set == set) {
            reference.push_back(s.scores.reference);
            strict.push_back(s.scores.strict);
        }
    return {std::move(name), evaluate::averages_of(std::span<evaluate::reference_score const>{reference}),
            evaluate::averages_of(std::span<evaluate::strict_score const>{strict})};
}
/// The plain mean over sets, as the paper's tables have it.
evaluate::worfeval_averages mean_of(std::vector<scored_set> const & sets,
                                    evaluate::worfeval_averages scored_set::* level) {
    evaluate::worfeval_averages mean;
    evaluate::mean_f_score node, graph, node_unfailed, graph_unfailed;
    for (auto const & s : sets) {
        auto const & a = s.*level;
        mean.pairs += a.pairs;
        mean.skipped += a.skipped;
        mean.failed += a.failed;
        node.add(a.node);
        graph.add(a.graph);
        node_unfailed.add(a.node_unfailed);
        graph_unfailed.add(a.graph_unfailed);
    }
    mean.node = node.over(sets.size());
    mean.graph = graph.over(sets.size());
    mean.node_unfailed = node_unfailed.over(sets.size());
    mean.graph_unfailed = graph_unfailed.over(sets.size());
    return mean;
}
/// A row for each set in the order of their first samples; if there is more than one, their mean and all pairs as well.
std::vector<scored_set> averages(std::vector<scored_sample> const & samples) {
    std::vector<scored_set> sets;
    for (auto const & s : samples)
        if (std::ranges::find(sets, s.set, &scored_set::name) == sets.end())
            sets.push_back(average(s.set, samples, s.set));
    if (sets.size() != 1) {
        scored_set const mean{"mean of sets", mean_of(sets, &scored_set::reference),
                              mean_of(sets, &scored_set::strict)};
        sets.push_back(mean);
        sets.push_back(average("all pairs", samples, ""));
    }
    return sets;
}

// ---- reports --------------------------------------------------------------------------------------------------------

json report(evaluate::f_score const & s) {
    return {{"precision", s.precision}, {"recall", s.recall}, {"f1_score", s.f1}};
}
json report(evaluate::worfeval_averages const & a) {
    bool const failed = a.failed != 0;
    return {{"pairs", a.pairs},
            {"skipped", a.skipped},
            {"failed", a.failed},
            {"node", failed ? json(nullptr) : report(a.node)},
            {"graph", failed ? json(nullptr) : report(a.graph)},
            {"without_failed", {{"node", report(a.node_unfailed)}, {"graph", report(a.graph_unfailed)}}}};
}
json report(std::vector<graph::vertex> const & matches) {
    auto list = json::array();
    for (auto const m : matches)
        list.push_back(m == graph::none ? json(nullptr) : json(m));
    return list;
}
json report(graph::arc const & e) { return json::array({e.from, e.to}); }
json report(std::optional<evaluate::workflow> const & w) {
    if (!w)
        return nullptr;
    auto edges = json::array();
    for (auto const & e : w->edges)
        edges.push_back(report(e));
    return {{"nodes", w->nodes}, {"edges", std::move(edges)}};
}
template <class Score> json outcome_of(Score const & s) {
    json j{{"outcome", name_of(s.outcome)}};
    if (s.outcome == evaluate::outcome::failed)
        j["error"] = s.error;
    return j;
}
json report(evaluate::reference_score const & s) {
    auto node = outcome_of(s.node), whole = outcome_of(s.graph);
    if (s.node.outcome == evaluate::outcome::scored) {
        node.update(report(s.node.score));
        node.update({{"length", s.node.length},
                     {"predicted", s.node.predicted},
                     {"gold", s.node.gold},
                     {"orders", s.node.orders},
                     {"unique", s.node.unique},
                     {"matches", report(s.node.matches)}});
    }
    if (s.graph.outcome == evaluate::outcome::scored) {
        auto common = json::array();
        for (auto const & e : s.graph.common)
            common.push_back(report(e));
        whole.update(report(s.graph.score));
        whole.update({{"component", s.graph.component},
                      {"predicted", s.graph.predicted},
                      {"gold", s.graph.gold},
                      {"unique", s.graph.unique},
                      {"matches", report(s.graph.matches)},
                      {"common", std::move(common)}});
    }
    return {{"node", std::move(node)}, {"graph", std::move(whole)}};
}
json report(evaluate::strict_score const & s) {
    auto j = outcome_of(s);
    if (s.outcome != evaluate::outcome::scored)
        return j;
    auto const sizes = [](evaluate::common_sizes const & c) {
        return json{{"mcis", c.mcis}, {"mccis", c.mccis}, {"lcc_mapped", c.lcc_mapped}, {"optimal", c.optimal}};
    };
    j.update({{"predicted", s.predicted},
              {"gold", s.gold},
              {"matched", s.matched},
              {"weight", s.weight},
              {"unique", s.unique},
              {"matches", report(s.matches)},
              {"chain", report(s.chain)},
              {"chain_length", s.chain_length},
              {"chain_nodes", s.chain_nodes},
              {"graph", report(s.graph)},
              {"common", sizes(s.common)},
              {"with_markers", sizes(s.with_markers)},
              {"common_nodes", s.common_nodes}});
    return j;
}
json report(scored_sample const & s, bool reference, bool strict) {
    json j{{"id", s.id}, {"set", s.set}, {"predicted", report(s.predicted)}, {"gold", report(s.gold)}};
    if (reference)
        j["reference"] = report(s.scores.reference);
    if (strict)
        j["strict"] = report(s.scores.strict);
    if (!reference || !strict)
        return j;
    auto const steps = [](std::vector<evaluate::score_step> const & all) {
        auto list = json::array();
        for (auto const & step : all)
            list.push_back({{"why", name_of(step.why)}, {"before", step.before}, {"after", step.after}});
        return list;
    };
    auto const edges = [](std::vector<evaluate::edge_detail> const & all) {
        auto list = json::array();
        for (auto const & e : all)
            list.push_back(
                {{"edge", report(e.edge)}, {"reference", name_of(e.reference)}, {"strict", name_of(e.strict)}});
        return list;
    };
    j["differences"] = {{"node", steps(s.scores.node_steps)}, {"graph", steps(s.scores.graph_steps)}};
    j["edges"] = {{"predicted", edges(s.scores.predicted_edges)}, {"gold", edges(s.scores.gold_edges)}};
    return j;
}

std::string padded(std::string text, std::size_t width) {
    text.resize(std::max(width, text.size()), ' ');
    return text;
}
std::string aligned(std::string const & text, std::size_t width) {
    return std::string(width > text.size() ? width - text.size() : 0, ' ') + text;
}
std::string table(std::string_view title, std::vector<scored_set> const & sets, conformance_level level) {
    std::size_t width = 9;
    for (auto const & s : sets)
        width = std::max(width, lathe::io::printable(s.name).size());
    std::string text{title};
    text +=
        "\n" + padded("set", width) + "  pairs  skipped  errors  chain P       R      F1  graph P       R      F1\n";
    bool starred = false;
    for (auto const & s : sets) {
        auto const & a = level == conformance_level::reference ? s.reference : s.strict;
        bool const failed = a.failed != 0;
        starred = starred || failed;
        text += padded(lathe::io::printable(s.name), width) + aligned(std::to_string(a.pairs), 7)
                + aligned(std::to_string(a.skipped), 9) + aligned(std::to_string(a.failed) + (failed ? "*" : ""), 8);
        for (auto const & score : {failed ? a.node_unfailed : a.node, failed ? a.graph_unfailed : a.graph}) {
            std::array<char, 48> digits{};
            std::snprintf(digits.data(), digits.size(), "%9.4f%8.4f%8.4f", score.precision, score.recall, score.f1);
            text += digits.data();
        }
        text += "\n";
    }
    return text + (starred ? "* means over the pairs without an error\n" : "");
}

int run(worfeval_settings const & s, evaluate::worfeval_options const & options, run_settings const & how) {
    expect_threads(how.threads);
    evaluate::worfeval_scorer const checked(options); // before anything is read
    if (s.embedder != embedder_choice::file && !(s.embeddings.empty() && s.strings.empty()))
        throw usage_error{"--embedder: found " + std::string{name_of(s.embedder)}
                          + ", expected file where there are --embeddings and --strings"};
    expect_model_of_minilm(s.embedder, s.model);
    auto samples = read_samples(s);
    score(samples, s.embedder == embedder_choice::file ? read_embeddings(s) : embed_nodes(samples, s, how), options,
          how);
    auto const sets = averages(samples);
    bool const reference = s.conformance != conformance_level::strict;
    bool const strict = s.conformance != conformance_level::reference;

    if (!s.html.empty())
        write_page(s.html, worfeval_page("WorFEval", sets, samples, s.conformance.value_or(conformance_level::strict)));
    if (how.json) {
        auto all_sets = json::array(), all_samples = json::array();
        for (auto const & set : sets) {
            json entry{{"set", set.name}};
            if (reference)
                entry["reference"] = report(set.reference);
            if (strict)
                entry["strict"] = report(set.strict);
            all_sets.push_back(std::move(entry));
        }
        for (auto const & sample : samples)
            all_samples.push_back(report(sample, reference, strict));
        print_json({{"lathe", version()},
                    {"command", "worfeval"},
                    {"gold", s.gold},
                    {"predicted", s.predicted},
                    {"embedder", name_of(s.embedder)},
                    {"options", lathe::reflect::to_json(options)},
                    {"backend", how.backend},
                    {"provenance", provenance({{"command", "worfeval"},
                                               {"options", lathe::reflect::to_json(options)},
                                               {"embedder", name_of(s.embedder)}},
                                              how,
                                              {{"gold", s.gold},
                                               {"predicted", s.predicted},
                                               {"embeddings", s.embeddings},
                                               {"strings", s.strings}})},
                    {"sets", std::move(all_sets)},
                    {"samples", std::move(all_samples)}});
    } else if (!how.quiet) {
        if (reference)
            print(table("reference: the authors' program", sets, conformance_level::reference));
        if (reference && strict)
            print("\n");
        if (strict)
            print(table("strict: the paper", sets, conformance_level::strict));
    }
    return 0;
}

} // namespace

action add_worfeval(CLI::App & app) {
    auto & sub = *app.add_subcommand("worfeval", "Score generated workflows against gold ones (WorFEval)");
    struct flag_sets {
        option_flags settings, options, run;
    };
    auto flags = std::make_shared<flag_sets>();
    static constexpr std::string_view seed[] = {"seed"};
    flags->settings.add(sub, "Workflows", describe<worfeval_settings>());
    flags->options.add(sub, "Options of worfeval", describe<evaluate::worfeval_options>());
    flags->run.add(sub, "Running", describe<run_settings>(), {.without = seed});
    add_configuration(sub, {{&flags->settings}, {&flags->options}, &flags->run});
    sub.allow_extras();
    return [&sub, flags] {
        expect_nothing_left(sub);
        return run(lathe::reflect::options_from<worfeval_settings>(flags->settings.given()),
                   lathe::reflect::options_from<evaluate::worfeval_options>(flags->options.given()),
                   lathe::reflect::options_from<run_settings>(flags->run.given()));
    };
}

} // namespace lathe_cli
