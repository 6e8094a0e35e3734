// The tool as its users meet it: arguments in, words and an exit status out.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/os/clock.h"
#include "ipc/os/fd.h"
#include "ipc/sysv_shm/segment.h"
#include "ipc/sysv_shm/shm_test_support.h"
#include "ipc/sysv_shm/shm_tool_for_test.h"
#include "rapidjson/document.h"

namespace ipcmark::sysv_shm {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

rapidjson::Document Json(const Outcome& outcome) {
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  rapidjson::Document json;
  json.Parse(outcome.out.data(), outcome.out.size());
  EXPECT_FALSE(json.HasParseError()) << outcome.out;
  if (!json.IsObject()) json.SetObject();
  return json;
}

std::vector<std::string> Keys(const rapidjson::Value& object) {
  std::vector<std::string> keys;
  for (const auto& member : object.GetObject()) keys.emplace_back(member.name.GetString());
  return keys;
}

void ExpectColumns(const std::string& text) {
  for (const auto line : absl::StrSplit(text, '\n')) EXPECT_LE(line.size(), 100U) << line;
}

struct Mistake {
  const char* words;
  const char* named;  // what the one sentence must name
};

constexpr Mistake kMistakes[] = {
    {"", "--help"},
    {"frobnicate", "frobnicate"},
    {"create", "--bytes=4KiB"},
    {"create --bytes=0", "--bytes=0"},
    {"create --bytes=-1", "--bytes=-1"},
    {"create --bytes=4kB", "--bytes=4kB"},
    {"create --bytes=16EiB", "--bytes=16EiB"},
    {"create --bytes", "--bytes=VALUE"},
    {"create --bytes=1 --key=0", "--key=0"},
    {"create --bytes=1 --key=0x1ffffffff", "--key=0x1ffffffff"},
    {"create --bytes=1 --key=1 --ftok=/,1", "one of"},
    {"create --bytes=1 --ftok=/", "--ftok=/"},
    {"create --bytes=1 --ftok=/,256", "--ftok=/,256"},
    {"create --bytes=1 --ftok=/,0", "--ftok=/,0"},
    {"create --bytes=1 --mode=888", "--mode=888"},
    {"create --bytes=1 --mode=01000", "--mode=01000"},
    {"create --bytes=1 --huge=3MiB", "--huge=3MiB"},
    {"create --bytes=1 --reuse", "--reuse"},
    {"create --bytes=1 --hex", "--hex"},
    {"create --bytes=1 --json=yes", "--json"},
    {"list --id=1", "--id=1"},
    {"list extra", "extra"},
    {"stat", "--id=N"},
    {"stat --id=-1", "--id=-1"},
    {"stat --id=2147483648", "--id=2147483648"},
    {"stat --id=1x", "--id=1x"},
    {"set --id=1", "--uid"},
    {"set --id=1 --uid=no-such-user-here", "no-such-user-here"},
    {"set --id=1 --gid=4294967295", "--gid=4294967295"},
    {"read --id=1 --hex --json", "--json"},
    {"remove", "--id=N"},
    {"limits --bytes=1", "--bytes=1"},
};

TEST_F(ShmTool, AnswersAMistakeWithOneSentenceAndStatusTwo) {
  for (const Mistake& mistake : kMistakes) {
    SCOPED_TRACE(mistake.words);
    const Outcome outcome = RunWords(mistake.words);
    EXPECT_EQ(outcome.status, 2);
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, AllOf(StartsWith("shm: "), HasSubstr(mistake.named)));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1);
  }
  EXPECT_EQ(RunShm({"create\n\x1b[31m"}).err, "shm: create\\n\\033[31m: no such command; see --help\n");
}

struct Refusal {
  const char* words;
  const char* call;  // system call and object
  const char* err;
  const char* remedy;
};

constexpr Refusal kRefusals[] = {
    {"stat --id=2147483647", "shmctl(id=2147483647, IPC_STAT)", "EINVAL", "list what exists"},
    {"stat --key=0x7e57", "shmget(key=0x7e57)", "ENOENT", "create it"},
    {"stat --ftok=/no/such/file,1", "ftok(/no/such/file, 1)", "ENOENT", "existing file"},
    {"set --id=2147483647 --mode=600", "shmctl(id=2147483647, IPC_STAT)", "EINVAL", "list what exists"},
    {"lock --id=2147483647", "shmctl(id=2147483647, SHM_LOCK", "EINVAL", "list what exists"},
    {"unlock --id=2147483647", "shmctl(id=2147483647, SHM_UNLOCK)", "EINVAL", "list what exists"},
    {"remove --id=2147483647", "shmctl(id=2147483647, IPC_RMID)", "EINVAL", "list what exists"},
    {"read --id=2147483647", "shmctl(id=2147483647, IPC_STAT)", "EINVAL", "list what exists"},
    {"write --id=2147483647 --text=a", "shmctl(id=2147483647, IPC_STAT)", "EINVAL", "list what exists"},
    {"create --bytes=1 --key=0x51", "shmget(key=0x51, 1 bytes)", "EEXIST", "another key"},
    {"create --bytes=8KiB --key=0x51 --reuse", "shmget(key=0x51, 8192 bytes)", "EINVAL", "existing segment"},
    {"create --bytes=8EiB --no-reserve", "shmget(key=0, 9223372036854775808 bytes)", "EINVAL", "kernel.shmmax"},
};

TEST_F(ShmTool, AnswersARefusalWithOneSentenceAndStatusOne) {
  Make();
  for (const Refusal& refusal : kRefusals) {
    SCOPED_TRACE(refusal.words);
    const Outcome outcome = RunWords(refusal.words);
    EXPECT_EQ(outcome.status, 1);
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, AllOf(StartsWith("shm: "), HasSubstr(refusal.call), HasSubstr(refusal.remedy),
                                   HasSubstr(absl::StrCat(": ", refusal.err, " ("))));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1);
  }
}

TEST_F(ShmTool, AnotherUserIsRefusedWithStatusOneAndSeesTheSegmentInTheList) {
  const std::string id = Make();
  RunInChild(Isolation::kNone, [&] {
    // Where the others cannot write is nothing to be tested.
    const std::string folder = absl::StrCat("/tmp/shm_cli_test.", getpid());
    if (mkdir(folder.c_str(), 0700) != 0 || chown(folder.c_str(), 65534, 65534) != 0)
      return Skip("no second user here");
    absl::Status status = setenv("TEST_TMPDIR", folder.c_str(), 1) == 0 ? BecomeNobody() : Skip("setenv");
    if (status.ok()) {
      for (const auto& [command, err] : std::vector<std::pair<std::string, std::string>>{
               {"stat", "EACCES"}, {"read", "EACCES"}, {"lock", "EPERM"}, {"unlock", "EPERM"}, {"remove", "EPERM"}}) {
        const Outcome outcome = RunShm({command, id});
        if (outcome.status == -1) status = Skip("user 65534 may not run the tool where it lies");
        if (outcome.status != 1 || !absl::StrContains(outcome.err, err)) status.Update(Wrong(command + outcome.err));
      }
      if (!absl::StrContains(RunShm({"list"}).out, "0x00000051")) status.Update(Wrong("list does not show it"));
      if (absl::StrContains(RunShm({"list", "--readable"}).out, "0x00000051"))
        status.Update(Wrong("--readable shows it"));
    }
    rmdir(folder.c_str());
    return status;
  });
}

TEST_F(ShmTool, HelpOfEveryCommandHasExamplesAndFits) {
  EXPECT_THAT(RunWords("--help").out, AllOf(HasSubstr("ipcmk"), HasSubstr("Exit status: 0")));
  for (const char* command :
       {"create", "list", "stat", "set", "write", "read", "lock", "unlock", "remove", "limits", "help"}) {
    SCOPED_TRACE(command);
    const Outcome outcome = RunShm({command, "--help"});
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.err, "");
    EXPECT_THAT(outcome.out, AllOf(StartsWith("usage: shm "), HasSubstr("Exit status: 0")));
    if (std::string(command) != "help") {
      EXPECT_THAT(outcome.out, HasSubstr(absl::StrCat("\n  ./bazelw run //ipc/sysv_shm:shm -- ", command)));
    }
    ExpectColumns(outcome.out);
  }
}

TEST_F(ShmTool, CreatesListsAndRemovesByKey) {
  const rapidjson::Document made = Json(RunWords("create --bytes=5000 --key=0x52 --mode=0640 --json"));
  EXPECT_EQ(made["bytes"].GetUint64(), 5000U);
  EXPECT_STREQ(made["key"].GetString(), "0x00000052");
  EXPECT_STREQ(made["mode"].GetString(), "0640");
  const Outcome list = RunWords("list");
  EXPECT_THAT(list.out, AllOf(HasSubstr("id  key "), HasSubstr(" 0x00000052 "), HasSubstr(" 0640 ")));
  const rapidjson::Document again = Json(RunWords("create --bytes=1KiB --key=82 --reuse --json"));
  EXPECT_EQ(again["id"].GetInt(), made["id"].GetInt());
  EXPECT_EQ(RunWords("remove --key=0x52").out, absl::StrCat("removed id ", made["id"].GetInt(), "\n"));
}

TEST_F(ShmTool, EveryFieldHasItsKeyInJson) {
  const std::string id = Make();
  const rapidjson::Document stat = Json(RunShm({"stat", id, "--json"}));
  const auto keys = ElementsAre("id", "key", "bytes", "attached", "mode", "uid", "gid", "creator_uid", "creator_gid",
                                "creator_pid", "last_pid", "sequence", "attach_time_unix_seconds",
                                "detach_time_unix_seconds", "change_time_unix_seconds", "marked_for_removal", "locked");
  EXPECT_THAT(Keys(stat), keys);
  EXPECT_TRUE(stat["attach_time_unix_seconds"].IsNull());
  EXPECT_EQ(stat["creator_pid"].GetInt(), getpid());
  const rapidjson::Document list = Json(RunWords("list --json"));
  EXPECT_THAT(Keys(list), ElementsAre("segments", "usage"));
  EXPECT_THAT(Keys(list["segments"][list["segments"].Size() - 1]), keys);
  EXPECT_THAT(Keys(list["usage"]),
              ElementsAre("segments", "page_bytes", "total_pages", "resident_pages", "swapped_pages"));
}

TEST_F(ShmTool, TableFitsEvenWithTheLargestSegment) {
  const rapidjson::Document made = Json(RunWords("create --bytes=9223372036854775807 --no-reserve --json"));
  const Outcome list = RunWords("list");
  EXPECT_THAT(list.out, HasSubstr(" 9223372036854775807 "));
  ExpectColumns(list.out);
  EXPECT_EQ(RunWords(absl::StrCat("remove --id=", made["id"].GetInt())).status, 0);
}

TEST_F(ShmTool, WritesAndReadsBytesAsTheyAre) {
  const std::string id = Make(70'000);
  std::string bytes;
  for (int at = 0; at < 69'000; ++at) bytes += static_cast<char>(at * 7);
  EXPECT_EQ(RunShm({"write", id, "--offset=1000"}, bytes).status, 0);
  EXPECT_EQ(RunShm({"read", id, "--offset=1000"}).out, bytes);
  EXPECT_EQ(RunShm({"read", id, "--offset=1KiB", "--bytes=10"}).out, bytes.substr(24, 10));
  EXPECT_EQ(RunShm({"read", id, "--offset=70000"}).out, "");
}

TEST_F(ShmTool, WritesTextAndReadsItInHexadecimalAndJson) {
  const std::string id = Make();
  EXPECT_EQ(RunShm({"write", id, "--text=hello, world of bytes"}).status, 0);
  EXPECT_EQ(RunShm({"read", id, "--bytes=18", "--hex"}).out,
            "00000000  68 65 6c 6c 6f 2c 20 77  6f 72 6c 64 20 6f 66 20  |hello, world of |\n"
            "00000010  62 79                                             |by|\n");
  const rapidjson::Document json = Json(RunShm({"read", id, "--bytes=3", "--offset=1", "--json"}));
  EXPECT_STREQ(json["hex"].GetString(), "656c6c");
  EXPECT_EQ(json["offset_bytes"].GetUint64(), 1U);
  EXPECT_EQ(json["bytes"].GetUint64(), 3U);
  EXPECT_EQ(Json(RunShm({"write", id, "--text=x", "--json"}))["bytes"].GetUint64(), 1U);
}

TEST_F(ShmTool, WhatDoesNotFitIsABadInputAndNothingIsWritten) {
  const std::string id = Make(4);
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"write", id}, {"write", id, "--text=hello"}, {"write", id, "--text=", "--offset=5"}}) {
    const Outcome outcome = RunShm(words, "hello");
    EXPECT_EQ(outcome.status, 2);
    EXPECT_THAT(outcome.err, AllOf(StartsWith("shm: writing"), HasSubstr("has 4 bytes")));
  }
  EXPECT_EQ(RunShm({"read", id, "--bytes=5"}).status, 2);
  EXPECT_EQ(RunShm({"read", id, "--offset=1EiB"}).status, 2);
  EXPECT_EQ(RunShm({"read", id}).out, std::string(4, '\0'));
}

TEST_F(ShmTool, SetsLocksAndUnlocks) {
  const std::string id = Make();
  EXPECT_STREQ(Json(RunShm({"set", id, "--mode=0440", "--json"}))["mode"].GetString(), "0440");
  EXPECT_TRUE(Json(RunShm({"lock", id, "--json"}))["locked"].GetBool());
  EXPECT_THAT(RunWords("list").out, HasSubstr("  locked\n"));
  EXPECT_THAT(RunShm({"unlock", id}).out, HasSubstr("status    -\n"));
}

TEST_F(ShmTool, RemovingAnAttachedSegmentSaysWhenItGoes) {
  const std::string id = Make();
  absl::StatusOr<Attachment> attachment = made_.Attach();
  ASSERT_TRUE(attachment.ok()) << attachment.status();
  EXPECT_THAT(RunShm({"remove", id}).out, HasSubstr("it goes with the last of its 1 attachments"));
  EXPECT_THAT(RunWords("list").out, HasSubstr("  dest\n"));
  EXPECT_EQ(Json(RunShm({"remove", id, "--json"}))["attached"].GetInt(), 1);
}

TEST_F(ShmTool, FtokPathIsRelativeToWhereTheUserIs) {
  const std::string path = Temporary("ftok");
  std::ofstream(path) << "";
  setenv("BUILD_WORKING_DIRECTORY", path.substr(0, path.rfind('/')).c_str(), 1);
  const std::string flag = absl::StrCat("--ftok=", path.substr(path.rfind('/') + 1), ",9");
  EXPECT_EQ(RunShm({"create", "--bytes=1", flag}).status, 0);
  absl::StatusOr<key_t> key = KeyFromPath(path, 9);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_TRUE(Segment::FindId(*key).ok());
  EXPECT_EQ(RunShm({"remove", flag}).status, 0);
  unsetenv("BUILD_WORKING_DIRECTORY");
  unlink(path.c_str());
}

TEST_F(ShmTool, ASegmentWhoseIdCouldNotBePrintedIsNotLeftBehind) {
  const Outcome outcome = RunShm({"create", "--bytes=1"}, "", "/dev/full");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("write(standard output): ENOSPC"));
}

TEST_F(ShmTool, TouchingAPageForWhichThereIsNoMemoryIsASentenceToo) {
  std::string free;
  std::getline(std::ifstream("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"), free);
  if (free != "0") GTEST_SKIP() << "huge pages of 2 MiB are free here, or none are supported";
  const Outcome made = RunWords("create --bytes=2MiB --huge=2MiB --no-reserve --key=0x53");
  if (absl::StrContains(made.err, "EPERM")) GTEST_SKIP() << made.err;
  for (const char* words : {"write --key=0x53 --text=a", "read --key=0x53"}) {
    const Outcome outcome = RunWords(words);
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("SIGBUS"), HasSubstr("vm.nr_hugepages")));
  }
  EXPECT_EQ(RunWords("remove --key=0x53").status, 0);
}

TEST_F(ShmTool, LimitsAreReachedOrSaidNotToBe) {
  const Outcome text = RunWords("limits");
  EXPECT_EQ(text.status, 0) << text.out;
  for (const char* name : {"SHMMAX  ", "SHMMIN  1 bytes", "SHMMNI  ", "SHMALL  ", "SHMSEG  none"}) {
    EXPECT_THAT(text.out, HasSubstr(name));
  }
  ExpectColumns(text.out);
  const rapidjson::Document json = Json(RunWords("limits --json"));
  ASSERT_EQ(json["limits"].Size(), 5U);
  for (const auto& limit : json["limits"].GetArray()) {
    for (const char* key : {"name", "value", "unit", "enforced", "outcome", "how"}) {
      EXPECT_TRUE(limit.HasMember(key)) << key;
    }
    const std::string outcome = limit["outcome"].GetString();
    EXPECT_THAT(outcome, testing::AnyOf("reached", "not_provable"));
    EXPECT_EQ(limit.HasMember("reached_at"), outcome == "reached");
  }
  const Outcome alone = RunWords("limits --no-proof");
  EXPECT_THAT(alone.out, AllOf(HasSubstr("SHMMNI  "), testing::Not(HasSubstr("reached"))));
  EXPECT_STREQ(Json(RunWords("limits --no-proof --json"))["limits"][0]["outcome"].GetString(), "not_tried");
}

TEST_F(ShmTool, LimitsKilledInTheMiddleLeavesNoProcessBehind) {
  int output[2];
  ASSERT_EQ(pipe2(output, O_CLOEXEC), 0);
  const os::Fd output_read(output[0]);
  os::Fd output_write(output[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output_write.get(), STDOUT_FILENO);
  const pid_t pid = SpawnShm({"limits"}, actions);
  posix_spawn_file_actions_destroy(&actions);
  ASSERT_GT(pid, 0);
  output_write.Reset();
  // Until a proof runs: the tool has a child then. No event tells it, so /proc is looked at again and again.
  const std::string children = absl::StrCat("/proc/", pid, "/task/", pid, "/children");
  const Deadline deadline = os::After(30 * os::kNanosPerSecond);
  std::string child;
  while (child.empty() && !os::HasPassed(deadline)) std::getline(std::ifstream(children), child, ' ');
  kill(pid, SIGKILL);
  int status = 0;
  waitpid(pid, &status, 0);
  if (child.empty()) GTEST_SKIP() << "no child was seen: this kernel has no CONFIG_PROC_CHILDREN";
  // The child holds the pipe's other end as standard output: the end of file says that it has died too.
  pollfd end = {.fd = output_read.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&end, 1, 30'000), 1);
  EXPECT_NE(end.revents & POLLHUP, 0);
}

}  // namespace
}  // namespace ipcmark::sysv_shm
