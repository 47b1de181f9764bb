/// \file  Workflow evaluation: every number of the recorded files, bit for bit.
#include "cases.hpp"

#include <lathe/core/convert.hpp>
#include <lathe/evaluate/worfeval.hpp>

#include <fstream>
#include <set>

namespace lathe_replay {

namespace {

namespace evaluate = lathe::evaluate;
namespace graph = lathe::graph;

// ---- what is recorded -----------------------------------------------------------------------------------------------

std::vector<json> read_lines(fs::path const & path) {
    std::vector<json> lines;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);)
        lines.push_back(json::parse(line));
    if (lines.empty())
        throw failure{path.string() + ": nothing in it"};
    return lines;
}

/// A matrix of single precision out of a file of tensors.
evaluate::similarity_matrix read_matrix(lathe::checkpoint & file, std::string const & name) {
    auto const at = file.find(name);
    if (!at)
        throw failure{std::string{file.label()} + ": no tensor '" + name + "'"};
    auto const & info = file.tensors()[*at];
    if (info.extents.size() != 2)
        throw failure{std::string{file.label()} + ": tensor '" + name + "' is no matrix"};
    evaluate::similarity_matrix m{static_cast<std::size_t>(info.extents[0]), static_cast<std::size_t>(info.extents[1]),
                                  std::vector<float>(info.count())};
    lathe::window_buffer buffer;
    lathe::host::load<float>(info.type, file.read(*at, 0, info.bytes(), buffer).data(), info.count(), m.values.data());
    return m;
}

std::vector<graph::arc> edges_of(json const & list) {
    std::vector<graph::arc> edges;
    for (auto const & e : list)
        edges.push_back({e.at(0).get<graph::vertex>(), e.at(1).get<graph::vertex>()});
    return edges;
}
json to_json(std::span<graph::vertex const> mapping) {
    auto list = json::array();
    for (auto const v : mapping)
        list.push_back(v == graph::none ? -1 : static_cast<std::int64_t>(v));
    return list;
}
json to_json(std::vector<graph::arc> const & edges) {
    auto list = json::array();
    for (auto const & e : edges)
        list.push_back({e.from, e.to});
    return list;
}
json to_json(evaluate::f_score const & s) { return json::array({s.precision, s.recall, s.f1}); }
json to_json(std::optional<evaluate::workflow> const & w) {
    if (!w)
        return nullptr;
    return {{"nodes", w->nodes}, {"edges", to_json(w->edges)}};
}

/// Collects what differs from what is recorded. Numbers are the same only bit for bit.
class judge {
    std::string problems_;

public:
    void expect(std::string const & name, json const & found, json const & recorded) {
        if (found.is_object() && recorded.is_object()) // the order of fields is nobody's business
            expect_fields(name, found, recorded);
        else if (found != recorded)
            problems_.append(problems_.empty() ? "" : "; ")
                .append(name)
                .append(": found ")
                .append(found.dump())
                .append(", recorded ")
                .append(recorded.dump());
    }
    /// Of the recorded fields those that are found; `passed_over` need not be.
    void expect_fields(std::string const & name, json const & found, json const & recorded,
                       std::initializer_list<std::string_view> passed_over = {}) {
        for (auto const & [key, value] : recorded.items())
            if (std::ranges::find(passed_over, key) == passed_over.end())
                expect(name + "." + key, found.contains(key) ? found[key] : json("nothing"), value);
    }
    [[nodiscard]] lathe_replay::result result() const {
        return {problems_.empty() ? verdict::passed : verdict::failed, problems_};
    }
};

// ---- all matchings of the largest weight ----------------------------------------------------------------------------

/// Calls f(partners) for each of them until there were `cap`; \returns how many there were. Asks for every partial
/// choice what the rest can still weigh.
template <class F>
std::size_t each_optimal_matching(std::size_t rows, std::size_t cols, std::vector<float> const & similarities,
                                  std::size_t cap, F && f) {
    graph::similarity_threshold const threshold;
    std::vector<graph::weighted_edge> all;
    for (std::size_t i = 0; i != rows; ++i)
        for (std::size_t j = 0; j != cols; ++j)
            if (auto const w = threshold.weight(similarities[i * cols + j]); w != 0)
                all.push_back({static_cast<graph::vertex>(i), static_cast<graph::vertex>(j), w});
    graph::matching_solver solver;
    graph::bipartite_graph candidates;
    std::vector<graph::vertex> partner(rows, graph::none);
    std::vector<bool> taken(cols, false);
    std::vector<graph::weighted_edge> left;
    auto const best_of_rest = [&](std::size_t row) {
        left.clear();
        for (auto const & e : all)
            if (e.left >= row && !taken[e.right])
                left.push_back(e);
        candidates.assign(rows, cols, left);
        return solver.solve(candidates, graph::tie_rule::any).weight;
    };
    std::size_t count = 0;
    auto const choose = [&](auto const & self, std::size_t row, std::int64_t needed) -> void {
        if (count == cap || best_of_rest(row) < needed)
            return;
        if (row == rows) {
            ++count;
            f(partner);
            return;
        }
        for (auto const & e : all)
            if (e.left == row && !taken[e.right]) {
                taken[e.right] = true;
                partner[row] = e.right;
                self(self, row + 1, needed - e.weight);
                partner[row] = graph::none;
                taken[e.right] = false;
            }
        self(self, row + 1, needed);
    };
    choose(choose, 0, best_of_rest(0));
    return count;
}

// ---- scores as they are recorded ------------------------------------------------------------------------------------

template <class Score> json outcome_of(Score const & s) {
    if (s.outcome == evaluate::outcome::failed)
        return {{"status", "error"}, {"error", std::string{s.error}}};
    return {{"status", s.outcome == evaluate::outcome::scored ? "ok" : "skipped"}};
}
json to_json(evaluate::reference_node_score const & s) {
    auto j = outcome_of(s);
    if (s.outcome == evaluate::outcome::scored)
        j.update({{"precision", s.score.precision},
                  {"recall", s.score.recall},
                  {"f1", s.score.f1},
                  {"l", s.length},
                  {"n_pred", s.predicted},
                  {"n_gold", s.gold},
                  {"orders_used", s.orders},
                  {"match_calls", s.orders}});
    return j;
}
json to_json(evaluate::reference_graph_score const & s) {
    auto j = outcome_of(s);
    if (s.outcome == evaluate::outcome::scored)
        j.update({{"precision", s.score.precision},
                  {"recall", s.score.recall},
                  {"f1", s.score.f1},
                  {"k", s.component},
                  {"n_pred", s.predicted},
                  {"n_gold", s.gold},
                  {"mapping", to_json(s.matches)},
                  {"common_edges", to_json(s.common)}});
    return j;
}
json to_json(evaluate::common_sizes const & s) {
    return {{"mcis", s.mcis}, {"mccis", s.mccis}, {"lcc_mapped", s.lcc_mapped}, {"optimal", s.optimal}};
}
json to_json(evaluate::strict_score const & s) {
    auto j = outcome_of(s);
    if (s.outcome == evaluate::outcome::skipped)
        j["status"] = "zero";
    if (s.outcome != evaluate::outcome::scored)
        return j;
    j.update(to_json(s.common));
    j.update({{"mapping", to_json(s.matches)},
              {"weight_q24", s.weight},
              {"matched", s.matched},
              {"n_pred", s.predicted},
              {"n_gold", s.gold},
              {"chain_l", s.chain_length},
              {"chain", to_json(s.chain)},
              {"mcis_prf", to_json(s.graph)},
              {"with_markers", to_json(s.with_markers)}});
    return j;
}

// ---- texts ----------------------------------------------------------------------------------------------------------

/// A sample with everything about it that is computed together with the others.
struct text_sample {
    json recorded;
    std::optional<evaluate::workflow> predicted;
    std::optional<evaluate::workflow> const * gold;
    std::size_t request = 0; ///< of similarities; 0 where there is nothing to compare
};

/// All texts of a folder. Similarities are computed when they are first asked for, all in one batch.
class text_samples {
    similarity_runner similarities_;
    evaluate::embedding_table table_;
    std::map<std::string, std::size_t> row_of_;
    std::map<std::string, std::optional<evaluate::workflow>> golds_;
    std::vector<text_sample> samples_;
    std::map<std::string, std::size_t> sample_of_;
    std::vector<evaluate::similarity_request> requests_;
    std::map<std::size_t, std::vector<evaluate::similarity_matrix>> batches_; ///< by threads

    std::vector<std::size_t> rows_of(evaluate::workflow const & w) const {
        std::vector<std::size_t> rows;
        for (auto const & node : w.nodes) {
            auto const at = row_of_.find(node);
            if (at == row_of_.end())
                throw failure{"no embedding of the node '" + node + "'"};
            rows.push_back(at->second);
        }
        return rows;
    }

public:
    std::vector<json> gold_lines;

    text_samples(fs::path const & folder, similarity_runner similarities) : similarities_{std::move(similarities)} {
        auto const strings = read_json(folder / "strings.json");
        for (std::size_t i = 0; i != strings.size(); ++i)
            row_of_.emplace(strings[i].get<std::string>(), i);
        auto const file = lathe::io::open_checkpoint(folder / "embeddings.safetensors");
        auto matrix = read_matrix(*file, "embeddings");
        if (matrix.rows != strings.size())
            throw failure{"embeddings.safetensors: not one row for each string"};
        table_ = {matrix.cols, std::move(matrix.values)};
        if (fs::exists(folder / "golds.jsonl"))
            gold_lines = read_lines(folder / "golds.jsonl");
        for (auto const & g : gold_lines)
            golds_.emplace(g.at("gid").get<std::string>(), evaluate::parse_workflow(g.at("text").get<std::string>()));
        if (!fs::exists(folder / "samples.jsonl"))
            return;
        for (auto & line : read_lines(folder / "samples.jsonl")) {
            text_sample s{std::move(line), std::nullopt, nullptr};
            if (auto const & text = s.recorded.at("pred_text"); !text.is_null())
                s.predicted = evaluate::parse_workflow(text.get<std::string>());
            auto const gold = golds_.find(s.recorded.at("gid").get<std::string>());
            if (gold == golds_.end())
                throw failure{"samples.jsonl: no gold workflow " + s.recorded.at("gid").dump()};
            s.gold = &gold->second;
            if (s.predicted && *s.gold) {
                requests_.push_back({rows_of(*s.predicted), rows_of(**s.gold)});
                s.request = requests_.size();
            }
            sample_of_.emplace(s.recorded.at("id").get<std::string>(), samples_.size());
            samples_.push_back(std::move(s));
        }
    }
    [[nodiscard]] std::vector<text_sample> const & samples() const noexcept { return samples_; }
    [[nodiscard]] text_sample const & sample(std::string const & id) const {
        auto const at = sample_of_.find(id);
        if (at == sample_of_.end())
            throw failure{"no sample " + id};
        return samples_[at->second];
    }
    [[nodiscard]] evaluate::workflow_pair pair(text_sample const & s, std::size_t threads) {
        if (!batches_.contains(threads))
            batches_[threads] = similarities_(table_, requests_, threads).matrices;
        auto const * const nothing = static_cast<float const *>(nullptr);
        return {s.predicted ? &*s.predicted : nullptr, *s.gold ? &**s.gold : nullptr,
                s.request == 0 ? lathe::mat_view<float const *>(nothing, 0, 0)
                               : batches_[threads][s.request - 1].view()};
    }
    /// Cosines of pairs of rows before they are clamped: of x with y, and of x with -y.
    [[nodiscard]] std::vector<float> cosines(std::span<std::array<std::size_t, 2> const> pairs,
                                             std::size_t threads) const {
        auto both = table_;
        for (auto const x : table_.values)
            both.values.push_back(-x);
        std::vector<evaluate::similarity_request> requests;
        for (auto const & [x, y] : pairs)
            requests.push_back({{x}, {y, y + table_.rows()}});
        std::vector<float> cosines;
        for (auto const & m : similarities_(both, requests, threads).matrices)
            cosines.push_back(m(0, 0) > 0 ? m(0, 0) : -m(0, 1));
        return cosines;
    }
};

/// How many matchings are optimal, and what the scores would be with each.
void judge_ties(judge & j, json const & recorded, evaluate::workflow_pair const & pair,
                evaluate::reference_score const & score) {
    auto const cap = recorded.at("cap").get<std::size_t>();
    auto const & gold = pair.gold->nodes;
    std::set<std::size_t> components;
    auto const of_graph = each_optimal_matching(
        pair.predicted->nodes.size(), gold.size(),
        {pair.similarities.data, pair.similarities.data + pair.similarities.rows * pair.similarities.cols}, cap,
        [&](std::vector<graph::vertex> const & partner) {
        std::set<graph::vertex> taken(partner.begin(), partner.end());
        graph::disjoint_sets sets(pair.predicted->nodes.size());
        std::size_t largest = 1;
        for (auto const & e : pair.predicted->edges)
            if (e.from < partner.size() && e.to < partner.size() && partner[e.from] != graph::none
                && partner[e.to] != graph::none && taken.contains(e.from) && taken.contains(e.to)
                && std::ranges::find(pair.gold->edges, e) != pair.gold->edges.end()) {
                sets.unite(e.from, e.to);
                largest = std::max(largest, sets.size(e.from));
            }
        components.insert(largest);
    });
    j.expect("ties.graph_optimal_matchings", of_graph, recorded.at("graph_optimal_matchings"));
    if (score.graph.outcome == evaluate::outcome::scored)
        j.expect("graph matching is unique", score.graph.unique, of_graph == 1);
    if (recorded.contains("graph_k_possible") && of_graph != cap)
        j.expect("ties.graph_k_possible", components, recorded.at("graph_k_possible"));

    auto const is_marker = [](std::string const & s) { return s == "START" || s == "END"; };
    bool const whole = gold.size() >= evaluate::worfeval_options{}.one_order_from;
    std::vector<std::size_t> rows, cols;
    for (std::size_t i = 0; i != pair.predicted->nodes.size(); ++i)
        if (!is_marker(pair.predicted->nodes[i]))
            rows.push_back(i);
    for (std::size_t k = 0; k != gold.size(); ++k)
        if (whole || !is_marker(gold[k]))
            cols.push_back(k);
    std::vector<float> part;
    for (auto const i : rows)
        for (auto const k : cols)
            part.push_back(pair.similarities.data[i * pair.similarities.ld + k]);
    std::vector<std::vector<graph::vertex>> places; // of columns, in every order
    if (whole) {
        places.emplace_back();
        for (std::size_t k = 0; k != cols.size(); ++k)
            places.back().push_back(static_cast<graph::vertex>(k));
    } else {
        graph::topological_orders orders(gold.size(), pair.gold->edges);
        while (places.size() != evaluate::worfeval_options{}.orders && orders.next()) {
            std::vector<graph::vertex> place(cols.size(), graph::none);
            for (std::size_t at = 0; at != orders.order().size(); ++at)
                if (auto const c = std::ranges::find(cols, orders.order()[at]); c != cols.end())
                    place[static_cast<std::size_t>(c - cols.begin())] = static_cast<graph::vertex>(at);
            places.push_back(std::move(place));
        }
    }
    std::size_t shortest = std::size_t(-1), longest = 0;
    std::vector<graph::vertex> values(rows.size()), tails;
    auto const of_nodes =
        each_optimal_matching(rows.size(), cols.size(), part, cap, [&](std::vector<graph::vertex> const & partner) {
        std::size_t best = 1;
        for (auto const & place : places) {
            for (std::size_t i = 0; i != rows.size(); ++i)
                values[i] = partner[i] == graph::none ? graph::none : place[partner[i]];
            best = std::max(best, graph::longest_increasing_length(values, tails));
        }
        shortest = std::min(shortest, best);
        longest = std::max(longest, best);
    });
    j.expect("ties.node_optimal_matchings", of_nodes, recorded.at("node_optimal_matchings"));
    if (score.node.outcome == evaluate::outcome::scored)
        j.expect("node matching is unique", score.node.unique, of_nodes == 1);
    if (recorded.contains("node_l_range") && of_nodes != cap)
        j.expect("ties.node_l_range", json::array({shortest, longest}), recorded.at("node_l_range"));
}

result judge_sample(text_samples & all, text_sample const & s, std::size_t threads) {
    judge j;
    auto const & expected = s.recorded.at("expect");
    j.expect("parse_pred", to_json(s.predicted), expected.at("parse_pred"));
    auto const pair = all.pair(s, threads);
    evaluate::worfeval_scorer scorer;
    auto const reference = scorer.reference(pair);
    j.expect_fields("reference.node", to_json(reference.node), expected.at("reference").at("node"));
    j.expect_fields("reference.graph", to_json(reference.graph), expected.at("reference").at("graph"));
    auto const strict = scorer.strict(pair);
    j.expect_fields("strict", to_json(strict), expected.at("strict"));
    j.expect("strict: optimal", strict.common.optimal && strict.with_markers.optimal, true);
    if (expected.contains("ties"))
        judge_ties(j, expected.at("ties"), pair, reference);
    return j.result();
}

result judge_gold(json const & line) {
    judge j;
    auto const parsed = evaluate::parse_workflow(line.at("text").get<std::string>());
    j.expect("parse", to_json(parsed), line.at("parse"));
    if (!parsed || !line.contains("topological_orders"))
        return j.result();
    auto const & recorded = line.at("topological_orders");
    graph::topological_orders orders(parsed->nodes.size(), parsed->edges);
    if (recorded.contains("error")) {
        j.expect("acyclic", orders.acyclic(), recorded.at("error") != "cycle");
        return j.result();
    }
    auto first = json::array();
    std::size_t count = 0;
    for (; count <= 9999 && orders.next(); ++count)
        if (count < recorded.at("first").size())
            first.push_back(to_json(orders.order()));
    j.expect("first orders", first, recorded.at("first"));
    j.expect("number of orders", count <= 9999 ? json(count) : json(nullptr), recorded.at("count"));
    return j.result();
}

result judge_averages(text_samples & all, json const & recorded, std::size_t threads) {
    judge j;
    evaluate::worfeval_scorer scorer;
    std::vector<evaluate::reference_score> scores;
    if (auto const & ids = recorded.at("sample_ids"); ids.is_array())
        for (auto const & id : ids)
            scores.push_back(scorer.reference(all.pair(all.sample(id.get<std::string>()), threads)));
    else // a sentence: all samples that do not fail
        for (auto const & s : all.samples())
            if (auto score = scorer.reference(all.pair(s, threads));
                score.node.outcome != evaluate::outcome::failed && score.graph.outcome != evaluate::outcome::failed)
                scores.push_back(std::move(score));
    auto const averages = evaluate::averages_of(std::span<evaluate::reference_score const>{scores});
    j.expect("defined", averages.failed, 0);
    auto const expect = [&](std::string const & name, evaluate::f_score const & mean) {
        j.expect_fields(name, {{"precision", mean.precision}, {"recall", mean.recall}, {"f1_score", mean.f1}},
                        recorded.at(name));
    };
    expect("node", averages.node);
    expect("graph", averages.graph);
    if (recorded.contains("n"))
        j.expect("n", averages.pairs, recorded.at("n"));
    return j.result();
}

result judge_cosines(text_samples const & all, json const & triples, std::size_t threads) {
    judge j;
    std::vector<std::array<std::size_t, 2>> pairs;
    for (auto const & t : triples)
        pairs.push_back({t.at(0).get<std::size_t>(), t.at(1).get<std::size_t>()});
    auto const cosines = all.cosines(pairs, threads);
    for (std::size_t i = 0; i != pairs.size(); ++i)
        j.expect("cosine " + std::to_string(i), static_cast<double>(cosines[i]), triples[i].at(2));
    return j.result();
}

// ---- graphs without texts -------------------------------------------------------------------------------------------

/// START, n1, n2, ..., END.
evaluate::workflow numbered_workflow(std::size_t nodes, json const & edges) {
    evaluate::workflow w;
    for (std::size_t i = 0; i != nodes; ++i)
        w.nodes.push_back(i == 0 ? "START" : i + 1 == nodes ? "END" : "n" + std::to_string(i));
    w.edges = edges_of(edges);
    return w;
}
/// Pairs of matched nodes that one graph joins and the other does not, and arcs that both have.
json conflicts_of(evaluate::workflow_pair const & pair, std::vector<graph::arc> const & matched) {
    auto const has = [](evaluate::workflow const & w, graph::vertex a, graph::vertex b) {
        return std::ranges::find(w.edges, graph::arc{a, b}) != w.edges.end();
    };
    std::size_t conflicts = 0, common = 0;
    for (auto const & x : matched)
        for (auto const & y : matched) {
            if (x == y)
                continue;
            bool const there = has(*pair.predicted, x.from, y.from), back = has(*pair.predicted, y.from, x.from);
            bool const gold_there = has(*pair.gold, x.to, y.to), gold_back = has(*pair.gold, y.to, x.to);
            conflicts += x < y && (there != gold_there || back != gold_back) ? 1 : 0;
            common += there && gold_there ? 1 : 0;
        }
    return {{"conflicts", conflicts}, {"common_edges", common}};
}

result judge_synthetic(json const & line, evaluate::similarity_matrix const & raw) {
    judge j;
    auto const predicted = numbered_workflow(line.at("n_pred").get<std::size_t>(), line.at("pred_edges"));
    auto const gold = numbered_workflow(line.at("n_gold").get<std::size_t>(), line.at("gold_edges"));
    auto clamped = raw.values;
    for (auto & x : clamped)
        x = std::max(x, 0.0f);
    evaluate::workflow_pair const pair{&predicted, &gold, {clamped.data(), raw.rows, raw.cols}};
    auto const & expected = line.at("expect");
    evaluate::worfeval_scorer scorer;
    auto const reference = scorer.reference(pair);
    j.expect_fields("reference.node", to_json(reference.node), expected.at("reference").at("node"));
    j.expect_fields("reference.graph", to_json(reference.graph), expected.at("reference").at("graph"));
    if (reference.graph.outcome == evaluate::outcome::scored)
        j.expect("reference.mapping", to_json(reference.graph.matches), expected.at("reference").at("mapping"));

    auto const strict = scorer.strict(pair);
    auto found = to_json(strict);
    std::vector<graph::arc> matched;
    std::vector<graph::vertex> tails;
    for (std::size_t i = 0; i != strict.matches.size(); ++i)
        if (strict.matches[i] != graph::none)
            matched.push_back({static_cast<graph::vertex>(i + 1), strict.matches[i] + 1});
    found.update(conflicts_of(pair, matched));
    found["lis_text_order"] = graph::longest_increasing_length(strict.matches, tails);
    matched.push_back({0, 0});
    matched.push_back(
        {static_cast<graph::vertex>(predicted.nodes.size() - 1), static_cast<graph::vertex>(gold.nodes.size() - 1)});
    found["with_markers"].update(conflicts_of(pair, matched));
    if (expected.at("strict").contains("topological_orders")) {
        graph::topological_orders orders(gold.nodes.size(), gold.edges);
        std::size_t count = 0;
        while (orders.next())
            ++count;
        found["topological_orders"] = count;
    }
    j.expect_fields("strict", found, expected.at("strict"), {"chain_brute_forced"});

    auto const & whole = expected.at("matching_full");
    graph::matching_solver solver;
    graph::bipartite_graph candidates(raw.rows, raw.cols, clamped);
    auto const weight = solver.solve(candidates, graph::tie_rule::any).weight;
    j.expect("matching_full.weight_q24", weight, whole.at("weight_q24"));
    auto const cap = whole.at("cap").get<std::size_t>();
    std::set<std::size_t> sizes;
    auto const count =
        each_optimal_matching(raw.rows, raw.cols, clamped, cap, [&](std::vector<graph::vertex> const & partner) {
        sizes.insert(partner.size() - static_cast<std::size_t>(std::ranges::count(partner, graph::none)));
    });
    j.expect("matching_full.optimal_matchings", count, whole.at("optimal_matchings"));
    if (count != cap)
        j.expect("matching_full.cardinality", sizes, whole.at("cardinality"));
    std::vector<graph::weighted_edge> ones;
    for (std::size_t i = 0; i != raw.rows; ++i)
        for (auto e = candidates.first(i); e != candidates.first(i + 1); ++e)
            ones.push_back({static_cast<graph::vertex>(i), candidates.right_end(e), 1});
    candidates.assign(raw.rows, raw.cols, ones);
    j.expect("matching_full.max_cardinality", solver.solve(candidates, graph::tie_rule::any).size,
             whole.at("max_cardinality"));
    return j.result();
}

result judge_matching(json const & entry, evaluate::similarity_matrix const & m) {
    judge j;
    j.expect("n", m.rows, entry.at("n"));
    j.expect("m", m.cols, entry.at("m"));
    graph::bipartite_graph const candidates(m.rows, m.cols, m.values);
    graph::matching_solver solver;
    for (auto const & [rule, name] : {std::pair{graph::tie_rule::networkx, "reference_mapping"},
                                      std::pair{graph::tie_rule::lexicographic, "strict_mapping"}}) {
        auto const & found = solver.solve(candidates, rule);
        j.expect(name, to_json(found.right_of), entry.at(name));
        j.expect("weight_q24", found.weight, entry.at("weight_q24"));
    }
    return j.result();
}

result judge_orders(json const & entry) {
    judge j;
    graph::topological_orders orders(entry.at("n").get<std::size_t>(), edges_of(entry.at("edges")));
    if (entry.contains("error")) {
        j.expect("error", orders.acyclic() ? "none" : "cycle", entry.at("error"));
        j.expect("orders of a cyclic graph", orders.next(), false);
        return j.result();
    }
    auto first = json::array();
    std::size_t count = 0;
    constexpr std::size_t limit = 1000000;
    for (; count != limit && orders.next(); ++count)
        if (count < 20)
            first.push_back(to_json(orders.order()));
    j.expect("first20", first, entry.at("first20"));
    if (entry.contains("count") && entry.at("count").is_number() && count != limit)
        j.expect("count", count, entry.at("count"));
    return j.result();
}

} // namespace

std::vector<recorded_case> worfeval_cases(fs::path const & folder, similarity_runner const & similarities) {
    std::vector<recorded_case> cases;
    auto const add = [&](std::string name, std::string method, std::function<result(std::size_t)> run) {
        cases.push_back({std::move(name), [method = std::move(method)] { return method; }, std::move(run)});
    };
    auto const has = [&](char const * file) { return fs::exists(folder / file); };
    if (has("embeddings.safetensors") && has("strings.json")) {
        auto const all = std::make_shared<text_samples>(folder, similarities);
        for (std::size_t i = 0; i != all->gold_lines.size(); ++i)
            add("gold/" + all->gold_lines[i].at("gid").get<std::string>(), "workflow text",
                [all, i](std::size_t) { return judge_gold(all->gold_lines[i]); });
        for (auto const & s : all->samples())
            add("sample/" + s.recorded.at("id").get<std::string>() + "/" + s.recorded.at("profile").get<std::string>(),
                "worfeval", [all, &s](std::size_t threads) { return judge_sample(*all, s, threads); });
        if (has("aggregate.json") && has("samples.jsonl")) {
            auto const averages = read_json(folder / "aggregate.json");
            for (auto const & [set, recorded] : averages.items())
                add("averages/" + set, "worfeval", [all, entry = recorded](std::size_t threads) {
                    return judge_averages(*all, entry, threads);
                });
        }
        if (has("similarity_check.json"))
            add("similarity_check", "similarities",
                [all, triples = read_json(folder / "similarity_check.json").at("triples")](std::size_t threads) {
                return judge_cosines(*all, triples, threads);
            });
    }
    if (has("synthetic.jsonl")) {
        std::shared_ptr<lathe::checkpoint> const file =
            lathe::io::open_checkpoint(folder / "synthetic_similarities.safetensors");
        for (auto const & line : read_lines(folder / "synthetic.jsonl")) {
            auto const id = line.at("id").get<std::string>();
            add("synthetic/" + id + "/" + line.at("group").get<std::string>(), "worfeval",
                [file, line, id](std::size_t) { return judge_synthetic(line, read_matrix(*file, id)); });
        }
    }
    if (has("matching.json")) {
        std::shared_ptr<lathe::checkpoint> const file =
            lathe::io::open_checkpoint(folder / "matching_similarities.safetensors");
        for (auto const & entry : read_json(folder / "matching.json")) {
            auto const id = entry.at("id").get<std::string>();
            add("matching/" + id, "matching",
                [file, entry, id](std::size_t) { return judge_matching(entry, read_matrix(*file, id)); });
        }
    }
    if (has("topological_orders.json")) {
        std::size_t number = 0;
        for (auto const & entry : read_json(folder / "topological_orders.json"))
            add("topological_orders/" + std::to_string(number++), "topological orders",
                [entry](std::size_t) { return judge_orders(entry); });
    }
    return cases;
}

} // namespace lathe_replay
