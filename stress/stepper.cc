#include "stress/stepper.h"

#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "ipc/os/clock.h"
#include "ipc/os/die_with.h"
#include "ipc/os/process_state.h"

namespace ipcmark::stress {
namespace {

constexpr int kMarker = SIGUSR2;  // the victim raises it before and after its call

struct NumberName {
  int64_t number;
  const char* name;
};
// Those that ipc/ makes, of the ones that every Linux architecture has.
constexpr NumberName kNames[] = {
    {SYS_futex, "futex"},
    {SYS_clone, "clone"},
    {SYS_clone3, "clone3"},
    {SYS_getpid, "getpid"},
    {SYS_gettid, "gettid"},
    {SYS_sched_yield, "sched_yield"},
    {SYS_openat, "openat"},
    {SYS_close, "close"},
    {SYS_read, "read"},
    {SYS_write, "write"},
    {SYS_pread64, "pread64"},
    {SYS_fcntl, "fcntl"},
    {SYS_fstat, "fstat"},
    {SYS_fstatfs, "fstatfs"},
    {SYS_fallocate, "fallocate"},
    {SYS_mmap, "mmap"},
    {SYS_munmap, "munmap"},
    {SYS_mprotect, "mprotect"},
    {SYS_brk, "brk"},
    {SYS_linkat, "linkat"},
    {SYS_unlinkat, "unlinkat"},
    {SYS_clock_gettime, "clock_gettime"},
    {SYS_ppoll, "ppoll"},
    {SYS_pidfd_open, "pidfd_open"},
    {SYS_membarrier, "membarrier"},
    {SYS_rt_sigqueueinfo, "rt_sigqueueinfo"},
    {SYS_rt_sigprocmask, "rt_sigprocmask"},
    {SYS_shmget, "shmget"},
    {SYS_shmat, "shmat"},
    {SYS_shmdt, "shmdt"},
    {SYS_shmctl, "shmctl"},
    {SYS_mq_open, "mq_open"},
    {SYS_mq_unlink, "mq_unlink"},
    {SYS_mq_timedsend, "mq_timedsend"},
    {SYS_mq_timedreceive, "mq_timedreceive"},
    {SYS_mq_getsetattr, "mq_getsetattr"},
    {SYS_prlimit64, "prlimit64"},
    {SYS_getrandom, "getrandom"},
#if defined(__x86_64__)
    {SYS_open, "open"},
    {SYS_stat, "stat"},
    {SYS_lstat, "lstat"},
    {SYS_poll, "poll"},
    {SYS_unlink, "unlink"},
    {SYS_newfstatat, "newfstatat"},
#endif
};

}  // namespace

std::string SystemCallName(int64_t number) {
  for (const NumberName& known : kNames) {
    if (known.number == number) return known.name;
  }
  return absl::StrCat("system call ", number);
}

#if defined(__x86_64__)
namespace {
constexpr size_t kAddressOffset = offsetof(user_regs_struct, rip);
constexpr size_t kNumberOffset = offsetof(user_regs_struct, rax);
constexpr uint64_t kEnterKernel = 0x050f;  // SYSCALL, as its two bytes are read
constexpr uint64_t kBreakpoint = 0xcc;     // INT3
constexpr uint64_t kLowByte = 0xff;
}  // namespace

absl::Status MayStep() {
  const Victim victim([] {}, [] {});
  return victim.ready() ? absl::OkStatus()
                        : absl::UnavailableError(
                              "this process may not use ptrace(2); allow it (kernel.yama.ptrace_scope, the container's "
                              "seccomp filter) or leave out --sweep");
}

Victim::Victim(absl::FunctionRef<void()> prepare, absl::FunctionRef<void()> call, Led led,
               absl::FunctionRef<void()> after) {
  const pid_t parent = getpid();
  pid_ = fork();
  led_ = pid_;
  if (pid_ == 0) {
    os::DieWith(parent);
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
    // Ctrl-C is for the run: here it would be one more stop.
    sigset_t interrupts;
    sigemptyset(&interrupts);
    for (const int signal_number : {SIGINT, SIGTERM, SIGHUP, SIGTSTP}) sigaddset(&interrupts, signal_number);
    sigprocmask(SIG_BLOCK, &interrupts, nullptr);
    prepare();
    const pid_t self = getpid();
    raise(kMarker);
    call();
    // Not raise(3): one system call and no more than it takes, since all of this is recorded, too.
    syscall(SYS_tgkill, self, self, kMarker);
    after();
    _exit(0);
  }
  int status = 0;
  stopped_ = waitpid(pid_, &status, 0) == pid_ && WIFSTOPPED(status) && WSTOPSIG(status) == kMarker;
  if (stopped_) StopOtherThreads();
  if (stopped_ && led == Led::kItsThread) LeadItsThread();
}

void Victim::EndOfThread() { syscall(SYS_tgkill, getpid(), gettid(), kMarker); }

void Victim::LeadItsThread() {
  const std::vector<pid_t> others = OtherThreads();
  while (Resume(PTRACE_CONT)) {
  }
  stopped_ = finished_ && others.size() == 1;
  finished_ = false;
  if (stopped_) led_ = others[0];
}

void Victim::StopOtherThreads() {
  for (const pid_t thread : OtherThreads()) {
    if (ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0) continue;
    ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
    waitpid(thread, nullptr, __WALL);
  }
  // The ones to come stop by themselves, and nobody ever resumes them.
  ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_TRACECLONE);
}

bool Victim::Resume(int request) {
  int status = 0;
  do {
    stopped_ = ptrace(static_cast<__ptrace_request>(request), led_, nullptr, nullptr) == 0 && AwaitStop(&status);
    // In the system call that has made a thread: on, to where it comes back.
  } while (stopped_ && status >> 16 == PTRACE_EVENT_CLONE);
  finished_ = stopped_ && WSTOPSIG(status) == kMarker;
  return stopped_ && !finished_;
}

bool Victim::AwaitStop(int* status) const {
  bool is_told_to_stop = false;
  pid_t seen = 0;
  while (stops_asleep_ && (seen = waitpid(led_, status, WNOHANG | __WALL)) == 0) {
    if (!is_told_to_stop && os::IsAsleep(led_)) is_told_to_stop = kill(led_, SIGSTOP) == 0;
    sched_yield();
  }
  if (!stops_asleep_) seen = waitpid(led_, status, __WALL);
  return seen == led_ && WIFSTOPPED(*status);
}

uint64_t Victim::Address() const {
  return static_cast<uint64_t>(ptrace(PTRACE_PEEKUSER, led_, kAddressOffset, nullptr));
}

Steps Victim::Record() {
  Steps steps;
  for (bool goes_on = true; goes_on;) {
    const uint64_t address = Address();
    const auto code = static_cast<uint64_t>(ptrace(PTRACE_PEEKTEXT, led_, address, nullptr));
    const bool enters_kernel = (code & 0xffff) == kEnterKernel;
    if (enters_kernel) {
      steps.system_calls.push_back({steps.addresses.size(), ptrace(PTRACE_PEEKUSER, led_, kNumberOffset, nullptr), 0});
    }
    steps.addresses.push_back(address);
    const int64_t began_nanos = enters_kernel ? os::MonotonicNanos() : 0;
    goes_on = Resume(PTRACE_SINGLESTEP);
    if (enters_kernel) steps.system_calls.back().nanos = os::MonotonicNanos() - began_nanos;
  }
  // That of the marker.
  if (finished_ && !steps.system_calls.empty()) steps.system_calls.pop_back();
  return steps;
}

bool Victim::RunToAddress(uint64_t address) {
  // Off the breakpoint first, if it stands there.
  if (Address() == address && !Resume(PTRACE_SINGLESTEP)) return false;
  if (Address() == address) return true;
  errno = 0;
  const auto word = static_cast<uint64_t>(ptrace(PTRACE_PEEKTEXT, led_, address, nullptr));
  if (errno != 0 || ptrace(PTRACE_POKETEXT, led_, address, (word & ~kLowByte) | kBreakpoint) != 0) return false;
  const bool there = Resume(PTRACE_CONT) && Address() == address + 1;
  if (!stopped_) return false;
  ptrace(PTRACE_POKETEXT, led_, address, word);
  if (there) ptrace(PTRACE_POKEUSER, led_, kAddressOffset, address);
  return there;
}

bool Victim::RunTo(const Steps& record, uint64_t n) {
  const std::vector<uint64_t>& addresses = record.addresses;
  if (n >= addresses.size()) {
    while (Resume(PTRACE_CONT)) {
    }
    return finished_;
  }
  if (n == 0) return true;  // it stands there
  const auto first = addresses.begin() + 1;
  const auto passes = std::count(first, first + static_cast<ptrdiff_t>(n), addresses[n]);
  for (auto pass = passes; pass > 0; --pass) {
    if (!RunToAddress(addresses[n])) return false;
  }
  return true;
}

bool Victim::LetGo(absl::FunctionRef<bool()> is_over) {
  int status = 0;
  const auto await = [&] {
    pid_t seen = 0;
    while ((seen = waitpid(pid_, &status, WNOHANG | __WALL)) == 0 && !is_over()) sched_yield();
    return seen == pid_;
  };
  if (!stopped_ || led_ != pid_) return false;
  if (!finished_) {
    stopped_ = ptrace(PTRACE_CONT, pid_, nullptr, nullptr) == 0 && await() && WIFSTOPPED(status);
    finished_ = stopped_ && WSTOPSIG(status) == kMarker;
  }
  if (!finished_ || ptrace(PTRACE_DETACH, pid_, nullptr, nullptr) != 0 || !await()) return false;
  pid_ = -1;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool Victim::RunInto(const Steps& record, const SystemCall& call) {
  if (!RunTo(record, call.step)) return false;
  if (ptrace(PTRACE_SINGLESTEP, led_, nullptr, nullptr) != 0) return false;
  int status = 0;
  stopped_ = false;
  while (waitpid(led_, &status, WNOHANG | __WALL) == 0) {
    if (os::IsAsleep(led_)) return true;
    sched_yield();
  }
  stopped_ = WIFSTOPPED(status);
  return stopped_;
}
#else
absl::Status MayStep() {
  return absl::UnavailableError(
      "stepping with ptrace(2) is written for x86-64 only; leave out --sweep on this machine");
}
Victim::Victim(absl::FunctionRef<void()>, absl::FunctionRef<void()>, Led, absl::FunctionRef<void()>)
    : pid_(-1), led_(-1) {}
bool Victim::LetGo(absl::FunctionRef<bool()>) { return false; }
void Victim::EndOfThread() {}
void Victim::LeadItsThread() {}
void Victim::StopOtherThreads() {}
bool Victim::Resume(int) { return false; }
uint64_t Victim::Address() const { return 0; }
Steps Victim::Record() { return {}; }
bool Victim::RunToAddress(uint64_t) { return false; }
bool Victim::RunTo(const Steps&, uint64_t) { return false; }
bool Victim::RunInto(const Steps&, const SystemCall&) { return false; }
#endif

std::vector<pid_t> Victim::OtherThreads() const {
  std::vector<pid_t> threads;
  std::error_code gone;
  std::filesystem::directory_iterator at(absl::StrCat("/proc/", pid_, "/task"), gone);
  for (; !gone && at != std::filesystem::directory_iterator(); at.increment(gone)) {
    const pid_t thread = std::stoi(at->path().filename().string());
    if (thread != pid_) threads.push_back(thread);
  }
  return threads;
}

void Victim::Kill() {
  if (pid_ <= 0) return;
  const std::vector<pid_t> others = OtherThreads();
  kill(pid_, SIGKILL);
  int status = 0;
  // Traced ones are ours to reap, before the process.
  for (const pid_t thread : others) {
    while (waitpid(thread, &status, __WALL) == thread && WIFSTOPPED(status)) {
    }
  }
  while (waitpid(pid_, &status, 0) == pid_ && !WIFSIGNALED(status) && !WIFEXITED(status)) {
  }
  pid_ = -1;
}

}  // namespace ipcmark::stress
