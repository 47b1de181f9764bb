#include "watermark_model.hpp"

#include <cstring>

namespace lathe_cli {

namespace watermark = lathe::watermark;
using lathe::reflect::name_of;

any_partition watermark_model::partition(std::optional<std::uint64_t> key) const {
    auto const & m = method;
    auto const refuse_key = [&] {
        if (key)
            throw usage_error{"--key: found with " + std::string{name_of(m.method)}
                              + ", which has none; expected keyed_cohemark, semstamp or k_semstamp"};
    };
    watermark::semstamp_options stamp{.rate = m.gamma, .prime = key.value_or(watermark::semstamp_options{}.prime)};
    switch (m.method) {
    case watermark_method::cohemark:
        refuse_key();
        return watermark::cohemark(vectors, m.clusters, {.fuzzifier = m.fuzzifier});
    case watermark_method::keyed_cohemark:
        if (!key)
            throw usage_error{"--key: found nothing, expected the key of keyed_cohemark, a number"};
        return watermark::keyed_cohemark(vectors, m.clusters,
                                         {.key = *key, .input = m.keyed_input, .fuzzifier = m.fuzzifier});
    case watermark_method::semstamp: return watermark::semstamp(vectors, *m.bits, stamp);
    case watermark_method::k_semstamp: return watermark::k_semstamp(vectors, m.clusters, stamp);
    case watermark_method::simmark:
        refuse_key();
        return watermark::simmark(dimension, {.low = m.low.value_or(watermark::simmark_options{}.low),
                                              .high = m.high.value_or(watermark::simmark_options{}.high),
                                              .decay = m.decay});
    case watermark_method::hammingmark: break;
    }
    refuse_key();
    return watermark::hammingmark(vectors, *m.bits, {.radius = m.radius.value_or(0)});
}

// ---- the file -------------------------------------------------------------------------------------------------------

void save_model(watermark_model const & model, std::string const & path,
                std::map<std::string, std::string> const & more) {
    json const about{{"version", 1},
                     {"method", lathe::reflect::to_json(model.method)},
                     {"embedder", name_of(model.embedder)},
                     {"dimension", model.dimension},
                     {"human_rate", model.human_rate},
                     {"human_share", model.human_share},
                     {"conformal_keyed", model.conformal_keyed},
                     {"fitted_on", model.fitted_on},
                     {"calibrated_on", model.calibrated_on}};
    lathe::memory_checkpoint file(path);
    file.begin({}, {{"lathe_watermark", about.dump()}});
    auto const set = [&](std::string name, lathe::shape extents, std::vector<double> const & values) {
        if (!values.empty())
            file.set<double>(std::move(name), std::move(extents), values);
    };
    if (model.dimension != 0)
        set("vectors", {model.vectors.size() / model.dimension, model.dimension}, model.vectors);
    set("independent", {model.independent.initial.size()}, model.independent.initial);
    set("markov_initial", {model.markov.initial.size()}, model.markov.initial);
    auto const k = model.markov.initial.size();
    set("markov_transitions", {k, k}, model.markov.transitions);
    std::vector<std::int64_t> lengths;
    std::vector<double> scores;
    for (auto const n : model.conformal.lengths())
        for (auto const s : model.conformal.scores(n)) {
            lengths.push_back(static_cast<std::int64_t>(n));
            scores.push_back(s);
        }
    if (!scores.empty()) {
        file.set({"conformal_lengths", lathe::dtype::i64, {lengths.size()}}, std::as_bytes(std::span{lengths}));
        set("conformal_scores", {scores.size()}, scores);
    }
    lathe::io::write_options how;
    how.metadata = more;
    lathe::io::save(file, path, how);
}

namespace {

class model_reader {
    std::string path_;
    input file_;
    json about_;

    [[noreturn]] void reject(std::string_view field, std::string_view found, std::string_view expected) const {
        lathe::io::reject(path_, field, found, expected);
    }
    json const & member(char const * name) const {
        auto const at = about_.find(name);
        if (at == about_.end())
            reject("model", "no '" + std::string{name} + "'", "one");
        return *at;
    }
    [[nodiscard]] double number(char const * name) const {
        auto const & j = member(name);
        if (!j.is_number() || !std::isfinite(j.get<double>()))
            reject(name, lathe::reflect::shown(j), "a number");
        return j.get<double>();
    }
    [[nodiscard]] std::size_t count(char const * name) const {
        auto const & j = member(name);
        if (!j.is_number_unsigned())
            reject(name, lathe::reflect::shown(j), "an integer not below 0");
        return j.get<std::size_t>();
    }
    /// Numbers of a tensor, in as many elements as the shape says; none if it is not there and may be left out.
    std::vector<double> numbers(char const * name, lathe::shape const & extents, bool needed) {
        auto const at = file_.file->find(name);
        if (!at) {
            if (needed)
                reject("tensors", "no '" + std::string{name} + "'", "one");
            return {};
        }
        auto const & info = file_.file->tensors()[*at];
        if (info.type != lathe::dtype::f64 || info.extents != extents)
            reject(name, std::string{name_of(info.type)} + " of shape " + lathe::to_string(info.extents),
                   "F64 of shape " + lathe::to_string(extents));
        std::vector<double> values(info.count());
        lathe::window_buffer buffer;
        lathe::host::load(info.type, file_.file->read(*at, 0, info.bytes(), buffer).data(), values.size(),
                          values.data());
        for (auto const v : values)
            if (!std::isfinite(v))
                reject(name, std::to_string(v), "finite numbers");
        return values;
    }
    std::size_t elements(char const * name) const {
        auto const at = file_.file->find(name);
        return at ? file_.file->tensors()[*at].count() : 0;
    }

public:
    explicit model_reader(std::string const & path) : path_{path}, file_{open_input(path)} {
        auto const & metadata = file_.file->metadata();
        auto const at = metadata.find("lathe_watermark");
        if (at == metadata.end())
            reject("metadata", "no 'lathe_watermark'", "a model that lathe watermark calibrate wrote");
        about_ = parse_json_text(at->second, path + ": lathe_watermark");
        if (!about_.is_object())
            reject("lathe_watermark", about_.type_name(), "an object");
        if (count("version") != 1)
            reject("version", std::to_string(count("version")), "1");
    }
    watermark_model read() {
        watermark_model m;
        m.method = lathe::reflect::options_from<method_settings>(member("method"));
        auto const & embedder = member("embedder");
        auto const known = embedder.is_string()
                               ? lathe::reflect::enumerator_named<embedder_choice>(embedder.get<std::string>())
                               : std::nullopt;
        if (!known)
            reject("embedder", lathe::reflect::shown(embedder), "file, hashing or minilm");
        m.embedder = *known;
        m.dimension = count("dimension");
        m.human_rate = number("human_rate");
        m.human_share = number("human_share");
        for (auto const & [name, share] : {std::pair{"human_rate", m.human_rate}, {"human_share", m.human_share}})
            if (share < 0 || share > 1)
                reject(name, std::to_string(share), "a number from 0 to 1");
        auto const & keyed = member("conformal_keyed");
        if (!keyed.is_boolean())
            reject("conformal_keyed", lathe::reflect::shown(keyed), "true or false");
        m.conformal_keyed = keyed.get<bool>();
        m.fitted_on = count("fitted_on");
        m.calibrated_on = count("calibrated_on");
        if (m.dimension == 0)
            reject("dimension", "0", "at least 1");
        bool const bits =
            m.method.method == watermark_method::semstamp || m.method.method == watermark_method::hammingmark;
        if (bits && !m.method.bits)
            reject("bits", "nothing", "a number");
        if (m.method.method != watermark_method::simmark)
            m.vectors = numbers("vectors", {bits ? *m.method.bits : m.method.clusters, m.dimension}, true);
        if (m.ranks()) {
            auto const k = m.method.clusters;
            m.independent.initial = numbers("independent", {k}, true);
            m.markov.initial = numbers("markov_initial", {k}, true);
            m.markov.transitions = numbers("markov_transitions", {k, k}, true);
            watermark::validate(m.independent, k);
            watermark::validate(m.markov, k);
        }
        auto const n = elements("conformal_scores");
        auto const scores = numbers("conformal_scores", {n}, n != 0);
        if (n == 0)
            return m;
        auto const at = file_.file->find("conformal_lengths");
        if (!at || file_.file->tensors()[*at].type != lathe::dtype::i64
            || file_.file->tensors()[*at].extents != lathe::shape{n})
            reject("conformal_lengths", at ? "another type or shape" : "nothing",
                   "I64 of shape " + lathe::to_string(lathe::shape{n}));
        lathe::window_buffer buffer;
        auto const bytes = file_.file->read(*at, 0, n * sizeof(std::int64_t), buffer);
        for (std::size_t i = 0; i != n; ++i) {
            std::int64_t length = 0;
            std::memcpy(&length, bytes.data() + i * sizeof length, sizeof length);
            if (length < 1)
                reject("conformal_lengths", std::to_string(length), "numbers of sentences");
            m.conformal.add(static_cast<std::size_t>(length), scores[i]);
        }
        return m;
    }
};

} // namespace

watermark_model load_model(std::string const & path) {
    if (path.empty())
        throw usage_error{"--watermark: found nothing, expected a model that lathe watermark calibrate wrote"};
    try {
        auto model = model_reader(path).read();
        static_cast<void>(model.partition(
            model.method.method == watermark_method::keyed_cohemark ? std::optional<std::uint64_t>{0} : std::nullopt));
        return model;
    } catch (lathe::io_error const &) {
        throw;
    } catch (lathe::format_error const &) {
        throw;
    } catch (lathe::error const & e) { // an option or a shape that the file says
        throw lathe::format_error{path + ": " + e.what()};
    }
}

// ---- judging --------------------------------------------------------------------------------------------------------

double judgement::p_value(evidence_kind kind) const {
    switch (kind) {
    case evidence_kind::conformal: return conformal;
    case evidence_kind::independent: return independent;
    case evidence_kind::markov: return markov;
    case evidence_kind::key: return key;
    case evidence_kind::published: break;
    }
    return std::numeric_limits<double>::quiet_NaN();
}

judge::judge(watermark_model const & model, double rate) : model_{model}, rate_{rate} {
    lathe::expects_option(rate > 0 && rate < 1, "rate", std::to_string(rate), "a number between 0 and 1");
    if (model.ranks()) {
        watermark::rank_automaton const automaton(watermark::default_rank_rule(model.method.clusters),
                                                  model.method.clusters);
        independent_.emplace(automaton, model.independent);
        markov_.emplace(automaton, model.markov);
    }
    binomial_.emplace(model.human_rate);
}

double judge::threshold() const {
    switch (model_.method.method) {
    case watermark_method::cohemark:
    case watermark_method::keyed_cohemark: return 0.9;
    case watermark_method::semstamp:
    case watermark_method::k_semstamp: return 3; // MarkLLM's
    case watermark_method::simmark:
    case watermark_method::hammingmark: break;
    }
    return 2.326; // one per cent of a normal law: SimMark's scripts fall back on it
}

void judge::expect(evidence_kind kind) const {
    bool const chains = model_.method.method == watermark_method::cohemark;
    if ((kind == evidence_kind::markov && !chains) || (kind == evidence_kind::key && !model_.keyed()))
        throw usage_error{"--decide: found " + std::string{name_of(kind)} + ", expected published, conformal"
                          + (model_.method.method == watermark_method::keyed_cohemark ? "" : ", independent")
                          + (chains ? ", markov" : "") + (model_.keyed() ? ", key" : "") + " with "
                          + std::string{name_of(model_.method.method)}};
    if (kind == evidence_kind::independent && model_.method.method == watermark_method::keyed_cohemark)
        throw usage_error{"--decide: found independent, expected published, conformal or key with keyed_cohemark"};
}

judgement judge::operator()(watermark::document_score const & counted, double key_p,
                            std::span<watermark::sentence_evidence const> sentences) const {
    judgement j;
    j.score = counted;
    auto const nan = std::numeric_limits<double>::quiet_NaN();
    j.key = model_.keyed() && counted.scored != 0 ? key_p : nan;
    j.markov = j.independent = nan;
    if (counted.scored == 0) {
        j.statistic = nan;
        return j;
    }
    auto const n = counted.scored;
    switch (model_.method.method) {
    case watermark_method::cohemark:
    case watermark_method::keyed_cohemark: j.statistic = counted.ratio; break;
    case watermark_method::semstamp:
    case watermark_method::k_semstamp:
        j.statistic = watermark::binomial_null(model_.method.gamma)(n, counted.score).z;
        break;
    case watermark_method::simmark:
        j.statistic = watermark::simmark_null(model_.human_share)(n, counted.score).z;
        break;
    case watermark_method::hammingmark: j.statistic = (*binomial_)(n, counted.score).z; break;
    }
    j.published = j.statistic >= threshold();
    if (model_.method.method == watermark_method::cohemark) {
        j.independent = (*independent_)(n, counted.score).p;
        j.markov = (*markov_)(n, counted.score).p;
    } else if (model_.method.method == watermark_method::simmark)
        j.independent = watermark::simmark_null(model_.human_share)(n, counted.score).p;
    else if (model_.method.method != watermark_method::keyed_cohemark)
        j.independent = (*binomial_)(n, counted.score).p;

    // Scores of human texts are those of their beginnings: a longer document is judged by its own.
    auto const enough = static_cast<std::size_t>(std::ceil(1 / rate_)) - 1;
    std::size_t most = 0;
    for (auto const length : model_.conformal.lengths()) {
        auto const have = model_.conformal.scores(length).size();
        if (length <= n && (have >= enough || have >= most)) {
            j.conformal_length = length;
            most = std::min(have, enough);
        }
    }
    double score = 0;
    std::size_t seen = 0;
    bool const chains = model_.method.method == watermark_method::cohemark;
    watermark::sequential_evidence evidence;
    std::vector<std::uint16_t> ranks;
    for (auto const & s : sentences) {
        if (!s.scored)
            continue;
        if (seen++ < j.conformal_length)
            score += s.evidence;
        if (chains)
            ranks.push_back(static_cast<std::uint16_t>(s.step.rank));
        else if (!model_.keyed() && model_.human_rate < 1) {
            evidence.add(s.evidence >= 0.5, model_.human_share);
            j.sequential.push_back(evidence.value());
        }
    }
    if (chains)
        j.sequential =
            watermark::sequential_test(markov_->automaton(), markov_->chain(), std::span<std::uint16_t const>{ranks})
                .values;
    j.conformal = j.conformal_length == 0 ? 1 : model_.conformal.p_value(j.conformal_length, score);
    return j;
}

} // namespace lathe_cli
