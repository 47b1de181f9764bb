// Adapter folders of PEFT: read, written, refused.
#include "../linalg/matrices.hpp"
#include <catch.hpp>
#include <temporary_folder.hpp>

#include <lathe/io/peft.hpp>

#include <fstream>

using namespace lathe;
using lathe_test::contains;

namespace {
void add(memory_checkpoint & c, std::string const & module, std::string const & tensor, shape const & extents) {
    std::vector<float> x(extents.size() == 1 ? extents[0] : extents[0] * extents[1], 0.5f);
    c.set<float>(io::peft_name(module, tensor), extents, x);
}
io::peft_config parse(std::string const & text) { return io::parse_peft_config(text, "config"); }
} // namespace

TEST_CASE("an adapter folder comes back as it was written", "[peft]") {
    lathe_test::temporary_folder const folder;
    memory_checkpoint c;
    add(c, "model.layers.0.self_attn.q_proj", "lora_A.weight", {4, 6});
    add(c, "model.layers.0.self_attn.q_proj", "lora_B.weight", {5, 4});
    add(c, "model.layers.0.self_attn.q_proj", "lora_diag", {4});
    add(c, "model.layers.1.mlp.down_proj", "lora_A.weight", {2, 8});
    add(c, "model.layers.1.mlp.down_proj", "lora_B.weight", {6, 2});
    add(c, "model.layers.1.mlp.down_proj", "lora_diag", {2});
    io::save_peft(folder.path() / "adapter",
                  {.base_model_name_or_path = "some/base",
                   .task_type = "CAUSAL_LM",
                   .r = 4,
                   .lora_alpha = 8,
                   .rank_pattern = {{"down_proj", 2}},
                   .alpha_pattern = {{"^model\\.layers\\.1\\..*", 3}},
                   .kasa = std::pair{1e-4, 1e-3}},
                  c);
    io::peft_folder const back(folder.path() / "adapter");
    CHECK(back.config().target_modules == std::vector<std::string>{"q_proj", "down_proj"});
    CHECK(back.config().task_type == "CAUSAL_LM");
    CHECK(back.config().kasa == std::pair{1e-4, 1e-3});
    CHECK(back.tensors().metadata().at("format") == "pt");
    REQUIRE(back.modules().size() == 2);
    auto const & q = back.modules()[0];
    CHECK(q.name == "model.layers.0.self_attn.q_proj");
    CHECK(q.rank == 4);
    CHECK(q.outputs == 5);
    CHECK(q.inputs == 6);
    CHECK(q.scaling == 2);
    CHECK(q.diag.has_value());
    CHECK(back.modules()[1].scaling == 1.5);
    CHECK(back.others().empty());

    add(c, "model.layers.1.mlp.down_proj", "lora_diag", {3});
    io::save_peft(folder.path() / "adapter", {.r = 4, .rank_pattern = {{"down_proj", 2}}}, c);
    CHECK_THROWS_WITH(io::peft_folder(folder.path() / "adapter"), contains("down_proj") && contains("lora_diag"));
    add(c, "model.layers.1.mlp.down_proj", "lora_diag", {2});
    io::save_peft(folder.path() / "adapter", {.r = 4}, c);
    CHECK_THROWS_WITH(io::peft_folder(folder.path() / "adapter"), contains("rank 2") && contains("has 4"));
    memory_checkpoint half;
    add(half, "m", "lora_A.weight", {4, 6});
    add(half, "m.head", "weight", {4, 6});
    io::save_peft(folder.path() / "half", {.r = 4}, half);
    CHECK_THROWS_AS(io::peft_folder(folder.path() / "half"), mismatch_error);
    CHECK_THROWS_AS(io::peft_folder(folder.path() / "none"), io_error);
    memory_checkpoint nothing; // and a scaling that would be alpha / 0
    add(nothing, "m", "lora_A.weight", {0, 6});
    add(nothing, "m", "lora_B.weight", {5, 0});
    io::save_peft(folder.path() / "nothing", {.r = 0}, nothing);
    CHECK_THROWS_WITH(io::peft_folder(folder.path() / "nothing"), contains("module 'm': rank 0"));
}

TEST_CASE("every spelling of a tensor's name", "[peft]") {
    lathe_test::temporary_folder const folder;
    memory_checkpoint c;
    add(c, "ada", "lora_A", {3, 6});
    add(c, "ada", "lora_B", {5, 3});
    add(c, "ada", "lora_E", {3, 1});
    add(c, "dora", "lora_A.weight", {8, 6});
    add(c, "dora", "lora_B.weight", {5, 8});
    add(c, "dora", "lora_B.bias", {5});
    add(c, "dora", "lora_magnitude_vector", {5});
    add(c, "emb", "lora_embedding_A", {8, 30});
    add(c, "emb", "lora_embedding_B", {4, 8});
    std::vector<float> kernel(8 * 2 * 9, 1.0f);
    c.set<float>(io::peft_name("conv", "lora_A.weight"), {8, 2, 3, 3}, kernel);
    c.set<float>(io::peft_name("conv", "lora_B.weight"), {7, 8, 1, 1}, std::vector<float>(56));
    add(c, "head", "weight", {2, 2});
    io::save_peft(folder.path(), {.peft_type = "LORA", .rank_pattern = {{"ada", 3}}}, c);
    io::peft_folder const back(folder.path());
    REQUIRE(back.modules().size() == 4);
    CHECK(back.others().size() == 1);
    CHECK(back.modules()[0].e.has_value());
    CHECK(back.modules()[1].name == "conv");
    CHECK(back.modules()[1].inputs == 18);
    CHECK(back.modules()[1].outputs == 7);
    CHECK(back.modules()[2].magnitude.has_value());
    CHECK(back.modules()[2].bias.has_value());
    CHECK(back.modules()[3].embedding_a.has_value());
    CHECK(back.modules()[3].inputs == 30);
}

TEST_CASE("patterns match names, or their ends after a point, as PEFT's do", "[peft]") {
    auto const c = parse(R"({"r": 8, "lora_alpha": 16, "use_rslora": true,
        "rank_pattern": {"q_proj": 4, "^model.decoder.layers.0.k_proj": 2, "layers\\.[0-3]\\.v_proj": 16}})");
    CHECK(c.rank_of("model.layers.0.q_proj") == 4);
    CHECK(c.rank_of("q_proj") == 4);
    CHECK(c.rank_of("model.layers.0.xq_proj") == 8);
    CHECK(c.rank_of("model.decoder.layers.0.k_proj") == 2);
    CHECK(c.rank_of("other.model.decoder.layers.0.k_proj") == 8);
    CHECK(c.rank_of("model.layers.3.v_proj") == 16);
    CHECK(c.rank_of("model.layers.4.v_proj") == 8);
    CHECK(c.scaling_of("q_proj") == 8);
    CHECK_THROWS_AS(parse(R"({"rank_pattern": {"(": 4}})").rank_of("x"), format_error);
    CHECK_THROWS_AS(parse("{\"rank_pattern\": {\"" + std::string(300, '*') + "\": 4}}").rank_of("x"), format_error);
    CHECK(parse(R"({"target_modules": ".*q_proj"})").target_pattern == ".*q_proj");
    CHECK(parse(R"({"rank_pattern": {"q": [true, false, true]}})").rank_of("q") == 2);
}

TEST_CASE("configurations that are none are refused, with the key", "[peft]") {
    for (auto const & [text, what] :
         std::vector<std::pair<std::string, std::string>>{{"", "JSON"},
                                                          {"[1]", "JSON"},
                                                          {"{\"r\": 8", "JSON"},
                                                          {"{\"r\": -8}", "r"},
                                                          {"{\"r\": 1e300}", "r"},
                                                          {"{\"r\": \"8\"}", "r"},
                                                          {"{\"lora_alpha\": \"x\"}", "lora_alpha"},
                                                          {"{\"use_rslora\": 1}", "use_rslora"},
                                                          {"{\"peft_type\": \"IA3\"}", "peft_type"},
                                                          {"{\"target_modules\": [1]}", "target_modules"},
                                                          {"{\"target_modules\": {}}", "target_modules"},
                                                          {"{\"rank_pattern\": []}", "rank_pattern"},
                                                          {"{\"alpha_pattern\": {\"q\": null}}", "alpha_pattern"},
                                                          {"{\"kasa_config\": 3}", "kasa_config"},
                                                          {"{\"x\": \"\xff\"}", "UTF-8"},
                                                          {"{\"x\": " + std::string(100000, '[') + "}", "nesting"}}) {
        CAPTURE(text.substr(0, 60));
        CHECK_THROWS_WITH(parse(text), contains(what));
        CHECK_THROWS_AS(parse(text), format_error);
    }
    CHECK(parse("{}").r == 8); // PEFT's own
    CHECK(parse("{\"r\": 4, \"unknown\": {\"a\": [1]}}").r == 4);
    CHECK(io::to_json(parse("{\"lora_alpha\": 16}")).find("\"lora_alpha\": 16,") != std::string::npos);
}

TEST_CASE("modules that a configuration names", "[peft]") {
    auto const list = parse(R"({"target_modules": ["q_proj", "layers.1.mlp"]})");
    CHECK(list.targets("model.layers.0.q_proj"));
    CHECK(list.targets("q_proj"));
    CHECK(!list.targets("model.layers.0.xq_proj"));
    CHECK(list.targets("model.layers.1.mlp"));
    CHECK(!list.targets("model.layers.11.mlp"));
    auto const pattern = parse(R"({"target_modules": ".*\\.(q|v)_proj"})");
    CHECK(pattern.targets("model.layers.0.v_proj"));
    CHECK(!pattern.targets("v_proj"));
    CHECK_THROWS_WITH(parse(R"({"target_modules": "(a"})").targets("a"), contains("target_modules"));
    CHECK(!parse("{}").targets("a"));
}

TEST_CASE("points of plain names match any character, as they do in PEFT", "[peft]") {
    auto const c = parse(R"({"r": 8, "rank_pattern": {"a.b": 2, "^c.d": 3}})");
    CHECK(c.rank_of("x.a.b") == 2);
    CHECK(c.rank_of("x.a_b") == 2);
    CHECK(c.rank_of("xa.b") == 8);
    CHECK(c.rank_of("c_d") == 3);
    CHECK(c.rank_of("x.c.d") == 8);
}

TEST_CASE("AdaLoRA: the scaling is of the rank at the beginning, whatever is left", "[peft]") {
    auto const c = parse(R"({"peft_type": "ADALORA", "r": 8, "lora_alpha": 6, "init_r": 4, "target_r": 2, "deltaT": 3,
        "beta1": 0.5, "rank_pattern": {"q": [true, false, false, true]}})");
    REQUIRE(c.adalora.has_value());
    CHECK(c.adalora->init_r == 4);
    CHECK(c.adalora->delta_t == 3);
    CHECK(c.scaling_of("q") == 6 / (4 + 1e-5));
    auto const back = parse(io::to_json(c));
    CHECK(back.adalora->beta1 == 0.5);
    CHECK(back.scaling_of("q") == c.scaling_of("q"));
    CHECK_THROWS_WITH(parse(R"({"peft_type": "ADALORA", "init_r": -1})"), contains("init_r"));
    CHECK(!parse("{}").adalora);
}
