/// \file  Runners of the methods that lathe::registry lists and that need nothing but checkpoints; and of DARE's masks.
#include "backend_runners.hpp"
#include "compare.hpp"

#include <lathe/compiled.hpp>

namespace lathe_replay {

namespace {

/// A result as expected.json has it.
template <class Result> json values_of(Result const & result, lathe::merge::model_pool const &) {
    return lathe::reflect::to_json(result);
}
json values_of(lathe::status, lathe::merge::model_pool const &) { return nullptr; }
json values_of(lathe::merge::slerp_result const & result, lathe::merge::model_pool const & pool) {
    auto by_name = json::object();
    for (auto const & t : result.tensors)
        by_name[t.name] = lathe::reflect::to_json(t);
    for (auto const & row : pool.rows()) // copied, but recorded as what the formula gives for nothing
        if (lathe::is_floating(row.info.type) && row.info.count() == 0)
            by_name[row.info.name] = {{"dot", 0.0}, {"branch", "slerp"}};
    return by_name;
}

template <class Method> void add_one(runner_table & table) {
    add(table, Method::name, []<class T>(std::type_identity<T>, selected_backend & be, fixture & f) -> outcome {
        f.expect_inputs({"models", "base", Method::files});
        auto const of_pool = f.take_pool_options();
        auto const options = f.options<typename Method::options>();
        std::vector<std::unique_ptr<lathe::checkpoint>> files;
        if (!Method::files.empty() && (Method::files_required || f.has_input(std::string{Method::files})))
            files = f.checkpoints(std::string{Method::files});
        fixture_pool const inputs(f, of_pool);
        auto result = std::make_unique<lathe::memory_checkpoint>("result");
        auto const file_list = pointers(files);
        auto const report =
            lathe::compiled::merging<Method, T, selected_backend>::run(be, inputs.pool, file_list, *result, options);
        return {std::move(result), values_of(report, inputs.pool), nullptr, {}};
    });
}

} // namespace

template <class Backend> void add_registered(runner_table & table) {
    lathe::registry::for_each_method(lathe::registry::merging_methods,
                                     [&]<class Method>(std::type_identity<Method>) { add_one<Method>(table); });

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
template void add_registered<selected>(runner_table &);

} // namespace lathe_replay
