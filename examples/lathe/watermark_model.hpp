#pragma once
/// \file  A calibrated watermark of sentences: what `lathe watermark calibrate` writes to one file, and what it says
///        of a document.
#include "documents.hpp"
#include "watermark_job.hpp"

namespace lathe_cli {

enum class watermark_method : unsigned char { cohemark, keyed_cohemark, semstamp, k_semstamp, simmark, hammingmark };

/// The numbers of a method. Those that are unset depend on the method, or are taken from what people wrote.
struct method_settings {
    watermark_method method = watermark_method::cohemark;
    std::size_t clusters = 8;
    double fuzzifier = 1.1;
    lathe::watermark::keyed_input keyed_input = lathe::watermark::keyed_input::previous_cluster;
    double gamma = 0.25;
    std::optional<std::size_t> bits, radius;
    std::optional<double> low, high;
    double decay = 250;
    std::uint32_t normals_seed = 1234;
};

/// Everything a detector and a sampler need but the key.
struct watermark_model {
    method_settings method;
    embedder_choice embedder = embedder_choice::hashing;
    std::size_t dimension = 0;
    std::vector<double> vectors; ///< centres or normals, a row each; none of SimMark
    lathe::watermark::conformal_scores conformal;
    lathe::watermark::rank_chain independent, markov; ///< of CoheMark's ranks
    double human_rate = 0;                            ///< mean evidence of a sentence that a person wrote
    double human_share = 0;                           ///< share of them that are admitted
    bool conformal_keyed = false;                     ///< the scores were made with a key, and hold for it alone
    std::size_t fitted_on = 0, calibrated_on = 0;     ///< documents

    /// \param key of keyed CoheMark, or the prime of SemStamp and k-SemStamp; else the published one
    /// \throws usage_error if there has to be a key, or none is taken
    [[nodiscard]] any_partition partition(std::optional<std::uint64_t> key) const;
    [[nodiscard]] bool ranks() const noexcept {
        return method.method == watermark_method::cohemark || method.method == watermark_method::keyed_cohemark;
    }
    /// Whether a key decides what is green, so that there is a law over keys.
    [[nodiscard]] bool keyed() const noexcept {
        return method.method == watermark_method::keyed_cohemark || method.method == watermark_method::semstamp
               || method.method == watermark_method::k_semstamp;
    }
};

/// One .safetensors file, whole or not at all. \param more joins its metadata \throws io_error
void save_model(watermark_model const & model, std::string const & path,
                std::map<std::string, std::string> const & more = {});
/// \throws io_error, format_error naming what is wrong
watermark_model load_model(std::string const & path);

/// What decides whether a document counts as marked.
enum class evidence_kind : unsigned char {
    published,   ///< the statistic and the threshold of the authors
    conformal,   ///< p from scores of human texts
    independent, ///< p from hits that are independent of each other, as often as people hit
    markov,      ///< p from a Markov chain of ranks
    key          ///< p over keys
};

/// What is said of a document.
struct judgement {
    lathe::watermark::document_score score;
    double statistic = 0;             ///< the published one: ratio, or z
    bool published = false;           ///< whether it reaches the published threshold
    double conformal = 1;             ///< p-values; NaN where there is none
    std::size_t conformal_length = 0; ///< sentences that it looks at; 0: there were no scores to compare with
    double independent = 1, markov = 1, key = 1;
    std::vector<double> sequential; ///< evidence after each scored sentence, or nothing

    [[nodiscard]] double p_value(evidence_kind kind) const;
};

/// How documents are judged.
class judge {
    watermark_model const & model_;
    double rate_;
    mutable std::optional<lathe::watermark::rank_null> independent_, markov_;
    mutable std::optional<lathe::watermark::binomial_null> binomial_;

public:
    /// \param rate of false positives, which says how many scores conformal p-values need
    judge(watermark_model const & model, double rate);
    /// Detection options for `counted` scores; key laws take repeats::once.
    judgement operator()(lathe::watermark::document_score const & counted, double key_p,
                         std::span<lathe::watermark::sentence_evidence const> sentences) const;
    /// Whether a p-value of that kind exists. \throws usage_error if not
    void expect(evidence_kind kind) const;
    /// The published threshold.
    [[nodiscard]] double threshold() const;
};

} // namespace lathe_cli

BOOST_HANA_ADAPT_STRUCT(lathe_cli::method_settings, method, clusters, fuzzifier, keyed_input, gamma, bits, radius, low,
                        high, decay, normals_seed);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::method_settings> = lathe::reflect::help_table({
    {"method", "cohemark, its keyed variant, or one of its relatives"},
    {"clusters", "cohemark, k_semstamp: how many, 1 to 65535"},
    {"fuzzifier", "cohemark: of the fuzzy c-means that finds the clusters, and of memberships, above 1"},
    {"keyed_input", "keyed_cohemark: what goes into the pseudo-random function beside the key"},
    {"gamma", "semstamp, k_semstamp: the share of regions that is accepted, from 0 to 1"},
    {"bits", "semstamp: of a region, 1 to 16, 3 unless given; hammingmark: 1 to 64, 16 unless given"},
    {"radius",
     "hammingmark: bits that may differ; unless given, the most that at most 35 % of human sentences keep to"},
    {"low", "simmark: least similarity; unless given, what 60 % of human sentences fall short of"},
    {"high", "simmark: largest similarity; unless given, what 10 % of human sentences exceed"},
    {"decay", "simmark: of the evidence outside the interval, not below 0"},
    {"normals_seed", "semstamp, hammingmark: of numpy's RandomState that the normals are drawn with"},
});
