#include "kinship_job.hpp"
#include "report.hpp"

namespace lathe_cli {

template <class Backend> lathe::merge::kinship_result run_kinship(kinship_job const & job) {
    using lathe::compiled::measuring_kinship;
    auto be = lathe::compiled::make_backend<selected_backend>(job.threads, job.device);
    auto const ctl = control_of(job.progress);
    auto result = job.pool.wants_double()
                      ? measuring_kinship<double, selected_backend>::run(be, job.pool, job.options, ctl)
                      : measuring_kinship<float, selected_backend>::run(be, job.pool, job.options, ctl);
    if (result.status == lathe::status::stopped)
        throw interrupted{};
    return result;
}
template lathe::merge::kinship_result run_kinship<selected>(kinship_job const &);

} // namespace lathe_cli
