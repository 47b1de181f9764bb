// Every method of the registry that needs no more than checkpoints, on one backend: four models of one tensor, and a
// base.
#include "arrays.hpp"
#include "reused_sink.hpp"
#include "selected_backend.hpp"

#include <lathe/compiled.hpp>

namespace {

using namespace lathe_bench;
using backend = lathe::compiled::selected_backend;

constexpr std::size_t models = 4, columns = 1024;

/// Rows of a matrix of so many columns, in memory.
std::unique_ptr<lathe::borrowed_checkpoint> model(lathe::dtype type, std::size_t which, std::size_t rows) {
    auto c = std::make_unique<lathe::borrowed_checkpoint>("model " + std::to_string(which));
    c->add({"weight", type, {rows, columns}}, array(type, which).first(rows * columns * size_of(type)));
    return c;
}

template <class Method> void add(lathe::dtype type, std::size_t threads) {
    if constexpr (!Method::files_required) {
        auto label = std::string{lathe::compiled::selected::name} + "/" + std::string{Method::name} + "/"
                     + std::string{name_of(type)} + "/" + std::to_string(threads);
        benchmark::RegisterBenchmark(label.c_str(),
                                     [=](benchmark::State & state) {
            bool const pair = Method::name == "slerp",
                       decomposes = Method::name == "tsv" || Method::name.starts_with("iso");
            auto const rows = decomposes ? 256 : elements / columns;
            std::vector<std::unique_ptr<lathe::borrowed_checkpoint>> files;
            std::vector<lathe::checkpoint *> list;
            for (std::size_t k = 0; k != (pair ? 2 : models); ++k)
                list.push_back(files.emplace_back(model(type, k, rows)).get());
            auto const base = model(type, models, rows);
            bool const needs_base = Method::base == lathe::registry::base_use::required;
            lathe::merge::model_pool const pool(needs_base ? base.get() : nullptr, list);
            auto be = lathe::compiled::make_backend<backend>(threads);
            lathe::memory_checkpoint merged;
            auto const work = [&] { lathe::compiled::merging<Method, float, backend>::run(be, pool, {}, merged, {}); };
            work();
            for (auto _ : state)
                work();
            report(state, (list.size() + needs_base + 1) * rows * columns * size_of(type));
        })
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
    }
}

[[maybe_unused]] bool const registered = [] {
    for (auto const type : {lathe::dtype::f32, lathe::dtype::bf16})
        lathe::registry::for_each_method(lathe::registry::merging_methods,
                                         [&]<class Method>(std::type_identity<Method>) {
            add<Method>(type, 1);
            if (std::constructible_from<backend, std::size_t>)
                add<Method>(type, 2);
        });
    return true;
}();

} // namespace
