#include "bench/machine/clock.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/os/cpu.h"
#include "ipc/os/process_group.h"

namespace ipcmark::bench {
namespace {

using testing::HasSubstr;

constexpr double kHz = 2'596'148'000;
constexpr TscSupport kTrusted = {.has_rdtscp = true, .invariant = true, .hypervisor = false, .marked_unstable = false};

int64_t SecondsToNanos(int64_t seconds) { return seconds * os::kNanosPerSecond; }

TEST(Clock, ConvertsDaysWithoutOverflow) {
  const Clock clock = Clock::Tsc(/*base_ticks=*/1'000'000, /*base_nanos=*/5'000, kHz);
  EXPECT_TRUE(clock.is_tsc());
  EXPECT_EQ(clock.NanosAt(1'000'000), 5'000);
  for (const int64_t seconds : {1, 3600, 100 * 3600, 365 * 24 * 3600}) {
    const auto ticks = static_cast<uint64_t>(kHz) * static_cast<uint64_t>(seconds);
    // To a part in 10^9: what the shift leaves.
    EXPECT_NEAR(static_cast<double>(clock.NanosAt(1'000'000 + ticks) - 5'000),
                static_cast<double>(SecondsToNanos(seconds)), static_cast<double>(seconds) + 1)
        << seconds;
  }
}

TEST(Clock, GoesOnAcrossTheEndOfItsCounterAndBeforeItsBase) {
  const uint64_t base = ~uint64_t{0} - 10;
  const Clock clock = Clock::Tsc(base, 1'000, 1e9);
  EXPECT_EQ(clock.NanosAt(base + 100), 1'100);
  EXPECT_EQ(clock.NanosAt(base - 100), 900);
}

TEST(Clock, ExtremeRatesConvertToo) {
  EXPECT_EQ(Clock::Tsc(0, 0, 1.5e6).NanosAt(3), 2'000);
  EXPECT_EQ(Clock::Tsc(0, 0, 1e10).NanosAt(10'000), 1'000);
}

TEST(Clock, IsTheMonotonicOneByDefault) {
  const int64_t before = os::MonotonicNanos();
  const int64_t now = NowNanos();
  EXPECT_FALSE(ClockInUse().is_tsc());
  EXPECT_GE(now, before);
  EXPECT_LE(now, os::MonotonicNanos());
  EXPECT_STREQ(ClockName(ClockInUse()), "CLOCK_MONOTONIC");
}

TEST(TscUsable, NeedsAProcessorThatPromisesAndAKernelThatDoesNotObject) {
  EXPECT_TRUE(TscUsable(kTrusted).ok());
  TscSupport support = kTrusted;
  support.has_rdtscp = false;
  EXPECT_THAT(std::string(TscUsable(support).message()), HasSubstr("RDTSCP"));
  support = kTrusted;
  support.invariant = false;
  EXPECT_THAT(std::string(TscUsable(support).message()), HasSubstr("invariant"));
  support = kTrusted;
  support.marked_unstable = true;
  EXPECT_THAT(std::string(TscUsable(support).message()), HasSubstr("unstable"));
  // A guest's kernel may have kvm-clock only.
  support.hypervisor = true;
  EXPECT_TRUE(TscUsable(support).ok());
}

TEST(ReadTscSupport, SaysWhetherTheKernelHasTheTscAmongItsSources) {
  const std::string root = testing::TempDir() + "/clocksources";
  const std::string folder = root + "/sys/devices/system/clocksource/clocksource0";
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/available_clocksource") << "tsc hpet acpi_pm \n";
  EXPECT_FALSE(ReadTscSupport(root).marked_unstable);
  std::ofstream(folder + "/available_clocksource") << "hpet acpi_pm \n";
  EXPECT_TRUE(ReadTscSupport(root).marked_unstable);
  std::ofstream(folder + "/available_clocksource") << "tsc-early hpet\n";
  EXPECT_TRUE(ReadTscSupport(root).marked_unstable);
  std::filesystem::remove_all(root);
  EXPECT_FALSE(ReadTscSupport(root).marked_unstable) << "where the kernel says nothing";
}

TEST(ChooseClock, FallsBackWhereTheTscIsNotInvariant) {
  TscSupport support = kTrusted;
  support.invariant = false;
  const absl::StatusOr<ChosenClock> chosen = ChooseClock(ClockChoice::kAuto, support, os::AllowedCpus());
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_FALSE(chosen->clock.is_tsc());
  EXPECT_THAT(chosen->why, HasSubstr("invariant"));
  const absl::Status refused = ChooseClock(ClockChoice::kTsc, support, os::AllowedCpus()).status();
  EXPECT_THAT(std::string(refused.message()), HasSubstr("--clock=tsc: "));
}

TEST(ChooseClock, TakesTheMonotonicOneWhenTold) {
  const absl::StatusOr<ChosenClock> chosen = ChooseClock(ClockChoice::kMonotonic, kTrusted, os::AllowedCpus());
  ASSERT_TRUE(chosen.ok());
  EXPECT_FALSE(chosen->clock.is_tsc());
  EXPECT_EQ(chosen->why, "--clock=monotonic");
}

TEST(SkewBound, IsTheMostThatTwoOfThemMayDiffer) {
  const std::vector<int> cpus = {0, 1, 4};
  EXPECT_EQ(*SkewBound({0}, {}), 0);
  EXPECT_EQ(*SkewBound(cpus, {{-100, 80}, {-30, 120}}), 220);
  EXPECT_EQ(*SkewBound(cpus, {{-100, 80}, {-30, 20}}), 120);
  EXPECT_EQ(*SkewBound({0, 1}, {{-169, 195}}), 195);
}

TEST(SkewBound, RefusesADifferenceThatIsCertain) {
  const std::vector<int> cpus = {0, 1, 4};
  EXPECT_THAT(std::string(SkewBound(cpus, {{-9, 9}, {50, 90}}).status().message()),
              HasSubstr("CPU 4 differs from CPU 0 by 50 ticks"));
  EXPECT_THAT(std::string(SkewBound(cpus, {{-90, -7}, {-9, 9}}).status().message()),
              HasSubstr("CPU 1 differs from CPU 0 by 7 ticks"));
  EXPECT_THAT(std::string(SkewBound(cpus, {{-9, 9}, {20, 10}}).status().message()),
              HasSubstr("CPUs 0 and 4 does not stand still"));
}

// Those of this machine's TSC.
class Tsc : public testing::Test {
 protected:
  void SetUp() override {
    const absl::Status usable = TscUsable(ReadTscSupport());
    if (!usable.ok()) GTEST_SKIP() << "no TSC to test: " << usable.message();
  }
};

TEST_F(Tsc, AgreesWithTheMonotonicClockWithinItsError) {
  const Calibration calibration = CalibrateTsc(50'000'000);
  EXPECT_GT(calibration.error_ppm, 0);
  const auto both = [&] {
    // The tightest of some brackets.
    int64_t width = os::kNanosPerSecond;
    std::pair<int64_t, int64_t> best;
    for (int n = 0; n < 200; ++n) {
      const int64_t before = os::MonotonicNanos();
      const int64_t ours = calibration.clock.Now();
      const int64_t after = os::MonotonicNanos();
      if (after - before >= width) continue;
      width = after - before;
      best = {ours, before + (after - before) / 2};
    }
    return std::tuple(best.first, best.second, width);
  };
  const auto [ours_before, kernels_before, width_before] = both();
  const timespec until = os::ToTimespec(os::MonotonicNanos() + 200'000'000);
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
  const auto [ours_after, kernels_after, width_after] = both();
  const auto kernels = static_cast<double>(kernels_after - kernels_before);
  const auto ours = static_cast<double>(ours_after - ours_before);
  // 500 ppm: the most that adjtimex(2) slews CLOCK_MONOTONIC while we look.
  const double allowed =
      kernels * (calibration.error_ppm + 500) / 1e6 + static_cast<double>(width_before + width_after);
  EXPECT_NEAR(ours, kernels, allowed) << calibration.error_ppm << " ppm";
  EXPECT_NEAR(static_cast<double>(ours_after), static_cast<double>(kernels_after), 2 * allowed);
}

TEST_F(Tsc, NeverGoesBackWhenItsReaderMovesToAnotherCpu) {
  const std::vector<int> cpus = os::AllowedCpus();
  if (cpus.size() < 2) GTEST_SKIP() << "one CPU: nowhere to move";
  const absl::StatusOr<ChosenClock> chosen = ChooseClock(ClockChoice::kAuto, ReadTscSupport(), cpus);
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  if (!chosen->clock.is_tsc()) GTEST_SKIP() << "refused here: " << chosen->why;
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(1);
  ASSERT_TRUE(group.ok());
  const auto move = [&](os::Gate& gate) -> absl::Status {
    gate.Arrive();
    int64_t before = chosen->clock.Now();
    for (int n = 0; n < 2'000; ++n) {
      absl::Status pinned = os::PinToCpu(cpus[n % cpus.size()]);
      if (!pinned.ok()) return pinned;
      const int64_t now = chosen->clock.Now();
      if (now < before) return absl::InternalError(absl::StrCat(before - now, " ns back at move ", n));
      before = now;
    }
    return absl::OkStatus();
  };
  ASSERT_TRUE(group->Spawn("traveller", os::kAnyCpu, move).ok());
  ASSERT_TRUE(group->Start(os::After(60'000'000'000)).ok());
  const absl::Status end = group->Join(os::After(60'000'000'000));
  EXPECT_TRUE(end.ok()) << end;
}

TEST_F(Tsc, DiffersBetweenTwoCpusByNoMoreThanAMessageTakes) {
  const std::vector<int> cpus = os::AllowedCpus();
  if (cpus.size() < 2) GTEST_SKIP() << "one CPU: nothing to compare";
  const absl::StatusOr<SkewInterval> skew = MeasureSkew(cpus[0], cpus[1]);
  ASSERT_TRUE(skew.ok()) << skew.status();
  EXPECT_LT(skew->low, skew->high) << "a round trip takes time";
  RecordProperty("low_ticks", std::to_string(skew->low));
  RecordProperty("high_ticks", std::to_string(skew->high));
}

TEST_F(Tsc, IsTheChildrensClockToo) {
  const Calibration calibration = CalibrateTsc(5'000'000);
  UseClock(calibration.clock);
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(1);
  ASSERT_TRUE(group.ok());
  const auto look = [](os::Gate& gate) {
    gate.Arrive();
    return ClockInUse().is_tsc() ? absl::OkStatus() : absl::InternalError("another clock");
  };
  ASSERT_TRUE(group->Spawn("child", os::kAnyCpu, look).ok());
  UseClock(Clock());
  ASSERT_TRUE(group->Start(os::After(60'000'000'000)).ok());
  const absl::Status end = group->Join(os::After(60'000'000'000));
  EXPECT_TRUE(end.ok()) << end;
}

}  // namespace
}  // namespace ipcmark::bench
