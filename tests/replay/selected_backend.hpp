#pragma once
/// \file  The backend that a translation unit of runners is compiled for: LATHE_REPLAY_BACKEND, eigen if nobody says.
#include "runners.hpp"

#ifndef LATHE_REPLAY_BACKEND
#    define LATHE_REPLAY_BACKEND eigen
#endif
#define LATHE_REPLAY_HEADER(b) <lathe/backend/b.hpp>
#define LATHE_REPLAY_TYPE_(b) lathe::b##_backend
#define LATHE_REPLAY_TYPE(b) LATHE_REPLAY_TYPE_(b)
#include LATHE_REPLAY_HEADER(LATHE_REPLAY_BACKEND)

namespace lathe_replay {

using selected = backends::LATHE_REPLAY_BACKEND;
using selected_backend = LATHE_REPLAY_TYPE(LATHE_REPLAY_BACKEND);

/// Adds run(std::type_identity<T>, be, fixture), for both precisions.
template <class Run> void add(runner_table & table, std::string_view method, Run run) {
    auto const in = [run]<class T>(std::type_identity<T> precision) {
        return [run, precision](fixture & f, std::size_t threads) -> outcome {
            if constexpr (std::constructible_from<selected_backend, std::size_t>) {
                selected_backend be(threads);
                return run(precision, be, f);
            } else {
                selected_backend be;
                return run(precision, be, f);
            }
        };
    };
    table[std::string{method}] = {in(std::type_identity<float>{}), in(std::type_identity<double>{})};
}

} // namespace lathe_replay
