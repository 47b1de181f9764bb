#include "backend_runners.hpp"
#include "compare.hpp"
#include "objectives.hpp"

#include <lathe/compiled.hpp>

#include <cmath>

namespace lathe_replay {

namespace {

/// What belongs to the blocks: a value, or of several blocks, which are the tensors, an object by their names.
template <class F> json by_block(std::size_t blocks, lathe::parameter_layout const & layout, F && value) {
    if (blocks == 1)
        return value(0);
    auto all = json::object();
    for (std::size_t b = 0; b != blocks; ++b)
        all[layout.tensors()[b].name] = value(b);
    return all;
}
json recorded(lathe::merge::frank_wolfe_iteration const & s, lathe::parameter_layout const & layout) {
    auto const each = [&](auto && value) { return by_block(s.blocks.size(), layout, value); };
    return {{"t", s.t},
            {"vertex", each([&](std::size_t b) { return json(s.blocks[b].direction.vertex); })},
            {"away", each([&](std::size_t b) {
        auto const & away = s.blocks[b].direction.away;
        return away ? json(*away) : json(nullptr);
    })},
            {"kind", each([&](std::size_t b) { return json(lathe::reflect::name_of(s.blocks[b].direction.kind)); })},
            {"gap", s.gap},
            {"gamma", each([&](std::size_t b) { return json(s.blocks[b].gamma); })},
            {"f", s.f},
            {"alpha", each([&](std::size_t b) { return json(s.weights[b]); })}};
}

/// What rounding x to T does to f = |x - y|_w^2 / 2 near its minimum, besides what the digits of the records allow: x
/// moves by half a unit in the last place of its elements, all in all |y| eps / 2, along a gradient of norm sqrt(2 f);
/// steps that build on each other make it four times as much.
template <lathe::real T>
double rounding_of_objective(json const & expected, lathe::parameter_layout const & layout, lathe::checkpoint & target,
                             std::map<std::string, double> const & weights) {
    double squares = 0;
    lathe::window_buffer buffer;
    for (auto const & info : layout.tensors()) {
        auto const i = target.find(info.name);
        if (!i)
            continue; // the objective says so
        auto const & found = target.tensors()[*i];
        std::vector<double> y(found.count());
        lathe::host::load(found.type, target.read(*i, 0, found.bytes(), buffer).data(), y.size(), y.data());
        auto const weight = weights.find(info.name);
        for (auto const v : y)
            squares += (weight == weights.end() ? 1.0 : weight->second) * v * v;
    }
    auto const optimum = expected.at("optimum").at("f").template get<double>();
    return 1e-10 + 2 * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::sqrt(squares * 2 * optimum);
}

/// What must hold on a long run: how far from the optimum it ends, and that the gap is never below the distance to it.
template <class Run>
void check_convergence(json const & expected, lathe::merge::frank_wolfe_options options, double rounding, Run && run) {
    auto const & rule = expected.at("converge");
    auto const optimum = expected.at("optimum").at("f").get<double>();
    options.iters = rule.at("iters").get<std::size_t>();
    options.gap_tolerance = 0;
    auto const result = run(options, [&](lathe::merge::frank_wolfe_iteration const & s, auto const *) {
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
        f.expect_inputs({"models", "base", "target"});
        auto const of_pool = f.take_pool_options();
        if (auto const objective = f.take_option("objective"); objective != json("quadratic"))
            throw failure{"objective " + objective.dump() + " is unknown"};
        std::map<std::string, double> weights;
        if (auto const given = f.take_option("tensor_weights"); !given.is_null())
            weights = given.get<std::map<std::string, double>>();
        auto options = f.options<frank_wolfe_options>();
        if (!f.has_option("gap_tolerance")) // as many steps as were recorded
            options.gap_tolerance = 0;
        auto const target = f.checkpoint("target");
        fixture_pool const inputs(f, of_pool);
        auto const layout = lathe::parameter_layout::of(inputs.pool);
        quadratic_distance<selected_backend, T> objective(layout, *target, weights);

        outcome out{std::make_unique<lathe::memory_checkpoint>("result"), nullptr, json::array(), {}};
        using frank_wolfe = lathe::compiled::minimising_distance<T, selected_backend>;
        auto const result = frank_wolfe::streamed(
            be, inputs.pool, objective, *out.checkpoint, options, {},
            [&](auto const & step, auto const *) { out.trace.push_back(recorded(step, layout)); });
        auto const values = [&](frank_wolfe_result const & r) {
            auto const alpha = by_block(r.weights.size(), layout, [&](std::size_t b) { return json(r.weights[b]); });
            return json{{"alpha", alpha}, {"f", r.objective}};
        };
        out.values = values(result);

        // The way over the products of all pairs of models must come to the same.
        auto trace = json::array();
        lathe::memory_checkpoint other{"result of frank_wolfe_gram"};
        auto const from_products = frank_wolfe::from_products(
            be, inputs.pool, objective, other, options, {},
            [&](auto const & step, auto const *) { trace.push_back(recorded(step, layout)); });
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
            if (expected.contains("converge")) {
                auto const rounding = rounding_of_objective<T>(expected, layout, *target, weights);
                for (auto * const way : {&frank_wolfe::streamed, &frank_wolfe::from_products})
                    check_convergence(expected, options, rounding,
                                      [&](frank_wolfe_options const & long_run, auto && on_step) {
                        lathe::memory_checkpoint unused;
                        return way(be, inputs.pool, objective, unused, long_run, {}, on_step);
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
