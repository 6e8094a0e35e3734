// A named queue whose file somebody else damages: before it is opened, and while it is in use. Every call ends, with an
// error where one is due, and no process dies of it. (What the data structure does with each damaged index is
// core_damage_test's; a truncated file is truncation_test's.)

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <random>

#include "absl/strings/str_format.h"
#include "ipc/conformance/support.h"
#include "ipc/mmap_queue/damage_for_test.h"
#include "ipc/mmap_queue/queue.h"
#include "ipc/mmap_queue/semantics.h"
#include "ipc/os/clock.h"
#include "ipc/os/mapping.h"
#include "ipc/os/process_group.h"

namespace ipcmark::mmap_queue {
namespace {

constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;
// ThreadSanitizer must see the unlock, so its builds use the C library's, which follows damaged links.
#ifdef __SANITIZE_THREAD__
constexpr bool kReleasesItself = false;
#else
constexpr bool kReleasesItself = true;
#endif

struct Damage {
  const char* what;
  void (*apply)(QueueHeader& header);
};

constexpr Damage kDamages[] = {
    {"magic", [](QueueHeader& h) { h.magic ^= 1; }},
    {"version", [](QueueHeader& h) { ++h.version; }},
    {"no depth", [](QueueHeader& h) { h.depth_messages = 0; }},
    {"more depth", [](QueueHeader& h) { ++h.depth_messages; }},
    {"greatest depth", [](QueueHeader& h) { h.depth_messages = UINT32_MAX; }},
    {"larger messages", [](QueueHeader& h) { h.max_message_bytes = UINT32_MAX; }},
    {"payload", [](QueueHeader& h) { h.payload_bytes += 64; }},
    {"total", [](QueueHeader& h) { h.total_bytes = 0; }},
    {"another kind of lock", [](QueueHeader& h) { h.lock_kind ^= 2; }},
};

TEST_F(DamageTest, AQueueWithADamagedHeaderCannotBeOpened) {
  const Queue queue = Make();
  const os::Mapping file = Map();
  auto& header = *static_cast<QueueHeader*>(file.address());
  for (const Damage& damage : kDamages) {
    std::vector<std::byte> intact(sizeof(QueueHeader));
    memcpy(intact.data(), file.address(), intact.size());
    damage.apply(header);
    EXPECT_EQ(OpenErrno(), EBADMSG) << damage.what;
    memcpy(file.address(), intact.data(), intact.size());
    EXPECT_EQ(OpenErrno(), 0);
  }
}

TEST_F(DamageTest, WhatIsNoQueueCannotBeOpened) {
  const os::Fd file(open(path_.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  EXPECT_EQ(OpenErrno(), EBADMSG) << "empty";
  ASSERT_EQ(ftruncate(file.get(), 1 << 20), 0);
  EXPECT_EQ(OpenErrno(), EBADMSG) << "zeroes";
  std::mt19937_64 random(conformance::Seed());
  for (int trial = 0; trial < 50; ++trial) {
    uint64_t words[512];
    for (uint64_t& word : words) word = random();
    if (trial % 2 == 0) words[0] = kQueueMagic;
    ASSERT_EQ(pwrite(file.get(), words, sizeof(words), 0), ssize_t{sizeof(words)});
    EXPECT_EQ(OpenErrno(), EBADMSG) << "noise";
  }
}

// A process id that there is not: the kernel's are below 2^22.
constexpr int kNobody = (1 << 22) + 7;

struct LockDamage {
  const char* what;
  int word;
};

constexpr LockDamage kLockDamages[] = {
    {"held by nobody", kNobody},
    {"held by nobody, with waiters", kNobody | INT_MIN},
    {"held by process 1, which knows nothing of it", 1},
    {"only waiters", INT_MIN},
};

constexpr Side kSides[] = {Side::kSend, Side::kReceive};

IoResult Call(Queue& queue, Side side, const timespec* until = nullptr) {
  std::byte buffer[32];
  return side == Side::kSend ? queue.Send({}, 0, until) : queue.Receive(buffer, nullptr, until);
}

void Spin(int64_t nanos) {
  for (const Deadline end = os::After(nanos); !os::HasPassed(end);) {
  }
}

TEST_F(DamageTest, ALockThatNobodyHoldsIsAnErrorAndNoHang) {
  for (const LockDamage& damage : kLockDamages) {
    for (Side side : kSides) {
      SCOPED_TRACE(damage.what);
      Queue queue = Make();
      ASSERT_TRUE(queue.Send({}).ok());
      const os::Mapping file = Map();
      pthread_mutex_t& lock = LockOf(side, *static_cast<QueueHeader*>(file.address()));
      lock.__data.__lock = damage.word;
      const IoResult result = Call(queue, side);
      EXPECT_EQ(result.err, EBADMSG) << testing::PrintToString(result);
      // The lock's kernel-made mark of a dead owner is no damage.
      lock.__data.__lock = kNobody | 0x40000000;
      EXPECT_TRUE(Call(queue, side).ok());
      EXPECT_EQ(queue.count(), side == Side::kSend ? 2U : 0U);
      ASSERT_TRUE(Queue::Unlink(name_).ok());
    }
  }
}

TEST_F(DamageTest, ALockOfAnotherKindIsAnError) {
  Queue queue = Make();
  const os::Mapping file = Map();
  for (Side side : kSides) {
    pthread_mutex_t& lock = LockOf(side, *static_cast<QueueHeader*>(file.address()));
    for (int bit = 0; bit < 32; ++bit) {
      lock.__data.__kind ^= static_cast<int>(1U << bit);
      EXPECT_EQ(Call(queue, side).err, EBADMSG);
      lock.__data.__kind ^= static_cast<int>(1U << bit);
    }
  }
  EXPECT_TRUE(queue.Send({}).ok());
}

// A lock that a living process holds, as far as its word says, which knows nothing of it: a call that must not wait
// ends.
TEST_F(DamageTest, ALockOfALivingStrangerEndsACallThatMustNotWait) {
  constexpr timespec kPast = {.tv_sec = 1, .tv_nsec = 0};
  for (Side side : kSides) {
    Queue queue = Make();
    ASSERT_TRUE(queue.Send({}).ok());
    const os::Mapping file = Map();
    pthread_mutex_t& lock = LockOf(side, *static_cast<QueueHeader*>(file.address()));
    lock.__data.__lock = lock.__data.__owner = getppid();
    EXPECT_EQ(Call(queue, side, &kPast).outcome, Outcome::kDeadline);
    ASSERT_EQ(queue.SetNonblocking(true), 0);
    EXPECT_EQ(Call(queue, side).err, EAGAIN);
    EXPECT_EQ(Call(queue, side, &kPast).err, EAGAIN);
    lock.__data.__lock = lock.__data.__owner = kNobody;
    EXPECT_EQ(Call(queue, side).err, EBADMSG);
    lock.__data.__lock = lock.__data.__owner = 0;
    EXPECT_TRUE(Call(queue, side).ok());
    ASSERT_TRUE(Queue::Unlink(name_).ok());
  }
}

// A holder that is away for some slices of the scheduler makes nobody fail who need not wait.
TEST_F(DamageTest, ALockWhoseHolderIsPreemptedIsWaitedForWithADeadlineThatHasPassed) {
  constexpr timespec kPast = {.tv_sec = 1, .tv_nsec = 0};
  for (Side side : kSides) {
    Queue queue = Make();
    ASSERT_TRUE(queue.Send({}).ok());
    const os::Mapping file = Map();
    pthread_mutex_t& lock = LockOf(side, *static_cast<QueueHeader*>(file.address()));
    const pid_t parent = getpid();
    bool served = false;
    // Once is enough: a defect fails every time, and a holder that gets no CPU for 100 ms does not.
    for (int trial = 0; trial < 10 && !served; ++trial) {
      volatile int* held = SharedInts();
      const pid_t holder = Fork([&] {
        Hold hold;
        if (hold.Try(&lock) != 0) _exit(1);
        *held = 1;
        AwaitAsleep(parent, held);
        Spin(5'000'000);
        hold.Release(&lock);
      });
      while (*held == 0) sched_yield();
      served = Call(queue, side, &kPast).ok();
      Reap(holder);
      munmap(const_cast<int*>(held), 4096);
    }
    EXPECT_TRUE(served);
    ASSERT_TRUE(Queue::Unlink(name_).ok());
  }
}

// What the links of the lock say while it is held must not lead its holder anywhere when it lets go.
TEST_F(DamageTest, TheLinksOfAHeldLockAreNotFollowed) {
  if (!kReleasesItself) GTEST_SKIP() << "pthread_mutex_unlock follows them";
  Queue queue = Make();
  const os::Mapping file = Map();
  auto& lock = static_cast<QueueHeader*>(file.address())->send.lock;
  for (int trial = 0; trial < 3; ++trial) {
    Hold hold;
    ASSERT_EQ(hold.Try(&lock), 0);
    memset(&lock.__data.__list, 0x55, sizeof(lock.__data.__list));
    hold.Release(&lock);
  }
  EXPECT_TRUE(queue.Send({}).ok());
}

// What users of the queue share with the vandal.
struct Shared {
  std::atomic<bool> stop;
  std::atomic<uint64_t> calls;
  std::atomic<uint64_t> errors;
};

// Sends and receives with short deadlines until it is told to stop; the results do not matter.
void Use(Queue& queue, Shared& shared, std::mt19937_64& random) {
  std::vector<std::byte> message(32);
  while (!shared.stop) {
    const uint64_t bits = random();
    // Now and then it waits.
    const timespec until = RealtimeAfter(bits % 16 == 0 ? 2'000'000 : 0);
    uint32_t priority = static_cast<uint32_t>(bits >> 8) % kPriorityLevels;
    const IoResult result = (bits >> 5 & 1U) == 0
                                ? queue.Send(std::span(message).first(bits >> 40 & 31U), priority, &until)
                                : queue.Receive(message, &priority, &until);
    if (bits % 64 == 1) {
      sigevent event{};
      event.sigev_notify = SIGEV_NONE;
      queue.Notify(bits % 128 == 1 ? &event : nullptr);
    }
    ++shared.calls;
    if (result.outcome == Outcome::kError) ++shared.errors;
  }
}

void FlipBit(std::byte* at, uint64_t bit) {
  reinterpret_cast<std::atomic<uint8_t>*>(at)->fetch_xor(static_cast<uint8_t>(1U << bit % 8));
}

// Where a lock of the header is.
size_t LockAt(std::mt19937_64& random) {
  return random() % 2 == 0 ? offsetof(QueueHeader, send) : offsetof(QueueHeader, receive);
}

// Flips bits anywhere and lets them be: half of them in the header, some in the locks.
void Vandalise(const os::Mapping& file, std::mt19937_64& random) {
  auto* bytes = static_cast<std::byte*>(file.address());
  for (const Deadline end = os::After(60'000'000); !os::HasPassed(end);
       Spin(static_cast<int64_t>(random() % 100'000))) {
    size_t at = random() % file.bytes();
    if (random() % 2 == 0) at = random() % sizeof(QueueHeader);
    if (random() % 16 == 0) at = LockAt(random) + random() % sizeof(pthread_mutex_t);
    FlipBit(bytes + at, random());
  }
}

// Flips bits in what is not an index (those stay damaged) and flips them back soon: the queue works most of the time,
// and is damaged at every moment of a call. Not the locks' words, which decide who may be where, nor their kind, which
// glibc reads for itself.
void Tease(const os::Mapping& file, std::mt19937_64& random) {
  auto* bytes = static_cast<std::byte*>(file.address());
  const auto& lock = static_cast<QueueHeader*>(file.address())->send.lock.__data;
  const size_t links = reinterpret_cast<const std::byte*>(&lock.__list) - reinterpret_cast<const std::byte*>(&lock);
  for (const Deadline end = os::After(150'000'000); !os::HasPassed(end); Spin(static_cast<int64_t>(random() % 2000))) {
    size_t at = LockAt(random) + links + random() % sizeof(lock.__list);
    if (random() % 4 == 0) at = random() % offsetof(QueueHeader, send);
    if (random() % 4 == 0) at = offsetof(QueueHeader, not_empty) + random() % (2 * sizeof(Condition));
    if (random() % 4 == 0) at = offsetof(QueueHeader, notice) + random() % sizeof(Notice);
    const uint64_t bit = random();
    FlipBit(bytes + at, bit);
    Spin(static_cast<int64_t>(random() % 1000));
    FlipBit(bytes + at, bit);
  }
}

class BitFlips : public DamageTest, public testing::WithParamInterface<int> {};

TEST_P(BitFlips, LeaveItsUsersAliveAndMoving) {
  if (!kReleasesItself) GTEST_SKIP() << "pthread_mutex_unlock follows damaged links";
  const uint64_t seed = conformance::Seed() + static_cast<uint64_t>(GetParam());
  std::mt19937_64 random(seed);
  SCOPED_TRACE(absl::StrFormat("IPCMARK_SEED=%d", conformance::Seed()));
  Queue queue = Make();
  const os::Mapping file = Map();
  absl::StatusOr<os::Mapping> memory = os::Mapping::SharedAnonymous(sizeof(Shared));
  ASSERT_TRUE(memory.ok());
  auto& shared = *static_cast<Shared*>(memory->address());
  constexpr int kUsers = 3;
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(kUsers);
  ASSERT_TRUE(group.ok());
  for (int user = 0; user < kUsers; ++user) {
    const uint64_t its_seed = random();
    auto use = [&, its_seed](os::Gate& gate) {
      std::mt19937_64 its_random(its_seed);
      gate.Arrive();
      Use(queue, shared, its_random);
      return absl::OkStatus();
    };
    ASSERT_TRUE(group->Spawn("user", os::kAnyCpu, use).ok());
  }
  ASSERT_EQ(group->Start(os::After(kWatchdogNanos)), absl::OkStatus());
  if (GetParam() % 2 == 0) {
    Tease(file, random);
  } else {
    Vandalise(file, random);
  }
  shared.stop = true;
  EXPECT_EQ(group->Join(os::After(kWatchdogNanos)), absl::OkStatus());
  printf("%d calls, %d of them errors\n", static_cast<int>(shared.calls), static_cast<int>(shared.errors));
  ASSERT_TRUE(Queue::Unlink(name_).ok());
}

INSTANTIATE_TEST_SUITE_P(Seed, BitFlips, testing::Range(0, 16));

}  // namespace
}  // namespace ipcmark::mmap_queue
