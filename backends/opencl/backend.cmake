lathe_add_backend(opencl PACKAGES OpenCL "CLBlast CONFIG" LINK lathe::lathe OpenCL::OpenCL clblast # no version: Debian's has none
    PC_REQUIRES clblast OpenCL PC_FLAGS -DCL_TARGET_OPENCL_VERSION=120
    DEBIAN libclblast-dev ocl-icd-opencl-dev opencl-headers)
if(TARGET lathe_opencl)
    target_compile_definitions(lathe_opencl INTERFACE CL_TARGET_OPENCL_VERSION=120)
endif()
