// The statistics of sentence-level watermarks: ranks and their automaton, exact laws, calibration, rates.
#include <lathe/random/philox.hpp>
#include <lathe/watermark/calibration.hpp>
#include <lathe/watermark/rates.hpp>

#include <catch.hpp>

#include <numeric>

namespace {
using namespace lathe;
using namespace lathe_test;
using watermark::rank_automaton;
using watermark::rank_chain;

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// An index drawn from probabilities.
std::size_t drawn(std::span<double const> q, double u) {
    for (std::size_t j = 0; j != q.size(); ++j)
        if ((u -= q[j]) < 0)
            return j;
    return q.size() - 1;
}
/// Ranks of a text of n sentences after the first, from a chain.
std::vector<std::size_t> drawn_ranks(rank_chain const & chain, std::size_t n, std::uint64_t seed) {
    random::uniform_stream const u{seed};
    auto const k = chain.initial.size();
    std::vector<std::size_t> ranks;
    for (std::size_t i = 0; i != n; ++i) {
        auto const q = i == 0 || chain.transitions.empty()
                           ? std::span{chain.initial}
                           : std::span{chain.transitions}.subspan((ranks.back() - 1) * k, k);
        ranks.push_back(1 + drawn(q, static_cast<double>(u[i])));
    }
    return ranks;
}
std::size_t hits_of(rank_automaton const & a, std::vector<std::size_t> const & ranks) {
    std::size_t hits = 0;
    rank_automaton::state s = 0;
    for (auto const r : ranks) {
        hits += a.hit(r, s) ? 1 : 0;
        s = a.next(r, s);
    }
    return hits;
}
rank_chain some_chain(std::size_t k) {
    rank_chain c;
    auto const row = [&](std::size_t salt) {
        std::vector<double> q;
        for (std::size_t j = 0; j != k; ++j)
            q.push_back(1 + static_cast<double>((j * 7 + salt * 5) % 4) + (j == salt % k ? 3 : 0));
        auto const sum = std::accumulate(q.begin(), q.end(), 0.0);
        for (auto & x : q)
            x /= sum;
        return q;
    };
    c.initial = row(0);
    for (std::size_t i = 0; i != k; ++i) {
        auto const q = row(i + 1);
        c.transitions.insert(c.transitions.end(), q.begin(), q.end());
    }
    return c;
}
} // namespace

TEST_CASE("the order of ranks is the end of a stable sort, with NaN last", "[ranks]") {
    auto const order = [](std::vector<double> const & u) {
        std::vector<std::uint16_t> r(u.size());
        watermark::rank_order(u, r);
        return r;
    };
    CHECK(order({0.1, 0.6, 0.3}) == std::vector<std::uint16_t>{1, 2, 0});
    CHECK(order({0.5, 0, 0.5, 0}) == std::vector<std::uint16_t>{2, 0, 3, 1}); // of equal ones the higher index
    CHECK(order({nan_value, 1, nan_value, infinity}) == std::vector<std::uint16_t>{2, 0, 3, 1});
    CHECK(order({0.0, -0.0, 0.0}) == std::vector<std::uint16_t>{2, 1, 0});
    CHECK(order({}).empty());
    // Against the definition, below and above the size where the way of sorting changes.
    for (std::size_t const k : {5u, 32u, 33u, 200u}) {
        random::uniform_stream const noise{k};
        std::vector<double> u(k);
        for (std::size_t j = 0; j != k; ++j)
            u[j] = noise[2 * j] < 0.1f ? nan_value : static_cast<double>(static_cast<int>(noise[2 * j + 1] * 8));
        std::vector<std::uint16_t> ascending(k);
        std::iota(ascending.begin(), ascending.end(), std::uint16_t{0});
        std::ranges::sort(ascending, [&](auto a, auto b) {
            if (std::isnan(u[a]) || std::isnan(u[b]))
                return std::isnan(u[a]) == std::isnan(u[b]) ? a < b : std::isnan(u[b]);
            return u[a] != u[b] ? u[a] < u[b] : a < b;
        });
        std::ranges::reverse(ascending);
        CHECK(order(u) == ascending);
    }
    std::vector<std::uint16_t> short_one(2);
    CHECK_THROWS_AS(watermark::rank_order(std::vector<double>(3), short_one), shape_error);
    CHECK(watermark::rank_in(std::vector<std::uint16_t>{4, 2, 0}, 2) == 2);
    CHECK(watermark::rank_in(std::vector<std::uint16_t>{4, 2, 0}, 1) == 0);
}

TEST_CASE("rules for any number of clusters", "[ranks]") {
    auto const published = watermark::default_rank_rule(8);
    CHECK(published == watermark::rank_rule{});
    CHECK(watermark::default_rank_rule(12) == watermark::rank_rule{{1, 3, 5}, {2, 4, 6, 7, 8, 9}, 1, 5});
    CHECK(watermark::default_rank_rule(5) == watermark::rank_rule{{1}, {2, 3}, 1, 5});
    CHECK(watermark::default_rank_rule(1) == watermark::rank_rule{{1}, {}, 1, 5});
    CHECK(watermark::authors_rank_rule(8) == watermark::rank_rule{});
    CHECK(watermark::authors_rank_rule(12).primary == std::vector<std::size_t>{1, 3});
    CHECK(watermark::authors_rank_rule(2).primary == std::vector<std::size_t>{1});
    CHECK_FALSE(watermark::authors_rank_rule(12).has_relief());
    for (std::size_t k = 1; k != 40; ++k) // valid whatever K
        CHECK(rank_automaton(watermark::default_rank_rule(k), k).clusters() == k);

    rank_automaton const a(published, 8);
    CHECK(a.states() == 7);
    rank_automaton::state s = 0;
    for (int i = 0; i != 6; ++i) {
        CHECK_FALSE(a.in_relief(s));
        CHECK((a.hit(1, s) && a.hit(3, s) && !a.hit(2, s)));
        s = a.next(3, s); // does not count
        s = a.next(1, s);
    }
    CHECK(a.in_relief(s));
    CHECK((a.hit(2, s) && a.hit(6, s) && !a.hit(1, s) && !a.hit(7, s)));
    CHECK(a.green_count(s) == 4);
    CHECK(a.next(1, s) == 0); // hit or not
    CHECK(rank_automaton(watermark::authors_rank_rule(5), 5).states() == 1);

    CHECK_THROWS_WITH(rank_automaton({{1, 9}, {}, 1, 5}, 8), contains("primary: found 9, expected ranks from 1 to 8"));
    CHECK_THROWS_AS(rank_automaton({{1, 1}, {}, 1, 5}, 8), option_error);
    CHECK_THROWS_AS(rank_automaton({{}, {2}, 1, 5}, 8), option_error);
    CHECK_THROWS_AS(rank_automaton({{1}, {0}, 1, 5}, 8), option_error);
    CHECK_THROWS_AS(rank_automaton({{1}, {2}, 9, 5}, 8), option_error);
    CHECK_THROWS_AS(watermark::default_rank_rule(0), option_error);
}

TEST_CASE("the exact law of hits sums to 1 and is that of simulated texts", "[null]") {
    auto const n = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{9}, std::size_t{25});
    auto const k = GENERATE(std::size_t{1}, std::size_t{3}, std::size_t{8}, std::size_t{12});
    bool const markov = GENERATE(false, true);
    auto chain = some_chain(k);
    if (!markov)
        chain.transitions.clear();
    rank_automaton const a(watermark::default_rank_rule(k), k);
    auto const law = watermark::rank_hit_law(a, chain, n);
    REQUIRE(law.pmf().size() == n + 1);
    CHECK(std::accumulate(law.pmf().begin(), law.pmf().end(), 0.0) == Approx(1).epsilon(1e-13));
    CHECK(law.tail(0) == Approx(1));
    constexpr std::size_t texts = 4000;
    std::vector<double> counts(n + 1);
    for (std::size_t i = 0; i != texts; ++i)
        ++counts[hits_of(a, drawn_ranks(chain, n, 1000 * k + i))];
    for (std::size_t h = 0; h <= n; ++h) {
        auto const p = law.pmf()[h];
        CHECK(std::abs(counts[h] / texts - p) <= 5 * std::sqrt(p * (1 - p) / texts) + 1e-12);
    }
}

TEST_CASE("a chain whose rows are alike is independent ranks", "[null]") {
    auto const chain = some_chain(8);
    rank_chain const independent{chain.initial, {}};
    rank_chain same{chain.initial, {}};
    for (int i = 0; i != 8; ++i)
        same.transitions.insert(same.transitions.end(), chain.initial.begin(), chain.initial.end());
    rank_automaton const a({}, 8);
    auto const x = watermark::rank_hit_law(a, independent, 30), y = watermark::rank_hit_law(a, same, 30);
    for (std::size_t h = 0; h != 31; ++h)
        CHECK(x.pmf()[h] == Approx(y.pmf()[h]).epsilon(1e-12));
    // A limit that no text reaches is none, and costs no more.
    auto const far = watermark::rank_hit_law(rank_automaton({{1, 3}, {2}, 1, 999'999}, 8), chain, 30);
    auto const never =
        watermark::rank_hit_law(rank_automaton({{1, 3}, {2}, 1, watermark::no_streak_limit}, 8), chain, 30);
    for (std::size_t h = 0; h != 31; ++h)
        CHECK(far.pmf()[h] == Approx(never.pmf()[h]).epsilon(1e-12));
    // Without relief hits are independent.
    rank_automaton const plain({{1, 3}, {}, 1, 5}, 8);
    auto const b = watermark::binomial_law(30, chain.initial[0] + chain.initial[2]);
    auto const z = watermark::rank_hit_law(plain, independent, 30);
    for (std::size_t h = 0; h != 31; ++h)
        CHECK(z.pmf()[h] == Approx(b.pmf()[h]).epsilon(1e-12));
}

TEST_CASE("what a number of hits says", "[null]") {
    watermark::hit_law const law({0.25, 0.5, 0.25});
    auto const s = law.summary(2);
    CHECK(s.mean == 1);
    CHECK(s.variance == 0.5);
    CHECK(s.z == Approx(1 / std::sqrt(0.5)));
    CHECK(s.p == 0.25);
    CHECK(s.mid_p == 0.125);
    CHECK(law.tail(1.5) == 0.25); // a score between hits
    CHECK(law.tail(-3) == 1);
    CHECK(law.tail(2.5) == 0);
    CHECK(std::isnan(law.tail(nan_value)));
    CHECK(law.threshold(1) == 0);
    CHECK(law.threshold(0.75) == 1);
    CHECK(law.threshold(0.7) == 2);
    CHECK(law.threshold(0.2) == 3); // no text reaches it
    CHECK(law.threshold(0) == 3);
    CHECK_THROWS_AS(law.threshold(-0.1), option_error);
    CHECK_THROWS_AS(law.threshold(nan_value), option_error);
    CHECK(watermark::hit_law({0, 1}).summary(1).z == 0);
    CHECK(watermark::hit_law({1, 0}).summary(1).z == infinity);
    CHECK_THROWS_AS(watermark::hit_law({}), shape_error);
    CHECK_THROWS_AS(watermark::hit_law({0.5, -0.5}), option_error);
    // The least number of hits that a comparison with a ratio lets through, in the comparison's own arithmetic.
    for (std::size_t n = 1; n != 60; ++n)
        for (double const ratio : {0.0, 0.1, 0.3, 0.7, 0.9, 1.0, 1.5}) {
            std::size_t h = 0;
            while (h <= n && !(static_cast<double>(h) / static_cast<double>(n) >= ratio))
                ++h;
            CHECK(watermark::hits_for_ratio(ratio, n) == h);
        }
    auto const published = watermark::binomial_null(0.25)(29, 11);
    CHECK(published.z == Approx((11 - 7.25) / std::sqrt(29 * 0.25 * 0.75)).epsilon(1e-15));
    CHECK_THROWS_AS(watermark::binomial_null(1.5), option_error);
    CHECK_THROWS_AS(watermark::poisson_binomial_law(std::vector<double>{0.2, 1.2}), option_error);
    CHECK_THROWS_AS(watermark::rank_hit_law(rank_automaton({}, 8), {{1, 0}, {}}, 3), option_error);
    CHECK_THROWS_AS(watermark::rank_hit_law(rank_automaton({{1}, {}, 1, 5}, 2), {{0.5, 0.6}, {}}, 3), option_error);
}

TEST_CASE("the law over keys of looks at random subsets", "[null]") {
    // One look at each: Poisson's binomial.
    std::vector<watermark::keyed_group> const singles{{8, 2, 1}, {8, 4, 1}, {8, 2, 1}};
    auto const x = watermark::keyed_law(singles);
    auto const y = watermark::poisson_binomial_law(std::vector<double>{0.25, 0.5, 0.25});
    for (std::size_t h = 0; h != 4; ++h)
        CHECK(x.pmf()[h] == Approx(y.pmf()[h]).epsilon(1e-14));
    // Several looks at one: C(2, h) C(6, 3 - h) / C(8, 3).
    auto const z = watermark::keyed_law(std::vector<watermark::keyed_group>{{8, 2, 3}});
    CHECK(z.pmf()[0] == Approx(20.0 / 56));
    CHECK(z.pmf()[1] == Approx(30.0 / 56));
    CHECK(z.pmf()[2] == Approx(6.0 / 56));
    CHECK(z.pmf()[3] == 0);
    CHECK(watermark::keyed_law({}).pmf().size() == 1);
    auto const all = watermark::keyed_law(std::vector<watermark::keyed_group>{{5, 3, 5}}); // no choice is left
    CHECK(all.pmf()[3] == Approx(1));
    CHECK_THROWS_AS(watermark::keyed_law(std::vector<watermark::keyed_group>{{5, 6, 1}}), option_error);
    CHECK_THROWS_AS(watermark::keyed_law(std::vector<watermark::keyed_group>{{5, 2, 6}}), option_error);
}

TEST_CASE("the law of ranks is estimated from texts", "[calibration]") {
    auto const chain = some_chain(6);
    watermark::rank_counts counts(6);
    for (std::size_t i = 0; i != 3000; ++i)
        counts.add(drawn_ranks(chain, 20, i));
    auto const found = counts.markov();
    for (std::size_t j = 0; j != 36; ++j)
        CHECK(std::abs(found.transitions[j] - chain.transitions[j]) < 0.02);
    CHECK_NOTHROW(validate(found, 6));

    watermark::rank_counts few(3);
    few.add(std::vector<int>{1, 1, 3});
    CHECK(few.independent(0).initial == std::vector<double>{2.0 / 3, 0, 1.0 / 3});
    CHECK(few.independent(1).initial == std::vector<double>{3.0 / 6, 1.0 / 6, 2.0 / 6});
    CHECK_NOTHROW(validate(few.markov(), 3)); // nobody saw what follows 2 or 3
    CHECK_NOTHROW(validate(few.markov(0), 3));
    CHECK_THROWS_AS(few.add(std::vector<int>{4}), shape_error);
    CHECK_THROWS_AS(few.add(std::vector<int>{0}), shape_error);
    CHECK_THROWS_AS(few.independent(-1), option_error);
    CHECK_THROWS_AS(watermark::rank_counts(3).independent(0), option_error);
    CHECK(few.counts()[0] == 2);
}

TEST_CASE("conformal p-values", "[calibration]") {
    watermark::conformal_scores scores;
    for (double const s : {0.5, 0.1, 0.5, 0.9})
        scores.add(12, s);
    CHECK(scores.p_value(12, 1.0) == 1.0 / 5);
    CHECK(scores.p_value(12, 0.9) == 2.0 / 5);
    CHECK(scores.p_value(12, 0.5) == 4.0 / 5);
    CHECK(scores.p_value(12, 0.0) == 1);
    CHECK(scores.p_value(13, 9.0) == 1); // no scores of that length
    CHECK(scores.lengths() == std::vector<std::size_t>{12});
    CHECK_THROWS_AS(scores.add(12, nan_value), non_finite_error);
    CHECK_THROWS_AS(scores.p_value(12, nan_value), non_finite_error);
    CHECK(scores.threshold(12, 0.1) == infinity);
    CHECK(scores.threshold(12, 0.2) == 0.9);
    CHECK(scores.threshold(12, 1) == -infinity);
    for (double const rate : {0.0, 0.1, 0.2, 0.39, 0.4, 0.5, 0.79, 0.8, 0.99, 1.0}) // scores above it and no others
        for (double const s : {0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.1})
            CHECK((s > scores.threshold(12, rate)) == (scores.p_value(12, s) <= rate));

    // Valid over the draw of everything: of exchangeable scores with many ties, P(p <= a) <= a.
    random::uniform_stream const u{3};
    std::size_t draw = 0;
    constexpr std::size_t repeats = 4000;
    std::array<double, 3> const rates{0.05, 0.1, 0.5};
    std::array<double, 3> below{};
    for (std::size_t i = 0; i != repeats; ++i) {
        watermark::conformal_scores human;
        auto const score = [&] { return std::floor(6 * static_cast<double>(u[draw++])); };
        for (int j = 0; j != 39; ++j)
            human.add(5, score());
        auto const p = human.p_value(5, score());
        for (std::size_t j = 0; j != rates.size(); ++j)
            below[j] += p <= rates[j] ? 1.0 / repeats : 0;
    }
    for (std::size_t j = 0; j != rates.size(); ++j)
        CHECK(below[j] <= rates[j] + 4 * std::sqrt(rates[j] * (1 - rates[j]) / repeats));
}

TEST_CASE("sequential evidence is a martingale under its null, and grows on hits", "[calibration]") {
    rank_automaton const a({}, 8);
    auto chain = some_chain(8);
    bool const markov = GENERATE(false, true);
    if (!markov)
        chain.transitions.clear();
    // The mean over all texts of 4 sentences is 1, exactly.
    double mean = 0;
    for (std::size_t code = 0; code != 4096; ++code) {
        std::vector<std::size_t> ranks{1 + code % 8, 1 + code / 8 % 8, 1 + code / 64 % 8, 1 + code / 512};
        double share = chain.initial[ranks[0] - 1];
        for (std::size_t i = 1; i != 4; ++i)
            share *= markov ? chain.transitions[(ranks[i - 1] - 1) * 8 + ranks[i] - 1] : chain.initial[ranks[i] - 1];
        mean += share * watermark::sequential_test(a, chain, std::span<std::size_t const>{ranks}).values.back();
    }
    CHECK(mean == Approx(1).epsilon(1e-12));

    // Looked at after every sentence, it rarely gets large.
    std::size_t alarms = 0;
    for (std::size_t i = 0; i != 1000; ++i) {
        auto const ranks = drawn_ranks(chain, 60, 5000 + i);
        auto const r = watermark::sequential_test(a, chain, std::span<std::size_t const>{ranks});
        alarms += r.p_values.back() <= 0.05 ? 1 : 0;
        CHECK(std::ranges::is_sorted(r.p_values, std::greater<>{}));
    }
    CHECK(alarms <= 50 + 4 * 7);
    std::vector<std::size_t> const marked(20, 3); // always a hit
    CHECK(watermark::sequential_test(a, chain, std::span<std::size_t const>{marked}).p_values.back() < 1e-4);

    CHECK(watermark::hit_probability(a, 0, chain.initial) == Approx(chain.initial[0] + chain.initial[2]));
    CHECK(watermark::hit_probability(a, 6, std::vector<double>(8, 0.125)) == 0.5);
    watermark::sequential_evidence e;
    e.add(true, 1); // certain either way
    CHECK(e.value() == 1);
    e.add(true, 0); // impossible under the null
    CHECK(e.value() == infinity);
    CHECK(e.p_value() == 0);
    CHECK_THROWS_AS(e.add(true, 1.5), option_error);
    CHECK_THROWS_AS(watermark::sequential_evidence(watermark::sequential_options{.strengths = {}}), option_error);
    CHECK_THROWS_AS(watermark::sequential_evidence(watermark::sequential_options{.strengths = {1.0}}), option_error);
}

TEST_CASE("the area under the ROC is the share of pairs in order", "[rates]") {
    random::uniform_stream const u{11};
    std::vector<double> p, q;
    for (std::size_t i = 0; i != 40; ++i) {
        p.push_back(std::floor(10 * static_cast<double>(u[2 * i])) + 2);
        q.push_back(std::floor(10 * static_cast<double>(u[2 * i + 1])));
    }
    double pairs = 0;
    for (auto const a : p)
        for (auto const b : q)
            pairs += a > b ? 1 : a == b ? 0.5 : 0;
    auto const r = watermark::auc(p, q);
    CHECK(r.auc == pairs / (40 * 40));
    CHECK(r.confidence.low < r.auc);
    CHECK(r.confidence.high > r.auc);
    CHECK(watermark::auc(q, p).auc == Approx(1 - r.auc).epsilon(1e-15));
    CHECK(watermark::auc(p, p).auc == 0.5);
    CHECK(std::isnan(watermark::auc(p, {}).auc));
    CHECK(watermark::auc(std::vector<double>{infinity}, std::vector<double>{-infinity}).auc == 1);
    CHECK_THROWS_AS(watermark::auc(std::vector<double>{nan_value}, q), non_finite_error);
    // DeLong's error against the spread of repeated draws.
    double sum = 0, squares = 0, errors = 0;
    for (std::size_t i = 0; i != 300; ++i) {
        std::vector<double> a, b;
        for (std::size_t j = 0; j != 50; ++j) {
            a.push_back(static_cast<double>(u[1000 + 100 * i + 2 * j]) + 0.3);
            b.push_back(static_cast<double>(u[1000 + 100 * i + 2 * j + 1]));
        }
        auto const s = watermark::auc(a, b);
        sum += s.auc;
        squares += s.auc * s.auc;
        errors += s.standard_error / 300;
    }
    CHECK(std::sqrt(squares / 300 - sum * sum / 90000) == Approx(errors).epsilon(0.15));
}

TEST_CASE("thresholds and rates", "[rates]") {
    std::vector<double> const p{3, 2, 2, 1}, q{2, 1, 0, 0};
    auto const points = watermark::roc(p, q);
    REQUIRE(points.size() == 5);
    CHECK(points[0].threshold == infinity);
    CHECK(points[2].threshold == 2);
    CHECK(points[2].true_positives == 3);
    CHECK(points[2].false_positives == 1);
    CHECK(points.back().tpr == 1);
    CHECK(points.back().fpr == 1);
    auto const strict = watermark::tpr_at_fpr(p, q, 0);
    CHECK(strict.threshold == 3);
    CHECK(strict.tpr == 0.25);
    auto const loose = watermark::tpr_at_fpr(p, q, 0.25);
    CHECK(loose.threshold == 2);
    CHECK(loose.tpr == 0.75);
    CHECK(loose.fpr == 0.25);
    CHECK(loose.tpr_confidence.low == Approx(watermark::clopper_pearson(3, 4).low));
    auto const none = watermark::tpr_at_fpr(q, std::vector<double>{5, 6}, 0.1); // nothing below the negatives' best
    CHECK(none.threshold == infinity);
    CHECK(none.tpr == 0);
    CHECK_THROWS_AS(watermark::tpr_at_fpr(p, q, 2), option_error);
}

TEST_CASE("confidence intervals", "[rates]") {
    // Against scipy.stats.binomtest(...).proportion_ci.
    auto const c = watermark::clopper_pearson(3, 10);
    CHECK(c.low == Approx(0.06673951117773447).epsilon(1e-10));
    CHECK(c.high == Approx(0.6524528500599972).epsilon(1e-10));
    CHECK(watermark::clopper_pearson(0, 10).low == 0);
    CHECK(watermark::clopper_pearson(0, 10).high == Approx(1 - std::pow(0.025, 0.1)).epsilon(1e-12));
    CHECK(watermark::clopper_pearson(10, 10).high == 1);
    CHECK(watermark::clopper_pearson(0, 0).high == 1);
    auto const w = watermark::wilson(3, 10);
    CHECK(w.low == Approx(0.1077912674063011).epsilon(1e-10));
    CHECK(w.high == Approx(0.6032218525388546).epsilon(1e-10));
    CHECK(watermark::wilson(0, 7).low == 0);
    CHECK(watermark::wilson(0, 0).high == 1);
    CHECK_THROWS_AS(watermark::clopper_pearson(3, 2), option_error);
    CHECK_THROWS_AS(watermark::clopper_pearson(1, 2, 1.0), option_error);
    CHECK(watermark::normal_quantile_above(0.025) == Approx(1.959963984540054).epsilon(1e-13));
    // Coverage of Clopper and Pearson, exactly: over the binomial law at any truth.
    for (double const truth : {0.01, 0.2, 0.5, 0.93}) {
        auto const law = watermark::binomial_law(25, truth);
        double covered = 0;
        for (std::size_t h = 0; h != 26; ++h)
            if (auto const i = watermark::clopper_pearson(h, 25, 0.9); i.low <= truth && truth <= i.high)
                covered += law.pmf()[h];
        CHECK(covered >= 0.9);
    }
    // I_x(a, b) for whole a, b is a binomial tail.
    for (double const x : {1e-9, 0.1, 0.5, 0.77})
        CHECK(watermark::incomplete_beta(4, 7, x) == Approx(watermark::binomial_law(10, x).tail(4)).epsilon(1e-12));
}

TEST_CASE("MarkLLM's success rates", "[rates]") {
    auto const r = watermark::fundamental_success_rates({true, true, false, true}, {false, false, true, false});
    CHECK(r.tpr == 0.75);
    CHECK(r.fnr == 0.25);
    CHECK(r.tnr == 0.75);
    CHECK(r.fpr == 0.25);
    CHECK(r.precision == 0.75);
    CHECK(r.recall == 0.75);
    CHECK(r.f1 == 0.75);
    CHECK(r.accuracy == 0.75);
    auto const nothing = watermark::fundamental_success_rates({}, {});
    CHECK(nothing.accuracy == 0);
    CHECK(nothing.f1 == 0);

    std::vector<double> const marked{5, 4, 4, 1}, plain{0, 1, 2, 4.5};
    // All pairs of neighbours tried one by one, as MarkLLM does.
    auto const by_hand = [&](watermark::dynamic_threshold_options const & o) {
        double const sign = o.reverse ? -1 : 1;
        std::vector<double> all(marked);
        all.insert(all.end(), plain.begin(), plain.end());
        std::ranges::sort(all, [&](double a, double b) { return sign * a < sign * b; });
        watermark::dynamic_threshold_result best{nan_value, false, {}};
        for (std::size_t i = 0; i + 1 != all.size(); ++i) {
            auto const t = (all[i] + all[i + 1]) / 2;
            std::vector<bool> found, wrong;
            for (auto const x : marked)
                found.push_back(sign * x >= sign * t);
            for (auto const x : plain)
                wrong.push_back(sign * x >= sign * t);
            auto const rates = watermark::fundamental_success_rates(found, wrong);
            bool const target = o.rule == watermark::threshold_rule::target_fpr;
            if (target || std::isnan(best.threshold) || rates.f1 > best.rates.f1)
                best = {t, !target || rates.fpr <= o.target_fpr, rates};
            if (target && best.within)
                break;
        }
        return best;
    };
    for (bool const reverse : {false, true})
        for (auto const rule : {watermark::threshold_rule::best_f1, watermark::threshold_rule::target_fpr})
            for (double const target : {0.0, 0.25, 0.5, 1.0}) {
                watermark::dynamic_threshold_options const o{rule, target, reverse};
                auto const found = watermark::dynamic_threshold_success_rates(marked, plain, o), expected = by_hand(o);
                CHECK(found.threshold == expected.threshold);
                CHECK(found.within == expected.within);
                CHECK(found.rates.f1 == expected.rates.f1);
                CHECK(found.rates.fpr == expected.rates.fpr);
            }
    CHECK(std::isnan(watermark::dynamic_threshold_success_rates({}, std::vector<double>{1}).threshold));
    CHECK_THROWS_AS(watermark::dynamic_threshold_success_rates(std::vector<double>{nan_value}, plain),
                    non_finite_error);
}
