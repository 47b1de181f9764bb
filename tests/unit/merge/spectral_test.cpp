// TSV-M, Iso-C, Iso-CTS: laws, against decompositions made here; shares, ranks, errors, memory.
#include "matrix_models.hpp"
#include "polytope.hpp"
#include <catch.hpp>

#include <lathe/merge/spectral.hpp>
#include <lathe/testing/archetype.hpp>

using namespace lathe;
using lathe_test::contains;
using lathe_test::distance;
using lathe_test::matrix;
using lathe_test::plus;
using backend = lathe_test::plain_backend<>;

namespace {

/// A base and models of a wide matrix, a tall one, a bias and an integer.
struct family {
    memory_checkpoint base{"base"};
    std::vector<std::unique_ptr<memory_checkpoint>> models;
    std::vector<checkpoint *> pointers;

    static void fill(memory_checkpoint & c, std::uint64_t seed, double factor) {
        auto const scaled = [&](std::size_t rows, std::size_t cols, std::uint64_t part) {
            auto m = lathe_test::random_matrix<double>(rows, cols, 100 * seed + part);
            for (auto & x : m.values)
                x *= factor;
            return m;
        };
        lathe_test::set(c, "tall.weight", scaled(11, 6, 1));
        lathe_test::set(c, "wide.weight", scaled(5, 12, 2));
        lathe_test::set(c, "bias", scaled(1, 9, 3).values);
        std::vector<std::int64_t> const steps{static_cast<std::int64_t>(seed)};
        c.set({"steps", dtype::i64, {1}}, std::as_bytes(std::span{steps}));
    }
    explicit family(std::size_t n) {
        fill(base, 1, 1);
        for (std::size_t k = 0; k != n; ++k) {
            auto m = std::make_unique<memory_checkpoint>("model " + std::to_string(k));
            fill(*m, k + 2, 0.1);
            for (auto const * name : {"tall.weight", "wide.weight"})
                lathe_test::set(*m, name, plus(lathe_test::get(*m, name), lathe_test::get(base, name)));
            lathe_test::set(*m, "bias", plus(lathe_test::get(*m, "bias"), lathe_test::get(base, "bias")).values);
            add(std::move(m));
        }
    }
    void add(std::unique_ptr<memory_checkpoint> m) {
        pointers.push_back(m.get());
        models.push_back(std::move(m));
    }
    [[nodiscard]] matrix<double> task(std::size_t k, char const * name) const {
        return plus(lathe_test::get(*models[k], name), lathe_test::get(base, name), -1);
    }
    [[nodiscard]] matrix<double> delta(memory_checkpoint const & merged, char const * name) const {
        return plus(lathe_test::get(merged, name), lathe_test::get(base, name), -1);
    }
};

/// The best approximation of rank r.
matrix<double> truncated(matrix<double> const & a, std::size_t r) {
    backend be;
    auto d = linalg::svd(be, a.view());
    auto const u = lathe_test::on_host<double>(be, d.left().first_rows(r));
    auto sv = lathe_test::on_host<double>(be, d.right().first_rows(r));
    for (std::size_t k = 0; k != r; ++k)
        for (std::size_t j = 0; j != sv.cols; ++j)
            sv(k, j) *= d.s[k];
    return lathe_test::product(u, true, sv, false);
}
std::vector<double> singular_values(matrix<double> const & a) {
    backend be;
    return linalg::svd(be, a.view()).s;
}

enum class method { tsv, iso_c, iso_cts };
template <class T = double, class B>
merge::spectral_result run(method m, B & be, merge::model_pool const & pool, memory_checkpoint & out,
                           double scaling = 1) {
    switch (m) {
    case method::tsv: return merge::tsv<T>(be, pool, out, {.alpha = scaling});
    case method::iso_c: return merge::iso_c<T>(be, pool, out, {.scaling = scaling});
    default: return merge::iso_cts<T>(be, pool, out, {.scaling = scaling, .common_space_fraction = 0.5});
    }
}

} // namespace

TEST_CASE("one model: TSV-M keeps it, the isotropic merges flatten its spectrum", "[spectral]") {
    family f(1);
    backend be;
    merge::model_pool const pool(&f.base, f.pointers);
    memory_checkpoint out;
    merge::tsv<double>(be, pool, out);
    for (auto const * name : {"tall.weight", "wide.weight", "bias"})
        CHECK(distance(lathe_test::get(out, name), lathe_test::get(*f.models[0], name)) < 1e-13);
    for (auto const m : {method::iso_c, method::iso_cts}) {
        run(m, be, pool, out, 0.5);
        for (auto const * name : {"tall.weight", "wide.weight"}) {
            auto const before = singular_values(f.task(0, name));
            auto const mean = std::accumulate(before.begin(), before.end(), 0.0) / static_cast<double>(before.size());
            for (auto const s : singular_values(f.delta(out, name)))
                CHECK(s == Approx(0.5 * mean));
        }
    }
}

TEST_CASE("Iso-C has the singular vectors of the sum of the task vectors", "[spectral]") {
    family f(3);
    backend be;
    memory_checkpoint out;
    merge::iso_c<double>(be, merge::model_pool(&f.base, f.pointers), out);
    for (auto const * name : {"tall.weight", "wide.weight"}) {
        auto const sum = plus(plus(f.task(0, name), f.task(1, name)), f.task(2, name));
        auto const d = f.delta(out, name);
        auto const values = singular_values(sum);
        double inner = 0, total = 0;
        for (std::size_t i = 0; i != d.values.size(); ++i)
            inner += d.values[i] * sum.values[i];
        for (auto const s : values)
            total += s;
        // With the same vectors <mean U V^T, U S V^T> is mean * sum of S, which no other flat matrix reaches.
        CHECK(inner == Approx(total * total / static_cast<double>(values.size())));
    }
}

TEST_CASE("TSV-M of copies of one model is its approximation of rank s / N", "[spectral]") {
    family f(1);
    for (std::size_t k = 0; k != 2; ++k) {
        auto copy = std::make_unique<memory_checkpoint>("copy");
        for (std::size_t i = 0; i != f.base.tensors().size(); ++i)
            copy->set(f.models[0]->tensors()[i], f.models[0]->bytes(i));
        f.add(std::move(copy));
    }
    backend be;
    memory_checkpoint out;
    auto const result = merge::tsv<double>(be, merge::model_pool(&f.base, f.pointers), out);
    CHECK(distance(f.delta(out, "tall.weight"), truncated(f.task(0, "tall.weight"), 2)) < 1e-13);
    CHECK(distance(f.delta(out, "wide.weight"), truncated(f.task(0, "wide.weight"), 1)) < 1e-13);
    REQUIRE(result.tensors.size() == 2);
    CHECK(result.tensors[0].name == "tall.weight");
    CHECK(result.tensors[0].from_each == 2);
    CHECK(result.tensors[1].from_each == 1);
}

TEST_CASE("task vectors with orthogonal ranges and rows are merged without loss", "[spectral]") {
    family f(2);
    std::vector<matrix<double>> parts; // model k lives in rows 5k to 5k + 4 and columns 3k to 3k + 2 of the tall matrix
    for (std::size_t k = 0; k != 2; ++k) {
        parts.emplace_back(11, 6);
        auto const own = lathe_test::random_matrix<double>(5, 3, 50 + k);
        for (std::size_t i = 0; i != 5; ++i)
            for (std::size_t j = 0; j != 3; ++j)
                parts[k](5 * k + i, 3 * k + j) = own(i, j);
        lathe_test::set(*f.models[k], "tall.weight", plus(lathe_test::get(f.base, "tall.weight"), parts[k]));
    }
    backend be;
    memory_checkpoint out;
    merge::tsv<double>(be, merge::model_pool(&f.base, f.pointers), out);
    CHECK(distance(f.delta(out, "tall.weight"), plus(parts[0], parts[1])) < 1e-13);
}

TEST_CASE("what is no matrix gets the mean of the task vectors; integers come from the base", "[spectral]") {
    family f(3);
    backend be;
    memory_checkpoint out;
    auto const m = GENERATE(method::tsv, method::iso_c, method::iso_cts);
    run(m, be, merge::model_pool(&f.base, f.pointers), out, 0.6);
    auto mean = f.task(0, "bias");
    mean = plus(plus(mean, f.task(1, "bias")), f.task(2, "bias"));
    CHECK(distance(lathe_test::get(out, "bias"), plus(lathe_test::get(f.base, "bias"), mean, 0.2)) < 1e-15);
    CHECK(std::ranges::equal(out.bytes(out.find("steps").value()), f.base.bytes(f.base.find("steps").value())));
}

TEST_CASE("the order of the models does not matter; windows, threads and memory do not show", "[spectral]") {
    family f(4);
    auto const m = GENERATE(method::tsv, method::iso_c, method::iso_cts);
    backend be;
    lathe_test::plain_backend<thread_pool> three(3);
    memory_checkpoint a, b, c;
    run(m, be, merge::model_pool(&f.base, f.pointers), a);
    std::ranges::reverse(f.pointers);
    run(m, be, merge::model_pool(&f.base, f.pointers), b);
    std::ranges::reverse(f.pointers);
    run(m, three, merge::model_pool(&f.base, f.pointers), c);
    for (auto const * name : {"tall.weight", "wide.weight"})
        CHECK(distance(lathe_test::get(a, name), lathe_test::get(b, name)) < 1e-12);
    CHECK(lathe_test::bytes_of(a) == lathe_test::bytes_of(c));
}

TEST_CASE("a matrix of several windows", "[spectral]") {
    backend be;
    memory_checkpoint base("base"), m0("m0"), m1("m1"), small, large;
    lathe_test::set(base, "w", lathe_test::random_matrix<double>(2500, 4));
    lathe_test::set(m0, "w", lathe_test::random_matrix<double>(2500, 4, 2));
    lathe_test::set(m1, "w", lathe_test::random_matrix<double>(2500, 4, 3));
    auto const m = GENERATE(method::tsv, method::iso_c, method::iso_cts);
    run(m, be, merge::model_pool(&base, {&m0, &m1}, {.window = 4096}), small);
    run(m, be, merge::model_pool(&base, {&m0, &m1}), large);
    CHECK(lathe_test::bytes_of(small) == lathe_test::bytes_of(large));
}

TEST_CASE("frozen matrices stay the base, to the bit, and do not disturb the others", "[spectral]") {
    family f(2);
    for (auto const & model : f.models)
        lathe_test::set(*model, "wide.weight", lathe_test::get(f.base, "wide.weight"));
    backend be;
    memory_checkpoint out;
    auto const m = GENERATE(method::tsv, method::iso_c, method::iso_cts);
    run(m, be, merge::model_pool(&f.base, f.pointers), out);
    CHECK(lathe_test::get(out, "wide.weight").values == lathe_test::get(f.base, "wide.weight").values);

    // One of two frozen: the other's triplets alone.
    lathe_test::set(*f.models[1], "tall.weight", lathe_test::get(f.base, "tall.weight"));
    merge::tsv<double>(be, merge::model_pool(&f.base, f.pointers), out);
    CHECK(distance(f.delta(out, "tall.weight"), truncated(f.task(0, "tall.weight"), 3)) < 1e-13);
}

TEST_CASE("49 models leave nothing of a 49 x 49 matrix: the product is one of doubles", "[spectral]") {
    backend be;
    memory_checkpoint base("base"), model("model"), out;
    lathe_test::set(base, "w", lathe_test::random_matrix<double>(49, 49));
    lathe_test::set(model, "w", lathe_test::random_matrix<double>(49, 49, 2));
    auto const result = merge::tsv<double>(be, merge::model_pool(&base, std::vector<checkpoint *>(49, &model)), out);
    CHECK(result.tensors[0].from_each == 0);
    CHECK(lathe_test::bytes_of(out) == lathe_test::bytes_of(base));
    CHECK(
        merge::tsv<double>(be, merge::model_pool(&base, std::vector<checkpoint *>(7, &model)), out).tensors[0].from_each
        == 7);
}

TEST_CASE("Iso-CTS shares out all directions", "[spectral]") {
    auto const [s, fraction, N, common] = GENERATE(table<std::size_t, double, std::size_t, std::size_t>(
        {{8, 0.5, 4, 4},
         {7, 0.5, 4, 3},
         {7, 0.5, 6, 1},
         {10, 0.5, 2, 6}, // (10 - 5) / 2 = 2.5 rounds to the even 2
         {14, 0.5, 2, 6}, // 3.5 rounds to 4
         {1, 0.5, 4, 1},  // a row
         {3, 0.0, 4, 3},  // 4 directions of 3: down to none
         {8, 0.0, 4, 0},
         {8, 1.0, 3, 8},
         {10, 0.8, 8, 10}}));
    auto const share = merge::iso_cts_share("w", s, fraction, N);
    CHECK(share.common == common);
    CHECK(share.common + N * share.from_each == s);
}

TEST_CASE("Iso-CTS with all directions common is Iso-C; with none, every model has its share", "[spectral]") {
    family f(3);
    backend be;
    merge::model_pool const pool(&f.base, f.pointers);
    memory_checkpoint a, b;
    merge::iso_cts<double>(be, pool, a, {.scaling = 0.7, .common_space_fraction = 1});
    merge::iso_c<double>(be, pool, b, {.scaling = 0.7});
    for (auto const * name : {"tall.weight", "wide.weight"})
        CHECK(distance(lathe_test::get(a, name), lathe_test::get(b, name)) < 1e-13);
    auto const result = merge::iso_cts<double>(be, pool, a, {.common_space_fraction = 0});
    CHECK(result.tensors[0].from_each == 2);
    CHECK(result.tensors[0].common == 0);
    auto const values = singular_values(f.delta(a, "tall.weight"));
    double mean = 0; // of the two largest of each model
    for (std::size_t k = 0; k != 3; ++k) {
        auto const own = singular_values(f.task(k, "tall.weight"));
        mean += (own[0] + own[1]) / 6;
    }
    for (auto const v : values)
        CHECK(v == Approx(mean));
}

TEST_CASE("memory does not depend on the number of models; pointers need not be plain", "[spectral]") {
    auto const m = GENERATE(method::tsv, method::iso_c, method::iso_cts);
    std::vector<std::size_t> peaks;
    for (auto const n : std::vector<std::size_t>{2, 3, 6}) {
        family f(n);
        testing::archetype<testing::floor::matrix_space> device;
        backend host;
        memory_checkpoint a, b;
        merge::model_pool const pool(&f.base, f.pointers);
        run<float>(m, device, pool, a);
        run<float>(m, host, pool, b);
        for (auto const * name : {"tall.weight", "wide.weight", "bias"})
            CHECK(distance(lathe_test::get(a, name), lathe_test::get(b, name)) < 1e-6);
        // Everything but the windows: one of every checkpoint and of the result.
        peaks.push_back(device.memory().peak - (n + 2) * 11 * 6);
    }
    CHECK(std::ranges::max(peaks) <= std::ranges::min(peaks) + 11 * 6);
}

TEST_CASE("spectral methods name what is wrong", "[spectral]") {
    family f(2);
    backend be;
    memory_checkpoint out;
    auto const m = GENERATE(method::tsv, method::iso_c, method::iso_cts);
    CHECK_THROWS_AS(run(m, be, merge::model_pool(nullptr, f.pointers), out), option_error);
    CHECK_THROWS_AS(run(m, be, merge::model_pool(&f.base, f.pointers), out, std::numeric_limits<double>::quiet_NaN()),
                    option_error);
    CHECK_THROWS_WITH(
        merge::iso_cts<double>(be, merge::model_pool(&f.base, f.pointers), out, {.common_space_fraction = 1.5}),
        contains("common_space_fraction"));
    auto broken = lathe_test::get(*f.models[1], "wide.weight");
    broken(2, 2) = std::numeric_limits<double>::infinity();
    lathe_test::set(*f.models[1], "wide.weight", broken);
    CHECK_THROWS_AS(run(m, be, merge::model_pool(&f.base, f.pointers), out), non_finite_error);
    CHECK_THROWS_WITH(run(m, be, merge::model_pool(&f.base, f.pointers), out), contains("wide.weight"));
    if (m == method::tsv)
        CHECK_THROWS_WITH(run(m, be, merge::model_pool(&f.base, f.pointers), out), contains("model 1"));
}
