#include "stress/sweep_calls.h"

#include <iterator>
#include <utility>

namespace ipcmark::stress {
namespace {

void Append(std::vector<SweptCall> more, std::vector<SweptCall>* calls) {
  calls->insert(calls->end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace

const char* WhyNotSwept(const Capabilities& capabilities) {
  return capabilities.survives_sigkill ? nullptr : "it does not promise to survive SIGKILL";
}

std::vector<SweptCall> SweptCallsOf(const std::string& name, const Capabilities& capabilities,
                                    MakeSubjectFunction make_subject) {
  std::vector<SweptCall> calls;
  if (WhyNotSwept(capabilities) != nullptr) return calls;
  Append(capabilities.broadcasts ? BroadcastCalls(make_subject) : TransferCalls(make_subject), &calls);
  calls.push_back(CreateCall(make_subject));
  Append(HeldCalls(capabilities, make_subject), &calls);
  // What lies beneath a primitive is swept once, with the primitive that is named after it.
  if (name == "mmap_queue") Append(QueueCalls(), &calls);
  if (name == "sysv_shm") Append(SegmentCalls(), &calls);
  return calls;
}

}  // namespace ipcmark::stress
