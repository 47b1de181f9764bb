/* Task arithmetic on a GPU, or whatever device OpenCL has; where it has none, on the processor, and it says so.

   g++ -std=c++20 -O1 -pthread -Iinclude -Ibackends/{eigen,opencl}/include -I/usr/include/eigen3 \
       examples/short/gpu_merge.cpp -o gpu_merge -lclblast -lOpenCL
   ./gpu_merge any merged.safetensors base.safetensors m0.safetensors m1.safetensors

   The device is an index, a part of its name, or `any`: the first GPU, else the first device.
*/
#include <lathe/backend/eigen.hpp>
#include <lathe/backend/opencl.hpp>
#include <lathe/io/safetensors.hpp>
#include <lathe/merge/linear.hpp>

#include <cstdio>

namespace {

struct files {
    std::unique_ptr<lathe::checkpoint> base;
    std::vector<std::unique_ptr<lathe::checkpoint>> models;
};

/// The same call for every backend. `window` elements of each file are in the memory of the device at a time, or twice
/// as many: one window moves while the kernels are at work on the one before.
template <class B> void merge(B & backend, files const & from, char const * to, std::size_t window) {
    std::vector<lathe::checkpoint *> models;
    for (auto const & m : from.models)
        models.push_back(m.get());
    lathe::merge::model_pool const pool(from.base.get(), models, {.window = window});
    lathe::io::safetensors_writer merged(to, {.background = true}); // the disk has a thread of its own
    lathe::merge::task_arithmetic(backend, pool, merged, {.scaling = 0.5});
    std::printf("%s: %zu parameters\n", to, pool.parameters());
}

/// A device that computes, or nothing where the machine has none. \throws lathe::option_error for a name of no device
std::unique_ptr<lathe::opencl_backend> find_device(std::string const & name) {
    try {
        return std::make_unique<lathe::opencl_backend>(name == "any" ? "" : name);
    } catch (lathe::device_error const & e) {
        std::printf("no device: %s\n", e.what());
        return nullptr;
    }
}

} // namespace

int main(int argc, char ** argv) {
    if (argc < 5) {
        std::fprintf(stderr, "usage: %s DEVICE RESULT BASE MODEL...\n", argv[0]);
        return 2;
    }
    try {
        files from{lathe::io::open_checkpoint(argv[3]), {}};
        for (int i = 4; i != argc; ++i)
            from.models.push_back(lathe::io::open_checkpoint(argv[i]));
        if (auto const gpu = find_device(argv[1])) {
            // An eighth of its memory for two windows, of up to eight bytes an element, of each file and the result.
            auto const windows = 2 * 8 * (from.models.size() + 2);
            auto const window = std::min(lathe::default_window, gpu->device().global_memory / 8 / windows);
            std::printf("on %s (%s), %zu elements at a time\n", gpu->device().name.c_str(),
                        gpu->device().is_gpu() ? "a GPU" : "no GPU", window);
            merge(*gpu, from, argv[2], window);
        } else {
            std::printf("on the processor\n");
            lathe::eigen_backend processor(0);
            merge(processor, from, argv[2], lathe::default_window);
        }
    } catch (lathe::error const & e) { // also what a driver refuses later: nothing appears then
        std::fprintf(stderr, "gpu_merge: %s\n", e.what());
        return 1;
    }
}
