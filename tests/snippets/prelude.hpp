// Before every fragment of the documentation that names this file: the library, a backend, and the names of std.
#include <lathe/backend/eigen.hpp>
#include <lathe/lathe.hpp>

#include <iostream>
#include <string>
#include <vector>
