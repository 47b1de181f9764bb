#include "compare.hpp"
#include "registered.hpp"

namespace lathe_replay {

template <class Backend> void add_elections(runner_table & table) {
    add_registered<lathe::registry::ties>(table);
    add_registered<lathe::registry::dare>(table);

    // The masks of DARE: one file for each model, and known answers of the generator.
    add(table, "dare_mask", []<class T>(std::type_identity<T>, selected_backend &, fixture & f) -> outcome {
        f.expect_inputs({"models", "base"});
        auto const of_pool = f.take_pool_options();
        auto const number = [&](char const * key) {
            auto const given = f.take_option(key);
            if (!given.is_number())
                throw failure{"option " + std::string{key} + ": found " + given.dump() + ", expected a number"};
            return given;
        };
        auto const keep = number("keep").template get<double>();
        auto const seed = number("seed").template get<std::uint64_t>();
        static_cast<void>(f.options<lathe::merge::average_options>()); // no others
        fixture_pool const inputs(f, of_pool);
        auto const expected = f.expected_json("json");
        if (expected.at("mask_files").size() != inputs.pool.size())
            throw failure{"expected.json: mask_files: found " + std::to_string(expected.at("mask_files").size())
                          + ", expected one for each model"};
        for (std::size_t k = 0; k != inputs.pool.size(); ++k) {
            lathe::memory_checkpoint mask{"mask"};
            lathe::merge::dare_mask(inputs.pool, k, keep, seed, mask);
            auto const recorded = f.expected_checkpoint(expected.at("mask_files").at(k).get<std::string>());
            if (auto d = difference(mask, *recorded, f.tolerance()))
                throw failure{"mask of model " + std::to_string(k) + ": " + *d};
        }
        json values{{"mask_files", expected.at("mask_files")}};
        if (expected.contains("kat")) {
            auto const & known = expected.at("kat");
            auto const words = [&](char const * key, std::size_t i) {
                return known.at(key).at(i).get<std::uint32_t>();
            };
            values["kat"] = {{"counter", known.at("counter")}, {"key", known.at("key")}};
            values["kat"]["out"] = lathe::random::philox(
                {words("counter", 0), words("counter", 1), words("counter", 2), words("counter", 3)},
                {words("key", 0), words("key", 1)});
        }
        return {nullptr, std::move(values), nullptr, {}};
    });
}
template void add_elections<selected>(runner_table &);

} // namespace lathe_replay
