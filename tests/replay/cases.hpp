#pragma once
/// \file  Recorded cases, whatever they are about.
#include "fixture.hpp"

#include <lathe/evaluate/similarity.hpp>

#include <functional>

namespace lathe_replay {

enum class verdict { passed, failed, skipped };

struct result {
    verdict what;
    std::string detail;
};

struct recorded_case {
    std::string name;
    std::function<std::string()> method;            ///< or what else the case is about
    std::function<result(std::size_t threads)> run; ///< may throw: then it failed
};

/// The cases of a folder; none if it is not of this kind. \throws failure, lathe::error
template <class Backend> std::vector<recorded_case> merge_cases(fs::path const & folder);
template <class Backend> std::vector<recorded_case> adapt_cases(fs::path const & folder);

/// An adapter folder of PEFT with its manifest.
result run_peft_case(fs::path const & folder);
template <class Backend> std::vector<recorded_case> watermark_cases(fs::path const & folder);
/// lathe::evaluate::similarities on a backend with so many threads.
using similarity_runner = std::function<lathe::evaluate::similarity_result(
    lathe::evaluate::embedding_table const &, std::span<lathe::evaluate::similarity_request const>,
    std::size_t threads)>;
/// Of workflow evaluation: a folder with some of samples.jsonl, aggregate.json, golds.jsonl, similarity_check.json
/// (with their embeddings), synthetic.jsonl, matching.json, topological_orders.json.
std::vector<recorded_case> worfeval_cases(fs::path const & folder, similarity_runner const & similarities);

} // namespace lathe_replay
