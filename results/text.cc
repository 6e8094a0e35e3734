#include "results/text.h"

#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ipcmark::results {
namespace {

bool StartsCodePoint(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }

std::string ThreeDigits(double number) {
  const double size = std::abs(number);
  if (size != 0 && (size < 0.1 || size >= 1e6)) return absl::StrFormat("%.3g", number);
  // The limits are where rounding reaches one digit more.
  if (size < 9.995) return absl::StrFormat("%.2f", number);
  return size < 99.95 ? absl::StrFormat("%.1f", number) : absl::StrFormat("%.0f", number);
}

// Up to the largest prefix that keeps at least one digit before the point.
template <size_t kPrefixes>
std::string Scaled(double number, const std::array<const char*, kPrefixes>& prefixes, const std::string& unit) {
  size_t prefix = 0;
  while (prefix + 1 < kPrefixes && std::abs(number) >= 999.5) {
    number /= 1000;
    ++prefix;
  }
  return absl::StrCat(ThreeDigits(number), " ", prefixes[prefix], unit);
}

// The byte where code point number `index` starts.
size_t ByteOf(const std::string& text, size_t index) {
  for (size_t byte = 0; byte < text.size(); ++byte) {
    if (!StartsCodePoint(text[byte])) continue;
    if (index == 0) return byte;
    --index;
  }
  return text.size();
}

}  // namespace

std::string PrintableUtf8(const std::string& text) {
  std::string printable;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool c1 = byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (c1) ++i;  // U+0080 to U+009F, which terminals obey too
    printable += byte < 0x20 || byte == 0x7F || c1 ? '?' : text[i];
  }
  return printable;
}

size_t Columns(const std::string& text) {
  size_t columns = 0;
  for (const char byte : text) columns += StartsCodePoint(byte) ? 1 : 0;
  return columns;
}

std::string PadLeft(const std::string& text, size_t columns) {
  const size_t width = Columns(text);
  return width >= columns ? text : std::string(columns - width, ' ') + text;
}

std::string PadRight(const std::string& text, size_t columns) {
  const size_t width = Columns(text);
  return width >= columns ? text : text + std::string(columns - width, ' ');
}

std::string ShortenMiddle(const std::string& text, size_t columns) {
  const size_t width = Columns(text);
  if (width <= columns) return text;
  const size_t kept = columns - 3;
  const size_t tail = kept / 2;
  return absl::StrCat(text.substr(0, ByteOf(text, kept - tail)), "...", text.substr(ByteOf(text, width - tail)));
}

std::string FormatNanos(double nanos) { return Scaled(nanos, std::array<const char*, 4>{"ns", "µs", "ms", "s"}, ""); }

std::string FormatRate(double per_second, const std::string& unit) {
  return Scaled(per_second, std::array<const char*, 5>{"", "k", "M", "G", "T"}, absl::StrCat(unit, "/s"));
}

std::string FormatNumber(double number) { return ThreeDigits(number); }

}  // namespace ipcmark::results
