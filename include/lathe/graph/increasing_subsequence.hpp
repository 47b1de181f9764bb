#pragma once
/// \file  Longest strictly increasing subsequences (Schensted 1961; Fredman 1975).
#include <lathe/graph/digraph.hpp>

#include <algorithm>

LATHE_NAMESPACE_BEGIN
namespace graph {

/// Of every position the length of the longest strictly increasing subsequence that ends there; 0 where the value is
/// `none`, which joins and breaks nothing. This is the table of the quadratic dynamic programme (that of WorFEval's
/// authors among others), in O(n log n). `tails` is work space.
inline void increasing_lengths(std::span<vertex const> values, std::vector<vertex> & lengths,
                               std::vector<vertex> & tails) {
    lengths.resize(values.size());
    tails.clear(); // of length l + 1: the smallest value that one ends with
    for (std::size_t i = 0; i != values.size(); ++i) {
        if (values[i] == none) {
            lengths[i] = 0;
            continue;
        }
        auto const at = std::lower_bound(tails.begin(), tails.end(), values[i]);
        lengths[i] = static_cast<vertex>(at - tails.begin()) + 1;
        if (at == tails.end())
            tails.push_back(values[i]);
        else
            *at = values[i];
    }
}

/// The length of the longest strictly increasing subsequence, `none` passed over. `tails` is work space. O(n log n).
[[nodiscard]] inline std::size_t longest_increasing_length(std::span<vertex const> values,
                                                           std::vector<vertex> & tails) {
    tails.clear();
    for (auto const x : values) {
        if (x == none)
            continue;
        if (auto const at = std::lower_bound(tails.begin(), tails.end(), x); at == tails.end())
            tails.push_back(x);
        else
            *at = x;
    }
    return tails.size();
}

/// The positions of a longest strictly increasing subsequence, ascending, `none` passed over: of the subsequences of
/// that length the one whose positions are the largest when compared from the end. O(n log n).
[[nodiscard]] inline std::vector<std::size_t> longest_increasing_subsequence(std::span<vertex const> values) {
    std::vector<vertex> lengths, tails;
    increasing_lengths(values, lengths, tails);
    std::vector<std::size_t> positions(tails.size());
    auto wanted = tails.size();
    auto below = none;
    for (auto i = values.size(); wanted != 0;)
        if (--i; values[i] != none && lengths[i] == wanted && values[i] < below) {
            below = values[i];
            positions[--wanted] = i;
        }
    return positions;
}

} // namespace graph
LATHE_NAMESPACE_END
