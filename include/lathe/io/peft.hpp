#pragma once
/// \file  Adapter folders as PEFT has them: adapter_config.json and adapter_model.safetensors.
#include <lathe/io/module_pattern.hpp>
#include <lathe/io/safetensors.hpp>

#include <cmath>
#include <variant>

LATHE_NAMESPACE_BEGIN
namespace io {

/// What the configuration of an AdaLoRA has besides.
struct peft_adalora {
    std::size_t init_r = 12;   ///< of every layer at the beginning, which the scaling is of
    std::size_t target_r = 8;  ///< of the layers at the end, on average
    std::size_t tinit = 0,     ///< first steps, in which all ranks stay
        tfinal = 0,            ///< last steps, in which the ranks stay as they are
        delta_t = 1,           ///< steps from one change of the ranks to the next
        total_step = 1;        ///< of the training
    double beta1 = 0.85,       ///< of the moving average of sensitivities
        beta2 = 0.85,          ///< of that of their deviations
        orth_reg_weight = 0.5; ///< of the penalty for factors that are not orthogonal
};

/// What adapter_config.json says, as far as it bears on the numbers. Keys that are not here are passed over.
struct peft_config {
    std::string base_model_name_or_path = {};  ///< of the model that was adapted
    std::optional<std::string> task_type = {}; ///< "CAUSAL_LM", ...
    std::string peft_type = "LORA";            ///< or "ADALORA"
    std::size_t r = 8;                         ///< of modules that rank_pattern does not name
    double lora_alpha = 8;      ///< of modules that alpha_pattern does not name; the scaling is made of it
    bool use_rslora = false,    ///< alpha / sqrt(r) in the place of alpha / r
        use_dora = false,       ///< the layers are DoRA's, with magnitudes
        fan_in_fan_out = false, ///< weights of the base model are inputs x outputs
        lora_bias = false;      ///< B has a bias
    std::vector<std::string> target_modules = {};   ///< ends of module names
    std::optional<std::string> target_pattern = {}; ///< or one regular expression in their place
    /// By a module's name, or a regular expression for the end of it.
    std::map<std::string, std::size_t> rank_pattern = {};
    std::map<std::string, double> alpha_pattern = {};   ///< the same of lora_alpha
    std::optional<std::pair<double, double>> kasa = {}; ///< beta and gamma: PEFT before 0.21 leaves lora_diag and the
                                                        ///< truncation out without a word; write a plain LoRA instead

    std::optional<peft_adalora> adalora = {}; ///< with peft_type ADALORA

    /// Whether target_modules or target_pattern name a module. \throws format_error for a pattern that is none
    [[nodiscard]] bool targets(std::string const & module) const {
        if (target_pattern)
            return module_pattern(*target_pattern, "target_modules").matches(module);
        return std::ranges::any_of(target_modules, [&](std::string const & end) { return is_end_of(end, module); });
    }
    /// Of a module, with the patterns. \throws format_error for a pattern that is no regular expression
    [[nodiscard]] std::size_t rank_of(std::string const & module) const {
        auto const * const found = find(rank_pattern, module);
        return found ? *found : r;
    }
    /// lora_alpha of a module, with the patterns. \throws as rank_of
    [[nodiscard]] double alpha_of(std::string const & module) const {
        auto const * const found = find(alpha_pattern, module);
        return found ? *found : lora_alpha;
    }
    /// alpha / r, or alpha / sqrt(r); of AdaLoRA alpha / (r + 1e-5) with the r of the beginning
    [[nodiscard]] double scaling_of(std::string const & module) const {
        if (adalora) {
            auto const r_then = static_cast<double>(adalora->init_r);
            return (lora_alpha > 0 ? lora_alpha : r_then) / (r_then + 1e-5);
        }
        auto const rank = static_cast<double>(rank_of(module));
        return alpha_of(module) / (use_rslora ? std::sqrt(rank) : rank);
    }

private:
    /// PEFT's rule: the pattern matches the name, or its end after a point.
    template <class V> static V const * find(std::map<std::string, V> const & patterns, std::string const & module) {
        for (auto const & [pattern, value] : patterns)
            if (matches(pattern, module))
                return &value;
        return nullptr;
    }
    static bool is_end_of(std::string_view end, std::string_view module) {
        return module == end
               || (module.size() > end.size() && module.ends_with(end)
                   && module[module.size() - end.size() - 1] == '.');
    }
    static bool matches(std::string const & pattern, std::string const & module) {
        if (is_end_of(pattern, module))
            return true;
        std::string_view plain = pattern;
        auto const anchored = plain.starts_with('^');
        plain.remove_prefix(anchored ? 1 : 0);
        if (plain.find_first_of("^$*+?()[]{}|\\") == plain.npos) { // a name, whose points match any character
            if (module.size() < plain.size() || (anchored && module.size() != plain.size()))
                return false;
            auto const begin = module.size() - plain.size();
            return (begin == 0 || module[begin - 1] == '.')
                   && std::ranges::equal(plain, std::string_view{module}.substr(begin),
                                         [](char p, char c) { return p == '.' || p == c; });
        }
        return module_pattern(anchored ? pattern : "(.*\\.)?(" + pattern + ")", "rank_pattern or alpha_pattern")
            .matches(module);
    }
};

/// The configuration in a text; `label` is what messages call it. \throws format_error
inline peft_config parse_peft_config(std::string_view text, std::string_view label) {
    if (auto const at = first_not_utf8(text))
        reject(label, "encoding", "a byte at " + std::to_string(*at) + " that is not UTF-8", "UTF-8");
    std::size_t depth = 0, deepest = 0;
    for (auto const c : text) { // of brackets, those in strings too: an upper bound
        depth += c == '{' || c == '[';
        depth -= depth != 0 && (c == '}' || c == ']');
        deepest = std::max(deepest, depth);
    }
    if (deepest > 64)
        reject(label, "nesting of JSON", "more than 64 levels", "at most 64");
    auto const j = nlohmann::json::parse(text, nullptr, false);
    if (!j.is_object())
        reject(label, "JSON", j.is_discarded() ? "no JSON" : std::string{j.type_name()}, "an object");
    auto const has = [&](char const * key) { return j.contains(key) && !j.at(key).is_null(); };
    auto const wrong = [&](std::string const & key, nlohmann::json const & v, std::string_view expected) {
        reject(label, key, printable(v.dump()), expected);
    };
    auto const flag = [&](char const * key, bool & to) {
        if (!has(key))
            return;
        if (!j.at(key).is_boolean())
            wrong(key, j.at(key), "true or false");
        to = j.at(key).get<bool>();
    };
    auto const text_of = [&](char const * key) {
        if (!j.at(key).is_string())
            wrong(key, j.at(key), "a string");
        return j.at(key).get<std::string>();
    };
    auto const rank = [&](std::string const & key, nlohmann::json const & v) {
        if (!v.is_number_unsigned() || v.get<std::uint64_t>() > (std::uint64_t{1} << 31))
            wrong(key, v, "a rank");
        return v.get<std::size_t>();
    };
    auto const number = [&](std::string const & key, nlohmann::json const & v) {
        if (!v.is_number() || !std::isfinite(v.get<double>()))
            wrong(key, v, "a finite number");
        return v.get<double>();
    };
    peft_config c;
    if (has("peft_type"))
        c.peft_type = text_of("peft_type");
    if (c.peft_type != "LORA" && c.peft_type != "ADALORA")
        reject(label, "peft_type", printable(c.peft_type), "LORA or ADALORA");
    if (has("base_model_name_or_path"))
        c.base_model_name_or_path = text_of("base_model_name_or_path");
    if (has("task_type"))
        c.task_type = text_of("task_type");
    if (has("r"))
        c.r = rank("r", j.at("r"));
    if (has("lora_alpha"))
        c.lora_alpha = number("lora_alpha", j.at("lora_alpha"));
    flag("use_rslora", c.use_rslora);
    flag("use_dora", c.use_dora);
    flag("fan_in_fan_out", c.fan_in_fan_out);
    flag("lora_bias", c.lora_bias);
    if (has("target_modules")) {
        auto const & t = j.at("target_modules");
        if (t.is_string())
            c.target_pattern = t.get<std::string>();
        else if (t.is_array())
            for (auto const & name : t) {
                if (!name.is_string())
                    wrong("target_modules", name, "a string");
                c.target_modules.push_back(name.get<std::string>());
            }
        else
            wrong("target_modules", t, "a list of names, or a regular expression");
    }
    for (auto const * const key : {"rank_pattern", "alpha_pattern"}) {
        if (!has(key))
            continue;
        if (!j.at(key).is_object())
            wrong(key, j.at(key), "an object");
        for (auto const & [pattern, value] : j.at(key).items())
            if (std::string_view{key} == "alpha_pattern")
                c.alpha_pattern[pattern] = number(key, value);
            else if (value.is_array()) // AdaLoRA: which triplets are left
                c.rank_pattern[pattern] = static_cast<std::size_t>(std::ranges::count(value, nlohmann::json(true)));
            else
                c.rank_pattern[pattern] = rank(key, value);
    }
    if (c.peft_type == "ADALORA") {
        auto & a = c.adalora.emplace();
        for (auto const & [key, to] :
             {std::pair{"init_r", &a.init_r}, std::pair{"target_r", &a.target_r}, std::pair{"tinit", &a.tinit},
              std::pair{"tfinal", &a.tfinal}, std::pair{"deltaT", &a.delta_t}, std::pair{"total_step", &a.total_step}})
            if (has(key))
                *to = rank(key, j.at(key));
        for (auto const & [key, to] : {std::pair{"beta1", &a.beta1}, std::pair{"beta2", &a.beta2},
                                       std::pair{"orth_reg_weight", &a.orth_reg_weight}})
            if (has(key))
                *to = number(key, j.at(key));
    }
    if (has("kasa_config")) {
        auto const & k = j.at("kasa_config");
        if (!k.is_object())
            wrong("kasa_config", k, "an object");
        c.kasa = std::pair{k.contains("beta") ? number("beta", k.at("beta")) : 1e-4,
                           k.contains("gamma") ? number("gamma", k.at("gamma")) : 1e-3};
    }
    return c;
}

/// The text of adapter_config.json: no key that is not needed, as older versions of PEFT refuse those they do not know.
/// init_lora_weights is true: any other value would start the decomposition anew on loading.
inline std::string to_json(peft_config const & c) {
    nlohmann::ordered_json j;
    j["peft_type"] = c.peft_type;
    j["task_type"] = c.task_type ? nlohmann::ordered_json(*c.task_type) : nlohmann::ordered_json(nullptr);
    j["base_model_name_or_path"] = c.base_model_name_or_path;
    j["r"] = c.r;
    if (c.lora_alpha == std::floor(c.lora_alpha) && std::abs(c.lora_alpha) < 1e15)
        j["lora_alpha"] = static_cast<std::int64_t>(c.lora_alpha);
    else
        j["lora_alpha"] = c.lora_alpha;
    j["lora_dropout"] = 0.0;
    j["target_modules"] =
        c.target_pattern ? nlohmann::ordered_json(*c.target_pattern) : nlohmann::ordered_json(c.target_modules);
    j["bias"] = "none";
    j["fan_in_fan_out"] = c.fan_in_fan_out;
    j["use_rslora"] = c.use_rslora;
    j["use_dora"] = c.use_dora;
    j["init_lora_weights"] = true;
    j["inference_mode"] = true;
    j["rank_pattern"] = c.rank_pattern;
    j["alpha_pattern"] = c.alpha_pattern;
    j["modules_to_save"] = nullptr;
    if (c.lora_bias)
        j["lora_bias"] = true;
    if (c.adalora)
        j.update({{"init_r", c.adalora->init_r},
                  {"target_r", c.adalora->target_r},
                  {"tinit", c.adalora->tinit},
                  {"tfinal", c.adalora->tfinal},
                  {"deltaT", c.adalora->delta_t},
                  {"total_step", c.adalora->total_step},
                  {"beta1", c.adalora->beta1},
                  {"beta2", c.adalora->beta2},
                  {"orth_reg_weight", c.adalora->orth_reg_weight}});
    if (c.kasa)
        j["kasa_config"] = {{"beta", c.kasa->first}, {"gamma", c.kasa->second}};
    return j.dump(2) + "\n";
}

/// The tensors of one module in adapter_model.safetensors, by position in it.
struct peft_module {
    std::string name;             ///< "model.layers.0.self_attn.q_proj"
    std::optional<std::size_t> a, ///< lora_A, rank x inputs
        b,                        ///< lora_B, outputs x rank
        bias,                     ///< lora_B.bias, outputs
        diag,                     ///< lora_diag of KaSA, rank
        magnitude,                ///< lora_magnitude_vector of DoRA, outputs
        e,                        ///< lora_E of AdaLoRA, rank x 1
        embedding_a,              ///< lora_embedding_A, in the place of a
        embedding_b;              ///< lora_embedding_B, in the place of b
    std::size_t outputs,          ///< rows of the module's weight
        inputs,                   ///< columns; of a convolution with its kernel
        rank;                     ///< as the tensors have it
    double scaling;               ///< of B A: peft_config::scaling_of
};

/// An adapter folder, open.
class peft_folder {
    peft_config config_;
    std::unique_ptr<checkpoint> tensors_;
    std::vector<peft_module> modules_;
    std::vector<std::size_t> others_;

    static constexpr std::string_view prefix = "base_model.model.";

    static std::string read_text(std::filesystem::path const & path) {
        file const in = file::open(path);
        auto const size = in.size();
        if (size > (std::uint64_t{16} << 20))
            reject(path.string(), "size", std::to_string(size) + " bytes", "a configuration of at most 16 MiB");
        std::string text(static_cast<std::size_t>(size), '\0');
        in.read(std::as_writable_bytes(std::span{text}), 0);
        return text;
    }
    void sort_tensors() {
        struct suffix {
            std::string_view text;
            std::optional<std::size_t> peft_module::* place;
        };
        static constexpr suffix suffixes[] = {
            {".lora_A.weight", &peft_module::a},
            {".lora_B.weight", &peft_module::b},
            {".lora_B.bias", &peft_module::bias},
            {".lora_diag", &peft_module::diag},
            {".lora_magnitude_vector", &peft_module::magnitude},
            {".lora_magnitude_vector.weight", &peft_module::magnitude}, // before 0.12
            {".lora_A", &peft_module::a},
            {".lora_B", &peft_module::b},
            {".lora_E", &peft_module::e},
            {".lora_embedding_A", &peft_module::embedding_a},
            {".lora_embedding_B", &peft_module::embedding_b},
        };
        std::map<std::string, peft_module> found;
        for (std::size_t i = 0; i != tensors_->tensors().size(); ++i) {
            std::string_view name = tensors_->tensors()[i].name;
            auto const * const match = std::ranges::find_if(suffixes, [&](suffix const & s) {
                return name.ends_with(s.text) && name.size() > prefix.size() + s.text.size();
            });
            if (!name.starts_with(prefix) || match == std::end(suffixes)) {
                others_.push_back(i);
                continue;
            }
            std::string const module{name.substr(prefix.size(), name.size() - prefix.size() - match->text.size())};
            auto & m = found[module];
            if ((m.*match->place).has_value())
                throw mismatch_error{std::string{tensors_->label()} + ": tensor '" + std::string{name}
                                     + "' is there twice, in two spellings"};
            m.*match->place = i;
        }
        for (auto & [name, m] : found) {
            m.name = name;
            check(m);
            modules_.push_back(std::move(m));
        }
    }
    [[noreturn]] void wrong(peft_module const & m, std::string const & what) const {
        throw mismatch_error{std::string{tensors_->label()} + ": module '" + m.name + "': " + what};
    }
    void check(peft_module & m) const {
        bool const embedding = m.embedding_a || m.embedding_b;
        auto const a = embedding ? m.embedding_a : m.a, b = embedding ? m.embedding_b : m.b;
        if (!a || !b)
            wrong(m, "A or B is missing");
        auto const & ea = tensors_->tensors()[*a].extents;
        auto const & eb = tensors_->tensors()[*b].extents;
        if (ea.size() < 2 || eb.size() != ea.size() || ea[0] != eb[1]
            || std::any_of(eb.begin() + 2, eb.end(), [](std::size_t n) { return n != 1; }))
            wrong(m, "shapes " + to_string(ea) + " of A and " + to_string(eb) + " of B do not belong together");
        m.rank = ea[0];
        if (m.rank == 0 && config_.peft_type == "LORA") // the scaling divides by it
            wrong(m, "rank 0");
        m.outputs = eb[0];
        m.inputs = 1;
        for (std::size_t i = 1; i != ea.size(); ++i)
            m.inputs *= ea[i]; // of a convolution with its kernel
        if (auto const rank = config_.rank_of(m.name); config_.peft_type == "LORA" && rank != m.rank)
            wrong(m, "rank " + std::to_string(m.rank) + ", the configuration has " + std::to_string(rank));
        m.scaling = config_.scaling_of(m.name);
        auto const expect = [&](std::optional<std::size_t> tensor, shape const & extents, char const * what) {
            if (tensor && tensors_->tensors()[*tensor].extents != extents)
                wrong(m, std::string{what} + " has shape " + to_string(tensors_->tensors()[*tensor].extents) + ", not "
                             + to_string(extents));
        };
        expect(m.diag, {m.rank}, "lora_diag");
        expect(m.bias, {m.outputs}, "lora_B.bias");
        expect(m.magnitude, {m.outputs}, "lora_magnitude_vector");
        expect(m.e, {m.rank, 1}, "lora_E");
        if (config_.kasa && !m.diag)
            wrong(m, "kasa_config, but no lora_diag");
    }

public:
    /// Reads the configuration and the header of the tensors, and holds them against each other.
    /// \throws format_error, mismatch_error, io_error
    explicit peft_folder(std::filesystem::path const & folder)
        : config_(
              parse_peft_config(read_text(folder / "adapter_config.json"), (folder / "adapter_config.json").string())),
          tensors_{open_checkpoint(folder / "adapter_model.safetensors")} {
        sort_tensors();
    }
    /// What adapter_config.json says.
    [[nodiscard]] peft_config const & config() const noexcept { return config_; }
    /// adapter_model.safetensors, open as long as the folder is.
    [[nodiscard]] checkpoint & tensors() const noexcept { return *tensors_; }
    /// By name.
    [[nodiscard]] std::span<peft_module const> modules() const noexcept { return modules_; }
    /// Positions in tensors() of those of no adapter, such as modules_to_save has.
    [[nodiscard]] std::span<std::size_t const> others() const noexcept { return others_; }
};

/// The name of a module's tensor in adapter_model.safetensors, for "lora_A.weight", "lora_diag", ...
inline std::string peft_name(std::string_view module, std::string_view tensor) {
    return std::string{"base_model.model."}.append(module).append(".").append(tensor);
}

/// Writes an adapter folder; the tensors have the names of peft_name. target_modules, if it says nothing, gets the last
/// parts of the modules' names. Each file appears whole; the configuration last. `how` is of both files. \throws
/// io_error, format_error
inline void save_peft(std::filesystem::path const & folder, peft_config config, checkpoint & tensors,
                      write_options const & how = {}) {
    std::filesystem::create_directories(folder);
    {
        safetensors_writer out(folder / "adapter_model.safetensors", how);
        out.begin({tensors.tensors().begin(), tensors.tensors().end()}, {{"format", "pt"}});
        window_buffer in, to;
        for (std::size_t i = 0; i != tensors.tensors().size(); ++i) {
            auto const size = tensors.tensors()[i].bytes();
            auto const from = tensors.read(i, 0, size, in);
            auto const window = out.window(i, 0, size, to);
            std::ranges::copy(from, window.begin());
            out.commit(i, 0, window);
        }
        out.finish();
    }
    if (config.target_modules.empty() && !config.target_pattern)
        for (auto const & t : tensors.tensors())
            for (std::string_view const suffix : {".lora_A.weight", ".lora_A", ".lora_embedding_A"})
                if (t.name.ends_with(suffix)) {
                    auto const module = t.name.substr(0, t.name.size() - suffix.size());
                    auto const last = module.substr(module.rfind('.') + 1);
                    if (std::ranges::find(config.target_modules, last) == config.target_modules.end())
                        config.target_modules.push_back(last);
                    break;
                }
    auto const text = to_json(config);
    auto const target = folder / "adapter_config.json";
    auto out = how.staging.empty() ? staged_file(target, how.sync)
                                   : staged_file(target, how.staging / "shard-configuration", how.sync);
    out.reserve(text.size());
    out.write(std::as_bytes(std::span{text}), 0);
    out.close();
    out.publish();
}

} // namespace io
LATHE_NAMESPACE_END
