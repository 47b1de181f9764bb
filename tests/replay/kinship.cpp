#include "selected_backend.hpp"

#include <lathe/reflect/merge.hpp>

namespace lathe_replay {

template <class Backend> void add_kinship(runner_table & table) {
    add(table, "kinship", []<class T>(std::type_identity<T>, selected_backend & be, fixture & f) -> outcome {
        using namespace lathe::merge;
        fixture_pool const inputs(f);
        auto const names = f.model_names();
        auto options = f.options<kinship_options>();
        options.low_precision = false;
        auto const exact = kinship<T>(be, inputs.pool, options);
        options.low_precision = true;
        auto const rounded = kinship<T>(be, inputs.pool, options);

        auto const position = [&](json const & name) {
            auto const at = std::ranges::find(names, name.get<std::string>());
            if (at == names.end())
                throw failure{"expected.json: no model " + name.dump()};
            return static_cast<std::size_t>(at - names.begin());
        };
        auto values = json::array();
        for (auto const & entry : f.expected_json("json")) {
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
}
template void add_kinship<selected>(runner_table &);

} // namespace lathe_replay
