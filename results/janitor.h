// Leaves nothing behind, whatever ends the gate: a second process that removes a temporary folder, ends what the gate
// had started, and lets git forget the worktrees in that folder. It acts when the gate is gone, by SIGKILL too, because
// it waits for the end of a pipe that only the gate holds open. On a normal end the gate waits for it.
#ifndef IPCMARK_RESULTS_JANITOR_H_
#define IPCMARK_RESULTS_JANITOR_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace ipcmark::results {

// Where worktrees may be, in the folder.
constexpr char kBaseTree[] = "base";
constexpr char kHeadTree[] = "head";

// What is told to end has so long to clean up after itself before it is killed.
constexpr double kGraceSeconds = 5;

class Janitor {
 public:
  // Makes the folder, under $TMPDIR or /tmp. Must be called before the process has a second thread.
  static absl::StatusOr<std::unique_ptr<Janitor>> Start();
  Janitor(const Janitor&) = delete;
  Janitor& operator=(const Janitor&) = delete;
  // Cleans up and waits until that is done.
  ~Janitor();

  const std::string& folder() const { return folder_; }

  // The process group `leader` is ended when the gate is, until Forget.
  void Watch(pid_t leader) const;
  void Forget() const;

  // The worktrees of `repository` in the folder are to be forgotten.
  void PruneWorktrees(const std::string& repository) const;

 private:
  Janitor(std::string folder, pid_t pid, int pipe) : folder_(std::move(folder)), pid_(pid), pipe_(pipe) {}
  void Tell(char command, const std::string& argument) const;

  std::string folder_;
  pid_t pid_;
  int pipe_;
};

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_JANITOR_H_
