// One iteration of fuzzy c-means over 100,000 points of 768 dimensions in float, beside what the machine can do: the
// bound is the larger of reading the points once, as a plain loop does in the same run, and of 4 N K d operations at
// the rate of a loop of multiply-adds in registers. One JSON object a line. `points.npy` is written for the peer.
#include <lathe/backend/eigen.hpp>
#include <lathe/cluster/fuzzy_c_means.hpp>
#include <lathe/io/npy.hpp>

#include <chrono>
#include <cstdio>
#include <ctime>

namespace {
using clock_type = std::chrono::steady_clock;

double wall() { return std::chrono::duration<double>(clock_type::now().time_since_epoch()).count(); }
double cpu() {
    std::timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
/// The least processor time of some runs of f.
template <class F> double least(F f) {
    double best = 1e9;
    for (int i = 0; i != 7; ++i) {
        auto const begin = cpu();
        f();
        best = std::min(best, cpu() - begin);
    }
    return best;
}
double volatile sink;

/// Seconds to read the points in four streams of packets.
double read_seconds(std::vector<float> const & x) {
    using packet = lathe::host::packet<float>;
    return least([&] {
        std::array<packet, 4> s;
        s.fill(packet(0.0f));
        for (std::size_t i = 0; i + 64 <= x.size(); i += 64)
            for (std::size_t k = 0; k != 4; ++k)
                s[k] += packet::load(x.data() + i + 16 * k);
        sink = static_cast<double>(lathe::host::sum_of_lanes(s[0] + s[1] + s[2] + s[3]));
    });
}
/// Floating operations a second of multiply-adds in registers.
double operations_per_second() {
    using vector = lathe::host::registers<float>::value;
    std::size_t const rounds = 20'000'000;
    auto const seconds = least([&] {
        std::array<vector, 10> a;
        a.fill(vector{} + 0.5f);
        auto const m = vector{} + 0.999f;
        for (std::size_t i = 0; i != rounds; ++i) {
            for (auto & v : a)
                v = v * m + m;
            asm volatile("" : : "m"(i));
        }
        for (auto const & v : a)
            sink = static_cast<double>(v[0]);
    });
    return 2 * static_cast<double>(rounds * 10 * sizeof(vector) / sizeof(float)) / seconds;
}
} // namespace

int main(int argc, char ** argv) {
    using namespace lathe;
    std::size_t const n = 100'000, d = 768;
    std::vector<float> x(n * d);
    random::uniform_stream const u{1};
    for (std::size_t i = 0; i != x.size(); i += 4) {
        auto const quad = u.quad(i / 4);
        for (std::size_t k = 0; k != 4; ++k)
            x[i + k] = quad[k] - 0.5f;
    }
    if (argc > 1)
        io::write_npy<float>(argv[1], {n, d}, x);
    auto const reading = read_seconds(x), rate = operations_per_second();
    std::printf("{\"what\": \"machine\", \"read_ms\": %.2f, \"gb_s\": %.1f, \"gflop_s\": %.0f}\n", 1e3 * reading,
                static_cast<double>(x.size() * sizeof(float)) / reading / 1e9, rate / 1e9);
    for (std::size_t const k : {8u, 64u})
        for (double const m : {1.1, 1.055})
            for (auto const stop : {cluster::stopping::centre, cluster::stopping::max})
                for (std::size_t const threads : {1u, 2u}) {
                    eigen_backend be(threads);
                    std::vector<double> const start(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(k * d));
                    std::vector<std::pair<double, double>> clocks; // processor and wall time after each pass
                    auto const observe = [&](progress const &) { clocks.emplace_back(cpu(), wall()); };
                    auto const r = cluster::fuzzy_c_means<float>(
                        be, mat_view<float const *>(x.data(), n, d),
                        {.weights = {}, .centres = start, .memberships = {}},
                        {.clusters = k, .fuzzifier = m, .stop = stop, .tolerance = 0, .max_iterations = 8},
                        control{observe});
                    double of_cpu = 1e9, of_wall = 1e9;
                    for (std::size_t i = 1; i + 1 < clocks.size(); ++i) { // the last pass has no sums
                        of_cpu = std::min(of_cpu, clocks[i].first - clocks[i - 1].first);
                        of_wall = std::min(of_wall, clocks[i].second - clocks[i - 1].second);
                    }
                    auto const bound = std::max(reading, 4 * static_cast<double>(n * k * d) / rate);
                    std::printf(
                        "{\"what\": \"lathe\", \"clusters\": %zu, \"m\": %g, \"stop\": \"%s\", \"threads\": %zu, "
                        "\"cpu_ms\": %.1f, \"wall_ms\": %.1f, \"bound_ms\": %.1f, \"objective\": %.9g}\n",
                        k, m, stop == cluster::stopping::centre ? "centre" : "max", threads, 1e3 * of_cpu,
                        1e3 * of_wall, 1e3 * bound, r.objective);
                    std::fflush(stdout);
                }
}
