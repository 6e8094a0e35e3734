// Text for a terminal of fixed-width characters. A column is one code point: names are mostly ASCII, units have a µ.
//
//   PrintableUtf8                no control characters: names come from files, and an escape sequence would be obeyed
//   Columns, PadLeft, PadRight   widths
//   ShortenMiddle                both ends of a benchmark's name tell more than its middle
//   FormatNanos, FormatRate, FormatNumber
#ifndef IPCMARK_RESULTS_TEXT_H_
#define IPCMARK_RESULTS_TEXT_H_

#include <cstddef>
#include <string>

namespace ipcmark::results {

std::string PrintableUtf8(const std::string& text);

size_t Columns(const std::string& text);
std::string PadLeft(const std::string& text, size_t columns);
std::string PadRight(const std::string& text, size_t columns);

// At most `columns` wide, with "..." in place of what is left out. `columns` must be at least 5.
std::string ShortenMiddle(const std::string& text, size_t columns);

// Three significant digits: "4.70 µs".
std::string FormatNanos(double nanos);
// Per second, with decimal prefixes: "98.0 M/s", and "43.6 GB/s" when `unit` is "B".
std::string FormatRate(double per_second, const std::string& unit);
std::string FormatNumber(double number);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_TEXT_H_
