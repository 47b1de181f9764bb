#pragma once
/// \file  Devices through OpenCL 1.2, products by CLBlast.
///
/// Kernels are those of every backend: called once on symbols (opencl/symbol.hpp), compiled by the driver, kept in
/// memory and on disk. Their sums obey the contract of core/host.hpp and are the same bits in both kernel shapes.
#include <lathe/backend/opencl/session.hpp>
#include <lathe/backend/opencl/softmax.hpp>
#include <lathe/backend/opencl/source.hpp>
#include <lathe/backend/opencl/stage.hpp>
#include <lathe/core/ops.hpp>
#include <lathe/core/softmax.hpp>

LATHE_NAMESPACE_BEGIN
namespace opencl {

/// How a backend uses its device. What is unset follows from the device.
struct options {
    std::string device = {};                ///< index or part of a name; empty: see choose_device
    std::optional<kernel_shape> shape = {}; ///< of kernels; unset: chunks on processors, groups elsewhere
    std::optional<std::size_t> group = {};  ///< most work-items of a group; unset: what the device takes
    std::optional<std::string> cache =
        {}; ///< folder of compiled programs; empty: none; unset: see default_cache_folder
    std::optional<std::size_t> parameters = {}; ///< bytes of arguments of a kernel; unset: what the device takes
    std::size_t gather = std::size_t{64} << 20; ///< bytes of device memory for lists too long to be arguments
    std::optional<bool> share = {}; ///< whether kernels read and write windows in host memory; unset: on processors
};

} // namespace opencl

/// An in-order queue on one device. Nothing waits but what gives a value to the host (download, reduce, sync) and
/// upload. An object belongs to one thread at a time; `fork` makes another on the same context for another thread.
///
/// A list is unrolled in the kernel's source. Its items are arguments as long as all arguments fit into what the device
/// takes (CL_DEVICE_MAX_PARAMETER_SIZE: at least 1 KiB, some 50 vectors); a longer list is copied into one buffer part
/// by part and read from there, so only time to compile, which grows with the list, bounds its length.
class opencl_backend {
    /// One kernel as compiled: several programs where its sums are more than a work-group can keep.
    struct compiled {
        /// One program, and the sums it makes.
        struct part {
            opencl::kernel_handle kernel;  ///< of the program
            std::vector<std::size_t> sums; ///< as the kernel numbers them
            std::size_t group;             ///< work-items
        };
        std::vector<part> parts;
        bool tables = false;
        std::size_t sums = 0; // one more than the last
    };
    template <class T> using view = vec_view<opencl::pointer<T>>;
    template <class T> using const_view = vec_view<opencl::pointer<T const>>;
    template <class T> using matrix = mat_view<opencl::pointer<T>>;
    template <class T> using const_matrix = mat_view<opencl::pointer<T const>>;

    opencl::options options_;
    std::shared_ptr<opencl::session> session_;
    opencl::queue_handle queue_, upload_queue_, download_queue_;
    std::unordered_map<std::string, compiled> kernels_;
    std::string key_;
    std::tuple<opencl::call<float>, opencl::call<double>> calls_;
    opencl::memory_handle partial_, lists_; // sums of blocks; lists that are too long
    std::size_t partial_bytes_ = 0, lists_bytes_ = 0;
    std::vector<std::byte> host_partial_;

    static opencl::queue_handle new_queue(opencl::session const & s) {
        cl_int status = CL_SUCCESS;
        auto queue = opencl::queue_handle::adopt(clCreateCommandQueue(s.context.get(), s.device.id, 0, &status));
        opencl::check(status, "clCreateCommandQueue");
        return queue;
    }
    static std::shared_ptr<opencl::session> new_session(opencl::options const & o) {
        auto d = opencl::choose_device(o.device);
        cl_int status = CL_SUCCESS;
        auto context = opencl::context_handle::adopt(clCreateContext(nullptr, 1, &d.id, nullptr, nullptr, &status));
        opencl::check(status, "clCreateContext");
        return std::make_shared<opencl::session>(std::move(d), std::move(context),
                                                 o.cache ? *o.cache : opencl::default_cache_folder());
    }
    opencl_backend(opencl::options o, std::shared_ptr<opencl::session> s, opencl::queue_handle q)
        : options_(std::move(o)), session_(std::move(s)), queue_(std::move(q)) {}

public:
    static constexpr char const * name = "opencl"; ///< as programs show it
    static constexpr bool storage_operands = true; ///< kernels take elements as they are stored
    /// A position in device memory; see opencl::pointer.
    template <class E> using pointer = opencl::pointer<E>;
    /// The owner of device memory; see opencl::buffer.
    template <class E> using buffer = opencl::buffer<E>;
    /// Windows of files go to the device while kernels run.
    using input_stage = opencl::input_stage;
    /// Windows of files come from the device while kernels run.
    using output_stage = opencl::output_stage;

    /// The device that LATHE_OPENCL_DEVICE names, else the first GPU, else the first device.
    /// \throws device_error without platform or device; option_error if none is called so
    opencl_backend() : opencl_backend(opencl::options{}) {}
    /// A context of its own. \throws device_error, option_error
    explicit opencl_backend(opencl::options o) : options_(std::move(o)), session_(new_session(options_)) {
        queue_ = new_queue(*session_);
    }
    /// The device of that index, or name, or part of a name: "1", "radeon". \throws device_error, option_error
    explicit opencl_backend(std::string_view device) : opencl_backend(opencl::options{.device = std::string{device}}) {}
    /// The caller's context, device and in-order queue, each of which it holds a share of; `o.device` is not looked at.
    /// \throws device_error; option_error if the queue is out-of-order
    opencl_backend(cl_context context, cl_device_id device, cl_command_queue queue, opencl::options o = {})
        : options_(std::move(o)), queue_(opencl::queue_handle::share(queue)) {
        cl_command_queue_properties properties = 0;
        opencl::check(clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, nullptr),
                      "clGetCommandQueueInfo");
        expects_option((properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) == 0, "queue", "an out-of-order queue",
                       "an in-order queue");
        session_ = std::make_shared<opencl::session>(opencl::describe(device), opencl::context_handle::share(context),
                                                     options_.cache ? *options_.cache : opencl::default_cache_folder());
    }

    /// Those there are, in the order of the indices that name them. \throws device_error
    [[nodiscard]] static std::vector<opencl::device> devices() { return opencl::devices(); }
    /// The device that the constructor takes for these words, and nothing made on it. \throws device_error,
    /// option_error
    [[nodiscard]] static opencl::device chosen_device(std::string_view wanted = {}) {
        return opencl::choose_device(wanted);
    }

    /// Another queue on the same context, for another thread. What one writes the other may read after a sync.
    [[nodiscard]] opencl_backend fork() const { return {options_, session_, new_queue(*session_)}; }

    /// What is known of the device.
    [[nodiscard]] opencl::device const & device() const noexcept { return session_->device; }
    /// For use with OpenCL's own functions; the backend keeps it.
    [[nodiscard]] cl_context context() const noexcept { return session_->context.get(); }
    /// The queue of kernels, in order; the backend keeps it.
    [[nodiscard]] cl_command_queue queue() const noexcept { return queue_.get(); }
    /// Compiled programs, shared with all forks.
    [[nodiscard]] opencl::program_cache & programs() noexcept { return session_->programs; }
    /// Whether the device computes in T.
    template <real T> [[nodiscard]] bool supports() const noexcept {
        return std::same_as<T, float> || session_->device.fp64;
    }
    /// How kernels go through their elements on this device.
    [[nodiscard]] opencl::kernel_shape shape() const noexcept {
        return options_.shape      ? *options_.shape
               : device().is_cpu() ? opencl::kernel_shape::chunks
                                   : opencl::kernel_shape::groups;
    }

    /// Queues of transfers, made when first asked for, that events keep in order with `queue`. \throws device_error
    ///@{
    [[nodiscard]] cl_command_queue upload_queue() { return or_new(upload_queue_); }
    [[nodiscard]] cl_command_queue download_queue() { return or_new(download_queue_); }
    ///@}
    /// Whether kernels work on windows of checkpoints where they are on the host.
    [[nodiscard]] bool shares_memory() const noexcept { return options_.share ? *options_.share : device().is_cpu(); }

    // ---- storage

    /// n elements, of unspecified value; no memory for none. \throws device_error if the device has not so much
    template <class E> [[nodiscard]] buffer<E> allocate(std::size_t n) {
        if (n == 0)
            return buffer<E>(opencl::memory_handle{}, 0);
        if (n > std::numeric_limits<std::size_t>::max() / sizeof(E))
            throw device_error{
                opencl::message("allocation of " + std::to_string(n) + " elements", CL_INVALID_BUFFER_SIZE),
                CL_INVALID_BUFFER_SIZE};
        return buffer<E>(new_memory(n * sizeof(E)), n);
    }
    /// Elements of the caller's memory, from `offset` on. Holds a share of it.
    template <class E> [[nodiscard]] static view<E> view_of(cl_mem memory, std::size_t n, std::size_t offset = 0) {
        return {opencl::pointer<E>(opencl::memory_handle::share(memory), offset), n};
    }
    /// Returns when the host may reuse its memory. \throws shape_error, device_error
    template <class E> void upload(std::span<E const> from, view<E> to) {
        expects_shape(from.size() == to.n, "upload: the extents differ");
        if (to.n != 0)
            opencl::check(clEnqueueWriteBuffer(queue(), to.data.memory(), CL_TRUE, to.data.offset() * sizeof(E),
                                               from.size_bytes(), from.data(), 0, nullptr, nullptr),
                          "upload: clEnqueueWriteBuffer");
    }
    /// Waits for all that was asked for before. \throws shape_error, device_error
    template <class E> void download(const_view<E> from, std::span<E> to) {
        expects_shape(from.n == to.size(), "download: the extents differ");
        if (from.n != 0)
            opencl::check(clEnqueueReadBuffer(queue(), from.data.memory(), CL_TRUE, from.data.offset() * sizeof(E),
                                              to.size_bytes(), to.data(), 0, nullptr, nullptr),
                          "download: clEnqueueReadBuffer");
    }
    /// Waits for all that was asked for. \throws device_error, also for what failed since the last wait
    void sync() { opencl::check(clFinish(queue()), "clFinish"); }

    // ---- kernels

    /// out[i] = kernel(in[i]...). The first call with a kernel and operands of these types compiles it.
    /// \throws device_error; unsupported_error for double where the device has none, and elements without arithmetic
    template <real T, class Kernel, class... Outs, class... Ins>
    void map(Kernel const & kernel, std::tuple<Outs...> const & outs, Ins const &... ins) {
        run<T, false>(kernel, outs, {}, std::get<0>(outs).n, ins...);
    }
    /// totals[k] += what the kernel adds to sums k. Blocks. Throws as map
    template <real T, class Kernel, class First, class... Ins>
    void reduce(Kernel const & kernel, std::span<double> totals, First const & first, Ins const &... ins) {
        run<T, true>(kernel, std::tuple{}, totals, ops::extent_of(first), first, ins...);
    }
    /// Both in one pass. Blocks. Throws as map
    template <real T, class Kernel, class... Outs, class... Ins>
    void map_reduce(Kernel const & kernel, std::tuple<Outs...> const & outs, std::span<double> totals,
                    Ins const &... ins) {
        run<T, true>(kernel, outs, totals, std::get<0>(outs).n, ins...);
    }

    // ---- products

    /// C = a op(A) op(B) + b C, by CLBlast. \throws device_error, unsupported_error
    template <real T> void gemm(op oa, op ob, T a, const_matrix<T> A, const_matrix<T> B, T b, matrix<T> C) {
        expect_precision<T>();
        if (C.rows == 0 || C.cols == 0)
            return;
        auto const inner = oa == op::none ? A.cols : A.rows;
        if (inner == 0 || a == T(0)) { // CLBlast refuses products over nothing
            for (std::size_t i = 0; i != C.rows; ++i)
                if (b == T(0))
                    ops::fill(*this, T(0), C.row(i));
                else
                    ops::scale(*this, b, C.row(i));
            return;
        }
        auto const flag = [](op o) { return o == op::none ? clblast::Transpose::kNo : clblast::Transpose::kYes; };
        // The leading dimension of a single row may be anything here, not there.
        auto const ld = [](auto const & m) { return std::max(m.ld, m.cols); };
        auto * raw = queue();
        std::lock_guard const lock{opencl::product_mutex()};
        opencl::check(clblast::Gemm<T>(clblast::Layout::kRowMajor, flag(oa), flag(ob), C.rows, C.cols, inner, a,
                                       A.data.memory(), A.data.offset(), ld(A), B.data.memory(), B.data.offset(), ld(B),
                                       b, C.data.memory(), C.data.offset(), ld(C), &raw),
                      "Gemm");
    }

    /// Every row := its softmax: a work-group to a row, a work-item to each of its lanes. Throws as map
    template <real T> void softmax_rows(matrix<T> m) {
        expect_precision<T>();
        if (m.rows == 0 || m.cols == 0)
            return;
        auto const program = session_->programs.get(opencl::softmax_source<T>());
        cl_int status = CL_SUCCESS;
        auto const kernel = opencl::kernel_handle::adopt(clCreateKernel(program.get(), "softmax_rows", &status));
        opencl::check(status, "clCreateKernel");
        auto const group = std::bit_floor(std::min(group_size(kernel.get(), false), std::bit_ceil(m.cols)));
        auto const global = std::min(m.rows, 256 * device().compute_units) * group;
        cl_uint index = 0;
        auto const argument = [&](std::size_t size, void const * value) {
            opencl::check(clSetKernelArg(kernel.get(), index++, size, value), "clSetKernelArg");
        };
        cl_mem const memory = m.data.memory();
        argument(sizeof memory, &memory);
        for (cl_ulong const n : {cl_ulong{m.data.offset()}, cl_ulong{m.rows}, cl_ulong{m.cols}, cl_ulong{m.ld}})
            argument(sizeof n, &n);
        argument(group * sizeof(T), nullptr);
        opencl::check(clEnqueueNDRangeKernel(queue(), kernel.get(), 1, nullptr, &global, &group, 0, nullptr, nullptr),
                      "clEnqueueNDRangeKernel");
    }

private:
    cl_command_queue or_new(opencl::queue_handle & queue) {
        if (!queue)
            queue = new_queue(*session_);
        return queue.get();
    }
    [[nodiscard]] opencl::memory_handle new_memory(std::size_t bytes, cl_mem_flags flags = CL_MEM_READ_WRITE,
                                                   void const * contents = nullptr) const {
        cl_int status = CL_SUCCESS;
        auto memory = opencl::memory_handle::adopt(
            clCreateBuffer(context(), flags, bytes, const_cast<void *>(contents), &status));
        if (status != CL_SUCCESS)
            throw device_error{opencl::message("allocation of " + std::to_string(bytes) + " bytes on " + device().name
                                                   + ", whose largest buffer is "
                                                   + std::to_string(device().largest_buffer),
                                               status),
                               status};
        return memory;
    }
    /// At least so many bytes; keeps what is large enough.
    void reserve(opencl::memory_handle & memory, std::size_t & size, std::size_t bytes) const {
        if (size < bytes) {
            memory = {}; // first, so that both do not exist at once
            size = 0;
            memory = new_memory(bytes);
            size = bytes;
        }
    }
    template <real T> void expect_precision() const {
        if (!supports<T>())
            throw unsupported_error{"OpenCL: " + device().name + " does not compute in double (no cl_khr_fp64)"};
    }

    /// Names a type, without run-time type information.
    template <class Type> static constexpr char identity = 0;

    template <real T, bool Sums, class Kernel, class... Outs, class... Ins>
    void run(Kernel const & kernel, std::tuple<Outs...> const & outs, std::span<double> totals, std::size_t n,
             Ins const &... ins) {
        static_assert(std::is_empty_v<Kernel>, "a kernel has no captures: a device sees its operands only");
        expect_precision<T>();
        auto & call = std::get<opencl::call<T>>(calls_);
        call.clear();
        std::apply([&](auto const &... out) { (call.add(out), ...); }, outs);
        call.end_outputs();
        (call.add(ins), ...);
        if (n == 0)
            return;

        auto const * const tag = &identity<std::tuple<Kernel, T, std::bool_constant<Sums>>>;
        key_.assign(reinterpret_cast<char const *>(&tag), sizeof tag).append(call.signature());
        auto at = kernels_.find(key_);
        if (at == kernels_.end())
            at = compile<T>(call, [&](opencl::access<T> const & reach) {
                return opencl::trace<T, Sums, sizeof...(Outs)>(kernel, reach, ins...);
            });
        expects_shape(at->second.sums <= totals.size(), "reduce: the kernel adds to more sums than there are");
        launch<T>(at->second, call, n, totals);
    }

    // ---- compiling

    /// Traces and builds the kernel of a call, under `key_`.
    template <real T, class Trace>
    std::unordered_map<std::string, compiled>::iterator compile(opencl::call<T> const & call, Trace const & trace) {
        std::size_t const fixed = 8 * sizeof(cl_ulong);
        bool const tables =
            call.bytes() + fixed > (options_.parameters ? *options_.parameters : device().parameter_bytes);
        opencl::access<T> const reach(call.slots(), tables, shape());
        return build<T>(call, reach, tables, trace(reach));
    }
    // Not inlined, as what is behind it: there is one for each T, not for each kernel.
    template <real T>
    [[gnu::noinline]] std::unordered_map<std::string, compiled>::iterator build(opencl::call<T> const & call,
                                                                                opencl::access<T> const & reach,
                                                                                bool tables,
                                                                                opencl::traced const & traced) {
        compiled result;
        result.tables = tables;
        std::vector<std::size_t> sums;
        for (auto const & term : traced.terms)
            if (std::ranges::find(sums, term.first) == sums.end())
                sums.push_back(term.first);
        std::ranges::sort(sums);
        result.sums = sums.empty() ? 0 : sums.back() + 1;
        // Sums of a group share half its local memory; those of a chunk are on a stack.
        auto const most = shape() == opencl::kernel_shape::groups
                              ? std::clamp<std::size_t>(device().local_memory / 2 / (opencl::lanes * sizeof(T)), 1, 256)
                              : std::size_t{256};
        std::size_t done = 0;
        do {
            auto const count = std::min(most, sums.size() - done);
            typename compiled::part part;
            part.sums.assign(sums.begin() + static_cast<std::ptrdiff_t>(done),
                             sums.begin() + static_cast<std::ptrdiff_t>(done + count));
            done += count;
            // Outputs last, as they may be inputs.
            auto const source = opencl::source_of<T>(traced, reach, call.slots(), call.outputs(), tables, shape(),
                                                     part.sums, done == sums.size());
            auto const program = session_->programs.get(source);
            cl_int status = CL_SUCCESS;
            part.kernel = opencl::kernel_handle::adopt(clCreateKernel(program.get(), "lathe_kernel", &status));
            opencl::check(status, "clCreateKernel");
            part.group = group_size(part.kernel.get(), part.sums.empty());
            result.parts.push_back(std::move(part));
        } while (done != sums.size());
        return kernels_.emplace(key_, std::move(result)).first;
    }
    /// Work-items of a group: one for chunks, one for each lane of sums, more for maps.
    std::size_t group_size(cl_kernel kernel, bool is_map) const {
        if (shape() == opencl::kernel_shape::chunks)
            return 1;
        std::size_t most = 1;
        opencl::check(
            clGetKernelWorkGroupInfo(kernel, device().id, CL_KERNEL_WORK_GROUP_SIZE, sizeof most, &most, nullptr),
            "clGetKernelWorkGroupInfo");
        if (options_.group)
            most = std::min(most, *options_.group);
        return std::max<std::size_t>(1, std::min(most, is_map ? std::size_t{256} : opencl::lanes));
    }

    // ---- launching

    template <real T>
    [[gnu::noinline]] void launch(compiled const & kernel, opencl::call<T> const & call, std::size_t n,
                                  std::span<double> totals) {
        if (!kernel.tables) {
            for (auto const & part : kernel.parts)
                launch<T>(part, call, 0, n, totals, nullptr);
            return;
        }
        // Elements of lists in one buffer, part by part; numbers and streams in tables.
        table_buffers t;
        auto const block = host::reduction_block;
        auto const lists = std::max<std::size_t>(1, call.listed());
        auto const part =
            std::min(std::max(options_.gather / 8 / lists / block, std::size_t{1}), (n + block - 1) / block) * block;
        t.stride = part * 8;
        reserve(lists_, lists_bytes_, lists * t.stride);
        std::vector<T> numbers(1);
        std::vector<cl_ulong> streams(3);
        for (auto const & s : call.slots())
            if (s.what == opencl::slot::kind::number) {
                numbers.resize(s.ordinal + 1);
                std::memcpy(&numbers[s.ordinal], s.value.data(), sizeof(T));
            }
        t.numbers = new_memory(numbers.size() * sizeof(T), CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, numbers.data());
        for (std::size_t first = 0; first < n; first += part) {
            auto const count = std::min(part, n - first);
            for (auto const & s : call.slots())
                if (s.what == opencl::slot::kind::stream) {
                    streams.resize(3 * s.ordinal + 3);
                    streams[3 * s.ordinal] = s.stream.seed;
                    streams[3 * s.ordinal + 1] = s.stream.purpose;
                    streams[3 * s.ordinal + 2] = s.stream.first + first;
                } else if (s.what == opencl::slot::kind::elements && s.listed) {
                    auto const size = size_of(s.type);
                    opencl::check(clEnqueueCopyBuffer(queue(), s.memory, lists_.get(), s.offset + first * size,
                                                      s.ordinal * t.stride, count * size, 0, nullptr, nullptr),
                                  "clEnqueueCopyBuffer");
                }
            t.streams =
                new_memory(streams.size() * sizeof(cl_ulong), CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, streams.data());
            for (auto const & p : kernel.parts)
                launch<T>(p, call, first, count, totals, &t);
        }
    }
    struct table_buffers {
        std::size_t stride = 0;
        opencl::memory_handle numbers, streams;
    };

    /// Elements [first, first + n) of all operands.
    template <real T>
    [[gnu::noinline]] void launch(compiled::part const & part, opencl::call<T> const & call, std::size_t first,
                                  std::size_t n, std::span<double> totals, table_buffers const * t) {
        auto const sums = part.sums.size();
        auto const block = host::reduction_block;
        auto const blocks = (n + block - 1) / block;
        if (sums != 0)
            reserve(partial_, partial_bytes_, blocks * sums * sizeof(T));

        bool const chunks = shape() == opencl::kernel_shape::chunks;
        std::size_t global, share = 0;
        if (chunks) { // a few chunks for each unit, so that all are busy to the end
            auto const items = std::min(blocks, 8 * device().compute_units);
            share = (blocks + items - 1) / items * block;
            global = (n + share - 1) / share;
        } else {
            auto const wanted = sums != 0 ? blocks : (n + part.group - 1) / part.group;
            global = std::min(wanted, 256 * device().compute_units) * part.group;
        }

        cl_uint index = 0;
        auto const argument = [&](auto const & value) {
            opencl::check(clSetKernelArg(part.kernel.get(), index++, sizeof value, &value), "clSetKernelArg");
        };
        argument(cl_ulong{n});
        argument(cl_ulong{share});
        if (sums != 0)
            argument(partial_.get());
        if (t != nullptr) {
            argument(lists_.get());
            argument(cl_ulong{t->stride});
            argument(t->numbers.get());
            argument(t->streams.get());
        }
        using kind = opencl::slot::kind;
        for (auto const & s : call.slots()) {
            if (s.what == kind::elements && (t == nullptr || !s.listed)) {
                argument(s.memory);
                argument(cl_ulong{s.offset + first * size_of(s.type)});
            } else if (s.what == kind::number && t == nullptr) {
                T value;
                std::memcpy(&value, s.value.data(), sizeof value);
                argument(value);
            } else if (s.what == kind::stream && t == nullptr) {
                argument(cl_ulong{s.stream.seed});
                argument(cl_ulong{s.stream.purpose});
                argument(cl_ulong{s.stream.first + first});
            }
        }
        opencl::check(
            clEnqueueNDRangeKernel(queue(), part.kernel.get(), 1, nullptr, &global, &part.group, 0, nullptr, nullptr),
            "clEnqueueNDRangeKernel");
        if (sums == 0)
            return;
        host_partial_.resize(blocks * sums * sizeof(T));
        opencl::check(clEnqueueReadBuffer(queue(), partial_.get(), CL_TRUE, 0, host_partial_.size(),
                                          host_partial_.data(), 0, nullptr, nullptr),
                      "clEnqueueReadBuffer of sums");
        for (std::size_t b = 0; b != blocks; ++b)
            for (std::size_t k = 0; k != sums; ++k) {
                T value;
                std::memcpy(&value, host_partial_.data() + (b * sums + k) * sizeof(T), sizeof value);
                totals[part.sums[k]] += static_cast<double>(value);
            }
    }
};

static_assert(matrix_space<opencl_backend, float> && matrix_space<opencl_backend, double>);
static_assert(has_storage_operands<opencl_backend, float> && has_storage_operands<opencl_backend, double>);
static_assert(all_live<opencl_backend, float, ops::axpby_fn, ops::dot_many_fn, ops::softmax_rows_fn>);

LATHE_NAMESPACE_END
