#pragma once
/// \file  The backends that the program was built with, and the choice among them.
#include "flags.hpp"

#include <lathe/compiled/backends.hpp>

#include <utility>
#include <vector>

namespace lathe_cli {

namespace backends = lathe::compiled::backends;
using lathe::compiled::backend_list;

// Those that it was built with, from CMake.
#ifndef LATHE_CLI_BACKENDS
#    define LATHE_CLI_BACKENDS backends::eigen
#endif
using built_backends = backend_list<LATHE_CLI_BACKENDS>;

/// One value for each backend, by name.
template <class Value> using by_backend = std::vector<std::pair<std::string_view, Value>>;

/// What --backend says: "eigen", or "opencl:1" for a device of the backend's.
struct backend_choice {
    std::string name, device;
    explicit backend_choice(std::string const & text)
        : name{text.substr(0, text.find(':'))}, device{name.size() == text.size() ? "" : text.substr(name.size() + 1)} {
    }
};

/// The value for the backend chosen. \throws usage_error naming those there are
template <class Value> Value const & choose_backend(std::string const & text, by_backend<Value> const & values) {
    backend_choice const choice{text};
    std::vector<std::string_view> known;
    for (auto const & [backend, value] : values) {
        known.push_back(backend);
        if (backend != choice.name)
            continue;
        if (!choice.device.empty() && backend != backends::opencl::name) // the only one that has devices
            throw usage_error{"--backend: found device '" + choice.device + "', expected none with " + choice.name};
        return value;
    }
    throw usage_error{"--backend: found '" + text + "', which this program was not built with; "
                      + lathe::reflect::suggestion(choice.name, known)};
}

/// More is a slip. \throws usage_error
inline void expect_threads(std::size_t threads) {
    if (threads > 1024)
        throw usage_error{"--threads: found " + std::to_string(threads) + ", expected at most 1024"};
}

} // namespace lathe_cli
