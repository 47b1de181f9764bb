// The tokenizer on a vocabulary of its own, and the encoder on a small BERT against the formulas in double.
#include "../../../examples/minilm/encoder.hpp"

#include "catch.hpp"
#include "plain_backend.hpp"
#include "temporary_folder.hpp"

#include <lathe/random/philox.hpp>
#include <lathe/testing/archetype.hpp>

namespace {
using minilm::token;
using numbers = std::vector<token>;
using vector = std::vector<double>;

/// A vocabulary of special tokens and then these, from 5 on.
minilm::wordpiece vocabulary(std::string const & words) {
    lathe_test::temporary_folder const folder;
    lathe_test::write_contents(folder / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n" + words);
    return minilm::wordpiece{(folder / "vocab.txt").string()};
}
/// The tokens between the first and the last.
numbers inner(minilm::wordpiece const & cut, std::string_view text, std::size_t most = 256) {
    auto const all = cut(text, most);
    REQUIRE(all.size() >= 2);
    CHECK(all.front() == 2);
    CHECK(all.back() == 3);
    return {all.begin() + 1, all.end() - 1};
}

struct small_bert {
    static constexpr std::size_t words = 12, width = 8, heads = 2, layers = 2, wide = 16, positions = 10;
    lathe::memory_checkpoint weights{"small"};
    std::map<std::string, vector> values;

    void add(std::string const & name, lathe::shape extents, double spread, double middle = 0) {
        std::size_t n = 1;
        for (auto const e : extents)
            n *= static_cast<std::size_t>(e);
        lathe::random::uniform_stream const u{7, static_cast<std::uint32_t>(values.size())};
        std::vector<float> drawn(n);
        for (std::size_t i = 0; i != n; ++i)
            drawn[i] = static_cast<float>(middle + spread * (2 * static_cast<double>(u[i]) - 1));
        values[name] = vector(drawn.begin(), drawn.end());
        weights.set<float>(name, std::move(extents), drawn);
    }
    void add_norm(std::string const & name) {
        add(name + ".weight", {width}, 0.5, 1);
        add(name + ".bias", {width}, 0.5);
    }
    void add_dense(std::string const & name, std::size_t outputs, std::size_t inputs) {
        add(name + ".weight", {outputs, inputs}, 1);
        add(name + ".bias", {outputs}, 0.5);
    }
    small_bert() {
        add("embeddings.word_embeddings.weight", {words, width}, 1);
        add("embeddings.position_embeddings.weight", {positions, width}, 1);
        add("embeddings.token_type_embeddings.weight", {2, width}, 1);
        add_norm("embeddings.LayerNorm");
        for (std::size_t l = 0; l != layers; ++l) {
            auto const name = "encoder.layer." + std::to_string(l);
            for (auto const * const part : {"query", "key", "value"})
                add_dense(name + ".attention.self." + part, width, width);
            add_dense(name + ".attention.output.dense", width, width);
            add_norm(name + ".attention.output.LayerNorm");
            add_dense(name + ".intermediate.dense", wide, width);
            add_dense(name + ".output.dense", width, wide);
            add_norm(name + ".output.LayerNorm");
        }
    }

    // The formulas, token by token.

    [[nodiscard]] vector dense(std::string const & name, vector const & x) const {
        auto const &w = values.at(name + ".weight"), &b = values.at(name + ".bias");
        vector y(b);
        for (std::size_t i = 0; i != y.size(); ++i)
            for (std::size_t k = 0; k != x.size(); ++k)
                y[i] += w[i * x.size() + k] * x[k];
        return y;
    }
    [[nodiscard]] vector norm(std::string const & name, vector const & x, vector const & y) const {
        vector z(width);
        double mean = 0, variance = 0;
        for (std::size_t k = 0; k != width; ++k)
            mean += (z[k] = x[k] + y[k]) / width;
        for (auto const v : z)
            variance += (v - mean) * (v - mean) / width;
        for (std::size_t k = 0; k != width; ++k)
            z[k] = (z[k] - mean) / std::sqrt(variance + 1e-12) * values.at(name + ".weight")[k]
                   + values.at(name + ".bias")[k];
        return z;
    }
    [[nodiscard]] vector embedding(numbers const & tokens) const {
        std::vector<vector> x;
        for (std::size_t i = 0; i != tokens.size(); ++i) {
            vector word(width), place(width);
            for (std::size_t k = 0; k != width; ++k) {
                word[k] = values.at("embeddings.word_embeddings.weight")[tokens[i] * width + k];
                place[k] = values.at("embeddings.position_embeddings.weight")[i * width + k]
                           + values.at("embeddings.token_type_embeddings.weight")[k];
            }
            x.push_back(norm("embeddings.LayerNorm", word, place));
        }
        for (std::size_t l = 0; l != layers; ++l) {
            auto const name = "encoder.layer." + std::to_string(l);
            std::vector<vector> q, k, v, next;
            for (auto const & row : x) {
                q.push_back(dense(name + ".attention.self.query", row));
                k.push_back(dense(name + ".attention.self.key", row));
                v.push_back(dense(name + ".attention.self.value", row));
            }
            for (std::size_t i = 0; i != x.size(); ++i) {
                vector context(width);
                for (std::size_t h = 0; h != heads; ++h) {
                    vector weight(x.size());
                    double sum = 0;
                    for (std::size_t j = 0; j != x.size(); ++j) {
                        double score = 0;
                        for (std::size_t c = h * width / heads; c != (h + 1) * width / heads; ++c)
                            score += q[i][c] * k[j][c];
                        sum += weight[j] = std::exp(score / std::sqrt(double(width) / heads));
                    }
                    for (std::size_t j = 0; j != x.size(); ++j)
                        for (std::size_t c = h * width / heads; c != (h + 1) * width / heads; ++c)
                            context[c] += weight[j] / sum * v[j][c];
                }
                auto const y =
                    norm(name + ".attention.output.LayerNorm", x[i], dense(name + ".attention.output.dense", context));
                auto hidden = dense(name + ".intermediate.dense", y);
                for (auto & z : hidden)
                    z *= 0.5 * std::erfc(-z / std::sqrt(2.0));
                next.push_back(norm(name + ".output.LayerNorm", y, dense(name + ".output.dense", hidden)));
            }
            x = next;
        }
        vector mean(width);
        double squares = 0;
        for (std::size_t c = 0; c != width; ++c) {
            for (auto const & row : x)
                mean[c] += row[c] / static_cast<double>(x.size());
            squares += mean[c] * mean[c];
        }
        for (auto & m : mean)
            m /= std::sqrt(squares);
        return mean;
    }
};

} // namespace

TEST_CASE("texts are cut into the longest pieces", "[minilm]") {
    auto const cut = vocabulary("un\n##aff\n##able\n##a\na\nunaffable\n##s\nthe\n");
    CHECK(cut.size() == 13);
    CHECK(inner(cut, "").empty());
    CHECK(inner(cut, " \t\r\n ").empty());
    CHECK(inner(cut, "unaffable") == numbers{10});
    CHECK(inner(cut, "unaffables THE") == numbers{10, 11, 12});
    CHECK(inner(cut, "unable") == numbers{5, 7});
    CHECK(inner(cut, "unaffa") == numbers{5, 6, 8});
    CHECK(inner(cut, "theory a") == numbers{1, 9}); // a word that cannot be cut to its end is one unknown token
    CHECK(inner(cut, std::string(100, 'a')) == [] {
        numbers all(100, 8);
        all[0] = 9;
        return all;
    }());
    CHECK(inner(cut, std::string(101, 'a')) == numbers{1});
    CHECK(inner(cut, "a a a a a", 5) == numbers{9, 9, 9});
    CHECK(inner(cut, "a [SEP]a[MASK] [sep]", 8) == numbers{9, 3, 9, 4, 1, 1});
    CHECK_THROWS_AS(cut("a", 1), lathe::option_error);
    CHECK_THROWS_AS(minilm::wordpiece("none/vocab.txt"), lathe::io_error);
}

TEST_CASE("characters become what BERT makes of them", "[minilm]") {
    auto const words = [](std::string_view text) {
        std::string all;
        minilm::for_each_word(text, [&](std::string_view word, std::size_t) { all.append(word).append("|"); });
        return all;
    };
    CHECK(words("Caf\u00e9 Cafe\u0301 \u00c5ngstr\u00f6m STRA\u1e9eE") == "cafe|cafe|angstrom|stra\u00dfe|");
    CHECK(words("don't, e.g. $5.00") == "don|'|t|,|e|.|g|.|$|5|.|00|");
    CHECK(words("a\u4f60\u597db \u304c\u30ac") == "a|\u4f60|\u597d|b|\u304b\u30ab|");
    CHECK(words("\uf900\uac01") == "\u8c48|\u1100\u1161\u11a8|");
    CHECK(words("zero\u200bwidth soft\u00adhyphen no\u00a0break") == "zerowidth|softhyphen|no|break|");
    CHECK(words("\u0391\u03a3 \u0419 \u0130 \u09cb") == "\u03b1\u03c3|\u0438|i|\u09c7\u09be|");
    CHECK(words(std::string_view{"a\0b\xff"
                                 "c\xc3 d\ufffd",
                                 10})
          == "abc|d|");
    CHECK(words("\u037e \u2126 \U00010400") == ";|\u03c9|\U00010428|");
}

TEST_CASE("an encoder on any backend", "[minilm][archetype]") {
    small_bert bert;
    std::vector<numbers> const sentences{
        {2, 3}, {2, 7, 3}, {2, 5, 6, 7, 8, 9, 10, 11, 4, 3}, {2, 7, 3}, {2, 11, 11, 0, 3}};
    auto const check = [&](auto & be, std::size_t batch) {
        std::vector<std::size_t> told;
        minilm::encoder encode(be, bert.weights, {.heads = small_bert::heads, .batch_tokens = batch});
        CHECK(encode.layers() == small_bert::layers);
        CHECK(encode.positions() == small_bert::positions);
        auto const table = encode(be, sentences, [&](std::size_t done) { told.push_back(done); });
        REQUIRE(table.rows() == sentences.size());
        for (std::size_t i = 0; i != sentences.size(); ++i) {
            auto const expected = bert.embedding(sentences[i]);
            for (std::size_t k = 0; k != small_bert::width; ++k)
                CHECK(std::fabs(static_cast<double>(table.row(i)[k]) - expected[k]) < 2e-6);
        }
        CHECK(encode(be, {}).rows() == 0);
        return told;
    };
    lathe_test::plain_backend host;
    CHECK(check(host, 2048) == std::vector<std::size_t>{5});
    CHECK(check(host, 5) == std::vector<std::size_t>{2, 3, 4, 5});
    lathe::testing::archetype<lathe::testing::floor::matrix_space> device;
    CHECK(check(device, 1) == std::vector<std::size_t>{1, 2, 3, 4, 5});
}

TEST_CASE("an encoder refuses what does not fit", "[minilm]") {
    small_bert bert;
    lathe_test::plain_backend be;
    CHECK_THROWS_AS(minilm::encoder(be, bert.weights), lathe::option_error); // 12 heads do not divide 8
    minilm::encoder encode(be, bert.weights, {.heads = 2});
    for (auto const & wrong : {numbers{}, numbers(small_bert::positions + 1, 5), numbers{small_bert::words}})
        CHECK_THROWS_AS(encode(be, std::vector<numbers>{wrong}), lathe::shape_error);
    bert.weights.set<float>("encoder.layer.1.output.dense.bias", {3}, std::vector{1.0f, 2.0f, 3.0f});
    CHECK_THROWS_AS(minilm::encoder(be, bert.weights, {.heads = 2}), lathe::mismatch_error);
    lathe::memory_checkpoint none;
    CHECK_THROWS_AS(minilm::encoder(be, none), lathe::mismatch_error);
}
