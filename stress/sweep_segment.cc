// Calls on System V segments (ipc/sysv_shm/segment.h): create under a key, attach, detach, mark for removal. Whoever
// dies when: the attach count is that of the living, what lies in the segment stays, a half-made one is not to be seen,
// one that is marked goes with its last attachment and not before, and the key can be used again.

#include <unistd.h>

#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_format.h"
#include "ipc/sysv_shm/segment.h"
#include "stress/sweep_calls.h"

namespace ipcmark::stress {
namespace {

using sysv_shm::Attachment;
using sysv_shm::Segment;
using sysv_shm::SegmentInfo;

constexpr size_t kBytes = 3 * 4096 + 1;
constexpr int kWritten = 0x5a;

// Nobody else's: the key carries this process' id, in a range that ftok(3) makes of devices that there are not.
key_t KeyOfThisProcess() { return static_cast<key_t>(0x7f000000 | (getpid() & 0x3fffff)); }

bool IsFilledWith(const Attachment& attachment, int byte) {
  const auto* bytes = static_cast<const unsigned char*>(attachment.address());
  for (size_t i = 0; i < kBytes; ++i) {
    if (bytes[i] != byte) return false;
  }
  return true;
}

class SegmentCase : public SweptCase {
 public:
  explicit SegmentCase(Notes* notes) : SweptCase(notes) {}
  ~SegmentCase() override {
    const absl::StatusOr<int> id = Segment::FindId(key_);
    if (id.ok()) Segment::ById(*id).MarkForRemoval().IgnoreError();
  }

  absl::Status Prepare() override {
    absl::StatusOr<Segment> segment = Segment::Create(kBytes, key_);
    if (!segment.ok()) return segment.status();
    segment_ = *std::move(segment);
    absl::StatusOr<Attachment> attachment = segment_.Attach();
    if (!attachment.ok()) return attachment.status();
    attachment_ = *std::move(attachment);
    memset(attachment_.address(), kWritten, kBytes);
    return absl::OkStatus();
  }

 protected:
  // The parent's attachment, and this process' copy of it.
  absl::StatusOr<SegmentInfo> CheckTheLiving() {
    absl::StatusOr<SegmentInfo> info = segment_.Stat();
    if (!info.ok()) return info.status();
    notes_.Recover();
    if (info->attached != 2) {
      return Wrong(absl::StrFormat("an attach count of %d with two processes attached", info->attached));
    }
    if (!IsFilledWith(attachment_, kWritten)) return Wrong("other bytes than were written");
    return info;
  }

  const key_t key_ = KeyOfThisProcess();  // the parent's
  Segment segment_;
  Attachment attachment_;
};

class AttachCase : public SegmentCase {
 public:
  using SegmentCase::SegmentCase;
  void Call(int64_t) override { segment_.Attach().IgnoreError(); }
  absl::Status Check(bool) override {
    absl::StatusOr<SegmentInfo> info = CheckTheLiving();
    if (!info.ok()) return info.status();
    absl::StatusOr<Attachment> another = segment_.Attach();
    if (!another.ok()) return another.status();
    return IsFilledWith(*another, kWritten) ? absl::OkStatus() : Wrong("other bytes in a new attachment");
  }
};

class DetachCase : public AttachCase {
 public:
  using AttachCase::AttachCase;
  void BeforeCall() override {
    absl::StatusOr<Attachment> another = segment_.Attach();
    if (!another.ok()) _exit(1);
    another_ = *std::move(another);
  }
  void Call(int64_t) override { another_.Detach(); }

 private:
  Attachment another_;
};

class RemoveCase : public SegmentCase {
 public:
  using SegmentCase::SegmentCase;
  void Call(int64_t) override { segment_.MarkForRemoval().IgnoreError(); }
  absl::Status Check(bool finished) override {
    absl::StatusOr<SegmentInfo> info = CheckTheLiving();
    if (!info.ok()) return info.status();
    if (finished && !info->marked_for_removal) return Wrong("a segment that was marked for removal and is not");
    const bool found = Segment::FindId(key_).ok();
    if (found == info->marked_for_removal) return Wrong("the key and the mark for removal contradict each other");
    absl::Status marked = segment_.MarkForRemoval();
    if (!marked.ok()) return marked;
    // The key is free while the old segment lives on.
    absl::StatusOr<Segment> next = Segment::Create(kBytes, key_);
    if (!next.ok()) return next.status();
    return IsFilledWith(attachment_, kWritten) ? absl::OkStatus() : Wrong("a marked segment lost its bytes");
  }
  absl::Status CheckAll(bool) override {
    attachment_.Detach();
    return Segment::OpenId(segment_.id()).ok() ? Wrong("a marked segment outlives its last attachment")
                                               : absl::OkStatus();
  }
};

class CreateSegmentCase : public SegmentCase {
 public:
  using SegmentCase::SegmentCase;
  absl::Status Prepare() override { return absl::OkStatus(); }
  void Call(int64_t) override {
    absl::StatusOr<Segment> made = Segment::Create(kBytes, key_);
    if (made.ok()) made->Release();
  }
  absl::Status Check(bool finished) override {
    absl::StatusOr<Segment> found = Segment::Open(key_);
    notes_.Recover();
    if (!found.ok() && !absl::IsNotFound(found.status())) return found.status();
    if (finished && !found.ok()) return Wrong("no segment though Create had returned");
    // Whole, if it is there at all; and it does not keep anybody from going on.
    absl::StatusOr<Segment> next = Segment::OpenOrCreate({.bytes = kBytes, .key = key_});
    if (!next.ok()) return next.status();
    if (found.ok() && next->id() != found->id()) return Wrong("another segment under the same key");
    absl::Status whole = CheckNew(*next);
    if (!whole.ok()) return whole;
    absl::Status marked = next->MarkForRemoval();
    if (!marked.ok()) return marked;
    absl::StatusOr<Segment> after = Segment::Create(kBytes, key_);
    return after.ok() ? CheckNew(*after) : after.status();
  }

 private:
  static absl::Status CheckNew(const Segment& segment) {
    absl::StatusOr<Attachment> attachment = segment.Attach();
    if (!attachment.ok()) return attachment.status();
    return segment.bytes() == kBytes && IsFilledWith(*attachment, 0)
               ? absl::OkStatus()
               : Wrong("a segment of another size, or with something in it");
  }
};

template <typename Case>
SweptCall CallOf(const char* name) {
  return {name, [](Notes* notes, uint64_t) { return std::make_unique<Case>(notes); }};
}

}  // namespace

std::vector<SweptCall> SegmentCalls() {
  return {CallOf<CreateSegmentCase>("segment_create"), CallOf<AttachCase>("segment_attach"),
          CallOf<DetachCase>("segment_detach"), CallOf<RemoveCase>("segment_remove")};
}

}  // namespace ipcmark::stress
