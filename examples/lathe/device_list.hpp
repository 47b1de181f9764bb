#pragma once
/// \file  What there is to compute on.
#include "flags.hpp"

namespace lathe_cli {

/// The devices of a backend as an array of objects: `backend` is what --backend takes. Defined and instantiated in
/// backend/devices.cpp. \throws device_error
template <class Backend> json devices_of();

} // namespace lathe_cli
