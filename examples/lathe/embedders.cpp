#include "embedders.hpp"

#include "../minilm/model.hpp"
#include "backends.hpp"
#include "files.hpp"
#include "interrupt.hpp"
#include "minilm_job.hpp"
#include "progress_bar.hpp"

#include <lathe/evaluate/hashing_embedder.hpp>

namespace lathe_cli {

namespace {
template <class... Backends> auto minilm_runners(backend_list<Backends...>) {
    return by_backend<decltype(&run_minilm<backends::eigen>)>{{Backends::name, &run_minilm<Backends>}...};
}
} // namespace

void expect_model_of_minilm(embedder_choice embedder, std::string const & model) {
    if (embedder != embedder_choice::minilm && !model.empty())
        throw usage_error{"--model: found with --embedder " + std::string{lathe::reflect::name_of(embedder)}
                          + ", expected --embedder minilm"};
}

lathe::evaluate::embedding_table embed_texts(std::span<std::string const> texts, embedder_choice embedder,
                                             std::string const & model, run_settings const & how) {
    if (embedder == embedder_choice::hashing)
        return lathe::evaluate::hashed_embeddings(texts);
    auto const compute = choose_backend(how.backend, minilm_runners(built_backends{}));
    auto const folder = model.empty() ? minilm::default_folder() : fs::path{model};
    minilm::expect_installed(folder);
    auto const weights = open_input((folder / "model.safetensors").string());
    auto const sentences = minilm::tokens_of(texts, minilm::open_vocabulary(folder));
    progress_bar bar("embeddings", 0, how.quiet);
    catch_interrupts();
    return compute({*weights.file, sentences, how.threads, backend_choice{how.backend}.device, bar});
}

} // namespace lathe_cli
