#ifndef IPCMARK_STRESS_RECORD_H_
#define IPCMARK_STRESS_RECORD_H_

// What happened in one trial: what invariants look at. Read-only, and complete only as far as `complete` says.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "stress/notice_check.h"
#include "stress/plan.h"

namespace ipcmark::stress {

// One message as a receiver got it.
struct Delivery {
  uint64_t sequence;
  uint32_t sender;
  uint32_t bytes;  // as Receive said
  uint32_t priority;
  bool intact;  // the checksum fits; when not, the fields above are only what the torn message claims
};

// A place in what the senders of a broadcast send, one sender after the other: before message `sequence` of `sender`.
struct StreamPosition {
  uint32_t sender = 0;
  uint64_t sequence = 0;
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the comparison's 0 for a pointer
  friend auto operator<=>(const StreamPosition&, const StreamPosition&) = default;
};

// What a receiver of a broadcast was told: so many messages were overwritten before it came to deliveries[before].
struct Gap {
  size_t before;
  uint64_t messages;
};

struct SenderHistory {
  uint32_t slot;
  bool killed;
  // Sequence numbers 0..accepted-1 were accepted (Send returned ok). At most one more was attempted when its sender
  // died or the trial ended.
  uint64_t attempted;
  uint64_t accepted;
  uint64_t filled = 0;  // how many of them before any receiver started
  // How often each attempted sequence number was delivered, over all receivers (of a broadcast: to one receiver, at
  // most); stops counting at 255.
  std::vector<uint8_t> deliveries;
};

// What one process found that had the object for itself when everybody had left: it empties it, fills it and empties it
// again. Only where the primitive promises that new ends may come.
struct Audit {
  bool done;
  uint64_t found;     // messages that nobody should have left
  uint64_t accepted;  // of fill_bytes each, until it was full
  uint64_t returned;
  uint64_t missed;        // were overwritten, as the receiver was told
  uint64_t torn;          // of those returned
  uint64_t misordered;    // came before one that should have come first
  NoticeFinding notices;  // only where its ends know notifications
};

struct ReceiverHistory {
  uint32_t slot;
  bool killed;
  std::vector<Delivery> deliveries;  // in the order of its Receive calls
  // Of a broadcast only. Send was called for this message and for all later ones when it had opened:
  StreamPosition due = {};
  bool stayed = false;  // until there was nothing left to get
  std::vector<Gap> gaps = {};
};

struct Record {
  TrialPlan plan;
  std::vector<SenderHistory> senders;      // by index: MessageHeader::sender
  std::vector<ReceiverHistory> receivers;  // by index: in a slot, a higher index opened after the lower one had died

  // Every end that was not killed came to its end by itself. When false the rest is a snapshot: what is missing may
  // have been on its way.
  bool complete = false;
  // Every end of one side was killed without replacement: what the object still held is nobody's fault.
  bool side_extinct = false;

  uint64_t fill_accepted_messages = 0;
  // The largest (accepted - delivered) that a sender saw while traffic flowed; of a broadcast: (accepted - delivered to
  // one receiver that listens).
  uint64_t most_in_flight_messages = 0;

  // "" or who waited for what when nothing had happened for plan.liveness_nanos.
  std::string stuck;
  // "" or the first outcome that its situation does not allow, or how a process died that nobody killed.
  std::string unexpected;

  uint64_t strikes = 0;  // how often the fault struck
  Audit audit = {};
  // "" or what was more than before once the object was destroyed, and where the kernel's attach count was wrong.
  std::string left_behind;
  std::string attach_miscount;
  std::string segment_misfate;   // "" or a segment that went too early or stayed too long (census.h: FindMisfate)
  int64_t most_early_nanos = 0;  // kDeadline before the deadline, by so much
  uint64_t sender_kills = 0;     // ends that left without closing
  uint64_t receiver_kills = 0;
  uint64_t delivered_messages = 0;    // intact ones, counted once each (of a broadcast: once for each receiver)
  uint64_t overwritten_messages = 0;  // which receivers of a broadcast were told that they had missed
  uint64_t missing_messages = 0;      // accepted, and delivered to nobody
  // The longest time in which nothing at all happened, as the parent saw it (it looks every 2 ms): until the end of
  // traffic, recoveries from kills included, and after it, when what is left to happen is that ends leave.
  int64_t worst_wait_nanos = 0;
  int64_t worst_recovery_nanos = 0;  // from the end of a strike until the next operation completed
  int64_t worst_end_wait_nanos = 0;
  // While one operation waited, from its first attempt until it was ok, others of its side completed so many, at most;
  // and the longest such wait that counts for fairness (starvation.h), looked for where nothing strikes.
  uint64_t most_overtaken = 0;
  int64_t worst_starved_nanos = 0;
  // How long after its deadline an operation came back with kDeadline, at most.
  int64_t worst_lateness_nanos = 0;
  // The longest sleep of everybody while somebody could go on (oversleep.h), and who that was.
  int64_t worst_overslept_nanos = 0;
  std::string overslept;
  // Time in which somebody was kept from running while others waited (patience.h), and which counts for no bound.
  int64_t excused_nanos = 0;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_RECORD_H_
