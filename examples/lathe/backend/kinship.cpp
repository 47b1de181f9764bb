#include "kinship_job.hpp"
#include "make_backend.hpp"

#include <functional>

namespace lathe_cli {

template <class Backend> lathe::merge::kinship_result run_kinship(kinship_job const & job) {
    auto be = make_backend(job.threads, job.device);
    lathe::control const ctl{std::ref(job.progress), interrupt_token{}};
    auto result = job.pool.wants_double() ? lathe::merge::kinship<double>(be, job.pool, job.options, ctl)
                                          : lathe::merge::kinship<float>(be, job.pool, job.options, ctl);
    if (result.status == lathe::status::stopped)
        throw interrupted{};
    return result;
}
template lathe::merge::kinship_result run_kinship<selected>(kinship_job const &);

} // namespace lathe_cli
