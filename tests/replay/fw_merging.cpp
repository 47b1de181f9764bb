#include "backend_runners.hpp"
#include "objectives.hpp"

#include <lathe/compiled.hpp>
#include <lathe/merge/zero_filled.hpp>
#include <lathe/reflect/merge.hpp>

namespace lathe_replay {

namespace {

/// A trace entry as it was recorded: candidates and tensors by name.
json recorded(lathe::merge::fw_merging_step const & s, std::vector<std::string> const & candidates,
              lathe::parameter_layout const & layout, bool by_layer) {
    auto const name = [&](std::optional<std::size_t> c) { return c ? json(candidates[*c]) : json(nullptr); };
    json alignment = json::object(), chosen = json::object(), score = json::object();
    for (std::size_t n = 0; n != layout.tensors().size(); ++n) {
        auto const & tensor = layout.tensors()[n].name;
        for (std::size_t c = 0; c != candidates.size(); ++c)
            alignment[candidates[c]][tensor] = s.alignment[c][n];
        if (by_layer) {
            chosen[tensor] = name(s.chosen[n]);
            score[tensor] = s.score[n];
        }
    }
    json entry{{"t", s.t},       {"chosen", chosen}, {"score", score}, {"sums", nullptr}, {"alignment", alignment},
               {"step", s.step}, {"gamma", s.gamma}};
    if (!by_layer) {
        entry["chosen"] = name(s.chosen.at(0));
        entry["score"] = s.score.at(0);
        for (std::size_t c = 0; c != candidates.size(); ++c)
            entry["sums"][candidates[c]] = s.sums[c];
    }
    return entry;
}

} // namespace

template <class Backend> void add_fw_merging(runner_table & table) {
    add(table, "fw_hard", []<class T>(std::type_identity<T>, selected_backend & be, fixture & f) -> outcome {
        using namespace lathe::merge;
        f.expect_inputs({"models", "base", "gradients"});
        auto const of_pool = f.take_pool_options();
        auto const options = f.options<fw_merging_options>();
        auto names = f.model_names();
        if (options.include_initial)
            names.emplace_back("initial");

        // Adapters need not have the same tensors; nothing else is changed by this.
        bool const adapters = options.variant == fw_variant::fwm_lora;
        auto const files = f.checkpoints("models");
        std::vector<std::unique_ptr<lathe::checkpoint>> models;
        auto const base = f.has_input("base") ? f.checkpoint("base") : nullptr;
        auto sources = pointers(files);
        if (adapters) {
            auto const tensors = all_tensors(sources);
            for (auto & source : sources) {
                models.push_back(std::make_unique<zero_filled_checkpoint>(*source, tensors));
                source = models.back().get();
            }
        }
        auto const gradients = f.checkpoints("gradients");
        model_pool const pool(base.get(), sources, of_pool);
        auto const layout = lathe::parameter_layout::of(pool);
        recorded_gradients<selected_backend, T> objective(layout, pointers(gradients));

        outcome out{std::make_unique<lathe::memory_checkpoint>("result"), nullptr, json::array(), {}};
        using fw_merging = lathe::compiled::minimising<lathe::registry::fw_merging, T, selected_backend>;
        lathe::compiled::any_objective<selected_backend, T> any(objective);
        fw_merging::run(be, pool, any, *out.checkpoint, options, {},
                        [&](fw_merging_step const & step, lathe::cvec<selected_backend, T> const * x) {
            out.trace.push_back(recorded(step, names, layout, options.granularity == lathe::merge::granularity::layer));
            out.states.push_back(snapshot<selected_backend, T>(be, layout, *x));
        });
        return out;
    });
}
template void add_fw_merging<selected>(runner_table &);

} // namespace lathe_replay
