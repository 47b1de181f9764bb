#pragma once
/// \file  WorFBench's files of gold workflows and of predictions.
#include "files.hpp"

namespace lathe_cli {

/// A gold workflow and a prediction of it, as texts; null in a file is no text.
struct workflow_texts {
    std::string id, set;
    std::optional<std::string> predicted, gold;
};

/// The pairs of two files, in the order of the predictions. A file is a JSON list, or, named .jsonl, one JSON value a
/// line. A gold workflow is the content of the last of its record's `conversations`, or its `text`; a prediction is
/// `workflow`, or `answer.choices[0].message.content`, or `pred_text`. Predictions that name the `gid` of a gold
/// workflow belong to that, others to the one at their place, and then there must be as many of the one as of the
/// other. The set is the record's `dataset` or `source`, else the folder of the gold file.
/// \throws io_error, format_error naming file, record and field; mismatch_error
std::vector<workflow_texts> read_worfbench(fs::path const & gold, fs::path const & predicted);

/// The strings of a JSON list. \throws io_error, format_error
std::vector<std::string> read_strings(fs::path const & path);

} // namespace lathe_cli
