#include "results/revisions.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "results/child.h"
#include "results/text.h"

namespace ipcmark::results {
namespace {

constexpr char kWorktree[] = "worktree";

// The output of a git command, without the line's end.
absl::StatusOr<std::string> Git(std::vector<std::string> arguments, const std::string& folder, const Janitor& janitor) {
  Command command;
  command.arguments = {"git"};
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  command.folder = folder;
  const absl::StatusOr<ChildEnd> end = RunChild(command, janitor);
  if (!end.ok()) return end.status();
  if (end->exit_code != 0) return absl::InvalidArgumentError(absl::StrCat("git: ", LastLine(end->error)));
  return std::string(absl::StripTrailingAsciiWhitespace(end->output));
}

std::string CacheFolder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache != nullptr && *cache == '/') return absl::StrCat(cache, "/ipcmark-gate");
  if (home != nullptr && *home == '/') return absl::StrCat(home, "/.cache/ipcmark-gate");
  return "";
}

absl::Status Build(const std::string& source, const std::string& target, const std::string& links,
                   const Janitor& janitor) {
  std::string cache = CacheFolder();
  if (cache.empty()) cache = absl::StrCat(janitor.folder(), "/cache");
  Command command;
  // --batch: no server stays behind. One output folder for both sides, so that the second reuses what the first built.
  command.arguments = {"bazel",
                       "--batch",
                       absl::StrCat("--output_user_root=", cache),
                       absl::StrCat("--output_base=", cache, "/out"),
                       "build",
                       "--noshow_progress",
                       "--color=no",
                       "--curses=no",
                       absl::StrCat("--symlink_prefix=", links),
                       "--",
                       target};
  command.folder = source;
  const absl::StatusOr<ChildEnd> end = RunChild(command, janitor);
  if (!end.ok()) return end.status();
  if (end->exit_code == 0) return absl::OkStatus();
  constexpr size_t shown_bytes = 4000;
  const std::string& log = end->error;
  std::fputs(log.substr(log.size() - std::min(log.size(), shown_bytes)).c_str(), stderr);
  return absl::InvalidArgumentError(
      absl::StrCat("bazel build ", target, " failed with exit code ", end->exit_code, " in ", source));
}

}  // namespace

std::string OutputOf(const std::string& target) {
  std::string path(absl::StripPrefix(target, "//"));
  const size_t colon = path.rfind(':');
  if (colon == 0) return path.substr(1);
  if (colon != std::string::npos) return path.replace(colon, 1, "/");
  const size_t slash = path.rfind('/');
  return absl::StrCat(path, "/", slash == std::string::npos ? path : path.substr(slash + 1));
}

absl::StatusOr<std::string> FindCheckout(const Janitor& janitor) {
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  return Git({"rev-parse", "--show-toplevel"}, workspace == nullptr ? "" : workspace, janitor);
}

absl::StatusOr<Built> BuildRevision(const std::string& checkout, const std::string& revision, const std::string& target,
                                    const char* tree, const Janitor& janitor) {
  Built built;
  built.path = absl::StrCat(janitor.folder(), "/", tree, ".program");
  built.name = revision;
  std::string source = checkout;
  if (revision != kWorktree) {
    const absl::StatusOr<std::string> commit =
        Git({"rev-parse", "--verify", "--quiet", absl::StrCat(revision, "^{commit}")}, checkout, janitor);
    if (absl::IsCancelled(commit.status())) return commit.status();
    if (!commit.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(revision, ": git knows no such revision in ", checkout, "; name a branch, a tag or a commit"));
    }
    constexpr size_t shown = 12;
    built.name = absl::StrCat(revision, " (", commit->substr(0, shown), ")");
    source = absl::StrCat(janitor.folder(), "/", tree);
    janitor.PruneWorktrees(checkout);
    const absl::StatusOr<std::string> added =
        Git({"worktree", "add", "--quiet", "--detach", source, *commit}, checkout, janitor);
    if (!added.ok()) return added.status();
  }
  std::fprintf(stderr, "gate: building %s of %s\n", PrintableUtf8(target).c_str(), PrintableUtf8(built.name).c_str());
  const std::string links = absl::StrCat(janitor.folder(), "/", tree, "-");
  if (absl::Status status = Build(source, target, links, janitor); !status.ok()) return status;
  std::error_code error;
  std::filesystem::copy_file(absl::StrCat(links, "bin/", OutputOf(target)), built.path, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat(target, ": bazel built it, but there is no program ",
                                                   OutputOf(target), " (", error.message(), ")"));
  }
  return built;
}

}  // namespace ipcmark::results
