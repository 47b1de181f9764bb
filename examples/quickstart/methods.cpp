#include "methods.hpp"

#include <lathe/merge/adamerging.hpp>
#include <lathe/merge/dare.hpp>
#include <lathe/merge/fisher.hpp>
#include <lathe/merge/frank_wolfe.hpp>
#include <lathe/merge/fw_merging.hpp>
#include <lathe/merge/fw_merging_soft.hpp>
#include <lathe/merge/kinship_search.hpp>
#include <lathe/merge/linear.hpp>
#include <lathe/merge/regmean.hpp>
#include <lathe/merge/slerp.hpp>
#include <lathe/merge/spectral.hpp>
#include <lathe/merge/ties.hpp>

namespace quickstart {
namespace {

namespace merge = lathe::merge;

rows concatenated(std::vector<rows> const & parts) {
    rows all;
    for (auto const & p : parts) {
        all.inputs.insert(all.inputs.end(), p.inputs.begin(), p.inputs.end());
        all.labels.insert(all.labels.end(), p.labels.begin(), p.labels.end());
    }
    return all;
}

/// The mean loss over the validation rows of all tasks.
objective all_tasks(backend & be, ingredients const & in,
                    merge::classifier_loss loss = merge::classifier_loss::cross_entropy) {
    objective f(layout(), layers(), {.loss = loss});
    auto const all = concatenated(in.validation);
    f.set_rows(be, all.inputs, all.labels);
    return f;
}
/// One cross-entropy for each task, for soft FW-Merging.
struct task_losses {
    std::vector<objective> tasks;
    [[nodiscard]] std::size_t size() const { return tasks.size(); }
    double value_and_gradient(backend & be, std::size_t task, lathe::cvec<backend, float> x,
                              lathe::vec<backend, float> g) {
        return tasks[task].value_and_gradient(be, x, g);
    }
};
vector parameters_of(backend & be, lathe::checkpoint & from) {
    auto const l = layout();
    vector x(l.size());
    lathe::read_parameters<backend, float>(be, l, from, lathe::view_of(std::span{x}));
    return x;
}

/// A method that needs the pool only. `with_base` says whether the base is part of it.
template <class F> method plain(std::string name, F f, bool with_base = true) {
    return {std::move(name), false, [](std::size_t) { return true; },
            [f, with_base](backend & be, ingredients const & in, lathe::checkpoint_sink & to) {
        merge::model_pool const pool(with_base ? in.base : nullptr, in.models);
        f(be, pool, to);
    }};
}
/// A method that looks at the validation rows too.
template <class F> method informed(std::string name, bool frank_wolfe, F f) {
    return {std::move(name), frank_wolfe, [](std::size_t) { return true; },
            [f](backend & be, ingredients const & in, lathe::checkpoint_sink & to) {
        merge::model_pool const pool(in.base, in.models);
        f(be, pool, in, to);
    }};
}

} // namespace

std::vector<method> methods() {
    using sink = lathe::checkpoint_sink;
    using pool = merge::model_pool;
    std::vector<method> all;
    all.push_back(plain("average", [](backend & be, pool const & p, sink & to) { merge::average(be, p, to); }, false));
    all.push_back(plain("task arithmetic, 0.3", [](backend & be, pool const & p, sink & to) {
        merge::task_arithmetic(be, p, to, {.scaling = 0.3});
    }));
    all.push_back(informed("task arithmetic, best on validation", false,
                           [](backend & be, pool const & p, ingredients const & in, sink & to) {
        auto f = all_tasks(be, in);
        double best = -1, scaling = 0;
        for (double const s : {0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0}) {
            lathe::memory_checkpoint trial;
            merge::task_arithmetic(be, p, trial, {.scaling = s});
            auto const x = parameters_of(be, trial);
            if (auto const a = f.accuracy(be, lathe::view_of(std::span{x})); a > best) {
                best = a;
                scaling = s;
            }
        }
        merge::task_arithmetic(be, p, to, {.scaling = scaling});
    }));
    all.push_back(plain("TIES, whole model", [](backend & be, pool const & p, sink & to) {
        merge::ties(be, p, to, {.variant = merge::ties_variant::fusion_bench, .threshold = 20});
    }));
    all.push_back(plain("TIES, by tensor", [](backend & be, pool const & p, sink & to) {
        merge::ties(be, p, to, {.variant = merge::ties_variant::mergekit, .density = {0.2}});
    }));
    all.push_back(plain("DARE, task arithmetic", [](backend & be, pool const & p, sink & to) {
        merge::dare(be, p, to, {.drop = 0.5, .then = merge::dare_then::task_arithmetic, .scaling = 0.3});
    }));
    all.push_back(plain("DARE, TIES", [](backend & be, pool const & p, sink & to) {
        merge::dare(be, p, to, {.variant = merge::dare_variant::mergekit, .drop = 0.5, .then = merge::dare_then::ties});
    }));
    all.push_back(plain("SLERP", [](backend & be, pool const & p, sink & to) { merge::slerp(be, p, to); }, false));
    all.back().applies = [](std::size_t models) { return models == 2; };
    all.push_back(informed("Fisher", false, [](backend & be, pool const & p, ingredients const & in, sink & to) {
        merge::fisher(be, p, in.fishers, to);
    }));
    all.push_back(informed("RegMean", false, [](backend & be, pool const & p, ingredients const & in, sink & to) {
        merge::regmean(be, p, in.grams, to, {.reduce_non_diagonal_ratio = 0.9, .ridge = 1e-6});
    }));
    all.push_back(plain("TSV-M", [](backend & be, pool const & p, sink & to) { merge::tsv(be, p, to); }));
    all.push_back(plain("Iso-C", [](backend & be, pool const & p, sink & to) { merge::iso_c(be, p, to); }));
    all.push_back(plain("Iso-CTS", [](backend & be, pool const & p, sink & to) { merge::iso_cts(be, p, to); }));
    all.push_back(informed("top-k greedy with kinship", false,
                           [](backend & be, pool const & p, ingredients const & in, sink & to) {
        auto f = all_tasks(be, in);
        merge::kinship_search(be, p, [&](lathe::checkpoint & candidate) {
            auto const x = parameters_of(be, candidate);
            return f.accuracy(be, lathe::view_of(std::span{x}));
        }, to, {.k = 3, .max_gen = 4});
    }));
    for (auto const level : {merge::granularity::task, merge::granularity::layer})
        all.push_back(informed(level == merge::granularity::task ? "AdaMerging, by task" : "AdaMerging, by tensor",
                               false, [level](backend & be, pool const & p, ingredients const & in, sink & to) {
            auto f = all_tasks(be, in, merge::classifier_loss::entropy);
            merge::adamerging(be, p, f, to, {.level = level, .lr = 1e-3, .init = 0.1, .steps = 200});
        }));
    for (auto const granularity : {merge::granularity::task, merge::granularity::layer})
        all.push_back(informed(granularity == merge::granularity::task ? "FW-Merging, published, by task"
                                                                       : "FW-Merging, published, by tensor",
                               true, [granularity](backend & be, pool const & p, ingredients const & in, sink & to) {
            auto f = all_tasks(be, in);
            merge::fw_merging(be, p, f, to, {.variant = merge::fw_variant::fusion_bench, .granularity = granularity});
        }));
    all.push_back(informed("FW-Merging, published, soft", true,
                           [](backend & be, pool const & p, ingredients const & in, sink & to) {
        task_losses losses;
        for (auto const & v : in.validation) {
            losses.tasks.emplace_back(layout(), layers());
            losses.tasks.back().set_rows(be, v.inputs, v.labels);
        }
        merge::fw_merging_soft(be, p, losses, to);
    }));
    for (auto const granularity : {merge::granularity::task, merge::granularity::layer})
        all.push_back(informed(granularity == merge::granularity::task ? "Frank-Wolfe over the hull"
                                                                       : "Frank-Wolfe over the hull, by tensor",
                               true, [granularity](backend & be, pool const & p, ingredients const & in, sink & to) {
            auto f = all_tasks(be, in);
            // The base is a vertex too: what was there before the fine-tuning stays in reach.
            auto vertices = in.models;
            vertices.push_back(in.base);
            pool const hull(nullptr, vertices);
            (void)p;
            merge::frank_wolfe(be, hull, f, to,
                               {.method = merge::frank_wolfe_method::away,
                                .granularity = granularity,
                                .iters = 60,
                                .gap_tolerance = 1e-3});
        }));
    return all;
}

vector fisher_diagonal(backend & be, vector const & parameters, rows const & data) {
    objective f(layout(), layers());
    vector gradient(parameters.size()), mean(parameters.size(), 0.0f);
    auto const scale = 1.0f / static_cast<float>(data.size());
    auto const add_square = [](auto const & sum, auto const & g, auto const & s) { return sum + s * g * g; };
    for (std::size_t r = 0; r != data.size(); ++r) {
        auto const row = data.part(r, 1);
        f.set_rows(be, row.inputs, row.labels);
        f.value_and_gradient(be, lathe::view_of(std::span{parameters}), lathe::view_of(std::span{gradient}));
        auto const m = lathe::view_of(std::span{mean});
        lathe::ops::map<float>(be, add_square, m, m, lathe::view_of(std::span{gradient}), scale);
    }
    return mean;
}

std::unique_ptr<lathe::memory_checkpoint> gram_matrices(backend & be, vector const & parameters, rows const & data) {
    auto const l = layout();
    auto const n = data.size();
    auto const tensor = [&](std::string const & name) {
        return l.slice(lathe::view_of(std::span{parameters}), l.find(name));
    };
    // The inputs of the second layer: the rows through the first.
    vector activations(n * hidden);
    for (std::size_t r = 0; r != n; ++r)
        std::copy_n(tensor("hidden.bias").data, hidden, activations.begin() + static_cast<std::ptrdiff_t>(r * hidden));
    auto const x = lathe::mat_view(data.inputs.data(), n, pixels);
    auto const a = lathe::mat_view(activations.data(), n, hidden);
    lathe::ops::gemm(be, lathe::op::none, lathe::op::transpose, 1.0f, x,
                     lathe::as_matrix(tensor("hidden.weight"), hidden, pixels), 1.0f, a);
    for (auto & v : activations)
        v = std::max(v, 0.0f);
    auto grams = std::make_unique<lathe::memory_checkpoint>("gram matrices");
    auto const add = [&](std::string const & name, auto const & inputs, std::size_t width) {
        vector gram(width * width);
        lathe::ops::gemm(be, lathe::op::transpose, lathe::op::none, 1.0f / static_cast<float>(n), inputs, inputs, 0.0f,
                         lathe::mat_view(gram.data(), width, width));
        grams->set<float>(name, {width, width}, gram);
    };
    add("hidden.weight", x, pixels);
    add("output.weight", a, hidden);
    return grams;
}

} // namespace quickstart
