#include "bench/report/output.h"

#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

namespace ipcmark::bench {
namespace {

// Writes all of it; 0 or errno.
int WriteAll(int fd, const char* text, size_t bytes) {
  while (bytes > 0) {
    const ssize_t written = write(fd, text, bytes);
    if (written >= 0) {
      text += written;
      bytes -= static_cast<size_t>(written);
    } else if (errno == EAGAIN) {
      pollfd writable = {.fd = fd, .events = POLLOUT, .revents = 0};
      poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

// The same with SIGPIPE held back; one that this raises is taken away before it is let through again.
int WriteWithoutSignal(int fd, const char* text, size_t bytes) {
  sigset_t pipe;
  sigset_t before;
  sigset_t pending;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigpending(&pending);
  const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  const int error = WriteAll(fd, text, bytes);
  const timespec at_once = {};
  if (error == EPIPE && !was_pending) {
    while (sigtimedwait(&pipe, nullptr, &at_once) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

}  // namespace

Output::Output(std::ostream& stream, int fd) : stream_(stream), before_(stream.rdbuf(this)), fd_(fd) {
  setp(buffer_, buffer_ + sizeof(buffer_));
}

Output::~Output() {
  Finish();
  stream_.rdbuf(before_);
}

int Output::Finish() {
  sync();
  return error_;
}

Output::int_type Output::overflow(int_type c) {
  sync();
  if (!traits_type::eq_int_type(c, traits_type::eof())) {
    *pptr() = traits_type::to_char_type(c);
    pbump(1);
  }
  return traits_type::not_eof(c);
}

int Output::sync() {
  if (error_ == 0) error_ = WriteWithoutSignal(fd_, pbase(), static_cast<size_t>(pptr() - pbase()));
  setp(buffer_, buffer_ + sizeof(buffer_));
  return 0;
}

}  // namespace ipcmark::bench
