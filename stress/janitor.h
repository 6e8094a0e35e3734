#ifndef IPCMARK_STRESS_JANITOR_H_
#define IPCMARK_STRESS_JANITOR_H_

// How the janitor (isolation.h) learns of processes that make objects of their own, which the runner that is to remove
// them may not outlive.

#include <sys/socket.h>
#include <sys/types.h>

namespace ipcmark::stress {

// The runner's end of a socket pair of SOCK_SEQPACKET; -1 without a janitor. Set by isolation.cc, once, before any
// fork.
inline int g_janitor = -1;

// What `process`, a child of the runner that makes objects, leaves behind is the janitor's to remove if the runner has
// not done so before. Of the last kEntrusted processes only: the runner has removed what earlier ones left.
inline constexpr int kEntrusted = 8;
inline void EntrustToJanitor(pid_t process) {
  if (g_janitor >= 0) send(g_janitor, &process, sizeof(process), MSG_NOSIGNAL);
}

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_JANITOR_H_
