#include "backend_runners.hpp"

#include <lathe/compiled.hpp>
#include <lathe/reflect/merge.hpp>

namespace lathe_replay {

namespace {

/// Minus the squared distance to a target.
double minus_squared_distance(lathe::checkpoint & model, lathe::checkpoint & target) {
    double sum = 0;
    lathe::window_buffer buffer;
    auto const values = [&](lathe::checkpoint & c, std::size_t i) {
        auto const & info = c.tensors()[i];
        std::vector<double> v(info.count());
        lathe::host::load(info.type, c.read(i, 0, info.bytes(), buffer).data(), v.size(), v.data());
        return v;
    };
    for (std::size_t i = 0; i != model.tensors().size(); ++i) {
        auto const & info = model.tensors()[i];
        auto const j = target.find(info.name);
        if (!lathe::is_floating(info.type) || !j)
            continue;
        auto const x = values(model, i), y = values(target, *j);
        for (std::size_t e = 0; e != x.size(); ++e)
            sum -= (x[e] - y[e]) * (x[e] - y[e]);
    }
    return sum;
}

} // namespace

template <class Backend> void add_kinship(runner_table & table) {
    add(table, "kinship", []<class T>(std::type_identity<T>, selected_backend & be, fixture & f) -> outcome {
        using namespace lathe::merge;
        f.expect_inputs({"models", "base"});
        auto const of_pool = f.take_pool_options();
        auto options = f.options<kinship_options>();
        fixture_pool const inputs(f, of_pool);
        auto const names = f.model_names();
        options.low_precision = false;
        using measuring = lathe::compiled::measuring_kinship<T, selected_backend>;
        auto const exact = measuring::run(be, inputs.pool, options);
        options.low_precision = true;
        auto const rounded = measuring::run(be, inputs.pool, options);

        auto const position = [&](json const & name) {
            auto const at = std::ranges::find(names, name.get<std::string>());
            if (at == names.end())
                throw failure{"expected.json: no model " + name.dump()};
            return static_cast<std::size_t>(at - names.begin());
        };
        auto values = json::array();
        for (auto const & entry : f.expected_json("json")) {
            expect_fields(entry, {"a", "b", "metric", "mode", "low_precision", "value"});
            kinship_metric metric{};
            kinship_mode mode{};
            lathe::reflect::codec<kinship_metric>::read(entry.at("metric"), metric, "metric");
            lathe::reflect::codec<kinship_mode>::read(entry.at("mode"), mode, "mode");
            auto found = entry;
            auto const & from = entry.at("low_precision").get<bool>() ? rounded : exact;
            found["value"] = from.value(metric, mode, position(entry.at("a")), position(entry.at("b")));
            values.push_back(std::move(found));
        }
        return {nullptr, std::move(values), nullptr, {}};
    });

    add(table, "kinship_topk", []<class T>(std::type_identity<T>, selected_backend & be, fixture & f) -> outcome {
        using namespace lathe::merge;
        f.expect_inputs({"models", "base", "target"});
        auto const of_pool = f.take_pool_options();
        if (auto const how = f.take_option("evaluate"); how != json("minus squared distance to target"))
            throw failure{"evaluation " + how.dump() + " is unknown"};
        auto options = f.options<kinship_search_options>();
        options.names = f.model_names();
        auto const target = f.checkpoint("target");
        fixture_pool const inputs(f, of_pool);
        auto result = std::make_unique<lathe::memory_checkpoint>("result");
        auto const evaluate = [&](lathe::checkpoint & model) { return minus_squared_distance(model, *target); };
        auto const found =
            lathe::compiled::searching<T, selected_backend>::run(be, inputs.pool, evaluate, *result, options);
        return {std::move(result), lathe::reflect::to_json(found), nullptr, {}};
    });
}
template void add_kinship<selected>(runner_table &);

} // namespace lathe_replay
