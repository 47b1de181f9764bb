// Merge perceptrons that see the same digits differently, with every method, and look at what more models do to the
// result.
//
//     quickstart [--data FILE.csv] [--out FOLDER] [--threads N]
//
// A base model learns the digits; eight experts are fine-tuned from it on eight views of them, sixteen more models on
// things no task needs. All are written as safetensors files and read back by the merges. The table is the figure of
// the FW-Merging paper in miniature: does a method gain from more relevant models, and is it hurt by irrelevant ones?
#include "methods.hpp"
#include "report.hpp"

#include <lathe/io/safetensors.hpp>

#include <CLI/CLI.hpp>

#include <chrono>
#include <iostream>

namespace {

using namespace quickstart;

void save(backend & be, vector const & x, std::filesystem::path const & path) {
    lathe::io::safetensors_writer file(path);
    lathe::write_parameters<backend, float>(be, layout(), lathe::view_of(std::span{x}), file);
}

struct model_files {
    std::unique_ptr<lathe::checkpoint> weights;
    std::unique_ptr<lathe::checkpoint> fisher, gram;
};

/// Fine-tunes the base on a task and writes the model, its Fisher diagonal and its Gram matrices.
model_files fine_tune(backend & be, vector const & base, task const & t, rows const & train,
                      std::filesystem::path const & folder, std::string const & name) {
    auto const data = t.view(train);
    auto x = base;
    quickstart::train(be, x, data, 10, 0.05, 6);
    save(be, x, folder / (name + ".safetensors"));
    auto const some = data.part(0, 200);
    save(be, fisher_diagonal(be, x, some), folder / (name + ".fisher.safetensors"));
    lathe::io::save(*gram_matrices(be, x, some), folder / (name + ".gram.safetensors"));
    return {lathe::io::open_checkpoint(folder / (name + ".safetensors")),
            lathe::io::open_checkpoint(folder / (name + ".fisher.safetensors")),
            lathe::io::open_checkpoint(folder / (name + ".gram.safetensors"))};
}

double mean_accuracy(backend & be, lathe::checkpoint & model, std::vector<rows> const & tests) {
    auto const l = layout();
    vector x(l.size());
    lathe::read_parameters<backend, float>(be, l, model, lathe::view_of(std::span{x}));
    double sum = 0;
    for (auto const & t : tests)
        sum += accuracy(be, x, t);
    return sum / static_cast<double>(tests.size());
}

void run(std::filesystem::path const & data, std::filesystem::path const & out, std::size_t threads) {
    backend be(threads);
    std::filesystem::create_directories(out);
    auto const all = read_digits(data.string());
    auto const train_rows = all.part(0, 1000), validation_rows = all.part(1000, 200),
               test_rows = all.part(1200, all.size() - 1200);

    std::printf("Training a base model and 24 fine-tuned ones on %zu digits; files in %s\n", train_rows.size(),
                out.c_str());
    auto base = initial_parameters(1);
    train(be, base, train_rows, 30, 0.05, 5);
    save(be, base, out / "base.safetensors");
    auto const base_file = lathe::io::open_checkpoint(out / "base.safetensors");

    std::vector<model_files> relevant, irrelevant;
    std::vector<rows> tests, validation;
    double own = 0;
    std::printf("\n%-22s %18s %18s\n", "task", "base accuracy, %", "its expert's, %");
    for (auto const & t : tasks()) {
        relevant.push_back(fine_tune(be, base, t, train_rows, out, "expert-" + std::to_string(relevant.size())));
        tests.push_back(t.view(test_rows));
        validation.push_back(t.view(validation_rows));
        auto const expert = mean_accuracy(be, *relevant.back().weights, {tests.back()});
        own += expert;
        std::printf("%-22s %18.1f %18.1f\n", t.name.c_str(), 100 * accuracy(be, base, tests.back()), 100 * expert);
    }
    for (auto const & t : irrelevant_tasks())
        irrelevant.push_back(
            fine_tune(be, base, t, train_rows, out, "irrelevant-" + std::to_string(irrelevant.size())));

    std::vector<mixture> mixtures;
    for (std::size_t const r : std::vector<std::size_t>{2, 4, 8})
        for (std::size_t const i : std::vector<std::size_t>{0, 4, 8, 16})
            mixtures.push_back({r, i});
    std::vector<result> results{
        {"the base, unmerged", std::vector(mixtures.size(), mean_accuracy(be, *base_file, tests))},
        {"every expert on its own task", std::vector(mixtures.size(), own / static_cast<double>(tests.size()))}};
    for (auto const & m : methods()) {
        result r{m.name, {}, 0, m.frank_wolfe};
        for (auto const & mix : mixtures) {
            if (!m.applies(mix.relevant + mix.irrelevant)) {
                r.accuracy.push_back(std::numeric_limits<double>::quiet_NaN());
                continue;
            }
            ingredients in{base_file.get(), {}, {}, {}, validation};
            auto const add = [&](std::vector<model_files> const & from, std::size_t count) {
                for (std::size_t k = 0; k != count; ++k) {
                    in.models.push_back(from[k].weights.get());
                    in.fishers.push_back(from[k].fisher.get());
                    in.grams.push_back(from[k].gram.get());
                }
            };
            add(relevant, mix.relevant);
            add(irrelevant, mix.irrelevant);
            lathe::memory_checkpoint merged(m.name);
            auto const start = std::chrono::steady_clock::now();
            m.merge(be, in, merged);
            r.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
            r.accuracy.push_back(mean_accuracy(be, merged, tests));
        }
        std::fprintf(stderr, "merged: %s\n", m.name.c_str());
        results.push_back(std::move(r));
    }
    print_table(mixtures, results);
    write_chart(out / "merging.svg", mixtures, results);
    std::printf("\nChart: %s\n", (out / "merging.svg").c_str());
}

} // namespace

int main(int argc, char ** argv) {
    CLI::App app{
        "Merge perceptrons trained on views of handwritten digits with every method; print a table, draw a chart."};
    std::filesystem::path data = LATHE_EXAMPLE_DATA "/optdigits.csv", out = "quickstart";
    std::size_t threads = 1;
    app.add_option("--data", data, "the digits")->capture_default_str();
    app.add_option("--out", out, "folder for models and chart")->capture_default_str();
    app.add_option("--threads", threads, "0: one for each processor")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        run(data, out, threads);
    } catch (std::exception const & e) {
        std::cerr << "quickstart: error: " << e.what() << '\n';
        return 1;
    }
}
