#include "mergekit.hpp"

#include "files.hpp"

#include <lathe/reflect/merge.hpp>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <sstream>

namespace lathe_cli {

namespace {

/// Something is wrong at a place of the configuration.
[[noreturn]] void reject(std::string const & place, std::string const & found, std::string const & expected) {
    throw lathe::format_error{place + ": found " + found + ", expected " + expected};
}

/// YAML as JSON: scalars by the rules of YAML's core schema, each key once, bounded in depth and size.
class yaml_reader {
    std::string const & path_;
    std::size_t nodes_ = 0;

    static json scalar(YAML::Node const & node) {
        auto const & text = node.Scalar();
        if (node.Tag() == "!") // quoted
            return text;
        if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
            return nullptr;
        if (bool value = false; YAML::convert<bool>::decode(node, value) && text.size() > 1) // y and n are names here
            return value;
        return lathe::reflect::codec<double>::parse(text); // the text itself if it is no number
    }

public:
    explicit yaml_reader(std::string const & path) : path_{path} {}
    json read(YAML::Node const & node, std::string const & place, std::size_t depth = 0) {
        if (depth > 32 || ++nodes_ > 100'000) // aliases can make a short text endless
            throw lathe::format_error{path_ + ": YAML: nested too deep, or too large"};
        switch (node.Type()) {
        case YAML::NodeType::Scalar: return scalar(node);
        case YAML::NodeType::Sequence: {
            auto all = json::array();
            for (auto const & element : node)
                all.push_back(read(element, place + "[" + std::to_string(all.size()) + "]", depth + 1));
            return all;
        }
        case YAML::NodeType::Map: {
            auto all = json::object();
            for (auto const & entry : node) {
                if (!entry.first.IsScalar())
                    reject(path_ + ": " + place, "a key that is no name", "a name");
                auto const & key = entry.first.Scalar();
                auto const inner = place.empty() ? key : place + "." + key;
                if (all.contains(key))
                    reject(path_ + ": " + inner, "the key twice", "each key once");
                if (key == "<<" && entry.first.Tag() != "!")
                    reject(path_ + ": " + inner, "a merge key", "the entries themselves, or an alias of the whole map");
                all[key] = read(entry.second, inner, depth + 1);
            }
            return all;
        }
        default: return nullptr;
        }
    }
};

/// Passes over a document.
class ignored_document final : public YAML::EventHandler {
    void OnDocumentStart(YAML::Mark const &) override {}
    void OnDocumentEnd() override {}
    void OnNull(YAML::Mark const &, YAML::anchor_t) override {}
    void OnAlias(YAML::Mark const &, YAML::anchor_t) override {}
    void OnScalar(YAML::Mark const &, std::string const &, YAML::anchor_t, std::string const &) override {}
    void OnSequenceStart(YAML::Mark const &, std::string const &, YAML::anchor_t, YAML::EmitterStyle::value) override {}
    void OnSequenceEnd() override {}
    void OnMapStart(YAML::Mark const &, std::string const &, YAML::anchor_t, YAML::EmitterStyle::value) override {}
    void OnMapEnd() override {}
};

/// Whether a text has more than one document. Not by YAML::LoadAll, which finds documents without end after "{},".
bool several_documents(std::string const & text) {
    std::istringstream in(text);
    YAML::Parser parser(in);
    ignored_document ignored;
    return parser.HandleNextDocument(ignored) && parser.HandleNextDocument(ignored);
}

json parse_yaml(std::string const & text, std::string const & path) {
    try {
        if (several_documents(text))
            reject(path, "several YAML documents", "one");
        return yaml_reader{path}.read(YAML::Load(text), "");
    } catch (YAML::Exception const & e) {
        throw lathe::format_error{path + ": YAML: " + e.what()};
    }
}

/// A parameter of mergekit and the option it becomes.
enum class parameter_kind : unsigned char {
    schedule_per_model, ///< a list of schedules
    schedule,           ///< one
    number_of_models,   ///< one number, which all models must have in common
    number,
    truth
};
struct parameter_rule {
    std::string_view name;
    parameter_kind kind;
    std::string_view option;
    bool required;
    json fallback;           ///< mergekit's default; null leaves ours
    bool complement = false; ///< the option is 1 - the parameter
};
struct method_rule {
    std::string_view merge_method, method;
    bool base_required;
    bool task_vectors; ///< the base, listed among the models, is not one of them
    json fixed;        ///< options that mergekit's behaviour implies
    std::vector<parameter_rule> parameters;
};

std::vector<method_rule> const & method_rules() {
    using enum parameter_kind;
    parameter_rule const weight{"weight", schedule_per_model, "weights", true, nullptr};
    auto const normalize = [](bool fallback) {
        return parameter_rule{"normalize", truth, "normalize", false, fallback};
    };
    auto const rescale = [](bool fallback) { return parameter_rule{"rescale", truth, "rescale", false, fallback}; };
    auto const lambda = [](std::string_view option) { return parameter_rule{"lambda", number, option, false, 1.0}; };
    parameter_rule const drop{"density", number_of_models, "drop", false, 1.0, true};
    static std::vector<method_rule> const rules{
        {"linear", "linear", false, false, json::object(), {weight, normalize(true)}},
        {"task_arithmetic",
         "task_arithmetic",
         true,
         true,
         json::object(),
         {weight, normalize(false), lambda("scaling")}},
        {"ties",
         "ties",
         true,
         true,
         {{"variant", "mergekit"}},
         {weight,
          {"density", schedule_per_model, "density", false, 1.0},
          normalize(true),
          rescale(false),
          lambda("lambda")}},
        {"dare_ties",
         "dare",
         true,
         true,
         {{"variant", "mergekit"}, {"then", "ties"}},
         {weight, drop, normalize(false), rescale(true), lambda("lambda")}},
        {"dare_linear",
         "dare",
         true,
         true,
         {{"variant", "mergekit"}, {"then", "task_arithmetic"}},
         {weight, drop, normalize(false), rescale(true), lambda("scaling")}},
        {"slerp", "slerp", true, false, json::object(), {{"t", schedule, "t", true, nullptr}}},
    };
    return rules;
}

/// Parameters that other methods of mergekit have, or that change nothing here. As there, they are passed over; any
/// other name is a slip.
constexpr std::string_view other_parameters[] = {
    "weight",    "density", "normalize", "rescale",     "lambda",          "t",
    "int8_mask", "gamma",   "epsilon",   "filter_wise", "nuslerp_flatten", "nuslerp_row_wise",
    "max_iter",  "tol",     "scale",     "eps",         "select_topk",     "normalize_weights"};

class mergekit_reader {
    std::string const & path_;
    mergekit_merge merge_;
    json top_;
    method_rule const * rule_ = nullptr;

    struct source {
        std::string model;
        json parameters;
    };
    struct slice {
        std::vector<source> sources;
        json parameters;
        std::size_t first = 0, last = 0; ///< layers; the same if all
    };
    std::vector<slice> slices_;
    json module_parameters_ = json::object(); ///< of the only module
    std::vector<std::string> names_;          ///< of the tensors, where slices need them
    std::string stack_;                       ///< their layers

    [[nodiscard]] std::string at(std::string const & place) const { return path_ + ": " + place; }
    [[nodiscard]] json const & get(json const & object, std::string const & key) const {
        static json const nothing;
        auto const found = object.find(key);
        return found == object.end() ? nothing : *found;
    }
    void expect_keys(json const & object, std::string const & place,
                     std::initializer_list<std::string_view> known) const {
        if (!object.is_object())
            reject(at(place), lathe::reflect::shown(object), "a map");
        for (auto const & [key, value] : object.items())
            if (std::ranges::find(known, std::string_view{key}) == known.end())
                throw lathe::format_error{at(place.empty() ? key : place + "." + key) + ": unknown key; "
                                          + lathe::reflect::suggestion(key, std::vector<std::string_view>(known))};
    }
    [[nodiscard]] json parameters_of(json const & object, std::string const & place) {
        auto const & all = get(object, "parameters");
        if (all.is_null())
            return json::object();
        if (!all.is_object())
            reject(at(place + "parameters"), lathe::reflect::shown(all), "a map");
        std::vector<std::string_view> known;
        known.reserve(rule_->parameters.size());
        for (auto const & rule : rule_->parameters)
            known.push_back(rule.name);
        for (auto const & [name, value] : all.items()) {
            if (std::ranges::find(known, std::string_view{name}) != known.end())
                continue;
            auto const where = at(place + "parameters." + name);
            if (std::ranges::find(other_parameters, std::string_view{name}) == std::end(other_parameters))
                throw lathe::format_error{where + ": unknown parameter; " + lathe::reflect::suggestion(name, known)};
            merge_.notes.push_back(where + " is not used by " + std::string{rule_->merge_method} + " and was ignored");
        }
        return all;
    }
    [[nodiscard]] std::string model_path(json const & value, std::string const & place) const {
        if (!value.is_string())
            reject(at(place), lathe::reflect::shown(value), "the path of a file or folder");
        auto const text = value.get<std::string>();
        if (std::error_code code; text.find('+') != text.npos && !fs::exists(text, code))
            reject(at(place), "'" + text + "'", "a model without adapter; merge the adapter into it first");
        return text;
    }

    void read_method() {
        auto const & name = get(top_, "merge_method");
        if (!name.is_string())
            reject(at("merge_method"), lathe::reflect::shown(name), "the name of a method");
        std::string known;
        for (auto const & rule : method_rules()) {
            if (name.get<std::string>() == rule.merge_method)
                rule_ = &rule;
            known.append(known.empty() ? "" : ", ").append(rule.merge_method);
        }
        if (rule_ == nullptr)
            reject(at("merge_method"), lathe::reflect::shown(name), "one that lathe shares with mergekit: " + known);
        merge_.method = std::string{rule_->method};
        merge_.options = rule_->fixed;
    }

    source read_source(json const & entry, std::string const & place) {
        return {model_path(get(entry, "model"), place + ".model"), parameters_of(entry, place + ".")};
    }
    static std::size_t layer_number(json const & value, std::string const & place) {
        if (!value.is_number() || value.get<double>() < 0 || value.get<double>() > 1e6
            || value.get<double>() != std::floor(value.get<double>()))
            reject(place, lathe::reflect::shown(value), "a number of a layer");
        return static_cast<std::size_t>(value.get<double>());
    }
    void read_slice(json const & entry, std::string const & place) {
        expect_keys(entry, place, {"sources", "parameters"});
        slice s;
        s.parameters = parameters_of(entry, place + ".");
        auto const & sources = get(entry, "sources");
        if (!sources.is_array() || sources.empty())
            reject(at(place + ".sources"), lathe::reflect::shown(sources), "a list of models");
        for (std::size_t i = 0; i != sources.size(); ++i) {
            auto const inner = place + ".sources[" + std::to_string(i) + "]";
            expect_keys(sources[i], inner, {"model", "layer_range", "parameters"});
            s.sources.push_back(read_source(sources[i], inner));
            auto const & range = get(sources[i], "layer_range");
            if (!range.is_array() || range.size() != 2)
                reject(at(inner + ".layer_range"), lathe::reflect::shown(range), "[first, last]");
            auto const first = layer_number(range[0], at(inner + ".layer_range")),
                       last = layer_number(range[1], at(inner + ".layer_range"));
            if (i == 0) {
                s.first = first;
                s.last = last;
            } else if (first != s.first || last != s.last)
                reject(at(inner + ".layer_range"), lathe::reflect::shown(range),
                       "that of the first source: layers cannot be merged with layers of other numbers");
        }
        auto const expected = slices_.empty() ? 0 : slices_.back().last;
        if (s.first != expected || s.last <= s.first)
            reject(at(place + ".sources[0].layer_range"),
                   "[" + std::to_string(s.first) + ", " + std::to_string(s.last) + "]",
                   "a range from " + std::to_string(expected) + ": layers cannot be moved, repeated or left out");
        if (!slices_.empty()
            && !std::ranges::equal(s.sources, slices_.front().sources, {}, &source::model, &source::model))
            reject(at(place + ".sources"), "other models", "those of the first slice, in the same order");
        slices_.push_back(std::move(s));
    }
    /// The checkpoint must have exactly the layers of the slices.
    void read_names() {
        auto const in = open_input(slices_.front().sources.front().model);
        std::map<std::string, std::size_t> layers; // of each stack
        for (auto const & t : in.file->tensors()) {
            names_.push_back(t.name);
            if (auto const where = lathe::merge::layer_of(t.name)) {
                auto & n = layers[std::string{where->stack}];
                n = std::max(n, where->index + 1);
            }
        }
        if (layers.size() != 1)
            reject(at("slices"), std::to_string(layers.size()) + " stacks of layers in " + in.path,
                   "one; give the models under `models` instead");
        stack_ = layers.begin()->first;
        if (auto const n = layers.begin()->second; n != slices_.back().last)
            reject(at("slices"), "layers up to " + std::to_string(slices_.back().last),
                   std::to_string(n) + ", as many as " + in.path + " has");
    }
    void read_layout(json const & object, std::string const & place) {
        auto const & models = get(object, "models");
        auto const & slices = get(object, "slices");
        if (models.is_null() == slices.is_null())
            reject(at(place + "models"), models.is_null() ? "neither models nor slices" : "models and slices",
                   "one of them");
        if (!slices.is_null()) {
            if (!slices.is_array() || slices.empty())
                reject(at(place + "slices"), lathe::reflect::shown(slices), "a list of slices");
            for (std::size_t i = 0; i != slices.size(); ++i)
                read_slice(slices[i], place + "slices[" + std::to_string(i) + "]");
            return read_names();
        }
        if (!models.is_array() || models.empty())
            reject(at(place + "models"), lathe::reflect::shown(models), "a list of models");
        slice s;
        s.parameters = json::object();
        for (std::size_t i = 0; i != models.size(); ++i) {
            auto const inner = place + "models[" + std::to_string(i) + "]";
            expect_keys(models[i], inner, {"model", "parameters"});
            s.sources.push_back(read_source(models[i], inner));
        }
        slices_.push_back(std::move(s));
    }

    /// What the scopes say together, as a schedule: the first that has a value for a tensor counts.
    [[nodiscard]] json combine(std::span<json const * const> scopes, std::string_view name,
                               std::string const & place) const {
        auto choices = json::array();
        auto const is_value = [](json const & v) { return v.is_number() || v.is_boolean() || v.is_array(); };
        for (auto const * const scope : scopes) {
            auto const & value = get(*scope, std::string{name});
            if (value.is_null())
                continue;
            bool const filters = value.is_object() || (value.is_array() && !value.empty() && value.front().is_object());
            if (!filters) {
                if (!is_value(value))
                    reject(at(place), lathe::reflect::shown(value), "a number, a gradient, or filters");
                if (choices.empty())
                    return value;
                choices.push_back({{"value", value}});
                return choices;
            }
            auto const list = value.is_array() ? value : json::array({value});
            for (auto const & choice : list) {
                expect_keys(choice, place, {"filter", "value"});
                if (auto const & v = get(choice, "value"); !is_value(v))
                    reject(at(place), lathe::reflect::shown(choice), "{filter, value}");
                choices.push_back(choice);
            }
        }
        return choices.empty() ? json(nullptr) : choices;
    }
    [[nodiscard]] json lookup(slice const & s, source const * from, parameter_rule const & rule) const {
        std::vector<json const *> scopes;
        if (from != nullptr)
            scopes.push_back(&from->parameters);
        static json const top_place = "parameters";
        scopes.push_back(&s.parameters);
        scopes.push_back(&module_parameters_);
        auto const & top = get(top_, "parameters");
        if (!top.is_null())
            scopes.push_back(&top);
        return combine(scopes, rule.name, std::string{rule.name});
    }
    /// One parameter over all slices. With one slice the setting is kept as it is; with several it becomes numbers by
    /// name, because gradients run over each slice.
    [[nodiscard]] json over_slices(std::size_t model, bool per_model, parameter_rule const & rule) const {
        auto const from = [&](slice const & s) { return per_model ? &s.sources[model] : nullptr; };
        if (slices_.size() == 1)
            return lookup(slices_[0], from(slices_[0]), rule);
        std::vector<std::optional<lathe::merge::schedule>> settings;
        for (auto const & s : slices_) {
            auto const j = lookup(s, from(s), rule);
            auto & schedule = settings.emplace_back();
            if (!j.is_null())
                lathe::reflect::codec<std::optional<lathe::merge::schedule>>::read(j, schedule,
                                                                                   at(std::string{rule.name}));
        }
        auto const value = [&](std::size_t i, std::string const & name, double t) {
            return settings[i] ? evaluate(*settings[i], name, t) : std::nullopt;
        };
        auto by_name = json::object();
        for (auto const & name : names_) {
            auto const where = lathe::merge::layer_of(name);
            std::optional<double> v;
            if (!where) {
                v = value(0, name, 0);
                if (v != value(slices_.size() - 1, name, 0))
                    throw lathe::format_error{at(std::string{rule.name})
                                              + ": the first and the last slice give tensor '" + name
                                              + "', which is in no layer, different values; give it one at the top"};
            } else {
                auto const i = static_cast<std::size_t>(std::ranges::find_if(slices_, [&](slice const & s) {
                    return where->index < s.last;
                }) - slices_.begin());
                auto const layers = slices_[i].last - slices_[i].first;
                v = value(i, name,
                          layers == 1
                              ? 1.0
                              : static_cast<double>(where->index - slices_[i].first) / static_cast<double>(layers - 1));
            }
            if (v)
                by_name[name] = *v;
        }
        return by_name.empty() ? json(nullptr) : by_name;
    }

    void read_parameter(parameter_rule const & rule) {
        using enum parameter_kind;
        auto const name = std::string{rule.name};
        auto const & sources = slices_.front().sources;
        auto const complement = [&](json & value) {
            if (!rule.complement)
                return;
            if (!value.is_number())
                reject(at(name), lathe::reflect::shown(value), "a number: schedules of it have no counterpart here");
            value = 1 - value.get<double>();
        };
        json value;
        if (rule.kind == schedule_per_model || rule.kind == number_of_models) {
            value = json::array();
            bool any = false;
            for (std::size_t k = 0; k != sources.size(); ++k) {
                auto one = over_slices(k, true, rule);
                if (one.is_null() && rule.required)
                    throw lathe::format_error{at(name) + ": no value for model " + sources[k].model};
                any = any || !one.is_null();
                if (one.is_null())
                    one = rule.fallback;
                value.push_back(std::move(one));
            }
            if (rule.kind == number_of_models) {
                if (std::ranges::any_of(value, [&](json const & v) { return !v.is_number() || v != value.front(); }))
                    reject(at(name), lathe::reflect::shown(value), "one number for all models and tensors");
                json one = value.front();
                value = std::move(one);
                complement(value);
            } else if (!any && rule.fallback.is_null())
                return;
        } else {
            value = over_slices(0, false, rule);
            if (value.is_null() && rule.required)
                throw lathe::format_error{at(name) + ": no value"};
            if (value.is_null())
                value = rule.fallback;
            if (value.is_null())
                return;
            if (rule.kind == truth) {
                if (value.is_number())
                    value = value.get<double>() != 0;
                if (!value.is_boolean())
                    reject(at(name), lathe::reflect::shown(value), "true or false, for all tensors");
            } else if (rule.kind == number && !value.is_number())
                reject(at(name), lathe::reflect::shown(value), "one number for all tensors");
            complement(value);
        }
        merge_.options[std::string{rule.option}] = std::move(value);
    }

    void read_models() {
        auto const & base = get(top_, "base_model");
        std::optional<std::string> base_path;
        if (!base.is_null())
            base_path = model_path(base, "base_model");
        if (rule_->base_required && !base_path)
            reject(at("base_model"), "nothing", "the base, for " + std::string{rule_->merge_method});
        if (rule_->task_vectors)
            for (auto & s : slices_)
                std::erase_if(s.sources, [&](source const & m) { return m.model == *base_path; });
        if (rule_->merge_method == "slerp")
            order_slerp(*base_path);
        if (slices_.front().sources.empty())
            reject(at("models"), "only the base", "models to merge");
        auto models = json::array();
        for (auto const & m : slices_.front().sources)
            models.push_back(m.model);
        merge_.settings["models"] = std::move(models);
        if (base_path && rule_->merge_method != "slerp")
            merge_.settings["base"] = *base_path;
    }
    /// t = 0 is the base.
    void order_slerp(std::string const & base) {
        for (auto & s : slices_) {
            auto const first = std::ranges::find(s.sources, base, &source::model);
            if (s.sources.size() != 2 || first == s.sources.end())
                reject(at("slerp"),
                       std::to_string(s.sources.size()) + " models"
                           + (first == s.sources.end() ? " without the base" : ""),
                       "two, one of them the base_model");
            std::rotate(s.sources.begin(), first, s.sources.end());
        }
    }

public:
    mergekit_reader(std::string const & path, json top)
        : path_{path}, top_(std::move(top)) {} // braces would make a list of it

    mergekit_merge read() {
        expect_keys(top_, "",
                    {"merge_method", "models", "slices", "modules", "base_model", "parameters", "dtype", "out_dtype",
                     "tokenizer_source", "tokenizer", "chat_template"});
        read_method();
        merge_.settings = json::object();
        for (auto const * const key : {"tokenizer_source", "tokenizer", "chat_template"})
            if (auto const & value = get(top_, key); !value.is_null())
                reject(at(key), lathe::reflect::shown(value),
                       "nothing: lathe merges no vocabularies, all models must share one tokenizer");
        for (auto const * const key : {"dtype", "out_dtype"}) // the second counts
            if (auto const & type = get(top_, key); !type.is_null()) {
                if (!type.is_string())
                    reject(at(key), lathe::reflect::shown(type), "float32, float16 or bfloat16");
                static_cast<void>(parse_float_type(at(key), type.get<std::string>()));
                merge_.settings["out_dtype"] = type;
            }
        static_cast<void>(parameters_of(top_, ""));
        if (auto const & modules = get(top_, "modules"); !modules.is_null()) {
            if (!modules.is_object() || modules.size() != 1 || !get(top_, "models").is_null()
                || !get(top_, "slices").is_null())
                reject(at("modules"), lathe::reflect::shown(modules), "one module, and no models or slices beside it");
            auto const place = "modules." + modules.begin().key() + ".";
            expect_keys(modules.front(), place, {"models", "slices", "parameters"});
            module_parameters_ = parameters_of(modules.front(), place);
            read_layout(modules.front(), place);
        } else
            read_layout(top_, "");
        read_models();
        for (auto const & rule : rule_->parameters)
            read_parameter(rule);
        return std::move(merge_);
    }
};

} // namespace

bool is_mergekit(std::string const & text, std::string const & path) {
    auto const extension = fs::path{path}.extension();
    if (extension == ".yml" || extension == ".yaml")
        return true;
    auto const j = json::parse(text, nullptr, false);
    return j.is_discarded() || (j.is_object() && j.contains("merge_method"));
}

mergekit_merge read_mergekit(std::string const & text, std::string const & path) {
    auto top = parse_yaml(text, path);
    if (!top.is_object())
        reject(path, lathe::reflect::shown(top), "a mergekit configuration");
    return mergekit_reader{path, std::move(top)}.read();
}

} // namespace lathe_cli
