// Every option struct that a command or a registry knows, through JSON and back: its defaults, each of its fields
// changed, each of its names misspelt, and values that no field takes.
#include <lathe/reflect/cluster.hpp>
#include <lathe/reflect/watermark.hpp>
#include <lathe/reflect/watermark_tokens.hpp>
#include <lathe/registry.hpp>

#include <catch.hpp>

namespace {
namespace reflect = lathe::reflect;
namespace cluster = lathe::cluster;
namespace watermark = lathe::watermark;
using lathe_test::contains;
using reflect::json;

/// An option struct without its type.
struct option_struct {
    std::string name;
    std::vector<reflect::field_description> fields;
    json (*read)(json const &); ///< over the defaults, and written again
};
template <class Options> option_struct struct_of(std::string name) {
    return {std::move(name), reflect::describe<Options>(),
            [](json const & given) { return reflect::to_json(reflect::options_from<Options>(given)); }};
}
template <class... Options> void add(std::vector<option_struct> & all, std::string const & name) {
    (all.push_back(struct_of<Options>(name + " " + std::to_string(all.size()))), ...);
}

std::vector<option_struct> all_structs() {
    std::vector<option_struct> all;
    auto const of_method = [&]<class Method>(std::type_identity<Method>) {
        all.push_back(struct_of<typename Method::options>(std::string{Method::name}));
    };
    lathe::registry::for_each_method(lathe::registry::merging_methods, of_method);
    lathe::registry::for_each_method(lathe::registry::objective_methods, of_method);
    lathe::registry::for_each_method(lathe::registry::adaptation_methods, of_method);
    add<lathe::merge::kinship_options>(all, "kinship");
    add<lathe::adapt::combine_options, lathe::adapt::extract_options>(all, "adapt");
    add<cluster::fuzzy_c_means_options, cluster::k_means_options, cluster::single_pass_options,
        cluster::streaming_options>(all, "cluster");
    add<watermark::cohemark_options, watermark::keyed_cohemark_options, watermark::semstamp_options,
        watermark::simmark_options, watermark::hammingmark_options, watermark::sampling_options,
        watermark::detection_options, watermark::sequential_options, watermark::dynamic_threshold_options,
        watermark::rank_rule>(all, "watermark");
    add<watermark::kgw_options, watermark::unigram_options, watermark::sweet_options, watermark::ewd_options,
        watermark::morphmark_options, watermark::dip_options, watermark::unbiased_options, watermark::exp_options,
        watermark::exp_gumbel_options, watermark::pf_options, watermark::synthid_options, watermark::exp_edit_options,
        watermark::its_edit_options>(all, "tokens");
    return all;
}

/// The message of the option_error; empty if there is none.
std::string problem(option_struct const & s, json const & given) {
    try {
        static_cast<void>(s.read(given));
    } catch (lathe::option_error const & e) {
        return e.what();
    }
    return {};
}

/// A value that the field takes and does not have.
json another_value(reflect::field_description const & f) {
    std::vector<json> candidates{!(f.value == json(true)),
                                 3u,
                                 4u,
                                 0.75,
                                 "6a",
                                 json::array({1u, 2u}),
                                 json::array({0.5}),
                                 json::array({"x"}),
                                 json::array({json::array({1u, 0u})}),
                                 {{"a", 0.5}},
                                 {{"a", 2u}}};
    for (std::string_view rest = f.type; !rest.empty(); rest.remove_prefix(std::min(rest.find('|') + 1, rest.size()))) {
        candidates.emplace_back(std::string{rest.substr(0, rest.find('|'))});
        if (rest.find('|') == rest.npos)
            break;
    }
    if (f.kind == reflect::field_kind::choice) // names of enumerators only
        candidates.erase(candidates.begin(), candidates.begin() + 11);
    for (auto const & c : candidates)
        try {
            if (auto const read = f.complete(c, f.name); read != f.value)
                return read;
        } catch (lathe::option_error const &) { // not of this type
        }
    return nullptr;
}

/// For every field that is no group: path from the struct to it, and the field.
template <class F>
void for_each_leaf(std::span<reflect::field_description const> fields, json::json_pointer const & at, F && f) {
    for (auto const & field : fields)
        if (field.kind == reflect::field_kind::group)
            for_each_leaf(field.fields, at / std::string{field.name}, f);
        else
            f(at / std::string{field.name}, field);
}
} // namespace

TEST_CASE("option structs: defaults go to JSON and come back", "[reflect]") {
    auto const all = all_structs();
    CHECK(all.size() > 50);
    for (auto const & s : all) {
        INFO(s.name);
        auto const defaults = s.read(json::object());
        CHECK(defaults.size() == s.fields.size());
        CHECK(s.read(json::parse(defaults.dump())) == defaults);
        for (auto const & f : s.fields)
            CHECK(defaults.at(std::string{f.name}) == f.value);
    }
}

TEST_CASE("option structs: every field is read, and nothing else changes", "[reflect]") {
    for (auto const & s : all_structs())
        for_each_leaf(s.fields, json::json_pointer{},
                      [&](json::json_pointer const & at, reflect::field_description const & f) {
            INFO(s.name << " " << at.to_string());
            if (f.kind == reflect::field_kind::choice && !f.value.is_null() && f.type.find('|') == f.type.npos)
                return; // the only one there is
            auto const value = another_value(f);
            REQUIRE_FALSE(value.is_null());
            json given = json::object();
            given[at] = value;
            auto const read = s.read(given);
            auto expected = s.read(json::object());
            if (auto const group = at.parent_pointer();
                expected[group].is_null()) // unset, with the defaults of its type
                expected[group] = read[group];
            expected[at] = value;
            CHECK(read == expected);
            CHECK(s.read(json::parse(read.dump())) == read);
        });
}

TEST_CASE("option structs: a misspelt name is refused with the right one", "[reflect]") {
    for (auto const & s : all_structs())
        for (auto const & f : s.fields) {
            std::string const name{f.name};
            if (name.size() < 4)
                continue;
            INFO(s.name << " " << name);
            auto const hint = "unknown option; did you mean '" + name + "'?";
            CHECK(problem(s, {{name + name.back(), f.value}}) == name + name.back() + ": " + hint);
            auto swapped = name;
            std::swap(swapped[1], swapped[2]);
            if (swapped != name)
                CHECK(problem(s, {{swapped, f.value}}) == swapped + ": " + hint);
        }
}

TEST_CASE("option structs: what a field cannot be is refused with its name", "[reflect]") {
    for (auto const & s : all_structs())
        for_each_leaf(s.fields, json::json_pointer{},
                      [&](json::json_pointer const & at, reflect::field_description const & f) {
            auto path = at.to_string().substr(1);
            std::ranges::replace(path, '/', '.');
            INFO(s.name << " " << path);
            json const wrong =
                f.kind == reflect::field_kind::text ? json(1u) : json("no such value"); // of any other type
            json given = json::object();
            given[at] = wrong;
            CHECK_THAT(problem(s, given), contains(path + ": found " + wrong.dump()) && contains("expected "));
            if (f.kind == reflect::field_kind::integer) {
                given[at] = -1;
                CHECK_THAT(problem(s, given), contains(path + ": found -1, expected an integer from 0 to "));
            }
        });
}
