#include "registered.hpp"

namespace lathe_replay {
template <class Backend> void add_averages(runner_table & table) {
    using namespace lathe::registry;
    add_registered<average>(table);
    add_registered<linear>(table);
    add_registered<task_arithmetic>(table);
    add_registered<slerp>(table);
    add_registered<fisher>(table);
}
template void add_averages<selected>(runner_table &);
} // namespace lathe_replay
