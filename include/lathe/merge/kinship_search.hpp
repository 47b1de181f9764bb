#pragma once
/// \file  Top-k greedy merging with model kinship (Hu et al., Exploring model kinship for merging LLMs, 2024,
///        algorithm 1; docs/merging.md, 10).
#include <lathe/merge/kinship.hpp>
#include <lathe/merge/mixture.hpp>
#include <lathe/merge/slerp.hpp>

#include <set>

LATHE_NAMESPACE_BEGIN
namespace merge {

/// Which older model the best one is merged with to leave a local optimum.
enum class kinship_explore : unsigned char {
    lowest,  ///< the one least alike: what the paper's text and its data mean
    highest, ///< the one most alike: what its pseudo-code prints
    none     ///< with none: greedy only
};
/// How two models become one.
enum class kinship_merge : unsigned char {
    linear, ///< their weighted mean
    slerp   ///< spherical interpolation: slerp_recipe
};
/// Why a model was made.
enum class kinship_role : unsigned char {
    initial, ///< a pair of the given models
    greedy,  ///< a pair of the top models
    explore  ///< the best model with one chosen by kinship
};

/// Options of kinship_search().
struct kinship_search_options {
    std::size_t k = 3;                                 ///< models that stay in the running
    kinship_metric metric = kinship_metric::pcc;       ///< what counts as kinship
    kinship_mode mode = kinship_mode::full;            ///< of all parameters, or the mean over tensors
    kinship_explore explore = kinship_explore::lowest; ///< whom the best model is merged with beside the top models
    kinship_merge merge = kinship_merge::linear;       ///< how two models become one
    /// linear: of the two models, the better one first (of two given ones, the one given first); divided by their sum
    std::vector<double> merge_weights = {0.5, 0.5};
    schedule t = 0.5;         ///< slerp: 0 gives the first model, 1 the second
    std::size_t max_gen = 10; ///< generations at most; the pairs of the given models are the first
    std::optional<double> stop_kinship =
        std::nullopt; ///< stop when the mean kinship of the top models exceeds it; the paper suggests 0.9
    std::vector<std::string> names = {}; ///< of the given models, in the result; none: their labels
};

/// What kinship_search() found; the best model is in the sink.
struct kinship_search_result {
    /// One model that was made.
    struct step {
        std::string name;                   ///< "model-2-3": the third of generation 2
        std::array<std::string, 2> parents; ///< names; the better one first, of given ones the first
        kinship_role role;                  ///< why it was made
        double perf;                        ///< its evaluation
        double kinship;                     ///< of the parents
        double gain;                        ///< its evaluation less the mean of the parents'
    };
    /// The top models when a generation was done.
    struct generation {
        std::size_t gen;              ///< from 1
        std::vector<std::string> top; ///< the best models so far, best first
    };
    lathe::status status = status::converged; ///< converged: the top models stay the same, or are as alike as asked for
    std::vector<double> given;                ///< evaluations of the given models
    std::vector<step> history;                ///< the models made, in order
    std::vector<generation> generations;      ///< those that made a model, and the first
    std::string best;                         ///< name of the best model, made or given
    double best_perf = 0;                     ///< its evaluation
};

/// Where merged models are kept that cannot be computed as they are read.
class checkpoint_store {
public:
    checkpoint_store() = default;
    checkpoint_store(checkpoint_store const &) = delete;
    checkpoint_store & operator=(checkpoint_store const &) = delete;
    virtual ~checkpoint_store() = default;
    /// Where the model of that name is written, once.
    virtual checkpoint_sink & create(std::string const & name) = 0;
    /// What was written, finished, under that name; valid as long as the store.
    virtual checkpoint & open(std::string const & name) = 0;
};
/// All of them in memory.
class memory_store final : public checkpoint_store {
    std::map<std::string, memory_checkpoint, std::less<>> models_;

public:
    checkpoint_sink & create(std::string const & name) override {
        return models_.try_emplace(name, name).first->second;
    }
    checkpoint & open(std::string const & name) override { return models_.at(name); }
};

/// The models of a pool as results are: with its rows and types alone, each under a name of its own.
template <real T>
std::vector<std::unique_ptr<mixture_checkpoint<T>>> given_models(model_pool const & pool,
                                                                 std::span<std::string const> names) {
    std::vector<std::unique_ptr<mixture_checkpoint<T>>> models;
    for (std::size_t k = 0; k != pool.size(); ++k) {
        std::vector<double> weights(pool.rows().size() * pool.size());
        for (std::size_t r = 0; r != pool.rows().size(); ++r)
            weights[r * pool.size() + k] = 1;
        models.push_back(std::make_unique<mixture_checkpoint<T>>(pool, names[k], std::move(weights)));
    }
    return models;
}

/// A family of models that grows by merging two. The given ones come first.
template <class F>
concept model_family = requires(F & f, std::size_t a, std::string const & name) {
    { f.model(a) } -> std::same_as<checkpoint &>;
    f.merge(a, a, name); // appends one
};

/// Merges that are weighted sums of two models, tensor by tensor, and so of the given ones: only weights are kept.
template <class B, real T> class mixture_family {
    B & be_;
    model_pool const & pool_;
    kinship_merge how_;
    std::array<double, 2> linear_{};
    slerp_options slerp_;
    std::vector<std::unique_ptr<mixture_checkpoint<T>>> models_;

    /// Factors of the parents at every row of the pool.
    [[nodiscard]] std::vector<std::array<double, 2>> factors(std::size_t a, std::size_t b) {
        std::vector<std::array<double, 2>> all(pool_.rows().size(), linear_);
        if (how_ == kinship_merge::slerp) {
            model_pool const pair(nullptr, {models_[a].get(), models_[b].get()}, {.window = pool_.window()});
            slerp_recipe<B, T> const recipe(be_, pair, slerp_);
            for (std::size_t r = 0; r != all.size(); ++r)
                if (pool_.rows()[r].merged)
                    all[r] = {static_cast<double>(recipe.factors(r)[0]), static_cast<double>(recipe.factors(r)[1])};
        }
        return all;
    }

public:
    /// \throws option_error
    mixture_family(B & be, model_pool const & pool, std::span<std::string const> names,
                   kinship_search_options const & options)
        : be_{be}, pool_{pool}, how_{options.merge}, slerp_{.t = options.t}, models_(given_models<T>(pool, names)) {
        auto const & w = options.merge_weights;
        expects_option(w.size() == 2 && std::isfinite(w[0]) && std::isfinite(w[1]), "merge_weights",
                       std::to_string(w.size()) + " values", "two finite numbers");
        auto const sum = w[0] + w[1];
        expects_option(std::fabs(sum) > 1e-8 * (std::fabs(w[0]) + std::fabs(w[1])), "merge_weights",
                       "a sum of " + std::to_string(sum), "another sum than 0");
        linear_ = {w[0] / sum, w[1] / sum};
    }
    /// Model i: the given ones, then those made.
    [[nodiscard]] checkpoint & model(std::size_t i) const { return *models_[i]; }
    /// Appends the weighted sum of models a and b. One pass over both with slerp, for the angles; none with linear.
    void merge(std::size_t a, std::size_t b, std::string const & name) {
        auto const f = factors(a, b);
        std::vector<double> weights;
        for (std::size_t r = 0; r != f.size(); ++r)
            for (std::size_t k = 0; k != pool_.size(); ++k)
                weights.push_back(f[r][0] * models_[a]->weights(r)[k] + f[r][1] * models_[b]->weights(r)[k]);
        models_.push_back(std::make_unique<mixture_checkpoint<T>>(pool_, name, std::move(weights)));
    }
};

/// Any merge of two models, kept in a store.
template <class B, real T, class Merge> class stored_family {
    B & be_;
    model_pool const & pool_;
    Merge & merge_;
    checkpoint_store & store_;
    std::vector<std::unique_ptr<mixture_checkpoint<T>>> given_;
    std::vector<checkpoint *> models_;

public:
    /// Refers to everything it is given but the names.
    stored_family(B & be, model_pool const & pool, std::span<std::string const> names, Merge & merge,
                  checkpoint_store & store)
        : be_{be}, pool_{pool}, merge_{merge}, store_{store}, given_(given_models<T>(pool, names)) {
        for (auto const & model : given_)
            models_.push_back(model.get());
    }
    /// Model i: the given ones, then those made.
    [[nodiscard]] checkpoint & model(std::size_t i) const { return *models_[i]; }
    /// Has a and b merged into the store, over the tensors that both and the base have, and appends what was made.
    void merge(std::size_t a, std::size_t b, std::string const & name) {
        model_pool const pair(&pool_.base(), {models_[a], models_[b]},
                              {.policy = mismatch_policy::intersect, .window = pool_.window()});
        merge_(be_, pair, store_.create(name));
        models_.push_back(&store_.open(name));
    }
};

/// The search itself, over any family.
template <class B, real T, model_family Family, class Evaluate, class Obs, class Stop> class kinship_searcher {
    struct member {
        std::string name;
        double perf;
        std::size_t generation;
    };
    B & be_;
    model_pool const & pool_;
    Family & family_;
    Evaluate & evaluate_;
    kinship_search_options const & options_;
    control<Obs, Stop> ctl_;
    std::vector<std::string> merged_names_;
    std::vector<member> members_;
    std::map<std::pair<std::size_t, std::size_t>, double> kinship_;
    std::set<std::pair<std::size_t, std::size_t>> tried_;
    kinship_search_result result_;

    static std::pair<std::size_t, std::size_t> pair_of(std::size_t a, std::size_t b) { return std::minmax(a, b); }

    double kinship_of(std::size_t a, std::size_t b) {
        auto const [at, fresh] = kinship_.try_emplace(pair_of(a, b), 0);
        if (fresh) {
            tensor_subset x(family_.model(a), merged_names_), y(family_.model(b), merged_names_);
            model_pool const pair(&pool_.base(), {&x, &y},
                                  {.policy = mismatch_policy::intersect, .window = pool_.window()});
            at->second = kinship<T>(be_, pair).value(options_.metric, options_.mode, 0, 1);
        }
        return at->second;
    }
    /// The best k of all, best first; of equals the older one, NaN last.
    [[nodiscard]] std::vector<std::size_t> top() const {
        std::vector<std::size_t> order(members_.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        auto const rank = [&](std::size_t i) {
            auto const perf = members_[i].perf;
            return std::pair{std::isnan(perf) ? std::numeric_limits<double>::infinity() : -perf, i};
        };
        std::ranges::sort(order, {}, rank);
        order.resize(std::min(order.size(), options_.k));
        return order;
    }
    [[nodiscard]] double mean_kinship(std::vector<std::size_t> const & models) {
        double sum = 0;
        for (std::size_t j = 1; j < models.size(); ++j)
            for (std::size_t i = 0; i != j; ++i)
                sum += kinship_of(models[i], models[j]);
        return sum
               / (static_cast<double>(models.size()) * (static_cast<double>(models.size()) - 1)
                  / 2); // NaN of one model
    }
    /// \returns whether there was time for it
    bool make(std::size_t a, std::size_t b, kinship_role role, std::size_t generation, std::size_t number) {
        if (ctl_.stop.stop_requested())
            return false;
        tried_.insert(pair_of(a, b));
        auto const name = "model-" + std::to_string(generation) + "-" + std::to_string(number);
        auto const alike = kinship_of(a, b);
        family_.merge(a, b, name);
        double const perf = evaluate_(family_.model(members_.size()));
        result_.history.push_back({name,
                                   {members_[a].name, members_[b].name},
                                   role,
                                   perf,
                                   alike,
                                   perf - (members_[a].perf + members_[b].perf) / 2});
        members_.push_back({name, perf, generation});
        return true;
    }
    /// The older model that `best` explores with. \returns nothing if there is none
    [[nodiscard]] std::optional<std::size_t> partner(std::size_t best, std::size_t generation) {
        std::optional<std::size_t> found;
        for (std::size_t f = 0; f != members_.size() && members_[f].generation < generation; ++f) {
            if (f == best || tried_.contains(pair_of(best, f)))
                continue;
            auto const x = kinship_of(best, f);
            if (!std::isnan(x)
                && (!found
                    || (options_.explore == kinship_explore::lowest ? x < kinship_of(best, *found)
                                                                    : x > kinship_of(best, *found))))
                found = f;
        }
        return found;
    }
    /// Everything a generation makes. \returns whether there was time for it
    bool make_generation(std::vector<std::size_t> const & best, std::size_t generation) {
        std::size_t number = 0;
        for (std::size_t i = 0; i != best.size(); ++i)
            for (std::size_t j = i + 1; j != best.size(); ++j)
                if (!tried_.contains(pair_of(best[i], best[j])))
                    if (!make(best[i], best[j], generation == 1 ? kinship_role::initial : kinship_role::greedy,
                              generation, ++number))
                        return false;
        if (generation == 1 || options_.explore == kinship_explore::none)
            return true;
        auto const f = partner(best.front(), generation);
        return !f || make(best.front(), *f, kinship_role::explore, generation, ++number);
    }

public:
    /// Evaluates the given models, and measures the kinship of all pairs: one pass over base and models.
    kinship_searcher(B & be, model_pool const & pool, Family & family, std::span<std::string const> names,
                     Evaluate & evaluate, kinship_search_options const & options, control<Obs, Stop> ctl)
        : be_{be}, pool_{pool}, family_{family}, evaluate_{evaluate}, options_{options}, ctl_{std::move(ctl)} {
        for (auto const & row : pool.rows())
            if (row.merged)
                merged_names_.push_back(row.info.name);
        auto const given = kinship<T>(be, pool);
        for (std::size_t b = 0; b != pool.size(); ++b) {
            for (std::size_t a = 0; a != b; ++a)
                kinship_[{a, b}] = given.value(options.metric, options.mode, a, b);
            result_.given.push_back(evaluate_(family_.model(b)));
            members_.push_back({names[b], result_.given.back(), 0});
        }
    }

    /// Searches, and writes the best model unless it was stopped. To be called once.
    kinship_search_result run(checkpoint_sink & sink) {
        std::vector<std::size_t> best(
            members_.size()); // for the first generation: all of the given ones, in their order
        std::iota(best.begin(), best.end(), std::size_t{0});
        result_.status = status::iteration_limit;
        for (std::size_t generation = 1; generation <= options_.max_gen; ++generation) {
            auto const before = members_.size();
            if (!make_generation(best, generation)) {
                result_.status = status::stopped;
                break;
            }
            auto now = top();
            auto const nothing_new = members_.size() == before;
            if (!nothing_new || generation == 1) {
                result_.generations.push_back({generation, {}});
                for (auto const i : now)
                    result_.generations.back().top.push_back(members_[i].name);
            }
            auto const alike = options_.stop_kinship ? mean_kinship(now) : std::numeric_limits<double>::quiet_NaN();
            ctl_.observe(progress{generation, options_.max_gen, members_[now.front()].perf, alike});
            auto const same = generation != 1 && now == best;
            best = std::move(now);
            if (nothing_new || same || (options_.stop_kinship && alike > *options_.stop_kinship)) {
                result_.status = status::converged;
                break;
            }
        }
        auto const winner = top().front();
        result_.best = members_[winner].name;
        result_.best_perf = members_[winner].perf;
        if (result_.status != status::stopped) {
            model_pool const whole(nullptr, {&family_.model(winner)});
            sink.begin(whole.output(), whole.reference().metadata());
            for (std::size_t r = 0; r != whole.rows().size(); ++r)
                copy_row(whole, r, sink);
            sink.finish();
        }
        return std::move(result_);
    }
};

/// \throws option_error
inline void validate(kinship_search_options const & options, model_pool const & pool) {
    static_cast<void>(pool.base());
    expects_option(options.k >= 1, "k", "0", "at least 1");
    expects_option(options.max_gen >= 1, "max_gen", "0", "at least 1");
    expects_option(!options.stop_kinship || !std::isnan(*options.stop_kinship), "stop_kinship", "NaN", "a number");
    expects_option(options.names.empty() || options.names.size() == pool.size(), "names",
                   std::to_string(options.names.size()) + " values",
                   "one for each of " + std::to_string(pool.size()) + " models");
}
/// What the result calls the given models.
inline std::vector<std::string> given_names(kinship_search_options const & options, model_pool const & pool) {
    auto names = options.names;
    for (std::size_t k = names.size(); k != pool.size(); ++k)
        names.emplace_back(pool.model(k).label());
    return names;
}

/// Merges pairs of the models, again and again of the best k, and writes the best model found.
///
/// Generation 1 is every pair of the given models. Each later one is the pairs of the best k so far that were not
/// merged before and, to explore, the best with the older model that kinship chooses of those it was not merged with.
/// The search ends when the best k stay the same. Ties go to the older model; kinship that is NaN chooses nobody.
///
/// \param evaluate double(checkpoint & model): the larger, the better; NaN is worst. Called once for every model
/// Memory: windows, and rows x models weights for every model made; merged models are computed as they are read. Time:
/// an evaluation, and a pass over base and parents, for each model made; one more for each candidate of an exploration.
/// `sink` gets nothing if the search was stopped. \throws option_error, also without a base; what evaluate throws
template <real T = float, class B, class Evaluate, class Obs = no_observer, class Stop = never_stop>
    requires elementwise<B, T> && std::is_invocable_r_v<double, Evaluate &, checkpoint &>
kinship_search_result kinship_search(B & be, model_pool const & pool, Evaluate && evaluate, checkpoint_sink & sink,
                                     kinship_search_options const & options = {}, control<Obs, Stop> ctl = {}) {
    validate(options, pool);
    auto const names = given_names(options, pool);
    mixture_family<B, T> family(be, pool, names, options);
    return kinship_searcher<B, T, mixture_family<B, T>, Evaluate, Obs, Stop>(be, pool, family, names, evaluate, options,
                                                                             ctl)
        .run(sink);
}

/// The same with any merge of two, and the models it makes kept in a store; `merge`, `merge_weights` and `t` mean
/// nothing here.
/// \param merge void(B &, model_pool const & two, checkpoint_sink &): writes the merge of two models; the pool has the
/// base
template <real T = float, class B, class Merge, class Evaluate, class Obs = no_observer, class Stop = never_stop>
    requires elementwise<B, T> && std::is_invocable_r_v<double, Evaluate &, checkpoint &>
             && std::invocable<Merge &, B &, model_pool const &, checkpoint_sink &>
kinship_search_result kinship_search(B & be, model_pool const & pool, Merge && merge, checkpoint_store & store,
                                     Evaluate && evaluate, checkpoint_sink & sink,
                                     kinship_search_options const & options = {}, control<Obs, Stop> ctl = {}) {
    validate(options, pool);
    auto const names = given_names(options, pool);
    using family_type = stored_family<B, T, std::remove_reference_t<Merge>>;
    family_type family(be, pool, names, merge, store);
    return kinship_searcher<B, T, family_type, Evaluate, Obs, Stop>(be, pool, family, names, evaluate, options, ctl)
        .run(sink);
}

} // namespace merge
LATHE_NAMESPACE_END
