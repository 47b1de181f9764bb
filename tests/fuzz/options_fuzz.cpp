// Options under libFuzzer. The letters:
//   j  options as JSON             f  a text as the value of every flag of an option struct
//   s  a schedule as JSON          t  the same as the value of a flag
// After j and f a letter names the struct: 0 the first, and so on through ASCII.
#include "fuzzing.hpp"

#include <lathe/reflect/cluster.hpp>
#include <lathe/reflect/watermark.hpp>
#include <lathe/reflect/watermark_tokens.hpp>
#include <lathe/registry.hpp>

using namespace lathe_fuzz;
namespace reflect = lathe::reflect;
using reflect::json;

namespace {

/// What the readers are asked to do with options of one type, so that the type is named once.
struct option_reader {
    std::vector<reflect::field_description> fields;
    json (*read_again)(json const &); ///< read and written. \throws option_error
};

template <class Options> option_reader reader_of() {
    return {reflect::describe<Options>(),
            [](json const & j) { return reflect::to_json(reflect::options_from<Options>(j)); }};
}
template <class... Options> void add(std::vector<option_reader> & all) { (all.push_back(reader_of<Options>()), ...); }

std::vector<option_reader> const & readers() {
    static auto const made = [] {
        using namespace lathe;
        std::vector<option_reader> all;
        std::vector<void const *> seen; // several methods share their options
        auto const add_method = [&]<class Method>(std::type_identity<Method>) {
            static constexpr auto make = &reader_of<typename Method::options>;
            if (std::ranges::find(seen, reinterpret_cast<void const *>(make)) == seen.end()) {
                seen.push_back(reinterpret_cast<void const *>(make));
                all.push_back(make());
            }
        };
        registry::for_each_method(registry::merging_methods, add_method);
        registry::for_each_method(registry::objective_methods, add_method);
        registry::for_each_method(registry::adaptation_methods, add_method);
        add<adapt::extract_options, adapt::combine_options, merge::kinship_options>(all);
        add<cluster::fuzzy_c_means_options, cluster::k_means_options, cluster::streaming_options,
            cluster::single_pass_options>(all);
        add<watermark::cohemark_options, watermark::keyed_cohemark_options, watermark::semstamp_options,
            watermark::simmark_options, watermark::hammingmark_options, watermark::sampling_options,
            watermark::detection_options, watermark::sequential_options, watermark::dynamic_threshold_options>(all);
        add<watermark::kgw_options, watermark::unigram_options, watermark::sweet_options, watermark::ewd_options,
            watermark::morphmark_options, watermark::dip_options, watermark::unbiased_options, watermark::exp_options,
            watermark::exp_gumbel_options, watermark::pf_options, watermark::synthid_options,
            watermark::exp_edit_options, watermark::its_edit_options>(all);
        return all;
    }();
    return made;
}

/// JSON as the program reads it from a file, where that is bounded in depth.
std::optional<json> bounded(std::string_view text) {
    auto j = reflect::parse_json(text);
    if (j.is_string())
        return std::nullopt;
    return j;
}

void read_options(option_reader const & options, std::string_view text) {
    auto const j = bounded(text);
    if (j)
        static_cast<void>(accepted([&] {
            auto const once = options.read_again(*j);
            expect(options.read_again(once) == once, "options are read as they were written");
        }));
}

void read_flag(reflect::field_description const & field, std::string const & text) {
    for (auto const & inner : field.fields)
        read_flag(inner, text);
    static_cast<void>(accepted([&] {
        auto const once = field.complete(field.parse(text), field.name);
        expect(field.complete(once, field.name) == once, "a value is read as it was written");
    }));
}

void read_schedule(json const & j) {
    static_cast<void>(accepted([&] {
        lathe::merge::schedule s;
        reflect::codec<lathe::merge::schedule>::read(j, s, "schedule");
        lathe::merge::schedule again;
        reflect::codec<lathe::merge::schedule>::read(reflect::codec<lathe::merge::schedule>::write(s), again,
                                                     "schedule");
        expect(s == again, "a schedule is read as it was written");
        for (double const depth : {0.0, 0.3, 1.0})
            static_cast<void>(evaluate(s, "model.layers.0.mlp", depth));
    }));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(unsigned char const * data, std::size_t size) {
    auto const [reader, text] = select(data, size);
    auto const which = text.empty() ? 0u : static_cast<unsigned char>(text.front()) - unsigned{'0'};
    auto const & options = readers()[which % readers().size()];
    auto const rest = text.substr(std::min<std::size_t>(1, text.size()));
    switch (reader) {
    case 'j': read_options(options, rest); return 0;
    case 'f':
        for (auto const & field : options.fields)
            read_flag(field, std::string{rest});
        return 0;
    case 's':
        if (auto const j = bounded(text))
            read_schedule(*j);
        return 0;
    case 't': read_schedule(reflect::codec<lathe::merge::schedule>::parse(text)); return 0;
    default: return -1;
    }
}
