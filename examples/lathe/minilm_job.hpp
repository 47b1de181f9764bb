#pragma once
/// \file  Sentences to embed as the command hands them to the code of a backend.
#include "../minilm/wordpiece.hpp"
#include "progress_bar.hpp"

#include <lathe/core/checkpoint.hpp>
#include <lathe/evaluate/similarity.hpp>

namespace lathe_cli {

struct minilm_job {
    lathe::checkpoint & weights;
    std::span<std::vector<minilm::token> const> sentences;
    std::size_t threads;
    std::string device;
    progress_bar & progress;
};

/// A row for each sentence. Defined and instantiated in backend/minilm.cpp. \throws interrupted, lathe::error
template <class Backend> lathe::evaluate::embedding_table run_minilm(minilm_job const & job);

} // namespace lathe_cli
