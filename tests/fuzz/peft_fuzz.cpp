// Adapters as PEFT has them under libFuzzer. The letters:
//   c  adapter_config.json         m  a pattern and a name of a module, a line each
//   a  an adapter: lines of tensors (name, then extents), an empty line, the configuration
#include "fuzzing.hpp"

#include <lathe/io/peft.hpp>

#include <charconv>

using namespace lathe_fuzz;

namespace {

bool same(lathe::io::peft_config const & a, lathe::io::peft_config const & b) {
    auto const fields = [](lathe::io::peft_config const & c) {
        return std::tie(c.base_model_name_or_path, c.task_type, c.peft_type, c.r, c.lora_alpha, c.use_rslora,
                        c.use_dora, c.fan_in_fan_out, c.lora_bias, c.target_modules, c.target_pattern, c.rank_pattern,
                        c.alpha_pattern, c.kasa);
    };
    auto const schedule = [](lathe::io::peft_adalora const & c) {
        return std::tie(c.init_r, c.target_r, c.tinit, c.tfinal, c.delta_t, c.total_step, c.beta1, c.beta2,
                        c.orth_reg_weight);
    };
    return fields(a) == fields(b) && a.adalora.has_value() == b.adalora.has_value()
           && (!a.adalora || schedule(*a.adalora) == schedule(*b.adalora));
}

void read_config(std::string_view text) {
    lathe::io::peft_config config;
    if (!accepted([&] { config = lathe::io::parse_peft_config(text, "config"); }))
        return;
    auto const again = lathe::io::parse_peft_config(to_json(config), "config");
    expect(same(config, again), "a configuration is read as it was written");
    std::string const module = "model.layers.0.self_attn.q_proj";
    static_cast<void>(accepted([&] { static_cast<void>(config.targets(module)); }));
    static_cast<void>(accepted([&] {
        if (config.rank_of(module) != 0)
            expect(!std::isnan(config.scaling_of(module)), "a scaling is a number");
    }));
}

void match(std::string_view text) {
    auto const end = std::min(text.find('\n'), text.size());
    std::string const pattern{text.substr(0, end)}, module{text.substr(std::min(end + 1, text.size()))};
    static_cast<void>(
        accepted([&] { static_cast<void>(lathe::io::module_pattern(pattern, "pattern").matches(module)); }));
    lathe::io::peft_config config;
    config.rank_pattern[pattern] = 3;
    static_cast<void>(accepted([&] {
        auto const rank = config.rank_of(module);
        expect(rank == 3 || rank == config.r, "the rank is the pattern's, or the general one");
    }));
}

void read_adapter(std::string_view text) {
    auto const gap = text.find("\n\n");
    if (gap == text.npos)
        return;
    auto lines = text.substr(0, gap + 1);
    lathe::memory_checkpoint tensors;
    while (!lines.empty() && tensors.tensors().size() < 16) {
        auto line = lines.substr(0, lines.find('\n'));
        lines.remove_prefix(line.size() + 1);
        lathe::tensor_info t{std::string{line.substr(0, line.find(' '))}, lathe::dtype::f16, {}};
        line.remove_prefix(std::min(t.name.size() + 1, line.size()));
        std::size_t count = 1;
        for (char const *at = line.data(), *const end = at + line.size(); at < end && t.extents.size() < 5; ++at) {
            std::size_t extent = 0;
            at = std::from_chars(at, end, extent).ptr;
            t.extents.push_back(extent % 64);
            count *= extent % 64;
        }
        if (lathe::first_not_utf8(t.name) || t.name == "__metadata__" || count > 4096)
            return;
        std::vector<std::byte> const bytes(t.bytes());
        tensors.set(std::move(t), bytes);
    }
    auto const where = folder() / "adapter";
    std::filesystem::create_directories(where);
    lathe::io::save(tensors, where / "adapter_model.safetensors", {.sync = false});
    lathe_test::write_contents(where / "adapter_config.json", std::string{text.substr(gap + 2)});
    static_cast<void>(accepted([&] {
        lathe::io::peft_folder const in(where);
        std::vector<bool> seen(tensors.tensors().size());
        auto const take = [&](std::size_t i) {
            expect(i < seen.size() && !seen[i], "a tensor has one place");
            seen[i] = true;
        };
        for (auto const & m : in.modules()) {
            for (auto const & place : {m.a, m.b, m.bias, m.diag, m.magnitude, m.e, m.embedding_a, m.embedding_b})
                if (place)
                    take(*place);
            expect((m.a && m.b) || (m.embedding_a && m.embedding_b), "a module has both factors");
            expect(std::isfinite(m.scaling), "a scaling is finite");
            expect(in.tensors().tensors()[m.embedding_a ? *m.embedding_a : *m.a].count() == m.rank * m.inputs,
                   "A is rank by inputs");
        }
        for (auto const i : in.others())
            take(i);
        expect(std::ranges::find(seen, false) == seen.end(), "every tensor has a place");
    }));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(unsigned char const * data, std::size_t size) {
    auto const [reader, text] = select(data, size);
    switch (reader) {
    case 'c': read_config(text); return 0;
    case 'm': match(text); return 0;
    case 'a': read_adapter(text); return 0;
    default: return -1;
    }
}
