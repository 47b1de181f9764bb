// CoheMark's detection in 10,000 documents of embedded sentences, for watermark/run.sh: writes the sentences for the
// peer, and prints a JSON object a line.
#include <lathe/backend/eigen.hpp>
#include <lathe/io/npy.hpp>
#include <lathe/watermark/cohemark.hpp>
#include <lathe/watermark/detector.hpp>

#include <chrono>
#include <cstdio>
#include <ctime>

namespace {
double wall() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double cpu() {
    std::timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
} // namespace

int main(int argc, char ** argv) {
    if (argc != 2) {
        std::fputs("sentence_times FOLDER\n", stderr);
        return 2;
    }
    std::string const folder = argv[1];
    constexpr std::size_t documents = 10'000, d = 768, clusters = 8;
    lathe::random::uniform_stream const u{1};
    std::vector<std::size_t> offsets{0};
    for (std::size_t i = 0; i != documents; ++i)
        offsets.push_back(offsets.back() + 6 + i % 9); // 10 on average
    auto const rows = offsets.back();
    // Unit vectors that walk, and centres among them.
    std::vector<float> x(rows * d);
    for (std::size_t i = 0; i != rows; ++i) {
        double square = 0;
        for (std::size_t k = 0; k != d; ++k) {
            auto & e = x[i * d + k];
            e = u[i * d + k] - 0.5f + (i == 0 ? 0.0f : 8 * x[(i - 1) * d + k]);
            square += static_cast<double>(e) * static_cast<double>(e);
        }
        for (std::size_t k = 0; k != d; ++k)
            x[i * d + k] = static_cast<float>(static_cast<double>(x[i * d + k]) / std::sqrt(square));
    }
    std::vector<double> centres(clusters * d);
    for (std::size_t j = 0; j != clusters; ++j)
        for (std::size_t k = 0; k != d; ++k)
            centres[j * d + k] =
                static_cast<double>(x[j * 12'007 % rows * d + k]) + (static_cast<double>(u[j * d + k]) - 0.5) / 50;
    lathe::io::write_npy<float>(folder + "/sentences.npy", {rows, d}, x);
    lathe::io::write_npy<double>(folder + "/centres.npy", {clusters, d}, centres);
    std::vector<double> const ends(offsets.begin(), offsets.end());
    lathe::io::write_npy<double>(folder + "/offsets.npy", {ends.size()}, ends);

    lathe::watermark::cohemark const partition(centres, clusters);
    lathe::mat_view<float const *> const view(x.data(), rows, d);
    for (std::size_t const threads : {1u, 2u}) {
        lathe::eigen_backend be(threads);
        double least_cpu = 1e9, least_wall = 1e9, score = 0;
        std::size_t marked = 0;
        for (int i = 0; i != 7; ++i) {
            auto const begin = wall(), begin_cpu = cpu();
            auto const r = lathe::watermark::detect(be, partition, view, offsets);
            least_cpu = std::min(least_cpu, cpu() - begin_cpu);
            least_wall = std::min(least_wall, wall() - begin);
            score = 0, marked = 0;
            for (auto const & doc : r.documents) {
                score += doc.score;
                marked += doc.watermarked ? 1 : 0;
            }
        }
        std::printf("{\"who\": \"lathe\", \"threads\": %zu, \"documents\": %zu, \"sentences\": %zu, \"cpu_s\": %.6f, "
                    "\"wall_s\": %.6f, \"hits\": %.0f, \"watermarked\": %zu}\n",
                    threads, documents, rows, least_cpu, least_wall, score, marked);
    }
    return 0;
}
