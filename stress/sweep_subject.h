#ifndef IPCMARK_STRESS_SWEEP_SUBJECT_H_
#define IPCMARK_STRESS_SWEEP_SUBJECT_H_

// What swept calls on a Subject have in common: numbered messages of three senders, and a survivor that reads them.

#include <cstdint>

#include "absl/status/status.h"
#include "stress/step_kill.h"
#include "stress/subject.h"

namespace ipcmark::stress {

inline constexpr uint32_t kSweptBytes = 64;
inline constexpr Geometry kSweptGeometry = {
    .depth_messages = 4, .max_message_bytes = kSweptBytes, .wait = Wait::kBlock};

class SubjectCase : public SweptCase {
 protected:
  SubjectCase(Notes* notes, uint64_t seed, Subject* subject) : SweptCase(notes), seed_(seed), subject_(*subject) {}

  IoResult SendOne(uint32_t sender, uint64_t sequence, Deadline deadline);
  // Counts it in Notes::seen. kUnavailable: there is none, or nobody who sends.
  absl::Status ReceiveOne(Deadline deadline);
  // All that there are, `most` at most: a broken object may give for ever.
  absl::Status ReceiveAll(uint64_t most);
  // An empty object with both ends open takes `room` messages and gives them back.
  absl::Status Refill(uint64_t room);
  [[nodiscard]] uint64_t Seen() const;

  const uint64_t seed_;
  Subject& subject_;

 private:
  uint64_t next_prepared_ = 0;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_SWEEP_SUBJECT_H_
