#pragma once
/// \file  Recorded cases of workflow evaluation.
#include "cases.hpp"

#include <lathe/evaluate/similarity.hpp>

namespace lathe_replay {

/// lathe::evaluate::similarities on a backend with so many threads.
using similarity_runner = std::function<lathe::evaluate::similarity_result(
    lathe::evaluate::embedding_table const &, std::span<lathe::evaluate::similarity_request const>, std::size_t threads)>;

/// Of a folder with some of samples.jsonl, aggregate.json, golds.jsonl, similarity_check.json (with their embeddings),
/// synthetic.jsonl, matching.json, topological_orders.json: their cases. None for another folder. \throws failure
std::vector<recorded_case> worfeval_cases_with(fs::path const & folder, similarity_runner const & similarities);

} // namespace lathe_replay
