#include "bench/report/format.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

struct Row {
  double value;
  const char* text;
};

TEST(Format, NanosHaveThreeDigitsAndTheUnitThatFits) {
  for (const Row& row :
       {Row{0, "0.00 ns"},       Row{0.004, "0.00 ns"}, Row{9.994, "9.99 ns"},      Row{9.995, "10.0 ns"},
        Row{85.34, "85.3 ns"},   Row{99.94, "99.9 ns"}, Row{99.95, "100 ns"},       Row{999.4, "999 ns"},
        Row{999.5, "1.00 µs"},   Row{1000, "1.00 µs"},  Row{1274, "1.27 µs"},       Row{999'499, "999 µs"},
        Row{999'500, "1.00 ms"}, Row{41e6, "41.0 ms"},  Row{999'500'000, "1.00 s"}, Row{2.5e9, "2.50 s"},
        Row{999.5e9, "1000 s"},  Row{9999e9, "9999 s"}, Row{9999.5e9, "1e+04 s"},   Row{-1274, "-1.27 µs"},
        Row{NAN, "-"},           Row{INFINITY, "-"},    Row{-INFINITY, "-"}}) {
    EXPECT_EQ(FormatNanos(row.value), row.text) << row.value;
  }
}

TEST(Format, RatesAndBandwidthsUsePowersOfThousand) {
  EXPECT_EQ(FormatRate(12), "12.0 /s");
  EXPECT_EQ(FormatRate(870e3), "870 k/s");
  EXPECT_EQ(FormatRate(98.14e6), "98.1 M/s");
  EXPECT_EQ(FormatRate(999.5e6), "1.00 G/s");
  EXPECT_EQ(FormatRate(NAN), "-");
  EXPECT_EQ(FormatBandwidth(1), "1.00 B/s");
  EXPECT_EQ(FormatBandwidth(1024), "1.02 kB/s");
  EXPECT_EQ(FormatBandwidth(44.1e9), "44.1 GB/s");
  EXPECT_EQ(FormatBandwidth(1.5e12), "1.50 TB/s");
}

TEST(Format, BytesAreExactAndUsePowersOf1024) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(64), "64 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1 KiB");
  EXPECT_EQ(FormatBytes(1032), "1032 B");
  EXPECT_EQ(FormatBytes(4096), "4 KiB");
  EXPECT_EQ(FormatBytes(1 << 20), "1 MiB");
  EXPECT_EQ(FormatBytes(3 << 19), "1536 KiB");
  EXPECT_EQ(FormatBytes(uint64_t{1} << 40), "1024 GiB");
}

TEST(Format, CountsHaveNoUnit) {
  for (const Row& row : {Row{0, "0.00"}, Row{0.02, "0.02"}, Row{1.966, "1.97"}, Row{250.4, "250"}, Row{9999, "9999"},
                         Row{12345, "1e+04"}, Row{NAN, "-"}}) {
    EXPECT_EQ(FormatCount(row.value), row.text) << row.value;
  }
}

TEST(Format, NothingThatAClockCanMeasureIsWiderThanNineColumns) {
  for (int step = 0; step < 100'000; ++step) {
    const double value = 1e-9 * std::pow(1.0009, step);  // up to 1e30
    ASSERT_LE(Columns(FormatNanos(value)), 9) << value;
    ASSERT_LE(Columns(FormatRate(value)), 9) << value;
    ASSERT_LE(Columns(FormatBandwidth(value)), 10) << value;
    ASSERT_LE(Columns(FormatCount(value)), 6) << value;
  }
}

TEST(Format, PaddingCountsAUtf8SequenceAsOneColumn) {
  EXPECT_EQ(Columns("1.27 µs"), 7);
  EXPECT_EQ(PadLeft("1.27 µs", 9), "  1.27 µs");
  EXPECT_EQ(PadLeft("127 ns", 9), "   127 ns");
  EXPECT_EQ(PadRight("µ…", 4), "µ…  ");
  EXPECT_EQ(PadLeft("", 3), "   ");
  EXPECT_EQ(PadLeft("wider", 3), "wider");
  EXPECT_EQ(PadRight("wider", -1), "wider");
}

TEST(Format, CutKeepsWhatFitsAndMarksWhatDoesNot) {
  EXPECT_EQ(Cut("", 1), "");
  EXPECT_EQ(Cut("abc", 3), "abc");
  EXPECT_EQ(Cut("abcd", 3), "ab…");
  EXPECT_EQ(Cut("abcd", 1), "…");
  EXPECT_EQ(Cut("µµµµ", 4), "µµµµ");
  EXPECT_EQ(Cut("µµµµ", 3), "µµ…");
}

TEST(Wrap, BreaksAtSpacesAndIndentsTheRest) {
  EXPECT_EQ(Wrap("  short", 20, 4), "  short");
  EXPECT_EQ(Wrap("", 20, 4), "");
  EXPECT_EQ(Wrap("  one two three", 9, 4), "  one two\n    three");
  EXPECT_EQ(Wrap("\u00b5s \u00b5s \u00b5s", 5, 1), "\u00b5s \u00b5s\n \u00b5s") << "columns, not bytes";
  EXPECT_EQ(Wrap("a wordthatislongerthanthewidth b", 8, 2), "a\n  wordthatislongerthanthewidth\n  b");
}

}  // namespace
}  // namespace ipcmark::bench
