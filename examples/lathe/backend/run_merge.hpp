#pragma once
/// \file  The body of run_merge for methods that need checkpoints only, for the translation units that instantiate it.
#include "report.hpp"

namespace lathe_cli {

template <class Method, class Backend> json run_merge(merge_job const & job) {
    static_assert(std::same_as<Backend, selected>);
    auto be = make_backend(job.threads, job.device);
    auto const options = lathe::reflect::options_from<typename Method::options>(job.options);
    lathe::control const ctl{std::ref(job.progress), interrupt_token{}};
    if (job.pool.wants_double())
        return report_of(Method::template run<double>(be, job.pool, job.files, job.sink, options, ctl));
    return report_of(Method::template run<float>(be, job.pool, job.files, job.sink, options, ctl));
}

} // namespace lathe_cli
