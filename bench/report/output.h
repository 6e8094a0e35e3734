#ifndef IPCMARK_BENCH_REPORT_OUTPUT_H_
#define IPCMARK_BENCH_REPORT_OUTPUT_H_

// A standard stream whose reader may go away or whose disk may be full: what was measured is still to be written
// elsewhere, so nothing here ends the process.

#include <ostream>
#include <streambuf>

namespace ipcmark::bench {

// While it exists, `stream` writes to `fd` through it. Closed pipes raise no SIGPIPE; the signal's action, which forked
// processes inherit, stays as it is. Behind the first failure everything is dropped.
class Output : public std::streambuf {
 public:
  Output(std::ostream& stream, int fd);
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output() override;

  // Writes what is left. 0, or the errno of the first write(2) that failed; EPIPE: nobody reads it any more.
  int Finish();

 protected:
  int_type overflow(int_type c) override;
  int sync() override;

 private:
  std::ostream& stream_;
  std::streambuf* before_;
  int fd_;
  int error_ = 0;
  char buffer_[4096];
};

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_REPORT_OUTPUT_H_
