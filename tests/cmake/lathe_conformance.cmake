# lathe_add_conformance_test(<name> BACKEND <type> HEADER <header> [LINK <targets>...] [SCALARS <types>...])
#
# Adds the program <name> and the test of that name: every law of <lathe/testing/conformance.hpp>, asked of a
# default-constructed <type>, which <header> declares. SCALARS is `float double` unless given. The program prints one
# line a law and a count, and fails if a law is broken or if none was asked.
#
#     find_package(lathe CONFIG REQUIRED)
#     lathe_add_conformance_test(my_backend_conformance BACKEND mine::backend HEADER mine/backend.hpp LINK mine::mine)
include_guard()

function(lathe_add_conformance_test name)
    cmake_parse_arguments(test "" "BACKEND;HEADER" "LINK;SCALARS" ${ARGN})
    if(NOT test_BACKEND OR NOT test_HEADER OR test_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "lathe_add_conformance_test(<name> BACKEND <type> HEADER <header> [LINK <targets>...] "
            "[SCALARS <types>...]): found '${ARGN}'")
    endif()
    if(NOT test_SCALARS)
        set(test_SCALARS float double)
    endif()
    set(calls "")
    foreach(scalar IN LISTS test_SCALARS)
        string(APPEND calls "    ask<${scalar}>(\"${scalar}\");\n")
    endforeach()
    file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp @ONLY CONTENT [=[
#include <@test_HEADER@>

#include <lathe/testing/conformance.hpp>

#include <cstdio>
#include <exception>

namespace {
int passed = 0, failed = 0;

template <class T> void ask(char const * scalar) {
    using backend_type = @test_BACKEND@;
    backend_type backend;
    for (auto const & check : lathe::testing::conformance<backend_type, T>(backend)) {
        std::printf("%-4s %s <%s>%s%s\n", check.passed ? "ok" : "FAIL", check.name.c_str(), scalar,
                    check.detail.empty() ? "" : ": ", check.detail.c_str());
        ++(check.passed ? passed : failed);
    }
}
} // namespace

int main() try {
@calls@    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 && passed != 0 ? 0 : 1;
} catch (std::exception const & e) {
    std::fprintf(stderr, "conformance of @test_BACKEND@: %s\n", e.what());
    return 1;
}
]=])
    add_executable(${name} ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
    target_link_libraries(${name} PRIVATE lathe::lathe ${test_LINK})
    add_test(NAME ${name} COMMAND ${name})
endfunction()
