/// \file  Methods that decompose matrices. All in one translation unit: Eigen's decompositions take long to compile.
#include "registered.hpp"

namespace lathe_replay {
template <class Backend> void add_spectral(runner_table & table) {
    using namespace lathe::registry;
    add_registered<regmean>(table);
    add_registered<tsv>(table);
    add_registered<iso_c>(table);
    add_registered<iso_cts>(table);
}
template void add_spectral<selected>(runner_table &);
} // namespace lathe_replay
