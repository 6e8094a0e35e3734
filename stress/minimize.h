#ifndef IPCMARK_STRESS_MINIMIZE_H_
#define IPCMARK_STRESS_MINIMIZE_H_

// Makes a trial that broke something as small as it can while it still breaks the same: fewer strikes, receivers,
// senders, bytes, slots and messages, one of these at a time, until nothing helps any more or the time is up. After
// Zeller and Hildebrandt's ddmin and QuickCheck's shrinking; but a trial fails by chance, so a candidate that passes is
// tried several times before it is given up.

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "stress/driver.h"
#include "stress/record.h"
#include "stress/smaller.h"

namespace ipcmark::stress {

// A candidate that does not fail within so many trials is taken for one that does not fail.
inline constexpr int kMinimizeTries = 3;
// How often the smallest one is run in the end, to say how often it fails.
inline constexpr int kConfirmTries = 5;
// Shorter than a run's: it is known already what hangs.
inline constexpr int64_t kMinimizeLivenessNanos = 1'000'000'000;

struct Failure {
  std::string text;  // "expected ..., seen ..."; "": none
  // What it was at: completed sends and receives in all, and the first operation that came to something else than it
  // should, or what the processes were at.
  uint64_t step = 0;
  std::string operation;
  uint64_t messages = 0;  // Smaller::messages with which every sender may send as many as the busiest one did
  uint64_t strikes = 0;   // that there were to be
};
// Of `record`, in which an invariant was broken as `text` says.
Failure FailureOf(const Record& record, std::string text);

struct Smallest {
  Smaller smaller;
  Geometry geometry;  // with it
  Failure failure;
  int trials = 0;  // that it took
  int failed = 0;  // so many of `confirmed` runs in the end
  int confirmed = 0;
};

// `first` is how `request` failed. `run` runs a trial and says how it failed, if it did; it keeps to what it is asked.
Smallest Minimize(const TrialRequest& request, const Failure& first, int64_t end_nanos,
                  const std::function<Failure(const TrialRequest&)>& run);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_MINIMIZE_H_
