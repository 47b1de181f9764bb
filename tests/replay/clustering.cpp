/// \file  Clustering against what was recorded (docs/clustering.md): in double to the recorded tolerance, and in float
///        to fifty times the deviation that was observed in float where one is recorded.
#include "backend_runners.hpp"
#include "watermark.hpp"

#include <lathe/cluster/streaming.hpp>
#include <lathe/cluster/validity.hpp>
#include <lathe/reflect/fields.hpp>

namespace lathe_replay {
namespace {

namespace cluster = lathe::cluster;
using B = selected_backend;

template <class T> using matrix = resident_matrix<B, T>;

template <class T>
std::vector<double> memberships_of(B & be, matrix<T> & x, std::span<double const> centres, double m,
                                   cluster::metric metric = cluster::metric::euclidean) {
    matrix<T> u(be, x.rows, centres.size() / x.cols);
    cluster::memberships<T>(be, x.view(), centres, u.view(), m, metric);
    return u.values(be);
}

/// What is close enough in T; nothing if the case says nothing about T.
template <class T>
std::optional<double> tolerance_of(array_fixture const & f, std::string const & tag, std::string const & plain) {
    auto const & t = f.tolerance();
    if constexpr (std::same_as<T, double>)
        return t.contains("C_U_float64_m" + tag) ? t.at("C_U_float64_m" + tag).template get<double>()
               : t.contains(plain)               ? t.at(plain).template get<double>()
                                                 : 1e-10;
    if (auto const name = "observed_gram_float32_m" + tag; t.contains(name))
        return std::max(1e-5, 50 * t.at(name).template get<double>());
    return std::nullopt;
}
std::vector<double> fuzzifiers(array_fixture const & f) {
    auto const & m = f.params().at("m");
    return m.is_array() ? m.get<std::vector<double>>() : std::vector<double>{m.get<double>()};
}
cluster::clustering_inputs start_of(array_fixture const & f, number_array & weights, number_array & centres,
                                    number_array & memberships) {
    cluster::clustering_inputs in;
    if (f.inputs().contains("w"))
        in.weights = (weights = f.input("w")).values;
    if (f.inputs().contains("C0"))
        in.centres = (centres = f.input("C0")).values;
    if (f.inputs().contains("U0"))
        in.memberships = (memberships = f.input("U0")).values;
    return in;
}
std::size_t clusters_of(cluster::clustering_inputs const & in, std::size_t points, std::size_t dimensions) {
    return in.memberships.empty() ? in.centres.size() / dimensions : in.memberships.size() / points;
}

/// Centres, memberships and objectives after so many iterations.
template <class T> void fit(B & be, array_fixture const & f, cluster::metric metric) {
    matrix<T> x(be, f.input("X"));
    number_array w, c0, u0;
    auto const in = start_of(f, w, c0, u0);
    for (auto const m : fuzzifiers(f)) {
        auto const tag = tag_of(m);
        auto const tolerance = tolerance_of<T>(f, tag, "C");
        if (!tolerance)
            continue;
        auto const & asked = f.params().at("iterations");
        auto const listed = asked.is_array() ? asked.template get<std::vector<std::size_t>>()
                                             : std::vector<std::size_t>{asked.template get<std::size_t>()};
        bool const bare = f.expected().contains("C"); // one fuzzifier, one number of iterations
        auto const of = [&](std::string const & name) { return bare ? name : name + "_m" + tag; };
        auto const series = [&](std::string const & name) {
            return f.expected().contains(of(name)) ? f.expected_array(of(name)).values : std::vector<double>{};
        };
        auto const objective = series("J"), mixed = series("Jmixed"), change = series("delta_abs_sum");
        std::vector<std::size_t> iterations = listed;
        if (objective.size() > listed.size()) // of every iteration
            for (std::size_t t = 1; t <= objective.size(); ++t)
                if (std::ranges::find(listed, t) == listed.end())
                    iterations.push_back(t);
        std::size_t seen = 0;
        for (auto const t : iterations) {
            auto const r = cluster::fuzzy_c_means<T>(be, x.view(), in,
                                                     {.clusters = clusters_of(in, x.rows, x.cols),
                                                      .fuzzifier = m,
                                                      .metric = metric,
                                                      .stop = cluster::stopping::abs_sum,
                                                      .tolerance = 0,
                                                      .max_iterations = t});
            auto const at = "m = " + tag + ", iteration " + std::to_string(t) + ": ";
            auto const name = bare ? "" : "_m" + tag + "_it" + std::to_string(t);
            if (f.expected().contains("C" + name)) {
                ++seen;
                expect_close(at + "C", r.centres, f.expected_array("C" + name).values, *tolerance);
            }
            if (f.expected().contains("U" + name)) {
                auto const u = memberships_of(be, x, r.centres, m, metric);
                auto const expected = f.expected_array("U" + name).values; // of the first points
                if (expected.size() > u.size())
                    throw failure{at + "U: more rows than points"};
                expect_close(at + "U", std::span{u}.first(expected.size()), expected, *tolerance);
            }
            auto const index = objective.size() > listed.size()
                                   ? t - 1
                                   : static_cast<std::size_t>(std::ranges::find(listed, t) - listed.begin());
            if (index < objective.size())
                expect_close(at + "J", r.objective, objective[index], *tolerance, *tolerance);
            if (index < mixed.size())
                expect_close(at + "Jmixed", r.mixed_objective, mixed[index], *tolerance, *tolerance);
            if (index < change.size())
                expect_close(at + "sum of changes", r.residual, change[index], *tolerance * static_cast<double>(x.rows),
                             *tolerance);
        }
        if (seen == 0)
            throw failure{"no centres are recorded for m = " + tag};
    }
}

void stop_rules(B & be, array_fixture const & f) {
    matrix<double> x(be, f.input("X"));
    number_array w, c0, u0;
    auto const in = start_of(f, w, c0, u0);
    std::size_t seen = 0;
    for (auto const & [key, value] : f.expected().items()) {
        std::string_view rest = key; // n_iter_m1.1_abs_sum_0.001
        if (!rest.starts_with("n_iter_m"))
            continue;
        rest.remove_prefix(8);
        auto const first = rest.find('_'), last = rest.rfind('_');
        auto const m = std::stod(std::string{rest.substr(0, first)}),
                   eps = std::stod(std::string{rest.substr(last + 1)});
        auto const rule = rest.substr(first + 1, last - first - 1);
        auto const stop = lathe::reflect::enumerator_named<cluster::stopping>(rule);
        if (!stop)
            throw failure{key + ": no such rule"};
        auto const r = cluster::fuzzy_c_means<double>(be, x.view(), in,
                                                      {.clusters = clusters_of(in, x.rows, x.cols),
                                                       .fuzzifier = m,
                                                       .stop = *stop,
                                                       .tolerance = eps,
                                                       .max_iterations = 10000});
        auto const delta = f.expected_number("delta_m" + std::string{rest});
        if (std::abs(delta - eps) > 1e-6 * eps)
            expect_equal(key, r.iterations, value.get<std::size_t>());
        expect_close(key + ": residual", r.residual, delta, 1e-6 * eps, 1e-6);
        ++seen;
    }
    if (seen == 0)
        throw failure{"no rule is recorded"};
}

void collapse(B & be, array_fixture const & f) {
    matrix<double> x(be, f.input("X"));
    number_array w, c0, u0;
    auto const in = start_of(f, w, c0, u0);
    auto const bound = cluster::collapse_bound<double>(be, x.view());
    auto const tolerance = f.tolerance().at("lambda_max").get<double>();
    expect_close("lambda", bound.lambda, f.expected_number("lambda_max"), tolerance);
    expect_close("fuzzifier", bound.fuzzifier, f.expected_number("m_star"), 10 * tolerance);
    auto const merged = f.tolerance().at("collapsed_means_distance_below").get<double>();
    for (auto const & [key, value] : f.expected().items()) {
        static constexpr std::string_view name = "min_centre_distance_m";
        if (!std::string_view{key}.starts_with(name))
            continue;
        auto const m = std::stod(key.substr(name.size()));
        auto const r = cluster::fuzzy_c_means<double>(be, x.view(), in,
                                                      {.clusters = f.params().at("K").get<std::size_t>(),
                                                       .fuzzifier = m,
                                                       .stop = cluster::stopping::abs_sum,
                                                       .tolerance = 1e-9,
                                                       .max_iterations = 300});
        bool const collapsed = value.get<double>() < merged;
        if (collapsed != (m >= bound.fuzzifier))
            throw failure{key + ": the bound " + std::to_string(bound.fuzzifier) + " says otherwise"};
        if (collapsed ? r.separation >= merged : r.separation <= 0.5)
            throw failure{key + ": found " + std::to_string(r.separation)};
        auto const pairs = cluster::distances_between(r.centres, x.cols, merged).duplicates.size();
        expect_equal(key + ": merged pairs", pairs,
                     collapsed ? r.options.clusters * (r.options.clusters - 1) / 2 : std::size_t{0});
    }
}

void empty_column(B & be, array_fixture const & f) {
    matrix<double> x(be, f.input("X"));
    auto const u = f.input("U"), before = f.input("C_prev");
    auto const r = cluster::fuzzy_c_means<double>(
        be, x.view(), {.centres = before.values, .memberships = u.values},
        {.clusters = u.extent(1), .fuzzifier = fuzzifiers(f)[0], .tolerance = 0, .max_iterations = 1});
    expect_close("C", r.centres, f.expected_array("C").values, f.tolerance().at("C").get<double>());
}

void streaming(B & be, array_fixture const & f) {
    auto const all = f.input("X"), c0 = f.input("C0"), expected = f.expected_array("C_after_each_batch");
    auto const batch = f.params().at("batch").get<std::size_t>();
    matrix<double> x(be, all);
    cluster::streaming_fuzzy_c_means<B, double> stream(
        c0.values, c0.extent(0),
        {.fuzzifier = fuzzifiers(f)[0], .forget = f.params().at("rho"), .prior = f.params().at("prior")});
    auto const tolerance = f.tolerance().at("C").get<double>();
    for (std::size_t i = 0; i * batch < x.rows; ++i) {
        auto const rows = std::min(batch, x.rows - i * batch);
        stream.add(be, lathe::mat<B, double>(x.view().row(i * batch).data, rows, x.cols));
        expect_close("C after batch " + std::to_string(i), stream.centres(), expected.part(i).values, tolerance);
    }
    expect_close("n", stream.weights(), f.expected_array("n").values, 0, tolerance);
}

void single_pass(B & be, array_fixture const & f) {
    auto const all = f.input("X"), c0 = f.input("C0"), expected = f.expected_array("C_after_each_chunk"),
               masses = f.expected_array("carried_weight");
    auto const chunk = f.params().at("chunk").get<std::size_t>();
    matrix<double> x(be, all);
    cluster::single_pass_fuzzy_c_means<B, double> pass(
        c0.values, c0.extent(0), {.fuzzifier = fuzzifiers(f)[0], .iterations = f.params().at("iterations_per_chunk")});
    auto const tolerance = f.tolerance().at("C").get<double>();
    for (std::size_t i = 0; i * chunk < x.rows; ++i) {
        auto const rows = std::min(chunk, x.rows - i * chunk);
        pass.add(be, lathe::mat<B, double>(x.view().row(i * chunk).data, rows, x.cols));
        expect_close("C after chunk " + std::to_string(i), pass.centres(), expected.part(i).values, tolerance);
        expect_close("weight after chunk " + std::to_string(i), pass.masses(), masses.part(i).values, tolerance,
                     tolerance);
    }
}

void predict(B & be, array_fixture const & f) {
    matrix<double> x(be, f.input("X"));
    auto const c = f.input("C");
    for (auto const m : fuzzifiers(f))
        expect_close("U, m = " + tag_of(m), memberships_of(be, x, c.values, m),
                     f.expected_array("U_m" + tag_of(m)).values, f.tolerance().at("U").get<double>());
}

void seeding(B & be, array_fixture const & f) {
    matrix<double> x(be, f.input("X"));
    auto const r = f.input("r"), w = f.input("w");
    auto const run = [&](std::string const & name, std::span<double const> weights, double power) {
        expect_equal(name, cluster::d_squared_seeding<double>(be, x.view(), r.values, weights, power),
                     f.expected_array(name).as<std::size_t>());
    };
    run("plain", {}, 1);
    run("power2", {}, 2);
    run("weighted", w.values, 1);
}

void validity(B & be, array_fixture const & f) {
    matrix<double> x(be, f.input("X"));
    auto const u0 = f.input("U0");
    auto const rel = f.tolerance().at("rel").get<double>();
    for (auto const m : fuzzifiers(f)) {
        auto const fitted = cluster::fuzzy_c_means<double>(be, x.view(), {.memberships = u0.values},
                                                           {.clusters = u0.extent(1),
                                                            .fuzzifier = m,
                                                            .stop = cluster::stopping::abs_sum,
                                                            .tolerance = 0,
                                                            .max_iterations = f.params().at("iterations")});
        auto const v = cluster::validity<double>(be, x.view(), fitted.centres, u0.extent(1), m);
        for (auto const & [name, value] : {std::pair{"pc", v.partition_coefficient},
                                           {"mpc", v.modified_coefficient},
                                           {"pe", v.partition_entropy},
                                           {"pe_log2", v.partition_entropy_bits},
                                           {"npe", v.normalised_entropy},
                                           {"xb", v.xie_beni},
                                           {"xb_m2", v.xie_beni_squares},
                                           {"fs", v.fukuyama_sugeno},
                                           {"min_sep2", v.separation},
                                           {"J_reduced", v.objective},
                                           {"J", fitted.objective}})
            expect_close(std::string{name} + ", m = " + tag_of(m), value,
                         f.expected_number(std::string{name} + "_m" + tag_of(m)), 0, rel);
    }
}

} // namespace

template <class Backend> bool run_clustering(Backend & be, std::string_view name, array_fixture const & f) {
    if (name.starts_with("fcm_stop_rules"))
        stop_rules(be, f);
    else if (name.starts_with("fcm_collapse"))
        collapse(be, f);
    else if (name.starts_with("fcm_empty_column"))
        empty_column(be, f);
    else if (name.starts_with("fcm_stream"))
        streaming(be, f);
    else if (name.starts_with("fcm_single_pass"))
        single_pass(be, f);
    else if (name.starts_with("fcm_")) {
        auto const metric = name.starts_with("fcm_cosine") ? cluster::metric::cosine : cluster::metric::euclidean;
        fit<float>(be, f, metric);
        fit<double>(be, f, metric);
    } else if (name.starts_with("membership_") || name.starts_with("predict"))
        predict(be, f);
    else if (name.starts_with("seed_dsq"))
        seeding(be, f);
    else if (name.starts_with("validity"))
        validity(be, f);
    else
        return false;
    return true;
}
template bool run_clustering(selected_backend &, std::string_view, array_fixture const &);

} // namespace lathe_replay
