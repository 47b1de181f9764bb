#pragma once
/// \file  mergekit's configuration files, read for the methods that lathe shares with it.
#include <lathe/reflect/options.hpp>

namespace lathe_cli {

using lathe::reflect::json;

/// A merge that a configuration asks for, in our words.
struct mergekit_merge {
    std::string method;             ///< of lathe::registry
    json options;                   ///< of the method
    json settings;                  ///< of `lathe merge`: models, base, out_dtype
    std::vector<std::string> notes; ///< what was ignored, as mergekit does
};

/// Whether a file is a mergekit configuration rather than our own: YAML by its name, or an object with merge_method.
bool is_mergekit(std::string const & text, std::string const & path);

/// Methods: linear, task_arithmetic, ties, dare_ties, dare_linear, slerp. Models under `models`, or `slices` that leave
/// all layers in their places. A parameter is looked for at the slice's source (the model), the slice, the module and
/// the top, and where filters leave a tensor without value the search goes on. Slices are held against the names of the
/// tensors of the first model, which is opened for that. \throws format_error naming the file and the entry; io_error
mergekit_merge read_mergekit(std::string const & text, std::string const & path);

} // namespace lathe_cli
