// Embeds sentences: a line of standard input each, or a JSON list of strings.
#include "model.hpp"

#include <lathe/backend/default.hpp>
#include <lathe/compiled/backends.hpp>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <iostream>

namespace {

struct arguments {
    std::string model = minilm::default_folder().string(), strings, output, against;
    std::size_t threads = 0;
    bool tokens = false;
};

std::vector<std::string> read_texts(std::string const & strings) {
    std::vector<std::string> texts;
    if (strings.empty()) {
        for (std::string line; std::getline(std::cin, line);)
            texts.push_back(line);
        return texts;
    }
    std::ifstream file(strings);
    if (!file)
        throw lathe::io_error{strings + ": cannot be opened"};
    try {
        nlohmann::json::parse(file).get_to(texts);
    } catch (nlohmann::json::exception const & e) {
        throw lathe::format_error{strings + ": expected a JSON list of strings: " + e.what()};
    }
    return texts;
}

void write(std::string const & path, lathe::evaluate::embedding_table const & table) {
    lathe::memory_checkpoint out;
    out.set<float>("embeddings", {table.rows(), table.dimension}, table.values);
    lathe::io::save(out, path);
}

double product(std::span<float const> a, std::span<float const> b) {
    double sum = 0;
    for (std::size_t k = 0; k != a.size(); ++k)
        sum += static_cast<double>(a[k]) * static_cast<double>(b[k]);
    return sum;
}
double cosine(std::span<float const> a, std::span<float const> b) {
    return product(a, b) / std::sqrt(product(a, a) * product(b, b));
}

/// How far the embeddings are from those in a file.
void compare(lathe::evaluate::embedding_table const & table, std::string const & path) {
    auto const file = lathe::io::load(path);
    auto const at = file->find("embeddings");
    if (!at || file->tensors()[*at].extents != lathe::shape{table.rows(), table.dimension}
        || file->tensors()[*at].type != lathe::dtype::f32)
        throw lathe::mismatch_error{path + ": expected a tensor 'embeddings', F32, of " + std::to_string(table.rows())
                                    + " x " + std::to_string(table.dimension)};
    auto expected = table;
    std::memcpy(expected.values.data(), file->bytes(*at).data(), file->bytes(*at).size());
    double least = 1;
    std::size_t where = 0;
    for (std::size_t i = 0; i != table.rows(); ++i)
        if (auto const c = cosine(table.row(i), expected.row(i)); !(c >= least)) {
            least = std::isnan(c) ? -1 : c;
            where = i;
        }
    std::printf("%zu sentences, least cosine %.9f at %zu\n", table.rows(), least, where);
}

void run(arguments const & a) {
    auto const texts = read_texts(a.strings);
    minilm::expect_installed(a.model);
    if (a.tokens) {
        for (auto const & tokens : minilm::tokens_of(texts, minilm::open_vocabulary(a.model)))
            for (std::size_t i = 0; i != tokens.size(); ++i)
                std::printf("%u%c", tokens[i], i + 1 == tokens.size() ? '\n' : ' ');
        return;
    }
    auto be = lathe::compiled::make_backend<lathe::default_backend>(a.threads);
    auto const table = minilm::embed(be, texts, a.model);
    if (!a.against.empty())
        return compare(table, a.against);
    if (!a.output.empty())
        return write(a.output, table);
    for (std::size_t i = 0; i != table.rows(); ++i)
        for (std::size_t j = 0; j != table.rows(); ++j)
            std::printf("%.4f%c", cosine(table.row(i), table.row(j)), j + 1 == table.rows() ? '\n' : ' ');
}

} // namespace

int main(int argc, char ** argv) {
    arguments a;
    CLI::App app{
        "Embeds sentences with all-MiniLM-L6-v2, as examples/fetch_minilm.sh installs it, and prints their cosines.",
        "minilm"};
    app.add_option("--model", a.model, "the folder with model.safetensors and vocab.txt")->capture_default_str();
    app.add_option("--strings", a.strings,
                   "a JSON list of sentences; without it a line of standard input is a sentence");
    app.add_option("-o,--output", a.output, "write embeddings, a row each, to this .safetensors file instead");
    app.add_option("--against", a.against, "say how far the embeddings are from those in a file that -o wrote");
    app.add_option("--threads", a.threads, "how many; 0: one per processor");
    app.add_flag("--tokens", a.tokens, "print the numbers of the tokens instead, a line for each sentence");
    CLI11_PARSE(app, argc, argv);
    try {
        run(a);
        return 0;
    } catch (std::exception const & e) {
        std::cerr << "minilm: error: " << e.what() << std::endl;
        return 1;
    }
}
