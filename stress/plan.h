#ifndef IPCMARK_STRESS_PLAN_H_
#define IPCMARK_STRESS_PLAN_H_

// What a trial will do, fixed before it begins and following from its seed. In this file:
//
//   Side         sender or receiver
//   Departure    how the victims of a strike leave, if they do
//   Disturbance  what is done to victims that stay
//   Strike       one thing that a fault does
//   TrialPlan    everything that the processes of one trial need to know
//
// The ends of one side live in slots 0, 1, ...: a replacement takes its predecessor's slot, under a new index.

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ipc/channel.h"

namespace ipcmark::stress {

enum class Side : uint8_t { kSender, kReceiver };
constexpr Side Other(Side side) { return side == Side::kSender ? Side::kReceiver : Side::kSender; }
constexpr const char* SideName(Side side) { return side == Side::kSender ? "sender" : "receiver"; }

struct Position {
  Side side;
  uint32_t slot;
};

enum class Departure : uint8_t {
  kNone,    // they stay, and are disturbed instead
  kKilled,  // SIGKILL
  kExits,   // _exit from a signal handler: at any instruction, nothing closed, nothing run
  kCloses,  // between two operations, with the end closed in order
};

struct TrialPlan;

// Does something to running processes and undoes it before it returns (but for damage to shared memory, see
// TrialPlan::damages). The victims may be anywhere, also blocked; some may have ended. Returns "" or what the system
// did about it that it should not have.
using Disturbance = std::string (*)(const TrialPlan& plan, std::span<const pid_t> victims, uint64_t seed);

// What a disturbance asks an end's process to do, in the middle of whatever it does (scripts.cc has the handlers).
inline constexpr int kForkSignal = SIGURG;     // fork a child that inherits everything and exits at once
inline constexpr int kUnmapSignal = SIGWINCH;  // give up the pages of the object's memory, to be faulted in again

// What happens to some ends while traffic flows, to one right after the other. Where they leave and the primitive
// carries on without them, replacements follow once all victims are gone, the last victim's first: so a new sender
// meets what its predecessor left behind, which receivers would have emptied long before it opens if they lived. The
// moment is counted in messages, because a trial has no clock that two machines would share: when the end at `watched`
// has completed `operations` more of them.
struct Strike {
  Position watched;
  uint64_t operations;
  std::vector<Position> victims;  // no end twice
  uint32_t pauses = 0;            // PAUSE instructions before each departure, to reach other instructions of the victim
  Departure departure = Departure::kKilled;
  Disturbance disturb = nullptr;  // for Departure::kNone
  uint64_t seed = 0;              // of what the disturbance draws
  // By how much CLOCK_MONOTONIC and CLOCK_BOOTTIME of the replacements differ from everybody else's.
  int64_t clock_shift_nanos = 0;
};

struct TrialPlan {
  uint64_t seed;
  Geometry geometry;
  Capabilities capabilities;
  // The senders fill the object with messages of this size before any receiver starts.
  uint32_t fill_bytes;
  uint64_t fill_limit_messages;   // the object's DepthLimit(fill_bytes)
  uint64_t depth_limit_messages;  // its DepthLimit for the smallest message: no mix of sizes fits more
  std::vector<Strike> strikes;
  // What the object keeps its state in (shared_memory.h: SharedRange::object); empty for an object of the kernel's.
  std::vector<std::string> memory;
  // The strikes damage that memory. From the first one on an end may get any outcome, and leaves with the first that it
  // would otherwise not have got. It always has a deadline then: what a damaged object owes it is an answer in time.
  bool damages = false;
  // Whether an auditor has the object for itself at the end (record.h: Audit). Its promise that new ends may come is
  // then used once more; receivers leave on a stop message, since the object stays open for them to come. Where a
  // primitive reports the end of all senders, half of the trials have that instead.
  bool audited = false;
  // Senders have one CPU and receivers another one, so that each end that has its CPU finds the other side at work.
  bool sides_apart = false;
  // Traffic ends once all strikes are done and this many messages have been delivered, or after traffic_nanos, or when
  // every sender has sent its part of max_messages.
  uint64_t target_messages;
  uint64_t max_messages;
  int64_t traffic_nanos;
  // How long nothing at all may happen before the trial counts as stuck, in time in which it could (patience.h).
  int64_t liveness_nanos;
  // TrialRequest::end_nanos.
  int64_t end_nanos;

  // Whoever is struck may wait. Of those that spin, one that shares a CPU with the only end that it waits for finds
  // nothing whenever it runs, because others that run at the same time were quicker: that is the scheduler's to decide.
  // Measured on two CPUs, shm_mpmc with 4 and 6 spinning ends, 18 scenarios: with any end on any CPU 15 had somebody
  // who got nothing for 200 ms; with one end of the longer side apart and the others beside their partner 10; with each
  // side on a CPU of its own none in 271 trials, and nobody more than 83 ms.
  [[nodiscard]] bool LooksForStarvation() const {
    return strikes.empty() && (geometry.wait != Wait::kSpin || sides_apart);
  }

  // Some ends leave without closing.
  [[nodiscard]] bool Kills() const {
    bool kills = false;
    for (const Strike& strike : strikes) {
      kills |= strike.departure == Departure::kKilled || strike.departure == Departure::kExits;
    }
    return kills;
  }
  // An end that is killed may take somebody's wake-up along, and a damaged object may have lost any.
  [[nodiscard]] bool LooksForOversleep() const { return !Kills() && !damages; }
  // Nobody waits for a receiver that is a whole depth behind: it is told what it has missed.
  [[nodiscard]] bool Overwrites() const {
    return capabilities.broadcasts && geometry.slow_receiver == SlowReceiver::kMissesMessages;
  }

  [[nodiscard]] uint32_t Ends(Side side) const { return side == Side::kSender ? geometry.senders : geometry.receivers; }
  // Logs that are needed at most: every victim may bring a replacement.
  [[nodiscard]] uint32_t MaxIndices(Side side) const {
    uint32_t indices = Ends(side);
    for (const Strike& strike : strikes) {
      for (const Position& victim : strike.victims) indices += victim.side == side ? 1 : 0;
    }
    return indices;
  }
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_PLAN_H_
