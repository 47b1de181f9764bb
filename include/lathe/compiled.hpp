#pragma once
/// \file  The methods of the registry compiled once for each backend and precision, apart from the programs that call
///        them: what is declared here is defined in compiled/definitions.hpp and instantiated by compiled/*.cpp, which
///        CMake builds as lathe::compiled_<backend> (docs/using.md). What a caller brings is type-erased: a call through a
///        std::function for each evaluation, step or window.
#include <lathe/merge/quadratic.hpp>
#include <lathe/registry.hpp>

#include <functional>

LATHE_NAMESPACE_BEGIN
namespace compiled {

/// Any lathe::observer; by default none.
struct any_observer {
    std::function<void(progress const &)> told{}; ///< told of the progress; may be empty
    /// Calls told, if there is something.
    void operator()(progress const & p) const {
        if (told)
            told(p);
    }
};
/// Any lathe::stop_token; by default one that never asks to stop.
struct any_stop {
    std::function<bool()> asked{}; ///< asked whether to stop; may be empty
    /// What asked says; false if it is empty.
    [[nodiscard]] bool stop_requested() const { return asked && asked(); }
};
/// The control of everything that is declared here.
using any_control = control<any_observer, any_stop>;

/// Any objectives: one (merge::differentiable) or one for each task (merge::task_objectives), referred to. Models both:
/// as one objective it is the loss given beside the tasks, else the sum of the tasks.
template <class B, real T> class any_objective {
    std::size_t size_ = 1;
    std::function<double(B &, std::size_t, cvec<B, T>, vec<B, T>)> task_;
    std::function<double(B &, cvec<B, T>, vec<B, T>)> loss_;

public:
    /// One objective, or one for each task. Refers to f.
    template <class F>
        requires merge::differentiable<F, B, T> || merge::task_objectives<F, B, T>
    explicit any_objective(F & f) {
        if constexpr (merge::task_objectives<F, B, T>) {
            size_ = static_cast<std::size_t>(f.size());
            task_ = [&f](B & be, std::size_t k, cvec<B, T> x, vec<B, T> g) {
                return static_cast<double>(f.value_and_gradient(be, k, x, g));
            };
        } else {
            loss_ = [&f](B & be, cvec<B, T> x, vec<B, T> g) {
                return static_cast<double>(f.value_and_gradient(be, x, g));
            };
            task_ = [this](B & be, std::size_t, cvec<B, T> x, vec<B, T> g) { return loss_(be, x, g); };
        }
    }
    /// Objectives of the tasks, and the loss over all of them that comes beside. Refers to both.
    template <class Tasks, class Loss>
        requires merge::task_objectives<Tasks, B, T> && merge::differentiable<Loss, B, T>
    any_objective(Tasks & tasks, Loss & loss) : any_objective(tasks) {
        loss_ = [&loss](B & be, cvec<B, T> x, vec<B, T> g) {
            return static_cast<double>(loss.value_and_gradient(be, x, g));
        };
    }
    ///@{
    /// What it calls refers to it.
    any_objective(any_objective const &) = delete;
    any_objective & operator=(any_objective const &) = delete;
    ///@}

    /// How many tasks there are; 1 where there is one objective.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// Of one task. g is written; the value is returned.
    double value_and_gradient(B & be, std::size_t task, cvec<B, T> x, vec<B, T> g) { return task_(be, task, x, g); }
    /// Of the loss. g is written; the value is returned. With several tasks and no loss: one more vector of memory.
    double value_and_gradient(B & be, cvec<B, T> x, vec<B, T> g) {
        if (loss_)
            return loss_(be, x, g);
        if (size_ == 1)
            return task_(be, 0, x, g);
        return merge::sum_of_tasks<B, T, any_objective>(*this).value_and_gradient(be, x, g);
    }
};

/// Told of each step of Method, and the state after it where the method shows it.
template <class Method, class B, real T>
using any_step = std::function<void(typename Method::step const &, cvec<B, T> const * x)>;

/// Method::run for the methods of registry::merging_methods.
template <class Method, real T, class B> struct merging {
    /// \param files what Method::files names, one for each model, or none
    static typename Method::result run(B & be, merge::model_pool const & pool, registry::file_list files,
                                       checkpoint_sink & sink, typename Method::options const & options,
                                       any_control ctl = {});
};

/// Method::run for those of registry::objective_methods that take objectives.
template <class Method, real T, class B> struct minimising {
    /// \param on_step told of each step; x is null where the method does not show it
    static typename Method::result run(B & be, merge::model_pool const & pool, any_objective<B, T> & objective,
                                       checkpoint_sink & sink, typename Method::options const & options,
                                       any_control ctl = {}, any_step<Method, B, T> on_step = {});
};

/// merge::kinship_search.
template <real T, class B> struct searching {
    /// \param evaluate the larger, the better; called once for every model
    static merge::kinship_search_result run(B & be, merge::model_pool const & pool,
                                            std::function<double(checkpoint &)> evaluate, checkpoint_sink & sink,
                                            merge::kinship_search_options const & options, any_control ctl = {});
};

/// merge::frank_wolfe (streamed) and merge::frank_wolfe_gram (from_products) of a distance.
template <real T, class B> struct minimising_distance {
    using step = any_step<registry::frank_wolfe, B, T>; ///< x is null
    /// Over the models, streamed; exact steps included. \param distance over parameter_layout::of(pool)
    static merge::frank_wolfe_result streamed(B & be, merge::model_pool const & pool,
                                              merge::quadratic_distance<B, T> & distance, checkpoint_sink & sink,
                                              merge::frank_wolfe_options const & options, any_control ctl = {},
                                              step on_step = {});
    /// From the products of the models' differences: two passes over the models. \param distance as above
    static merge::frank_wolfe_result from_products(B & be, merge::model_pool const & pool,
                                                   merge::quadratic_distance<B, T> & distance, checkpoint_sink & sink,
                                                   merge::frank_wolfe_options const & options, any_control ctl = {},
                                                   step on_step = {});
};

/// merge::kinship.
template <real T, class B> struct measuring_kinship {
    /// Every metric and every pair, over the merged rows.
    static merge::kinship_result run(B & be, merge::model_pool const & pool, merge::kinship_options const & options,
                                     any_control ctl = {});
};

/// Method::run for those of registry::adaptation_methods.
template <class Method, real T, class B> struct starting {
    /// \param w the weight, outputs x inputs; what becomes of it, Method::base says \param r the rank
    static adapt::started<B, T> run(B & be, mat<B, T> w, std::size_t r, typename Method::options const & options,
                                    any_control ctl = {});
};

/// What is done with adapters that are there, and with weights.
template <real T, class B> struct adapting {
    using factors = adapt::factors<B, T>; ///< views of an adapter's factors
    /// adapt::add_delta.
    static void add(B & be, factors const & f, double factor, mat<B, T> w);
    /// adapt::dora_layer::merge.
    static void merge_dora(B & be, factors const & f, std::span<double const> magnitude, mat<B, T> w);
    /// adapt::combine.
    static adapt::adapter<B, T> combine(B & be, std::span<factors const> all, adapt::combine_options const & options);
    /// adapt::compress.
    static adapt::adapter<B, T> compress(B & be, std::span<factors const> all, std::span<double const> weights,
                                         std::size_t r);
    /// adapt::extract_change.
    static adapt::extract_result<B, T> extract(B & be, mat<B, T> change, adapt::extract_options const & options,
                                               any_control ctl = {});
    /// adapt::kasa_truncate.
    static adapt::kasa_truncation<B, T> truncate(B & be, mat<B, T> w, std::size_t r,
                                                 adapt::kasa_options const & options, any_control ctl = {});
    /// adapt::kasa_to_lora.
    static adapt::adapter<B, T> kasa_to_lora(B & be, factors const & f, adapt::kasa_truncation<B, T> & truncation);
};

} // namespace compiled
LATHE_NAMESPACE_END
