// The merging operations of compare/run.sh, timed alone: models in memory, or streamed from warm files.
//
//     lathe_peer OPERATION DIRECTORY [--models 4] [--threads 1] [--repeat 5] [--files OUTPUT]
//
// Prints one JSON line. `bound_seconds` is what moving the operation's bytes costs by itself, measured in the same run
// and in turn with it: every input read once by a sum, the output written once by a copy from the first-level cache
// (with --files: inputs read through the same map, output written by the same writer). `anonymous_mib` is the peak of
// memory that is not a mapped file, less the models held in memory and the vectors that Frank-Wolfe holds.
#include "reused_sink.hpp"

#include <lathe/backend/eigen.hpp>
#include <lathe/io/safetensors.hpp>
#include <lathe/merge/fw_merging.hpp>
#include <lathe/merge/kinship.hpp>
#include <lathe/merge/linear.hpp>
#include <lathe/merge/ties.hpp>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <functional>
#include <iostream>

namespace {

using lathe::checkpoint;
using lathe::memory_checkpoint;
namespace merge = lathe::merge;

double cpu_seconds() {
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
double wall_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// A line of /proc/self/status, in MiB.
double status_mib(std::string const & key) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with(key + ":"))
            return std::stod(line.substr(key.size() + 1)) / 1024;
    return 0;
}

/// Watches what the process holds besides mapped files, sampled between windows.
struct anonymous_peak {
    double mib = 0;
    void operator()(lathe::progress const &) { sample(); }
    void sample() { mib = std::max(mib, status_mib("RssAnon")); }
};

struct timing {
    double cpu = 1e300, wall = 1e300;
    void run(std::function<void()> const & f) {
        auto const c = cpu_seconds(), w = wall_seconds();
        f();
        cpu = std::min(cpu, cpu_seconds() - c);
        wall = std::min(wall, wall_seconds() - w);
    }
};

std::uint64_t volatile sum_of_words; // keeps the reading

/// Reads every byte of checkpoints of one layout once, as fast as it goes: side by side, memory asked for ahead.
void read_all(std::span<checkpoint * const> from) {
    constexpr std::size_t block = 512, ahead = 2048;
    // Spelled out: of plain loops, and of longer vectors, g++ 12 makes something that takes three times as long.
    typedef std::uint64_t words __attribute__((vector_size(16), aligned(1), may_alias));
    words sum{};
    std::vector<lathe::window_buffer> buffers(from.size());
    std::vector<std::span<std::byte const>> windows(from.size());
    auto const & tensors = from.front()->tensors();
    for (std::size_t i = 0; i != tensors.size(); ++i)
        lathe::for_each_window(tensors[i].bytes(), std::size_t{4} << 20, [&](std::size_t first, std::size_t size) {
            for (std::size_t k = 0; k != from.size(); ++k)
                windows[k] = from[k]->read(i, first, size, buffers[k]);
            for (std::size_t begin = 0; begin < size; begin += block)
                for (auto const & bytes : windows) {
                    words a{}, b{}, c{}, d{};
                    for (auto j = begin, end = std::min(size, begin + block); j + 64 <= end; j += 64) {
                        __builtin_prefetch(bytes.data() + j + ahead);
                        words const * const next = reinterpret_cast<words const *>(bytes.data() + j);
                        a += next[0];
                        b += next[1];
                        c += next[2];
                        d += next[3];
                    }
                    sum += a + b + c + d;
                }
        });
    sum_of_words = sum[0] + sum[1];
}
/// Writes every byte of a sink once, from a block that stays in the cache.
void write_all(std::vector<lathe::tensor_info> const & tensors, lathe::checkpoint_sink & to) {
    static std::vector<std::byte> const block(8192, std::byte{1});
    to.begin(tensors, {});
    lathe::window_buffer buffer;
    for (std::size_t i = 0; i != tensors.size(); ++i)
        lathe::for_each_window(tensors[i].bytes(), std::size_t{4} << 20, [&](std::size_t first, std::size_t size) {
            auto const window = to.window(i, first, size, buffer);
            for (std::size_t j = 0; j < size; j += block.size())
                std::memcpy(window.data() + j, block.data(), std::min(block.size(), size - j));
            to.commit(i, first, window);
        });
    to.finish();
}

} // namespace

int main(int argc, char ** argv) {
    if (argc < 3) {
        std::cerr << "usage: lathe_peer OPERATION DIRECTORY [--models N] [--threads N] [--repeat N] [--files OUTPUT]\n";
        return 2;
    }
    std::string const operation = argv[1], directory = argv[2];
    std::size_t count = 4, threads = 1, repeat = 5;
    std::string output;
    for (int i = 3; i + 1 < argc; i += 2) {
        std::string const flag = argv[i];
        if (flag == "--models")
            count = std::stoul(argv[i + 1]);
        else if (flag == "--threads")
            threads = std::stoul(argv[i + 1]);
        else if (flag == "--repeat")
            repeat = std::stoul(argv[i + 1]);
        else if (flag == "--files")
            output = argv[i + 1];
    }
    try {
        auto const open = [&](std::string const & name) -> std::unique_ptr<checkpoint> {
            auto const path = directory + "/" + name + ".safetensors";
            if (output.empty())
                return lathe::io::load(path);
            return lathe::io::open_checkpoint(path);
        };
        bool const pairwise = operation == "kinship", needs_base = operation != "linear";
        auto const base = open("base");
        std::vector<std::unique_ptr<checkpoint>> models;
        std::vector<checkpoint *> pointers;
        for (std::size_t k = 0; k != (pairwise ? 2 : count); ++k) {
            models.push_back(open("m" + std::to_string(k)));
            pointers.push_back(models.back().get());
        }
        lathe::eigen_backend be(threads);
        merge::model_pool const pool(needs_base ? base.get() : nullptr, pointers);
        memory_checkpoint result;
        auto const sink = [&]() -> std::unique_ptr<lathe::checkpoint_sink> {
            if (output.empty())
                return std::make_unique<lathe_bench::reused_sink>(result);
            return std::make_unique<lathe::io::safetensors_writer>(output);
        };
        anonymous_peak peak;
        peak.sample();
        auto const before = peak.mib;
        lathe::control ctl{std::ref(peak)};

        // What Frank-Wolfe needs besides: a state and a gradient.
        auto const layout = lathe::merge::parameter_layout::of(pool);
        std::vector<float> state, gradient, scratch;
        if (operation.starts_with("frank_wolfe")) {
            state.resize(layout.size());
            gradient.resize(layout.size());
            scratch.resize(layout.size());
            lathe::read_parameters<lathe::eigen_backend, float>(be, layout, *base, lathe::view_of(std::span{state}));
            lathe::read_parameters<lathe::eigen_backend, float>(be, layout, *models[0],
                                                                lathe::view_of(std::span{gradient}));
        }
        std::function<void()> run;
        std::function<void()> bound = [&] {
            auto all = pointers;
            if (needs_base)
                all.push_back(base.get());
            read_all(all);
            if (!pairwise) {
                auto const to = sink();
                write_all(pool.output(), *to);
            }
        };
        auto const fill = [&](auto && f) {
            run = [&, f] {
                auto const to = sink();
                f(*to);
            };
        };
        if (operation == "linear")
            fill([&](auto & to) { merge::linear(be, pool, to, {}, ctl); });
        else if (operation == "task_arithmetic")
            fill([&](auto & to) { merge::task_arithmetic(be, pool, to, {}, ctl); });
        else if (operation == "ties_model")
            fill([&](auto & to) {
                merge::ties(be, pool, to, {.variant = merge::ties_variant::fusion_bench, .threshold = 20}, ctl);
            });
        else if (operation == "ties_tensor")
            fill([&](auto & to) {
                merge::ties(be, pool, to, {.variant = merge::ties_variant::mergekit, .density = {0.2}}, ctl);
            });
        else if (operation == "kinship")
            run = [&] { merge::kinship(be, pool); };
        else if (operation == "frank_wolfe" || operation == "frank_wolfe_tensor") {
            // One step: all alignments in one pass over the gradient and the models, then the update of x from the
            // chosen one; tensor by tensor, the update comes while the tensor is at hand. The norms of the models were
            // taken with the first alignment, as in a run.
            bool const by_tensor = operation == "frank_wolfe_tensor";
            auto const shared = std::make_shared<merge::fw_candidates<lathe::eigen_backend, float>>(
                pool, merge::fw_oracle::cosine, merge::fw_zero_norm::zero);
            auto const x = lathe::view_of(std::span{state}), g = lathe::view_of(std::span{gradient});
            run = [&, by_tensor, shared, x, g] {
                std::vector<double> alignment(pool.size()), sums(pool.size(), 0.0);
                auto const least = [](std::vector<double> const & v) {
                    return static_cast<std::size_t>(std::ranges::min_element(v) - v.begin());
                };
                auto const move = [&](std::size_t n, std::size_t best) {
                    shared->move(be, n, best, 0.1f, std::nullopt, layout.slice(x, n));
                };
                for (std::size_t n = 0; n != layout.tensors().size(); ++n) {
                    shared->align(be, n, layout.slice(g, n), alignment);
                    for (std::size_t k = 0; k != sums.size(); ++k)
                        sums[k] += alignment[k];
                    if (by_tensor)
                        move(n, least(alignment));
                }
                for (std::size_t n = 0; n != layout.tensors().size() && !by_tensor; ++n)
                    move(n, least(sums));
                peak.sample();
            };
            bound = [&, by_tensor, x,
                     g] { // reads: g and the models, then x and one model (if it is not at hand); writes x
                read_all(pointers);
                if (!by_tensor)
                    read_all(std::span{pointers}.first(1));
                double total[2] = {};
                auto const sum = [](auto & sums, auto const & v) { sums.add(0, v); };
                lathe::ops::reduce<float>(be, sum, std::span{total}.first(1), g);
                lathe::ops::reduce<float>(be, sum, std::span{total}.last(1), x);
                lathe::ops::fill(be, 0.0f,
                                 lathe::view_of(std::span{scratch})); // in place of x, whose values are needed
            };
        } else
            throw lathe::option_error{"operation: found " + operation
                                      + ", expected linear, task_arithmetic, ties_model, ties_tensor, frank_wolfe, "
                                        "frank_wolfe_tensor or kinship"};

        // Held whatever the operation does: models in memory, the state of Frank-Wolfe.
        auto const held =
            (output.empty() ? before : 0)
            + static_cast<double>((state.size() + gradient.size() + scratch.size()) * sizeof(float)) / 0x1p20;
        run(); // pages touched, files mapped
        timing ours, limit;
        for (std::size_t i = 0; i != repeat; ++i) {
            limit.run(bound);
            ours.run(run);
        }
        std::printf("{\"operation\": \"%s\", \"cpu_seconds\": %.4f, \"wall_seconds\": %.4f, \"bound_cpu_seconds\": "
                    "%.4f, \"bound_wall_seconds\": %.4f, "
                    "\"peak_rss_mib\": %.0f, \"anonymous_mib\": %.1f}\n",
                    operation.c_str(), ours.cpu, ours.wall, limit.cpu, limit.wall, status_mib("VmHWM"),
                    peak.mib - held);
    } catch (std::exception const & e) {
        std::cerr << "lathe_peer: error: " << e.what() << '\n';
        return 1;
    }
}
