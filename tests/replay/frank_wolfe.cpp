#include "compare.hpp"
#include "objectives.hpp"
#include "selected_backend.hpp"

#include <lathe/merge/quadratic.hpp>
#include <lathe/reflect/merge.hpp>

namespace lathe_replay {

namespace {

json recorded(lathe::merge::frank_wolfe_iteration const & s) {
    auto const & block = s.blocks.at(0);
    auto const & d = block.direction;
    return {{"t", s.t},
            {"vertex", d.vertex},
            {"away", d.away ? json(*d.away) : json(nullptr)},
            {"kind", lathe::reflect::name_of(d.kind)},
            {"gap", s.gap},
            {"gamma", block.gamma},
            {"f", s.f},
            {"alpha", s.weights.at(0)}};
}

/// What must hold on a long run: how far from the optimum it ends, and that the gap is never below the distance to it.
template <class Run>
void check_convergence(json const & expected, lathe::merge::frank_wolfe_options options, double rounding, Run && run) {
    auto const & rule = expected.at("converge");
    auto const optimum = expected.at("optimum").at("f").get<double>();
    options.iters = rule.at("iters").get<std::size_t>();
    options.gap_tolerance = 0;
    auto const result = run(options, [&](lathe::merge::frank_wolfe_iteration const & s, auto &&...) {
        if (rule.value("gap_is_upper_bound", false) && s.certified && s.gap < s.f - optimum - rounding)
            throw failure{"long run: at step " + std::to_string(s.t) + " the gap " + json(s.gap).dump()
                          + " is below f - f* = " + json(s.f - optimum).dump()};
    });
    if (auto const bound = rule.at("f_minus_fstar_at_most").get<double>();
        result.objective - optimum > bound + rounding)
        throw failure{"long run: f - f* is " + json(result.objective - optimum).dump() + ", expected at most "
                      + json(bound).dump()};
    for (auto const & [key, value] : rule.items())
        if (key != "iters" && key != "gap_is_upper_bound" && key != "f_minus_fstar_at_most")
            throw failure{"expected.converge: unknown property " + key};
}

} // namespace

template <class Backend> void add_frank_wolfe(runner_table & table) {
    add(table, "fw_classic", []<class T>(std::type_identity<T>, selected_backend & be, fixture & f) -> outcome {
        using namespace lathe::merge;
        fixture_pool const inputs(f);
        if (auto const objective = f.take_option("objective"); objective != json("quadratic"))
            throw failure{"objective " + objective.dump() + " is unknown"};
        std::map<std::string, double> weights;
        if (auto const given = f.take_option("tensor_weights"); !given.is_null())
            weights = given.get<std::map<std::string, double>>();
        auto const options = f.options<frank_wolfe_options>();
        auto const target = f.checkpoint("target");
        quadratic_distance<selected_backend, T> objective(lathe::parameter_layout::of(inputs.pool), *target, weights);

        outcome out{std::make_unique<lathe::memory_checkpoint>("result"), nullptr, json::array(), {}};
        auto const result = frank_wolfe<T>(
            be, inputs.pool, objective, *out.checkpoint, options, lathe::control<>{},
            [&](frank_wolfe_iteration const & step, auto &&...) { out.trace.push_back(recorded(step)); });
        auto const values = [&](frank_wolfe_result const & r) {
            return json{{"alpha", r.weights.at(0)}, {"f", r.objective}};
        };
        out.values = values(result);

        // The way over the products of all pairs of models must come to the same.
        auto trace = json::array();
        lathe::memory_checkpoint other{"result of frank_wolfe_gram"};
        auto const from_products = frank_wolfe_gram<T>(
            be, inputs.pool, objective, other, options, lathe::control<>{},
            [&](frank_wolfe_iteration const & step, auto &&...) { trace.push_back(recorded(step)); });
        auto const t = f.tolerance();
        auto problem = difference(trace, out.trace, t, "frank_wolfe_gram: trace");
        if (!problem)
            problem = difference(values(from_products), out.values, t, "frank_wolfe_gram");
        if (!problem)
            problem = difference(other, *out.checkpoint, t);
        if (problem)
            throw failure{*problem};

        if (f.expects("json")) {
            auto const expected = f.expected_json("json");
            auto const rounding = std::same_as<T, double> ? 1e-10 : 1e-7;
            if (expected.contains("converge")) {
                check_convergence(expected, options, rounding,
                                  [&](frank_wolfe_options const & long_run, auto && on_step) {
                    lathe::memory_checkpoint unused;
                    return frank_wolfe<T>(be, inputs.pool, objective, unused, long_run, lathe::control<>{}, on_step);
                });
                check_convergence(expected, options, rounding,
                                  [&](frank_wolfe_options const & long_run, auto && on_step) {
                    lathe::memory_checkpoint unused;
                    return frank_wolfe_gram<T>(be, inputs.pool, objective, unused, long_run, lathe::control<>{},
                                               on_step);
                });
            }
            for (auto const * const key :
                 {"converge", "optimum"}) // not values of this run; the properties above are about them
                if (expected.contains(key))
                    out.values[key] = expected[key];
        }
        return out;
    });
}
template void add_frank_wolfe<selected>(runner_table &);

} // namespace lathe_replay
