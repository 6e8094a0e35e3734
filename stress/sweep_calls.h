#ifndef IPCMARK_STRESS_SWEEP_CALLS_H_
#define IPCMARK_STRESS_SWEEP_CALLS_H_

// The calls that --sweep kills in, each with what a survivor checks. In this file:
//
//   SweptCall        a call by its name
//   SweptCallsOf     all calls of a primitive
//   TransferCalls, BroadcastCalls, CreateCall   those that every primitive has, by what it promises
//   HeldCalls        the same ones' transfers, held instead of killed
//   QueueCalls       of the named queue beneath mmap_queue: create, open, unlink, close, notify
//   SegmentCalls     of the segments beneath sysv_shm: create, attach, detach, remove

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ipc/mmap_queue/queue.h"
#include "stress/step_kill.h"
#include "stress/subject.h"

namespace ipcmark::stress {

struct SweptCall {
  std::string name;
  // For SweepRequest::make_case.
  std::function<absl::StatusOr<std::unique_ptr<SweptCase>>(Notes*, uint64_t seed)> make_case;
};

using MakeSubjectFunction = std::unique_ptr<Subject> (*)();

// `name`: as in the list of primitives. Why it has none, where it has none, is in WhyNotSwept.
std::vector<SweptCall> SweptCallsOf(const std::string& name, const Capabilities& capabilities,
                                    MakeSubjectFunction make_subject);
// Null: it is swept.
const char* WhyNotSwept(const Capabilities& capabilities);

std::vector<SweptCall> TransferCalls(MakeSubjectFunction make_subject);
std::vector<SweptCall> BroadcastCalls(MakeSubjectFunction make_subject);
std::vector<SweptCall> HeldCalls(const Capabilities& capabilities, MakeSubjectFunction make_subject);
SweptCall CreateCall(MakeSubjectFunction make_subject);
std::vector<SweptCall> QueueCalls(mmap_queue::Policy policy = mmap_queue::Policy::kRobust);
std::vector<SweptCall> SegmentCalls();

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_SWEEP_CALLS_H_
