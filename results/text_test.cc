#include "results/text.h"

#include <limits>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace ipcmark::results {
namespace {

TEST(Text, TimesHaveThreeDigitsAndTheUnitThatFits) {
  for (const auto& [nanos, text] : std::vector<std::pair<double, std::string>>{{0, "0.00 ns"},
                                                                               {0.0123, "0.0123 ns"},
                                                                               {5.9e-7, "5.9e-07 ns"},
                                                                               {3.295, "3.29 ns"},
                                                                               {9.996, "10.0 ns"},
                                                                               {99.96, "100 ns"},
                                                                               {999.4, "999 ns"},
                                                                               {999.6, "1.00 µs"},
                                                                               {4700, "4.70 µs"},
                                                                               {42e6, "42.0 ms"},
                                                                               {61.5e9, "61.5 s"},
                                                                               {3.6e12, "3600 s"},
                                                                               {1e30, "1e+21 s"}}) {
    EXPECT_EQ(FormatNanos(nanos), text);
  }
}

TEST(Text, RatesHaveDecimalPrefixes) {
  EXPECT_EQ(FormatRate(98e6, ""), "98.0 M/s");
  EXPECT_EQ(FormatRate(12, ""), "12.0 /s");
  EXPECT_EQ(FormatRate(43.6e9, "B"), "43.6 GB/s");
}

TEST(Text, NumbersThatAreNoneAreStillText) {
  EXPECT_EQ(FormatNumber(std::numeric_limits<double>::quiet_NaN()), "nan");
  EXPECT_EQ(FormatNanos(std::numeric_limits<double>::infinity()), "inf s");
}

TEST(Text, ShorteningKeepsBothEndsAndNeverCutsACharacter) {
  EXPECT_EQ(ShortenMiddle("short", 5), "short");
  EXPECT_EQ(ShortenMiddle("RoundTrip/mmap_queue/64", 11), "Roun...e/64");
  EXPECT_EQ(ShortenMiddle("µµµµµµµµ", 7), "µµ...µµ");
  EXPECT_EQ(Columns(ShortenMiddle(std::string(1000, 'x'), 33)), 33U);
}

TEST(Text, PaddingCountsCharactersNotBytes) {
  EXPECT_EQ(PadLeft("1 µs", 6), "  1 µs");
  EXPECT_EQ(PadRight("1 µs", 6), "1 µs  ");
  EXPECT_EQ(PadRight("long", 2), "long");
}

TEST(Text, ControlCharactersDoNotReachTheTerminal) {
  EXPECT_EQ(PrintableUtf8("a\x1b[31mb\nc\x7f"), "a?[31mb?c?");
  EXPECT_EQ(PrintableUtf8("\xc2\x9b"
                          "31m µ"),
            "?31m µ");
}

}  // namespace
}  // namespace ipcmark::results
