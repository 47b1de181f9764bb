# An overlay port over this tree: vcpkg install lathe --overlay-ports=.packaging/vcpkg
# The tests run this file with stand-ins for vcpkg's functions; vcpkg itself, whose registry they cannot reach, never ran it.
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(VCPKG_BUILD_TYPE release) # headers only

vcpkg_check_features(OUT_FEATURE_OPTIONS layers FEATURES
    eigen LATHE_EIGEN
    xtensor LATHE_XTENSOR
    opencl LATHE_OPENCL
    io LATHE_IO
    dot LATHE_DOT
    sentences LATHE_SENTENCES
    reflect LATHE_REFLECT)
foreach(backend IN ITEMS opencl xtensor eigen) # the last that is wanted
    if(backend IN_LIST FEATURES)
        set(default_backend -DLATHE_DEFAULT_BACKEND=${backend})
    endif()
endforeach()
vcpkg_cmake_configure(SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS -DLATHE_BUILD_TESTS=OFF -DLATHE_BUILD_EXAMPLES=OFF -DLATHE_BUILD_BENCH=OFF ${layers} ${default_backend})
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/lathe)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/share/doc")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
