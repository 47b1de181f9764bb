#pragma once
// The table and the chart of the experiment.
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

namespace quickstart {

/// How many experts of the tasks, and how many models that no task needs, went into a merge.
struct mixture {
    std::size_t relevant, irrelevant;
};

/// The mean accuracy over all tasks that one method reached on each mixture; NaN where it does not apply.
struct result {
    std::string method;
    std::vector<double> accuracy;
    double seconds = 0;     ///< of all its merges
    bool highlight = false; ///< drawn in colour
};

/// Writes the table to standard output.
void print_table(std::vector<mixture> const & mixtures, std::vector<result> const & results);
/// Writes an SVG: accuracy against the number of relevant models, and, with all of them, against the irrelevant ones.
void write_chart(std::filesystem::path const & path, std::vector<mixture> const & mixtures,
                 std::vector<result> const & results);

} // namespace quickstart
