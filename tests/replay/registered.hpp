#pragma once
/// \file  Runners of the methods that lathe::registry lists and that need nothing but checkpoints.
#include "selected_backend.hpp"

#include <lathe/registry.hpp>

namespace lathe_replay {

/// A result as expected.json has it.
template <class Result> json values_of(Result const & result, lathe::merge::model_pool const &) {
    return lathe::reflect::to_json(result);
}
inline json values_of(lathe::status, lathe::merge::model_pool const &) { return nullptr; }
inline json values_of(lathe::merge::slerp_result const & result, lathe::merge::model_pool const & pool) {
    auto by_name = json::object();
    for (auto const & t : result.tensors)
        by_name[t.name] = lathe::reflect::to_json(t);
    for (auto const & row : pool.rows()) // copied, but recorded as what the formula gives for nothing
        if (lathe::is_floating(row.info.type) && row.info.count() == 0)
            by_name[row.info.name] = {{"dot", 0.0}, {"branch", "slerp"}};
    return by_name;
}

template <class Method> void add_registered(runner_table & table) {
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
        auto const report = Method::template run<T>(be, inputs.pool, file_list, *result, options, lathe::control<>{});
        return {std::move(result), values_of(report, inputs.pool), nullptr, {}};
    });
}

} // namespace lathe_replay
