#include "bench/report/output.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>
#include <string>

#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

TEST(Output, WritesWhatTheStreamIsGivenAndGivesItBack) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  std::ostringstream stream;
  const std::string text(10'000, 'x');
  {
    Output output(stream, ends[1]);
    stream << text << 42;
    EXPECT_EQ(output.Finish(), 0);
  }
  close(ends[1]);
  std::string read_back(20'000, ' ');
  read_back.resize(static_cast<size_t>(read(ends[0], read_back.data(), read_back.size())));
  close(ends[0]);
  EXPECT_EQ(read_back, text + "42");
  stream << "later";
  EXPECT_EQ(stream.str(), "later");
}

TEST(Output, OfAPipeWithoutAReaderIsAnErrorAndNoSignal) {
  struct sigaction mine = {};
  mine.sa_handler = SIG_DFL;
  struct sigaction before;
  ASSERT_EQ(sigaction(SIGPIPE, &mine, &before), 0);
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  close(ends[0]);
  std::ostringstream stream;
  Output output(stream, ends[1]);
  stream << std::string(10'000, 'x');
  EXPECT_TRUE(stream.good()) << "whoever writes on is not told";
  EXPECT_EQ(output.Finish(), EPIPE);
  close(ends[1]);
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
  sigaction(SIGPIPE, &before, nullptr);
}

TEST(Output, OfAFullDiskIsItsFirstError) {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  std::ostringstream stream;
  Output output(stream, full);
  stream << "x";
  EXPECT_EQ(output.Finish(), ENOSPC);
  close(full);
  stream << "more" << std::flush;
  EXPECT_EQ(output.Finish(), ENOSPC) << "nothing is tried again";
}

}  // namespace
}  // namespace ipcmark::bench
