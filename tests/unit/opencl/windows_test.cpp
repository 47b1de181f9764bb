// Windows of checkpoints on their way to the device and back, moved or shared, while kernels work on others.
#include "support.hpp"

#include <lathe/core/parameters.hpp>
#include <lathe/merge/linear.hpp>

#include <lathe/backend/eigen.hpp>

namespace {
using namespace lathe_test;

/// Hands out windows in the reader's buffer only, which every read overwrites.
class copying_checkpoint final : public checkpoint {
    checkpoint & from_;

public:
    explicit copying_checkpoint(checkpoint & from) : from_(from) {}
    [[nodiscard]] std::span<tensor_info const> tensors() const override { return from_.tensors(); }
    [[nodiscard]] std::string_view label() const override { return "copying"; }
    [[nodiscard]] std::map<std::string, std::string> const & metadata() const override { return from_.metadata(); }
    std::span<std::byte const> read(std::size_t index, std::size_t first, std::size_t size,
                                    window_buffer & buffer) override {
        window_buffer scratch;
        auto const window = from_.read(index, first, size, scratch);
        auto const to = buffer.reserve(size + 3).subspan(3); // at any alignment
        std::ranges::copy(window, to.begin());
        return to;
    }
};
/// Takes windows in the writer's buffer only, in order, and spoils the buffer.
class ordered_sink final : public checkpoint_sink {
public:
    memory_checkpoint result;
    std::vector<std::pair<std::size_t, std::size_t>> order;
    std::size_t asked = 0;
    bool finished = false;

    void begin(std::vector<tensor_info> tensors, std::map<std::string, std::string> metadata) override {
        result.begin(std::move(tensors), std::move(metadata));
    }
    std::span<std::byte> window(std::size_t, std::size_t, std::size_t size, window_buffer & buffer) override {
        ++asked;
        auto const window = buffer.reserve(size + 1).subspan(1);
        std::ranges::fill(window, std::byte{0x77});
        return window;
    }
    void commit(std::size_t index, std::size_t first, std::span<std::byte const> bytes) override {
        order.emplace_back(index, first);
        std::ranges::copy(bytes, result.bytes(index).subspan(first).begin());
        std::ranges::fill(std::span{const_cast<std::byte *>(bytes.data()), bytes.size()}, std::byte{0x66});
    }
    void finish() override {
        CHECK(order.size() == asked);
        finished = true;
    }
};

memory_checkpoint & fill(memory_checkpoint & c, std::uint32_t which) {
    auto const add = [&](char const * name, shape extents, dtype type) {
        auto const x = numbers<float>(count_of(extents), which);
        std::vector<std::byte> bytes(x.size() * size_of(type));
        host::store(type, x.data(), x.size(), bytes.data());
        c.set({name, type, std::move(extents)}, bytes);
    };
    add("a", {100'003}, dtype::f32);
    add("b", {50'001}, dtype::bf16);
    add("c", {3}, dtype::f16);
    add("d", {20'000}, dtype::f64);
    return c;
}
} // namespace

TEST_CASE("windows are moved or shared, in order and whole", "[opencl]") {
    memory_checkpoint base, one, two;
    fill(base, 1), fill(one, 2), fill(two, 3);
    copying_checkpoint base_file(base), one_file(one), two_file(two);
    for (bool const in_place : {false, true}) {
        auto const pool = in_place ? merge::model_pool(&base, {&one, &two}, {.window = 4096})
                                   : merge::model_pool(&base_file, {&one_file, &two_file}, {.window = 4096});
        ordered_sink expected;
        eigen_backend host;
        merge::task_arithmetic(host, pool, expected, {.scaling = 0.5}); // exact but for sums, which round alike
        REQUIRE(expected.finished);
        for (bool const share : {false, true})
            for (auto const shape : {kernel_shape::chunks, kernel_shape::groups}) {
                CAPTURE(in_place, share, static_cast<int>(shape));
                opencl_backend be(opencl::options{.shape = shape, .share = share});
                CHECK(be.shares_memory() == share);
                for (int round = 0; round != 3; ++round) {
                    ordered_sink found;
                    merge::task_arithmetic(be, pool, found, {.scaling = 0.5});
                    CHECK(found.finished);
                    CHECK(found.order == expected.order);
                    for (std::size_t i = 0; i != 4; ++i)
                        CHECK(std::ranges::equal(found.result.bytes(i), expected.result.bytes(i)));
                }
            }
    }
}

TEST_CASE("parameters go to a device and back", "[opencl]") {
    memory_checkpoint model;
    fill(model, 4);
    copying_checkpoint file(model);
    std::vector<tensor_info> const tensors(model.tensors().begin(), model.tensors().end());
    parameter_layout const layout(tensors);
    for (bool const share : {false, true}) {
        opencl_backend be(opencl::options{.share = share});
        auto const x = be.allocate<double>(layout.size());
        read_parameters<opencl_backend, double>(be, layout, file, x.view());
        ordered_sink back;
        write_parameters<opencl_backend, double>(be, layout, x.view(), back);
        CHECK(back.finished);
        for (std::size_t i = 0; i != 4; ++i)
            CHECK(std::ranges::equal(back.result.bytes(i), model.bytes(i)));
    }
}

TEST_CASE("a merge that is stopped leaves nothing under way", "[opencl]") {
    memory_checkpoint one, two;
    fill(one, 1), fill(two, 2);
    struct after_five {
        int * asked;
        [[nodiscard]] bool stop_requested() const { return ++*asked > 5; }
    };
    for (bool const share : {false, true}) {
        opencl_backend be(opencl::options{.share = share});
        int asked = 0;
        {
            ordered_sink sink;
            auto const pool = merge::model_pool(nullptr, {&one, &two}, {.window = 4096});
            control<no_observer, after_five> const ctl{{}, after_five{&asked}};
            CHECK(merge::average(be, pool, sink, {}, ctl) == status::stopped);
            CHECK(!sink.finished);
            CHECK(sink.order.size() < sink.asked); // the last one was on its way
        }
        be.sync();
    }
}
