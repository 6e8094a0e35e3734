#ifndef IPCMARK_BENCH_REPORT_FORMAT_H_
#define IPCMARK_BENCH_REPORT_FORMAT_H_

// Quantities as people read them: three significant digits and a unit. At most nine columns for all that a clock can
// measure, except sizes, which are exact.

#include <cstdint>
#include <string>

namespace ipcmark::bench {

std::string FormatNanos(double nanos);                 // "85.3 ns", "1.27 µs", "41.0 ms", "2.50 s"
std::string FormatRate(double per_second);             // "98.1 M/s", "870 k/s", "12.0 /s"
std::string FormatBytes(uint64_t bytes);               // "64 B", "4 KiB", "1 MiB": powers of 1024, as sizes are chosen
std::string FormatBandwidth(double bytes_per_second);  // "44.1 GB/s": powers of 1000, as memory is rated
std::string FormatCount(double count);                 // "0.02", "1.97", "250": switches per message

// Columns on a terminal: a UTF-8 sequence is one.
int Columns(const std::string& text);

// At most `width` columns (1 or more) of `text`; "…" at the end says that there was more.
std::string Cut(const std::string& text, int width);

// In lines of at most `width` columns, broken at spaces, all but the first behind `indent` more; a longer word stays
// whole.
std::string Wrap(const std::string& text, int width, int indent);

// Pads to `width` columns.
std::string PadLeft(const std::string& text, int width);
std::string PadRight(const std::string& text, int width);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_REPORT_FORMAT_H_
