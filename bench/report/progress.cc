#include "bench/report/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_format.h"
#include "bench/report/format.h"
#include "ipc/os/clock.h"

namespace ipcmark::bench {
namespace {

// Of the terminal at this moment: it may be made wider or narrower.
int ColumnsOfStderr() {
  constexpr int usual = 80;
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : usual;
}

}  // namespace

std::string ProgressLine(int done, int total, int64_t elapsed_nanos, const std::string& name, int columns) {
  std::string left = "?";
  if (done > 0) {
    const int64_t seconds = elapsed_nanos / done * std::max(0, total - done) / os::kNanosPerSecond;
    left = absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
  }
  return Cut(absl::StrFormat("[%d/%d] %s left  %s", done, total, left, name), std::max(1, columns));
}

Progress::Progress(int total)
    : on_terminal_(isatty(STDERR_FILENO) != 0), total_(total), start_nanos_(os::MonotonicNanos()) {}

void Progress::Begin(const std::string& name, int64_t messages) {
  const bool ended = !name_.empty() && (name != name_ || messages <= messages_);
  if (ended) done_ = std::min(done_ + 1, total_);
  name_ = name;
  messages_ = messages;
  if (!on_terminal_) return;
  // One column less: a line that fills the terminal goes on in the next one.
  const std::string line =
      ProgressLine(done_, total_, os::MonotonicNanos() - start_nanos_, name, ColumnsOfStderr() - 1);
  absl::FPrintF(stderr, "\r\033[K%s", line);
  fflush(stderr);
}

void Progress::Clear() const {
  if (!on_terminal_) return;
  fputs("\r\033[K", stderr);
  fflush(stderr);
}

}  // namespace ipcmark::bench
