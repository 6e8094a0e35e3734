#ifndef IPCMARK_IPC_MMAP_QUEUE_SEMANTICS_H_
#define IPCMARK_IPC_MMAP_QUEUE_SEMANTICS_H_

// What <mqueue.h> promises, as rows of a table. semantics_test runs each row twice, on the kernel's queues and on ours.

#include <mqueue.h>
#include <signal.h>
#include <sys/types.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace ipcmark::mmap_queue {

// One implementation of <mqueue.h>.
struct Mqueue {
  mqd_t (*open)(const char*, int, ...);
  int (*close)(mqd_t);
  int (*unlink)(const char*);
  int (*getattr)(mqd_t, mq_attr*);
  int (*setattr)(mqd_t, const mq_attr*, mq_attr*);
  int (*send)(mqd_t, const char*, size_t, unsigned);
  ssize_t (*receive)(mqd_t, char*, size_t, unsigned*);
  int (*timedsend)(mqd_t, const char*, size_t, unsigned, const timespec*);
  ssize_t (*timedreceive)(mqd_t, char*, size_t, unsigned*, const timespec*);
  int (*notify)(mqd_t, const sigevent*);
};

// The system's own.
Mqueue KernelMqueue();
// Those of the shared object that programs preload.
Mqueue OurMqueue();

// A row runs in a process of its own, with one thread and no queue open, and says what it saw: words such as "0" and
// "EAGAIN". Queues that it makes have the names Name(...), which are unlinked before and after.
struct Row {
  const char* name;
  std::string (*run)(const Mqueue& mq);
  const char* expected;
  // Where the kernel's queues differ: what it says, and why we do not.
  const char* kernel = nullptr;
  const char* reason = nullptr;
  // Why our queue does not say it when its policy is posix.
  const char* not_posix = nullptr;
  // Whether it changes to kAnotherUser.
  bool needs_users = false;
};

// Who has nothing.
inline constexpr uid_t kAnotherUser = 65533;

const std::vector<Row>& OpenRows();
const std::vector<Row>& TransferRows();
const std::vector<Row>& DescriptorRows();
const std::vector<Row>& NotifyRows();

// "/ipcmark_PID_which" of the process that runs the table.
const char* Name(int which = 0);
inline constexpr int kNames = 3;
void SetNames(pid_t of);

// Words for results: "0" or a number for success, else the errno's name.
std::string Said(long rc);
// Joins words, which braces evaluate from left to right.
class Words {
 public:
  Words(std::initializer_list<std::string> words) {
    for (const std::string& word : words) text_ += (text_.empty() ? "" : " ") + word;
  }
  operator std::string() const { return text_; }  // NOLINT(google-explicit-constructor)

 private:
  std::string text_;
};

inline constexpr long kDepth = 4;
inline constexpr long kBytes = 16;
// A new queue Name(which) of kDepth messages of kBytes.
mqd_t Make(const Mqueue& mq, int flags = 0, int which = 0);
// Fills it with messages of priority 1.
void Fill(const Mqueue& mq, mqd_t queue);
std::string SendText(const Mqueue& mq, mqd_t queue, const std::string& text, unsigned priority = 0);
// "text/priority" or an errno's name.
std::string ReceiveText(const Mqueue& mq, mqd_t queue);
std::string Count(const Mqueue& mq, mqd_t queue);
// `nanos` from now, on CLOCK_REALTIME.
timespec RealtimeAfter(int64_t nanos);

// A forked child that runs `body` and exits with what it returns. Dies with its parent.
template <typename Body>
pid_t Fork(const Body& body);
pid_t ForkAndRun(void (*run)(void*), void* argument);
template <typename Body>
pid_t Fork(const Body& body) {
  return ForkAndRun([](void* argument) { (*static_cast<const Body*>(argument))(); },
                    const_cast<void*>(static_cast<const void*>(&body)));
}
// Waits until `pid` sleeps in the kernel after it has set *flag.
void AwaitAsleep(pid_t pid, const volatile int* flag);
// Memory that children share.
int* SharedInts();
// Reaps the child.
void Reap(pid_t pid);

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_SEMANTICS_H_
