#pragma once
/// \file  Recorded cases: manifests, and the checkpoints and values they name.
#include <lathe/io/safetensors.hpp>
#include <lathe/merge/pool.hpp>
#include <lathe/reflect/options.hpp>

namespace lathe_replay {

using lathe::reflect::json;
namespace fs = std::filesystem;

/// The case is not what we understand, or its result is not what it should be. Not a lathe::error on purpose: it never
/// counts as the error that a case expects.
struct failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct tolerance {
    double atol = 0, rtol = 0;
    std::optional<std::uint64_t> max_ulp; ///< of 16-bit outputs
};

/// One case.
class fixture {
    fs::path folder_;
    json manifest_;

    [[nodiscard]] json const & input(std::string const & key) const;
    [[nodiscard]] fs::path resolve(json const & file) const;
    [[nodiscard]] std::vector<std::unique_ptr<lathe::checkpoint>> open_all(json const & files) const;

public:
    /// \throws failure, lathe::error if the manifest cannot be read
    explicit fixture(fs::path folder);

    [[nodiscard]] std::string const & method() const { return manifest_.at("method").get_ref<std::string const &>(); }
    [[nodiscard]] fs::path const & folder() const noexcept { return folder_; }
    [[nodiscard]] lathe_replay::tolerance tolerance() const;

    [[nodiscard]] bool has_input(std::string const & key) const { return manifest_.at("inputs").contains(key); }
    [[nodiscard]] std::unique_ptr<lathe::checkpoint> checkpoint(std::string const & key) const;
    [[nodiscard]] std::vector<std::unique_ptr<lathe::checkpoint>> checkpoints(std::string const & key) const;
    /// [step][task]
    [[nodiscard]] std::vector<std::vector<std::unique_ptr<lathe::checkpoint>>> checkpoint_table(
        std::string const & key) const;
    [[nodiscard]] std::vector<fs::path> paths(std::string const & key) const;
    [[nodiscard]] std::vector<std::string> model_names() const;

    [[nodiscard]] bool has_option(std::string const & key) const { return manifest_.at("options").contains(key); }
    /// An option that belongs to no option struct, taken out; null if it is not given.
    json take_option(std::string const & key);
    /// The same for those of the pool: "policy".
    lathe::merge::pool_options take_pool_options();
    /// The options that are left, as a struct. \throws failure for an unknown name, lathe::option_error for a bad value
    template <class Options> Options options() const {
        lathe::reflect::for_each_accessor<Options>([](std::string_view, auto const &) {});
        expect_known(manifest_.at("options"), lathe::reflect::describe<Options>(), "");
        return lathe::reflect::options_from<Options>(manifest_.at("options"));
    }
    static void expect_known(json const & given, std::span<lathe::reflect::field_description const> fields,
                             std::string const & path);

    [[nodiscard]] bool expects(std::string const & key) const { return manifest_.at("expected").contains(key); }
    [[nodiscard]] json expected_json(std::string const & key) const; ///< "json", "trace"
    [[nodiscard]] std::unique_ptr<lathe::checkpoint> expected_checkpoint(std::string const & file) const;
    [[nodiscard]] std::unique_ptr<lathe::checkpoint> expected_checkpoint() const;
    [[nodiscard]] std::string expected_error() const { return manifest_.at("expected").at("error").get<std::string>(); }

    /// \throws failure naming an input that is not one of these. Runners say so, and read the options, before anything
    /// that may fail, so that a case that expects an error is read as closely as any other.
    void expect_inputs(std::initializer_list<std::string_view> known) const;
};

/// A pool over the models and the base of a case, which it owns.
struct fixture_pool {
    std::unique_ptr<lathe::checkpoint> base;
    std::vector<std::unique_ptr<lathe::checkpoint>> models;
    lathe::merge::model_pool pool;

    fixture_pool(fixture const & f, lathe::merge::pool_options const & options);
};
std::vector<lathe::checkpoint *> pointers(std::vector<std::unique_ptr<lathe::checkpoint>> const & all);

/// A value of expected.json that no runner makes, but takes as a question: only fields that it reads. \throws failure
void expect_fields(json const & entry, std::initializer_list<std::string_view> fields);

/// Names of a folder's cases: those of index.json, or else every folder with a manifest.json. \throws failure
std::vector<std::string> cases_in(fs::path const & folder);
json read_json(fs::path const & path);

} // namespace lathe_replay
