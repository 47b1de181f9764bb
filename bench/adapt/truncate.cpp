/// \file  truncate: KaSA's truncation of a matrix in a file of floats, for truncate.py.
#include <lathe/adapt/kasa.hpp>
#include <lathe/backend/eigen.hpp>

#include <cstdio>
#include <ctime>
#include <fstream>

namespace {
double processor_seconds() {
    timespec t{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
} // namespace

int main(int argc, char ** argv) {
    if (argc != 8) {
        std::fputs("usage: truncate IN OUT ROWS COLS R float|double REPETITIONS\n", stderr);
        return 2;
    }
    auto const rows = std::stoul(argv[3]), cols = std::stoul(argv[4]), r = std::stoul(argv[5]);
    std::vector<float> original(rows * cols), w;
    auto const bytes = static_cast<std::streamsize>(original.size() * sizeof(float));
    std::ifstream(argv[1], std::ios::binary).read(reinterpret_cast<char *>(original.data()), bytes);
    lathe::adapt::kasa_options options;
    options.svd.method = lathe::linalg::svd_method::iteration;
    if (std::string_view{argv[6]} == "float")
        options.svd.arithmetic = lathe::linalg::arithmetic::same;
    lathe::eigen_backend be(1);
    std::vector<double> seconds;
    double bound = 0;
    std::size_t rounds = 0;
    for (unsigned long i = 0; i != std::stoul(argv[7]); ++i) {
        w = original;
        auto const begin = processor_seconds();
        auto const done = lathe::adapt::kasa_truncate(be, lathe::mat_view<float *>(w.data(), rows, cols), r, options);
        seconds.push_back(processor_seconds() - begin);
        bound = done.dropped->error_bound;
        rounds = done.dropped->rounds;
    }
    std::ranges::sort(seconds);
    std::ofstream(argv[2], std::ios::binary).write(reinterpret_cast<char const *>(w.data()), bytes);
    std::printf("%.4f %.3e %zu\n", seconds[seconds.size() / 2], bound, rounds);
}
