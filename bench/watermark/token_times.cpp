// Detection of token-level watermarks in 10,000 texts of 200 tokens of a vocabulary of 50,272, and what one candidate
// of KGW's self hash costs. One JSON object a line. The texts go to a file of 32-bit numbers for the peer.
#include <lathe/watermark/alignment.hpp>
#include <lathe/watermark/reweight.hpp>
#include <lathe/watermark/synthid.hpp>

#include <cstdio>
#include <ctime>

namespace {
namespace wm = lathe::watermark;
constexpr std::uint32_t vocabulary = 50272;
constexpr std::size_t texts = 10000, length = 200;

struct times {
    double cpu, wall;
};
times times_of(auto f) {
    auto const read = [](clockid_t clock) {
        std::timespec t{};
        clock_gettime(clock, &t);
        return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
    };
    auto const cpu = read(CLOCK_PROCESS_CPUTIME_ID), wall = read(CLOCK_MONOTONIC);
    f();
    return {read(CLOCK_PROCESS_CPUTIME_ID) - cpu, read(CLOCK_MONOTONIC) - wall};
}

/// Words of a vocabulary are not drawn alike: token numbers with a density that falls like 1/t.
std::vector<wm::token> corpus() {
    lathe::random::uniform_stream const u{1};
    std::vector<wm::token> all(texts * length);
    for (std::size_t i = 0; i != all.size(); ++i)
        all[i] = static_cast<wm::token>(std::pow(static_cast<double>(vocabulary), static_cast<double>(u[i]))) - 1;
    return all;
}

double volatile sink;

template <class D>
void detection(char const * method, D const & detector, std::span<wm::token_text const> all, std::size_t threads) {
    lathe::thread_pool pool(threads);
    double score = 0;
    auto const t = times_of([&] {
        for (auto const & d : wm::detect_all(pool, detector, all))
            score += d.scored != 0 ? d.score : 0;
    });
    sink = score;
    std::printf("{\"what\": \"detect\", \"method\": \"%s\", \"threads\": %zu, \"texts\": %zu, \"cpu_s\": %.4f, "
                "\"wall_s\": %.4f, \"us_a_token\": %.4f}\n",
                method, threads, all.size(), t.cpu, t.wall, 1e6 * t.cpu / static_cast<double>(all.size() * length));
    std::fflush(stdout);
}
void candidate(char const * way, times t, std::size_t count) {
    std::printf("{\"what\": \"candidate\", \"way\": \"%s\", \"us\": %.4f}\n", way,
                1e6 * t.cpu / static_cast<double>(count));
    std::fflush(stdout);
}
} // namespace

int main(int argc, char ** argv) {
    auto const tokens = corpus();
    if (argc > 1)
        if (auto * const file = std::fopen(argv[1], "wb")) {
            std::fwrite(tokens.data(), sizeof(wm::token), tokens.size(), file);
            std::fclose(file);
        }
    std::vector<wm::token_text> all;
    for (std::size_t i = 0; i != texts; ++i)
        all.push_back({std::span{tokens}.subspan(i * length, length)});
    auto const some = std::span<wm::token_text const>{all}.first(100);

    wm::kgw_options kgw{.vocabulary = vocabulary};
    for (std::size_t const threads : {1u, 2u})
        detection("kgw", wm::kgw_detector(kgw), all, threads);
    detection("kgw, one text at a time", wm::kgw_detector(kgw), std::span<wm::token_text const>{all}.first(1), 1);
    kgw.window = wm::hash_window::self;
    detection("kgw self", wm::kgw_detector(kgw), some, 1);
    detection("unigram", wm::unigram_detector({.vocabulary = vocabulary}), all, 1);
    detection("dip", wm::dip_detector({.vocabulary = vocabulary, .key = "00"}), some, 1);
    detection("exp", wm::exp_detector({.vocabulary = vocabulary}), some, 1);
    detection("exp_gumbel", wm::exp_gumbel_detector({.vocabulary = vocabulary}), all, 1);
    detection("exp_gumbel, one text", wm::exp_gumbel_detector({.vocabulary = vocabulary}), some.first(1), 1);
    detection("pf", wm::pf_detector({.vocabulary = vocabulary}), some, 1);
    wm::synthid_options synthid;
    synthid.vocabulary = vocabulary;
    for (std::uint64_t k = 1; k <= 30; ++k)
        synthid.keys.push_back(k * 104729);
    detection("synthid", wm::synthid_detector(synthid), all, 1);
    detection("exp_edit", wm::exp_edit_detector({.vocabulary = vocabulary, .runs = 5}), some.first(1), 1);

    // A row of candidates of the self hash.
    auto const size = wm::green_size(vocabulary, kgw.gamma);
    wm::kgw_seeds const seeds(vocabulary, kgw.key, 1, kgw.hash, kgw.window);
    auto const f = seeds.context(std::span{tokens}.first(1));
    std::size_t green = 0;
    std::vector<std::uint32_t> permutation(vocabulary);
    candidate("a permutation", times_of([&] {
        for (wm::token k = 0; k != 400; ++k) {
            lathe::random::torch_generator(seeds.seed(f, 100 * k)).permutation(permutation, size);
            auto const first = std::span{permutation}.first(size);
            green += std::ranges::find(first, 100 * k) != first.end();
        }
    }),
              400);
    wm::green_table none(vocabulary, size, 0);
    candidate("a walk", times_of([&] {
        for (wm::token k = 0; k != 1000; ++k)
            green += none(seeds.seed(f, 50 * k), 50 * k);
    }),
              1000);
    wm::green_table table(vocabulary, size, std::size_t{400} << 20);
    auto const row = [&] {
        for (wm::token k = 0; k != vocabulary; ++k)
            green += table(seeds.seed(f, k), k);
    };
    candidate("the table, first time", times_of(row), vocabulary);
    candidate("the table, later", times_of(row), vocabulary);
    sink = static_cast<double>(green);
}
