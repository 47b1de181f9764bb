// Methods that sample or reweight: choices against the definition, generation then detection, p-values of texts that do
// not know the key, published faults by their options.
#include <lathe/watermark/alignment.hpp>
#include <lathe/watermark/reweight.hpp>
#include <lathe/watermark/synthid.hpp>

#include "tokens_model.hpp"

using namespace lathe_test;
using testing::floor;
using device = testing::archetype<floor::storage>;
using kernels = testing::archetype<floor::elementwise>;
static_assert(wm::token_sampler<wm::exp_sampler, device, float>
              && wm::token_sampler<wm::exp_gumbel_sampler, device, float>
              && wm::token_sampler<wm::pf_sampler, device, float>
              && wm::token_sampler<wm::exp_edit_sampler, device, float>
              && wm::token_sampler<wm::its_edit_sampler, device, float>);
static_assert(wm::logits_processor<wm::dip_processor, device, float>
              && wm::logits_processor<wm::unbiased_processor, device, float>
              && wm::logits_processor<wm::synthid_processor, kernels, float>);

namespace {
toy_model const model{};
std::string const key = "6c61746865";

/// A marked text is found, a plain one is not; \returns the marked one's detection.
template <class B, class Mark, class D>
wm::token_detection check_method(B & be, Mark mark, D const & detector, std::size_t n, double p,
                                 std::size_t prompt = 10) {
    auto const text = marked_text<float>(be, mark, model, n, 3, prompt);
    auto const generated = continuation(text, prompt), plain = plain_text(model, n, 4);
    auto const d = detector({generated});
    CHECK(d.watermarked);
    CHECK(d.p_value < p);
    CHECK(detector({plain}).p_value > 0.01);
    tokens const one{1}, two{1, 2};
    check_detector(detector, model.vocabulary, {{generated}, {plain}, {}, {one}, {two}});
    return d;
}
/// p-values of 200 texts, each under another key.
template <class Detector> std::vector<double> null_p_values(Detector make, std::size_t n, std::size_t texts = 200) {
    std::vector<double> p;
    for (std::uint64_t k = 1; k <= texts; ++k) {
        auto text = plain_text({.spread = 2.5}, n, k);
        text.insert(text.end(), text.begin(), text.begin() + static_cast<std::ptrdiff_t>(n / 2)); // repeats itself
        p.push_back(make(k)({text}).p_value);
    }
    return p;
}
std::string hex_of(std::uint64_t k) {
    std::string s;
    for (int i = 0; i != 16; ++i)
        s += "0123456789abcdef"[k >> (4 * i) & 15];
    return s;
}
} // namespace

TEST_CASE("exponential choice: the largest r^(1/p)", "[watermark][tokens]") {
    std::vector<double> const p{0.5, 0, 0.3, 0.2};
    std::vector<double> const r{0.9, 1, 0.95, 0.5};
    CHECK(wm::exponential_choice(std::span{p}, std::span{r}) == wm::token{2}); // 0.81, -, 0.84, 0.03
    CHECK(wm::exponential_choice(std::span{p}, std::span{r}, 1) == wm::token{0});
    std::vector<double> const tiny{1e-9, 1 - 1e-9}, low{0.99, 1e-6}; // both powers are 0 in float
    CHECK(wm::exponential_choice(std::span<double const>{tiny}, std::span{low}) == wm::token{1});
    std::vector<double> const nothing{0, 0};
    CHECK_FALSE(wm::exponential_choice(std::span{nothing}, std::span{low}));
    std::vector<double> const zero{0, 0, 0, 0}; // numbers that are all 0: still a possible token
    CHECK(wm::exponential_choice(std::span{p}, std::span{zero}) == wm::token{0});
    // It samples from p.
    std::vector<double> counts(4);
    for (std::uint64_t i = 0; i != 4000; ++i) {
        std::vector<double> u(4);
        for (std::size_t t = 0; t != 4; ++t)
            u[t] = uniform(i, t);
        counts[*wm::exponential_choice(std::span{p}, std::span<double const>{u})] += 1.0 / 4000;
    }
    for (std::size_t t = 0; t != 4; ++t)
        CHECK(counts[t] == Approx(p[t]).margin(0.03));
}

TEST_CASE("exp, its table and permute-and-flip: marked, then detected", "[watermark][tokens]") {
    device be;
    wm::exp_options const e{.vocabulary = 97, .prefix = 2};
    check_method(be, wm::exp_sampler(e), wm::exp_detector(e), 120, 1e-6);
    wm::exp_gumbel_options const g{.vocabulary = 97};
    check_method(be, wm::exp_gumbel_sampler(g), wm::exp_gumbel_detector(g), 120, 1e-6);
    wm::pf_options const f{.vocabulary = 97, .prefix = 4, .payload = 5};
    check_method(be, wm::pf_sampler(f), wm::pf_detector(f), 120, 1e-4);

    auto const fewer = [&](auto sampler, std::size_t prefix) {
        auto buffer = be.allocate<float>(97);
        be.upload(std::span<float const>{std::vector<float>(97, 1.0f)}, buffer.view());
        tokens const before(prefix - 1, 1);
        wm::token_context const context{before};
        CHECK_FALSE(sampler(be, std::span{&context, 1}, as_matrix(buffer.view(), 1, 97))[0]);
    };
    fewer(wm::exp_sampler(e), 2);
    fewer(wm::exp_gumbel_sampler(g), 2);
    fewer(wm::pf_sampler(f), 4);
}

TEST_CASE("exp gumbel: the table as published holds it", "[watermark][tokens]") {
    std::uint32_t const V = 40;
    std::vector<float> table(V * 2 * V);
    random::torch_generator(42).uniform(table);
    auto const text = plain_text({.vocabulary = V}, 50, 9);
    auto const d = wm::exp_gumbel_detector({.vocabulary = V, .repeats = wm::repeats::every})({text});
    for (std::size_t i = 2; i != text.size(); ++i)
        CHECK(d.evidence[i] == Approx(-std::log1p(-table[(text[i - 2] + text[i - 1]) * V + text[i]])));
    CHECK_THROWS_AS(wm::exp_gumbel_detector({.vocabulary = 0xffffffff}), option_error); // no 64 bits count its numbers
    // A vocabulary whose table would take 20 GB.
    wm::exp_gumbel_options const o{.vocabulary = 50272};
    tokens const far{50000, 50001, 7, 3, 50000, 49000};
    auto const one = wm::exp_gumbel_detector(o)({far});
    random::torch_generator g(42);
    g.skip(std::uint64_t{100001} * 50272 + 7);
    CHECK(one.evidence[2] == Approx(-std::log1p(-static_cast<double>(g.uniform()))));
}

TEST_CASE("permute and flip: seeds, and what published code does by name", "[watermark][tokens]") {
    wm::pf_options o{.vocabulary = 97, .prefix = 3};
    CHECK(wm::pf_seed(o, tokens{1, 2, 3}) == (std::uint64_t{35317} * 35317 + 2 * 35317 + 3));
    o.seed = 0xfffffffffffffffe;
    CHECK(wm::pf_seed(o, tokens{1}) == 0xffffffffffffffff - 35317 + 1); // -35317 + 1 modulo 2^64 - 1
    o.seed = 0;
    auto const text = plain_text(model, 60, 1);
    auto const all = wm::pf_detector(o)({text});
    o.skips_first_scoreable = true;
    auto const late = wm::pf_detector(o)({text});
    CHECK((!std::isnan(all.evidence[3]) && std::isnan(late.evidence[3]) && late.scored + 1 == all.scored));
    // With fewer terms the threshold is too low: plain texts are called watermarked far more often than 1 % of the
    // time.
    int published = 0, correct = 0;
    for (std::uint64_t k = 0; k != 400; ++k) {
        auto const plain = plain_text(model, 59, k);
        wm::pf_options q{.vocabulary = 97, .seed = k};
        correct += wm::pf_detector(q)({plain}).watermarked ? 1 : 0;
        q.threshold_of_fewer_terms = true;
        published += wm::pf_detector(q)({plain}).watermarked ? 1 : 0;
    }
    CHECK(correct <= 12);
    CHECK(published >= 25);
}

TEST_CASE("dip: shares keep the mass and, over permutations, the distribution", "[watermark][tokens]") {
    std::vector<double> const p{0.4, 0.05, 0, 0.3, 0.25};
    for (double const alpha : {0.5, 0.45, 0.2, 0.0}) {
        std::vector<double> mean(5), share(5);
        int const runs = 3000;
        for (int run = 0; run != runs; ++run) {
            std::vector<std::uint32_t> permutation(5);
            random::torch_generator(static_cast<std::uint64_t>(run)).permutation(permutation);
            wm::dip_shares(p, permutation, alpha, share);
            double mass = 0;
            for (std::size_t t = 0; t != 5; ++t) {
                mass += p[t] * share[t];
                mean[t] += p[t] * share[t] / runs;
            }
            REQUIRE(mass == Approx(1).epsilon(1e-12));
        }
        for (std::size_t t = 0; t != 5; ++t)
            CHECK(mean[t] == Approx(p[t]).margin(0.02));
    }
    std::vector<double> share(5);
    wm::dip_shares(p, std::vector<std::uint32_t>{0, 1, 2, 3, 4}, 0.5, share);
    CHECK(share[0] == 0); // the lower half of the mass goes
    CHECK(share[3] == Approx(2 * 0.25 / 0.3));
    CHECK(share[4] == Approx(2));
    CHECK_THROWS_AS(wm::dip_shares(p, std::vector<std::uint32_t>{0}, 0.5, share), shape_error);
    CHECK_THROWS_AS(wm::dip_shares(p, std::vector<std::uint32_t>{0, 1, 2, 3, 4}, 2, share), option_error);
}

TEST_CASE("dip and unbiased: marked, then detected", "[watermark][tokens]") {
    device be;
    wm::dip_options const o{.vocabulary = 97, .prefix = 3, .key = key};
    auto const d = check_method(be, wm::dip_processor(o), wm::dip_detector(o), 150, 1e-4);
    CHECK(std::isnan(d.evidence[0]));
    auto published = o;
    published.unscaled_z = published.counts_first_token = true;
    auto const text = plain_text(model, 40, 8);
    auto const correct = wm::dip_detector(o)({text}), as_published = wm::dip_detector(published)({text});
    auto const green = static_cast<double>(std::ranges::count_if(correct.evidence, [](double q) { return q >= 0.5; }));
    CHECK(correct.score == Approx((green - 0.5 * 39) / std::sqrt(39 * 0.25)));
    CHECK(as_published.score == Approx((green - 0.5 * 40) / std::sqrt(40.0)));
    CHECK(as_published.p_value == correct.p_value);

    for (auto const kind : {wm::unbiased_reweighting::gamma, wm::unbiased_reweighting::delta}) {
        wm::unbiased_options const u{.vocabulary = 97, .reweighting = kind, .prefix = 3, .key = key};
        wm::unbiased_processor processor(u);
        wm::unbiased_detector const detector(u);
        auto const marked = marked_text<float>(be, processor, model, 60, 3), plain = plain_text(model, 60, 4);
        auto const view = [](tokens const & t) {
            return wm::token_text{
                t, {}, [&t](std::size_t i, std::span<double> row) { model(std::span{t}.first(i), row); }};
        };
        auto const found = detector(view(marked)), none = detector(view(plain));
        CHECK(found.watermarked);
        CHECK(found.log_p_value < std::log(1e-6));
        CHECK_FALSE(none.watermarked);
        check_detector(detector, 97, {view(marked), view(plain)});
        CHECK_THROWS_AS(detector({marked}), shape_error);
        auto broken = view(marked);
        broken.logits = [](std::size_t, std::span<double> row) { row[0] = std::nan(""); };
        CHECK_THROWS_AS(detector(broken), non_finite_error);
    }
    CHECK_THROWS_AS(wm::dip_detector({.vocabulary = 9, .key = "abc"}), option_error);
    CHECK_THROWS_AS(wm::dip_detector({.vocabulary = 9, .key = "zz"}), option_error);
}

TEST_CASE("dip: a context that came before keeps its logits", "[watermark][tokens]") {
    device be;
    wm::dip_processor processor({.vocabulary = 8, .prefix = 2, .key = key});
    auto buffer = be.allocate<float>(8);
    std::vector<float> const flat(8, 0.5f);
    auto const changes = [&](tokens const & before, std::size_t prompt) {
        be.upload(std::span<float const>{flat}, buffer.view());
        wm::token_context const context{before, prompt};
        processor(be, std::span{&context, 1}, as_matrix(buffer.view(), 1, 8));
        std::vector<double> after;
        wm::download_row<float>(be, as_matrix(buffer.view(), 1, 8), 0, after);
        return after[0] != 0.5 || after[1] != 0.5;
    };
    CHECK(changes({1, 2, 3}, 0));
    CHECK_FALSE(changes({1, 2, 3, 1, 2}, 0));
    CHECK(changes({1, 2, 3, 1, 2}, 5));
    CHECK_FALSE(changes({1}, 0));
}

TEST_CASE("synthid: both modes marked, then detected", "[watermark][tokens]") {
    kernels be;
    wm::synthid_options o;
    o.vocabulary = 97;
    for (std::uint64_t k = 0; k != 12; ++k)
        o.keys.push_back(1000003 * k + 17);
    o.ngram = 3;
    check_method(be, wm::synthid_processor(o), wm::synthid_detector(o), 150, 1e-6);
    o.score = wm::synthid_score::weighted;
    check_method(be, wm::synthid_processor(o), wm::synthid_detector(o), 150, 1e-6);
    o.mode = wm::synthid_mode::distortionary;
    o.leaves = 3;
    o.temperature = 0.8;
    check_method(be, wm::synthid_processor(o), wm::synthid_detector(o), 150, 1e-6);

    // Everything from the first end on is left out, and a text of nothing else has no score.
    o.eos = 5;
    tokens const ended{1, 2, 3, 4, 5, 6, 7, 8}, over{5, 1, 2, 3};
    auto const d = wm::synthid_detector(o)({ended});
    CHECK(d.scored == 2);
    CHECK((!std::isnan(d.evidence[3]) && std::isnan(d.evidence[4]) && std::isnan(d.evidence[7])));
    CHECK(wm::synthid_detector(o)({over}).scored == 0);
    // Tokens that differ by the table's size share their g-values.
    wm::synthid_values const g(o);
    CHECK(g(12345, 7) == g(12345, 7 + 65536));
    CHECK(g(12345, 7) != g(12345, 8));

    wm::synthid_options wrong = o;
    wrong.keys.clear();
    CHECK_THROWS_AS(wm::synthid_detector(wrong), option_error);
    wrong = o;
    wrong.table_size = 1000;
    CHECK_THROWS_AS(wm::synthid_detector(wrong), option_error);
    wrong = o;
    wrong.leaves = 1;
    CHECK_THROWS_AS(wm::synthid_processor(wrong), option_error);
}

TEST_CASE("synthid: a layer keeps the mass, and where there is no winner", "[watermark][tokens]") {
    kernels be;
    auto p = be.allocate<float>(4), g = be.allocate<float>(4);
    auto const run = [&](std::vector<float> const & probabilities, std::vector<float> const & values,
                         std::size_t leaves) {
        be.upload(std::span<float const>{probabilities}, p.view());
        be.upload(std::span<float const>{values}, g.view());
        wm::tournament_layer<kernels, float>(be, leaves, g.view(), p.view());
        std::vector<float> after(4);
        be.download(cvec<kernels, float>(p.view()), std::span{after});
        return after;
    };
    for (std::size_t const leaves : {2u, 3u, 10u}) {
        auto const after = run({0.4f, 0.1f, 0.3f, 0.2f}, {1, 0, 0, 1}, leaves);
        CHECK(std::accumulate(after.begin(), after.end(), 0.0) == Approx(1).epsilon(1e-5));
        CHECK(after[1] == Approx(0.1 * std::pow(0.4, static_cast<double>(leaves) - 1)).epsilon(1e-5));
        CHECK(run({0.5f, 0, 0.5f, 0}, {0, 1, 0, 1}, leaves)[0] == Approx(0.5));
        CHECK(run({0.5f, 0, 0.5f, 0}, {1, 1, 1, 1}, leaves)[0] == Approx(0.5));
    }
}

TEST_CASE("alignment: costs of edits", "[watermark][tokens]") {
    std::vector<double> const a{0.1, 0.5, 0.9}, b{0.5, 0.9, 0.3};
    auto const cost = [&](std::size_t i, std::size_t j) { return std::abs(a[i] - b[j]); };
    CHECK(wm::alignment_cost(3, 1, cost) == Approx(0.4 + 0.4 + 0.6)); // gaps cost more than they save
    CHECK(wm::alignment_cost(3, 0.1, cost) == Approx(0.2));           // leave out 0.1 and 0.3
    CHECK(wm::alignment_cost(0, 1, cost) == 0);
    std::vector<double> const cyclic{0.9, 0.1, 0.5};
    auto const best =
        wm::best_alignment(3, 3, 1, [&](std::size_t i, std::size_t r) { return std::abs(a[i] - cyclic[r]); });
    CHECK((best.cost == 0 && best.start == 1));
}

TEST_CASE("exp edit and its edit: found after edits", "[watermark][tokens]") {
    device be;
    wm::exp_edit_options const e{.vocabulary = 97, .length = 40, .runs = 120, .start = 13};
    check_method(be, wm::exp_edit_sampler(e), wm::exp_edit_detector(e), 30, 0.009);
    wm::its_edit_options const s{.vocabulary = 97, .length = 40, .runs = 120};
    check_method(be, wm::its_edit_sampler(s), wm::its_edit_detector(s), 30, 0.009);
    wm::exp_edit_sampler exp(e);
    wm::its_edit_sampler its(s);
    auto one = marked_text<float>(be, exp, model, 45, 3), two = marked_text<float>(be, its, model, 45, 3);
    for (auto * const text : {&one, &two}) { // two tokens go, one comes
        text->erase(text->begin() + 30);
        text->erase(text->begin() + 12);
        text->insert(text->begin() + 20, 96);
    }
    CHECK(wm::exp_edit_detector(e)({one}).p_value < 0.009);
    CHECK(wm::its_edit_detector(s)({two}).p_value < 0.009);
    // No run, no evidence; and the published way gives a share that may be 0.
    CHECK(wm::its_edit_detector({.vocabulary = 97, .length = 40, .runs = 0})({two}).p_value == 1);
    wm::its_edit_options published = s;
    published.permutes_null_again = true;
    auto const p = wm::its_edit_detector(published)({two}).p_value;
    CHECK(p * 120 == Approx(std::round(p * 120)).margin(1e-9));
    CHECK(p < 0.05);
}

TEST_CASE("sampling: p-values of texts that do not know the key", "[watermark][tokens]") {
    // The 1 % point of the one-sided distance is 0.107 for 200 texts.
    CHECK(excess(null_p_values(
              [](auto k) { return wm::exp_detector({.vocabulary = 97, .key = k * 7919 + 1, .prefix = 2}); }, 60))
          < 0.1);
    CHECK(excess(null_p_values([](auto k) { return wm::exp_gumbel_detector({.vocabulary = 97, .seed = k}); }, 60))
          < 0.1);
    CHECK(excess(null_p_values([](auto k) { return wm::pf_detector({.vocabulary = 97, .prefix = 4, .seed = k}); }, 60))
          < 0.1);
    CHECK(excess(null_p_values(
              [](auto k) { return wm::dip_detector({.vocabulary = 97, .prefix = 3, .key = hex_of(k)}); }, 60))
          < 0.1);
    CHECK(excess(null_p_values(
              [](auto k) {
        wm::synthid_options o;
        o.vocabulary = 97;
        o.ngram = 3;
        for (std::uint64_t i = 0; i != 10; ++i)
            o.keys.push_back(k * 104729 + i * 15485863);
        return wm::synthid_detector(o);
    }, 60))
          < 0.1);
    CHECK(excess(null_p_values(
              [](auto k) {
        return wm::exp_edit_detector(
            {.vocabulary = 97, .key = static_cast<std::uint32_t>(k), .length = 12, .runs = 39, .seed = k});
    }, 16, 120))
          < 0.13);
    CHECK(excess(null_p_values(
              [](auto k) {
        return wm::its_edit_detector({.vocabulary = 97, .key = k, .length = 12, .runs = 39, .seed = k});
    }, 16, 120))
          < 0.13);
}

TEST_CASE("sampling: what numpy and torch make of the published definitions", "[watermark][tokens]") {
    random::uniform_stream const u{5}, l{9};
    tokens text;
    for (std::uint64_t i = 0; i != 18; ++i)
        text.push_back(static_cast<wm::token>(u[i] * 97));
    auto const its =
        wm::its_edit_detector({.vocabulary = 97, .length = 24, .runs = 25, .permutes_null_again = true})({text});
    CHECK(its.score == Approx(-4.741283282637596).epsilon(1e-7)); // costs are of floats
    CHECK(its.p_value == Approx(0.84));
    CHECK(wm::exp_edit_detector({.vocabulary = 97, .length = 24, .runs = 2})({text}).score
          == Approx(38.0986374641921).epsilon(1e-12));

    // A marked text with one token replaced: the best point of the grid is inside it.
    auto const logits = [&](std::size_t i, std::span<double> row) {
        for (std::size_t k = 0; k != row.size(); ++k)
            row[k] = static_cast<double>(6 * l[i * 97 + k]);
    };
    for (auto const & [kind, replaced, expected] : {std::tuple{wm::unbiased_reweighting::gamma, 6, 1.780644505926976},
                                                    {wm::unbiased_reweighting::delta, 9, 51.05328948779274}}) {
        wm::hashed_seeds const seeds("00ff", 5);
        std::vector<double> p(97), q(97);
        tokens marked(text.begin(), text.begin() + 5);
        while (marked.size() < 25) {
            logits(marked.size(), p);
            host::softmax(std::span{p});
            wm::unbiased_distribution(kind, seeds(marked), p, q);
            auto const r = static_cast<double>(u[100 + marked.size()]);
            double sum = 0;
            wm::token k = 0;
            while (k + 1 < 97 && (sum += q[k]) <= r)
                ++k;
            marked.push_back(k);
        }
        auto & token = marked[static_cast<std::size_t>(replaced)];
        token = (token + 37) % 97;
        auto const d =
            wm::unbiased_detector({.vocabulary = 97, .reweighting = kind, .key = "00ff"})({marked, {}, logits});
        CHECK(d.score == Approx(expected).epsilon(1e-8));
    }
}
