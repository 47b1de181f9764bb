#pragma once
/// \file  What the program does with paths: open inputs, keep outputs away from them, copy what lies beside the
/// weights.
#include <lathe/io/safetensors.hpp>
#include <lathe/reflect/options.hpp>

namespace lathe_cli {

using lathe::reflect::json;
namespace fs = std::filesystem;

/// A checkpoint that was opened, and what the user called it.
struct input {
    std::string path;
    std::unique_ptr<lathe::checkpoint> file;

    [[nodiscard]] std::uint64_t bytes() const;
    [[nodiscard]] json describe() const;
};
/// \throws io_error, format_error
input open_input(std::string const & path);
std::vector<input> open_inputs(std::span<std::string const> paths);
std::vector<lathe::checkpoint *> checkpoints_of(std::span<input const> inputs);

/// Writing to `output` must not replace or remove what is being read. \throws usage_error naming both
void expect_separate(std::string const & output, std::span<input const> inputs);

/// Whether a path asks for a folder: it is one, ends in '/', or has no extension .safetensors.
bool names_folder(std::string const & path);

/// Copies what loaders want beside the weights (configuration, tokenizer, code) from the folder `from` to the folder
/// `to`: files *.json, *.txt, *.model, *.tiktoken, *.jinja and *.py that describe no weights. `type`, if given,
/// replaces torch_dtype in config.json. \returns the names copied \throws io_error
std::vector<std::string> copy_side_files(fs::path const & from, fs::path const & to, std::optional<lathe::dtype> type);

/// "5GB", "500 MB", "2GiB", "1000000". \throws usage_error naming the flag
std::uint64_t parse_size(std::string_view flag, std::string_view text);
/// A floating type as safetensors or torch spell it: BF16, bf16, bfloat16. \throws usage_error naming the flag
lathe::dtype parse_float_type(std::string_view flag, std::string_view text);
/// "bfloat16"
std::string_view torch_name(lathe::dtype type);

/// A file of text, or a pipe, at most 16 MiB. \throws io_error, format_error
std::string read_text(fs::path const & path);
/// One JSON value, each key once. \throws format_error
json read_json_file(fs::path const & path);
json parse_json_text(std::string const & text, std::string const & label);

} // namespace lathe_cli
