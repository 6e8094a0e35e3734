#include "ipc/sysv_shm/shm_tool_for_test.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ipc/sysv_shm/segment_limits.h"
#include "ipc/sysv_shm/segment_table.h"

namespace ipcmark::sysv_shm {
namespace {

std::string TakeFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  unlink(path.c_str());
  return text.str();
}

std::vector<int> Ids() {
  std::vector<int> ids;
  for (const SegmentInfo& segment : ListSegments(ListScope::kAll).value_or(std::vector<SegmentInfo>())) {
    ids.push_back(segment.id);
  }
  return ids;
}

}  // namespace

std::string Temporary(const char* name) { return absl::StrCat(getenv("TEST_TMPDIR"), "/", name, ".", getpid()); }

pid_t SpawnShm(const std::vector<std::string>& arguments, const posix_spawn_file_actions_t& actions) {
  std::vector<std::string> words = {"ipc/sysv_shm/shm"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  return posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ) == 0 ? pid : -1;
}

// Files and no pipes: a program that fills one pipe while the other is read would wait for ever.
Outcome RunShm(const std::vector<std::string>& arguments, const std::string& input, const char* output) {
  const std::string in = Temporary("in");
  const std::string out = Temporary("out");
  const std::string err = Temporary("err");
  std::ofstream(in, std::ios::binary) << input;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, in.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output != nullptr ? output : out.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const pid_t pid = SpawnShm(arguments, actions);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  if (pid > 0) waitpid(pid, &status, 0);
  Outcome outcome;
  if (pid > 0) outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.out = TakeFile(out);
  outcome.err = TakeFile(err);
  unlink(in.c_str());
  return outcome;
}

Outcome RunWords(const std::string& words) {
  return RunShm(words.empty() ? std::vector<std::string>() : absl::StrSplit(words, ' '));
}

void ShmTool::SetUpTestSuite() { EnterPrivateNamespace(0).IgnoreError(); }

void ShmTool::SetUp() { before_ = Ids(); }

void ShmTool::TearDown() {
  made_ = Segment();
  EXPECT_EQ(Ids(), before_);
}

std::string ShmTool::Make(size_t bytes) {
  absl::StatusOr<Segment> segment = Segment::Create(bytes, 0x51);
  if (!segment.ok()) ADD_FAILURE() << segment.status();
  if (segment.ok()) made_ = *std::move(segment);
  return absl::StrCat("--id=", made_.id());
}

}  // namespace ipcmark::sysv_shm
