// Every end is killed before every access to shared memory of one Send, Receive, Loan and Publish, View and Release,
// open and close, in rings that are empty, part full, full, wrapped, and already littered by other dead ends. Then
// survivors must find every accepted message exactly once, and room for exactly `depth` messages.

#include <functional>
#include <string>

#include "ipc/os/process_group.h"
#include "ipc/shm_mpmc/ring_test_support.h"

namespace ipcmark::shm_mpmc {
namespace {

using Ring = TestRing<os::InstrumentedAtomic>;
using os::InstrumentedAccess;

// Under these sanitizers every fork costs 20 ms: one variant of each scene, another one for each filling.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kVariants = 1;
#else
constexpr int kVariants = 4;
#endif
constexpr uint64_t kVictimsMessage = 1000;
constexpr uint64_t kSurvivorsMessages = 2000;

// What the killed process did, in shared memory.
struct Report {
  std::atomic<uint64_t> received;  // a message that its Receive returned, plus one
  std::atomic<bool> accepted;      // its Send returned ok
};

struct Operation {
  const char* name;
  // Runs in the victim: calls InstrumentedAccess::KillBefore(k), operates once, and switches that off.
  std::function<void(const Ring&, uint64_t k, Report&)> run;
  bool sends;
  bool receives;
};

const std::vector<Operation>& Operations() {
  static const std::vector<Operation> all = {
      {"Send",
       [](const Ring& ring, uint64_t k, Report& report) {
         auto sender = ring.OpenSender();
         InstrumentedAccess::KillBefore(k);
         const IoResult sent = SendNumber(sender, kVictimsMessage);
         InstrumentedAccess::Off();
         report.accepted = sent.ok();
         _exit(0);
       },
       true, false},
      {"Receive",
       [](const Ring& ring, uint64_t k, Report& report) {
         auto receiver = ring.OpenReceiver();
         uint64_t number = 0;
         InstrumentedAccess::KillBefore(k);
         const IoResult received = ReceiveNumber(receiver, &number);
         InstrumentedAccess::Off();
         if (received.ok()) report.received = number + 1;
         _exit(0);
       },
       false, true},
      {"open and close a sender with a loan",
       [](const Ring& ring, uint64_t k, Report&) {
         InstrumentedAccess::KillBefore(k);
         {
           auto sender = ring.OpenSender();
           (void)sender.Loan(Deadline::Immediate());
         }
         InstrumentedAccess::Off();
       },
       false, false},
      {"open and close a receiver with a view",
       [](const Ring& ring, uint64_t k, Report&) {
         InstrumentedAccess::KillBefore(k);
         {
           auto receiver = ring.OpenReceiver();
           (void)receiver.View(Deadline::Immediate());
         }
         InstrumentedAccess::Off();
       },
       false, true},
  };
  return all;
}

struct Litter {
  const char* name;
  bool claimed;     // a sender died with a loan, before anything was sent
  bool taken;       // a receiver died with a view of a message 0
  bool given_back;  // a receiver closed with a view of the first message, after others took one
};

constexpr Litter kLitters[] = {
    {"clean", false, false, false},
    {"a dead sender's loan", true, false, false},
    {"a dead receiver's view", false, true, false},
    {"both", true, true, false},
    {"a message given back", false, false, true},
};

struct Scene {
  uint32_t depth;
  uint64_t first;  // position
  Wait wait;
  Litter litter;
  uint64_t messages;  // in the ring
  bool fresh;         // survivors open after the death, and so take the victim's entry
};

std::string Describe(const Scene& scene, const Operation& operation) {
  return testing::PrintToString(operation.name) + " in a ring of " + std::to_string(scene.depth) + " from position " +
         std::to_string(scene.first) + ", " + WaitName(scene.wait) + ", " + scene.litter.name + ", holding " +
         std::to_string(scene.messages) + (scene.fresh ? ", fresh survivors" : "");
}

// Forks `body`; false when it was killed.
bool RunInChild(const std::function<void()>& body) {
  auto group = os::ProcessGroup::Create(1);
  EXPECT_TRUE(group.ok());
  EXPECT_TRUE(group
                  ->Spawn("victim", os::kAnyCpu,
                          [&](os::Gate&) {
                            body();
                            return absl::OkStatus();
                          })
                  .ok());
  const absl::Status end = group->JoinOne(0, os::After(kWatchdogNanos));
  EXPECT_FALSE(absl::IsDeadlineExceeded(end)) << end;
  return end.ok();
}

// The messages in the ring: first the one given back, if any.
std::vector<uint64_t> SetTheScene(const Scene& scene, const Ring& ring) {
  if (scene.litter.taken) {
    auto sender = ring.OpenSender();
    EXPECT_TRUE(SendNumber(sender, 0).ok());
    RunInChild([&] {
      auto receiver = ring.OpenReceiver();
      if (!receiver.View(Deadline::Immediate()).result.ok()) abort();
      raise(SIGKILL);
    });
  }
  if (scene.litter.claimed) {
    RunInChild([&] {
      auto sender = ring.OpenSender();
      if (!sender.Loan(Deadline::Immediate()).result.ok()) abort();
      raise(SIGKILL);
    });
  }
  auto sender = ring.OpenSender();
  std::vector<uint64_t> numbers;
  for (uint64_t n = 0; n < scene.messages; ++n) {
    if (SendNumber(sender, n).ok()) numbers.push_back(n);
  }
  if (scene.litter.given_back && numbers.size() > 1) {
    auto giver = ring.OpenReceiver();
    EXPECT_TRUE(giver.View(Deadline::Immediate()).result.ok());
    auto taker = ring.OpenReceiver();
    uint64_t number = 0;
    EXPECT_TRUE(ReceiveNumber(taker, &number).ok());
    EXPECT_EQ(number, 1U);
    numbers.erase(numbers.begin() + 1);
  }
  // So that wake-ups happen, with their accesses.
  ring.header().senders.sleep.store(sysv_shm::kSomebodySleeps, std::memory_order_relaxed);
  ring.header().receivers.sleep.store(sysv_shm::kSomebodySleeps, std::memory_order_relaxed);
  return numbers;
}

// `before`: what was in the ring; then the victim operated, and `completed` or was killed.
void Check(const Operation& operation, const Report& report, bool completed, const std::vector<uint64_t>& before,
           const std::vector<uint64_t>& after) {
  std::vector<uint64_t> expected = before;
  std::vector<uint64_t> rest = after;
  if (operation.sends) {
    const bool arrived = !rest.empty() && rest.back() == kVictimsMessage;
    if (arrived) rest.pop_back();
    if (report.accepted) {
      EXPECT_TRUE(arrived) << "an accepted message is gone";
    } else if (completed) {
      EXPECT_FALSE(arrived) << "a message that was refused has arrived";
    }
  }
  if (operation.receives && report.received != 0) {
    ASSERT_FALSE(expected.empty());
    EXPECT_EQ(report.received, expected.front() + 1);
    expected.erase(expected.begin());
  } else if (operation.receives && !completed && rest.size() + 1 == expected.size()) {
    expected.erase(expected.begin());  // in the killed receiver's hands
  }
  EXPECT_EQ(rest, expected);
}

// True when the victim was killed, false when it completed before access `k`.
bool KillOnce(const Scene& scene, const Operation& operation, uint64_t k, Report& report) {
  const Ring ring(scene.depth, 16, scene.first, scene.wait);
  report.received = 0;
  report.accepted = false;
  const std::vector<uint64_t> before = SetTheScene(scene, ring);
  std::optional<Ring::Sender> sender;
  std::optional<Ring::Receiver> receiver;
  const auto open = [&] {
    sender.emplace(ring.OpenSender());
    receiver.emplace(ring.OpenReceiver());
  };
  if (!scene.fresh) open();
  const bool completed = RunInChild([&] { operation.run(ring, k, report); });
  if (scene.fresh) open();
  Check(operation, report, completed, before, DrainNumbers(*receiver));
  for (int lap = 0; lap < 2; ++lap) {
    const std::vector<uint64_t> filled = FillNumbers(*sender, kSurvivorsMessages);
    EXPECT_EQ(filled.size(), ring.depth()) << "a slot is leaked";
    EXPECT_EQ(DrainNumbers(*receiver), filled);
  }
  EXPECT_EQ(ring.header().returns_announced.load(), ring.header().returns_settled.load());
  return !completed;
}

TEST(ShmMpmcKill, EveryAccessOfEveryCallMayBeTheLast) {
  auto shared = os::Mapping::SharedAnonymous(sizeof(Report));
  ASSERT_TRUE(shared.ok());
  auto& report = *new (shared->address()) Report{};
  uint64_t kills = 0;
  for (const Operation& operation : Operations()) {
    uint64_t most = 0;
    for (const Litter& litter : kLitters) {
      for (const auto& [depth, messages] : {std::pair{1U, 0U}, {1U, 1U}, {3U, 0U}, {3U, 2U}, {3U, 3U}, {4U, 4U}}) {
        for (int i = 0; i < kVariants; ++i) {
          const uint64_t variant = (i + depth + messages) % 4;
          const Scene scene = {.depth = depth,
                               .first = variant < 2 ? 0 : (uint64_t{1} << 32) - 2,
                               .wait = variant % 2 == 0 ? Wait::kSpin : Wait::kBlock,
                               .litter = litter,
                               .messages = messages,
                               .fresh = variant == 0 || variant == 3};
          uint64_t k = 0;
          for (;; ++k) {
            SCOPED_TRACE(testing::Message() << Describe(scene, operation) << ", killed before access " << k);
            if (!KillOnce(scene, operation, k, report) || HasFailure()) break;
          }
          ASSERT_FALSE(HasFailure());
          ASSERT_GT(k, 1U);
          kills += k;
          most = std::max(most, k);
        }
      }
    }
    printf("%s: up to %lu accesses\n", operation.name, most);
    fflush(stdout);  // or children print it again
  }
  printf("%lu kills\n", kills);
}

}  // namespace
}  // namespace ipcmark::shm_mpmc
