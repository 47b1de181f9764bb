#pragma once
/// \file  Another program as an objective: it is given the parameters in a file, and leaves its loss and gradient in
/// files.
#include <lathe/core/decimal.hpp>
#include <lathe/core/parameters.hpp>
#include <lathe/io/process.hpp>
#include <lathe/io/safetensors.hpp>

LATHE_NAMESPACE_BEGIN
namespace io {

/// Which program is the objective, and how it is run.
struct process_objective_options {
    /// The program and its arguments. In each, {params}, {gradient}, {loss} and {work} stand for paths; see below.
    std::vector<std::string> command{};
    /// Or one line for /bin/sh, in which they stand for quoted paths.
    std::string shell{};
    double timeout = 0;                    ///< seconds for one evaluation; 0 waits for ever
    double grace = 2;                      ///< seconds the program has to end when its time is up, before it is killed
    std::string directory{};               ///< where the files are put; empty: the system's folder for temporary files
    std::optional<dtype> parameter_type{}; ///< of the parameters in the file; unset: what is computed with, F32 or F64
};

/// Reads {"loss": number}; other members are passed over.
class loss_reader final : public json_events {
    bool wanted_ = false;

    bool on_open(std::string_view kind) override {
        if (depth() == 1)
            return true;
        if (wanted_)
            reject(label_, "loss", "an " + std::string{kind}, "a number");
        return false;
    }
    void on_close() override {}
    void on_key(std::string & key) override { wanted_ = key == "loss"; }
    void on_string(std::string & text) override {
        if (wanted_)
            reject(label_, "loss", "\"" + printable(text) + "\"", "a number");
    }
    void on_unsigned(std::uint64_t n) override {
        if (wanted_)
            loss = static_cast<double>(n);
    }
    void on_other(std::string_view kind, std::string const & written) override {
        if (!wanted_)
            return;
        loss = kind == "number" ? parse_decimal(written) : std::nullopt;
        if (!loss)
            reject(label_, "loss", printable(written), "a number");
    }

public:
    std::optional<double> loss; ///< what was read, if there was one
    /// \param label what messages call the file
    explicit loss_reader(std::string_view label) : json_events{label} {}
};

/// A loss that another program computes (a script around PyTorch, say): once for each evaluation
/// - the parameters are written to {params}, a safetensors file with every tensor of the layout;
/// - the program is run and has to end with status 0 within `timeout`;
/// - {loss} has to be a JSON object {"loss": number}, and {gradient} a safetensors file with the gradient of the
///   loss by each of these tensors: the same names and shapes, any floating types, nothing else.
/// {work} is the folder they are in, removed with the object. What the program prints goes to a file there and, if it
/// fails, into the error. It runs in a process group of its own: when an evaluation ends, however it ends, everything
/// it started is ended. Standard input is empty.
///
/// A model of merge::differentiable. Time: what the program takes, writing and reading the files. Memory: a window.
class process_objective {
    parameter_layout layout_;
    process_objective_options options_;
    std::function<bool()> stop_;
    scratch_folder work_;
    std::vector<std::string> argv_;

    [[nodiscard]] std::filesystem::path params() const { return work_.path() / "params.safetensors"; }
    [[nodiscard]] std::filesystem::path gradient() const { return work_.path() / "gradient.safetensors"; }
    [[nodiscard]] std::filesystem::path loss() const { return work_.path() / "loss.json"; }
    [[nodiscard]] std::filesystem::path output() const { return work_.path() / "output.txt"; }

    static std::string quoted(std::string const & text) {
        std::string q = "'";
        for (char const c : text)
            c == '\'' ? q.append("'\\''") : q.append(1, c);
        return q + "'";
    }
    /// The text with paths in place of their names; others in braces are left. `named` tells whether there was one.
    [[nodiscard]] std::string with_paths(std::string_view text, bool quote, bool & named) const {
        std::pair<std::string_view, std::filesystem::path> const names[] = {
            {"{params}", params()}, {"{gradient}", gradient()}, {"{loss}", loss()}, {"{work}", work_.path()}};
        std::string out;
        while (!text.empty()) {
            auto const at = std::ranges::find_if(names, [&](auto const & n) { return text.starts_with(n.first); });
            if (at == std::end(names)) {
                out.push_back(text.front());
                text.remove_prefix(1);
                continue;
            }
            named = true;
            out += quote ? quoted(at->second.string()) : at->second.string();
            text.remove_prefix(at->first.size());
        }
        return out;
    }
    [[nodiscard]] double read_loss() const {
        auto const label = "objective's " + loss().filename().string();
        auto const f = file::open(loss());
        constexpr std::uint64_t limit = std::uint64_t{1} << 20;
        if (f.size() > limit)
            reject(label, "size", std::to_string(f.size()) + " bytes", "at most " + std::to_string(limit));
        std::string text(static_cast<std::size_t>(f.size()), '\0');
        f.read(std::as_writable_bytes(std::span{text}), 0);
        loss_reader reader(label);
        read_json(text, label, reader);
        if (!reader.loss)
            reject(label, "loss", "none", "{\"loss\": number}");
        if (!std::isfinite(*reader.loss))
            throw non_finite_error{label + ": the loss is not finite"};
        return *reader.loss;
    }
    /// \throws process_error if the program left no such file
    void expect_written(std::filesystem::path const & path) const {
        std::error_code code;
        if (!std::filesystem::exists(path, code))
            throw process_error{printable(options_.command.empty() ? options_.shell : options_.command.front(), 200)
                                    + ": ended well, but did not write " + path.filename().string(),
                                0, 0, false, last_lines(output())};
    }

public:
    /// \param layout the tensors of the parameter vector: merge::parameter_layout::of(pool)
    /// \param stop asked while the program runs; true ends it, and the evaluation with process_error
    /// \throws option_error; io_error if the folder for the files cannot be made
    explicit process_objective(parameter_layout layout, process_objective_options options,
                               std::function<bool()> stop = {})
        : layout_{std::move(layout)}, options_{std::move(options)}, stop_{std::move(stop)}, work_{options_.directory} {
        expects_option(options_.command.empty() != options_.shell.empty(), "command",
                       options_.shell.empty() ? "neither command nor shell" : "both command and shell", "one of them");
        expects_option(options_.timeout >= 0, "timeout", std::to_string(options_.timeout), "at least 0 seconds");
        expects_option(options_.grace >= 0, "grace", std::to_string(options_.grace), "at least 0 seconds");
        expects_option(!options_.parameter_type || is_floating(*options_.parameter_type), "parameter_type",
                       options_.parameter_type ? std::string{name_of(*options_.parameter_type)} : "",
                       "F64, F32, F16 or BF16");
        bool named = false;
        if (options_.shell.empty())
            for (auto const & word : options_.command)
                argv_.push_back(with_paths(word, false, named));
        else
            argv_ = {"/bin/sh", "-c", with_paths(options_.shell, true, named)};
        expects_option(named, options_.shell.empty() ? "command" : "shell", "no {params} and no {work}",
                       "the places of the files in it, so that the program can find them");
    }
    /// The folder of the files, while the objective lives.
    [[nodiscard]] std::filesystem::path const & work() const noexcept { return work_.path(); }

    /// Runs the program for x and reads its loss. What is said of value_and_gradient holds, but no gradient is wanted.
    template <class B, class P, class T = ops::value_of<vec_view<P>>>
        requires elementwise<B, T>
    double value(B & be, vec_view<P> x) {
        expects_shape(x.n == layout_.size(), "process_objective: x is not as long as the layout");
        for (auto const & old : {params(), gradient(), loss(), output()}) {
            std::error_code code;
            std::filesystem::remove_all(old, code);
            if (code)
                fail(old, "remove", code.value());
        }
        std::vector<tensor_info> tensors(layout_.tensors().begin(), layout_.tensors().end());
        for (auto & t : tensors)
            t.type = options_.parameter_type.value_or(dtype_of<T>);
        safetensors_writer writer(params(), {.max_shard_size = 0, .sync = false});
        write_parameters<B, T>(be, parameter_layout(std::move(tensors)), x, writer);

        child_process(argv_, {options_.timeout, options_.grace, output(), stop_}).join();

        expect_written(loss());
        return read_loss();
    }
    /// Runs the program for x. \throws process_error if it fails, takes too long, is stopped or leaves no files;
    /// format_error, mismatch_error, non_finite_error if what it leaves is not what it should be; io_error
    template <class B, class P, class Q, class T = ops::value_of<vec_view<Q>>>
        requires elementwise<B, T>
    double value_and_gradient(B & be, vec_view<P> x, vec_view<Q> g) {
        expects_shape(g.n == layout_.size(), "process_objective: g is not as long as the layout");
        double const loss = value(be, x);
        expect_written(gradient());
        // Not mapped: a file that something still shortens must not be a fault.
        safetensors_file from(gradient(), {.access = access_mode::block_read});
        for (auto const & t : from.tensors()) {
            if (!std::ranges::binary_search(layout_.tensors(), t.name, {}, &tensor_info::name))
                throw mismatch_error{std::string{from.label()} + ": tensor '" + printable(t.name)
                                     + "' is no parameter of the objective"};
            if (!is_floating(t.type))
                throw mismatch_error{std::string{from.label()} + ": tensor '" + t.name + "' is of type "
                                     + std::string{lathe::name_of(t.type)} + ", expected a floating one"};
        }
        read_parameters<B, T>(be, layout_, from, g);
        for (std::size_t i = 0; i != layout_.tensors().size(); ++i)
            if (!ops::all_finite(be, layout_.slice(g, i)))
                throw non_finite_error{std::string{from.label()} + ": the gradient of tensor '"
                                       + layout_.tensors()[i].name + "' is not finite"};
        return loss;
    }
};

} // namespace io
LATHE_NAMESPACE_END
