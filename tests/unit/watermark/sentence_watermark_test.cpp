// Sentence-level watermarks: codes on the host and on a device, the published sampler and detector written down again,
// and what holds for every partition.
#include "plain_backend.hpp"

#include <lathe/testing/archetype.hpp>
#include <lathe/watermark/calibration.hpp>
#include <lathe/watermark/cohemark.hpp>
#include <lathe/watermark/detector.hpp>
#include <lathe/watermark/hammingmark.hpp>
#include <lathe/watermark/sampler.hpp>
#include <lathe/watermark/semstamp.hpp>
#include <lathe/watermark/simmark.hpp>

#include <catch.hpp>

#include <numeric>

namespace {
using namespace lathe;
using namespace lathe_test;
using testing::floor;
template <class T> using device = testing::archetype<floor::matrix_space, T>;
using below = testing::archetype<floor::elementwise, double>;

template <class P>
constexpr bool on_its_floor =
    watermark::semantic_partition<P, device<double>, double> && watermark::semantic_partition<P, plain_backend, float>
    && !requires(P const & p, below & be, cmat<below, double> x) { p.template encode<double>(be, x); };
static_assert(on_its_floor<watermark::cohemark> && on_its_floor<watermark::keyed_cohemark>
              && on_its_floor<watermark::semstamp> && on_its_floor<watermark::k_semstamp>
              && on_its_floor<watermark::simmark> && on_its_floor<watermark::hammingmark>);

std::vector<double> noise(std::size_t n, std::uint64_t seed) {
    random::uniform_stream const u{seed};
    std::vector<double> x(n);
    for (std::size_t i = 0; i != n; ++i)
        x[i] = static_cast<double>(u[i]) - 0.5; // exact in float
    return x;
}
/// A walk: neighbours are alike, as sentences of a text are.
std::vector<double> walk(std::size_t rows, std::size_t d, std::uint64_t seed, double step = 0.6) {
    auto x = noise(rows * d, seed);
    for (std::size_t i = d; i < x.size(); ++i)
        x[i] = static_cast<double>(static_cast<float>((1 - step) * x[i - d] + step * x[i]));
    return x;
}
/// Rows in the memory of a backend.
template <class T, class B> struct rows_on {
    std::size_t rows, cols;
    buffer_t<B, T> buffer;
    rows_on(B & be, std::vector<double> const & x, std::size_t d)
        : rows{x.size() / d}, cols{d}, buffer(be.template allocate<T>(x.size())) {
        std::vector<T> values;
        for (auto const v : x)
            values.push_back(static_cast<T>(v));
        be.upload(std::span<T const>{values}, buffer.view());
    }
    cmat<B, T> view() { return cmat<B, T>(as_matrix(buffer.view(), rows, cols)); }
};
template <class T, class B, class P> auto encoded(B & be, P const & p, std::vector<double> const & x) {
    rows_on<T, B> rows(be, x, p.dimensions());
    return p.template encode<T>(be, rows.view());
}
template <class P> auto encoded(P const & p, std::vector<double> const & x) {
    plain_backend be;
    return encoded<double>(be, p, x);
}
std::vector<std::size_t> text_of(std::size_t rows) { return {0, rows}; }
template <class P>
watermark::detection_result detected(P const & p, std::vector<double> const & x,
                                     watermark::detection_options const & o = {}) {
    plain_backend be;
    rows_on<double, plain_backend> rows(be, x, p.dimensions());
    return watermark::detect<double>(be, p, rows.view(), text_of(rows.rows), o);
}

/// Memberships by their definition and orders by theirs, in long double from differences.
std::vector<std::uint16_t> plain_orders(std::vector<double> const & x, std::vector<double> const & c, std::size_t d,
                                        double m) {
    auto const k = c.size() / d;
    std::vector<std::uint16_t> all;
    for (std::size_t i = 0; i != x.size() / d; ++i) {
        std::vector<double> square(k), u(k, 0.0);
        for (std::size_t j = 0; j != k; ++j)
            for (std::size_t e = 0; e != d; ++e)
                square[j] += (x[i * d + e] - c[j * d + e]) * (x[i * d + e] - c[j * d + e]);
        auto const least = *std::ranges::min_element(square);
        for (std::size_t j = 0; j != k; ++j)
            u[j] = square[j] == 0 ? 1 : static_cast<double>(std::pow(least / square[j], 1 / (m - 1)));
        std::vector<std::uint16_t> order(k);
        watermark::rank_order(u, order);
        all.insert(all.end(), order.begin(), order.end());
    }
    return all;
}

/// A table of an embedder whose texts are numbers of rows; "p" is the row before the first.
struct numbered_rows {
    std::size_t dimension;
    std::vector<double> values;
};
struct numbered_embedder {
    std::size_t dimension;
    std::vector<double> const & rows;
    numbered_rows operator()(std::span<std::string const> texts) const {
        numbered_rows t{dimension, {}};
        for (auto const & text : texts) {
            auto const i = text == "p" ? 0 : 1 + std::stoul(text);
            t.values.insert(t.values.end(), rows.begin() + static_cast<std::ptrdiff_t>(i * dimension),
                            rows.begin() + static_cast<std::ptrdiff_t>((i + 1) * dimension));
        }
        return t;
    }
};
/// Rows 1, 2, ... one after the other, of three tokens each.
struct numbered_source {
    std::size_t end, next = 0;
    std::vector<watermark::proposal> operator()(watermark::sampling_context const &, std::size_t count) {
        std::vector<watermark::proposal> batch;
        for (; batch.size() != count && next != end; ++next)
            batch.push_back({std::to_string(next), 3});
        return batch;
    }
};
bool always(std::string const &) { return true; }

/// What a sampler took of rows 1, 2, ... after row 0; and the text that makes.
template <class P>
watermark::sampling_result sampled(P const & p, std::vector<double> const & rows,
                                   watermark::sampling_options const & o = {},
                                   watermark::sentence_check const & valid = always) {
    plain_backend be;
    return watermark::sample<double>(be, p, "p", numbered_source{rows.size() / p.dimensions() - 1},
                                     numbered_embedder{p.dimensions(), rows}, o, valid);
}
std::vector<double> text_of(watermark::sampling_result const & r, std::vector<double> const & rows, std::size_t d) {
    std::vector<double> text(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(d));
    for (auto const & s : r.sentences)
        text.insert(text.end(), rows.begin() + static_cast<std::ptrdiff_t>((s.candidate + 1) * d),
                    rows.begin() + static_cast<std::ptrdiff_t>((s.candidate + 2) * d));
    return text;
}

std::vector<double> const centres8 = noise(8 * 6, 1);
} // namespace

TEST_CASE("orders are those of double everywhere: ties, centres hit, fuzzifiers near 1", "[cohemark]") {
    auto const m = GENERATE(1.1, 1.055, 1.01, 2.0);
    std::vector<double> corners(8 * 4), at;
    for (std::size_t j = 0; j != 4; ++j)
        corners[j * 5] = 2, corners[16 + j * 5] = -2;
    for (auto const & row :
         {std::array{0.0, 0.0, 0.0, 0.0}, std::array{1.0, 1.0, 0.0, 0.0}, std::array{2.0, 0.0, 0.0, 0.0},
          std::array{1.0, 1.0, 1.0, 1.0}, std::array{-2.0, 0.0, 0.0, 0.0}, std::array{0.5, 0.0, -0.5, 0.0}})
        at.insert(at.end(), row.begin(), row.end());
    struct setting {
        std::vector<double> centres, x;
        std::size_t d;
    };
    auto doubled = centres8; // two centres at one place, and points on both
    std::copy_n(doubled.begin(), 6, doubled.begin() + 18);
    auto points = noise(300 * 6, 2);
    std::copy_n(doubled.begin(), 6, points.begin() + 60);
    std::copy_n(doubled.begin() + 12, 6, points.begin() + 66);
    for (auto const & s : {setting{corners, at, 4}, setting{doubled, points, 6}, setting{noise(40 * 6, 3), points, 6},
                           setting{noise(6, 4), points, 6}}) {
        watermark::cohemark const p(s.centres, s.centres.size() / s.d, {.fuzzifier = m});
        auto const expected = plain_orders(s.x, s.centres, s.d, m);
        plain_backend host;
        device<float> single;
        device<double> wide;
        CHECK(encoded<double>(host, p, s.x).orders == expected);
        CHECK(encoded<float>(host, p, s.x).orders == expected);
        CHECK(encoded<float>(single, p, s.x).orders == expected);
        CHECK(encoded<double>(wide, p, s.x).orders == expected);
    }
}

TEST_CASE("what CoheMark refuses", "[cohemark]") {
    CHECK_THROWS_AS(watermark::cohemark(centres8, 0), option_error);
    CHECK_THROWS_AS(watermark::cohemark(centres8, 7), shape_error);
    CHECK_THROWS_AS(watermark::cohemark(centres8, 8, {.fuzzifier = 1}), option_error);
    CHECK_THROWS_AS(watermark::cohemark(centres8, 8, {.rule = watermark::rank_rule{{1, 9}, {}, 1, 5}}), option_error);
    CHECK_THROWS_AS(
        watermark::cohemark(centres8, 8,
                            {.rule = watermark::rank_rule{}, .conformance = watermark::cohemark_conformance::authors}),
        option_error);
    auto bad = centres8;
    bad[3] = std::nan("");
    CHECK_THROWS_AS(watermark::cohemark(bad, 8), non_finite_error);
    watermark::cohemark const p(centres8, 8);
    auto x = noise(5 * 6, 1);
    x[3 * 6 + 1] = std::numeric_limits<double>::infinity();
    CHECK_THROWS_WITH(encoded(p, x), contains("point 3"));
    plain_backend be;
    rows_on<double, plain_backend> narrow(be, noise(10, 1), 5);
    CHECK_THROWS_AS(p.encode<double>(be, narrow.view()), shape_error);
    CHECK(encoded(p, {}).size() == 0);
}

TEST_CASE("CoheMark's detector and sampler as they were published", "[cohemark]") {
    watermark::cohemark const p(centres8, 8);
    for (std::uint64_t seed = 0; seed != 40; ++seed) {
        auto const rows = walk(200, 6, 100 + seed, seed % 2 == 0 ? 0.3 : 0.9);
        auto const codes = encoded(p, rows);
        auto const cluster = [&](std::size_t i) { return codes[i].order[0]; };
        auto const among = [&](std::size_t i, std::vector<std::size_t> const & ranks, std::size_t c) {
            return std::ranges::any_of(ranks, [&](std::size_t r) { return codes[i].order[r - 1] == c; });
        };
        { // the detector: count and mode change after the hit is judged
            std::size_t count = 0, hits = 0;
            bool primary = true;
            std::vector<std::size_t> green{1, 3};
            for (std::size_t i = 1; i != 200; ++i) {
                if (primary && cluster(i) == codes[i - 1].order[0])
                    ++count;
                hits += among(i - 1, green, cluster(i)) ? 1 : 0;
                primary = count <= 5;
                green = primary ? std::vector<std::size_t>{1, 3} : std::vector<std::size_t>{2, 4, 5, 6};
                if (!primary)
                    count = 0;
            }
            auto const r = detected(p, rows);
            CHECK(r.documents[0].score == static_cast<double>(hits));
            CHECK(r.documents[0].ratio == static_cast<double>(hits) / 199);
        }
        // The sampler.
        watermark::sampling_options const o{.max_trials = 12, .max_tokens = seed % 3 == 0 ? 40u : 1000000u};
        auto const valid = [&](std::string const & t) { return std::stoul(t) % 7 != 3; };
        std::vector<std::size_t> accepted;
        std::size_t trials = 0, count = 0, budget = o.max_trials, last = 0, tokens = 0, seen = 0;
        auto end = watermark::sampling_end::source_end;
        for (std::size_t i = 0; i != 199; ++i) {
            ++seen;
            if (!valid(std::to_string(i))) {
                if (++trials >= budget) {
                    end = watermark::sampling_end::budget;
                    break;
                }
                continue;
            }
            ++trials;
            bool const relief = count >= 6;
            if (relief)
                budget = std::max<std::size_t>(budget, 100);
            if (trials >= budget) {
                end = watermark::sampling_end::budget;
                break;
            }
            if (!among(last, relief ? std::vector<std::size_t>{2, 4, 5, 6} : std::vector<std::size_t>{1, 3},
                       cluster(i + 1)))
                continue;
            count = relief ? 0 : count + (cluster(i + 1) == codes[last].order[0] ? 1 : 0);
            trials = 0;
            last = i + 1;
            accepted.push_back(i);
            if ((tokens += 3) >= o.max_tokens - 1) {
                end = watermark::sampling_end::max_tokens;
                break;
            }
        }
        auto const r = sampled(p, rows, o, valid);
        std::vector<std::size_t> found;
        for (auto const & s : r.sentences)
            found.push_back(s.candidate);
        CHECK(found == accepted);
        CHECK(r.trace.size() == seen);
        CHECK(r.end == end);
        CHECK(r.tokens == tokens);
        if (accepted.empty())
            continue;
        // What it wrote, its detector finds whole.
        auto const again = detected(p, text_of(r, rows, 6));
        CHECK(again.documents[0].ratio == 1);
        CHECK(again.documents[0].watermarked);
    }
}

TEST_CASE("the same sampler on a device in float", "[cohemark][archetype]") {
    watermark::cohemark const p(centres8, 8);
    auto const rows = walk(120, 6, 7);
    device<float> be;
    auto const r = watermark::sample<float>(be, p, "p", numbered_source{119}, numbered_embedder{6, rows}, {}, always);
    auto const expected = sampled(p, rows);
    REQUIRE(r.trace.size() == expected.trace.size());
    REQUIRE(r.sentences.size() == expected.sentences.size());
    for (std::size_t i = 0; i != r.sentences.size(); ++i)
        CHECK(r.sentences[i].candidate == expected.sentences[i].candidate);
}

TEST_CASE("other numbers of clusters", "[cohemark]") {
    for (std::size_t const k : {1u, 2u, 5u, 12u}) {
        auto const centres = noise(k * 6, k);
        auto const rows = walk(200, 6, 50 + k);
        watermark::cohemark const p(centres, k);
        auto const r = sampled(p, rows, {.max_trials = 150});
        REQUIRE_FALSE(r.sentences.empty());
        CHECK(detected(p, text_of(r, rows, 6)).documents[0].ratio == 1); // the rule serves both
        watermark::cohemark const authors(centres, k, {.conformance = watermark::cohemark_conformance::authors});
        auto const none = detected(authors, rows).documents[0];
        CHECK(none.scored == 0);
        CHECK(std::isnan(none.ratio));
        CHECK_FALSE(none.watermarked);
    }
}

TEST_CASE("what a sampler wrote, its detector finds whole, for every partition", "[sampler]") {
    auto const check = [](auto const & p, watermark::sampling_options o, std::uint64_t seed) {
        o.max_trials = 200;
        auto const rows = walk(300, p.dimensions(), seed);
        auto const r = sampled(p, rows, o);
        REQUIRE(r.sentences.size() > 3);
        auto const d = detected(p, text_of(r, rows, p.dimensions())).documents[0];
        CHECK(d.score == static_cast<double>(d.scored));
        auto const plain = detected(p, rows).documents[0];
        CHECK(plain.ratio < 0.9);
        CHECK(r.acceptance() > 0);
        for (auto const & s : r.sentences)
            CHECK((s.admitted && s.trials >= 1));
    };
    check(watermark::keyed_cohemark(centres8, 8, {.key = 5}), watermark::cohemark_sampling(), 1);
    check(watermark::keyed_cohemark(centres8, 8, {.key = 6, .input = watermark::keyed_input::position}),
          watermark::cohemark_sampling(), 2);
    check(watermark::keyed_cohemark(centres8, 8, {.key = 7, .input = watermark::keyed_input::previous_order}),
          watermark::cohemark_sampling(), 3);
    check(watermark::semstamp(noise(3 * 6, 9), 3), watermark::semstamp_sampling(), 4);
    check(watermark::k_semstamp(centres8, 8), watermark::k_semstamp_sampling(), 5);
    check(watermark::simmark(6, {.low = 0.2, .high = 0.5}), watermark::simmark_sampling(), 6);
    check(watermark::simmark(6, {.measure = watermark::similarity_measure::euclidean, .low = 0.2, .high = 0.5}),
          watermark::simmark_sampling(), 7);
    check(watermark::hammingmark(noise(16 * 6, 8), 16, {.radius = 3}), watermark::hammingmark_sampling(), 8);
}

TEST_CASE("margins, budgets and what happens at their end", "[sampler]") {
    watermark::semstamp const p(noise(3 * 6, 9), 3);
    auto const rows = noise(60 * 6, 21);
    auto const codes = encoded(p, rows);
    auto o = watermark::semstamp_sampling(0.1);
    o.max_trials = 4;
    auto const last = sampled(p, rows, o);
    CHECK(last.end == watermark::sampling_end::source_end);
    std::size_t before = 0, forced = 0;
    for (auto const & s : last.sentences) {
        bool const good =
            p.admits(codes[before], codes[s.candidate + 1], {}) && codes[s.candidate + 1].confidence >= 0.1;
        CHECK(s.admitted == good);
        CHECK(s.trials <= 4);
        if (!s.admitted)
            CHECK((++forced, s.trials == 4)); // the last one
        before = s.candidate + 1;
    }
    CHECK(forced != 0);
    for (auto const & s : last.trace)
        if (s.action == watermark::sampling_action::low_margin)
            CHECK(codes[s.candidate + 1].confidence < 0.1);
    o.margin = 0;
    o.at_budget = watermark::exhaustion::stop;
    o.max_trials = 1;
    CHECK(sampled(p, rows, o).end == watermark::sampling_end::budget);
    o.last = watermark::last_trial::thrown_away; // of a budget of 1 nothing is left
    CHECK(sampled(p, rows, o).sentences.empty());

    // The one that came nearest.
    watermark::hammingmark const h(noise(16 * 6, 8), 16, {.radius = 0});
    auto const hashes = encoded(h, rows);
    auto const best = sampled(
        h, rows,
        {.max_trials = 5, .at_budget = watermark::exhaustion::take_best, .last = watermark::last_trial::judged});
    before = 0;
    std::size_t first = 0;
    for (auto const & s : best.sentences) {
        for (std::size_t i = first; i != first + 5 && !s.admitted; ++i) {
            CHECK(h.distance(hashes[before], hashes[i + 1]) >= h.distance(hashes[before], hashes[s.candidate + 1]));
            if (i < s.candidate)
                CHECK(h.distance(hashes[before], hashes[i + 1]) > h.distance(hashes[before], hashes[s.candidate + 1]));
        }
        first += 5;
        before = s.candidate + 1;
    }
    CHECK(best.sentences.size() == 11);
    // Nothing valid to fall back on.
    CHECK(sampled(h, rows, {.max_trials = 5, .at_budget = watermark::exhaustion::take_last}, [](std::string const &) {
        return false;
    }).end == watermark::sampling_end::budget);
    CHECK(sampled(p, rows, {.max_trials = 60, .max_sentences = 2}).end == watermark::sampling_end::max_sentences);
    CHECK_THROWS_AS(sampled(p, rows, {.max_trials = 0}), option_error);
    CHECK_THROWS_AS(sampled(p, rows, {.batch = 0}), option_error);
    CHECK_THROWS_AS(sampled(p, rows, {.margin = -1}), option_error);
    CHECK(watermark::ends_as_sentence("So it is."));
    CHECK_FALSE(watermark::ends_as_sentence("So it is"));
    CHECK_FALSE(watermark::ends_as_sentence(""));
}

TEST_CASE("batches of proposals: those behind an accepted one are dropped", "[sampler]") {
    watermark::cohemark const p(centres8, 8);
    auto const rows = walk(400, 6, 31);
    // A source whose proposals depend on the number of sentences so far and of those it gave since.
    auto const run = [&](std::size_t batch) {
        std::size_t sentences = 0, given = 0;
        plain_backend be;
        return watermark::sample<double>(
            be, p, "p",
            [&](watermark::sampling_context const & c, std::size_t count) -> std::vector<watermark::proposal> {
            if (c.sentences.size() != sentences)
                given = 0;
            sentences = c.sentences.size();
            if (sentences == 10)
                return {};
            CHECK(c.prompt == "p");
            std::vector<watermark::proposal> all;
            for (std::size_t i = 0; i != count; ++i)
                all.push_back({std::to_string(39 * sentences + given++), 1});
            return all;
        }, numbered_embedder{6, rows}, {.max_trials = 38, .batch = batch}, always);
    };
    auto const one = run(1), five = run(5);
    REQUIRE(one.sentences.size() == five.sentences.size());
    for (std::size_t i = 0; i != one.sentences.size(); ++i)
        CHECK(one.sentences[i].text == five.sentences[i].text);
    CHECK(one.trace.size() == five.trace.size());

    plain_backend be;
    struct wrong {
        std::size_t dimension = 5;
        std::vector<float> values = std::vector<float>(5);
    };
    CHECK_THROWS_AS(
        watermark::sample<double>(be, p, "p", numbered_source{3}, [](std::span<std::string const>) { return wrong{}; }),
        shape_error);
    struct stopped {
        static bool stop_requested() { return true; }
    };
    CHECK(watermark::sample<double>(be, p, "p", numbered_source{3}, numbered_embedder{6, rows}, {}, always,
                                    control<no_observer, stopped>{})
              .end
          == watermark::sampling_end::stopped);
}

TEST_CASE("many documents at once are each document alone", "[detector]") {
    watermark::cohemark const p(centres8, 8);
    std::vector<std::size_t> offsets{0};
    for (std::size_t i = 0; i != 300; ++i)
        offsets.push_back(offsets.back() + (i * 7) % 13); // empty ones, and ones of a sentence, among them
    auto const x = walk(offsets.back(), 6, 77);
    watermark::rank_null const null(p.automaton(), watermark::uniform_ranks(8));
    plain_backend be;
    rows_on<double, plain_backend> rows(be, x, 6);
    std::size_t steps = 0;
    auto const all =
        watermark::detect<double>(be, p, rows.view(), offsets, {}, null, control{[&](progress const &) { ++steps; }});
    REQUIRE(all.documents.size() == 300);
    REQUIRE(all.sentences.size() == offsets.back());
    CHECK(steps == 1);
    auto const codes = encoded(p, x);
    thread_pool pool(3);
    auto const threaded = watermark::detect_codes(pool, p, codes, offsets, {}, null);
    for (std::size_t i = 0; i != 300; ++i) {
        std::vector<double> const alone(x.begin() + static_cast<std::ptrdiff_t>(offsets[i] * 6),
                                        x.begin() + static_cast<std::ptrdiff_t>(offsets[i + 1] * 6));
        auto const & d = all.documents[i];
        auto const n = offsets[i + 1] - offsets[i];
        CHECK(d.sentences == n);
        CHECK(d.scored == (n == 0 ? 0 : n - 1));
        CHECK(threaded.documents[i].score == d.score);
        if (n < 2) {
            CHECK(std::isnan(d.ratio));
            CHECK(std::isnan(d.null.p));
            CHECK_FALSE(d.watermarked);
            continue;
        }
        auto const one = detected(p, alone);
        CHECK(d.score == one.documents[0].score);
        CHECK(d.null.p == null.law(n - 1).tail(d.score));
        double sum = 0;
        for (auto j = offsets[i]; j != offsets[i + 1]; ++j) {
            CHECK(all.sentences[j].scored == (j != offsets[i]));
            sum += all.sentences[j].evidence;
            CHECK(all.sentences[j].step.region == codes[j].order[0]);
        }
        CHECK(sum == d.score);
    }
    // Ranks as counts and tests take them, and prompts of several sentences.
    auto const ranks = watermark::document_ranks(codes, offsets[12], offsets[13] - offsets[12]);
    REQUIRE(ranks.size() + 1 == offsets[13] - offsets[12]);
    for (std::size_t i = 0; i != ranks.size(); ++i)
        CHECK(ranks[i] == all.sentences[offsets[12] + i + 1].step.rank);
    serial_executor e;
    auto const late = watermark::detect_codes(e, p, codes, offsets, {.prompt_sentences = 3, .evidence = false});
    CHECK(late.sentences.empty());
    for (std::size_t i = 0; i != 300; ++i)
        CHECK(late.documents[i].scored == std::max<std::size_t>(3, offsets[i + 1] - offsets[i]) - 3);

    struct stopped {
        static bool stop_requested() { return true; }
    };
    CHECK(watermark::detect<double>(be, p, rows.view(), offsets, {}, {}, control<no_observer, stopped>{}).status
          == status::stopped);
    CHECK_THROWS_AS(watermark::detect_codes(e, p, codes, std::vector<std::size_t>{0, 3}), shape_error);
    CHECK_THROWS_AS(watermark::detect_codes(e, p, codes, std::vector<std::size_t>{}), shape_error);
    CHECK_THROWS_AS(watermark::detect_codes(e, p, codes, std::vector<std::size_t>{0, 9, 3, codes.size()}), shape_error);
    CHECK_THROWS_AS(watermark::detect_codes(e, p, codes, offsets, {.prompt_sentences = 0}), option_error);
    CHECK_THROWS_AS(watermark::detect_codes(e, p, codes, offsets, {.decide_by = watermark::decision::p}), option_error);
    CHECK_THROWS_AS(watermark::detect_codes(e, p, codes, offsets, {.repeats = watermark::repeated_draws::once}),
                    option_error);
    auto const by_p =
        watermark::detect_codes(e, p, codes, offsets, {.decide_by = watermark::decision::p, .threshold = 0.05}, null);
    for (auto const & d : by_p.documents)
        CHECK(d.watermarked == (d.scored != 0 && d.null.p <= 0.05));
}

TEST_CASE("documents of a source, part by part", "[detector]") {
    struct row_by_row {
        rows_on<float, plain_backend> & all;
        std::size_t most = 0;
        [[nodiscard]] std::size_t rows() const { return all.rows; }
        [[nodiscard]] std::size_t cols() const { return all.cols; }
        cmat<plain_backend, float> read(plain_backend &, std::size_t first, std::size_t count) {
            most = std::max(most, count);
            return {all.view().data + first * all.cols, count, all.cols};
        }
    };
    watermark::cohemark const p(centres8, 8);
    std::vector<std::size_t> offsets{0};
    for (std::size_t i = 0; i != 4000; ++i)
        offsets.push_back(offsets.back() + i % 21);
    offsets.push_back(offsets.back() + 17000); // longer than a part
    auto x = walk(offsets.back(), 6, 78);
    plain_backend be;
    rows_on<float, plain_backend> rows(be, x, 6);
    row_by_row source{rows};
    auto const streamed = watermark::detect(be, p, source, offsets),
               whole = watermark::detect(be, p, rows.view(), offsets);
    CHECK(source.most == 17000);
    REQUIRE(streamed.documents.size() == 4001);
    auto const codes = encoded(p, x);
    serial_executor e;
    auto const at_once = watermark::detect_codes(e, p, codes, offsets);
    for (std::size_t i = 0; i != 4001; ++i) {
        CHECK(streamed.documents[i].score == at_once.documents[i].score);
        CHECK(whole.documents[i].score == at_once.documents[i].score);
    }
    REQUIRE(streamed.sentences.size() == offsets.back());
    CHECK(streamed.sentences.back().step.rank == at_once.sentences.back().step.rank);
    x[(offsets[4000] + 7) * 6] = std::nan("");
    rows_on<float, plain_backend> bad(be, x, 6);
    CHECK_THROWS_WITH(watermark::detect(be, p, bad.view(), offsets),
                      contains("sentences from row " + std::to_string(offsets[4000])) && contains("point 7"));
}

TEST_CASE("over keys every step hits with probability green / K, whatever the text", "[keyed]") {
    auto const input = GENERATE(watermark::keyed_input::previous_cluster, watermark::keyed_input::previous_order,
                                watermark::keyed_input::position);
    // A text that stays where it is, and repeats itself.
    auto x = walk(24, 6, 5, 0.2);
    std::copy_n(x.begin(), 36, x.begin() + 72);
    auto const codes = encoded(watermark::cohemark(centres8, 8), x);
    constexpr std::size_t keys = 4000;
    serial_executor e;
    auto const once = watermark::detection_options{
        .decide_by = watermark::decision::p, .threshold = 0.05, .repeats = watermark::repeated_draws::once};
    std::vector<double> hits(24), law, counts(25);
    std::vector<std::size_t> green(24);
    double alarms = 0, mean = 0, expected = 0;
    for (std::uint64_t key = 0; key != keys; ++key) {
        watermark::keyed_cohemark const p(centres8, 8, {.key = key * 0x9E3779B97F4A7C15u, .input = input});
        auto const r = watermark::detect_codes(e, p, codes, text_of(24), once);
        auto const & d = r.documents[0];
        alarms += d.watermarked ? 1.0 / keys : 0;
        mean += d.score / keys;
        ++counts[static_cast<std::size_t>(d.score)];
        if (key == 0) {
            expected = d.null.mean;
            auto s = p.start();
            for (std::size_t i = 1; i != 24; ++i) {
                green[i] = p.green_ranks(codes[i - 1], s).size();
                s = p.advance(codes[i - 1], codes[i], s);
            }
            std::vector<watermark::keyed_group> groups;
            watermark::score_document(p, codes, 0, 24, once, {}, &groups);
            auto const exact = watermark::keyed_law(groups);
            law.assign(exact.pmf().begin(), exact.pmf().end());
        }
        CHECK(d.null.mean == expected); // the same under every key
        for (std::size_t i = 1; i != 24; ++i)
            hits[i] += r.sentences[i].evidence;
    }
    CHECK(std::abs(mean - expected) < 0.25);
    for (std::size_t i = 1; i != 24; ++i) {
        auto const p = static_cast<double>(green[i]) / 8;
        CHECK(std::abs(hits[i] / keys - p) < 5 * std::sqrt(p * (1 - p) / keys));
    }
    for (std::size_t h = 0; h != law.size(); ++h)
        CHECK(std::abs(counts[h] / keys - law[h]) <= 5 * std::sqrt(law[h] * (1 - law[h]) / keys) + 1e-12);
    CHECK(alarms <= 0.05 + 4 * std::sqrt(0.05 * 0.95 / keys));

    // Subsets are even: each number as often as any other, each pair too.
    std::vector<double> single(5), pairs(25);
    for (std::uint64_t key = 0; key != keys; ++key) {
        auto const s = watermark::keyed_subset(key, 3, 5, 2);
        REQUIRE((s.size() == 2 && s[0] < s[1] && s[1] < 5));
        ++single[s[0]], ++single[s[1]], ++pairs[s[0] * 5 + s[1]];
    }
    for (auto const c : single)
        CHECK(std::abs(c / keys - 0.4) < 5 * std::sqrt(0.24 / keys));
    for (std::size_t i = 0; i != 25; ++i)
        if (i / 5 < i % 5)
            CHECK(std::abs(pairs[i] / keys - 0.1) < 5 * std::sqrt(0.09 / keys));
    CHECK(watermark::keyed_subset(1, 2, 4, 4) == std::vector<std::size_t>{0, 1, 2, 3});
    CHECK(watermark::keyed_subset(1, 2, 4, 0).empty());
    CHECK_THROWS_AS(watermark::keyed_subset(1, 2, 3, 4), shape_error);
}

TEST_CASE("SemStamp and k-SemStamp: regions, margins, masks", "[semstamp]") {
    watermark::region_masks const masks(8, 0.25, 15485863);
    std::vector<std::vector<std::uint32_t>> const published{{4, 0}, {6, 2}, {4, 7}, {2, 3},
                                                            {0, 2}, {0, 5}, {6, 2}, {1, 7}};
    for (std::size_t r = 0; r != 8; ++r)
        CHECK(std::ranges::equal(masks.after(r), published[r]));
    CHECK(masks.accepts(7, 1));
    CHECK_FALSE(masks.accepts(1, 7));
    CHECK_THROWS_AS(masks.after(8), shape_error);
    CHECK(watermark::region_masks(8, 0.3, 1).accepted() == 2); // int(2.4)
    CHECK_THROWS_AS(watermark::region_masks(8, 1.5, 1), option_error);

    // Signs by hand; 0 is no positive number, a row of zeros is in region 0.
    std::vector<double> const normals{1, 0, 0, 1, 1, -1};
    watermark::semstamp const p(normals, 3);
    std::vector<double> const x{1, 1, -1, 2, 0, 0, 2, 1, 0, -3, 1, 0};
    auto const check = [&](auto const & codes) {
        CHECK(codes.regions == std::vector<std::uint64_t>{6, 2, 0, 7, 1, 5});
        CHECK(codes.confidences[0] == 0);
        CHECK(codes.confidences[2] == 0);
        CHECK(codes.confidences[3] == Approx(std::sqrt(0.1)).epsilon(1e-6)); // <(2,1), (1,-1)> / sqrt(10)
    };
    plain_backend host;
    device<float> single;
    check(encoded<double>(host, p, x));
    check(encoded<float>(host, p, x));
    check(encoded<float>(single, p, x));
    CHECK_THROWS_AS(watermark::semstamp(normals, 17), option_error);
    CHECK_THROWS_AS(watermark::semstamp(normals, 0), option_error);
    CHECK_THROWS_AS(watermark::semstamp(normals, 4), shape_error);
    CHECK_THROWS_AS(watermark::semstamp(std::vector<double>(6), 3), non_finite_error);

    // Float settles in double what it cannot tell: signs of products that cancel.
    auto hard = noise(200 * 3, 4);
    for (std::size_t i = 0; i != 200; ++i)
        hard[i * 3 + 2] = static_cast<double>(static_cast<float>(-(hard[i * 3] + hard[i * 3 + 1])));
    watermark::semstamp const flat(std::vector<double>{1, 1, 1, 1, 1 + 1e-9, 1}, 2);
    CHECK(encoded<float>(host, flat, hard).regions == encoded<double>(host, flat, hard).regions);

    watermark::k_semstamp const k(std::vector<double>{1, 0, 0, 2, -1, 0}, 3);
    auto const codes = encoded<double>(host, k, {3, 1, 1, 1, -1, 0.5, 0, 5});
    CHECK(codes.regions == std::vector<std::uint64_t>{0, 0, 2, 1}); // of equally near ones the first
    CHECK(codes.confidences[0] == Approx(2 / std::sqrt(10.0)).epsilon(1e-14));
    CHECK(codes.confidences[1] == 0);
    CHECK(encoded<float>(single, k, {3, 1, 1, 1, -1, 0.5, 0, 5}).regions == codes.regions);
    CHECK_THROWS_WITH(encoded<double>(host, k, {1, 1, 0, 0}), contains("point 1"));
    CHECK_THROWS_AS(watermark::k_semstamp(std::vector<double>{1, 0, 0, 0}, 2), non_finite_error);
    CHECK_THROWS_AS(watermark::k_semstamp(std::vector<double>{1, 0, 0}, 2), shape_error);
    CHECK_THROWS_AS(watermark::k_semstamp(std::vector<double>{1, 0}, 0), option_error);
    CHECK(
        std::isinf(encoded<double>(host, watermark::k_semstamp(std::vector<double>{1, 0}, 1), {1, 1}).confidences[0]));

    // A draw that repeats counts once if asked: the same region after the same region.
    auto const again = [&](watermark::repeated_draws repeats) {
        return detected(p, {1, 1, -1, 2, 1, 1, -1, 2, 1, 1}, {.repeats = repeats}).documents[0].scored;
    };
    CHECK(again(watermark::repeated_draws::counted) == 4);
    CHECK(again(watermark::repeated_draws::once) == 2);
}

TEST_CASE("SimMark: values, soft counts, projections", "[simmark]") {
    watermark::simmark const p(2, {.low = 0.5, .high = 0.9});
    std::vector<double> const x{1, 0, 1, 1, 3, 4, 0, 0};
    auto const codes = encoded(p, x);
    CHECK(p.value(codes[0], codes[1]) == Approx(std::sqrt(0.5)));
    CHECK(p.evidence(codes[0], codes[1], {}) == 1);
    CHECK(p.evidence(codes[1], codes[2], {}) == Approx(std::exp(-250 * (7 / std::sqrt(50.0) - 0.9))));
    CHECK(p.evidence(codes[2], codes[3], {}) == 0); // no cosine with a row of zeros
    CHECK_FALSE(p.admits(codes[2], codes[3], {}));
    CHECK(watermark::simmark_null(0.3)(10, 3).z == 0);
    CHECK(watermark::simmark_null(0.3)(10, 5).z == Approx(2 / std::sqrt(2.1 + 1e-12)).epsilon(1e-15));
    CHECK(watermark::normal_null{0.5, 0}(4, 2 + 1.959963984540054).p == Approx(0.025).epsilon(1e-12));

    watermark::linear_projection const pca{{1, 2, 0, 0, 1, -1}, {0.5, 1, 2}, {2, 4, 0.5}};
    auto const rows = noise(250 * 3, 6);
    plain_backend host;
    device<double> far;
    watermark::simmark const reduced(3, {}, pca);
    watermark::simmark const authors(3, {.conformance = watermark::simmark_conformance::project_unstandardised}, pca);
    auto const a = encoded<double>(host, reduced, rows), b = encoded<double>(far, reduced, rows),
               c = encoded<double>(host, authors, rows);
    REQUIRE(a.size() == 250);
    for (std::size_t i = 0; i != 250; ++i)
        for (std::size_t j = 0; j != 2; ++j) {
            double standard = 0, raw = 0;
            for (std::size_t e = 0; e != 3; ++e) {
                standard += pca.components[j * 3 + e] * (rows[i * 3 + e] - pca.mean[e]) / pca.scale[e];
                raw += pca.components[j * 3 + e] * rows[i * 3 + e];
            }
            CHECK(a[i][j] == Approx(standard).epsilon(1e-12));
            CHECK(b[i][j] == Approx(standard).epsilon(1e-12));
            CHECK(c[i][j] == Approx(raw).epsilon(1e-12).margin(1e-15));
        }
    CHECK_THROWS_AS(watermark::simmark(3, {.low = 1, .high = 0}), option_error);
    CHECK_THROWS_AS(watermark::simmark(3, {}, {{1, 2}, {}, {}}), shape_error);
    CHECK_THROWS_AS(watermark::simmark(1, {}, {{1}, {}, {0}}), non_finite_error);
    CHECK_THROWS_AS(watermark::simmark_null(2), option_error);
}

TEST_CASE("HammingMark: balls and agreement", "[hammingmark]") {
    auto const normals = noise(64 * 6, 8);
    watermark::hammingmark const ball(normals, 64, {.radius = 20}),
        soft(normals, 64, {.radius = 20, .evidence = watermark::hamming_evidence::agreement});
    auto const x = walk(50, 6, 9);
    auto const codes = encoded(ball, x);
    for (std::size_t i = 1; i != 50; ++i) {
        std::size_t differ = 0;
        for (std::size_t k = 0; k != 64; ++k) {
            double a = 0, b = 0;
            for (std::size_t e = 0; e != 6; ++e) {
                a += x[(i - 1) * 6 + e] * normals[k * 6 + e];
                b += x[i * 6 + e] * normals[k * 6 + e];
            }
            differ += (a > 0) != (b > 0) ? 1 : 0;
        }
        CHECK(ball.distance(codes[i - 1], codes[i]) == differ);
        CHECK(ball.evidence(codes[i - 1], codes[i], {}) == (differ <= 20 ? 1 : 0));
        CHECK(soft.evidence(codes[i - 1], codes[i], {}) == 1 - static_cast<double>(differ) / 64);
    }
    CHECK(watermark::hamming_ball_share(3, 1) == 0.5);
    CHECK(watermark::hamming_ball_share(16, 16) == 1);
    CHECK_THROWS_AS(watermark::hammingmark(normals, 64, {.radius = 64}), option_error);
}
