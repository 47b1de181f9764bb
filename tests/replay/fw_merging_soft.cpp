#include "backend_runners.hpp"
#include "objectives.hpp"

#include <lathe/compiled.hpp>
#include <lathe/reflect/merge.hpp>

namespace lathe_replay {

namespace {

/// Recorded gradients by step and task; a step begins where the tasks begin again.
template <class B, lathe::real T> class recorded_tasks {
    using table = std::vector<std::vector<std::unique_ptr<lathe::checkpoint>>>;
    lathe::parameter_layout layout_;
    table gradients_;
    std::size_t step_ = 0, last_ = 0;
    bool started_ = false;

public:
    recorded_tasks(lathe::parameter_layout layout, table gradients)
        : layout_{std::move(layout)}, gradients_{std::move(gradients)} {}
    [[nodiscard]] std::size_t size() const { return gradients_.empty() ? 0 : gradients_.front().size(); }
    double value_and_gradient(B & be, std::size_t task, lathe::cvec<B, T>, lathe::vec<B, T> g) {
        if (started_ && task <= last_)
            ++step_;
        started_ = true;
        last_ = task;
        if (step_ >= gradients_.size() || task >= gradients_[step_].size())
            throw failure{"the method asks for a gradient that was not recorded: step " + std::to_string(step_)
                          + ", task " + std::to_string(task)};
        lathe::read_parameters<B, T>(be, layout_, *gradients_[step_][task], g);
        return 0;
    }
};

json recorded(lathe::merge::fw_merging_soft_step const & s, lathe::merge::fw_merging_soft_options const & options,
              std::vector<std::string> const & models, lathe::parameter_layout const & layout) {
    json entry{{"t", s.t},
               {"step", s.step},
               {"gamma", s.gamma},
               {"chosen", json::array()},
               {"score", json::array()},
               {"coef", s.coefficients}};
    for (std::size_t k = 0; k != s.chosen.size(); ++k) {
        if (options.granularity == lathe::merge::granularity::task) {
            entry["chosen"].push_back(models[s.chosen[k].at(0)]);
            entry["score"].push_back(s.score[k].at(0));
            continue;
        }
        json chosen = json::object(), score = json::object();
        for (std::size_t n = 0; n != s.chosen[k].size(); ++n) {
            chosen[layout.tensors()[n].name] = models[s.chosen[k][n]];
            score[layout.tensors()[n].name] = s.score[k][n];
        }
        entry["chosen"].push_back(std::move(chosen));
        entry["score"].push_back(std::move(score));
    }
    return entry;
}

} // namespace

template <class Backend> void add_fw_merging_soft(runner_table & table) {
    add(table, "fw_soft", []<class T>(std::type_identity<T>, selected_backend & be, fixture & f) -> outcome {
        using namespace lathe::merge;
        f.expect_inputs({"models", "base", "task_gradients", "inputs"});
        auto const of_pool = f.take_pool_options();
        auto const options = f.options<fw_merging_soft_options>();
        bool const learns = options.merge_fn == fw_soft_merge_fn::adamerging;
        if (!learns)
            f.expect_inputs({"models", "base", "task_gradients"});
        auto gradients = f.checkpoint_table("task_gradients");
        auto const rows = learns ? f.checkpoint("inputs") : nullptr;
        fixture_pool const inputs(f, of_pool);
        auto const names = f.model_names();
        auto const layout = lathe::parameter_layout::of(inputs.pool);
        recorded_tasks<selected_backend, T> tasks(layout, std::move(gradients));
        outcome out{std::make_unique<lathe::memory_checkpoint>("result"), nullptr, json::array(), {}};
        auto const on_step = [&](fw_merging_soft_step const & step, lathe::cvec<selected_backend, T> const * x) {
            out.trace.push_back(recorded(step, options, names, layout));
            out.states.push_back(snapshot<selected_backend, T>(be, layout, *x));
        };
        using fw_merging_soft = lathe::compiled::minimising<lathe::registry::fw_merging_soft, T, selected_backend>;
        using any_objective = lathe::compiled::any_objective<selected_backend, T>;
        if (learns) {
            auto const iterations = std::max<std::size_t>(options.ada_iters, 1);
            recorded_entropy<selected_backend, T> loss(layout, *rows, options.entropy_eps,
                                                       [iterations](std::size_t call, std::size_t k) {
                return "t" + std::to_string(call / iterations) + ".i" + std::to_string(call % iterations) + ".k"
                       + std::to_string(k);
            });
            any_objective any(tasks, loss);
            fw_merging_soft::run(be, inputs.pool, any, *out.checkpoint, options, {}, on_step);
        } else {
            any_objective any(tasks);
            fw_merging_soft::run(be, inputs.pool, any, *out.checkpoint, options, {}, on_step);
        }
        return out;
    });

    add(table, "adamerging", []<class T>(std::type_identity<T>, selected_backend & be, fixture & f) -> outcome {
        using namespace lathe::merge;
        f.expect_inputs({"models", "base", "inputs"});
        auto const of_pool = f.take_pool_options();
        auto const options = f.options<adamerging_options>();
        auto const rows = f.checkpoint("inputs");
        fixture_pool const inputs(f, of_pool);
        recorded_entropy<selected_backend, T> loss(
            lathe::parameter_layout::of(inputs.pool), *rows, options.entropy_eps,
            [](std::size_t call, std::size_t k) { return "t" + std::to_string(call) + ".k" + std::to_string(k); });
        outcome out{std::make_unique<lathe::memory_checkpoint>("result"), nullptr, json::array(), {}};
        using adamerging = lathe::compiled::minimising<lathe::registry::adamerging, T, selected_backend>;
        lathe::compiled::any_objective<selected_backend, T> any(loss);
        adamerging::run(be, inputs.pool, any, *out.checkpoint, options, {},
                        [&](adamerging_step const & step, auto const *) {
            json coefficients = step.coefficients;
            if (options.level == granularity::task)
                for (auto & row : coefficients)
                    row = json(row.at(0));
            out.trace.push_back({{"t", step.t}, {"loss", step.loss}, {"coef", std::move(coefficients)}});
        });
        return out;
    });
}
template void add_fw_merging_soft<selected>(runner_table &);

} // namespace lathe_replay
