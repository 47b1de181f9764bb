/// \file  A little of everything that the OpenCL backend does with memory, for valgrind_opencl.sh.
#include <lathe/backend/opencl.hpp>

#include <cstdio>

using namespace lathe;

int main() {
    std::vector<float> x(4096, 1.5F), y(4096, 2.0F);
    double found = 0;
    for (bool const share : {false, true}) {
        opencl_backend be(opencl::options{.share = share});
        auto a = be.allocate<float>(4096), b = be.allocate<float>(4096), c = be.allocate<float>(4096);
        be.upload(std::span<float const>{x}, a.view());
        be.upload(std::span<float const>{y}, b.view());
        ops::axpy(be, 2.0F, cvec<opencl_backend, float>(a.view()), b.view());
        ops::gemm(be, op::none, op::transpose, 1.0F, as_matrix(a.view(), 64, 64), as_matrix(b.view(), 64, 64), 0.0F,
                  as_matrix(c.view(), 64, 64));
        found += ops::dot(be, cvec<opencl_backend, float>(a.view()), cvec<opencl_backend, float>(c.view()));
        std::vector<float> back(4096);
        be.download(cvec<opencl_backend, float>(c.view()), std::span{back});
        found += static_cast<double>(back[5]);
    }
    bool const right = found == 2 * (4096 * 1.5 * 480 + 480);
    std::printf("%g: %s\n", found, right ? "right" : "wrong");
    return right ? 0 : 1;
}
