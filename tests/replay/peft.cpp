/// \file  Recorded adapter folders: no backend in them.
#include "cases.hpp"

#include <lathe/io/peft.hpp>

namespace lathe_replay {

result run_peft_case(fs::path const & folder) {
    auto const manifest = read_json(folder / "manifest.json");
    lathe::io::peft_folder const adapter(folder);
    auto const & expected = manifest.at("modules");
    if (adapter.modules().size() != expected.size())
        return {verdict::failed, "found " + std::to_string(adapter.modules().size()) + " modules"};
    auto const config = read_json(folder / "adapter_config.json");
    for (auto const & m : adapter.modules()) {
        if (!expected.contains(m.name))
            return {verdict::failed, "no module '" + m.name + "' is expected"};
        auto const & e = expected.at(m.name);
        if (m.outputs != e.at("out").get<std::size_t>() || m.inputs != e.at("in").get<std::size_t>()
            || m.rank != adapter.config().rank_of(m.name))
            return {verdict::failed, "module '" + m.name + "': other extents"};
        if (manifest.contains("scaling") && m.scaling != manifest.at("scaling").get<double>())
            return {verdict::failed, "module '" + m.name + "': scaling " + std::to_string(m.scaling)};
        if (config.contains("kasa_config") != m.diag.has_value())
            return {verdict::failed, "module '" + m.name + "': sigma is there, or KaSA, but not both"};
    }
    // What is written is what was read, but for keys that say nothing.
    auto const written = json::parse(to_json(adapter.config()));
    for (auto const & [key, value] : written.items())
        if (config.contains(key) && config.at(key) != value)
            return {verdict::failed, "adapter_config.json: " + key + " would be written as " + value.dump()};
    return {verdict::passed, {}};
}

} // namespace lathe_replay
