#pragma once
/// \file  The backend of a run, from what the command line says of it.
#include "backends.hpp"
#include "selected_backend.hpp"

namespace lathe_cli {

/// Backends on the host take a number of threads, others a device. \throws usage_error for a device where there are
/// none; what the backend throws
inline selected_backend make_backend(std::size_t threads, std::string const & device) {
    if constexpr (std::constructible_from<selected_backend, std::size_t>) {
        if (!device.empty())
            throw usage_error{"--backend: found device '" + device + "', expected none with "
                              + std::string{selected::name}};
        return selected_backend(threads);
    } else {
        static_cast<void>(threads);
        return selected_backend(std::string_view{device});
    }
}

} // namespace lathe_cli
