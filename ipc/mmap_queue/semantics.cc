#include "ipc/mmap_queue/semantics.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "ipc/os/clock.h"
#include "ipc/os/error.h"
#include "ipc/os/process_state.h"

namespace ipcmark::mmap_queue {
namespace {

constexpr char kOurLibrary[] = "ipc/mmap_queue/libmmap_mqueue.so";

std::string& NameText(int which) {
  static std::string* const kNamesText = new std::string[kNames];  // NOLINT: lives as long as the process
  return kNamesText[which];
}

template <typename Function>
void Load(void* library, const char* name, Function** function) {
  *function = reinterpret_cast<Function*>(dlsym(library, name));
  if (*function == nullptr) {
    fprintf(stderr, "%s\n", dlerror());
    abort();
  }
}

}  // namespace

Mqueue KernelMqueue() {
  return {.open = mq_open,
          .close = mq_close,
          .unlink = mq_unlink,
          .getattr = mq_getattr,
          .setattr = mq_setattr,
          .send = mq_send,
          .receive = mq_receive,
          .timedsend = mq_timedsend,
          .timedreceive = mq_timedreceive,
          .notify = mq_notify};
}

Mqueue OurMqueue() {
  void* library = dlopen(kOurLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    fprintf(stderr, "%s\n", dlerror());
    abort();
  }
  Mqueue ours{};
  Load(library, "mq_open", &ours.open);
  Load(library, "mq_close", &ours.close);
  Load(library, "mq_unlink", &ours.unlink);
  Load(library, "mq_getattr", &ours.getattr);
  Load(library, "mq_setattr", &ours.setattr);
  Load(library, "mq_send", &ours.send);
  Load(library, "mq_receive", &ours.receive);
  Load(library, "mq_timedsend", &ours.timedsend);
  Load(library, "mq_timedreceive", &ours.timedreceive);
  Load(library, "mq_notify", &ours.notify);
  return ours;
}

void SetNames(pid_t of) {
  for (int which = 0; which < kNames; ++which) {
    NameText(which) = "/ipcmark_" + std::to_string(of) + "_" + std::to_string(which);
  }
}

const char* Name(int which) { return NameText(which).c_str(); }

std::string Said(long rc) { return rc >= 0 ? std::to_string(rc) : os::ErrnoName(errno); }

mqd_t Make(const Mqueue& mq, int flags, int which) {
  mq_attr attributes{};
  attributes.mq_maxmsg = kDepth;
  attributes.mq_msgsize = kBytes;
  const int access = (flags & O_ACCMODE) != 0 ? 0 : O_RDWR;
  const mqd_t queue = mq.open(Name(which), O_CREAT | O_EXCL | access | flags, 0600, &attributes);
  if (queue < 0) fprintf(stderr, "mq_open(%s): %s\n", Name(which), strerror(errno));
  return queue;
}

void Fill(const Mqueue& mq, mqd_t queue) {
  for (long n = 0; n < kDepth; ++n) mq.send(queue, "full", 4, 1);
}

std::string SendText(const Mqueue& mq, mqd_t queue, const std::string& text, unsigned priority) {
  return Said(mq.send(queue, text.data(), text.size(), priority));
}

std::string ReceiveText(const Mqueue& mq, mqd_t queue) {
  char buffer[kBytes];
  unsigned priority = 0;
  const ssize_t bytes = mq.receive(queue, buffer, sizeof(buffer), &priority);
  if (bytes < 0) return Said(bytes);
  return std::string(buffer, static_cast<size_t>(bytes)) + "/" + std::to_string(priority);
}

std::string Count(const Mqueue& mq, mqd_t queue) {
  mq_attr attributes{};
  const int rc = mq.getattr(queue, &attributes);
  return rc == 0 ? std::to_string(attributes.mq_curmsgs) : Said(rc);
}

timespec RealtimeAfter(int64_t nanos) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return os::ToTimespec(now.tv_sec * os::kNanosPerSecond + now.tv_nsec + nanos);
}

pid_t ForkAndRun(void (*run)(void*), void* argument) {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  run(argument);
  _exit(0);
}

void AwaitAsleep(pid_t pid, const volatile int* flag) {
  while (*flag == 0 || !(os::IsAsleep(pid) || os::ProcessState(pid) == '?')) sched_yield();
}

int* SharedInts() {
  void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<int*>(memory);
}

void Reap(pid_t pid) {
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace ipcmark::mmap_queue
