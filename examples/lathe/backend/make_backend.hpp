#pragma once
/// \file  The backend of a run, from what the command line says of it.
#include "selected_backend.hpp"

#include <concepts>
#include <string>
#include <string_view>

namespace lathe_cli {

/// Backends on the host take a number of threads, others a device. \throws what the backend throws
template <class B = selected_backend> B make_backend(std::size_t threads, std::string const & device) {
    if constexpr (std::constructible_from<B, std::size_t>)
        return B(threads);
    else
        return B(std::string_view{device});
}

} // namespace lathe_cli
