/// \file  The library in one process for MINUTES: rounds of merges of mapped files, clusterings, adapters and
///        detections, on Eigen and on OpenCL. Memory, descriptors, mapped files and live objects of OpenCL must not
///        grow. soak.sh compiles and runs it: soak MINUTES FOLDER BACKEND..., of eigen (a new backend for each round),
///        opencl (one for all rounds) and opencl-new (a new one, with a context of its own, for each).
#include "../unit/linalg/matrices.hpp"

#include <lathe/adapt/spectral.hpp>
#include <lathe/backend/eigen.hpp>
#include <lathe/backend/opencl.hpp>
#include <lathe/cluster/k_means.hpp>
#include <lathe/io/safetensors.hpp>
#include <lathe/merge/linear.hpp>
#include <lathe/watermark/detector.hpp>
#include <lathe/watermark/semstamp.hpp>

#include <chrono>
#include <cstdio>
#include <fstream>

#include <dlfcn.h>

namespace {
std::atomic<long> live_memory{0}, made_memory{0}; // objects of OpenCL

template <class F> F * next(char const * name, F *) { return reinterpret_cast<F *>(::dlsym(RTLD_NEXT, name)); }
} // namespace

// In the place of OpenCL's own, which they call: shares of memory objects are counted.
extern "C" {
CL_API_ENTRY cl_mem CL_API_CALL clCreateBuffer(cl_context context, cl_mem_flags flags, size_t size, void * host,
                                               cl_int * status) {
    static auto * const real = next("clCreateBuffer", &clCreateBuffer);
    auto * const made = real(context, flags, size, host, status);
    live_memory += made != nullptr ? 1 : 0;
    made_memory += made != nullptr ? 1 : 0;
    return made;
}
CL_API_ENTRY cl_int CL_API_CALL clRetainMemObject(cl_mem memory) {
    static auto * const real = next("clRetainMemObject", &clRetainMemObject);
    ++live_memory;
    return real(memory);
}
CL_API_ENTRY cl_int CL_API_CALL clReleaseMemObject(cl_mem memory) {
    static auto * const real = next("clReleaseMemObject", &clReleaseMemObject);
    --live_memory;
    return real(memory);
}
}

namespace {
using namespace lathe;
namespace fs = std::filesystem;
using clock_type = std::chrono::steady_clock;

struct sample {
    long resident = 0; ///< KiB
    long descriptors = 0, maps = 0, memory = 0;
};
sample look() {
    sample s;
    std::ifstream status("/proc/self/status"), maps("/proc/self/maps");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmRSS:"))
            s.resident = std::stol(line.substr(6));
    for (std::string line; std::getline(maps, line);)
        s.maps += line.find(".safetensors") != line.npos ? 1 : 0;
    for ([[maybe_unused]] auto const & entry : fs::directory_iterator("/proc/self/fd"))
        ++s.descriptors;
    s.memory = live_memory;
    return s;
}

template <class B> void round(B & be, fs::path const & folder) {
    auto const in = [&](int k) { return io::open_checkpoint(folder / ("m" + std::to_string(k) + ".safetensors")); };
    auto const base = in(0), a = in(1), b = in(2);
    {
        merge::model_pool const pool(base.get(), {a.get(), b.get()}, {.window = std::size_t{1} << 16});
        io::safetensors_writer out(folder / "out.safetensors");
        merge::task_arithmetic(be, pool, out, {.scaling = 0.3});
    }
    try { // what fails must not hold on to anything either
        merge::model_pool const pool(base.get(), {a.get(), b.get()}, {.window = std::size_t{1} << 16});
        io::safetensors_writer out(folder / "none" / "out.safetensors");
        std::atomic<int> steps{0};
        auto const observe = [&](progress const &) {
            if (++steps == 3)
                throw io_error{"enough"};
        };
        merge::task_arithmetic(be, pool, out, {.scaling = 0.3}, control{observe, never_stop{}});
    } catch (error const &) {}
    auto const points = lathe_test::random_matrix<float>(2000, 24, 3);
    auto on_device = be.template allocate<float>(points.values.size());
    be.upload(std::span<float const>{points.values}, on_device.view());
    auto const rows = as_matrix(cvec<B, float>(on_device.view()), points.rows, points.cols);
    static_cast<void>(cluster::k_means<float>(be, rows, {.clusters = 6, .seed = 1, .max_iterations = 10}));
    std::vector<std::size_t> offsets;
    for (std::size_t i = 0; i <= points.rows; i += 10)
        offsets.push_back(i);
    watermark::semstamp const marks(watermark::semstamp_normals(3, points.cols, 1), 3);
    static_cast<void>(watermark::detect<float>(be, marks, rows, offsets, {.prompt_sentences = 1, .evidence = true}));
    auto const weight = lathe_test::random_matrix<float>(96, 64, 4);
    auto w = be.template allocate<float>(weight.values.size());
    be.upload(std::span<float const>{weight.values}, w.view());
    static_cast<void>(adapt::pissa(be, as_matrix(w.view(), weight.rows, weight.cols), 8));
}
} // namespace

int main(int argc, char ** argv) {
    double const minutes = argc > 1 ? std::atof(argv[1]) : 30;
    fs::path const folder = argc > 2 ? argv[2] : ".";
    for (std::uint64_t k = 0; k != 3; ++k) {
        memory_checkpoint m;
        auto const w = lathe_test::random_matrix<float>(1024, 256, k + 1);
        m.set<float>("w", {1024, 256}, w.values);
        m.set<float>("v", {256}, std::span{w.values}.first(256));
        io::save(m, folder / ("m" + std::to_string(k) + ".safetensors"));
    }
    auto const named = [&](std::string_view name) {
        return std::any_of(argv + std::min(argc, 3), argv + argc, [&](char const * given) { return given == name; });
    };
    std::optional<opencl_backend> kept;
    auto const begin = clock_type::now();
    auto const passed = [&] { return std::chrono::duration<double>(clock_type::now() - begin).count() / 60; };
    std::vector<sample> samples;
    while (passed() < minutes || samples.size() < 20) {
        if (named("eigen")) {
            eigen_backend be(2);
            round(be, folder);
        }
        if (named("opencl")) {
            if (!kept)
                kept.emplace();
            round(*kept, folder);
        }
        if (named("opencl-new")) {
            opencl_backend be;
            round(be, folder);
        }
        samples.push_back(look());
    }
    // The first tenth is for what is made once: threads, compiled kernels, the allocator's arenas.
    auto const warm = samples[samples.size() / 10];
    sample most;
    for (auto const & s : std::span{samples}.subspan(samples.size() / 10)) {
        most.resident = std::max(most.resident, s.resident);
        most.descriptors = std::max(most.descriptors, s.descriptors);
        most.maps = std::max(most.maps, s.maps);
        most.memory = std::max(most.memory, s.memory);
    }
    auto const & last = samples.back();
    std::printf("%.1f minutes, %zu rounds, %ld buffers made: when warm, at the end, at most:\n", passed(),
                samples.size(), made_memory.load());
    std::printf("  resident    %ld %ld %ld KiB\n", warm.resident, last.resident, most.resident);
    std::printf("  descriptors %ld %ld %ld\n", warm.descriptors, last.descriptors, most.descriptors);
    std::printf("  mapped      %ld %ld %ld checkpoints\n", warm.maps, last.maps, most.maps);
    std::printf("  OpenCL      %ld %ld %ld buffers\n", warm.memory, last.memory, most.memory);
    // CLBlast keeps a few contexts (opencl/session.hpp).
    auto const allowed = warm.resident / 10 + (named("opencl-new") ? 64 : 8) * 1024;
    bool const grows = most.resident > warm.resident + allowed || most.descriptors > warm.descriptors
                       || most.maps > warm.maps || most.memory > warm.memory;
    if (grows)
        std::puts("FAILED: it grows");
    return grows ? 1 : 0;
}
