#include "stress/stepper.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

namespace ipcmark::stress {
namespace {

constexpr int kMarker = SIGUSR2;  // the victim raises it before and after its call

}  // namespace

#if defined(__x86_64__)
namespace {
constexpr size_t kAddressOffset = offsetof(user_regs_struct, rip);
constexpr uint64_t kBreakpoint = 0xcc;  // INT3
constexpr uint64_t kLowByte = 0xff;
}  // namespace

absl::Status MayStep() {
  const Victim victim([] {}, [] {});
  return victim.ready() ? absl::OkStatus() : absl::UnavailableError("this process may not use ptrace(2)");
}

Victim::Victim(absl::FunctionRef<void()> prepare, absl::FunctionRef<void()> call) : pid_(fork()) {
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
    prepare();
    raise(kMarker);
    call();
    raise(kMarker);
    _exit(0);
  }
  int status = 0;
  stopped_ = waitpid(pid_, &status, 0) == pid_ && WIFSTOPPED(status) && WSTOPSIG(status) == kMarker;
}

bool Victim::Resume(int request) {
  int status = 0;
  stopped_ = ptrace(static_cast<__ptrace_request>(request), pid_, nullptr, nullptr) == 0 &&
             waitpid(pid_, &status, 0) == pid_ && WIFSTOPPED(status);
  finished_ = stopped_ && WSTOPSIG(status) == kMarker;
  return stopped_ && !finished_;
}

uint64_t Victim::Address() const {
  return static_cast<uint64_t>(ptrace(PTRACE_PEEKUSER, pid_, kAddressOffset, nullptr));
}

std::vector<uint64_t> Victim::Record() {
  std::vector<uint64_t> addresses = {Address()};
  while (Resume(PTRACE_SINGLESTEP)) addresses.push_back(Address());
  return addresses;
}

bool Victim::RunToAddress(uint64_t address) {
  // Off the breakpoint first, if it stands there.
  if (Address() == address && !Resume(PTRACE_SINGLESTEP)) return false;
  if (Address() == address) return true;
  errno = 0;
  const auto word = static_cast<uint64_t>(ptrace(PTRACE_PEEKTEXT, pid_, address, nullptr));
  if (errno != 0 || ptrace(PTRACE_POKETEXT, pid_, address, (word & ~kLowByte) | kBreakpoint) != 0) return false;
  const bool there = Resume(PTRACE_CONT) && Address() == address + 1;
  if (!stopped_) return false;
  ptrace(PTRACE_POKETEXT, pid_, address, word);
  if (there) ptrace(PTRACE_POKEUSER, pid_, kAddressOffset, address);
  return there;
}

bool Victim::RunTo(const std::vector<uint64_t>& record, uint64_t n) {
  if (n >= record.size()) {
    while (Resume(PTRACE_CONT)) {
    }
    return finished_;
  }
  if (n == 0) return true;  // it stands there
  const auto first = record.begin() + 1;
  const auto passes = std::count(first, first + static_cast<ptrdiff_t>(n), record[n]);
  for (auto pass = passes; pass > 0; --pass) {
    if (!RunToAddress(record[n])) return false;
  }
  return true;
}
#else
absl::Status MayStep() { return absl::UnavailableError("stepping is written for x86-64"); }
Victim::Victim(absl::FunctionRef<void()>, absl::FunctionRef<void()>) : pid_(-1) {}
bool Victim::Resume(int) { return false; }
uint64_t Victim::Address() const { return 0; }
std::vector<uint64_t> Victim::Record() { return {}; }
bool Victim::RunToAddress(uint64_t) { return false; }
bool Victim::RunTo(const std::vector<uint64_t>&, uint64_t) { return false; }
#endif

void Victim::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) == pid_ && !WIFSIGNALED(status) && !WIFEXITED(status)) {
  }
  pid_ = -1;
}

}  // namespace ipcmark::stress
