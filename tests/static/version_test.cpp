// Compile-only: the version, and that the namespace everything lies in is named after it.
#include <lathe/core/error.hpp>

#include <concepts>
#include <string_view>

#define LATHE_TEST_TEXT_OF(x) #x
#define LATHE_TEST_TEXT(x) LATHE_TEST_TEXT_OF(x)

// A version is a number that grows, whatever its parts.
static_assert(LATHE_VERSION == LATHE_VERSION_MAJOR * 10000 + LATHE_VERSION_MINOR * 100 + LATHE_VERSION_PATCH);
static_assert(LATHE_VERSION_MINOR < 100 && LATHE_VERSION_PATCH < 100, "two digits each");
#if LATHE_VERSION < 1
#    error "the preprocessor can compare versions"
#endif

// Entities of another major version, or with other checks, are other entities: they can be linked together.
static_assert(std::string_view{LATHE_TEST_TEXT(LATHE_ABI)}.starts_with("v" LATHE_TEST_TEXT(LATHE_VERSION_MAJOR)));
static_assert(std::string_view{LATHE_TEST_TEXT(LATHE_ABI)}.ends_with("_checked") == (LATHE_CHECKED == 1));
static_assert(std::same_as<lathe::error, lathe::LATHE_ABI::error>);
