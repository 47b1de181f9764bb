#include "adapt_job.hpp"
#include "report.hpp"

#include <lathe/core/window.hpp>

namespace lathe_cli {

namespace {

namespace adapt = lathe::adapt;
namespace compiled = lathe::compiled;
using B = selected_backend;

template <lathe::real T> class bench final : public weight_bench {
    using adapting = compiled::adapting<T, B>;
    B be_;
    matrix_shape shape_{};
    std::optional<lathe::buffer_t<B, T>> memory_;
    lathe::window_reader<B, T> reader_;
    lathe::window_writer<B, T> writer_;

    [[nodiscard]] lathe::mat<B, T> weight() {
        return lathe::as_matrix(memory_->view().sub(0, shape_.outputs * shape_.inputs), shape_.outputs, shape_.inputs);
    }
    static compiled::any_control stoppable() {
        return {{}, {[] { return interrupt_token{}.stop_requested(); }}};
    }
    static void expect_going() {
        if (interrupt_token{}.stop_requested())
            throw interrupted{};
    }

    /// Factors in memory of the backend.
    struct on_device {
        lathe::buffer_t<B, T> a, b;
        std::optional<lathe::buffer_t<B, T>> sigma;
        adapt::factors<B, T> factors;
    };
    lathe::buffer_t<B, T> uploaded(std::span<double const> x) {
        std::vector<T> values(x.size());
        std::ranges::transform(x, values.begin(), [](double v) { return static_cast<T>(v); });
        auto memory = be_.template allocate<T>(values.size());
        be_.upload(std::span<T const>{values}, memory.view());
        return memory;
    }
    on_device upload(adapter_values const & v) {
        auto a = uploaded(v.a), b = uploaded(v.b);
        adapt::factors<B, T> const f{lathe::as_matrix(a.view(), v.rank, v.inputs),
                                     lathe::as_matrix(b.view(), v.outputs, v.rank), v.scaling};
        on_device d{std::move(a), std::move(b), std::nullopt, f};
        if (!v.sigma.empty()) {
            d.sigma.emplace(uploaded(v.sigma));
            d.factors.sigma = lathe::cvec<B, T>(d.sigma->view());
        }
        return d;
    }
    std::vector<double> downloaded(lathe::vec<B, T> x) {
        std::vector<T> values(x.n);
        be_.download(lathe::cvec<B, T>(x), std::span<T>{values});
        return {values.begin(), values.end()};
    }
    adapter_values download(adapt::adapter<B, T> & f) {
        adapter_values v{
            f.outputs, f.inputs, f.rank, f.scaling, downloaded(f.a_elements.view()), downloaded(f.b_elements.view())};
        if (f.sigma_elements)
            v.sigma = downloaded(f.sigma_elements->view());
        return v;
    }
    made_adapter plain(adapt::adapter<B, T> f) {
        expect_going();
        auto const none = std::numeric_limits<double>::quiet_NaN();
        return {download(f), false, none, none, lathe::status::converged};
    }

    /// f(first, columns, window): windows of rows of a transposed tensor, each a list of `columns` elements of every
    /// output.
    template <class F> void for_each_column_window(F f) {
        auto const columns = std::max<std::size_t>(1, lathe::default_window / std::max<std::size_t>(1, shape_.outputs));
        for (std::size_t first = 0; first < shape_.inputs; first += columns)
            f(first, std::min(columns, shape_.inputs - first));
    }
    /// put(offset in the weight, elements): what is read, in the weight's own order.
    template <class Put> void read_transposed(lathe::checkpoint & from, std::size_t index, Put put) {
        auto const & info = from.tensors()[index];
        auto const size = lathe::size_of(info.type);
        lathe::window_buffer buffer;
        std::vector<T> stored, row;
        for_each_column_window([&](std::size_t first, std::size_t columns) {
            expect_going();
            stored.resize(columns * shape_.outputs);
            row.resize(columns);
            auto const bytes = from.read(index, first * shape_.outputs * size, stored.size() * size, buffer);
            lathe::host::load(info.type, bytes.data(), stored.size(), stored.data());
            for (std::size_t o = 0; o != shape_.outputs; ++o) {
                for (std::size_t j = 0; j != columns; ++j)
                    row[j] = stored[j * shape_.outputs + o];
                put(o * shape_.inputs + first, std::span<T const>{row});
            }
        });
    }

public:
    explicit bench(std::size_t threads, std::string const & device) : be_{compiled::make_backend<B>(threads, device)} {}

    void load(lathe::checkpoint & from, std::size_t index, matrix_shape const & shape) override {
        shape_ = shape;
        auto const count = shape.outputs * shape.inputs;
        if (!memory_ || memory_->view().n < count) {
            memory_.reset(); // before the new one
            memory_.emplace(be_.template allocate<T>(count));
        }
        auto const w = memory_->view();
        if (shape.transposed)
            read_transposed(from, index,
                            [&](std::size_t at, std::span<T const> x) { be_.upload(x, w.sub(at, x.size())); });
        else
            lathe::for_each_window(count, lathe::default_window, [&](std::size_t first, std::size_t n) {
                expect_going();
                lathe::ops::map<T>(be_, lathe::ops::kernels::identity, w.sub(first, n),
                                   reader_.read(be_, from, index, first, n));
            });
        be_.sync();
    }
    void subtract(lathe::checkpoint & from, std::size_t index) override {
        auto const count = shape_.outputs * shape_.inputs;
        auto const w = memory_->view();
        if (shape_.transposed) {
            std::optional<lathe::buffer_t<B, T>> part;
            read_transposed(from, index, [&](std::size_t at, std::span<T const> x) {
                auto const other = lathe::windows::reserve<T>(be_, part, x.size());
                be_.upload(x, other);
                lathe::ops::axpy(be_, T(-1), other, w.sub(at, x.size()));
            });
        } else
            lathe::for_each_window(count, lathe::default_window, [&](std::size_t first, std::size_t n) {
                expect_going();
                auto const y = w.sub(first, n);
                lathe::ops::map<T>(be_, lathe::ops::kernels::axpy, y, T(-1), reader_.read(be_, from, index, first, n),
                                   y);
            });
        be_.sync();
    }
    void store(lathe::checkpoint_sink & to, lathe::tensor_info const & info, std::size_t index) override {
        auto const w = memory_->view();
        if (!shape_.transposed) {
            lathe::for_each_window(shape_.outputs * shape_.inputs, lathe::default_window,
                                   [&](std::size_t first, std::size_t n) {
                lathe::ops::map<T>(be_, lathe::ops::kernels::identity, writer_.begin(be_, to, info, index, first, n),
                                   w.sub(first, n));
                writer_.end(be_, to);
            });
            writer_.finish(be_, to);
            return;
        }
        auto const size = lathe::size_of(info.type);
        lathe::window_buffer buffer;
        std::vector<T> stored, row;
        for_each_column_window([&](std::size_t first, std::size_t columns) {
            stored.resize(columns * shape_.outputs);
            row.resize(columns);
            for (std::size_t o = 0; o != shape_.outputs; ++o) {
                be_.download(lathe::cvec<B, T>(w.sub(o * shape_.inputs + first, columns)), std::span<T>{row});
                for (std::size_t j = 0; j != columns; ++j)
                    stored[j * shape_.outputs + o] = row[j];
            }
            auto const bytes = to.window(index, first * shape_.outputs * size, stored.size() * size, buffer);
            lathe::host::store(info.type, static_cast<T const *>(stored.data()), stored.size(), bytes.data());
            to.commit(index, first * shape_.outputs * size, bytes);
        });
    }

    made_adapter start(std::string_view method, json const & options, std::string_view name, matrix_shape const & shape,
                       bool embedding, std::size_t rank, double alpha) override {
        std::optional<made_adapter> made;
        auto const finish = [&](adapt::started<B, T> s) {
            if (s.triplets.status == lathe::status::stopped)
                throw interrupted{};
            expect_going();
            made.emplace(made_adapter{download(s.adapter), s.base_changed, s.triplets.energy, s.triplets.error_bound,
                                      s.triplets.status});
            made->adapter.magnitude = std::move(s.magnitude);
        };
        auto nothing = be_.template allocate<T>(1); // of a weight that is not read
        lathe::registry::for_each_method(lathe::registry::adaptation_methods, [&]<class M>(std::type_identity<M>) {
            if (M::name != method)
                return;
            auto const o =
                adapt::for_weight(lathe::reflect::options_from<typename M::options>(options), name, rank, alpha);
            if constexpr (std::same_as<typename M::options, adapt::lora_options>)
                if (embedding) {
                    auto const rule = std::same_as<M, lathe::registry::rslora> ? adapt::scaling_rule::rslora : o.rule;
                    finish({adapt::lora_embedding<T>(be_, shape.outputs, shape.inputs, rank,
                                                     {.alpha = o.alpha, .rule = rule, .a = o.a, .seed = o.seed})});
                    return;
                }
            finish(compiled::starting<M, T, B>::run(
                be_,
                M::base == lathe::registry::weight_use::extents
                    ? lathe::mat<B, T>(nothing.view().data, shape.outputs, shape.inputs)
                    : weight(),
                rank, o, stoppable()));
        });
        return std::move(made.value());
    }
    void add(adapter_values const & adapter, double factor) override {
        auto const f = upload(adapter);
        adapting::add(be_, f.factors, factor, weight());
        be_.sync();
    }
    void merge_dora(adapter_values const & adapter) override {
        auto const f = upload(adapter);
        adapting::merge_dora(be_, f.factors, adapter.magnitude, weight());
        be_.sync();
    }
    void truncate(std::size_t rank, adapt::kasa_options const & options) override {
        static_cast<void>(adapting::truncate(be_, weight(), rank, options, stoppable()));
        expect_going();
    }
    made_adapter kasa_to_lora(adapter_values const & adapter, adapt::kasa_options const & options) override {
        auto truncation = adapting::truncate(be_, weight(), adapter.rank, options, stoppable());
        expect_going();
        auto const f = upload(adapter);
        auto made = plain(adapting::kasa_to_lora(be_, f.factors, truncation));
        if (truncation.dropped) {
            auto const report = adapt::report_of(*truncation.dropped);
            made.energy = 1 - report.energy;
            made.error_bound = report.error_bound;
            made.status = report.status;
        }
        made.base_changed = true;
        return made;
    }
    made_adapter extract(adapt::extract_options const & options) override {
        auto result = adapting::extract(be_, weight(), options, stoppable());
        auto made = plain(std::move(result.adapter));
        made.energy = result.energy;
        made.error_bound = result.error_bound;
        return made;
    }
    made_adapter combine(std::span<adapter_values const> all, adapt::combine_options const & options) override {
        std::vector<on_device> held;
        std::vector<adapt::factors<B, T>> factors;
        for (auto const & v : all) {
            held.push_back(upload(v));
            factors.push_back(held.back().factors);
        }
        return plain(adapting::combine(be_, factors, options));
    }
    made_adapter compress(adapter_values const & adapter, std::size_t rank) override {
        auto const f = upload(adapter);
        double const one = 1;
        return plain(adapting::compress(be_, std::span{&f.factors, 1}, std::span{&one, 1}, rank));
    }
};

} // namespace

template <class Backend>
std::unique_ptr<weight_bench> make_weight_bench(std::size_t threads, std::string const & device, bool in_double) {
    if (in_double)
        return std::make_unique<bench<double>>(threads, device);
    return std::make_unique<bench<float>>(threads, device);
}
template std::unique_ptr<weight_bench> make_weight_bench<selected>(std::size_t, std::string const &, bool);

} // namespace lathe_cli
