#pragma once
/// \file  A graph with a text at every vertex: what readers of workflows give and comparisons take.
#include <lathe/graph/digraph.hpp>

#include <string>

LATHE_NAMESPACE_BEGIN
namespace graph {

/// Vertices by position. Arcs are in the order of the source, duplicates included, and their ends may lie beyond the
/// vertices: what is wrong with a graph is for a diagnosis to say, not for its reader to hide.
struct labelled_graph {
    std::vector<std::string> labels; ///< of every vertex
    std::vector<arc> arcs;           ///< by positions
    friend bool operator==(labelled_graph const &, labelled_graph const &) = default;
};

} // namespace graph
LATHE_NAMESPACE_END
