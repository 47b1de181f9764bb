#pragma once
/// \file  Declarations of what users name in headers of their own: checkpoints, errors, views, options, results,
///        schemes and files. What each of them is, is said where it is defined; whoever does more with it includes that
///        header. Backends, and templates over one, are not here: a header that names one says what it computes with.
#include <lathe/core/pointer.hpp>

#include <cstdint>

LATHE_NAMESPACE_BEGIN

enum class dtype : std::uint8_t;
enum class op : unsigned char;
enum class status : unsigned char;
struct bfloat16;
class borrowed_checkpoint;
class checkpoint;
class checkpoint_sink;
struct device_error;
struct error;
struct format_error;
struct half;
struct io_error;
class memory_checkpoint;
struct mismatch_error;
struct non_finite_error;
struct option_error;
class parameter_layout;
struct progress;
struct serial_executor;
struct shape_error;
struct singular_error;
struct tensor_info;
class thread_pool;
struct unsupported_error;
class window_buffer;
template <device_pointer P> struct vec_view;
template <device_pointer P> struct mat_view;

namespace random {
class mersenne_twister;
class numpy_generator;
class numpy_random_state;
class sha256;
class torch_generator;
} // namespace random

namespace linalg {
class host_matrix;
struct partial_svd_options;
struct randomized_svd_options;
struct thin_qr;
} // namespace linalg

namespace cluster {
struct clustering_inputs;
struct collapse_result;
struct fuzzy_c_means_options;
struct fuzzy_c_means_result;
struct k_means_options;
struct k_means_result;
struct single_pass_options;
struct streaming_options;
struct validity_result;
} // namespace cluster

namespace graph {
class bipartite_graph;
struct chain_options;
struct common_subgraph;
struct common_subgraph_options;
struct cycle_error;
class digraph;
struct edit_options;
struct edit_result;
struct labelled_graph;
struct matching;
struct strong_components;
struct weighted_edge;
} // namespace graph

namespace optimize {
struct adam_options;
class host_adam;
struct linear_schedule;
struct sgd_options;
} // namespace optimize

namespace merge {
enum class granularity : unsigned char;
enum class mismatch_policy : unsigned char;
struct adamerging_options;
struct adamerging_result;
struct adamerging_step;
struct average_options;
class checkpoint_store;
struct classifier_options;
struct dare_options;
struct dense_layer;
struct fisher_options;
struct frank_wolfe_iteration;
struct frank_wolfe_options;
struct frank_wolfe_result;
struct fw_merging_options;
struct fw_merging_result;
struct fw_merging_soft_options;
struct fw_merging_soft_result;
struct fw_merging_soft_step;
struct fw_merging_step;
struct fw_ties_options;
class gram_pool;
struct iso_c_options;
struct iso_cts_options;
struct kinship_options;
struct kinship_result;
struct kinship_scores;
struct kinship_search_options;
struct kinship_search_result;
struct linear_options;
class memory_store;
class model_pool;
struct pool_options;
struct regmean_layer;
struct regmean_options;
struct regmean_result;
struct schedule;
struct slerp_options;
struct slerp_result;
struct slerp_tensor;
struct spectral_result;
struct spectral_tensor;
struct task_arithmetic_options;
struct ties_options;
struct ties_result;
struct tsv_options;
} // namespace merge

namespace adapt {
struct adalora_options;
struct combine_options;
struct extract_options;
struct gram_defect;
struct kasa_layer_loss;
struct kasa_loss_result;
struct kasa_options;
struct loftq_options;
struct lora_options;
struct melora_options;
struct pissa_fast_options;
struct quantised;
struct spectral_options;
struct triplet_report;
} // namespace adapt

namespace evaluate {
struct bleu_options;
struct bleu_result;
struct embedding_table;
struct f_score;
struct graph_comparison;
struct graph_comparison_options;
struct graph_diagnosis;
struct hashing_options;
struct log_diversity_options;
struct pair_scores;
struct reference_score;
struct rouge_options;
struct rouge_result;
struct rouge_score;
struct score_step;
struct similarity_matrix;
struct similarity_options;
struct similarity_request;
struct similarity_result;
struct strict_score;
struct worfeval_averages;
class worfeval_explainer;
struct worfeval_explanation;
struct worfeval_options;
class worfeval_scorer;
struct workflow;
struct workflow_pair;
} // namespace evaluate

namespace watermark {
struct auc_result;
class cohemark;
struct cohemark_options;
class conformal_scores;
struct copy_paste_options;
struct detection_options;
struct detection_result;
class dip_detector;
struct dip_options;
class dip_processor;
struct document_score;
struct dynamic_threshold_options;
struct dynamic_threshold_result;
struct ewd_detector;
struct ewd_options;
struct ewd_processor;
class exp_detector;
class exp_edit_detector;
struct exp_edit_options;
class exp_edit_sampler;
class exp_gumbel_detector;
struct exp_gumbel_options;
class exp_gumbel_sampler;
struct exp_options;
class exp_sampler;
class hammingmark;
struct hammingmark_options;
struct interval;
class its_edit_detector;
struct its_edit_options;
class its_edit_sampler;
struct its_key;
class k_semstamp;
class keyed_cohemark;
struct keyed_cohemark_options;
struct kgw_detector;
struct kgw_options;
class kgw_processor;
struct linear_projection;
struct morphmark_detector;
struct morphmark_options;
class morphmark_processor;
struct null_summary;
class pf_detector;
struct pf_options;
class pf_sampler;
struct proposal;
class rank_counts;
class region_masks;
struct roc_point;
struct sampled_sentence;
struct sampling_context;
struct sampling_options;
struct sampling_result;
struct sampling_step;
class semstamp;
struct semstamp_options;
struct sentence_evidence;
class sequential_evidence;
struct sequential_options;
struct sequential_result;
class simmark;
struct simmark_options;
struct success_rates;
struct sweet_detector;
struct sweet_options;
struct sweet_processor;
class synthid_detector;
struct synthid_options;
class synthid_processor;
struct token_context;
struct token_detection;
struct token_text;
class unbiased_detector;
struct unbiased_options;
class unbiased_processor;
class unigram_detector;
struct unigram_options;
class unigram_processor;
} // namespace watermark

namespace io {
class file_map;
class module_pattern;
class npy_file;
struct peft_config;
class peft_folder;
struct peft_module;
struct process_error;
class process_objective;
struct process_objective_options;
struct process_options;
struct read_options;
class safetensors_file;
class safetensors_writer;
class sharded_checkpoint;
struct workflow_json_options;
struct write_options;
} // namespace io

LATHE_NAMESPACE_END
