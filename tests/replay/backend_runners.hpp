#pragma once
/// \file  Runners for the backend that a translation unit is compiled for.
#include "runners.hpp"
#include "selected_backend.hpp"

namespace lathe_replay {

using lathe::compiled::selected;
using lathe::compiled::selected_backend;

/// Adds run(std::type_identity<T>, be, fixture), for both precisions.
template <class Run> void add(runner_table & table, std::string_view method, Run run) {
    auto const in = [run]<class T>(std::type_identity<T> precision) {
        return [run, precision](fixture & f, std::size_t threads) -> outcome {
            auto be = lathe::compiled::make_backend<selected_backend>(threads);
            return run(precision, be, f);
        };
    };
    table[std::string{method}] = {in(std::type_identity<float>{}), in(std::type_identity<double>{})};
}

} // namespace lathe_replay
