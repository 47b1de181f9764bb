#pragma once
/// \file  What the code of a backend shares.
#include "merge_job.hpp"
#include "selected_backend.hpp"

#include <lathe/compiled.hpp>

namespace lathe_cli {

using lathe::compiled::selected;
using lathe::compiled::selected_backend;

/// Shows progress, asks for interrupts. Refers to `progress`.
inline lathe::compiled::any_control control_of(progress_bar & progress) {
    return {{[&progress](lathe::progress const & p) { progress(p); }},
            {[] { return interrupt_token{}.stop_requested(); }}};
}

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
