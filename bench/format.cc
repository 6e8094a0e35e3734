#include "bench/format.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ipcmark::bench {
namespace {

// Three significant digits of a value below 1,000.
std::string ThreeDigits(double value) {
  if (value < 9.995) return absl::StrFormat("%.2f", value);
  if (value < 99.95) return absl::StrFormat("%.1f", value);
  return absl::StrFormat("%.0f", value);
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

int Columns(const std::string& text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

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

std::string PadLeft(const std::string& text, int width) {
  return std::string(std::max(0, width - Columns(text)), ' ') + text;
}

std::string PadRight(const std::string& text, int width) {
  return text + std::string(std::max(0, width - Columns(text)), ' ');
}

}  // namespace ipcmark::bench
