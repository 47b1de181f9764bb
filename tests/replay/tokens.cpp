/// \file  Token-level watermarks and random streams against what was recorded (docs/watermarking-tokens.md). The
///        recorded scores are those of published code, so the options say what it does: every repeated token counts,
///        and the rest by name.
#include "backend_runners.hpp"
#include "watermark.hpp"

#include <lathe/watermark/alignment.hpp>
#include <lathe/watermark/reweight.hpp>
#include <lathe/watermark/synthid.hpp>

#include <lathe/random/numpy.hpp>

namespace lathe_replay {
namespace {

namespace wm = lathe::watermark;
namespace random = lathe::random;
using B = selected_backend;
using token_list = std::vector<wm::token>;

token_list ids_of(array_fixture const & f) { return f.input("ids").as<wm::token>(); }
/// A parameter that is a value or a list of values.
template <class T> std::vector<T> values_of(array_fixture const & f, std::string const & name) {
    auto const & p = f.params().at(name);
    return p.is_array() ? p.get<std::vector<T>>() : std::vector<T>{p.get<T>()};
}
template <class T> T param(array_fixture const & f, std::string const & name, T otherwise) {
    return f.params().contains(name) ? f.params().at(name).get<T>() : otherwise;
}
double tolerance_named(array_fixture const & f, std::string const & name, double otherwise = 1e-12) {
    return f.tolerance().contains(name) && f.tolerance().at(name).is_number() ? f.tolerance().at(name).get<double>()
                                                                              : otherwise;
}
std::uint32_t vocabulary(array_fixture const & f) { return f.params().at("V").get<std::uint32_t>(); }

/// Evidence as the recorded flags have it: -1 for what is not scored.
std::vector<int> flags_of(wm::token_detection const & d) {
    std::vector<int> flags;
    for (auto const e : d.evidence)
        flags.push_back(std::isnan(e) ? -1 : static_cast<int>(e));
    return flags;
}
void expect_flags(array_fixture const & f, std::string const & name, wm::token_detection const & d) {
    if (f.expected().contains(name))
        expect_equal(name, flags_of(d), f.expected_array(name).as<int>());
}
/// A p-value, and its logarithm, to a relative error.
void expect_p(array_fixture const & f, std::string const & name, wm::token_detection const & d) {
    auto const rel = tolerance_named(f, "p_rel", 1e-5), p = f.expected_number(name);
    expect_close(name, d.p_value, p, 0, rel);
    if (p > 0)
        expect_close("ln " + name, d.log_p_value, std::log(p), rel);
}

// ---- random streams -------------------------------------------------------------------------------------------------

std::vector<double> as_doubles(auto const & values) { return {values.begin(), values.end()}; }
void expect_stream(array_fixture const & f, std::string const & name, auto const & found) {
    if (f.expected().contains(name))
        expect_close(name, as_doubles(found), f.expected_array(name).values, 0);
}
std::vector<std::uint64_t> seeds_of(array_fixture const & f) {
    std::vector<std::uint64_t> seeds;
    for (auto const & s : f.params().at("seeds"))
        seeds.push_back(s.is_string() ? std::stoull(s.get<std::string>()) : s.get<std::uint64_t>());
    return seeds;
}
/// The length of a recorded array "name<digits>_index", whatever the digits; its full name.
std::optional<std::pair<std::string, std::size_t>> recorded(array_fixture const & f, std::string_view start,
                                                            std::string const & end) {
    for (auto const & [key, entry] : f.expected().items())
        if (key.starts_with(start) && key.ends_with(end)
            && key.find_first_not_of("0123456789", start.size()) == key.size() - end.size())
            return std::pair{key, f.expected_array(key).extent(0)};
    return std::nullopt;
}

void torch_streams(array_fixture const & f) {
    auto const seeds = seeds_of(f);
    for (std::size_t i = 0; i != seeds.size(); ++i) {
        auto const end = "_" + std::to_string(i);
        if (auto const r = recorded(f, "words", end)) {
            std::vector<std::uint32_t> words(r->second);
            random::mersenne_twister(static_cast<std::uint32_t>(seeds[i])).fill(words);
            expect_stream(f, r->first, words);
        }
        if (auto const r = recorded(f, "randperm", end)) {
            std::vector<std::uint32_t> p(r->second);
            random::torch_generator(seeds[i]).permutation(p);
            expect_stream(f, r->first, p);
        }
        if (auto const r = recorded(f, "rand", end)) {
            std::vector<float> u(r->second);
            random::torch_generator(seeds[i]).uniform(u);
            expect_stream(f, r->first, u);
        }
        if (auto const r = recorded(f, "bits", end)) {
            std::vector<std::uint64_t> bits(r->second);
            random::torch_generator g(seeds[i]);
            for (auto & b : bits)
                b = g.integer(2);
            expect_stream(f, r->first, bits);
        }
    }
    for (auto const & [key, entry] : f.expected().items()) { // randperm50272_seed7_first64
        unsigned n = 0, seed = 0, first = 0;
        if (std::sscanf(key.c_str(), "randperm%u_seed%u_first%u", &n, &seed, &first) != 3)
            continue;
        std::vector<std::uint32_t> p(n);
        random::torch_generator(seed).permutation(p, first);
        p.resize(first);
        expect_stream(f, key, p);
    }
}
void numpy_streams(array_fixture const & f) {
    auto const seeds = seeds_of(f);
    for (std::size_t i = 0; i != seeds.size(); ++i) {
        auto const end = "_" + std::to_string(i);
        if (f.expected().contains("seedseq" + end)) {
            std::vector<std::uint32_t> words(f.expected_array("seedseq" + end).extent(0));
            random::numpy_seed_sequence(seeds[i]).generate(words);
            expect_stream(f, "seedseq" + end, words);
        }
        if (auto const r = recorded(f, "raw", end)) { // 64 bits, which doubles do not hold: see the unit tests
            std::vector<std::uint64_t> bits(r->second);
            random::numpy_generator g(seeds[i]);
            for (auto & b : bits)
                b = g();
            expect_stream(f, r->first, bits);
        }
        if (auto const r = recorded(f, "shuffle", end)) {
            std::vector<int> q(r->second);
            for (std::size_t k = 0; k != q.size(); ++k)
                q[k] = static_cast<int>(k);
            random::numpy_generator(seeds[i]).shuffle(q);
            expect_stream(f, r->first, q);
        }
    }
}
void markllm_stream(array_fixture const & f) {
    random::markllm_mersenne g(f.params().at("seed").get<std::uint32_t>());
    if (auto const r = recorded(f, "rand", "")) {
        std::vector<double> u(r->second);
        for (auto & x : u)
            x = g.uniform();
        expect_stream(f, r->first, u);
    }
    if (auto const r = recorded(f, "randperm", "")) {
        std::vector<std::uint32_t> p(r->second);
        g.permutation(p);
        expect_stream(f, r->first, p);
    }
}

// ---- green lists ----------------------------------------------------------------------------------------------------

wm::kgw_options kgw_of(array_fixture const & f, double gamma, std::size_t prefix, std::string const & hash,
                       wm::hash_window window) {
    auto const h = lathe::reflect::enumerator_named<wm::context_hash>(hash);
    if (!h)
        throw failure{"f: found " + hash};
    return {.vocabulary = vocabulary(f),
            .gamma = gamma,
            .key = param<std::uint64_t>(f, "hash_key", wm::published_key),
            .prefix = prefix,
            .hash = *h,
            .window = window,
            .repeats = wm::repeats::every};
}
/// The green tokens of a context, by the processor on the backend.
token_list green_after(B & be, wm::kgw_options o, token_list const & before) {
    o.delta = 1;
    std::vector<float> zeros(o.vocabulary);
    auto buffer = be.template allocate<float>(o.vocabulary);
    be.upload(std::span<float const>{zeros}, buffer.view());
    wm::kgw_processor processor(o);
    wm::token_context const context{before};
    processor(be, {&context, 1}, lathe::as_matrix(buffer.view(), 1, o.vocabulary));
    be.download(lathe::cvec<B, float>(buffer.view()), std::span<float>{zeros});
    token_list green;
    for (std::size_t t = 0; t != zeros.size(); ++t)
        if (zeros[t] == 1)
            green.push_back(static_cast<wm::token>(t));
    return green;
}
void kgw_left(B & be, array_fixture const & f) {
    auto const ids = ids_of(f);
    std::size_t seen = 0;
    for (auto const & hash : {"time", "additive", "skip", "min"})
        for (auto const h : values_of<std::size_t>(f, "prefix"))
            for (auto const g : values_of<double>(f, "gamma")) {
                auto tag = "_" + std::string{hash} + "_h" + std::to_string(h) + "_g" + json(g).dump();
                if (!f.expected().contains("z" + tag)) { // a case of one configuration
                    if (param<std::string>(f, "f", "") != hash || !f.expected().contains("z"))
                        continue;
                    tag.clear();
                }
                ++seen;
                auto const o = kgw_of(f, g, h, hash, wm::hash_window::left);
                auto const d = wm::kgw_detector(o)({ids});
                expect_close("z" + tag, d.score, f.expected_number("z" + tag), tolerance_named(f, "z"));
                expect_flags(f, "flags" + tag, d);
                // What generation adds to is what detection finds.
                auto const green = green_after(be, o, {ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(h)});
                if (ids.size() > h && std::ranges::binary_search(green, ids[h]) != (d.evidence[h] == 1))
                    throw failure{"the processor's green list" + tag + " is not the detector's"};
            }
    if (seen == 0)
        throw failure{"no configuration is recorded"};
}
void kgw_self(B & be, array_fixture const & f) {
    auto const ids = ids_of(f);
    auto o = kgw_of(f, f.params().at("gamma"), f.params().at("prefix"), f.params().at("f"), wm::hash_window::self);
    auto const d = wm::kgw_detector(o)({ids});
    expect_close("z", d.score, f.expected_number("z"), tolerance_named(f, "z"));
    expect_flags(f, "flags", d);
    for (auto const & [key, entry] : f.expected().items()) {
        std::size_t count = 0;
        if (std::sscanf(key.c_str(), "green_after_%zu", &count) != 1)
            continue;
        auto const expected = f.expected_array(key).as<wm::token>();
        token_list const before(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count));
        for (auto const cache : {std::size_t{0}, o.cache_bytes}) {
            o.cache_bytes = cache;
            expect_equal(key, green_after(be, o, before), expected);
        }
    }
}
void unigram(array_fixture const & f) {
    wm::unigram_options const o{.vocabulary = vocabulary(f),
                                .gamma = f.params().at("gamma"),
                                .key = param<std::uint64_t>(f, "hash_key", wm::published_key),
                                .repeats = wm::repeats::every};
    wm::unigram_detector const detector(o);
    auto const d = detector({ids_of(f)});
    expect_close("z", d.score, f.expected_number("z"), tolerance_named(f, "z"));
    expect_flags(f, "flags", d);
    if (f.expected().contains("green_count"))
        expect_equal("green_count", static_cast<std::size_t>(std::ranges::count(detector.green(), 1)),
                     f.expected().at("green_count").get<std::size_t>());
    if (auto const r = recorded(f, "first_", ""))
        expect_equal(r->first,
                     std::vector<int>(detector.green().begin(),
                                      detector.green().begin() + static_cast<std::ptrdiff_t>(r->second)),
                     f.expected_array(r->first).as<int>());
}

/// Rows of double on the backend.
struct rows {
    std::size_t count, width;
    lathe::buffer_t<B, double> buffer;

    rows(B & be, std::vector<double> const & values, std::size_t n)
        : count{n}, width{values.size() / n}, buffer(be.template allocate<double>(values.size())) {
        be.upload(std::span<double const>{values}, buffer.view());
    }
    lathe::mat<B, double> view() { return lathe::as_matrix(buffer.view(), count, width); }
    std::vector<double> values(B & be) {
        std::vector<double> all(count * width);
        be.download(lathe::cvec<B, double>(buffer.view()), std::span{all});
        return all;
    }
};
std::vector<double> logarithms(std::vector<double> values) {
    for (auto & v : values)
        v = std::log(v);
    return values;
}

void sweet_ewd(B & be, array_fixture const & f) {
    auto const ids = ids_of(f);
    auto const entropy = f.input("entropy");
    auto const gamma = f.params().at("gamma").get<double>(), delta = f.params().at("delta").get<double>();
    auto const key = param<std::uint64_t>(f, "hash_key", wm::published_key);
    for (auto const h : values_of<std::size_t>(f, "prefix")) {
        auto const end = "_h" + std::to_string(h);
        auto const n = static_cast<std::ptrdiff_t>(h);
        wm::sweet_options const s{.vocabulary = vocabulary(f),
                                  .gamma = gamma,
                                  .delta = delta,
                                  .key = key,
                                  .prefix = h,
                                  .entropy_threshold = f.params().at("entropy_threshold"),
                                  .repeats = wm::repeats::every};
        auto const sweet = wm::sweet_detector(s)({ids, entropy.values});
        expect_close("sweet_z" + end, sweet.score, f.expected_number("sweet_z" + end), tolerance_named(f, "z"));
        if (auto const name = "sweet_weight" + end; f.expected().contains(name)) {
            std::vector<int> weights;
            for (auto const e : sweet.evidence)
                weights.push_back(std::isnan(e) ? 0 : 1);
            std::fill_n(weights.begin(), n, -1);
            expect_equal(name, weights, f.expected_array(name).as<int>());
        }
        wm::ewd_options const e{.vocabulary = vocabulary(f),
                                .gamma = gamma,
                                .delta = delta,
                                .key = key,
                                .prefix = h,
                                .repeats = wm::repeats::every};
        auto const ewd = wm::ewd_detector(e)({ids, entropy.values});
        expect_close("ewd_z" + end, ewd.score, f.expected_number("ewd_z" + end), tolerance_named(f, "z"));
        expect_flags(f, "flags" + end, ewd);
        if (auto const name = "ewd_weight" + end; f.expected().contains(name)) {
            auto weights = entropy.values;
            auto const least = *std::min_element(weights.begin() + n, weights.end());
            for (std::size_t i = 0; i != weights.size(); ++i)
                weights[i] = i < h ? -1 : weights[i] - least;
            expect_close(name, weights, f.expected_array(name).values, 1e-12);
        }
    }
    if (f.expected().contains("ewd_spike_entropy")) {
        auto const p = f.input("P");
        rows logits(be, logarithms(p.values), p.extent(0));
        expect_close("ewd_spike_entropy", wm::spike_entropies(be, logits.view(), gamma, delta),
                     f.expected_array("ewd_spike_entropy").values, tolerance_named(f, "spike"));
    }
}

void morphmark(B & be, array_fixture const & f) {
    auto const mask = f.input("mask");
    auto const n = mask.extent(0);
    wm::morphmark_options o{.vocabulary = static_cast<std::uint32_t>(n)};
    o.least_mass = f.params().at("p0");
    auto const & k = f.params().at("k");
    o.linear_factor = k.value("linear", o.linear_factor);
    o.exponential_factor = k.value("exp", o.exponential_factor);
    o.logarithmic_factor = k.value("log", o.logarithmic_factor);
    auto green = be.template allocate<double>(n);
    be.upload(std::span<double const>{mask.values}, green.view());
    for (auto const & [key, entry] : f.expected().items()) {
        using enum wm::morphmark_growth;
        o.growth = key.starts_with("linear") ? linear : key.starts_with("exp") ? exponential : logarithmic;
        rows row(be, f.input(key.ends_with("below_p0") ? "logits_low_green" : "logits").values, 1);
        wm::morphmark_row<B, double>(be, o, green.view(), row.view().row(0));
        expect_close(key, row.values(be), f.expected_array(key).values, tolerance_named(f, "logits"));
    }
}

// ---- reweighting ----------------------------------------------------------------------------------------------------

void dip(array_fixture const & f) {
    wm::dip_options const o{.vocabulary = vocabulary(f),
                            .gamma = f.params().at("gamma"),
                            .prefix = f.params().at("prefix"),
                            .key = f.params().at("key_hex"),
                            .unscaled_z = true,
                            .counts_first_token = true};
    auto const d = wm::dip_detector(o)({ids_of(f)});
    expect_close("z", d.score, f.expected_number("z"), tolerance_named(f, "z"));
    auto quantiles = d.evidence;
    for (std::size_t i = 0; i != quantiles.size(); ++i)
        if (std::isnan(quantiles[i]))
            quantiles[i] = i == 0 ? 0 : -1;
    expect_close("score", quantiles, f.expected_array("score").values, tolerance_named(f, "score"));
    auto const p = f.input("probs");
    auto const permutation = f.input("perm").as<std::uint32_t>();
    for (auto const alpha : values_of<double>(f, "alpha")) {
        std::vector<double> q(p.values.size());
        wm::dip_shares(p.values, permutation, alpha, q);
        for (std::size_t t = 0; t != q.size(); ++t)
            q[t] *= p.values[t];
        auto const name = "reweighted_" + json(alpha).dump();
        expect_close(name, q, f.expected_array(name).values, tolerance_named(f, "reweighted"));
    }
}

// ---- exponential sampling -------------------------------------------------------------------------------------------

void expect_exponential(array_fixture const & f, std::string const & end, wm::token_detection const & d) {
    expect_close("score" + end, d.score, f.expected_number("score" + end), tolerance_named(f, "score"));
    expect_p(f, "p" + end, d);
}
void exponential(array_fixture const & f) {
    auto const ids = ids_of(f);
    for (auto const h : values_of<std::size_t>(f, "prefix")) {
        wm::exp_options const o{.vocabulary = vocabulary(f),
                                .key = param<std::uint64_t>(f, "hash_key", wm::published_key),
                                .prefix = h,
                                .repeats = wm::repeats::every};
        auto const d = wm::exp_detector(o)({ids});
        auto const end = "_h" + std::to_string(h);
        expect_exponential(f, end, d);
        if (f.expected().contains("r" + end)) {
            std::vector<double> r;
            for (auto i = h; i < ids.size(); ++i)
                r.push_back(-std::expm1(-d.evidence[i]));
            expect_close("r" + end, r, f.expected_array("r" + end).values, 1e-12);
        }
    }
    if (f.expected().contains("sampled")) {
        auto const p = f.input("probs"), u = f.input("uniforms");
        std::vector<int> sampled;
        for (std::size_t i = 0; i != u.extent(0); ++i) {
            auto const r = u.part(i).values;
            auto const t = wm::exponential_choice(std::span<double const>{p.values}, std::span<double const>{r});
            sampled.push_back(t ? static_cast<int>(*t) : -1);
        }
        expect_equal("sampled", sampled, f.expected_array("sampled").as<int>());
    }
}
void exp_gumbel(array_fixture const & f) {
    wm::exp_gumbel_options const o{.vocabulary = vocabulary(f),
                                   .prefix = f.params().at("prefix"),
                                   .seed = f.params().at("seed"),
                                   .floor = f.params().at("eps"),
                                   .repeats = wm::repeats::every};
    expect_exponential(f, "", wm::exp_gumbel_detector(o)({ids_of(f)}));
}
void permute_and_flip(array_fixture const & f) {
    wm::pf_options const o{.vocabulary = vocabulary(f),
                           .prefix = f.params().at("ngram"),
                           .seed = f.params().at("seed"),
                           .salt = f.params().at("salt"),
                           .repeats = wm::repeats::every,
                           .skips_first_scoreable = true};
    auto const d = wm::pf_detector(o)({ids_of(f)});
    expect_equal("n", d.scored, f.expected().at("n").get<std::size_t>());
    std::vector<double> scores;
    for (auto const e : d.evidence)
        if (!std::isnan(e))
            scores.push_back(e);
    expect_close("scores", scores, f.expected_array("scores").values, tolerance_named(f, "scores"));
    expect_close("total", d.score, f.expected_number("total"),
                 tolerance_named(f, "scores") * static_cast<double>(d.scored));
    expect_close("p", d.p_value, f.expected_number("p_correct_shape_n"), 0, 1e-5);
}

// ---- SynthID --------------------------------------------------------------------------------------------------------

void synthid(B & be, array_fixture const & f) {
    auto const ids = ids_of(f);
    wm::synthid_options o;
    o.vocabulary = *std::ranges::max_element(ids) + 1;
    o.keys = f.input("keys").as<std::uint64_t>();
    o.ngram = f.params().at("ngram");
    o.table_size = f.params().at("table_size");
    o.table_seed = f.params().at("table_seed");
    o.history = f.params().at("history");
    if (f.params().contains("eos"))
        o.eos = f.params().at("eos").get<wm::token>();
    wm::synthid_detector const detector(o);
    auto const mean = detector({ids});
    expect_close("mean", mean.score, f.expected_number("mean"), tolerance_named(f, "score"));
    o.score = wm::synthid_score::weighted;
    expect_close("weighted", wm::synthid_detector(o)({ids}).score, f.expected_number("weighted"),
                 tolerance_named(f, "score"));
    o.score = wm::synthid_score::mean;
    o.repeats = wm::repeats::every;
    if (f.expected().contains("mean_distortionary"))
        expect_close("mean_distortionary", wm::synthid_detector(o)({ids}).score,
                     f.expected_number("mean_distortionary"), tolerance_named(f, "score"));
    auto const scored = detector.scored(ids);
    expect_equal("mask", std::vector<int>(scored.begin(), scored.end()), f.expected_array("mask").as<int>());
    if (auto const r = recorded(f, "table_first_", "")) {
        auto const table = detector.values().table().first(r->second);
        expect_equal(r->first, std::vector<int>(table.begin(), table.end()), f.expected_array(r->first).as<int>());
    }
    std::vector<int> g;
    for (std::size_t i = 0; i + o.ngram <= ids.size(); ++i) {
        auto const bits =
            detector.values()(detector.values().context(std::span{ids}.subspan(i, o.ngram - 1)), ids[i + o.ngram - 1]);
        for (std::size_t k = 0; k != o.keys.size(); ++k)
            g.push_back(static_cast<int>(bits >> k & 1));
    }
    expect_equal("g", g, f.expected_array("g").as<int>());

    auto const p = f.input("probs"), layers = f.input("g_update");
    for (auto const & [key, entry] : f.expected().items()) {
        std::size_t leaves = 2;
        if (!key.starts_with("updated")
            || (key != "updated" && std::sscanf(key.c_str(), "updated_distortionary%zu", &leaves) != 1))
            continue;
        rows row(be, p.values, 1);
        for (std::size_t k = 0; k != layers.extent(1); ++k) {
            std::vector<double> column(layers.extent(0));
            for (std::size_t t = 0; t != column.size(); ++t)
                column[t] = layers.values[t * layers.extent(1) + k];
            rows on_backend(be, column, 1);
            wm::tournament_layer<B, double>(be, leaves, on_backend.view().row(0), row.view().row(0));
        }
        expect_close(key, row.values(be), f.expected_array(key).values, tolerance_named(f, "updated"));
    }
}

void gamma_tail(array_fixture const & f) {
    auto const n = f.input("n"), s = f.input("s");
    auto const expected = f.expected_array("sf");
    for (std::size_t i = 0; i != n.values.size(); ++i)
        expect_close("sf", std::exp(wm::log_gamma_tail(n.values[i], s.values[i])), expected.values[i], 0,
                     tolerance_named(f, "rel", 1e-9));
}

} // namespace

template <class Backend> bool run_token_watermark(Backend & be, std::string_view name, array_fixture const & f) {
    if (name.starts_with("prng_torch"))
        torch_streams(f);
    else if (name.starts_with("prng_numpy"))
        numpy_streams(f);
    else if (name.starts_with("prng_edit"))
        markllm_stream(f);
    else if (name.starts_with("kgw_left"))
        kgw_left(be, f);
    else if (name.starts_with("kgw_self"))
        kgw_self(be, f);
    else if (name.starts_with("unigram"))
        unigram(f);
    else if (name.starts_with("sweet_ewd"))
        sweet_ewd(be, f);
    else if (name.starts_with("morphmark"))
        morphmark(be, f);
    else if (name.starts_with("dip"))
        dip(f);
    else if (name.starts_with("exp_gumbel"))
        exp_gumbel(f);
    else if (name.starts_with("exp"))
        exponential(f);
    else if (name.starts_with("pf"))
        permute_and_flip(f);
    else if (name.starts_with("synthid"))
        synthid(be, f);
    else if (name.starts_with("gamma_tail"))
        gamma_tail(f);
    else
        return false;
    return true;
}
template bool run_token_watermark<selected_backend>(selected_backend &, std::string_view, array_fixture const &);

} // namespace lathe_replay
