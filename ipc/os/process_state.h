#ifndef IPCMARK_IPC_OS_PROCESS_STATE_H_
#define IPCMARK_IPC_OS_PROCESS_STATE_H_

// What another process is doing, as the kernel sees it and not as long as one has waited for it: field 3 of
// /proc/PID/stat (proc(5)).

#include <sys/types.h>

namespace ipcmark::os {

// 'R' runs or could, 'S' sleeps in a system call that a signal would end, 'D' in one that it would not, 'T' stopped by
// a signal, 't' by a tracer, 'Z' dead and not reaped; '?' when there is no such process (any more), or none that this
// PID namespace knows. Of a thread group's first thread; of another one when asked by its thread number. A look costs
// some microseconds and allocates nothing. Safe to call at any time from any thread or signal handler; changes errno.
char ProcessState(pid_t pid) noexcept;

// The same from an open /proc/PID/stat, which never means another process that has got the number.
char ProcessStateIn(int stat_fd) noexcept;

inline bool IsAsleep(pid_t pid) noexcept { return ProcessState(pid) == 'S'; }

}  // namespace ipcmark::os

#endif  // IPCMARK_IPC_OS_PROCESS_STATE_H_
