#ifndef IPCMARK_STRESS_SUBJECT_H_
#define IPCMARK_STRESS_SUBJECT_H_

// A primitive's object and one end of each side with the type erased, for code that does one operation at a time and
// times nothing. Each process that forks off has its own copy and opens what it uses there.

#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "ipc/channel.h"
#include "stress/plan.h"

namespace ipcmark::stress {

class Subject {
 public:
  virtual ~Subject() = default;
  // Replaces the object before. Open ends must have been closed.
  virtual absl::Status Create(const Geometry& geometry) = 0;
  virtual absl::Status Open(Side side) = 0;
  virtual void Close(Side side) = 0;
  // On ends that are open. Where there are no priorities, `priority` means nothing.
  virtual IoResult Send(std::span<const std::byte> message, uint32_t priority, Deadline deadline) = 0;
  virtual IoResult Receive(std::span<std::byte> buffer, uint32_t* priority, Deadline deadline) = 0;
};

template <Primitive P>
class SubjectOf : public Subject {
 public:
  absl::Status Create(const Geometry& geometry) override {
    absl::StatusOr<P> object = P::Create(geometry);
    if (!object.ok()) return object.status();
    object_.emplace(*std::move(object));
    return absl::OkStatus();
  }
  absl::Status Open(Side side) override {
    if (side == Side::kSender) {
      absl::StatusOr<SenderOf<P>> end = object_->OpenSender();
      if (!end.ok()) return end.status();
      sender_.emplace(*std::move(end));
      return absl::OkStatus();
    }
    absl::StatusOr<ReceiverOf<P>> end = object_->OpenReceiver();
    if (!end.ok()) return end.status();
    receiver_.emplace(*std::move(end));
    return absl::OkStatus();
  }
  void Close(Side side) override {
    if (side == Side::kSender) {
      sender_.reset();
    } else {
      receiver_.reset();
    }
  }
  IoResult Send(std::span<const std::byte> message, uint32_t priority, Deadline deadline) override {
    if constexpr (PrioritySendEnd<SenderOf<P>>) {
      return sender_->Send(message, priority, deadline);
    } else {
      return sender_->Send(message, deadline);
    }
  }
  IoResult Receive(std::span<std::byte> buffer, uint32_t* priority, Deadline deadline) override {
    if constexpr (PriorityReceiveEnd<ReceiverOf<P>>) {
      return receiver_->Receive(buffer, priority, deadline);
    } else {
      return receiver_->Receive(buffer, deadline);
    }
  }

 private:
  std::optional<P> object_;
  std::optional<SenderOf<P>> sender_;
  std::optional<ReceiverOf<P>> receiver_;
};

template <Primitive P>
std::unique_ptr<Subject> MakeSubject() {
  return std::make_unique<SubjectOf<P>>();
}

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_SUBJECT_H_
