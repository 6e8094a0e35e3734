#include "bench/report/format.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ipcmark::bench {
namespace {

// Three significant digits; of what no unit makes smaller, whole numbers while they are short.
std::string ThreeDigits(double value) {
  const double size = std::abs(value);
  if (size < 9.995) return absl::StrFormat("%.2f", value);
  if (size < 99.95) return absl::StrFormat("%.1f", value);
  return size < 9999.5 ? absl::StrFormat("%.0f", value) : absl::StrFormat("%.0e", value);
}

// `value` in the largest of the units (each a thousand of the one before) that leaves at least 1 before the point.
template <size_t N>
std::string Scaled(double value, const char* const (&units)[N]) {
  if (!std::isfinite(value)) return "-";
  size_t unit = 0;
  while (std::abs(value) >= 999.5 && unit + 1 < N) {
    value /= 1000;
    ++unit;
  }
  return absl::StrCat(ThreeDigits(value), " ", units[unit]);
}

bool StartsColumn(char c) { return (c & 0xc0) != 0x80; }

}  // namespace

std::string FormatNanos(double nanos) { return Scaled(nanos, {"ns", "µs", "ms", "s"}); }

std::string FormatRate(double per_second) { return Scaled(per_second, {"/s", "k/s", "M/s", "G/s"}); }

std::string FormatBandwidth(double bytes_per_second) {
  return Scaled(bytes_per_second, {"B/s", "kB/s", "MB/s", "GB/s", "TB/s"});
}

std::string FormatBytes(uint64_t bytes) {
  constexpr const char* units[] = {"B", "KiB", "MiB", "GiB"};
  size_t unit = 0;
  while (bytes >= 1024 && bytes % 1024 == 0 && unit + 1 < std::size(units)) {
    bytes /= 1024;
    ++unit;
  }
  return absl::StrCat(bytes, " ", units[unit]);
}

std::string FormatCount(double count) { return std::isfinite(count) ? ThreeDigits(count) : "-"; }

int Columns(const std::string& text) { return static_cast<int>(std::count_if(text.begin(), text.end(), StartsColumn)); }

std::string Cut(const std::string& text, int width) {
  if (Columns(text) <= width) return text;
  size_t end = 0;
  for (int column = 0; column < width && end < text.size(); ++end) column += StartsColumn(text[end]) ? 1 : 0;
  return text.substr(0, end - 1) + "…";
}

std::string Wrap(const std::string& text, int width, int indent) {
  std::string wrapped;
  int columns = 0;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (columns > 0 && columns + 1 + Columns(word) > width) {
      absl::StrAppend(&wrapped, "\n", std::string(indent, ' '), word);
      columns = indent + Columns(word);
    } else {
      absl::StrAppend(&wrapped, begin > 0 ? " " : "", word);
      columns += (begin > 0 ? 1 : 0) + Columns(word);
    }
    begin = end + 1;
  }
  return wrapped;
}

std::string PadLeft(const std::string& text, int width) {
  return std::string(std::max(0, width - Columns(text)), ' ') + text;
}

std::string PadRight(const std::string& text, int width) {
  return text + std::string(std::max(0, width - Columns(text)), ' ');
}

}  // namespace ipcmark::bench
