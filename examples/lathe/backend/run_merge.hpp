#pragma once
/// \file  The body of run_merge, for the translation units that instantiate it. They include what CMake generated for their
///        backend, which defines selected_backend (the type) and selected (its name).
#include "merge_job.hpp"
#include "selected_backend.hpp"

namespace lathe_cli {

template <class Method, class Backend> json run_merge(merge_job const & job) {
    static_assert(std::same_as<Backend, selected>);
    selected_backend be(job.threads);
    auto const options = lathe::reflect::options_from<typename Method::options>(job.options);
    lathe::control const ctl{std::ref(job.progress), interrupt_token{}};
    auto const run = [&]<class T>(T) {
        auto const result = Method::template run<T>(be, job.pool, job.files, job.sink, options, ctl);
        if constexpr (std::same_as<decltype(result), lathe::status const>) {
            if (result == lathe::status::stopped)
                throw interrupted{};
            return json{{"status", lathe::reflect::name_of(result)}};
        } else {
            if (result.status == lathe::status::stopped)
                throw interrupted{};
            return lathe::reflect::to_json(result);
        }
    };
    return job.pool.wants_double() ? run(double{}) : run(float{});
}

} // namespace lathe_cli
