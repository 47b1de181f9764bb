#include "worfeval_job.hpp"

#include "make_backend.hpp"

#include <functional>

namespace lathe_cli {

template <class Backend> lathe::evaluate::similarity_result run_similarities(similarity_job const & job) {
    auto be = make_backend(job.threads, job.device);
    lathe::control const ctl{std::ref(job.progress), interrupt_token{}};
    auto result = lathe::evaluate::similarities(be, job.table, job.requests, {}, ctl);
    if (result.status == lathe::status::stopped)
        throw interrupted{};
    return result;
}
template lathe::evaluate::similarity_result run_similarities<selected>(similarity_job const &);

} // namespace lathe_cli
