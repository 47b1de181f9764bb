#pragma once
/// \file  One comparison as the command hands it to the code of a backend.
#include "interrupt.hpp"
#include "progress_bar.hpp"

#include <lathe/merge/kinship.hpp>

namespace lathe_cli {

struct kinship_job {
    lathe::merge::model_pool const & pool;
    lathe::merge::kinship_options const & options;
    std::size_t threads;
    std::string device;
    progress_bar & progress;
};

/// Defined and instantiated in backend/kinship.cpp. \throws interrupted, lathe::error
template <class Backend> lathe::merge::kinship_result run_kinship(kinship_job const & job);

} // namespace lathe_cli
