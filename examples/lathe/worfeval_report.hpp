#pragma once
/// \file  Scored pairs of workflows, and the page that shows them.
#include <lathe/evaluate/worfeval_explanation.hpp>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lathe_cli {

enum class conformance_level : unsigned char { reference, strict };

struct scored_sample {
    std::string id, set;
    std::optional<lathe::evaluate::workflow> predicted, gold;
    lathe::evaluate::worfeval_explanation scores;
};
/// The pairs of a set, in order, and their means.
struct scored_set {
    std::string name;
    lathe::evaluate::worfeval_averages reference, strict;
};

/// What a departure is, in a sentence.
std::string_view words_for(lathe::evaluate::departure why);
/// What became of an edge, in a few words.
std::string_view words_for(lathe::evaluate::edge_fate fate);

/// One page of HTML that needs nothing else: the means, and for every pair its scores, why the levels differ, and both
/// graphs side by side, nodes that are matched at `level` in one colour, edges by what became of them.
std::string worfeval_page(std::string_view title, std::vector<scored_set> const & sets,
                          std::vector<scored_sample> const & samples, conformance_level level);

} // namespace lathe_cli
