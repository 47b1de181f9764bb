#pragma once
/// \file  Similarities as the command hands them to the code of a backend.
#include "interrupt.hpp"
#include "progress_bar.hpp"

#include <lathe/evaluate/similarity.hpp>

#include <string>

namespace lathe_cli {

struct similarity_job {
    lathe::evaluate::embedding_table const & table;
    std::span<lathe::evaluate::similarity_request const> requests;
    std::size_t threads;
    std::string device;
    progress_bar & progress;
};

/// Defined and instantiated in backend/worfeval.cpp. \throws interrupted, lathe::error
template <class Backend> lathe::evaluate::similarity_result run_similarities(similarity_job const & job);

} // namespace lathe_cli
