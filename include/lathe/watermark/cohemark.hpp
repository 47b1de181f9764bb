#pragma once
/// \file  CoheMark (arXiv 2504.17309): the next sentence falls into the clusters that lie first and third from the one
///        before, and now and then into others. Its keyed variant, and what calibrates both. docs/watermarking.md.
#include <lathe/cluster/panels.hpp>
#include <lathe/random/philox.hpp>
#include <lathe/watermark/partition.hpp>
#include <lathe/watermark/ranks.hpp>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// A sentence as CoheMark sees it: clusters from the first rank on.
struct order_code {
    std::span<std::uint16_t const> order; ///< a view of K clusters
    double confidence;                    ///< the largest membership less the second
};
/// Orders of many sentences.
struct order_codes {
    std::size_t clusters = 0;          ///< K
    std::vector<std::uint16_t> orders; ///< sentence by sentence
    std::vector<double> confidences;   ///< of every sentence
    /// Sentences.
    [[nodiscard]] std::size_t size() const noexcept { return confidences.size(); }
    /// The code of sentence i, a view. \pre i < size()
    [[nodiscard]] order_code operator[](std::size_t i) const {
        return {std::span{orders}.subspan(i * clusters, clusters), confidences[i]};
    }
};

/// Centres of clusters that sentences are ranked by, and the exponent of memberships.
class membership_orders {
    std::size_t clusters_, dimensions_;
    std::vector<double> centres_;
    cluster::fuzzy_rule rule_;

public:
    /// `centres` is clusters x dimensions. \throws shape_error, option_error, non_finite_error
    membership_orders(std::span<double const> centres, std::size_t clusters, double fuzzifier)
        : clusters_{clusters}, dimensions_{clusters == 0 ? 0 : centres.size() / clusters},
          centres_(centres.begin(), centres.end()), rule_(fuzzifier) {
        expects_option(clusters != 0 && clusters <= most_clusters, "clusters", std::to_string(clusters), "1 to 65535");
        expects_shape(dimensions_ != 0 && centres.size() == clusters * dimensions_,
                      "cohemark: centres are clusters x dimensions");
        for (auto const c : centres_)
            if (!std::isfinite(c)) [[unlikely]]
                throw non_finite_error{"cohemark: a centre is not finite"};
    }
    /// Number of clusters, K.
    [[nodiscard]] std::size_t clusters() const noexcept { return clusters_; }
    /// Length of an embedding.
    [[nodiscard]] std::size_t dimensions() const noexcept { return dimensions_; }
    /// clusters x dimensions
    [[nodiscard]] std::span<double const> centres() const noexcept { return centres_; }
    /// m of the memberships.
    [[nodiscard]] double fuzzifier() const noexcept { return rule_.fuzzifier(); }

    /// The orders of the rows. Distances are computed in T and memberships in double; where two neighbours in an order
    /// are closer than T can tell, and where memberships underflow, the row is ranked by distances from differences in
    /// double. So orders, ties included, are those of double on every backend and in either precision.
    /// \throws shape_error; non_finite_error, which names the row
    /// Complexity: 2 N K d.
    template <real T, class B>
        requires matrix_space<B, T>
    order_codes encode(B & be, cmat<B, T> rows) const {
        expects_shape(rows.rows == 0 || rows.cols == dimensions_,
                      "cohemark: embeddings are not as long as the centres");
        order_codes codes{clusters_, std::vector<std::uint16_t>(rows.rows * clusters_), std::vector<double>(rows.rows)};
        if (rows.rows == 0)
            return codes;
        cluster::point_set<B, T> points(be, rows, cluster::metric::euclidean);
        cluster::centre_set<B, T> at(be, centres_, clusters_, dimensions_);
        auto const largest = *std::ranges::max_element(at.squares());
        auto const error = 2 * cluster::product_error<T>(dimensions_);
        cluster::for_each_distance_panel<T>(be, points, at, [&](auto const & panel) {
            constexpr auto stride = host::panel_rows;
            std::vector<double> u(clusters_ * stride), powers(u.size()), row, of_row(clusters_);
            std::array<double, stride> terms;
            auto const memberships = [&] {
                rule_(clusters_, panel.count, panel.values, u.data(), powers.data(), terms.data());
            };
            auto const rank = [&](std::size_t i) {
                auto const order = std::span{codes.orders}.subspan((panel.first + i) * clusters_, clusters_);
                for (std::size_t j = 0; j != clusters_; ++j)
                    of_row[j] = u[j * stride + i];
                rank_order(of_row, order);
                codes.confidences[panel.first + i] = clusters_ == 1 ? 1 : of_row[order[0]] - of_row[order[1]];
                return order;
            };
            memberships();
            bool unsettled = false;
            std::array<bool, stride> again{};
            for (std::size_t i = 0; i != panel.count; ++i) {
                auto const order = rank(i);
                auto const d = [&](std::size_t r) { return panel.values[order[r] * stride + i]; };
                // |x|^2 + |c|^2 <= 2 D + 3 |c|^2
                auto const close = error * (2 * d(0) + 3 * largest);
                for (std::size_t r = 1; r != clusters_ && !again[i]; ++r)
                    again[i] = !(d(r) - d(r - 1) > close);
                again[i] = again[i] || of_row[order[clusters_ - 1]] < 1e-280;
                if (!again[i])
                    continue;
                unsettled = true;
                panel.row(i, row);
                for (std::size_t j = 0; j != clusters_; ++j)
                    panel.values[j * stride + i] = cluster::square_distance(row, centres_.data() + j * dimensions_);
            }
            if (!unsettled)
                return;
            memberships();
            for (std::size_t i = 0; i != panel.count; ++i)
                if (again[i])
                    rank(i);
        });
        return codes;
    }
};

/// What the authors' code does where it departs from a rule for any number of clusters.
enum class cohemark_conformance : unsigned char {
    none,   ///< the rule of the options, or the default one
    authors ///< unless K is 8, ranks 1 and 3 for ever; their detector then gives no score
};

/// Options of cohemark.
struct cohemark_options {
    double fuzzifier = 1.1;          ///< the authors also have 1.055
    std::optional<rank_rule> rule{}; ///< else the default for that many clusters, which is the published one for 8
    std::size_t relief_trials = 100; ///< candidates that a sentence in relief may take; the budget stays there
    cohemark_conformance conformance = cohemark_conformance::none; ///< authors: see there; then no `rule` may be given
};

/// CoheMark as a partition. The state is the streak count of `rank_automaton`.
class cohemark {
    membership_orders orders_;
    cohemark_options options_;
    rank_automaton automaton_;

    static rank_rule rule_of(cohemark_options const & o, std::size_t clusters) {
        if (o.rule) {
            expects_option(o.conformance == cohemark_conformance::none, "conformance", "authors", "none with a rule");
            return *o.rule;
        }
        return o.conformance == cohemark_conformance::authors ? authors_rank_rule(clusters)
                                                              : default_rank_rule(clusters);
    }

public:
    /// Codes of many sentences.
    using codes = order_codes;
    /// The code of a sentence.
    using code = order_code;
    /// The streak count.
    using state = rank_automaton::state;

    /// `centres` is clusters x dimensions. \throws shape_error, option_error, non_finite_error
    cohemark(std::span<double const> centres, std::size_t clusters, cohemark_options const & options = {})
        : orders_(centres, clusters, options.fuzzifier), options_(options),
          automaton_(rule_of(options, clusters), clusters) {}

    /// Number of clusters, K.
    [[nodiscard]] std::size_t clusters() const noexcept { return orders_.clusters(); }
    /// Length of an embedding.
    [[nodiscard]] std::size_t dimensions() const noexcept { return orders_.dimensions(); }
    /// As given.
    [[nodiscard]] cohemark_options const & options() const noexcept { return options_; }
    /// The rule that is in force.
    [[nodiscard]] rank_automaton const & automaton() const noexcept { return automaton_; }
    /// Whether the authors' detector gives a score: K is 8, or nobody asked for their behaviour.
    [[nodiscard]] bool scores() const noexcept {
        return options_.conformance == cohemark_conformance::none || clusters() == 8;
    }
    /// \see membership_orders::encode
    template <real T, class B>
        requires matrix_space<B, T>
    codes encode(B & be, cmat<B, T> rows) const {
        return orders_.encode<T>(be, rows);
    }

    /// The count 0: primary mode.
    [[nodiscard]] state start() const noexcept { return 0; }
    /// Whether the rank of the current sentence is green in this state.
    [[nodiscard]] bool admits(code const & previous, code const & current, state s) const {
        return automaton_.hit(rank(previous, current), s);
    }
    /// 1 if it is admitted, else 0.
    [[nodiscard]] double evidence(code const & previous, code const & current, state s) const {
        return admits(previous, current, s) ? 1 : 0;
    }
    /// The state after a sentence of that rank.
    [[nodiscard]] state advance(code const & previous, code const & current, state s) const {
        return automaton_.next(rank(previous, current), s);
    }
    /// The largest membership less the second.
    [[nodiscard]] double confidence(code const & c) const noexcept { return c.confidence; }
    /// The cluster of the first rank.
    [[nodiscard]] std::uint64_t region(code const & c) const { return c.order[0]; }
    /// Of the current sentence's cluster in the order of the sentence before, from 1 on.
    [[nodiscard]] std::size_t rank(code const & previous, code const & current) const {
        return rank_in(previous.order, current.order[0]);
    }
    /// 1 in relief, else 0.
    [[nodiscard]] std::uint32_t mode(state s) const noexcept { return automaton_.in_relief(s) ? 1 : 0; }
    /// The streak count.
    [[nodiscard]] std::size_t count(state s) const noexcept { return s; }
    /// relief_trials in relief, else none beyond the budget.
    [[nodiscard]] std::size_t trials_wanted(state s) const noexcept {
        return automaton_.in_relief(s) ? options_.relief_trials : 0;
    }
    /// Less, the later a green cluster comes in the candidate's own order.
    [[nodiscard]] double preference(code const & previous, code const & current, state s) const {
        for (std::size_t r = 0; r != current.order.size(); ++r)
            if (automaton_.hit(rank_in(previous.order, current.order[r]), s))
                return -static_cast<double>(r);
        return -static_cast<double>(current.order.size());
    }
};

/// What goes into the pseudo-random function beside the key.
enum class keyed_input : unsigned char {
    previous_cluster, ///< of the sentence before: survives most edits; few different inputs
    previous_order,   ///< all ranks of the sentence before: many inputs
    position          ///< the cluster before and the position: an input for each sentence; lost behind a deletion
};

/// Options of keyed_cohemark.
struct keyed_cohemark_options {
    std::uint64_t key = 0;                             ///< of the pseudo-random function
    keyed_input input = keyed_input::previous_cluster; ///< what it is a function of beside the key
    double fuzzifier = 1.1;                            ///< m of the memberships
    std::optional<rank_rule> rule{}; ///< how many ranks are green in which mode; which they are the key says
    std::size_t relief_trials = 100; ///< \see cohemark_options
};

/// `count` different numbers below n, each set of them as likely as any other, as a key and an input decide: the first
/// steps of a shuffle (Fisher-Yates) whose draws are Philox words, rejected where they would favour some. Sorted.
/// Not meant to withstand cryptanalysis.
inline std::vector<std::size_t> keyed_subset(std::uint64_t key, std::uint64_t input, std::size_t n, std::size_t count) {
    expects_shape(count <= n && n <= std::numeric_limits<std::uint32_t>::max(), "keyed_subset: more than there are");
    constexpr std::uint32_t purpose = 0x57a7e2; // beside other uses of the same key
    std::uint32_t used = 0;
    random::block words{};
    auto const word = [&] {
        if (used % 4 == 0)
            words = random::philox({random::low_word(input), random::high_word(input), purpose, used / 4},
                                   {random::low_word(key), random::high_word(key)});
        return words[used++ % 4];
    };
    std::vector<std::size_t> all(n);
    for (std::size_t i = 0; i != n; ++i)
        all[i] = i;
    for (std::size_t i = 0; i != count; ++i) {
        auto const left = static_cast<std::uint64_t>(n - i), whole = (std::uint64_t{1} << 32) / left * left;
        std::uint64_t w = word();
        while (w >= whole)
            w = word();
        std::swap(all[i], all[i + static_cast<std::size_t>(w % left)]);
    }
    all.resize(count);
    std::ranges::sort(all);
    return all;
}

/// CoheMark with a key: the automaton says how many ranks are green, a pseudo-random function of key and text which.
/// Whatever the text, a step hits with probability green / K over keys, exactly; steps of different inputs are
/// independent, steps of one input are looks at one subset. Its law over keys is exact for each document
/// (`keyed_law`) when each draw counts once.
class keyed_cohemark {
    membership_orders orders_;
    keyed_cohemark_options options_;
    rank_automaton automaton_;

public:
    /// Codes of many sentences.
    using codes = order_codes;
    /// The code of a sentence.
    using code = order_code;
    /// The streak count, and the position of the sentence after the prompt.
    struct state {
        rank_automaton::state count = 0; ///< of the streak
        std::size_t position = 0;        ///< sentences since the prompt
        friend bool operator==(state const &, state const &) = default;
    };

    /// `centres` is clusters x dimensions. \throws shape_error, option_error, non_finite_error
    keyed_cohemark(std::span<double const> centres, std::size_t clusters, keyed_cohemark_options const & options = {})
        : orders_(centres, clusters, options.fuzzifier), options_(options),
          automaton_(options.rule ? *options.rule : default_rank_rule(clusters), clusters) {}

    /// Number of clusters, K.
    [[nodiscard]] std::size_t clusters() const noexcept { return orders_.clusters(); }
    /// Length of an embedding.
    [[nodiscard]] std::size_t dimensions() const noexcept { return orders_.dimensions(); }
    /// As given.
    [[nodiscard]] keyed_cohemark_options const & options() const noexcept { return options_; }
    /// The rule that is in force; which ranks are green is the key's to say.
    [[nodiscard]] rank_automaton const & automaton() const noexcept { return automaton_; }
    /// \see membership_orders::encode
    template <real T, class B>
        requires matrix_space<B, T>
    codes encode(B & be, cmat<B, T> rows) const {
        return orders_.encode<T>(be, rows);
    }

    /// What decides which ranks are green after `previous`: the input of the pseudo-random function. Modes of different
    /// numbers of green ranks have different inputs.
    [[nodiscard]] std::uint64_t input(code const & previous, state const & s) const {
        auto h = random::fnv1a({});
        auto const add = [&](std::uint64_t x) {
            std::array<char, 8> bytes; // the lowest first
            for (auto & b : bytes) {
                b = static_cast<char>(x & 0xff);
                x >>= 8;
            }
            h = random::fnv1a({bytes.data(), bytes.size()}, h);
        };
        add(automaton_.green_count(s.count));
        if (options_.input == keyed_input::previous_order)
            for (auto const c : previous.order)
                add(c);
        else {
            add(previous.order[0]);
            if (options_.input == keyed_input::position)
                add(s.position);
        }
        return h;
    }
    /// The green ranks after `previous`, ascending from 1 on.
    [[nodiscard]] std::vector<std::size_t> green_ranks(code const & previous, state const & s) const {
        auto green = keyed_subset(options_.key, input(previous, s), clusters(), automaton_.green_count(s.count));
        for (auto & r : green)
            ++r;
        return green;
    }

    /// The count 0, right after the prompt.
    [[nodiscard]] state start() const noexcept { return {}; }
    /// Whether the rank of the current sentence is one of green_ranks().
    [[nodiscard]] bool admits(code const & previous, code const & current, state const & s) const {
        return std::ranges::binary_search(green_ranks(previous, s), rank(previous, current));
    }
    /// 1 if it is admitted, else 0.
    [[nodiscard]] double evidence(code const & previous, code const & current, state const & s) const {
        return admits(previous, current, s) ? 1 : 0;
    }
    /// The count depends on the text alone, not on the key.
    [[nodiscard]] state advance(code const & previous, code const & current, state const & s) const {
        return {automaton_.next(rank(previous, current), s.count), s.position + 1};
    }
    /// The largest membership less the second.
    [[nodiscard]] double confidence(code const & c) const noexcept { return c.confidence; }
    /// The cluster of the first rank.
    [[nodiscard]] std::uint64_t region(code const & c) const { return c.order[0]; }
    /// Of the current sentence's cluster in the order of the sentence before, from 1 on.
    [[nodiscard]] std::size_t rank(code const & previous, code const & current) const {
        return rank_in(previous.order, current.order[0]);
    }
    /// 1 in relief, else 0.
    [[nodiscard]] std::uint32_t mode(state const & s) const noexcept { return automaton_.in_relief(s.count) ? 1 : 0; }
    /// The streak count.
    [[nodiscard]] std::size_t count(state const & s) const noexcept { return s.count; }
    /// relief_trials in relief, else none beyond the budget.
    [[nodiscard]] std::size_t trials_wanted(state const & s) const noexcept {
        return automaton_.in_relief(s.count) ? options_.relief_trials : 0;
    }
    /// Less, the later a green cluster comes in the candidate's own order.
    [[nodiscard]] double preference(code const & previous, code const & current, state const & s) const {
        auto const green = green_ranks(previous, s);
        for (std::size_t r = 0; r != current.order.size(); ++r)
            if (std::ranges::binary_search(green, rank_in(previous.order, current.order[r])))
                return -static_cast<double>(r);
        return -static_cast<double>(current.order.size());
    }
    /// What the key decides about this step: whether the rank is among the green ones.
    [[nodiscard]] keyed_draw draw(code const & previous, code const & current, state const & s) const {
        return {input(previous, s), rank(previous, current), automaton_.green_count(s.count), clusters()};
    }
};

/// Ranks of the sentences of a document, without those of the prompt: what counts and tests of ranks take.
inline std::vector<std::uint16_t> document_ranks(order_codes const & codes, std::size_t first, std::size_t count,
                                                 std::size_t prompt_sentences = 1) {
    std::vector<std::uint16_t> ranks;
    for (auto i = std::max<std::size_t>(1, prompt_sentences); i < count; ++i)
        ranks.push_back(static_cast<std::uint16_t>(rank_in(codes[first + i - 1].order, codes[first + i].order[0])));
    return ranks;
}

} // namespace watermark
LATHE_NAMESPACE_END
