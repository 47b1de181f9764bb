#include "backends.hpp"
#include "device_list.hpp"
#include "selected_backend.hpp"

#include <thread>

namespace lathe_cli {

using lathe::compiled::selected;
using lathe::compiled::selected_backend;

namespace {

template <class B> json list() {
    auto all = json::array();
    if constexpr (requires { B::devices(); })
        for (auto const & d : B::devices())
            all.push_back({{"backend", std::string{selected::name} + ":" + std::to_string(d.index)},
                           {"name", d.name},
                           {"platform", d.platform_name},
                           {"version", d.version},
                           {"driver", d.driver},
                           {"compute_units", d.compute_units},
                           {"memory_bytes", d.global_memory},
                           {"largest_buffer_bytes", d.largest_buffer},
                           {"double", d.fp64}});
    else
        all.push_back({{"backend", selected::name},
                       {"name", "this machine's processors"},
                       {"compute_units", std::max(1u, std::thread::hardware_concurrency())},
                       {"double", true}});
    return all;
}

} // namespace

template <class Backend> json devices_of() {
    static_assert(std::same_as<Backend, selected>);
    return list<selected_backend>();
}
template json devices_of<selected>();

namespace {
template <class B> std::string name_on(std::string_view device) {
    if constexpr (requires { B::chosen_device(device); })
        return B::chosen_device(device).name;
    else
        return "host";
}
} // namespace

template <class Backend> std::string device_name(std::string_view device) {
    static_assert(std::same_as<Backend, selected>);
    return name_on<selected_backend>(device);
}
template std::string device_name<selected>(std::string_view device);

} // namespace lathe_cli
