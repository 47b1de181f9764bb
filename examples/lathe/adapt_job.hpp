#pragma once
/// \file  One weight at a time, as the command hands it to the code of a backend.
#include "flags.hpp"
#include "interrupt.hpp"

#include <lathe/adapt/combine.hpp>
#include <lathe/adapt/kasa.hpp>
#include <lathe/core/checkpoint.hpp>

#include <memory>

namespace lathe_cli {

/// A tensor as a matrix: [outputs, inputs], of which a file may hold the transpose.
struct matrix_shape {
    std::size_t outputs, inputs;
    bool transposed;
};

/// An adapter of one weight in memory of the host: scaling B diag(sigma) A.
struct adapter_values {
    std::size_t outputs = 0, inputs = 0, rank = 0;
    double scaling = 1;
    std::vector<double> a = {}, b = {}; ///< rank x inputs, outputs x rank
    std::vector<double> sigma = {};     ///< of KaSA and AdaLoRA; or none
    std::vector<double> magnitude = {}; ///< of DoRA; or none
};
struct made_adapter {
    adapter_values adapter;
    bool base_changed;          ///< what is loaded is no longer what was read
    double energy, error_bound; ///< adapt::triplet_report
    lathe::status status;
};

/// Memory of a backend for one weight, and what can be done with it there. Every call is complete when it returns.
class weight_bench {
public:
    weight_bench() = default;
    weight_bench(weight_bench const &) = delete;
    weight_bench & operator=(weight_bench const &) = delete;
    virtual ~weight_bench() = default;

    /// Replaces what is loaded. \throws unsupported_error for elements without arithmetic
    virtual void load(lathe::checkpoint & from, std::size_t index, matrix_shape const & shape) = 0;
    /// What is loaded -= a tensor of the same shape.
    virtual void subtract(lathe::checkpoint & from, std::size_t index) = 0;
    /// Writes what is loaded, rounded once.
    virtual void store(lathe::checkpoint_sink & to, lathe::tensor_info const & info, std::size_t index) = 0;
    /// Begins an adapter by a method of the registry. Methods that read no weight need none loaded.
    virtual made_adapter start(std::string_view method, json const & options, std::string_view name,
                               matrix_shape const & shape, bool embedding, std::size_t rank, double alpha) = 0;
    /// What is loaded += factor times the change; DoRA's is the whole weight, and has no factor.
    virtual void add(adapter_values const & adapter, double factor) = 0;
    virtual void merge_dora(adapter_values const & adapter) = 0;
    virtual void truncate(std::size_t rank, lathe::adapt::kasa_options const & options) = 0;
    /// A plain LoRA on what is loaded, which is truncated by this.
    virtual made_adapter kasa_to_lora(adapter_values const & adapter, lathe::adapt::kasa_options const & options) = 0;
    /// Of the change that is loaded.
    virtual made_adapter extract(lathe::adapt::extract_options const & options) = 0;
    virtual made_adapter combine(std::span<adapter_values const> all,
                                 lathe::adapt::combine_options const & options) = 0;
    virtual made_adapter compress(adapter_values const & adapter, std::size_t rank) = 0;
};

/// Defined and instantiated in backend/adapt.cpp. \param in_double arithmetic. \throws unsupported_error where the
/// device has none
template <class Backend>
std::unique_ptr<weight_bench> make_weight_bench(std::size_t threads, std::string const & device, bool in_double);

} // namespace lathe_cli
