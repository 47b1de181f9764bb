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
    /// All files that are read: the index and its shards, and where links among them lead.
    [[nodiscard]] std::vector<fs::path> files() const;
    [[nodiscard]] json describe() const;
};
/// \throws io_error, format_error
input open_input(std::string const & path);
std::vector<input> open_inputs(std::span<std::string const> paths);
std::vector<lathe::checkpoint *> checkpoints_of(std::span<input const> inputs);

/// {"bytes", "sha256" or "sha256_samples"} of a file, or of the files of a checkpoint or an adapter: of several the
/// SHA-256 of theirs, one after the other, the index first and then the shards in order, at the end the adapter's
/// configuration. Of a file above 256 KiB, unless `whole`, not the content is hashed but its size (8 bytes, the lowest
/// first) and 64 blocks of 4 KiB at even distances, the first and the last among them: enough to tell fine-tunes of one
/// model apart, and not who means to deceive. Null for what is no file, such as a pipe. \throws io_error, format_error
json hash_of(std::string const & path, bool whole);

/// Writing to `output` must not replace or remove what is being read. \throws usage_error naming both
void expect_separate(std::string const & output, std::span<input const> inputs);

/// Whether a path asks for a folder: it is one, ends in '/', or has no extension .safetensors.
bool names_folder(std::string const & path);

/// Opens what loaders want beside the weights (configuration, tokenizer, code): files *.json, *.txt, *.model,
/// *.tiktoken, *.jinja and *.py of a folder that describe no weights, by name. \throws io_error
std::vector<lathe::io::file> open_side_files(fs::path const & folder);
/// Copies them to a folder, in pieces, beside weights that are there already: all of them take their names, or none
/// where they cannot be written. `type`, if given, replaces torch_dtype (dtype, as newer ones have it) in config.json.
/// \returns the names \throws io_error, which also says that the weights are complete
std::vector<std::string> copy_side_files(std::span<lathe::io::file const> from, fs::path const & to,
                                         std::optional<lathe::dtype> type);

/// Names what a run that was killed has left in the folder it was writing to, for the user; empty if there is nothing.
/// A file is somebody's as long as it is locked, or the process runs that its name has the number of and that began
/// before the file was written: numbers come again, and containers have the same ones.
std::string note_on_abandoned(fs::path const & folder);
/// The same of the folders for files exchanged with other programs, among the system's temporary files.
std::string note_on_abandoned_exchange();
/// Says on standard error what was left beside a file that is going to be written, and of exchange if there will be
/// one.
void report_abandoned(fs::path const & output, bool exchange, bool quiet);

/// "5GB", "500 MB", "2GiB", "1000000". \throws usage_error naming the flag
std::uint64_t parse_size(std::string_view flag, std::string_view text);
/// A floating type as safetensors or torch spell it: BF16, bf16, bfloat16. \throws usage_error naming the flag
lathe::dtype parse_float_type(std::string_view flag, std::string_view text);
/// "bfloat16"
std::string_view torch_name(lathe::dtype type);

/// A file of text, or a pipe, at most 16 MiB. \throws io_error, format_error
std::string read_text(fs::path const & path);
/// A file of text of at most 1 GiB. \throws io_error, format_error
std::string read_large_text(fs::path const & path);
/// The lines of such a text with their numbers, from 1 on, without those of white space alone.
struct numbered_line {
    std::size_t number;
    std::string_view text;
};
std::vector<numbered_line> lines_of(std::string_view text);
/// One JSON value a line. \throws io_error, format_error naming the line
std::vector<json> read_json_lines(fs::path const & path);
/// One JSON value, each key once. \throws format_error
json read_json_file(fs::path const & path);
json parse_json_text(std::string const & text, std::string const & label);

} // namespace lathe_cli
