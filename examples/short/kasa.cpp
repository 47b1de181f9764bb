/* KaSA for a checkpoint: the beginning of an adapter for every weight whose module's name ends as asked, as a folder
   that PEFT (0.21 and later) loads. The checkpoint stays as it is: PEFT drops the smallest singular triplets when it
   loads the adapter. Who trains without PEFT drops them with adapt::kasa_truncate (docs/adapting.md).

   g++ -std=c++20 -O1 -pthread -Iinclude -Ibackends/eigen/include -I/usr/include/eigen3 examples/short/kasa.cpp -o kasa
   ./kasa model.safetensors adapter 8 q_proj v_proj
*/
#include <lathe/adapt/kasa.hpp>
#include <lathe/backend/eigen.hpp>
#include <lathe/io/peft.hpp>

#include <charconv>
#include <cstdio>

int main(int argc, char ** argv) {
    std::size_t rank = 0;
    auto const is_number = [&](std::string_view text) {
        return std::from_chars(text.data(), text.data() + text.size(), rank).ptr == text.data() + text.size();
    };
    if (argc < 5 || !is_number(argv[3])) {
        std::fprintf(stderr, "usage: %s CHECKPOINT FOLDER RANK MODULE...\n", argv[0]);
        return 2;
    }
    try {
        auto const model = lathe::io::open_checkpoint(argv[1]);
        lathe::io::peft_config config{.base_model_name_or_path = argv[1], .r = rank, .lora_alpha = 16};
        config.target_modules.assign(argv + 4, argv + argc);
        lathe::adapt::kasa_options options;
        options.alpha = config.lora_alpha;
        config.kasa = {options.beta, options.gamma};

        lathe::eigen_backend backend;
        lathe::memory_checkpoint adapter; // rank (inputs + outputs + 1) numbers for each weight
        for (auto const & t : model->tensors()) {
            auto const module = t.name.substr(0, t.name.rfind('.'));
            if (!t.name.ends_with(".weight") || t.extents.size() != 2 || !config.targets(module))
                continue;
            std::size_t const outputs = t.extents[0], inputs = t.extents[1];
            auto const kept =
                lathe::adapt::kasa_kept(options.dialect, outputs, inputs, rank); // or an error: rank too high
            options.seed = lathe::random::fnv1a(module); // random numbers of its own for each weight
            auto a = lathe::adapt::kasa<float>(backend, outputs, inputs, rank, options);

            auto const put = [&](char const * name, lathe::shape extents, lathe::vec_view<float const *> values) {
                adapter.set(lathe::io::peft_name(module, name), std::move(extents), std::span{values.data, values.n});
            };
            put("lora_A.weight", {rank, inputs}, a.a_elements.view());
            put("lora_B.weight", {outputs, rank}, a.b_elements.view());
            put("lora_diag", {rank}, a.sigma());
            std::printf("%s: %zu x %zu, %zu of %zu triplets stay\n", module.c_str(), outputs, inputs, kept,
                        std::min(outputs, inputs));
        }
        lathe::expects_option(!adapter.tensors().empty(), "MODULE", "none in the checkpoint",
                              "the end of a module's name");
        lathe::io::save_peft(argv[2], config, adapter);
        std::printf("%s: %zu weights\n", argv[2], adapter.tensors().size() / 3);
    } catch (std::exception const & e) { // lathe::error, or a folder that cannot be made
        std::fprintf(stderr, "kasa: %s\n", e.what());
        return 1;
    }
}
