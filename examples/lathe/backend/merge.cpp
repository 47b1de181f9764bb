/// \file  run_merge for a backend. What methods minimise that minimise an objective is a distance, or what another
///        program computes.
#include "files.hpp"
#include "flags.hpp"
#include "report.hpp"

#include <lathe/io/process_objective.hpp>

namespace lathe_cli {

namespace {

/// The objectives of a run, by task; models merge::task_objectives.
template <class B, lathe::real T> class objective_list {
public:
    using quadratic = lathe::merge::quadratic_distance<B, T>;
    using process = lathe::io::process_objective;

private:
    std::vector<input> targets_, fishers_;
    std::vector<std::unique_ptr<quadratic>> quadratics_;
    std::vector<std::unique_ptr<process>> processes_;

public:
    objective_list(lathe::parameter_layout const & layout, objective_settings const & s) {
        bool const by_command =
            s.objective.value_or(s.objective_command.empty() ? objective_kind::quadratic : objective_kind::command)
            == objective_kind::command;
        if (s.target.empty() != by_command || s.objective_command.empty() == by_command)
            throw usage_error{
                "--target, --objective-command: found " + std::string{s.target.empty() ? "no target" : "a target"}
                + " and " + (s.objective_command.empty() ? "no command" : "a command") + ", expected what to minimise: "
                + (!s.objective ? "one of them"
                   : by_command ? "a command"
                                : "a target")};
        if (!s.fisher.empty() && s.fisher.size() != s.target.size())
            throw usage_error{"--fisher: found " + std::to_string(s.fisher.size())
                              + " files, expected one for each target"};
        targets_ = open_inputs(s.target);
        fishers_ = open_inputs(s.fisher);
        for (std::size_t k = 0; k != targets_.size(); ++k)
            quadratics_.push_back(std::make_unique<quadratic>(layout, *targets_[k].file, s.tensor_weights,
                                                              fishers_.empty() ? nullptr : fishers_[k].file.get()));
        for (auto const & line : s.objective_command)
            processes_.push_back(std::make_unique<process>(
                layout, lathe::io::process_objective_options{.shell = line, .timeout = s.timeout},
                [] { return interrupt_token{}.stop_requested(); }));
    }
    [[nodiscard]] std::size_t size() const noexcept { return quadratics_.size() + processes_.size(); }
    double value_and_gradient(B & be, std::size_t task, lathe::cvec<B, T> x, lathe::vec<B, T> g) {
        return quadratics_.empty() ? processes_[task]->value_and_gradient(be, x, g)
                                   : quadratics_[task]->value_and_gradient(be, x, g);
    }
    /// Of the first. A command writes no gradient for this.
    double value(B & be, lathe::cvec<B, T> x) {
        if (quadratics_.empty())
            return processes_.front()->value(be, x);
        auto g = be.template allocate<T>(x.n);
        return quadratics_.front()->value_and_gradient(be, x, g.view());
    }
    /// The only one, if it is a distance; else null.
    [[nodiscard]] quadratic * distance() noexcept {
        return quadratics_.size() == 1 ? quadratics_.front().get() : nullptr;
    }
};

template <class Method, lathe::real T>
json minimise(merge_job const & job, selected_backend & be, typename Method::options const & options,
              lathe::compiled::any_control const & ctl) {
    namespace compiled = lathe::compiled;
    using lathe::registry::objective_use;
    auto const layout = lathe::parameter_layout::of(job.pool);
    objective_list<selected_backend, T> objectives(layout, job.objective);
    if (Method::objective != objective_use::tasks && objectives.size() != 1)
        throw usage_error{"--target, --objective-command: found " + std::to_string(objectives.size())
                          + ", expected one for " + std::string{Method::name}};
    try {
        if constexpr (Method::objective == objective_use::evaluation) {
            auto const evaluate = [&](lathe::checkpoint & model) {
                auto x = be.template allocate<T>(layout.size());
                lathe::read_parameters<selected_backend, T>(be, layout, model, x.view());
                return -objectives.value(be, x.view()); // the larger, the better
            };
            return report_of(
                compiled::searching<T, selected_backend>::run(be, job.pool, evaluate, job.sink, options, ctl));
        } else {
            if constexpr (std::same_as<Method, lathe::registry::frank_wolfe>) // of a distance the curvature is known
                if (auto * const distance = objectives.distance()) {
                    using minimising = compiled::minimising_distance<T, selected_backend>;
                    return report_of((job.objective.products ? minimising::from_products : minimising::streamed)(
                        be, job.pool, *distance, job.sink, options, ctl, {}));
                }
            compiled::any_objective<selected_backend, T> any(objectives);
            return report_of(
                compiled::minimising<Method, T, selected_backend>::run(be, job.pool, any, job.sink, options, ctl));
        }
    } catch (lathe::io::process_error const &) {
        if (interrupt_token{}.stop_requested()) // which ended the program
            throw interrupted{};
        throw;
    }
}

template <class Method, lathe::real T>
json run(merge_job const & job, selected_backend & be, typename Method::options const & options,
         lathe::compiled::any_control const & ctl) {
    if constexpr (requires { Method::objective; })
        return minimise<Method, T>(job, be, options, ctl);
    else
        return report_of(lathe::compiled::merging<Method, T, selected_backend>::run(be, job.pool, job.files, job.sink,
                                                                                    options, ctl));
}

template <class Method> json run(merge_job const & job) {
    auto be = lathe::compiled::make_backend<selected_backend>(job.threads, job.device);
    auto const options = lathe::reflect::options_from<typename Method::options>(job.options);
    auto const ctl = control_of(job.progress);
    return job.pool.wants_double() ? run<Method, double>(job, be, options, ctl)
                                   : run<Method, float>(job, be, options, ctl);
}

} // namespace

template <class Backend> json run_merge(std::string_view method, merge_job const & job) {
    json report;
    auto const run_if_named = [&]<class Method>(std::type_identity<Method>) {
        if (Method::name == method)
            report = run<Method>(job);
    };
    lathe::registry::for_each_method(lathe::registry::merging_methods, run_if_named);
    lathe::registry::for_each_method(lathe::registry::objective_methods, run_if_named);
    return report;
}
template json run_merge<selected>(std::string_view, merge_job const &);

} // namespace lathe_cli
