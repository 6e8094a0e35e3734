#ifndef IPCMARK_BENCH_FAKE_PRIMITIVES_FOR_TEST_H_
#define IPCMARK_BENCH_FAKE_PRIMITIVES_FOR_TEST_H_

// Two primitives that move nothing, for tests of what is chosen and named: "sysv_shm", which can do all, and "narrow",
// which blocks only and carries up to 1,024 bytes. Linked instead of a generated list.

#include <vector>

#include "bench/scenarios.h"

namespace ipcmark::bench {

struct FakeSystem {
  int max_objects = 1000;       // more at once and the system says ENOSPC
  std::vector<SliceSpec> runs;  // what was run
};
FakeSystem& TheFakeSystem();

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_FAKE_PRIMITIVES_FOR_TEST_H_
