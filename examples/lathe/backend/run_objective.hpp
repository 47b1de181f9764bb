#pragma once
/// \file  The body of run_merge for methods that minimise an objective: a distance, or what another program computes.
#include "files.hpp"
#include "flags.hpp"
#include "report.hpp"

#include <lathe/io/process_objective.hpp>
#include <lathe/merge/quadratic.hpp>

namespace lathe_cli {

/// The objectives of a run, by task; models of merge::differentiable and merge::task_objectives.
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
    double value_and_gradient(B & be, lathe::cvec<B, T> x, lathe::vec<B, T> g) {
        return value_and_gradient(be, 0, x, g);
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

/// Minus the objective, as the evaluation of a checkpoint.
template <class B, lathe::real T> class evaluation {
    B & be_;
    objective_list<B, T> & objectives_;
    lathe::parameter_layout layout_;

public:
    evaluation(B & be, objective_list<B, T> & objectives, lathe::parameter_layout layout)
        : be_{be}, objectives_{objectives}, layout_{std::move(layout)} {}
    double operator()(lathe::checkpoint & model) {
        auto x = be_.template allocate<T>(layout_.size());
        lathe::read_parameters<B, T>(be_, layout_, model, x.view());
        return -objectives_.value(be_, x.view());
    }
};

template <class Method, lathe::real T> json minimise(merge_job const & job) {
    using lathe::registry::objective_use;
    auto be = make_backend(job.threads, job.device);
    auto const options = lathe::reflect::options_from<typename Method::options>(job.options);
    lathe::control const ctl{std::ref(job.progress), interrupt_token{}};
    auto const layout = lathe::parameter_layout::of(job.pool);
    objective_list<selected_backend, T> objectives(layout, job.objective);
    if (Method::objective != objective_use::tasks && objectives.size() != 1)
        throw usage_error{"--target, --objective-command: found " + std::to_string(objectives.size())
                          + ", expected one for " + std::string{Method::name}};
    try {
        if constexpr (std::same_as<Method, lathe::registry::frank_wolfe>) // of a distance the curvature is known
            if (auto * const distance = objectives.distance())
                return report_of(
                    job.objective.products
                        ? lathe::merge::frank_wolfe_gram<T>(be, job.pool, *distance, job.sink, options, ctl)
                        : lathe::merge::frank_wolfe<T>(be, job.pool, *distance, job.sink, options, ctl));
        if constexpr (Method::objective == objective_use::evaluation) {
            evaluation<selected_backend, T> evaluate(be, objectives, layout);
            return report_of(Method::template run<T>(be, job.pool, evaluate, job.sink, options, ctl));
        } else
            return report_of(Method::template run<T>(be, job.pool, objectives, job.sink, options, ctl));
    } catch (lathe::io::process_error const &) {
        if (interrupt_token{}.stop_requested()) // which ended the program
            throw interrupted{};
        throw;
    }
}

template <class Method, class Backend> json run_merge(merge_job const & job) {
    static_assert(std::same_as<Backend, selected>);
    return job.pool.wants_double() ? minimise<Method, double>(job) : minimise<Method, float>(job);
}

} // namespace lathe_cli
