// The choice of a device, and what is said where there is none.
#include "support.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <sys/wait.h>

namespace {
using namespace lathe_test;

/// Runs the test cases of a tag, hidden ones too, in another process of this program. \returns what it printed
std::string in_child(std::string const & environment, std::string const & tag, int & status) {
    auto const command =
        environment + " \"$(readlink -f /proc/" + std::to_string(::getpid()) + "/exe)\" '" + tag + "' 2>&1";
    auto * const child = ::popen(command.c_str(), "r");
    REQUIRE(child != nullptr);
    std::string said;
    std::array<char, 256> part;
    while (std::fgets(part.data(), part.size(), child) != nullptr)
        said += part.data();
    auto const ended = ::pclose(child);
    status = WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
    return said;
}
void expect_child(std::string const & environment, std::string const & tag) {
    int status = 0;
    auto const said = in_child(environment, tag, status);
    CAPTURE(said);
    CHECK(status == 0);
    CHECK(said.find("All tests passed") != std::string::npos); // and not: no test was run
}
bool is_one_line(std::string const & text) { return !text.empty() && text.find('\n') == std::string::npos; }

/// What choosing throws.
device_error refusal() {
    try {
        opencl_backend be;
    } catch (device_error const & e) {
        return e;
    }
    FAIL("there is a device");
    return {"", 0};
}
} // namespace

TEST_CASE("contexts do not outlive backends that made products for ever", "[opencl]") {
    std::vector<opencl::context_handle> contexts;
    for (int i = 0; i != 32; ++i) {
        opencl_backend be;
        contexts.push_back(opencl::context_handle::share(be.context()));
        auto m = be.allocate<float>(3 * 16);
        ops::fill(be, 1.0F, m.view());
        auto const part = [&](std::size_t k) { return as_matrix(m.view().sub(16 * k, 16), 4, 4); };
        ops::gemm(be, op::none, op::none, 1.0F, part(0), part(1), 0.0F, part(2));
        be.sync();
    }
    auto const left = std::ranges::count_if(contexts, [](opencl::context_handle const & c) {
        cl_uint shares = 0;
        CHECK(clGetContextInfo(c.get(), CL_CONTEXT_REFERENCE_COUNT, sizeof shares, &shares, nullptr) == CL_SUCCESS);
        return shares == 1; // ours
    });
    CHECK(left > 16); // CLBlast keeps the last few
}

TEST_CASE("devices are listed and chosen by index or name", "[opencl]") {
    auto const all = opencl::devices();
    REQUIRE(!all.empty());
    for (std::size_t i = 0; i != all.size(); ++i) {
        CHECK(all[i].index == i);
        CHECK(!all[i].name.empty());
        CHECK(all[i].largest_buffer != 0);
        CHECK(all[i].parameter_bytes >= 256);
        CHECK(opencl_backend(std::to_string(i)).device().id == all[i].id);
        CHECK(opencl_backend::chosen_device(std::to_string(i)).id == all[i].id);
    }
    auto const & first = all.front();
    CHECK(opencl::choose_device(first.name).id == first.id);
    CHECK(opencl::choose_device(opencl::lower_case(first.name).substr(0, 5)).id == first.id);
    CHECK_THROWS_AS(opencl_backend("no such device"), option_error);
    CHECK_THROWS_WITH(opencl_backend("no such device"), contains("found no such device") && contains(first.name));
    CHECK_THROWS_AS(opencl::choose_device("99"), option_error); // an index, not a part of a name
}

TEST_CASE("LATHE_OPENCL_DEVICE chooses where the program does not", "[opencl]") {
    auto const before = std::getenv("LATHE_OPENCL_DEVICE");
    std::string const saved = before == nullptr ? "" : before;
    ::setenv("LATHE_OPENCL_DEVICE", "unheard of", 1);
    CHECK_THROWS_WITH(opencl_backend(), contains("LATHE_OPENCL_DEVICE: found unheard of"));
    CHECK_NOTHROW(opencl_backend("0"));
    ::setenv("LATHE_OPENCL_DEVICE", "0", 1);
    CHECK(opencl_backend().device().index == 0);
    before == nullptr ? ::unsetenv("LATHE_OPENCL_DEVICE") : ::setenv("LATHE_OPENCL_DEVICE", saved.c_str(), 1);
}

TEST_CASE("without a platform", "[.][without-platform]") {
    CHECK(opencl::devices().empty());
    auto const e = refusal();
    CHECK(e.code == opencl::no_platform);
    CHECK(is_one_line(e.what()));
    CHECK_THAT(e.what(), contains("no platform") && contains("CL_PLATFORM_NOT_FOUND_KHR (-1001)"));
}
TEST_CASE("without a device", "[.][without-device]") {
    CHECK(opencl::devices().empty());
    auto const e = refusal();
    CHECK(e.code == CL_DEVICE_NOT_FOUND);
    CHECK_THAT(e.what(), contains("no platform has a device") && contains("CL_DEVICE_NOT_FOUND (-1)"));
}
TEST_CASE("a machine without platform or device is told so", "[opencl]") {
    expect_child("OCL_ICD_VENDORS=/nonexistent", "[without-platform]");
    if (opencl::devices().front().platform_name == "Portable Computing Language")
        expect_child("POCL_DEVICES=nothing", "[without-device]");
}

TEST_CASE("errors keep their code and its name in one line", "[opencl]") {
    CHECK(opencl::message("x", CL_INVALID_VALUE) == "OpenCL: x: CL_INVALID_VALUE (-30)");
    CHECK(opencl::message("x", -9999) == "OpenCL: x: status -9999");
    CHECK_THROWS_AS(opencl::check(clblast::StatusCode::kNoDoublePrecision, "x"), unsupported_error);
    CHECK_THROWS_WITH(opencl::check(clblast::StatusCode::kInvalidDimension, "Gemm"),
                      contains("CLBlast: Gemm: clblast::StatusCode (-1017)"));
    CHECK_NOTHROW(opencl::check(clblast::StatusCode::kSuccess, "x"));

    opencl_backend be;
    for (auto const n : {std::size_t{1} << 60, std::numeric_limits<std::size_t>::max() / 2}) {
        try {
            auto const buffer = be.allocate<float>(n);
            FAIL("memory without end");
        } catch (device_error const & e) {
            CHECK(e.code == CL_INVALID_BUFFER_SIZE);
            CHECK(is_one_line(e.what()));
            CHECK_THAT(e.what(), contains("allocation of ") && contains("CL_INVALID_BUFFER_SIZE (-61)"));
        }
    }
    try {
        be.programs().get("__kernel void broken() { this is no C; }");
        FAIL("a kernel that is no C was built");
    } catch (device_error const & e) {
        CHECK(e.code == CL_BUILD_PROGRAM_FAILURE);
        CHECK(is_one_line(e.what()));
        CHECK_THAT(e.what(), contains("CL_BUILD_PROGRAM_FAILURE (-11)") && contains("error")); // the log
    }
    // The backend is as good as before.
    auto const x = be.allocate<float>(3);
    ops::fill(be, 2, x.view());
    CHECK(download(be, x.view()) == std::vector<float>(3, 2));
}

TEST_CASE("a backend inside the caller's context", "[opencl]") {
    auto const d = opencl::choose_device();
    cl_int status = CL_SUCCESS;
    auto context = clCreateContext(nullptr, 1, &d.id, nullptr, nullptr, &status);
    auto queue = clCreateCommandQueue(context, d.id, 0, &status);
    REQUIRE(status == CL_SUCCESS);
    std::vector<float> host(100, 3);
    auto memory = clCreateBuffer(context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, 400, host.data(), &status);
    REQUIRE(status == CL_SUCCESS);
    {
        opencl_backend be(context, d.id, queue);
        CHECK(be.queue() == queue);
        auto const x = be.view_of<float>(memory, 98, 2);
        ops::scale(be, 2, x);
        CHECK(ops::dot(be, x, x) == 98 * 36);
        // The backend holds shares of its own.
        clReleaseCommandQueue(queue);
        clReleaseContext(context);
        clReleaseMemObject(memory);
        CHECK(download(be, x) == std::vector<float>(98, 6));
        auto other = be.fork();
        CHECK(other.queue() != be.queue());
        CHECK(other.context() == be.context());
        be.sync();
        CHECK(ops::dot(other, x, x) == 98 * 36);
    }
    if ((opencl::device_info<cl_command_queue_properties>(d.id, CL_DEVICE_QUEUE_PROPERTIES)
         & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)
        == 0)
        return;
    opencl_backend own;
    auto const unordered = opencl::queue_handle::adopt(
        clCreateCommandQueue(own.context(), d.id, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &status));
    REQUIRE(status == CL_SUCCESS);
    CHECK_THROWS_AS(opencl_backend(own.context(), d.id, unordered.get()), option_error);
}
