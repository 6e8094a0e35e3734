#include "bench/machine/system_calls.h"

#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "bench/slice.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/os/clock.h"
#include "ipc/os/process_group.h"

namespace ipcmark::bench {
namespace {

using testing::HasSubstr;

// Sees to it that tracefs is where it belongs, for this process alone if the system has none there; why it cannot.
std::string NeedTracefs() {
  if (std::ifstream(absl::StrCat(kTracefs, "/events/raw_syscalls/sys_enter/id")).is_open()) return "";
  if (unshare(CLONE_NEWNS) != 0) return absl::StrCat("unshare(CLONE_NEWNS): ", strerrorname_np(errno));
  mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  if (mount("nodev", kTracefs, "tracefs", 0, nullptr) != 0) {
    return absl::StrCat("mount(tracefs): ", strerrorname_np(errno));
  }
  return "";
}

// Runs `body` in a child, whose mount goes with it; skips, and says why, where nothing can be counted.
void WhereTheyCanBeCounted(absl::FunctionRef<absl::Status()> body) {
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(1);
  ASSERT_TRUE(group.ok());
  const auto child = [&](os::Gate& gate) -> absl::Status {
    gate.Arrive();
    const std::string why = NeedTracefs();
    if (!why.empty()) return absl::UnavailableError("skip: " + why);
    const absl::Status can = SystemCallCounter::Open().status();
    if (!can.ok()) return absl::UnavailableError(absl::StrCat("skip: ", can.message()));
    return body();
  };
  ASSERT_TRUE(group->Spawn("child", os::kAnyCpu, child).ok());
  ASSERT_TRUE(group->Start(os::After(60'000'000'000)).ok());
  const absl::Status end = group->Join(os::After(60'000'000'000));
  if (std::string(end.message()).find("skip: ") != std::string::npos) {
    GTEST_SKIP() << "system calls cannot be counted here, " << end.message();
  }
  EXPECT_TRUE(end.ok()) << end;
}

absl::Status Expect(int64_t expected, int64_t counted) {
  if (counted == expected) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(counted, " counted of ", expected));
}

TEST(SystemCallCounter, CountsExactlyThoseInBetween) {
  WhereTheyCanBeCounted([]() -> absl::Status {
    const absl::StatusOr<SystemCallCounter> counter = SystemCallCounter::Open();
    if (!counter.ok()) return counter.status();
    for (const int64_t calls : {0, 1, 1000}) {
      const absl::StatusOr<int64_t> before = counter->Read();
      for (int64_t n = 0; n < calls; ++n) syscall(SYS_getppid);
      const absl::StatusOr<int64_t> after = counter->Read();
      if (!before.ok() || !after.ok()) return absl::InternalError("it cannot be read");
      absl::Status exact = Expect(calls, *after - *before - 1);
      if (!exact.ok()) return exact;
    }
    return absl::OkStatus();
  });
}

TEST(UsageMeter, CountsSystemCallsWhenToldAndNotItsOwn) {
  WhereTheyCanBeCounted([]() -> absl::Status {
    const UsageMeter untold;
    absl::Status status = Expect(-1, untold.Stop().system_calls);
    CountSystemCalls(true);
    for (const int64_t calls : {0, 3, 500}) {
      const UsageMeter told;
      for (int64_t n = 0; n < calls; ++n) syscall(SYS_getppid);
      if (status.ok()) status = Expect(calls, told.Stop().system_calls);
    }
    // A child has its own counter.
    absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(1);
    if (!group.ok()) return group.status();
    const auto child = [](os::Gate& gate) {
      gate.Arrive();
      const UsageMeter told;
      for (int64_t n = 0; n < 7; ++n) syscall(SYS_getppid);
      return Expect(7, told.Stop().system_calls);
    };
    if (status.ok()) status = group->Spawn("grandchild", os::kAnyCpu, child).status();
    if (status.ok()) status = group->Start(os::After(60'000'000'000));
    if (status.ok()) status = group->Join(os::After(60'000'000'000));
    return status;
  });
}

TEST(SideUsage, AddedToWhatWasNotCountedIsNotCounted) {
  SideUsage sum = {};
  SideUsage other = {};
  sum.system_calls = 5;
  other.system_calls = 7;
  sum += other;
  EXPECT_EQ(sum.system_calls, 12);
  other.system_calls = -1;
  sum += other;
  EXPECT_EQ(sum.system_calls, -1);
  other.system_calls = 7;
  sum += other;
  EXPECT_EQ(sum.system_calls, -1);
}

TEST(SystemCallCounter, SaysWhatIsMissing) {
  const std::string folder = testing::TempDir() + "/no_tracefs";
  EXPECT_THAT(std::string(SystemCallCounter::Open(folder).status().message()),
              AllOf(HasSubstr(folder), HasSubstr("mount -t tracefs")));
  // A number that is no tracepoint's.
  std::filesystem::create_directories(folder + "/events/raw_syscalls/sys_enter");
  std::ofstream(folder + "/events/raw_syscalls/sys_enter/id") << "2147483647\n";
  EXPECT_THAT(std::string(SystemCallCounter::Open(folder).status().message()), HasSubstr("perf_event_open"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace ipcmark::bench
