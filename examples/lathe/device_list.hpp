#pragma once
/// \file  What there is to compute on.
#include "flags.hpp"

namespace lathe_cli {

/// The devices of a backend as an array of objects: `backend` is what --backend takes. Defined and instantiated in
/// backend/devices.cpp. \throws device_error
template <class Backend> json devices_of();
/// What the device that a backend takes for that choice is called; "host" where it has none. \throws device_error,
/// option_error
template <class Backend> std::string device_name(std::string_view device);

/// The same for what --backend says. \throws usage_error besides
std::string chosen_device(std::string const & backend);

} // namespace lathe_cli
