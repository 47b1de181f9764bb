// Everything that runs on several threads, once with one and once with four: the same bits, and for ThreadSanitizer
// (preset tsan) to look at. This program is built under it alone; what the results have to be, other tests say.
#include "../linalg/matrices.hpp"

#include <lathe/cluster/fuzzy_c_means.hpp>
#include <lathe/cluster/validity.hpp>
#include <lathe/core/gemm.hpp>
#include <lathe/core/softmax.hpp>
#include <lathe/evaluate/worfeval.hpp>
#include <lathe/io/safetensors.hpp>
#include <lathe/linalg/cholesky.hpp>
#include <lathe/linalg/svd.hpp>
#include <lathe/merge/ties.hpp>
#include <lathe/watermark/cohemark.hpp>
#include <lathe/watermark/detector.hpp>
#include <lathe/watermark/exponential.hpp>
#include <lathe/watermark/greenlist.hpp>

#include <catch.hpp>
#include <temporary_folder.hpp>

#include <cstring>
#include <limits>

namespace {
using namespace lathe;
using lathe_test::matrix;
using lathe_test::random_matrix;
using lathe_test::temporary_folder;
using threaded_backend = lathe_test::plain_backend<thread_pool>;

constexpr std::size_t many = 3 * host::task_elements + 5; // of elements: four tasks

/// f on one thread and on four gives the same.
template <class F> void same_on_threads(F const & f) {
    threaded_backend one(1), four(4);
    auto const expected = f(one);
    for (int again = 0; again != 2; ++again) // a pool that sleeps wakes up
        CHECK(f(four) == expected);
}
/// Texts of tokens that repeat one another here and there.
std::vector<std::vector<watermark::token>> some_texts(std::size_t count, std::uint32_t vocabulary) {
    std::vector<std::vector<watermark::token>> all(count);
    for (std::size_t t = 0; t != count; ++t)
        for (std::size_t i = 0; i != 60 + t % 7; ++i)
            all[t].push_back(static_cast<watermark::token>((i * i + 31 * t * (i % 5)) % vocabulary));
    return all;
}
template <class Detector> void same_detections(Detector const & detector, std::uint32_t vocabulary) {
    auto const tokens = some_texts(40, vocabulary);
    std::vector<watermark::token_text> texts;
    for (auto const & t : tokens)
        texts.push_back({.tokens = t});
    same_on_threads([&](threaded_backend & be) {
        std::vector<double> scores;
        for (auto const & d : watermark::detect_all(be.executor(), detector, texts))
            scores.push_back(d.score);
        return scores;
    });
}
} // namespace

TEST_CASE("threads: a pool, from two threads at once one pool each, and what a block throws") {
    std::vector<std::size_t> sums(2);
    auto const work = [&](std::size_t who) {
        thread_pool pool(4);
        for (std::size_t round = 0; round != 200; ++round) {
            std::vector<std::size_t> out(round % 9);
            pool.parallel_for(out.size(), [&](std::size_t i) { out[i] = i + who; });
            for (auto const x : out)
                sums[who] += x;
        }
        for (int round = 0; round != 20; ++round)
            try {
                pool.parallel_for(50, [&](std::size_t i) {
                    pool.parallel_for(2, [](std::size_t) {}); // from inside: serially
                    if (i >= 7)
                        throw option_error{"block " + std::to_string(i)};
                });
                sums[who] = 0;
            } catch (option_error const &) {}
    };
    std::thread other([&] { work(1); });
    work(0);
    other.join();
    std::size_t expected = 0, blocks = 0;
    for (std::size_t round = 0; round != 200; ++round) {
        auto const n = round % 9;
        blocks += n;
        expected += n == 0 ? 0 : n * (n - 1) / 2;
    }
    CHECK(sums[0] == expected);
    CHECK(sums[1] == expected + blocks);
}

TEST_CASE("threads: kernels and sums") {
    auto const x = random_matrix<float>(1, many, 1).values, y = random_matrix<float>(1, many, 2).values;
    same_on_threads([&](threaded_backend & be) {
        auto z = y;
        ops::axpy(be, 0.5f, view_of(std::span{x}), view_of(std::span{z}));
        auto const sum = ops::dot(be, view_of(std::span{x}), view_of(std::span{std::as_const(z)}));
        return std::pair{z, sum};
    });
}

TEST_CASE("threads: products, softmax, factorisations") {
    auto const a = random_matrix<float>(500, 40), b = random_matrix<float>(40, 30, 2);
    same_on_threads([&](threaded_backend & be) {
        matrix<float> c(500, 30);
        ops::gemm(be, op::none, op::none, 1.f, a.view(), b.view(), 0.f, c.view());
        ops::softmax_rows(be, c.view());
        return c.values;
    });
    same_on_threads([&](threaded_backend & be) {
        matrix<float> gram(90, 90);
        auto const m = random_matrix<float>(200, 90);
        ops::gemm(be, op::transpose, op::none, 1.f, m.view(), m.view(), 0.f, gram.view());
        auto x = random_matrix<float>(90, 40, 3);
        linalg::solve_spd(be, std::as_const(gram).view(), op::none, x.view());
        return x.values;
    });
    same_on_threads([&](threaded_backend & be) { return linalg::svd(be, random_matrix<float>(120, 75).view()).s; });
}

TEST_CASE("threads: clusters") {
    auto const x = random_matrix<float>(5 * cluster::block_rows, 6);
    same_on_threads([&](threaded_backend & be) {
        auto const r = cluster::fuzzy_c_means<float>(be, std::as_const(x).view(), {.clusters = 4, .max_iterations = 5});
        auto const v = cluster::validity<float>(be, std::as_const(x).view(), r.centres, 4, r.options.fuzzifier);
        auto const bound = cluster::collapse_bound<float>(be, std::as_const(x).view());
        return std::tuple{r.centres, r.objective, v.partition_coefficient, bound.fuzzifier};
    });
}

TEST_CASE("threads: a merge from mapped files to files, written in the background") {
    temporary_folder folder;
    std::vector<std::unique_ptr<checkpoint>> models;
    for (std::uint64_t k = 0; k != 4; ++k) {
        memory_checkpoint m;
        for (std::size_t t = 0; t != 3; ++t)
            m.set("layer." + std::to_string(t), {many + t},
                  std::span<float const>{random_matrix<float>(1, many + t, 10 * k + t).values});
        auto const path = folder / (std::to_string(k) + ".safetensors");
        io::save(m, path);
        models.push_back(io::open_checkpoint(path, {.resident_bytes = std::size_t{1} << 20}));
    }
    same_on_threads([&](threaded_backend & be) {
        auto const target = folder / "merged.safetensors";
        io::safetensors_writer writer{target, {.max_shard_size = 0, .sync = false, .background = true}};
        merge::model_pool const pool{
            models[0].get(), {models[1].get(), models[2].get(), models[3].get()}, {.window = host::task_elements * 2}};
        merge::ties(be, pool, writer);
        auto const merged = io::open_checkpoint(target);
        std::vector<std::byte> bytes;
        window_buffer buffer;
        for (std::size_t t = 0; t != merged->tensors().size(); ++t) {
            auto const window = merged->read(t, 0, merged->tensors()[t].bytes(), buffer);
            bytes.insert(bytes.end(), window.begin(), window.end());
        }
        return bytes;
    });
}

TEST_CASE("threads: one file is read by several") {
    temporary_folder folder;
    memory_checkpoint m;
    auto const x = random_matrix<float>(1, many).values;
    m.set("x", {many}, std::span{x});
    io::save(m, folder / "x.safetensors");
    for (auto const access : {io::access_mode::memory_map, io::access_mode::block_read}) {
        auto const c =
            io::open_checkpoint(folder / "x.safetensors", {.access = access, .resident_bytes = std::size_t{1} << 20});
        thread_pool pool(4);
        std::array<bool, 16> same{};
        pool.parallel_for(same.size(), [&](std::size_t i) {
            window_buffer buffer;
            auto const size = many / same.size() * sizeof(float);
            auto const window = c->read(0, i * size, size, buffer);
            same[i] = std::memcmp(window.data(), reinterpret_cast<std::byte const *>(x.data()) + i * size, size) == 0;
        });
        CHECK(std::ranges::count(same, true) == 16);
    }
}

TEST_CASE("threads: detectors of tokens and of sentences") {
    std::uint32_t const vocabulary = 200;
    same_detections(watermark::kgw_detector({.vocabulary = vocabulary, .gamma = 0.25}), vocabulary);
    same_detections(watermark::exp_gumbel_detector({.vocabulary = vocabulary}), vocabulary);
    same_detections(watermark::exp_detector({.vocabulary = vocabulary}), vocabulary);

    watermark::cohemark const method(random_matrix<double>(8, 6).values, 8);
    auto const rows = random_matrix<double>(2000, 6, 5);
    std::vector<std::size_t> offsets{0};
    while (offsets.back() < rows.rows)
        offsets.push_back(offsets.back() + 5);
    watermark::rank_null const null(method.automaton(), watermark::uniform_ranks(8));
    same_on_threads([&](threaded_backend & be) {
        std::vector<double> scores;
        for (auto const & d : watermark::detect<double>(be, method, rows.view(), offsets, {}, null).documents)
            scores.push_back(d.score);
        return scores;
    });
}

TEST_CASE("threads: workflows") {
    std::vector<evaluate::workflow> all;
    for (std::size_t i = 0; i != 60; ++i) {
        auto const n = 1 + i % 6;
        std::string text = "Node:\n", edges = "(START,1)";
        for (std::size_t k = 1; k <= n; ++k) {
            text += std::to_string(k) + ": " + static_cast<char>('a' + (i * k) % 5) + "\n";
            edges += " (" + std::to_string(k) + "," + (k == n ? "END" : std::to_string(k + 1)) + ")";
        }
        all.push_back(evaluate::parse_workflow(text + "Edge: " + edges).value());
    }
    std::vector<std::vector<float>> similarities(all.size());
    std::vector<evaluate::workflow_pair> pairs;
    for (std::size_t i = 0; i != all.size(); ++i) {
        auto const & gold = all[(i * 7 + 1) % all.size()];
        for (auto const & a : all[i].nodes)
            for (auto const & b : gold.nodes)
                similarities[i].push_back(a == b ? 1.0f : 0.0f);
        pairs.push_back({&all[i], &gold, {similarities[i].data(), all[i].nodes.size(), gold.nodes.size()}});
    }
    same_on_threads([&](threaded_backend & be) { return evaluate::strict_scores(be.executor(), pairs); });
}
