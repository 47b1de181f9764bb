#pragma once
/// \file  The commands of the program. Each adds its flags to the command line and is run if it was named.
#include "flags.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>

namespace lathe_cli {

/// What a command does; \returns the exit status.
using action = std::function<int()>;

#ifndef LATHE_CLI_DEFAULT_BACKEND
#    define LATHE_CLI_DEFAULT_BACKEND "eigen"
#endif

/// What goes with every command that computes.
struct run_settings {
    std::string backend = LATHE_CLI_DEFAULT_BACKEND;
    std::size_t threads = 0;
    std::optional<std::uint64_t> seed;
    bool provenance = true;
    bool hash_inputs = false;
    bool json = false;
    bool quiet = false;
};

/// Adds a subcommand; \returns what to do if it was named, which must be called while `app` lives.
action add_merge(CLI::App & app);
action add_adapt(CLI::App & app);
action add_kinship(CLI::App & app);
action add_worfeval(CLI::App & app);
action add_cluster(CLI::App & app);
action add_watermark(CLI::App & app);
/// `tokens` of `lathe watermark`; what is returned runs it if it was named.
std::function<std::optional<int>()> add_token_detection(CLI::App & watermark);
action add_inspect(CLI::App & app);
action add_methods(CLI::App & app);
action add_devices(CLI::App & app);

/// Writes to standard output. \throws io_error
void print(std::string_view text);
/// The same, of JSON and a newline.
void print_json(json const & value);
/// For tables: six significant digits, "-" for NaN.
std::string six_digits(double v);
/// "0.1.0"
std::string version();

/// Files or folders that a command read, by what they are to it.
struct named_inputs {
    std::string_view role;
    std::vector<std::string> paths;

    named_inputs(std::string_view r, std::vector<std::string> p) : role{r}, paths{std::move(p)} {}
    named_inputs(std::string_view r, std::string const & p) : role{r} {
        if (!p.empty())
            paths.push_back(p);
    }
    named_inputs(std::string_view r, std::optional<std::string> const & p) : named_inputs(r, p.value_or("")) {}
};
/// What a result was computed from: the version, `what` (command, method, options), backend, device and seed, and the
/// name, the size and a hash of every input. The same for the same run on the same backend, whatever the threads.
/// \throws io_error; unavailable devices as the backend does
json provenance(json const & what, run_settings const & how, std::vector<named_inputs> const & inputs);
/// For write_options::metadata: provenance under "lathe", and "format", which transformers wants where there are
/// metadata, unless the source has it. Empty if there is no provenance.
std::map<std::string, std::string> metadata_of(json const & provenance,
                                               std::map<std::string, std::string> const & source = {});

} // namespace lathe_cli

BOOST_HANA_ADAPT_STRUCT(lathe_cli::run_settings, backend, threads, seed, provenance, hash_inputs, json, quiet);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::run_settings> = lathe::reflect::help_table({
    {"backend", "where to compute, as `lathe devices` lists it"},
    {"threads", "how many, at most 1024; 0: one per processor. The result does not depend on it"},
    {"seed", "of everything that is drawn; methods that draw nothing ignore it"},
    {"provenance", "say in the result, and in the metadata of safetensors files, what it was computed from"},
    {"hash_inputs", "there, hash the inputs as a whole, which reads them once more, and not samples of them"},
    {"json", "print the result as JSON"},
    {"quiet", "print errors only"},
});
