#include "results/subprocess_for_test.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace ipcmark::results {
namespace {

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::string TakeFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  unlink(path.c_str());
  return text.str();
}

}  // namespace

Outcome RunProgram(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                   const std::string& output_path) {
  // Files, not pipes: a program that fills one pipe while the other is read would wait for ever.
  const char* folder = std::getenv("TEST_TMPDIR");
  const std::string prefix = std::string(folder == nullptr ? "/tmp" : folder) + "/run." + std::to_string(getpid());
  const std::string out_path = output_path.empty() ? prefix + ".out" : output_path;
  const std::string error_path = prefix + ".err";
  constexpr int create = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out_path.c_str(), create, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, error_path.c_str(), create, 0600);
  std::vector<std::string> argv = arguments;
  std::vector<std::string> envp = environment;
  pid_t pid = -1;
  const int spawned =
      posix_spawn(&pid, argv[0].c_str(), &actions, nullptr, Pointers(argv).data(), Pointers(envp).data());
  posix_spawn_file_actions_destroy(&actions);
  Outcome outcome;
  if (spawned != 0) return outcome;
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (output_path.empty()) outcome.output = TakeFile(out_path);
  outcome.error = TakeFile(error_path);
  return outcome;
}

}  // namespace ipcmark::results
