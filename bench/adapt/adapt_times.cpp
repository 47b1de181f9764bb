/// \file  adapt_times: what adapters cost, on matrices that adapt_times.py leaves in files of floats.
#include <lathe/adapt/kasa.hpp>
#include <lathe/adapt/spectral.hpp>
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
/// The median of the times of f, each after `prepare`.
template <class Prepare, class F> double median(unsigned long repetitions, Prepare && prepare, F && f) {
    std::vector<double> seconds;
    for (unsigned long i = 0; i != repetitions; ++i) {
        prepare();
        auto const begin = processor_seconds();
        f();
        seconds.push_back(processor_seconds() - begin);
    }
    std::ranges::sort(seconds);
    return seconds[seconds.size() / 2];
}
std::vector<float> read(std::string const & path, std::size_t n) {
    std::vector<float> x(n);
    std::ifstream(path, std::ios::binary)
        .read(reinterpret_cast<char *>(x.data()), static_cast<std::streamsize>(n * sizeof(float)));
    return x;
}
void write(std::string const & path, std::vector<float> const & x) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<char const *>(x.data()), static_cast<std::streamsize>(x.size() * sizeof(float)));
}
using backend = lathe::eigen_backend;
auto view(std::vector<float> & x, std::size_t rows, std::size_t cols) {
    return lathe::mat_view<float *>(x.data(), rows, cols);
}

/// The weight without its r smallest triplets (KaSA), or an adapter of the r largest (PiSSA).
void spectrum(backend & be, bool smallest, std::vector<std::string> const & args) {
    auto const m = std::stoul(args[2]), n = std::stoul(args[3]), r = std::stoul(args[4]);
    lathe::linalg::partial_svd_options svd;
    svd.tolerance = std::stod(args[5]);
    svd.method = lathe::linalg::svd_method::iteration;
    if (!smallest && svd.tolerance >= 1e-6)
        svd.arithmetic = lathe::linalg::arithmetic::same;
    auto const original = read(args[0], m * n);
    auto w = original;
    double bound = 0;
    std::size_t rounds = 0;
    auto const seconds = median(std::stoul(args[6]), [&] { w = original; }, [&] {
        if (smallest) {
            auto const done = lathe::adapt::kasa_truncate(be, view(w, m, n), r, {.svd = svd});
            bound = done.dropped->error_bound;
            rounds = done.dropped->rounds;
        } else {
            auto found = lathe::linalg::partial_svd(be, view(w, m, n), lathe::linalg::spectrum_end::largest, r, svd);
            bound = found.error_bound;
            rounds = found.rounds;
            auto adapter = lathe::adapt::split(be, found, r, lathe::adapt::singular_values::balanced);
            lathe::adapt::add_delta(be, adapter.factors(), -1, view(w, m, n)); // the residual
        }
    });
    write(args[1], w);
    std::printf("%.5f %.3e %zu\n", seconds, bound, rounds);
}
/// KaSA's auxiliary loss of one n x n layer, and its gradient.
void loss(backend & be, std::vector<std::string> const & args) {
    auto const n = std::stoul(args[2]), r = std::stoul(args[3]);
    auto a = read(args[0], r * n), b = read(args[1], n * r), sigma = std::vector<float>(r, 0.5f);
    std::vector<float> of_a(a.size()), of_b(b.size()), of_sigma(r);
    std::array const layers{lathe::adapt::factors<backend, float>{view(a, r, n), view(b, n, r), 1,
                                                                  lathe::view_of(std::span{std::as_const(sigma)})}};
    lathe::adapt::gradients<backend, float> gradient;
    gradient.a = view(of_a, r, n);
    gradient.b = view(of_b, n, r);
    gradient.sigma = lathe::view_of(std::span{of_sigma});
    std::array const out{gradient};
    double value = 0;
    auto const seconds = median(std::stoul(args[4]), [] {}, [&] {
        value = lathe::adapt::kasa_loss<backend, float>(
                    be, layers, {.dialect = lathe::adapt::kasa_dialect::authors, .beta = 0, .gamma = 1}, out)
                    .loss;
    });
    std::printf("%.8f %.9e\n", seconds, value);
}
/// The best of rank r for the sum of adapters of an n x n weight, their A's in one file, their B's in another.
void combine(backend & be, std::vector<std::string> const & args) {
    auto const n = std::stoul(args[3]), r = std::stoul(args[4]);
    std::vector<std::size_t> ranks;
    std::size_t sum = 0;
    for (std::size_t i = 6; i != args.size(); ++i)
        sum += ranks.emplace_back(std::stoul(args[i]));
    auto a = read(args[0], sum * n), b = read(args[1], n * sum);
    std::vector<lathe::adapt::factors<backend, float>> all;
    for (std::size_t i = 0, at = 0; i != ranks.size(); at += ranks[i++] * n)
        all.push_back({lathe::mat_view<float const *>(a.data() + at, ranks[i], n),
                       lathe::mat_view<float const *>(b.data() + at, n, ranks[i])});
    std::vector<float> product(n * n);
    std::vector<double> const weights(all.size(), 1.0);
    std::optional<lathe::adapt::adapter<backend, float>> out;
    auto const seconds = median(std::stoul(args[5]), [] {}, [&] {
        out = lathe::adapt::compress(be, std::span<lathe::adapt::factors<backend, float> const>{all}, weights, r);
    });
    lathe::adapt::delta(be, out->factors(), view(product, n, n));
    write(args[2], product);
    std::printf("%.6f\n", seconds);
}

} // namespace

int main(int argc, char ** argv) {
    std::string const what = argc > 1 ? argv[1] : "";
    std::vector<std::string> const args(argv + std::min(argc, 2), argv + argc);
    backend be(1);
    if ((what == "smallest" || what == "largest") && args.size() == 7)
        spectrum(be, what == "smallest", args);
    else if (what == "loss" && args.size() == 5)
        loss(be, args);
    else if (what == "combine" && args.size() > 6)
        combine(be, args);
    else {
        std::fputs("usage: adapt_times smallest|largest IN OUT ROWS COLS R TOLERANCE REPETITIONS\n"
                   "       adapt_times loss A B N R REPETITIONS\n"
                   "       adapt_times combine A B OUT N R REPETITIONS RANK...\n",
                   stderr);
        return 2;
    }
}
