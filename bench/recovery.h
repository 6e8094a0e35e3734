#ifndef IPCMARK_BENCH_RECOVERY_H_
#define IPCMARK_BENCH_RECOVERY_H_

// Recovery: a process is killed while it sends or receives as fast as it can, and the others go on: how soon?
//
// A sample is one kill, of fresh processes on a fresh object: its clock starts before SIGKILL is sent and stops when a
// surviving receiver has a message that a surviving sender began to send after that. Inside: whatever the survivors
// need to notice, to repair, to get through what was queued before (kRecoveryDepth messages at most), and to be
// scheduled. Where a side may have one end only, nobody survives on it: a process that stands by opens the end once the
// kernel has reported the death, and that counts too. Killed is
//
//   sender     one of two senders, at a random moment
//   receiver   one of two receivers, at a random moment
//   holder     a sender that is inside the lock, while the other sender and the receiver are blocked on it: it is
//              stopped (SIGSTOP) again and again until the others stand still and the kernel shows them asleep;
//              its rows are of kHoldersBytes: large messages are copied without the lock, and a sender of small ones
//              spends little time inside
//
// Everything that the survivors receive is checked. No recovery within kRecoveryBoundNanos is an error. CPU time is
// that of whole trials, of the process that kills and its three children from fork to end; switches and faults are not
// measured. The processes are not pinned: there are three.

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>

#include "bench/open_loop.h"
#include "bench/share.h"
#include "bench/sleeper.h"

namespace ipcmark::bench {

inline constexpr int64_t kRecoveryBoundNanos = 10'000'000'000;
inline constexpr uint32_t kRecoveryDepth = 8;
// Messages that a survivor has received before anybody is killed.
inline constexpr uint64_t kBeforeKill = 64;

constexpr const char* VictimName(Victim victim) {
  constexpr const char* kNames[] = {"sender", "receiver", "holder"};
  return kNames[static_cast<unsigned>(victim)];
}

struct RecoveryShared {
  std::atomic<int64_t> killed_nanos;  // when; 0: not yet
  std::atomic<uint32_t> under_way;    // 1: the surviving receiver has kBeforeKill messages
  std::atomic<uint32_t> reaped;       // 1: the victim is gone, who stands by may open its end
  std::atomic<uint64_t> sent;         // by the surviving sender
  std::atomic<uint64_t> taken;        // by the surviving receiver
  int64_t recovered_nanos;
};

// Numbers of messages: the victim's, and the survivor's, which say whether they were begun after the kill.
inline constexpr uint32_t kVictimSender = 0;
inline constexpr uint32_t kSurvivingSender = 1;
inline constexpr uint64_t kAfterKill = uint64_t{1} << 47;

// Nobody is at the other side at the moment: the one that stands by is not there yet.
constexpr bool IsAlone(const IoResult& result) {
  return result.outcome == Outcome::kPeerDead || result.outcome == Outcome::kClosed;
}

// What one process of a trial is.
struct RecoveryRole {
  bool survives;
  bool stands_by;  // opens its end when the victim is gone
};

inline void StandBy(const RecoveryShared& shared) noexcept {
  while (shared.reaped.load(std::memory_order_acquire) == 0) os::WaitOnFutex(shared.reaped, 0, Deadline::Never());
}

// Sends until it is killed: the victim by the trial, the survivor at its end.
template <Primitive P>
absl::Status HammerSends(P& object, os::Gate& gate, const SliceSpec& spec, RecoveryRole role, RecoveryShared& shared) {
  if (role.stands_by) {
    gate.Arrive();
    StandBy(shared);
  }
  auto sender = object.OpenSender();
  if (!sender.ok()) return sender.status();
  if (!role.stands_by) gate.Arrive();
  Words words(spec.message_bytes / sizeof(uint64_t));
  const uint32_t self = role.survives ? kSurvivingSender : kVictimSender;
  for (uint64_t n = 0;;) {
    // Acquire: a message with the flag was begun after the kill.
    const bool after = shared.killed_nanos.load(std::memory_order_acquire) != 0;
    WritePayload(words, FanNumber(self, n) | (after ? kAfterKill : 0));
    const IoResult result =
        RetryInterrupted([&] { return sender->Send(std::as_bytes(std::span(words)), Deadline::Never()); });
    if (result.ok()) {
      ++n;
      if (role.survives) shared.sent.store(n, std::memory_order_relaxed);
    } else if (IsAlone(result)) {
      sched_yield();
    } else {
      return MessageFailure("Send", n, result, spec.message_bytes);
    }
  }
}

// Receives until it is killed, or, as the survivor, until it has a message of after the kill. With `all`, nothing may
// be missing in between.
template <Primitive P>
absl::Status HammerReceives(P& object, os::Gate& gate, const SliceSpec& spec, RecoveryRole role, bool all,
                            RecoveryShared& shared) {
  if (role.stands_by) {
    gate.Arrive();
    StandBy(shared);
  }
  auto receiver = object.OpenReceiver();
  if (!receiver.ok()) return receiver.status();
  if (!role.stands_by) gate.Arrive();
  Words words(spec.message_bytes / sizeof(uint64_t));
  uint64_t next[2] = {};
  for (uint64_t taken = 0;;) {
    const IoResult result = RetryInterrupted(
        [&] { return receiver->Receive(std::as_writable_bytes(std::span(words)), Deadline::Never()); });
    if (IsAlone(result)) {
      sched_yield();
      continue;
    }
    const uint64_t number = NumberOf(words[0]);
    const uint64_t sender = number >> 48;
    const uint64_t n = number & (kAfterKill - 1);
    if (!result.ok() || result.bytes != words.size() * sizeof(uint64_t) || !IsPayload(words, number) || sender > 1 ||
        n < next[sender] || (all && n != next[sender])) {
      return MessageFailure("Receive", taken, result, spec.message_bytes);
    }
    next[sender] = n + 1;
    if (!role.survives) continue;
    shared.taken.store(++taken, std::memory_order_relaxed);
    if (sender == kSurvivingSender && (number & kAfterKill) != 0) {
      shared.recovered_nanos = NowNanos();
      return absl::OkStatus();
    }
    if (taken == kBeforeKill) {
      shared.under_way.store(1, std::memory_order_release);
      os::WakeAllOnFutex(shared.under_way);
    }
  }
}

// The processes of one trial by their indices in the group.
struct RecoveryProcesses {
  int victim;
  int sender;
  int receiver;
};

// What a trial that kills the holder of the lock is best made of: a sender spends much of its time inside the lock,
// copying, and little asleep, so that it is stopped there soon.
inline constexpr uint32_t kHoldersBytes = 1 << 10;
inline constexpr uint32_t kHoldersDepth = 64;

inline void SpinFor(int64_t nanos) noexcept { AwaitInstant(NowNanos() + nanos); }

// Whether the survivors stand still, asleep, while the victim is stopped; false as soon as one of them goes on.
inline bool StandStill(const RecoveryShared& shared, const Sleeper& sender, const Sleeper& receiver,
                       Deadline deadline) {
  constexpr int64_t between_looks_nanos = 100'000;
  const uint64_t sent = shared.sent.load();
  const uint64_t taken = shared.taken.load();
  for (int asleep = 0; asleep < 3;) {
    if (shared.sent.load() != sent || shared.taken.load() != taken || os::HasPassed(deadline)) return false;
    asleep = sender.Sleeps() && receiver.Sleeps() ? asleep + 1 : 0;
    SpinFor(between_looks_nanos);
  }
  return shared.sent.load() == sent && shared.taken.load() == taken;
}

// Stops the victim where it holds up the others, and leaves it so.
inline absl::Status StopInsideTheLock(os::ProcessGroup& group, const RecoveryProcesses& processes,
                                      const RecoveryShared& shared, uint64_t seed) {
  absl::StatusOr<Sleeper> victim = Sleeper::Watch(group.pid(processes.victim));
  absl::StatusOr<Sleeper> sender = Sleeper::Watch(group.pid(processes.sender));
  absl::StatusOr<Sleeper> receiver = Sleeper::Watch(group.pid(processes.receiver));
  if (!victim.ok() || !sender.ok() || !receiver.ok()) return absl::InternalError("a process is gone before the kill");
  const Deadline deadline = os::After(kRecoveryBoundNanos);
  for (uint64_t attempt = 1; !os::HasPassed(deadline); ++attempt) {
    group.Signal(processes.victim, SIGSTOP);
    while (!victim->IsStopped() && !os::HasPassed(deadline)) sched_yield();
    if (StandStill(shared, *sender, *receiver, deadline)) return absl::OkStatus();
    group.Signal(processes.victim, SIGCONT);
    SpinFor(static_cast<int64_t>((seed + attempt) * kPayloadFactor >> 48));  // up to 65 us
  }
  return absl::DeadlineExceededError("the victim was never stopped inside the lock");
}

// One kill: how long the survivors took.
template <Primitive P>
absl::StatusOr<int64_t> RecoverOnce(const SliceSpec& spec, uint64_t seed) {
  Geometry geometry = spec.geometry;
  const bool kills_receiver = spec.victim == Victim::kReceiver;
  const uint32_t most = kills_receiver ? P::kCapabilities.max_receivers : P::kCapabilities.max_senders;
  const bool stands_by = most < 2;
  (kills_receiver ? geometry.receivers : geometry.senders) = stands_by ? 1 : 2;
  absl::StatusOr<P> object = P::Create(geometry);
  if (!object.ok()) return object.status();
  absl::StatusOr<os::Mapping> mapping = os::Mapping::SharedAnonymous(sizeof(RecoveryShared));
  if (!mapping.ok()) return mapping.status();
  auto& shared = *new (mapping->address()) RecoveryShared{};
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(3, spec.cancel);
  if (!group.ok()) return group.status();
  const auto send = [&](RecoveryRole role) {
    return group->Spawn("sender", os::kAnyCpu,
                        [&](os::Gate& gate) { return HammerSends(*object, gate, spec, role, shared); });
  };
  const auto receive = [&](RecoveryRole role) {
    return group->Spawn("receiver", os::kAnyCpu, [&](os::Gate& gate) {
      return HammerReceives(*object, gate, spec, role, /*all=*/!kills_receiver, shared);
    });
  };
  absl::StatusOr<int> receiver = receive({.survives = true, .stands_by = kills_receiver && stands_by});
  absl::StatusOr<int> sender = send({.survives = true, .stands_by = !kills_receiver && stands_by});
  const RecoveryRole doomed = {.survives = false, .stands_by = false};
  absl::StatusOr<int> victim = kills_receiver ? receive(doomed) : send(doomed);
  for (const absl::StatusOr<int>* child : {&receiver, &sender, &victim}) {
    if (!child->ok()) return child->status();
  }
  const Deadline watchdog = os::After(kRecoveryBoundNanos);
  absl::Status status = group->Start(watchdog);
  if (!status.ok()) return status;
  const bool waits_for_traffic = !(kills_receiver && stands_by);  // else there is no survivor yet that could tell
  while (waits_for_traffic && shared.under_way.load() == 0 && group->running(*receiver) && !os::HasPassed(watchdog)) {
    os::WaitOnFutex(shared.under_way, 0, os::After(100'000'000));
    if (spec.cancel != nullptr && *spec.cancel) return absl::CancelledError("interrupted");
  }
  SpinFor(static_cast<int64_t>(seed * kPayloadFactor >> 46));  // up to 262 us
  if (spec.victim == Victim::kHolder) {
    status = StopInsideTheLock(*group, {*victim, *sender, *receiver}, shared, seed);
    if (!status.ok()) return status;
  }
  const int64_t killed = NowNanos();
  shared.killed_nanos.store(killed, std::memory_order_release);
  group->KillAndReap(*victim);
  shared.reaped.store(1, std::memory_order_release);
  os::WakeAllOnFutex(shared.reaped);
  status = group->JoinOne(*receiver, os::After(kRecoveryBoundNanos));
  group->KillAndReapAll();
  if (!status.ok()) return status;
  return shared.recovered_nanos - killed;
}

// Of this thread and of all children that it has waited for.
inline int64_t CpuNanosWithChildren() {
  rusage children = {};
  getrusage(RUSAGE_CHILDREN, &children);
  timespec own = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &own);
  const int64_t micros = (children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1'000'000 + children.ru_utime.tv_usec +
                         children.ru_stime.tv_usec;
  return micros * 1'000 + own.tv_sec * os::kNanosPerSecond + own.tv_nsec;
}

// One kill a message.
template <Primitive P>
absl::StatusOr<SliceResult> Recovery(const SliceSpec& spec) {
  SliceResult result;
  std::vector<int64_t> samples;
  const int64_t cpu_before = CpuNanosWithChildren();
  for (uint64_t trial = 0; trial < spec.messages; ++trial) {
    absl::StatusOr<int64_t> nanos = RecoverOnce<P>(spec, static_cast<uint64_t>(NowNanos()));
    if (!nanos.ok()) return nanos.status();
    samples.push_back(*nanos);
    result.nanos += *nanos;
  }
  SetSamples(std::move(samples), result);
  result.messages = spec.messages;
  result.other_cpu_nanos = CpuNanosWithChildren() - cpu_before;
  return result;
}

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_RECOVERY_H_
