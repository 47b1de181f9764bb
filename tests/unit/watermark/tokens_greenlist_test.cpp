// Green lists: the fast ways against the literal ones, generation then detection, p-values of texts without a
// watermark.
#include <lathe/watermark/greenlist.hpp>

#include "tokens_model.hpp"

using namespace lathe_test;
using testing::floor;
using vectors = testing::archetype<floor::vector_space>;
using kernels = testing::archetype<floor::elementwise>;
static_assert(wm::logits_processor<wm::kgw_processor, vectors, float>);
static_assert(wm::logits_processor<wm::unigram_processor, vectors, float>);
static_assert(wm::logits_processor<wm::sweet_processor, kernels, float>
              && !wm::logits_processor<wm::sweet_processor, vectors, float>);
static_assert(wm::logits_processor<wm::morphmark_processor, kernels, float>
              && !wm::logits_processor<wm::morphmark_processor, vectors, float>);

namespace {
/// Published code, as it reads: the green list of a seed by the whole permutation.
std::vector<bool> literal_green(std::uint64_t seed, std::uint32_t vocabulary, std::uint32_t size) {
    std::vector<std::uint32_t> p(vocabulary);
    random::torch_generator(seed).permutation(p);
    std::vector<bool> green(vocabulary);
    for (std::uint32_t i = 0; i != size; ++i)
        green[p[i]] = true;
    return green;
}
std::vector<wm::token_text> views(std::vector<tokens> const & texts) { return {texts.begin(), texts.end()}; }
} // namespace

TEST_CASE("kgw: contexts and seeds", "[watermark][tokens]") {
    std::uint32_t const V = 101;
    std::vector<std::uint32_t> prf(V);
    random::torch_generator(7).permutation(prf);
    tokens const before{3, 50, 100, 99};
    using enum wm::context_hash;
    auto const f = [&](wm::context_hash hash, std::size_t h) {
        return wm::kgw_seeds(V, 7, h, hash, wm::hash_window::left).context(before);
    };
    CHECK(f(time, 3) == prf[50 * 100 * 99 % V]);
    CHECK(f(additive, 3) == prf[(50 + 100 + 99) % V]);
    CHECK(f(skip, 3) == prf[50]);
    CHECK(f(min, 3) == std::min({prf[50], prf[100], prf[99]}));
    CHECK(wm::kgw_seeds(V, 7, 1, time, wm::hash_window::left)(before, 5) == 7 * prf[99] % V);
    CHECK(wm::kgw_seeds(V, 7, 1, time, wm::hash_window::self)(before, 5) == prf[99] * prf[5] % V);
    CHECK(wm::product_seeds(V, wm::published_key, 3)(before)
          == static_cast<std::uint32_t>(wm::published_key * (50 * 100 * 99 % V)));
    // Products and keys beyond 64 bits.
    std::uint32_t const wide = 4294967291u;
    tokens const large(4, wide - 1);
    CHECK(wm::product_seeds(wide, 1, 4)(large) == 1);
    CHECK(wm::product_seeds(wide, 1, 3)(large) == wide - 1);
}

TEST_CASE("green lists: batches find what one permutation after the other finds", "[watermark][tokens]") {
    std::uint32_t const V = 500, G = 125;
    std::vector<wm::green_query> queries;
    for (std::uint32_t i = 0; i != 600; ++i)
        queries.push_back({i * i % 37, i * 7919 % V}); // some seeds with one question, some with many
    queries.push_back({1000, 3});
    queries.push_back({1001, 4});
    queries.push_back({1001, 4});
    std::vector<std::uint8_t> found(queries.size());
    thread_pool pool(3);
    wm::find_green(pool, V, G, queries, found);
    for (std::size_t i = 0; i != queries.size(); ++i)
        REQUIRE((found[i] == 1) == literal_green(queries[i].seed, V, G)[queries[i].candidate]);
    std::vector<std::uint8_t> none;
    wm::find_green(pool, V, G, {}, none);
}

TEST_CASE("kgw self: the table, the walk and the published loop agree", "[watermark][tokens]") {
    wm::kgw_options o{.vocabulary = 130,
                      .gamma = 0.3,
                      .prefix = 2,
                      .hash = wm::context_hash::additive,
                      .window = wm::hash_window::self};
    wm::kgw_seeds const seeds(o.vocabulary, o.key, o.prefix, o.hash, o.window);
    auto const size = wm::green_size(o.vocabulary, o.gamma);
    tokens const before{9, 77};
    std::vector<float> expected(o.vocabulary);
    for (wm::token k = 0; k != o.vocabulary; ++k)
        expected[k] = literal_green(seeds(before, k), o.vocabulary, size)[k] ? 1.0f : 0.0f;
    for (auto const bytes : {std::size_t{0}, std::size_t{1000}, std::size_t{1} << 20}) {
        o.cache_bytes = bytes;
        wm::kgw_processor processor(o);
        std::vector<float> mask(o.vocabulary, 5.0f);
        for (int again = 0; again != 2; ++again) {
            processor.green(before, std::span{mask});
            CHECK(mask == expected);
        }
    }
    // The best candidates only: the others are never green.
    o.candidates = 10;
    wm::kgw_processor few(o);
    vectors be;
    std::vector<double> logits(o.vocabulary);
    for (std::size_t k = 0; k != logits.size(); ++k)
        logits[k] = uniform(3, k);
    logits[5] = std::nan("");
    auto buffer = be.allocate<float>(o.vocabulary);
    auto const m = as_matrix(buffer.view(), 1, o.vocabulary);
    wm::upload_row<float>(be, logits, m, 0);
    wm::token_context const context{before};
    few(be, {&context, 1}, m);
    std::vector<double> after;
    wm::download_row<float>(be, m, 0, after);
    auto sorted = logits;
    sorted[5] = -1;
    std::ranges::sort(sorted, std::greater{});
    for (std::size_t k = 0; k != after.size(); ++k)
        if (k == 5)
            CHECK(std::isnan(after[k]));
        else
            CHECK(after[k] - logits[k] == Approx(logits[k] >= sorted[9] && expected[k] == 1 ? 2 : 0).margin(1e-6));
}

TEST_CASE("green lists: marked on a device, detected on the host", "[watermark][tokens]") {
    toy_model const model{.vocabulary = 97};
    auto const check = [&](auto & be, auto processor, auto const & detector) {
        auto const text = marked_text<float>(be, processor, model, 120, 5, 10);
        auto const plain = plain_text(model, 130, 6);
        auto const d = detector({text});
        CHECK(d.watermarked);
        CHECK(d.p_value < 1e-5);
        CHECK(d.score > detector({plain}).score + 2);
        check_detector(detector, model.vocabulary, views({text, plain, {}, {1}, {1, 2}}));
    };
    vectors v;
    kernels e;
    using enum wm::context_hash;
    for (auto const window : {wm::hash_window::left, wm::hash_window::self})
        for (auto const hash : {time, additive, skip, min}) {
            wm::kgw_options const o{
                .vocabulary = 97, .gamma = 0.25, .delta = 4, .prefix = 2, .hash = hash, .window = window};
            check(v, wm::kgw_processor(o), wm::kgw_detector(o));
        }
    // Distinct tokens only: there are no more than 97 of them, so the others are counted.
    wm::unigram_options const u{.vocabulary = 97, .gamma = 0.25, .delta = 4, .repeats = wm::repeats::every};
    check(v, wm::unigram_processor(u), wm::unigram_detector(u));
    wm::morphmark_options m{.vocabulary = 97, .gamma = 0.5, .prefix = 2, .hash = additive};
    check(e, wm::morphmark_processor(m), wm::morphmark_detector(m));
    m.ewd_seeds = true;
    check(e, wm::morphmark_processor(m), wm::morphmark_detector(m));
}

TEST_CASE("sweet and ewd: entropies from logits, marks where there is entropy", "[watermark][tokens]") {
    kernels be;
    std::uint32_t const V = 60;
    toy_model const model{.vocabulary = V, .spread = 2};
    wm::sweet_options const s{.vocabulary = V, .delta = 4, .prefix = 2, .entropy_threshold = 2.5};
    wm::ewd_options const e{.vocabulary = V, .delta = 4, .prefix = 2};
    wm::sweet_processor sweet(s);
    wm::ewd_processor ewd(e);
    for (int which = 0; which != 2; ++which) {
        auto const text =
            which == 0 ? marked_text<float>(be, sweet, model, 200, 1) : marked_text<float>(be, ewd, model, 200, 1);
        // The model's rows, each for its token, and what they say.
        std::vector<double> rows(text.size() * V);
        for (std::size_t i = 0; i != text.size(); ++i)
            model(std::span{text}.first(i), std::span{rows}.subspan(i * V, V));
        auto buffer = be.allocate<float>(rows.size());
        be.upload(std::span<float const>{std::vector<float>(rows.begin(), rows.end())}, buffer.view());
        auto const logits = as_matrix(buffer.view(), text.size(), V);
        auto const h = wm::entropies(be, logits), spikes = wm::spike_entropies(be, logits, 0.5, 4);
        for (std::size_t i = 0; i < text.size(); i += 17) {
            std::vector<double> p(rows.begin() + static_cast<std::ptrdiff_t>(i * V),
                                  rows.begin() + static_cast<std::ptrdiff_t>((i + 1) * V));
            host::softmax(std::span{p});
            double entropy = 0, spike = 0;
            for (auto const x : p) {
                entropy -= x * std::log(x);
                spike += x / (1 + wm::spike_modulus(0.5, 4) * x);
            }
            CHECK(h[i] == Approx(entropy).epsilon(1e-5));
            CHECK(spikes[i] == Approx(spike).epsilon(1e-5));
        }
        if (which == 0) {
            wm::sweet_detector const d(s);
            auto const found = d({text, h});
            CHECK(found.watermarked);
            CHECK(found.scored < 198);
            CHECK(found.scored > 20);
            check_detector(d, V, {{text, h}, {}});
            CHECK_THROWS_AS(d({text}), shape_error);
        } else {
            wm::ewd_detector const d(e);
            CHECK(d({text, spikes}).watermarked);
            check_detector(d, V, {{text, spikes}, {}});
            auto broken = spikes;
            broken[50] = std::nan("");
            CHECK_THROWS_AS(d({text, broken}), non_finite_error);
            // Entropies all equal: no 0/0, the count.
            std::vector<double> const equal(text.size(), 0.5);
            wm::sweet_options counted = s;
            counted.entropy_threshold = 0;
            CHECK(d({text, equal}).score == Approx(wm::sweet_detector(counted)({text, equal}).score).epsilon(1e-12));
        }
    }
    std::vector<float> const certain{0, -INFINITY, -INFINITY, NAN, 1, 2};
    auto buffer = be.allocate<float>(6);
    be.upload(std::span<float const>{certain}, buffer.view());
    auto const h = wm::entropies(be, as_matrix(buffer.view(), 2, 3));
    CHECK(h[0] == Approx(0).margin(1e-12));
    CHECK(std::isnan(h[1]));
}

TEST_CASE("green lists: p-values of texts that do not know the key", "[watermark][tokens]") {
    // A model that repeats itself a lot: repeated tokens are no evidence.
    toy_model const model{.vocabulary = 60, .spread = 3};
    std::vector<double> kgw, self, unigram, counted;
    for (std::uint64_t key = 1; key <= 300; ++key) {
        auto text = plain_text(model, 60, key);
        for (int copy = 0; copy != 3; ++copy)
            text.insert(text.end(), text.begin(), text.begin() + 60);
        wm::kgw_options o{.vocabulary = 60, .gamma = 0.25, .key = key * 7919, .prefix = 2};
        kgw.push_back(wm::kgw_detector(o)({text}).p_value);
        o.window = wm::hash_window::self;
        self.push_back(wm::kgw_detector(o)({text}).p_value);
        unigram.push_back(wm::unigram_detector({.vocabulary = 60, .gamma = 0.25, .key = key})({text}).p_value);
        counted.push_back(
            wm::unigram_detector({.vocabulary = 60, .gamma = 0.25, .key = key, .repeats = wm::repeats::every})({text})
                .p_value);
    }
    CHECK(excess(kgw) < 0.08); // the 1 % point of the one-sided distance is 0.088 for 300
    CHECK(excess(self) < 0.08);
    CHECK(excess(unigram) < 0.08);
    CHECK(excess(counted) > 0.15); // what counting every repetition does
}

TEST_CASE("green lists: rows that stay as they are, and what is refused", "[watermark][tokens]") {
    vectors be;
    wm::kgw_options const o{.vocabulary = 20, .delta = 1, .prefix = 3};
    wm::kgw_processor processor(o);
    std::vector<float> row(40, 1.0f);
    row[25] = -INFINITY;
    row[26] = NAN;
    auto buffer = be.allocate<float>(40);
    be.upload(std::span<float const>{row}, buffer.view());
    tokens const brief{1, 2}, enough{1, 2, 3};
    std::vector<wm::token_context> const contexts{{brief}, {enough}};
    processor(be, contexts, as_matrix(buffer.view(), 2, 20));
    std::vector<float> after(40);
    be.download(cvec<vectors, float>(buffer.view()), std::span{after});
    CHECK(std::equal(after.begin(), after.begin() + 20, row.begin()));
    CHECK(std::isinf(after[25]));
    CHECK(std::isnan(after[26]));
    CHECK(std::count(after.begin() + 20, after.end(), 2.0f) + 2 >= 10);

    CHECK_THROWS_AS(processor(be, contexts, as_matrix(buffer.view(), 4, 10)), shape_error);
    tokens const outside{1, 2, 20};
    std::vector<wm::token_context> const wrong{{brief}, {outside}}, prompt{{brief, 3}, {enough}};
    CHECK_THROWS_AS(processor(be, wrong, as_matrix(buffer.view(), 2, 20)), option_error);
    CHECK_THROWS_AS(processor(be, prompt, as_matrix(buffer.view(), 2, 20)), shape_error);
    CHECK_THROWS_AS(wm::kgw_detector({}), option_error);
    CHECK_THROWS_AS(wm::kgw_detector({.vocabulary = 9, .gamma = 1}), option_error);
    CHECK_THROWS_AS(wm::kgw_detector({.vocabulary = 9, .gamma = 0.1}), option_error);
    CHECK_THROWS_AS(wm::kgw_detector({.vocabulary = 9, .prefix = 0}), option_error);
    CHECK_THROWS_AS(wm::kgw_processor({.vocabulary = 9, .delta = NAN}), option_error);
}

TEST_CASE("morphmark: where the mass goes", "[watermark][tokens]") {
    kernels be;
    wm::morphmark_options o{.vocabulary = 4};
    std::vector<float> const green{1, 0, 1, 0};
    auto g = be.allocate<float>(4), row = be.allocate<float>(4);
    be.upload(std::span<float const>{green}, g.view());
    auto const run = [&](std::vector<double> logits) {
        std::vector<float> const values(logits.begin(), logits.end());
        be.upload(std::span<float const>{values}, row.view());
        wm::morphmark_row<kernels, float>(be, o, g.view(), row.view());
        std::vector<float> after(4);
        be.download(cvec<kernels, float>(row.view()), std::span{after});
        return after;
    };
    o.growth = wm::morphmark_growth::linear;
    o.linear_factor = 1;
    auto const half = run({0, 0, 0, 0}); // P = 1/2, r = 1/2: a quarter moves
    CHECK(half[0] == Approx(std::log(0.375)).epsilon(1e-5));
    CHECK(half[1] == Approx(std::log(0.125)).epsilon(1e-5));
    o.linear_factor = 5; // r > 1: no red mass is left
    auto const all = run({0, 0, 0, 0});
    CHECK(all[0] == Approx(std::log(0.5)).epsilon(1e-5));
    CHECK(std::isinf(all[1]));
    CHECK(run({-50, 0, -50, 0})[1] == Approx(std::log(0.5)).epsilon(1e-5)); // too little green mass
    auto const only = run({0, -INFINITY, 0, -INFINITY});
    CHECK((only[0] == Approx(std::log(0.5)).epsilon(1e-5) && std::isinf(only[1])));
    CHECK(std::isnan(run({NAN, 0, 0, 0})[1]));
}
