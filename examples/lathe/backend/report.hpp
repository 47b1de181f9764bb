#pragma once
/// \file  What the code of a backend shares. CMake generates selected_backend.hpp for it, which defines
/// selected_backend (the
///        type) and selected (its name).
#include "make_backend.hpp"
#include "merge_job.hpp"

#include <functional>

namespace lathe_cli {

/// A status or a result, as JSON. \throws interrupted
template <class Result> json report_of(Result const & result) {
    if constexpr (std::same_as<Result, lathe::status>) {
        if (result == lathe::status::stopped)
            throw interrupted{};
        return {{"status", lathe::reflect::name_of(result)}};
    } else {
        if (result.status == lathe::status::stopped)
            throw interrupted{};
        return lathe::reflect::to_json(result);
    }
}

} // namespace lathe_cli
