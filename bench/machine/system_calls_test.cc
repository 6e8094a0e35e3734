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
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/os/clock.h"
#include "ipc/os/process_group.h"

namespace ipcmark::bench {
namespace {

using testing::HasSubstr;

// Where tracefs is: the system's, or one that only this process sees; empty, and why, where there is none.
std::string Tracefs(std::string* why) {
  if (std::ifstream(absl::StrCat(kTracefs, "/events/raw_syscalls/sys_enter/id")).is_open()) return kTracefs;
  if (unshare(CLONE_NEWNS) != 0) {
    *why = absl::StrCat("no tracefs, and unshare(CLONE_NEWNS): ", strerrorname_np(errno));
    return "";
  }
  mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  const std::string folder = testing::TempDir() + "/tracefs";
  std::filesystem::create_directories(folder);
  if (mount("nodev", folder.c_str(), "tracefs", 0, nullptr) != 0) {
    *why = absl::StrCat("no tracefs, and mount(tracefs): ", strerrorname_np(errno));
    return "";
  }
  return folder;
}

// In a child, so that its mount goes with it. What the body returns as `skip` is why it cannot be tested here.
void InChild(absl::FunctionRef<absl::Status(const SystemCallCounter&)> body) {
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(1);
  ASSERT_TRUE(group.ok());
  const auto child = [&](os::Gate& gate) -> absl::Status {
    gate.Arrive();
    std::string why;
    const std::string tracefs = Tracefs(&why);
    if (tracefs.empty()) return absl::UnavailableError("skip: " + why);
    const absl::StatusOr<SystemCallCounter> counter = SystemCallCounter::Open(tracefs);
    if (!counter.ok()) return absl::UnavailableError(absl::StrCat("skip: ", counter.status().message()));
    return body(*counter);
  };
  ASSERT_TRUE(group->Spawn("child", os::kAnyCpu, child).ok());
  ASSERT_TRUE(group->Start(os::After(60'000'000'000)).ok());
  const absl::Status end = group->Join(os::After(60'000'000'000));
  if (std::string(end.message()).find("skip: ") != std::string::npos) {
    GTEST_SKIP() << "system calls cannot be counted here, " << end.message();
  }
  EXPECT_TRUE(end.ok()) << end;
}

TEST(SystemCallCounter, CountsExactlyThoseInBetween) {
  InChild([](const SystemCallCounter& counter) -> absl::Status {
    for (const int64_t calls : {0, 1, 1000}) {
      const absl::StatusOr<int64_t> before = counter.Read();
      for (int64_t n = 0; n < calls; ++n) syscall(SYS_getppid);
      const absl::StatusOr<int64_t> after = counter.Read();
      if (!before.ok() || !after.ok()) return absl::InternalError("it cannot be read");
      if (*after - *before - 1 != calls) {
        return absl::InternalError(absl::StrCat(*after - *before - 1, " counted of ", calls));
      }
    }
    return absl::OkStatus();
  });
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
