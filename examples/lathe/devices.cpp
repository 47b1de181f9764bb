#include "backends.hpp"
#include "commands.hpp"
#include "device_list.hpp"
#include "progress_bar.hpp"

#include <CLI/CLI.hpp>

namespace lathe_cli {

namespace {

/// Those of all backends. A backend that cannot even be asked is a line that says why.
template <class... Backends> json all_devices(backend_list<Backends...>) {
    auto all = json::array();
    auto const add = [&](std::string_view backend, json (*list)()) {
        try {
            for (auto const & d : list())
                all.push_back(d);
        } catch (lathe::error const & e) {
            all.push_back({{"backend", backend}, {"error", e.what()}});
        }
    };
    (add(Backends::name, &devices_of<Backends>), ...);
    return all;
}

std::string line(json const & d, std::size_t width) {
    auto text = d["backend"].get<std::string>();
    text.append(width + 2 - text.size(), ' ');
    if (d.contains("error"))
        return text.append("not available: ").append(d["error"].get<std::string>()).append("\n");
    text.append(d["name"].get<std::string>());
    if (d.contains("memory_bytes"))
        text.append(", ")
            .append(human_bytes(static_cast<double>(d["memory_bytes"].get<std::uint64_t>())))
            .append(", ")
            .append(d["platform"].get<std::string>());
    return text.append(d["double"].get<bool>() ? "" : ", no double").append("\n");
}

} // namespace

namespace {
template <class... Backends> by_backend<std::string (*)(std::string_view)> device_names(backend_list<Backends...>) {
    return {{Backends::name, &device_name<Backends>}...};
}
} // namespace
std::string chosen_device(std::string const & backend) {
    return choose_backend(backend, device_names(built_backends{}))(backend_choice{backend}.device);
}

action add_devices(CLI::App & app) {
    auto & sub = *app.add_subcommand("devices", "List the backends and their devices, as --backend takes them");
    auto as_json = std::make_shared<bool>(false);
    sub.add_flag("--json", *as_json, "print JSON");
    sub.allow_extras();
    return [&sub, as_json] {
        expect_nothing_left(sub);
        auto const all = all_devices(built_backends{});
        if (*as_json) {
            print_json(all);
            return 0;
        }
        std::size_t width = 0;
        for (auto const & d : all)
            width = std::max(width, d["backend"].get<std::string>().size());
        std::string text;
        for (auto const & d : all)
            text += line(d, width);
        print(text);
        return 0;
    };
}

} // namespace lathe_cli
