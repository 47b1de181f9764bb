/// \file  Sentence-level watermarks against what was recorded (docs/watermarking.md). Orders and what follows from them
///        are the same in float: embeddings are recorded in float, and what float does not settle is settled in double.
#include "backend_runners.hpp"
#include "watermark.hpp"

#include <lathe/watermark/cohemark.hpp>
#include <lathe/watermark/detector.hpp>
#include <lathe/watermark/rates.hpp>
#include <lathe/watermark/sampler.hpp>
#include <lathe/watermark/semstamp.hpp>
#include <lathe/watermark/simmark.hpp>

namespace lathe_replay {
namespace {

namespace watermark = lathe::watermark;
using B = selected_backend;

/// A value of a manifest as it is meant: a number of its own type, or nothing.
template <class T> T param(array_fixture const & f, char const * name, T otherwise) {
    return f.params().contains(name) && !f.params().at(name).is_null() ? f.params().at(name).get<T>() : otherwise;
}

watermark::cohemark_options cohemark_options_of(array_fixture const & f, bool authors) {
    watermark::cohemark_options o;
    o.fuzzifier = f.params().at("m").get<double>();
    o.relief_trials = param<std::size_t>(f, "relief_trials", o.relief_trials);
    if (auto const & p = f.params(); p.contains("rule") && !p.at("rule").is_null()) {
        auto const & r = p.at("rule");
        watermark::rank_rule rule{r.at("primary").get<std::vector<std::size_t>>(),
                                  r.at("relief").get<std::vector<std::size_t>>(), 1, 5};
        rule.streak_rank = r.contains("streak_rank") ? r.at("streak_rank").get<std::size_t>() : rule.primary.at(0);
        rule.streak_limit = r.value("streak_limit", rule.streak_limit);
        o.rule = rule;
    } else if (authors)
        o.conformance = watermark::cohemark_conformance::authors;
    return o;
}

template <class T> void detect(B & be, array_fixture const & f) {
    auto const centres = f.input("centres"), embeddings = f.input("embeddings");
    watermark::cohemark const partition(centres.values, centres.extent(0), cohemark_options_of(f, true));
    resident_matrix<B, T> x(be, embeddings);
    std::vector<std::size_t> const offsets{0, x.rows};
    auto const r = watermark::detect<T>(be, partition, x.view(), offsets);
    auto const & document = r.documents.at(0);
    bool const scored = f.expected().contains("ratio") && !f.expected().at("ratio").is_null();
    expect_equal("scored", document.scored, scored ? x.rows - std::min<std::size_t>(1, x.rows) : 0);
    if (scored) {
        expect_close("ratio", document.ratio, f.expected_number("ratio"), f.tolerance().value("ratio", 1e-15));
        expect_equal("watermarked", document.watermarked, f.expected_number("ratio") >= 0.9);
    }
    if (scored && f.expected().contains("hits"))
        expect_equal("hits", document.score, f.expected_number("hits"));
    if (!f.expected().contains("rows"))
        return;
    std::vector<int> rows;
    for (std::size_t i = 1; i < r.sentences.size(); ++i) {
        auto const & s = r.sentences[i];
        auto const & a = partition.automaton();
        for (auto const value : {*s.step.region, s.step.rank, std::size_t{s.step.mode},
                                 static_cast<std::size_t>(s.evidence), a.in_relief(s.step.count) ? 0 : s.step.count})
            rows.push_back(static_cast<int>(value));
    }
    expect_equal("rows", rows, f.expected_array("rows").as<int>());
}

/// A table of an embedder: rows of arrays by the names that texts have here.
struct recorded_rows {
    std::size_t dimension;
    std::vector<double> values;
};

template <class T> void generate(B & be, array_fixture const & f) {
    auto const centres = f.input("centres"), prompt = f.input("prompt"), candidates = f.input("candidates");
    auto const valid = f.input("valid").as<int>();
    auto const tokens = f.input("n_tokens").as<std::size_t>();
    watermark::cohemark const partition(centres.values, centres.extent(0), cohemark_options_of(f, true));
    auto const d = centres.extent(1);
    std::size_t next = 0;
    auto const source = [&](watermark::sampling_context const &, std::size_t) -> std::vector<watermark::proposal> {
        if (next == candidates.extent(0))
            return {};
        auto const i = next++;
        return {{std::to_string(i), tokens.at(i)}};
    };
    auto const embed = [&](std::span<std::string const> texts) {
        recorded_rows rows{d, {}};
        for (auto const & t : texts) {
            auto const from = t == "prompt" ? prompt.values : candidates.part(std::stoul(t)).values;
            rows.values.insert(rows.values.end(), from.begin(), from.end());
        }
        return rows;
    };
    watermark::sampling_options options;
    options.max_trials = param<std::size_t>(f, "max_trials", options.max_trials);
    options.max_tokens = param<std::size_t>(f, "max_new_tokens", options.max_tokens);
    auto const r = watermark::sample<T>(be, partition, "prompt", source, embed, options,
                                        [&](std::string const & text) { return valid.at(std::stoul(text)) != 0; });
    std::vector<int> trace, accepted;
    for (auto const & s : r.trace) {
        trace.push_back(static_cast<int>(s.candidate));
        trace.push_back(static_cast<int>(s.action));
        trace.push_back(s.step.region ? static_cast<int>(*s.step.region) : -1);
        trace.push_back(static_cast<int>(s.step.mode));
        for (auto const value : {s.trials, s.step.count, s.budget})
            trace.push_back(static_cast<int>(value));
    }
    for (auto const & s : r.sentences)
        accepted.push_back(static_cast<int>(s.candidate));
    expect_equal("trace", trace, f.expected_array("trace").as<int>());
    expect_equal("accepted", accepted, f.expected_array("accepted").as<int>());
    if (f.params().contains("stop")) {
        auto const ends = std::map<std::string, watermark::sampling_end>{
            {"stream_end", watermark::sampling_end::source_end},
            {"budget", watermark::sampling_end::budget},
            {"max_tokens", watermark::sampling_end::max_tokens},
        };
        if (auto const at = ends.find(f.params().at("stop").get<std::string>()); at != ends.end())
            expect_equal("stop", static_cast<int>(r.end), static_cast<int>(at->second));
        else
            throw failure{"stop: " + f.params().at("stop").dump() + " is not understood"};
    }
    if (!f.expected().contains("detect_ratio_of_accepted"))
        return;
    // The prompt and what was accepted, as a detector sees them.
    recorded_rows text{d, prompt.values};
    for (auto const & s : r.sentences) {
        auto const row = candidates.part(s.candidate).values;
        text.values.insert(text.values.end(), row.begin(), row.end());
    }
    resident_matrix<B, T> x(be, number_array{{1 + r.sentences.size(), d}, text.values});
    auto const score = watermark::detect<T>(be, partition, x.view(), std::vector<std::size_t>{0, x.rows}).documents[0];
    if (f.expected().at("detect_ratio_of_accepted").is_null())
        expect_equal("scored", score.scored, std::size_t{0});
    else
        expect_close("ratio of the accepted", score.ratio, f.expected_number("detect_ratio_of_accepted"), 1e-15);
}

void null_law(array_fixture const & f) {
    auto const q = f.input("q"), transitions = f.input("T");
    auto const clusters = q.extent(1);
    watermark::rank_automaton const automaton(watermark::default_rank_rule(clusters), clusters);
    auto const tolerance = f.tolerance().at("pmf").get<double>();
    auto const number_after = [](std::string_view text, std::string_view mark) -> std::size_t {
        auto const at = text.find(mark);
        if (at == std::string_view::npos)
            throw failure{std::string{text} + ": no " + std::string{mark}};
        return std::stoul(std::string{text.substr(at + mark.size())});
    };
    std::size_t seen = 0;
    for (auto const & [key, value] : f.expected().items()) {
        bool const markov = key.starts_with("markov");
        watermark::rank_chain chain{q.part(number_after(key, "_q")).values, {}};
        if (markov)
            chain.transitions = transitions.values;
        auto const law = watermark::rank_hit_law(automaton, chain, number_after(key, "_n"));
        ++seen;
        if (key.find("pmf") != std::string::npos)
            expect_close(key, law.pmf(), f.expected_array(key).values, tolerance);
        else if (key.find("summary") != std::string::npos) {
            auto const s = law.summary(static_cast<double>(number_after(key, "_hits")));
            expect_close(key, std::vector<double>{s.mean, s.variance, s.z, s.p, s.mid_p},
                         value.get<std::vector<double>>(), tolerance, 100 * tolerance);
        } else
            throw failure{key + " is not understood"};
    }
    if (seen == 0)
        throw failure{"nothing is recorded"};
}

template <class Partition>
watermark::detection_result detect_all(B & be, Partition const & p, number_array const & rows) {
    resident_matrix<B, double> x(be, rows);
    return watermark::detect<double>(be, p, x.view(), std::vector<std::size_t>{0, x.rows}, {},
                                     watermark::binomial_null(p.options().rate));
}
/// Regions and hits as they are recorded, and z.
void expect_regions(array_fixture const & f, watermark::detection_result const & r) {
    std::vector<int> regions, hits;
    for (std::size_t i = 0; i != r.sentences.size(); ++i) {
        regions.push_back(static_cast<int>(*r.sentences[i].step.region));
        if (i != 0)
            hits.push_back(static_cast<int>(r.sentences[i].evidence));
    }
    expect_equal("regions", regions, f.expected_array("regions").as<int>());
    expect_equal("hits", hits, f.expected_array("hits").as<int>());
    expect_close("z", r.documents[0].null.z, f.expected_number("z"), f.tolerance().at("z").get<double>());
}
watermark::semstamp_options semstamp_options_of(array_fixture const & f) {
    watermark::semstamp_options o;
    o.rate = param(f, "rate", o.rate);
    o.prime = param(f, "prime", o.prime);
    return o;
}

void semstamp(B & be, array_fixture const & f) {
    auto const normals = f.input("normals"), x = f.input("X");
    watermark::semstamp const partition(normals.values, normals.extent(0), semstamp_options_of(f));
    if (param<std::string>(f, "normals", "") == "numpy RandomState(1234).randn(bits, d)")
        expect_close("normals", watermark::semstamp_normals(normals.extent(0), normals.extent(1)), normals.values,
                     1e-15, 1e-14);
    auto const r = detect_all(be, partition, x);
    expect_regions(f, r);
    std::vector<int> far, masks;
    for (auto const & s : r.sentences)
        far.push_back(s.confidence >= f.params().at("margin").get<double>() ? 1 : 0);
    expect_equal("margin_ok", far, f.expected_array("margin_ok").as<int>());
    for (std::size_t region = 0; region != partition.masks().regions(); ++region)
        for (auto const accepted : partition.masks().after(region))
            masks.push_back(static_cast<int>(accepted));
    expect_equal("masks", masks, f.expected_array("masks").as<int>());
}

void k_semstamp(B & be, array_fixture const & f) {
    auto const centres = f.input("centres");
    watermark::k_semstamp const partition(centres.values, centres.extent(0), semstamp_options_of(f));
    auto const r = detect_all(be, partition, f.input("X"));
    expect_regions(f, r);
    std::vector<double> gaps;
    for (auto const & s : r.sentences)
        gaps.push_back(s.confidence);
    expect_close("gap", gaps, f.expected_array("gap").values, f.tolerance().at("gap").get<double>());
}

void simmark(B & be, array_fixture const & f) {
    auto const e = f.input("E");
    resident_matrix<B, double> x(be, e);
    for (auto const measure : {watermark::similarity_measure::cosine, watermark::similarity_measure::euclidean}) {
        bool const cosine = measure == watermark::similarity_measure::cosine;
        std::string const name = cosine ? "cosine" : "euclidean";
        if (!f.params().contains(name))
            continue;
        auto const interval = f.params().at(name).get<std::vector<double>>();
        watermark::simmark const partition(
            x.cols, {.measure = measure, .low = interval.at(0), .high = interval.at(1), .decay = param(f, "K", 250.0)});
        auto const r = watermark::detect<double>(be, partition, x.view(), std::vector<std::size_t>{0, x.rows}, {},
                                                 watermark::simmark_null(f.params().at("gamma").get<double>()));
        auto const codes = partition.encode<double>(be, lathe::cmat<B, double>(x.view()));
        std::vector<double> values, soft;
        for (std::size_t i = 1; i < x.rows; ++i) {
            values.push_back(partition.value(codes[i - 1], codes[i]));
            soft.push_back(r.sentences[i].evidence);
        }
        auto const tolerance = f.tolerance().at("z").get<double>();
        expect_close("value, " + name, values, f.expected_array("value_" + name).values, 1e-13, 1e-13);
        expect_close("soft, " + name, soft, f.expected_array("soft_" + name).values, 1e-12, 1e-10);
        expect_close("z, " + name, r.documents[0].null.z, f.expected_number("z_" + name), tolerance);
    }
}

void roc(array_fixture const & f) {
    auto const positive = f.input("positive").values, negative = f.input("negative").values;
    auto const tolerance = f.tolerance().at("all").get<double>();
    expect_close("auc", watermark::auc(positive, negative).auc, f.expected_number("auc"), tolerance);
    for (auto const & [key, value] : f.expected().items()) {
        auto const at = key.find('@');
        if (at == std::string::npos)
            continue;
        auto const r = watermark::tpr_at_fpr(positive, negative, std::stod(key.substr(at + 1)));
        expect_close(key, key.starts_with("thr") ? r.threshold : r.tpr,
                     value.is_null() ? std::numeric_limits<double>::infinity() : value.get<double>(), tolerance);
    }
}

} // namespace

template <class Backend> bool run_sentence_watermark(Backend & be, std::string_view name, array_fixture const & f) {
    if (name.starts_with("cohemark_detect")) {
        detect<float>(be, f);
        detect<double>(be, f);
    } else if (name.starts_with("cohemark_gen")) {
        generate<float>(be, f);
        generate<double>(be, f);
    } else if (name.starts_with("cohemark_null"))
        null_law(f);
    else if (name.starts_with("semstamp"))
        semstamp(be, f);
    else if (name.starts_with("ksemstamp"))
        k_semstamp(be, f);
    else if (name.starts_with("simmark"))
        simmark(be, f);
    else if (name.starts_with("roc"))
        roc(f);
    else
        return false;
    return true;
}
template bool run_sentence_watermark(selected_backend &, std::string_view, array_fixture const &);

} // namespace lathe_replay
