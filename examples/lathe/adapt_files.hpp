#pragma once
/// \file  Weights of a checkpoint as modules of a model, and the adapters of modules in PEFT's files.
#include "adapt_job.hpp"
#include "files.hpp"
#include "overflow.hpp"

#include <lathe/io/peft.hpp>

namespace lathe_cli {

/// A weight that gets an adapter.
struct target {
    std::size_t tensor; ///< of the checkpoint
    std::string module; ///< as PEFT calls it
    matrix_shape shape;
    bool embedding;
    lathe::shape kernel; ///< of a convolution: what comes after outputs and inputs
};

/// Which weights get adapters, in PEFT's words.
struct target_settings {
    std::vector<std::string> target_modules;
    std::optional<std::string> target_pattern;
    std::vector<std::string> exclude_modules;
    std::string module_prefix;
    std::vector<std::string> embeddings{
        "embed_tokens",   "wte",      "wpe",   "word_embeddings", "position_embeddings", "token_type_embeddings",
        "tok_embeddings", "embed_in", "shared"};
    std::vector<std::string> output_layers{"lm_head", "embed_out", "score", "classifier"};
    bool fan_in_fan_out = false;
};
/// Weights of at least two dimensions whose modules are named, by name. \throws usage_error if none is; mismatch_error
/// for a weight that cannot have an adapter; format_error
std::vector<target> find_targets(lathe::checkpoint const & model, target_settings const & settings);

/// From the modules of an adapter to the tensors of a checkpoint, which may lack the first parts of their names
/// (GPT-2's "transformer.", which the checkpoint on the hub has not) or have more of them.
class module_names {
    std::string strip_, prefix_;

public:
    /// \throws mismatch_error naming a module for which there is no weight
    module_names(lathe::checkpoint const & model, std::span<std::string const> modules);
    /// The name of a tensor of a module in the checkpoint.
    [[nodiscard]] std::string tensor(std::string_view module, std::string_view what) const;
    /// The same for a whole name below the model.
    [[nodiscard]] std::string whole(std::string_view name) const;
};

/// How a module's weight is stored, by what its adapter fits; for square ones the configuration decides. \throws
/// mismatch_error
matrix_shape shape_of(lathe::tensor_info const & weight, lathe::io::peft_module const & m,
                      lathe::io::peft_config const & config);

/// The factors of a module, widened. \throws unsupported_error, io_error
adapter_values read_adapter(lathe::io::peft_folder const & folder, lathe::io::peft_module const & m);
/// Any tensor of an adapter folder, widened.
std::vector<double> read_values(lathe::checkpoint & from, std::size_t index);

/// What is said of a module beside its factors.
struct module_entry {
    std::string name;
    std::size_t rank;
    double alpha;
};
/// The tensors of one module as PEFT names them.
struct module_tensors {
    std::string name;
    bool embedding = false, adalora = false;
    lathe::shape kernel = {};
    std::vector<double> bias = {}; ///< of B (lora_bias), or none
    lathe::dtype type = lathe::dtype::f32;
};
/// Adds them to a checkpoint. \throws non_finite_error as overflow_count
void write_adapter(lathe::memory_checkpoint & to, module_tensors const & m, adapter_values const & values,
                   overflow_count & infinite);

/// r, lora_alpha and the patterns for modules of these ranks and alphas: r is the most frequent rank.
void set_ranks(lathe::io::peft_config & config, std::span<module_entry const> modules);
/// The shortest names that PEFT finds these modules by among all: their last parts, if no other ends so.
std::vector<std::string> target_names(std::span<std::string const> modules, std::span<std::string const> all);

} // namespace lathe_cli

BOOST_HANA_ADAPT_STRUCT(lathe_cli::target_settings, target_modules, target_pattern, exclude_modules, module_prefix,
                        embeddings, output_layers, fan_in_fan_out);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::target_settings> = lathe::reflect::help_table({
    {"target_modules", "ends of the names of modules, between commas, or all-linear"},
    {"target_pattern", "a regular expression for whole names of modules, in the place of target_modules"},
    {"exclude_modules", "ends of names of modules that get none"},
    {"module_prefix", "what the model has before the names of the checkpoint, such as transformer. for GPT-2"},
    {"embeddings", "last parts of the names of modules that are embeddings"},
    {"output_layers", "last parts of the names of modules that all-linear leaves out"},
    {"fan_in_fan_out", "linear layers keep the transposed weight (Conv1D of GPT-2)"},
});
