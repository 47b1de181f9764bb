#pragma once
/// \file  Digests that name and seal what is kept on disk.
#include <lathe/random/sha256.hpp>

#include <string>
#include <string_view>

LATHE_NAMESPACE_BEGIN
namespace opencl {

/// The SHA-256 of a text, as 64 hexadecimal digits. Time: linear.
inline std::string sha256(std::string_view text) {
    random::sha256 hash;
    hash.add({reinterpret_cast<std::uint8_t const *>(text.data()), text.size()});
    std::string hex;
    for (auto const byte : hash.value()) {
        hex.push_back("0123456789abcdef"[byte >> 4]);
        hex.push_back("0123456789abcdef"[byte & 0xf]);
    }
    return hex;
}

} // namespace opencl
LATHE_NAMESPACE_END
