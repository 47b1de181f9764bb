#include "backends.hpp"
#include "cluster_job.hpp"
#include "commands.hpp"
#include "corpus_sampler.hpp"
#include "html.hpp"
#include "interrupt.hpp"
#include "watermark_model.hpp"
#include "watermark_report.hpp"

#include <lathe/core/decimal.hpp>
#include <lathe/evaluate/text_quality.hpp>
#include <lathe/io/npy.hpp>
#include <lathe/io/process_lines.hpp>
#include <lathe/watermark/attacks.hpp>
#include <lathe/watermark/rates.hpp>

#include <bit>
#include <map>

namespace lathe_cli {

namespace {
struct calibrate_settings {
    std::string output;
    double fit_share = 0.5;
    std::optional<std::string> centres;
    std::size_t longest = 64;
    std::optional<std::uint64_t> key;
};
struct model_settings {
    std::string watermark;
    std::optional<std::uint64_t> key;
    std::size_t prompt_sentences = 1;
};
struct detect_settings {
    double rate = 0.01;
    std::optional<evidence_kind> decide;
    std::string html;
};
struct sample_settings {
    std::string output;
    std::optional<std::string> corpus, process;
    double temperature = 0.05;
    double timeout = 0;
    std::size_t sentences = 10;
    std::optional<std::size_t> max_trials;
    std::optional<lathe::watermark::exhaustion> at_budget;
    std::optional<double> margin;
    std::size_t batch = 8;
};
struct evaluate_settings {
    std::string marked;
    std::optional<std::string> marked_lengths;
    std::vector<std::string> attack;
    double level = 0.95;
};
} // namespace
} // namespace lathe_cli

BOOST_HANA_ADAPT_STRUCT(lathe_cli::calibrate_settings, output, fit_share, centres, longest, key);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::calibrate_settings> = lathe::reflect::help_table({
    {"output", "a .safetensors file for everything that detection and sampling need but the key"},
    {"fit_share", "of the documents, from 0 to below 1, that centres, intervals and radii are fitted on; p-values are "
                  "calibrated on the "
                  "others. 0 where nothing is to be fitted"},
    {"centres", "cohemark, k_semstamp: a .npy file of centres to take in the place of fitted ones"},
    {"longest", "sentences that scores are kept of; longer documents are judged by their beginning"},
    {"key", "calibrate conformal p-values for this key; needed for them with keyed_cohemark"},
});
BOOST_HANA_ADAPT_STRUCT(lathe_cli::model_settings, watermark, key, prompt_sentences);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::model_settings> = lathe::reflect::help_table({
    {"watermark", "a file that lathe watermark calibrate wrote"},
    {"key", "of keyed_cohemark; semstamp and k_semstamp: the prime, 15485863 unless given"},
    {"prompt_sentences",
     "at the beginning of each document, which are not judged, at least 1; the last of them is judged by"},
});
BOOST_HANA_ADAPT_STRUCT(lathe_cli::detect_settings, rate, decide, html);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::detect_settings> = lathe::reflect::help_table({
    {"rate", "of false positives, between 0 and 1: a document is called marked if its p-value is at most that"},
    {"decide", "which evidence decides; unless given, key for keyed_cohemark, else conformal"},
    {"html", "write a page that shows every sentence of every document"},
});
BOOST_HANA_ADAPT_STRUCT(lathe_cli::sample_settings, output, corpus, process, temperature, timeout, sentences,
                        max_trials, at_budget, margin, batch);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::sample_settings> = lathe::reflect::help_table({
    {"output", "a .jsonl file for the marked texts"},
    {"corpus", "documents that candidates are drawn from: what follows similar sentences"},
    {"process", "a line for the shell: a program that answers each JSON line with one, see docs/watermarking.md"},
    {"temperature", "corpus: of the similarity of sentences, above 0"},
    {"timeout", "process: seconds for an answer; 0 waits for ever"},
    {"sentences", "at most so many after the prompt, at least 1"},
    {"max_trials", "candidates for one sentence, at least 1; unless given, as published for the method"},
    {"at_budget", "what happens when they are used up; unless given, as published for the method"},
    {"margin",
     "candidates of less confidence, not below 0, are turned down; unless given, as published for the method"},
    {"batch", "candidates asked for at once, at least 1"},
});
BOOST_HANA_ADAPT_STRUCT(lathe_cli::evaluate_settings, marked, marked_lengths, attack, level);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::evaluate_settings> = lathe::reflect::help_table({
    {"marked", "documents with the watermark, of the same kind as the human ones"},
    {"marked_lengths", "of embeddings: --lengths of the marked documents"},
    {"attack", "word_deletion, truncation, sentence_deletion, sentence_swap or copy_paste, a colon and a rate; may be "
               "repeated"},
    {"level", "of confidence intervals, between 0 and 1"},
});

namespace lathe_cli {
namespace {

namespace cluster = lathe::cluster;
namespace watermark = lathe::watermark;
using lathe::reflect::describe;
using lathe::reflect::name_of;
using lathe::reflect::to_json;

struct watermark_functions {
    decltype(&run_watermark_detect<backends::eigen>) detect;
    decltype(&run_watermark_sample<backends::eigen>) sample;
    decltype(&run_spherical_k_means<backends::eigen>) k_means;
    decltype(&run_cluster_fit<backends::eigen>) fit;
    decltype(&run_collapse_bound<backends::eigen>) bound;
};
template <class... Backends> by_backend<watermark_functions> watermark_functions_on(backend_list<Backends...>) {
    return {{Backends::name,
             {&run_watermark_detect<Backends>, &run_watermark_sample<Backends>, &run_spherical_k_means<Backends>,
              &run_cluster_fit<Backends>, &run_collapse_bound<Backends>}}...};
}
watermark_functions watermark_functions_of(run_settings const & how) {
    expect_threads(how.threads);
    return choose_backend(how.backend, watermark_functions_on(built_backends{}));
}

watermark::detection_result detect_rows(embedded_documents const & docs, any_partition const & partition,
                                        std::size_t prompt_sentences, watermark::repeated_draws repeats,
                                        run_settings const & how) {
    progress_bar bar("watermark", docs.documents.size(), how.quiet);
    auto result = watermark_functions_of(how).detect(
        {how.threads, backend_choice{how.backend}.device, bar}, partition, {docs.rows, docs.dimension, docs.first_row},
        {.prompt_sentences = prompt_sentences, .repeats = repeats, .evidence = true});
    bar.clear();
    return result;
}

// ---- calibrate ------------------------------------------------------------------------------------------------------

/// Some of the documents.
embedded_documents subset(embedded_documents const & docs, std::span<std::size_t const> which) {
    embedded_documents some;
    some.dimension = docs.dimension;
    some.texts = docs.texts;
    some.first_row.push_back(0);
    for (auto const i : which) {
        auto const rows = docs.of(i);
        some.documents.push_back(docs.documents[i]);
        some.rows.insert(some.rows.end(), rows.begin(), rows.end());
        some.first_row.push_back(some.first_row.back() + docs.documents[i].count);
    }
    return some;
}

std::vector<double> fit_centres(embedded_documents const & docs, watermark_model const & model,
                                run_settings const & how) {
    auto const run = watermark_functions_of(how);
    auto const device = backend_choice{how.backend}.device;
    auto const k = model.method.clusters;
    auto const rows = docs.first_row.back();
    if (rows < k)
        throw lathe::mismatch_error{"calibrate: found " + std::to_string(rows)
                                    + " sentences to fit on, expected at least " + std::to_string(k)
                                    + ", one for each cluster"};
    progress_bar bar("centres", 0, how.quiet);
    if (model.method.method == watermark_method::k_semstamp)
        return run
            .k_means({how.threads, device, bar}, docs.rows, docs.dimension,
                     {.clusters = k, .metric = cluster::metric::cosine, .seed = how.seed.value_or(0)})
            .centres;
    lathe::memory_checkpoint points("sentences");
    points.set<float>("sentences", {rows, docs.dimension}, docs.rows);
    cluster_job const job{points, 0, how.threads, device, bar};
    auto const bound = run.bound(job, 20000);
    auto centres =
        run.fit(job, {}, {.clusters = k, .fuzzifier = model.method.fuzzifier, .seed = how.seed.value_or(0)}).centres;
    bar.clear();
    if (!how.quiet && model.method.fuzzifier >= bound.fuzzifier)
        std::fprintf(stderr,
                     "lathe: warning: fuzzifier %s is not below %s, from which on all centres may end at the mean\n",
                     short_number(model.method.fuzzifier).c_str(), short_number(bound.fuzzifier).c_str());
    auto const apart = cluster::distances_between(centres, docs.dimension);
    if (!how.quiet && apart.smallest < 1e-4)
        std::fprintf(stderr, "lathe: warning: centres have merged: the nearest two are %s apart\n",
                     short_number(apart.smallest).c_str());
    return centres;
}
std::vector<double> read_centres(std::string const & path, std::size_t clusters, std::size_t dimension) {
    lathe::io::npy_file file(path);
    auto const & info = file.tensors()[0];
    if (!is_floating(info.type) || info.extents != lathe::shape{clusters, dimension})
        throw lathe::mismatch_error{path + ": " + std::string{name_of(info.type)} + " of shape "
                                    + lathe::to_string(info.extents) + ", expected floats, clusters x dimensions: "
                                    + lathe::to_string(lathe::shape{clusters, dimension})};
    std::vector<double> values(info.count());
    lathe::window_buffer buffer;
    lathe::host::load(info.type, file.read(0, 0, info.bytes(), buffer).data(), values.size(), values.data());
    return values;
}

/// The value that a share of the numbers does not exceed.
double quantile(std::vector<double> values, double share) {
    std::ranges::sort(values);
    return values[std::min(values.size() - 1, static_cast<std::size_t>(share * static_cast<double>(values.size())))];
}
void fit_interval(embedded_documents const & docs, method_settings & m) {
    std::vector<double> cosines;
    for (std::size_t d = 0; d != docs.documents.size(); ++d) {
        auto const rows = docs.of(d);
        for (std::size_t i = 1; i < docs.documents[d].count; ++i) {
            double aa = 0, bb = 0, ab = 0;
            for (std::size_t k = 0; k != docs.dimension; ++k) {
                auto const a = static_cast<double>(rows[(i - 1) * docs.dimension + k]),
                           b = static_cast<double>(rows[i * docs.dimension + k]);
                aa += a * a;
                bb += b * b;
                ab += a * b;
            }
            if (aa > 0 && bb > 0)
                cosines.push_back(ab / std::sqrt(aa * bb));
        }
    }
    if (cosines.empty())
        throw lathe::mismatch_error{"calibrate: no two sentences in a row to fit --low and --high on"};
    if (!m.low)
        m.low = quantile(cosines, 0.6);
    if (!m.high)
        m.high = std::max(*m.low, quantile(cosines, 0.9));
}
void fit_radius(embedded_documents const & docs, watermark_model & model, run_settings const & how) {
    model.method.radius = 0;
    auto const found = detect_rows(docs, model.partition({}), 1, watermark::repeated_draws::counted, how);
    std::vector<double> distances;
    for (std::size_t d = 0; d != docs.documents.size(); ++d)
        for (auto i = docs.first_row[d] + 1; i < docs.first_row[d + 1]; ++i)
            distances.push_back(std::popcount(*found.sentences[i - 1].step.region ^ *found.sentences[i].step.region));
    if (distances.empty())
        throw lathe::mismatch_error{"calibrate: no two sentences in a row to fit --radius on"};
    std::size_t radius = 0;
    while (radius + 2 < *model.method.bits && static_cast<double>(std::ranges::count_if(distances, [&](double d) {
        return d <= static_cast<double>(radius + 1);
    })) <= 0.35 * static_cast<double>(distances.size()))
        ++radius;
    model.method.radius = radius;
}

int calibrate(document_settings const & where, method_settings const & method, calibrate_settings const & s,
              run_settings const & how) {
    if (fs::path{s.output}.extension() != ".safetensors")
        throw usage_error{"--output: found '" + s.output + "', expected a name that ends in .safetensors"};
    lathe::expects_option(s.fit_share >= 0 && s.fit_share < 1, "fit_share", std::to_string(s.fit_share),
                          "a number from 0 to below 1");
    watermark_model model;
    model.method = method;
    model.embedder = where.embedder;
    auto & m = model.method;
    bool const needs_centres = model.ranks() || m.method == watermark_method::k_semstamp;
    if (s.centres && !needs_centres)
        throw usage_error{"--centres: found with " + std::string{name_of(m.method)} + ", which has none"};
    static_cast<void>(watermark_functions_of(how)); // before anything is read
    report_abandoned(s.output, false, how.quiet);
    catch_interrupts(lathe::io::folder_of(s.output));
    auto const docs = read_documents(where, how);
    if (!docs.texts)
        model.embedder = embedder_choice::file;
    model.dimension = docs.dimension;
    if (docs.documents.empty())
        throw lathe::mismatch_error{where.documents + ": no documents"};
    if (m.method == watermark_method::semstamp || m.method == watermark_method::hammingmark) {
        m.bits = m.bits.value_or(m.method == watermark_method::semstamp ? 3 : 16);
        lathe::expects_option(*m.bits >= 1 && *m.bits <= (m.method == watermark_method::semstamp ? 16u : 64u), "bits",
                              std::to_string(*m.bits), "1 to 16, for hammingmark 64");
        model.vectors = watermark::semstamp_normals(*m.bits, docs.dimension, m.normals_seed);
    }
    bool const fits = (needs_centres && !s.centres) || (m.method == watermark_method::simmark && !(m.low && m.high))
                      || (m.method == watermark_method::hammingmark && !m.radius);
    // Which documents are fitted on is drawn, so that neither half is a chapter.
    std::vector<std::size_t> order(docs.documents.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    lathe::random::uniform_stream const u{how.seed.value_or(0), 0x63616c};
    std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair{u[i], i}; });
    auto const fitted = fits ? static_cast<std::size_t>(s.fit_share * static_cast<double>(order.size())) : 0;
    if (fits && fitted == 0)
        throw usage_error{"--fit-share: found " + short_number(s.fit_share) + " of " + std::to_string(order.size())
                          + " documents, expected at least one to fit on"};
    auto const fit_docs = subset(docs, std::span{order}.first(fitted));
    auto const human = subset(docs, std::span{order}.subspan(fitted));
    model.fitted_on = fitted;
    model.calibrated_on = human.documents.size();
    if (needs_centres)
        model.vectors =
            s.centres ? read_centres(*s.centres, m.clusters, docs.dimension) : fit_centres(fit_docs, model, how);
    if (m.method == watermark_method::simmark && fits)
        fit_interval(fit_docs, m);
    if (m.method == watermark_method::hammingmark && fits)
        fit_radius(fit_docs, model, how);

    bool const keyed = m.method == watermark_method::keyed_cohemark;
    auto const partition = model.partition(keyed ? s.key.value_or(0) : s.key);
    auto const found = detect_rows(human, partition, 1, watermark::repeated_draws::counted, how);
    double sum = 0, hits = 0, scored = 0;
    std::optional<watermark::rank_counts> counts;
    if (model.ranks())
        counts.emplace(m.clusters);
    for (std::size_t d = 0; d != human.documents.size(); ++d) {
        double score = 0;
        std::size_t n = 0;
        std::vector<std::uint16_t> ranks;
        for (auto const & e : std::span{found.sentences}.subspan(human.first_row[d], human.documents[d].count)) {
            if (!e.scored)
                continue;
            ++n;
            score += e.evidence;
            hits += e.evidence == 1 ? 1 : 0;
            ranks.push_back(static_cast<std::uint16_t>(e.step.rank));
            if (n <= s.longest && !(keyed && !s.key))
                model.conformal.add(n, score);
        }
        if (counts)
            counts->add(ranks);
        sum += score;
        scored += static_cast<double>(n);
    }
    if (scored == 0)
        throw lathe::mismatch_error{where.documents + ": no two sentences in a row to calibrate on"};
    model.human_rate = sum / scored;
    model.human_share = hits / scored;
    model.conformal_keyed = s.key.has_value();
    if (counts) {
        model.independent = counts->independent();
        model.markov = counts->markov();
    }
    // Not with the key, which the file must not hold.
    auto const from =
        provenance({{"command", "watermark calibrate"},
                    {"method", name_of(m.method)},
                    {"options", {{"fit_share", s.fit_share}, {"longest", s.longest}}},
                    {"embedder", name_of(model.embedder)}},
                   how, {{"documents", where.documents}, {"lengths", where.lengths}, {"centres", s.centres}});
    save_model(model, s.output, metadata_of(from));

    if (how.json) {
        auto lengths = json::array();
        for (auto const n : model.conformal.lengths())
            lengths.push_back({{"sentences", n}, {"documents", model.conformal.scores(n).size()}});
        print_json({{"lathe", version()},
                    {"command", "watermark calibrate"},
                    {"documents", where.documents},
                    {"output", s.output},
                    {"method", to_json(m)},
                    {"embedder", name_of(model.embedder)},
                    {"backend", how.backend},
                    {"fitted_on", model.fitted_on},
                    {"calibrated_on", model.calibrated_on},
                    {"sentences", docs.first_row.back()},
                    {"provenance", from},
                    {"human_rate", model.human_rate},
                    {"ranks", model.independent.initial},
                    {"conformal", std::move(lengths)}});
    } else if (!how.quiet) {
        auto text = s.output + ": " + std::string{name_of(m.method)} + ", fitted on " + std::to_string(model.fitted_on)
                    + " documents, calibrated on " + std::to_string(model.calibrated_on) + " others\n";
        text += "evidence of a sentence that a person wrote: " + short_number(model.human_rate) + "\n";
        if (model.ranks()) {
            text += "ranks of human sentences:";
            for (auto const q : model.independent.initial)
                text += " " + short_number(q);
            text += "\n";
        }
        print(text);
    }
    return 0;
}

// ---- detect ---------------------------------------------------------------------------------------------------------

/// Texts must be embedded as those of the calibration were.
void expect_same_embedder(watermark_model const & model, document_settings const & where) {
    if (!names_embeddings(where.documents) && model.embedder != where.embedder
        && model.embedder != embedder_choice::file)
        throw usage_error{"--embedder: found " + std::string{name_of(where.embedder)} + ", expected "
                          + std::string{name_of(model.embedder)} + ", which the watermark was calibrated with"};
}
void expect_same_dimension(watermark_model const & model, document_settings const & where,
                           embedded_documents const & docs) {
    if (docs.first_row.back() != 0 && docs.dimension != model.dimension)
        throw lathe::mismatch_error{where.documents + ": embeddings of " + std::to_string(docs.dimension)
                                    + " dimensions, expected " + std::to_string(model.dimension)
                                    + ", as the watermark was calibrated with"};
}

json provenance_of(std::string_view command, document_settings const & where, model_settings const & m,
                   run_settings const & how, std::vector<named_inputs> const & more) {
    std::vector<named_inputs> inputs{
        {"documents", where.documents}, {"lengths", where.lengths}, {"watermark", m.watermark}};
    inputs.insert(inputs.end(), more.begin(), more.end());
    return provenance({{"command", command}, {"options", {{"prompt_sentences", m.prompt_sentences}}}}, how, inputs);
}

struct judged_documents {
    std::vector<judgement> documents;
    watermark::detection_result found;
};
any_partition partition_of(watermark_model const & model, model_settings const & s) {
    if (model.conformal_keyed && !s.key && model.method.method == watermark_method::keyed_cohemark)
        throw usage_error{"--key: found nothing, expected the key that the scores were calibrated for"};
    return model.partition(s.key);
}
judged_documents judge_documents(watermark_model const & model, any_partition const & partition,
                                 embedded_documents const & docs, model_settings const & s, double rate,
                                 run_settings const & how) {
    judged_documents all;
    all.found = detect_rows(docs, partition, s.prompt_sentences, watermark::repeated_draws::counted, how);
    std::vector<double> key_p(docs.documents.size(), std::nan(""));
    if (model.keyed()) {
        auto const once = detect_rows(docs, partition, s.prompt_sentences, watermark::repeated_draws::once, how);
        for (std::size_t d = 0; d != key_p.size(); ++d)
            key_p[d] = once.documents[d].null.p;
    }
    judge const judged(model, rate);
    for (std::size_t d = 0; d != docs.documents.size(); ++d)
        all.documents.push_back(
            judged(all.found.documents[d], key_p[d],
                   std::span{all.found.sentences}.subspan(docs.first_row[d], docs.documents[d].count)));
    return all;
}
bool decides(judgement const & j, evidence_kind kind, double rate) {
    return kind == evidence_kind::published ? j.published : j.p_value(kind) <= rate;
}

shown_document show(document const & d, judgement const & j, bool marked, watermark_model const & model,
                    std::span<watermark::sentence_evidence const> sentences) {
    shown_document shown{d.id, marked, {}, {}};
    shown.verdict = short_number(j.score.score) + " of " + std::to_string(j.score.scored) + " sentences";
    if (j.score.scored != 0) {
        shown.verdict += std::string{", "} + (model.ranks() ? "ratio " : "z ") + short_number(j.statistic);
        if (j.conformal_length != 0)
            shown.verdict +=
                ", conformal p " + short_number(j.conformal)
                + (j.conformal_length < j.score.scored ? " (of the first " + std::to_string(j.conformal_length) + ")"
                                                       : "");
        for (auto const & [name, p] : {std::pair{"independent", j.independent}, {"Markov", j.markov}, {"key", j.key}})
            if (std::isfinite(p))
                shown.verdict += std::string{", "} + name + " p " + short_number(p);
    }
    std::size_t judged = 0;
    for (std::size_t i = 0; i != d.count; ++i) {
        auto const & e = sentences[i];
        shown_sentence line;
        line.text = d.text.empty() ? "sentence " + std::to_string(i) : std::string{d.sentence(i)};
        line.kind = !e.scored ? sentence_kind::apart : e.evidence >= 0.5 ? sentence_kind::hit : sentence_kind::miss;
        if (!e.scored)
            line.note = "prompt";
        else {
            line.note = model.ranks() ? "rank " + std::to_string(e.step.rank) + (e.step.mode == 1 ? ", relief" : "")
                        : model.method.method == watermark_method::simmark
                            ? "evidence " + short_number(e.evidence)
                            : "region " + std::to_string(e.step.region.value_or(0));
            if (judged < j.sequential.size())
                line.note += ", evidence so far " + short_number(j.sequential[judged]);
            ++judged;
        }
        shown.sentences.push_back(std::move(line));
    }
    return shown;
}

/// One document's result, as JSON.
json result_of(watermark_model const & model, document const & d, bool text, bool marked, judgement const & j,
               std::span<watermark::sentence_evidence const> evidence) {
    auto sentences = json::array();
    std::size_t judged = 0;
    for (std::size_t i = 0; i != d.count; ++i) {
        auto const & e = evidence[i];
        json line{{"scored", e.scored},
                  {"evidence", e.evidence},
                  {"region", e.step.region ? json(*e.step.region) : json(nullptr)}};
        if (model.ranks())
            line.update({{"rank", e.step.rank}, {"mode", e.step.mode == 1 ? "relief" : "primary"}});
        if (text)
            line.update({{"first", d.sentences[i].first}, {"length", d.sentences[i].length}});
        if (e.scored && judged < j.sequential.size())
            line["sequential"] = number_or_null(j.sequential[judged++]);
        sentences.push_back(std::move(line));
    }
    return {{"id", d.id},
            {"watermarked", marked},
            {"sentences", j.score.sentences},
            {"scored", j.score.scored},
            {"score", j.score.score},
            {"ratio", number_or_null(j.score.ratio)},
            {"statistic", number_or_null(j.statistic)},
            {"published", j.published},
            {"p",
             {{"conformal", j.conformal_length == 0 ? json(nullptr) : json(j.conformal)},
              {"conformal_sentences", j.conformal_length},
              {"independent", number_or_null(j.independent)},
              {"markov", number_or_null(j.markov)},
              {"key", number_or_null(j.key)}}},
            {"evidence", std::move(sentences)}};
}

/// Documents are judged, and results written, a few at a time.
int detect(document_settings const & where, model_settings const & m, detect_settings const & s,
           run_settings const & how) {
    auto const model = load_model(m.watermark);
    auto const kind = s.decide.value_or(
        model.method.method == watermark_method::keyed_cohemark ? evidence_kind::key : evidence_kind::conformal);
    judge const checked(model, s.rate); // before anything is read
    checked.expect(kind);
    expect_same_embedder(model, where);
    static_cast<void>(watermark_functions_of(how));
    auto const partition = partition_of(model, m);
    if (!s.html.empty())
        report_abandoned(s.html, false, how.quiet);
    catch_interrupts(s.html.empty() ? fs::path{} : lathe::io::folder_of(s.html));
    auto within = how;
    within.quiet = true; // one bar for all
    document_stream documents(where, within);
    auto const about =
        std::string{name_of(model.method.method)} + "; a document is called marked by "
        + (kind == evidence_kind::published ? "the published threshold, " + short_number(checked.threshold())
                                            : std::string{name_of(kind)} + " p at most " + short_number(s.rate))
        + "; calibrated on " + std::to_string(model.calibrated_on) + " human documents";
    std::optional<evidence_page> page;
    if (!s.html.empty())
        page.emplace(s.html, "Watermark", about);
    json head;
    if (how.json)
        head = {{"lathe", version()},
                {"command", "watermark detect"},
                {"documents", where.documents},
                {"watermark", m.watermark},
                {"method", to_json(model.method)},
                {"decided_by", name_of(kind)},
                {"rate", s.rate},
                {"backend", how.backend},
                {"provenance", provenance_of("watermark detect", where, m, how, {})},
                {"results", json::array()}};
    std::optional<printed_list> list;
    bool const wants_text = !how.json && !how.quiet, colours = colours_wanted();
    progress_bar bar("watermark", documents.bytes(), how.quiet);
    std::size_t done = 0;
    bool printed = false;
    try {
        for (auto docs = documents.next(); !docs.documents.empty(); docs = documents.next()) {
            expect_same_dimension(model, where, docs);
            auto const all = judge_documents(model, partition, docs, m, s.rate, within);
            if (interrupt_token{}.stop_requested())
                throw interrupted{};
            bar.clear();
            if (how.json && !list)
                list.emplace(head, "results");
            std::vector<shown_document> shown;
            for (std::size_t d = 0; d != docs.documents.size(); ++d) {
                auto const & j = all.documents[d];
                auto const evidence =
                    std::span{all.found.sentences}.subspan(docs.first_row[d], docs.documents[d].count);
                bool const marked = decides(j, kind, s.rate);
                if (page || wants_text)
                    shown.push_back(show(docs.documents[d], j, marked, model, evidence));
                if (list)
                    list->add(result_of(model, docs.documents[d], docs.texts, marked, j, evidence));
            }
            if (page)
                page->add(shown);
            if (wants_text)
                print(evidence_text(shown, colours));
            printed = how.json || wants_text;
            done += docs.documents.size();
            bar({done, documents.documents(), std::nan(""), std::nan("")});
        }
    } catch (interrupted const &) {
        throw interrupted{printed ? "the results that were printed are not all" : "nothing was written"};
    }
    bar.clear();
    if (how.json && !list)
        list.emplace(head, "results");
    if (page)
        page->finish();
    if (list)
        list->finish();
    return 0;
}

// ---- sample ---------------------------------------------------------------------------------------------------------

watermark::sampling_options sampling_of(watermark_model const & model, sample_settings const & s) {
    watermark::sampling_options o;
    switch (model.method.method) {
    case watermark_method::cohemark:
    case watermark_method::keyed_cohemark: o = watermark::cohemark_sampling(); break;
    case watermark_method::semstamp: o = watermark::semstamp_sampling(); break;
    case watermark_method::k_semstamp: o = watermark::k_semstamp_sampling(); break;
    case watermark_method::simmark: o = watermark::simmark_sampling(); break;
    case watermark_method::hammingmark: o = watermark::hammingmark_sampling(); break;
    }
    o.max_trials = s.max_trials.value_or(o.max_trials);
    o.at_budget = s.at_budget.value_or(o.at_budget);
    o.margin = s.margin.value_or(o.margin);
    o.max_sentences = s.sentences;
    o.batch = s.batch;
    watermark::validate(o);
    lathe::expects_option(s.sentences != 0, "sentences", "0", "at least 1");
    return o;
}

/// Embeddings of texts, kept.
class kept_embeddings {
    document_settings const & where_;
    run_settings const & how_;
    std::map<std::string, std::vector<float>, std::less<>> rows_;
    std::size_t dimension_ = 0;

public:
    kept_embeddings(document_settings const & where, run_settings const & how) : where_{where}, how_{how} {}
    void keep(embedded_documents const & docs) {
        dimension_ = docs.dimension;
        for (std::size_t d = 0; d != docs.documents.size(); ++d)
            for (std::size_t i = 0; i != docs.documents[d].count; ++i) {
                auto const row = docs.of(d).subspan(i * docs.dimension, docs.dimension);
                rows_.emplace(docs.documents[d].sentence(i), std::vector<float>(row.begin(), row.end()));
            }
    }
    lathe::evaluate::embedding_table operator()(std::span<std::string const> texts) {
        std::vector<document> missing;
        for (auto const & t : texts)
            if (!rows_.contains(t))
                missing.push_back(document_of("", {&t, 1}));
        if (!missing.empty())
            keep(embed_documents(std::move(missing), where_, how_));
        lathe::evaluate::embedding_table table{dimension_, {}};
        for (auto const & t : texts) {
            auto const & row = rows_.find(t)->second;
            table.values.insert(table.values.end(), row.begin(), row.end());
        }
        return table;
    }
    std::vector<float> row(std::string const & text) { return (*this)({&text, 1}).values; }
};

/// Candidates from a program: {"prompt", "sentences", "count"} on a line, answered by {"candidates": [...]}, each a
/// text or
/// {"text", "tokens"}; no candidates end the text.
sentence_proposals proposals_of(lathe::io::line_process & process) {
    return [&process](watermark::sampling_context const & context, std::size_t count) {
        json const question{{"prompt", context.prompt},
                            {"sentences", std::vector<std::string>(context.sentences.begin(), context.sentences.end())},
                            {"count", count}};
        auto const label = std::string{"--process: its answer"};
        auto const answer = parse_json_text(process.ask(question.dump()), label);
        auto const list = answer.is_object() ? answer.find("candidates") : answer.end();
        if (!answer.is_object() || list == answer.end() || !list->is_array())
            lathe::io::reject(label, "JSON", lathe::reflect::shown(answer), "an object with a list 'candidates'");
        if (list->size() > count)
            lathe::io::reject(label, "candidates", std::to_string(list->size()), "at most " + std::to_string(count));
        std::vector<watermark::proposal> all;
        for (auto const & c : *list) {
            auto const text = c.is_object() ? c.find("text") : c.end();
            auto const & value = c.is_object() && text != c.end() ? *text : c;
            if (!value.is_string())
                lathe::io::reject(label, "candidate", lathe::reflect::shown(c), "a text, or an object with 'text'");
            watermark::proposal p{value.get<std::string>(), 0};
            p.tokens = lathe::words_of(p.text).size();
            if (c.is_object() && c.contains("tokens")) {
                if (!c["tokens"].is_number_unsigned())
                    lathe::io::reject(label, "tokens", lathe::reflect::shown(c["tokens"]), "an integer not below 0");
                p.tokens = c["tokens"].get<std::size_t>();
            }
            all.push_back(std::move(p));
        }
        return all;
    };
}

int sample(document_settings const & where, model_settings const & m, sample_settings const & s,
           run_settings const & how) {
    if (fs::path{s.output}.extension() != ".jsonl")
        throw usage_error{"--output: found '" + s.output + "', expected a name that ends in .jsonl"};
    if (s.corpus.has_value() == s.process.has_value())
        throw usage_error{std::string{"--corpus, --process: found "} + (s.corpus ? "both" : "neither")
                          + ", expected one"};
    auto const model = load_model(m.watermark);
    auto const partition = model.partition(m.key);
    auto const options = sampling_of(model, s);
    expect_same_embedder(model, where);
    lathe::expects_option(m.prompt_sentences != 0, "prompt_sentences", "0", "at least 1");
    auto const run = watermark_functions_of(how);
    report_abandoned(s.output, s.process.has_value(), how.quiet);
    catch_interrupts(lathe::io::folder_of(s.output));
    if (model.embedder == embedder_choice::file)
        throw usage_error{
            "--watermark: found one that was calibrated on embeddings, expected one of texts to sample with"};

    auto texts = read_texts(where);
    std::vector<std::string> ids, prompts;
    std::vector<document> prompt_documents;
    for (auto const & d : texts)
        if (d.count != 0) {
            auto const last = d.sentences[std::min(m.prompt_sentences, d.count) - 1];
            auto const first = d.sentences.front().first;
            ids.push_back(d.id);
            prompts.push_back(d.text.substr(first, last.first + last.length - first));
            prompt_documents.push_back(document_of(d.id, {&prompts.back(), 1}));
        }
    if (prompts.empty())
        throw lathe::mismatch_error{where.documents + ": no prompts"};
    kept_embeddings embed(where, how);
    auto const prompt_rows = embed_documents(std::move(prompt_documents), where, how);
    expect_same_dimension(model, where, prompt_rows);
    embed.keep(prompt_rows);

    embedded_documents corpus;
    std::optional<corpus_sampler> from_corpus;
    std::optional<lathe::io::line_process> process;
    if (s.corpus) {
        auto corpus_where = where;
        corpus_where.documents = *s.corpus;
        corpus = embed_documents(read_texts(corpus_where), corpus_where, how);
        embed.keep(corpus);
        from_corpus.emplace(corpus, corpus_settings{s.temperature});
    } else
        process.emplace(lathe::io::line_process_options{.shell = *s.process, .timeout = s.timeout},
                        [] { return interrupt_token{}.stop_requested(); });

    watermark::sentence_check const whole = [](std::string const & text) {
        return watermark::ends_as_sentence(text) && sentences_of(text).size() == 1;
    };
    lathe::io::staged_file out(s.output, false);
    std::uint64_t written = 0;
    std::size_t at = 0, accepted = 0, admitted = 0, looked_at = 0;
    std::map<std::string, std::size_t> ends;
    progress_bar bar("sample", prompts.size(), how.quiet);
    std::function<std::optional<sampling_request>()> const next = [&]() -> std::optional<sampling_request> {
        if (at == prompts.size())
            return std::nullopt;
        bar({at, prompts.size(), std::nan(""), std::nan("")});
        return sampling_request{prompts[at],
                                process ? proposals_of(*process) : from_corpus->source([&](std::string const & t) {
            return embed.row(t);
        }, how.seed.value_or(0), static_cast<std::uint32_t>(at))};
    };
    run.sample({how.threads, backend_choice{how.backend}.device, bar}, partition, next,
               [&](std::span<std::string const> all) { return embed(all); }, options, whole,
               [&](watermark::sampling_result && r) {
        std::vector<std::string> sentences{prompts[at]};
        auto trials = json::array();
        for (auto const & sentence : r.sentences) {
            sentences.push_back(sentence.text);
            trials.push_back(sentence.trials);
            admitted += sentence.admitted ? 1u : 0u;
        }
        accepted += r.sentences.size();
        looked_at += r.trace.size();
        ++ends[std::string{name_of(r.end)}];
        auto const line = json{{"id", ids[at]},
                               {"text", document_of("", sentences).text},
                               {"sentences", sentences},
                               {"end", name_of(r.end)},
                               {"trials", std::move(trials)}}
                              .dump(-1, ' ', false, json::error_handler_t::replace)
                          + "\n";
        out.write(std::as_bytes(std::span{line}), written);
        written += line.size();
        ++at;
    });
    out.close();
    out.publish();
    bar.clear();
    auto const per_sentence =
        accepted == 0 ? std::nan("") : static_cast<double>(looked_at) / static_cast<double>(accepted);
    if (how.json)
        print_json({{"lathe", version()},
                    {"command", "watermark sample"},
                    {"documents", where.documents},
                    {"watermark", m.watermark},
                    {"output", s.output},
                    {"backend", how.backend},
                    {"provenance", provenance_of("watermark sample", where, m, how, {{"corpus", s.corpus}})},
                    {"texts", prompts.size()},
                    {"sentences", accepted},
                    {"admitted", admitted},
                    {"candidates", looked_at},
                    {"candidates_per_sentence", number_or_null(per_sentence)},
                    {"ends", ends}});
    else if (!how.quiet)
        print(s.output + ": " + std::to_string(prompts.size()) + " texts, " + std::to_string(accepted) + " sentences, "
              + std::to_string(accepted - admitted) + " of them not admitted; " + short_number(per_sentence)
              + " candidates a sentence\n");
    return 0;
}

// ---- evaluate -------------------------------------------------------------------------------------------------------

enum class attack_kind : unsigned char {
    none,
    word_deletion,
    truncation,
    sentence_deletion,
    sentence_swap,
    copy_paste
};
struct attack {
    attack_kind kind = attack_kind::none;
    double rate = 0;
    [[nodiscard]] std::string name() const {
        return kind == attack_kind::none ? "none" : std::string{name_of(kind)} + " " + short_number(rate);
    }
};
attack parse_attack(std::string const & text) {
    auto const colon = std::min(text.find(':'), text.size());
    auto const kind = lathe::reflect::enumerator_named<attack_kind>(text.substr(0, colon));
    auto const rate = lathe::parse_decimal(std::string_view{text}.substr(std::min(colon + 1, text.size())));
    if (!kind || *kind == attack_kind::none || !rate || !(*rate >= 0 && *rate < 1))
        throw usage_error{"--attack: found '" + text
                          + "', expected word_deletion, truncation, sentence_deletion, sentence_swap or copy_paste, a "
                            "colon and a rate from 0 to below 1"};
    return {*kind, *rate};
}

/// Rows of sentences that were chosen, of one document and, where some come from there, of another.
void append_document(embedded_documents & to, embedded_documents const & from, std::size_t d,
                     embedded_documents const & other, std::size_t o,
                     std::span<watermark::mixed_position const> positions) {
    std::vector<std::string> sentences;
    for (auto const & p : positions) {
        auto const & docs = p.from_other ? other : from;
        auto const which = p.from_other ? o : d;
        auto const row = docs.of(which).subspan(p.position * docs.dimension, docs.dimension);
        to.rows.insert(to.rows.end(), row.begin(), row.end());
        if (docs.texts)
            sentences.emplace_back(docs.documents[which].sentence(p.position));
    }
    auto made = document_of(from.documents[d].id, sentences);
    made.count = positions.size();
    to.documents.push_back(std::move(made));
    to.first_row.push_back(to.first_row.back() + positions.size());
}

embedded_documents attacked(embedded_documents const & marked, embedded_documents const & human, attack const & a,
                            document_settings const & where, run_settings const & how) {
    auto const seed_of = [&](std::size_t d) { return how.seed.value_or(0) * 0x9e3779b97f4a7c15u + d; };
    if (a.kind == attack_kind::none)
        return marked;
    if (a.kind == attack_kind::word_deletion || a.kind == attack_kind::truncation) {
        if (!marked.texts)
            throw usage_error{"--attack: found " + a.name() + " with embeddings, expected an attack on sentences"};
        std::vector<document> edited;
        for (std::size_t d = 0; d != marked.documents.size(); ++d) {
            auto const & text = marked.documents[d].text;
            auto const words = lathe::words_of(text).size();
            document made{
                marked.documents[d].id,
                a.kind == attack_kind::word_deletion
                    ? watermark::delete_words(text, a.rate, seed_of(d))
                    : std::string{watermark::first_words(
                          text, static_cast<std::size_t>(std::ceil((1 - a.rate) * static_cast<double>(words))))},
                {},
                0};
            made.sentences = sentences_of(made.text);
            made.count = made.sentences.size();
            edited.push_back(std::move(made));
        }
        return embed_documents(std::move(edited), where, how);
    }
    embedded_documents made;
    made.dimension = marked.dimension;
    made.texts = marked.texts;
    made.first_row.push_back(0);
    // A passage to paste into has to be long enough: documents of people, from one on, one after the other.
    for (std::size_t d = 0, o = 0; d != marked.documents.size(); ++d) {
        auto const n = marked.documents[d].count;
        std::vector<watermark::mixed_position> positions;
        auto const own = [&](std::vector<std::size_t> const & chosen) {
            for (auto const i : chosen)
                positions.push_back({false, i});
        };
        if (a.kind == attack_kind::sentence_deletion)
            own(watermark::surviving(n, a.rate, seed_of(d)));
        else if (a.kind == attack_kind::sentence_swap)
            own(watermark::swapped(n, a.rate, seed_of(d)));
        else if (n != 0) {
            auto const wanted = static_cast<std::size_t>(std::round(static_cast<double>(n) * a.rate / (1 - a.rate)));
            std::size_t tried = 0;
            while (tried != human.documents.size() && human.documents[o % human.documents.size()].count < wanted)
                ++o, ++tried;
            if (tried == human.documents.size())
                throw lathe::mismatch_error{"--attack: " + a.name() + " takes a human document of at least "
                                            + std::to_string(wanted) + " sentences, and there is none"};
            positions = watermark::copy_pasted(n, human.documents[o % human.documents.size()].count, seed_of(d),
                                               {.rate = a.rate});
        }
        append_document(made, marked, d, human, human.documents.empty() ? 0 : o++ % human.documents.size(), positions);
    }
    return made;
}

std::string percent(double v) {
    std::array<char, 16> text{};
    return {text.data(), static_cast<std::size_t>(std::snprintf(text.data(), text.size(), "%.1f", 100 * v))};
}
/// A cell of a table, and at least one space behind it.
std::string cell(std::string text, std::size_t width) {
    text.resize(std::max(width, text.size() + 1), ' ');
    return text;
}
json interval_of(watermark::interval const & i) { return json::array({i.low, i.high}); }

int evaluate_detection(document_settings const & where, model_settings const & m, evaluate_settings const & s,
                       run_settings const & how) {
    std::vector<attack> attacks{{}};
    for (auto const & text : s.attack)
        attacks.push_back(parse_attack(text));
    if (s.marked.empty())
        throw usage_error{"--marked: found nothing, expected documents with the watermark"};
    lathe::expects_option(s.level > 0 && s.level < 1, "level", std::to_string(s.level), "a number between 0 and 1");
    auto const model = load_model(m.watermark);
    auto const partition = partition_of(model, m);
    static_cast<void>(watermark_functions_of(how));
    expect_same_embedder(model, where);
    catch_interrupts();
    auto const human = read_documents(where, how);
    auto marked_where = where;
    marked_where.documents = s.marked;
    marked_where.lengths = s.marked_lengths;
    auto const marked = read_documents(marked_where, how);
    if (human.texts != marked.texts)
        throw usage_error{"--marked: found " + std::string{marked.texts ? "texts" : "embeddings"} + ", expected "
                          + (human.texts ? "texts" : "embeddings") + " as the human documents"};
    expect_same_dimension(model, where, human);
    expect_same_dimension(model, marked_where, marked);

    std::vector<evidence_kind> kinds{evidence_kind::published};
    if (model.method.method != watermark_method::keyed_cohemark)
        kinds.push_back(evidence_kind::independent);
    if (model.method.method == watermark_method::cohemark)
        kinds.push_back(evidence_kind::markov);
    if (!model.conformal.lengths().empty())
        kinds.push_back(evidence_kind::conformal);
    if (model.keyed())
        kinds.push_back(evidence_kind::key);
    constexpr double rates[] = {0.01, 0.05};
    constexpr std::size_t width = 24;
    auto const judged_human = judge_documents(model, partition, human, m, rates[0], how).documents;
    auto const scores_of = [](std::vector<judgement> const & all, evidence_kind kind) {
        std::vector<double> scores;
        for (auto const & j : all)
            if (j.score.scored != 0)
                scores.push_back(kind == evidence_kind::published ? j.statistic : -j.p_value(kind));
        return scores;
    };
    auto list = json::array();
    std::string text;
    double human_diversity = 0;
    for (auto const & d : human.documents)
        human_diversity += lathe::evaluate::log_diversity(d.text) / static_cast<double>(human.documents.size());
    for (auto const & a : attacks) {
        auto const docs = attacked(marked, human, a, where, how);
        auto const judged = judge_documents(model, partition, docs, m, rates[0], how).documents;
        json entry{{"attack", a.name()}};
        if (docs.texts && !docs.documents.empty()) {
            double diversity = 0, bleu = 0, rouge = 0;
            for (std::size_t d = 0; d != docs.documents.size(); ++d) {
                diversity += lathe::evaluate::log_diversity(docs.documents[d].text);
                bleu += lathe::evaluate::bleu(docs.documents[d].text, marked.documents[d].text).score;
                rouge += lathe::evaluate::rouge(docs.documents[d].text, marked.documents[d].text).rouge_l.f1;
            }
            auto const n = static_cast<double>(docs.documents.size());
            entry["quality"] = {{"log_diversity", diversity / n}, {"bleu", bleu / n}, {"rouge_l", rouge / n}};
        }
        text += (text.empty() ? "" : "\n") + std::string{"attack: "} + a.name();
        if (entry.contains("quality"))
            text += " (BLEU " + short_number(entry["quality"]["bleu"].get<double>()) + ", ROUGE-L "
                    + short_number(entry["quality"]["rouge_l"].get<double>()) + ")";
        text += "\n" + cell("detector", 13) + cell("AUC", width);
        for (auto const * const name :
             {"TPR at 1 % FPR, %", "found at 1 %, %", "found at 5 %, %", "false at 1 %, %", "false at 5 %, %"})
            text += cell(name, width);
        text += "\n";
        auto detectors = json::array();
        for (auto const kind : kinds) {
            auto const positive = scores_of(judged, kind), negative = scores_of(judged_human, kind);
            auto const auc = watermark::auc(positive, negative, s.level);
            json row{{"detector", name_of(kind)},
                     {"marked", positive.size()},
                     {"human", negative.size()},
                     {"auc", number_or_null(auc.auc)},
                     {"auc_interval", interval_of(auc.confidence)}};
            auto const shown = [&](double value, watermark::interval const & i) {
                return cell(percent(value) + " [" + percent(i.low) + ", " + percent(i.high) + "]", width);
            };
            auto line = cell(std::string{name_of(kind)}, 13)
                        + cell(short_number(auc.auc) + " [" + short_number(auc.confidence.low) + ", "
                                   + short_number(auc.confidence.high) + "]",
                               width);
            for (auto const bound : rates) {
                auto const at = watermark::tpr_at_fpr(positive, negative, bound, s.level);
                row[bound == rates[0] ? "tpr_at_fpr_1" : "tpr_at_fpr_5"] = {
                    {"tpr", number_or_null(at.tpr)},
                    {"interval", interval_of(at.tpr_confidence)},
                    {"fpr", number_or_null(at.fpr)},
                    {"threshold", number_or_null(at.threshold)}};
                if (bound == rates[0])
                    line += shown(at.tpr, at.tpr_confidence);
            }
            auto const counted = [&](std::vector<judgement> const & all, double rate, char const * name) {
                std::size_t hits = 0, n = 0;
                for (auto const & j : all)
                    if (j.score.scored != 0) {
                        ++n;
                        hits += decides(j, kind, rate) ? 1u : 0u;
                    }
                auto const i = watermark::clopper_pearson(hits, n, s.level);
                auto const share = n == 0 ? std::nan("") : static_cast<double>(hits) / static_cast<double>(n);
                row[name].push_back({{"nominal", kind == evidence_kind::published ? json(nullptr) : json(rate)},
                                     {"rate", number_or_null(share)},
                                     {"interval", interval_of(i)}});
                line += shown(share, i);
            };
            for (auto const rate : rates)
                counted(judged, rate, "found");
            for (auto const rate : rates)
                counted(judged_human, rate, "false_positives");
            text += line + "\n";
            detectors.push_back(std::move(row));
        }
        entry["detectors"] = std::move(detectors);
        list.push_back(std::move(entry));
    }
    if (how.json)
        print_json({{"lathe", version()},
                    {"command", "watermark evaluate"},
                    {"human", where.documents},
                    {"marked", s.marked},
                    {"watermark", m.watermark},
                    {"method", to_json(model.method)},
                    {"level", s.level},
                    {"backend", how.backend},
                    {"provenance", provenance_of("watermark evaluate", where, m, how,
                                                 {{"marked", s.marked}, {"marked_lengths", s.marked_lengths}})},
                    {"human_log_diversity", human.texts ? number_or_null(human_diversity) : json(nullptr)},
                    {"attacks", std::move(list)}});
    else if (!how.quiet)
        print(std::string{name_of(model.method.method)} + ": " + std::to_string(marked.documents.size())
              + " marked and " + std::to_string(human.documents.size()) + " human documents; intervals of "
              + percent(s.level) + " %\n\n" + text);
    return 0;
}

// ---- the command line -----------------------------------------------------------------------------------------------

struct watermark_flags {
    option_flags documents, method, model, settings, run;
};

} // namespace

action add_watermark(CLI::App & app) {
    auto & sub = *app.add_subcommand("watermark", "Mark texts sentence by sentence, and find marks");
    static constexpr spelling spellings[] = {{"documents", "documents"}, {"output", "-o,--output"}};
    auto const make = [&](std::string const & name, std::string const & about) {
        auto & command = *sub.add_subcommand(name, about);
        auto flags = std::make_shared<watermark_flags>();
        flags->documents.add(command, "Documents", describe<document_settings>(), {.spellings = spellings});
        command.allow_extras();
        return std::pair{&command, flags};
    };
    auto const finish = [](CLI::App & command, watermark_flags & flags) {
        flags.run.add(command, "Running", describe<run_settings>());
        add_configuration(command, {{&flags.documents, &flags.model, &flags.settings}, {&flags.method}, &flags.run});
    };
    auto const [calibrate_command, calibrate_flags] =
        make("calibrate", "Fit a watermark and its p-values to documents that people wrote");
    calibrate_flags->method.add(*calibrate_command, "Watermark", describe<method_settings>());
    calibrate_flags->settings.add(*calibrate_command, "Calibration", describe<calibrate_settings>(),
                                  {.spellings = spellings});
    finish(*calibrate_command, *calibrate_flags);
    auto const [sample_command, sample_flags] = make("sample", "Marked continuations of prompts");
    sample_flags->model.add(*sample_command, "Watermark", describe<model_settings>());
    sample_flags->settings.add(*sample_command, "Sampling", describe<sample_settings>(), {.spellings = spellings});
    finish(*sample_command, *sample_flags);
    auto const [detect_command, detect_flags] = make("detect", "Find marked documents, with what each sentence says");
    detect_flags->model.add(*detect_command, "Watermark", describe<model_settings>());
    detect_flags->settings.add(*detect_command, "Detection", describe<detect_settings>());
    finish(*detect_command, *detect_flags);
    auto const [evaluate_command, evaluate_flags] =
        make("evaluate", "How well marked and human documents are told apart, before and after attacks");
    evaluate_flags->model.add(*evaluate_command, "Watermark", describe<model_settings>());
    evaluate_flags->settings.add(*evaluate_command, "Evaluation", describe<evaluate_settings>());
    finish(*evaluate_command, *evaluate_flags);
    auto tokens = add_token_detection(sub);
    sub.allow_extras();

    return [&sub, tokens, c = calibrate_command, cf = calibrate_flags, s = sample_command, sf = sample_flags,
            d = detect_command, df = detect_flags, e = evaluate_command, ef = evaluate_flags] {
        using lathe::reflect::options_from;
        auto const start = [](CLI::App const & command, watermark_flags const & flags) {
            expect_nothing_left(command);
            return std::pair{options_from<document_settings>(flags.documents.given()),
                             options_from<run_settings>(flags.run.given())};
        };
        if (c->parsed()) {
            auto const [where, how] = start(*c, *cf);
            return calibrate(where, options_from<method_settings>(cf->method.given()),
                             options_from<calibrate_settings>(cf->settings.given()), how);
        }
        if (s->parsed()) {
            auto const [where, how] = start(*s, *sf);
            return sample(where, options_from<model_settings>(sf->model.given()),
                          options_from<sample_settings>(sf->settings.given()), how);
        }
        if (d->parsed()) {
            auto const [where, how] = start(*d, *df);
            return detect(where, options_from<model_settings>(df->model.given()),
                          options_from<detect_settings>(df->settings.given()), how);
        }
        if (e->parsed()) {
            auto const [where, how] = start(*e, *ef);
            return evaluate_detection(where, options_from<model_settings>(ef->model.given()),
                                      options_from<evaluate_settings>(ef->settings.given()), how);
        }
        if (auto const status = tokens())
            return *status;
        expect_nothing_left(sub);
        throw usage_error{
            "watermark: no command; known: calibrate, sample, detect, evaluate, tokens; see lathe watermark --help"};
    };
}

} // namespace lathe_cli
