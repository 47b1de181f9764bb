#pragma once
/// \file  The merging methods as a list that programs, tests and documents walk through.
///
/// A method is a type with
///   name, summary         what a person calls it and what it does
///   options               its option struct, described in reflect/merge.hpp
///   base                  whether it can do without a base
///   run<T>(be, pool, files, sink, options, control)  \returns a status, or a result that holds one
/// and, where it reads more than checkpoints:
///   files                 what the files are that go with the models, one for each; empty if there are none
/// To add one: write its header and option struct, describe the struct, add a type here and name it in merging_methods.
#include <lathe/reflect/merge.hpp>

#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>

LATHE_NAMESPACE_BEGIN
namespace registry {

enum class base_use : unsigned char {
    optional, ///< gives only types, and the tensors that are copied
    required
};

using file_list = std::span<checkpoint * const>;

struct average {
    static constexpr std::string_view name = "average", files = "";
    static constexpr std::string_view summary = "mean of the models";
    static constexpr auto base = base_use::optional;
    using options = merge::average_options;
    template <real T, class B, class Control>
    static auto run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o, Control ctl) {
        return merge::average<T>(be, pool, sink, o, ctl);
    }
};

struct linear {
    static constexpr std::string_view name = "linear", files = "";
    static constexpr std::string_view summary = "weighted mean, or weighted sum, of the models";
    static constexpr auto base = base_use::optional;
    using options = merge::linear_options;
    template <real T, class B, class Control>
    static auto run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o, Control ctl) {
        return merge::linear<T>(be, pool, sink, o, ctl);
    }
};

struct task_arithmetic {
    static constexpr std::string_view name = "task_arithmetic", files = "";
    static constexpr std::string_view summary = "base plus the scaled, weighted sum of the task vectors";
    static constexpr auto base = base_use::required;
    using options = merge::task_arithmetic_options;
    template <real T, class B, class Control>
    static auto run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o, Control ctl) {
        return merge::task_arithmetic<T>(be, pool, sink, o, ctl);
    }
};

struct slerp {
    static constexpr std::string_view name = "slerp", files = "";
    static constexpr std::string_view summary = "spherical interpolation of two models, tensor by tensor";
    static constexpr auto base = base_use::optional;
    using options = merge::slerp_options;
    template <real T, class B, class Control>
    static auto run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o, Control ctl) {
        return merge::slerp<T>(be, pool, sink, o, ctl);
    }
};

struct fisher {
    static constexpr std::string_view name = "fisher", files = "fisher";
    static constexpr std::string_view summary = "mean of the models, every element weighted by its Fisher information";
    static constexpr auto base = base_use::optional;
    using options = merge::fisher_options;
    template <real T, class B, class Control>
    static auto run(B & be, merge::model_pool const & pool, file_list files_, checkpoint_sink & sink, options const & o, Control ctl) {
        return merge::fisher<T>(be, pool, std::vector<checkpoint *>(files_.begin(), files_.end()), sink, o, ctl);
    }
};

struct regmean {
    static constexpr std::string_view name = "regmean", files = "grams";
    static constexpr std::string_view summary = "linear layers by least squares from the Gram matrices of their inputs; the rest averaged";
    static constexpr auto base = base_use::optional;
    using options = merge::regmean_options;
    template <real T, class B, class Control>
    static auto run(B & be, merge::model_pool const & pool, file_list files_, checkpoint_sink & sink, options const & o, Control ctl) {
        return merge::regmean<T>(be, pool, files_, sink, o, ctl);
    }
};

struct tsv {
    static constexpr std::string_view name = "tsv", files = "";
    static constexpr std::string_view summary = "leading singular vectors of the task vectors, made orthogonal (TSV-M)";
    static constexpr auto base = base_use::required;
    using options = merge::tsv_options;
    template <real T, class B, class Control>
    static auto run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o, Control ctl) {
        return merge::tsv<T>(be, pool, sink, o, ctl);
    }
};

struct iso_c {
    static constexpr std::string_view name = "iso_c", files = "";
    static constexpr std::string_view summary = "sum of the task vectors with equal singular values (Iso-C)";
    static constexpr auto base = base_use::required;
    using options = merge::iso_c_options;
    template <real T, class B, class Control>
    static auto run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o, Control ctl) {
        return merge::iso_c<T>(be, pool, sink, o, ctl);
    }
};

struct iso_cts {
    static constexpr std::string_view name = "iso_cts", files = "";
    static constexpr std::string_view summary = "common and task-specific directions with equal singular values (Iso-CTS)";
    static constexpr auto base = base_use::required;
    using options = merge::iso_cts_options;
    template <real T, class B, class Control>
    static auto run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o, Control ctl) {
        return merge::iso_cts<T>(be, pool, sink, o, ctl);
    }
};

inline constexpr auto merging_methods = boost::hana::tuple_t<average, linear, task_arithmetic, slerp, fisher, regmean, tsv, iso_c, iso_cts>;

/// Calls f(type_identity<Method>) for every method of a list, in order.
template <class List, class F> constexpr void for_each_method(List const & methods, F && f) {
    boost::hana::for_each(methods, [&](auto method) { f(std::type_identity<typename decltype(method)::type>{}); });
}

} // namespace registry
LATHE_NAMESPACE_END
