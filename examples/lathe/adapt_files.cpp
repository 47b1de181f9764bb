#include "adapt_files.hpp"

#include <algorithm>
#include <cmath>
#include <set>

namespace lathe_cli {

namespace {
constexpr std::string_view weight_end = ".weight";

std::string_view last_part(std::string_view name) { return name.substr(name.rfind('.') + 1); }
bool ends_in_part(std::string_view name, std::string_view end) {
    return name == end
           || (name.size() > end.size() && name.ends_with(end) && name[name.size() - end.size() - 1] == '.');
}
std::vector<std::string> split_at_commas(std::vector<std::string> const & texts) {
    std::vector<std::string> all;
    for (std::string_view text : texts)
        while (!text.empty()) {
            auto const comma = std::min(text.find(','), text.size());
            auto part = text.substr(0, comma);
            while (part.starts_with(' '))
                part.remove_prefix(1);
            while (part.ends_with(' '))
                part.remove_suffix(1);
            if (!part.empty())
                all.emplace_back(part);
            text.remove_prefix(std::min(comma + 1, text.size()));
        }
    return all;
}
std::size_t product(std::span<std::size_t const> extents) { return lathe::count_of(extents); }
} // namespace

std::vector<target> find_targets(lathe::checkpoint const & model, target_settings const & settings) {
    auto const names = split_at_commas(settings.target_modules);
    auto const excluded = split_at_commas(settings.exclude_modules);
    auto const is_one_of = [](std::vector<std::string> const & all, std::string_view name) {
        return std::ranges::any_of(all, [&](std::string const & end) { return ends_in_part(name, end); });
    };
    if (names.empty() == !settings.target_pattern)
        throw usage_error{"--target-modules, --target-pattern: found " + std::string{names.empty() ? "neither" : "both"}
                          + ", expected which modules get adapters: ends of names such as q_proj,v_proj, all-linear, "
                            "or one regular expression"};
    auto lower = names.empty() ? std::string{} : names.front();
    std::ranges::transform(lower, lower.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    bool const all_linear = names.size() == 1 && lower == "all-linear";
    std::optional<lathe::io::module_pattern> pattern;
    if (settings.target_pattern)
        pattern.emplace(*settings.target_pattern, "--target-pattern");
    std::vector<target> found;
    for (std::size_t i = 0; i != model.tensors().size(); ++i) {
        auto const & info = model.tensors()[i];
        if (!std::string_view{info.name}.ends_with(weight_end) || info.name.size() == weight_end.size())
            continue;
        auto const module = settings.module_prefix + info.name.substr(0, info.name.size() - weight_end.size());
        bool const embedding = is_one_of(settings.embeddings, last_part(module));
        auto const dimensions = info.extents.size();
        if (is_one_of(excluded, module))
            continue;
        if (all_linear ? dimensions != 2 || embedding || is_one_of(settings.output_layers, last_part(module))
            : pattern  ? !pattern->matches(module)
                       : !is_one_of(names, module))
            continue;
        // A norm that a pattern catches has no matrix; PEFT refuses it too.
        if (dimensions < 2 || dimensions > 5 || info.count() == 0 || !lathe::is_floating(info.type))
            throw lathe::mismatch_error{std::string{model.label()} + ": tensor '" + info.name + "' of type "
                                        + std::string{lathe::name_of(info.type)} + " and shape "
                                        + lathe::to_string(info.extents)
                                        + " cannot have an adapter, but its module is a target"};
        auto const rest = product(std::span{info.extents}.subspan(1));
        target t{i, module, {info.extents[0], rest, false}, embedding && dimensions == 2, {}};
        if (dimensions == 2 && (embedding || settings.fan_in_fan_out))
            t.shape = {info.extents[1], info.extents[0], true};
        if (dimensions > 2)
            t.kernel.assign(info.extents.begin() + 2, info.extents.end());
        found.push_back(std::move(t));
    }
    if (found.empty())
        throw usage_error{"--target-modules, --target-pattern: found no weight in " + std::string{model.label()}
                          + " whose module they name"};
    return found;
}

module_names::module_names(lathe::checkpoint const & model, std::span<std::string const> modules) {
    if (modules.empty())
        return;
    auto const fits = [&] {
        return std::ranges::all_of(modules,
                                   [&](std::string const & m) { return model.find(tensor(m, "weight")).has_value(); });
    };
    if (fits())
        return;
    // Without first parts that all modules have in common.
    for (auto at = modules.front().find('.'); at != std::string::npos; at = modules.front().find('.', at + 1)) {
        strip_ = modules.front().substr(0, at + 1);
        if (std::ranges::all_of(modules, [&](std::string const & m) { return m.starts_with(strip_); }) && fits())
            return;
    }
    strip_.clear();
    // With first parts that the checkpoint has before the first module.
    auto const end = "." + modules.front() + ".weight";
    std::string only;
    std::size_t count = 0;
    for (auto const & t : model.tensors())
        if (t.name.ends_with(end)) {
            prefix_ = t.name.substr(0, t.name.size() - end.size() + 1);
            if (fits()) {
                only = prefix_;
                ++count;
            }
        }
    prefix_ = only;
    if (count == 1)
        return;
    prefix_.clear();
    auto const missing = std::ranges::find_if(
        modules, [&](std::string const & m) { return !model.find(tensor(m, "weight")).has_value(); });
    throw lathe::mismatch_error{std::string{model.label()} + ": no tensor '" + tensor(*missing, "weight")
                                + "', which the adapter is for"
                                + (count > 1 ? ", but several whose names end so" : "")};
}
std::string module_names::tensor(std::string_view module, std::string_view what) const {
    return whole(std::string{module}.append(".").append(what));
}
std::string module_names::whole(std::string_view name) const {
    if (name.starts_with(strip_))
        name.remove_prefix(strip_.size());
    return prefix_ + std::string{name};
}

matrix_shape shape_of(lathe::tensor_info const & weight, lathe::io::peft_module const & m,
                      lathe::io::peft_config const & config) {
    auto const & e = weight.extents;
    auto const wrong = [&] {
        throw lathe::mismatch_error{"tensor '" + weight.name + "' has shape " + lathe::to_string(e)
                                    + ", the adapter of module '" + m.name + "' is for " + std::to_string(m.outputs)
                                    + " outputs and " + std::to_string(m.inputs) + " inputs"};
    };
    if (e.size() < 2)
        wrong();
    if (!lathe::is_floating(weight.type))
        throw lathe::mismatch_error{"tensor '" + weight.name + "' is of type "
                                    + std::string{lathe::name_of(weight.type)} + ", expected a floating one"};
    auto const rest = product(std::span{e}.subspan(1));
    bool const straight = e[0] == m.outputs && rest == m.inputs;
    bool const across = e.size() == 2 && e[1] == m.outputs && e[0] == m.inputs;
    bool const transposed = m.embedding_a ? true : straight && across ? config.fan_in_fan_out : across;
    if (!(transposed ? across : straight))
        wrong();
    return {m.outputs, m.inputs, transposed};
}

std::vector<double> read_values(lathe::checkpoint & from, std::size_t index) {
    auto const & info = from.tensors()[index];
    lathe::window_buffer buffer;
    std::vector<double> out(info.count());
    auto const bytes = from.read(index, 0, info.bytes(), buffer);
    if (!lathe::is_floating(info.type))
        throw lathe::unsupported_error{std::string{from.label()} + ": tensor '" + info.name
                                       + "': no arithmetic on elements of type "
                                       + std::string{lathe::name_of(info.type)}};
    lathe::host::load(info.type, bytes.data(), out.size(), out.data());
    return out;
}

adapter_values read_adapter(lathe::io::peft_folder const & folder, lathe::io::peft_module const & m) {
    auto & tensors = folder.tensors();
    auto const read_values = [&](lathe::checkpoint & from, std::size_t index) { // what is merged reaches every weight
        auto values = lathe_cli::read_values(from, index);
        if (!std::ranges::all_of(values, [](double x) { return std::isfinite(x); }))
            throw lathe::non_finite_error{std::string{from.label()} + ": tensor '" + from.tensors()[index].name
                                          + "' holds NaN or infinity"};
        return values;
    };
    adapter_values v{m.outputs,
                     m.inputs,
                     m.rank,
                     m.scaling,
                     read_values(tensors, m.embedding_a ? *m.embedding_a : *m.a),
                     read_values(tensors, m.embedding_b ? *m.embedding_b : *m.b)};
    if (m.diag || m.e)
        v.sigma = read_values(tensors, m.diag ? *m.diag : *m.e);
    if (m.magnitude)
        v.magnitude = read_values(tensors, *m.magnitude);
    return v;
}

void write_adapter(lathe::memory_checkpoint & to, module_tensors const & m, adapter_values const & values,
                   overflow_count & infinite) {
    auto const put = [&](std::string_view what, lathe::shape extents, std::vector<double> const & x) {
        lathe::tensor_info info{lathe::io::peft_name(m.name, what), m.type, std::move(extents)};
        std::vector<std::byte> bytes(info.bytes());
        lathe::host::store(m.type, x.data(), x.size(), bytes.data());
        if (infinite.look(info, 0, bytes))
            overflow_count::saturate(info.type, bytes);
        to.set(std::move(info), bytes);
    };
    lathe::shape a{values.rank, values.inputs}, b{values.outputs, values.rank};
    if (!m.kernel.empty()) {
        auto const k = product(m.kernel);
        a[1] /= k;
        a.insert(a.end(), m.kernel.begin(), m.kernel.end());
        b.insert(b.end(), m.kernel.size(), 1);
    }
    if (m.embedding) {
        put("lora_embedding_A", a, values.a);
        put("lora_embedding_B", b, values.b);
    } else if (m.adalora) {
        put("lora_A", a, values.a);
        put("lora_B", b, values.b);
        put("lora_E", {values.rank, 1}, values.sigma);
    } else {
        put("lora_A.weight", a, values.a);
        put("lora_B.weight", b, values.b);
        if (!values.sigma.empty())
            put("lora_diag", {values.rank}, values.sigma);
        if (!values.magnitude.empty())
            put("lora_magnitude_vector", {values.outputs}, values.magnitude);
    }
    if (!m.bias.empty())
        put("lora_B.bias", {values.outputs}, m.bias);
}

void set_ranks(lathe::io::peft_config & config, std::span<module_entry const> modules) {
    std::map<std::pair<std::size_t, double>, std::size_t> frequency;
    for (auto const & m : modules)
        ++frequency[{m.rank, m.alpha}];
    if (frequency.empty())
        return;
    auto const most = std::ranges::max_element(frequency, {}, [](auto const & f) { return f.second; })->first;
    config.r = most.first;
    config.lora_alpha = most.second;
    config.rank_pattern.clear();
    config.alpha_pattern.clear();
    for (auto const & m : modules) {
        if (m.rank == most.first && m.alpha == most.second)
            continue;
        // A name is looked for at the end of others, too.
        bool const ambiguous = std::ranges::any_of(modules, [&](module_entry const & other) {
            return other.name != m.name && ends_in_part(other.name, m.name);
        });
        auto const key = (ambiguous ? "^" : "") + m.name;
        if (m.rank != most.first)
            config.rank_pattern[key] = m.rank;
        if (m.alpha != most.second)
            config.alpha_pattern[key] = m.alpha;
    }
}

std::vector<std::string> target_names(std::span<std::string const> modules, std::span<std::string const> all) {
    std::set<std::string, std::less<>> const wanted(modules.begin(), modules.end());
    std::set<std::string, std::less<>> ends;
    for (auto const & m : modules)
        ends.emplace(last_part(m));
    for (auto const & m : all)
        if (!wanted.contains(m) && ends.contains(last_part(m)))
            return {wanted.begin(), wanted.end()};
    return {ends.begin(), ends.end()};
}

} // namespace lathe_cli
