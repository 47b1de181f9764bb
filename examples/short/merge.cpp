/* Merges models that were fine-tuned from one base, by TIES. Each is a .safetensors file or a folder of shards; so is
   the result, which appears whole or not at all.

   g++ -std=c++20 -O1 -pthread -Iinclude -Ibackends/eigen/include -I/usr/include/eigen3 \
       examples/short/merge.cpp -o merge
   ./merge merged.safetensors base.safetensors m0.safetensors m1.safetensors
*/
#include <lathe/backend/eigen.hpp>
#include <lathe/io/safetensors.hpp>
#include <lathe/merge/ties.hpp>

#include <cstdio>

int main(int argc, char ** argv) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: %s RESULT BASE MODEL...\n", argv[0]);
        return 2;
    }
    try {
        auto const base = lathe::io::open_checkpoint(argv[2]); // headers are read and checked, weights are mapped
        std::vector<std::unique_ptr<lathe::checkpoint>> files;
        std::vector<lathe::checkpoint *> models;
        for (int i = 3; i != argc; ++i)
            models.push_back(files.emplace_back(lathe::io::open_checkpoint(argv[i])).get());

        // Aligned by name; a tensor that does not fit is an error.
        lathe::merge::model_pool const pool(base.get(), models);
        lathe::io::safetensors_writer merged(argv[1]);
        lathe::eigen_backend backend(0); // a thread for each processor; the bits do not depend on it
        auto const trimmed = lathe::merge::ties(backend, pool, merged, {.density = {0.4}, .scaling = 1});

        auto const parameters = static_cast<double>(pool.parameters());
        for (std::size_t k = 0; k != pool.size(); ++k)
            std::printf("%s: %.1f %% of its changes kept, from %.3g on\n", argv[k + 3],
                        100 * static_cast<double>(trimmed.kept[k]) / parameters, trimmed.threshold[k]);
        std::printf("%s: %zu tensors\n", argv[1], pool.rows().size());
    } catch (lathe::mismatch_error const & e) { // names the file, the tensor, what was found and what was expected
        std::fprintf(stderr, "merge: these are no models of one base: %s\n", e.what());
        return 1;
    } catch (std::exception const & e) { // lathe::error: a file that is cut short or damaged, a full disk; or no memory
        std::fprintf(stderr, "merge: %s\n", e.what());
        return 1;
    }
}
