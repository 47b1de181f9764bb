#include "compare.hpp"
#include "registered.hpp"

namespace lathe_replay {

template <class Backend> void add_elections(runner_table & table) {
    add_registered<lathe::registry::ties>(table);
    add_registered<lathe::registry::dare>(table);

    // The masks of DARE: one file for each model, and known answers of the generator.
    add(table, "dare_mask", []<class T>(std::type_identity<T>, selected_backend &, fixture & f) -> outcome {
        fixture_pool const inputs(f);
        auto const number = [&](char const * key) {
            auto const given = f.take_option(key);
            if (!given.is_number())
                throw failure{"option " + std::string{key} + ": found " + given.dump() + ", expected a number"};
            return given;
        };
        auto const keep = number("keep").template get<double>();
        auto const seed = number("seed").template get<std::uint64_t>();
        static_cast<void>(f.options<lathe::merge::average_options>()); // no others
        auto const expected = f.expected_json("json");
        for (std::size_t k = 0; k != inputs.pool.size(); ++k) {
            lathe::memory_checkpoint mask{"mask"};
            lathe::merge::dare_mask(inputs.pool, k, keep, seed, mask);
            auto const recorded = f.expected_checkpoint(expected.at("mask_files").at(k).get<std::string>());
            if (auto d = difference(mask, *recorded, f.tolerance()))
                throw failure{"mask of model " + std::to_string(k) + ": " + *d};
        }
        auto values = expected;
        auto const words = [&](char const * key, std::size_t i) {
            return expected.at("kat").at(key).at(i).get<std::uint32_t>();
        };
        values["kat"]["out"] =
            lathe::random::philox({words("counter", 0), words("counter", 1), words("counter", 2), words("counter", 3)},
                                  {words("key", 0), words("key", 1)});
        return {nullptr, std::move(values), nullptr, {}};
    });
}
template void add_elections<selected>(runner_table &);

} // namespace lathe_replay
