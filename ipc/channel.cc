#include "ipc/channel.h"

#include "absl/strings/str_format.h"

namespace ipcmark {

absl::Status CheckGeometry(const char* primitive, const Capabilities& capabilities, const Geometry& geometry) {
  if (geometry.depth_messages == 0 || geometry.senders == 0 || geometry.receivers == 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: depth, senders and receivers must each be at least 1", primitive));
  }
  if (geometry.max_message_bytes > capabilities.max_message_bytes) {
    return absl::UnimplementedError(absl::StrFormat("%s carries messages of up to %d bytes, not %d", primitive,
                                                    capabilities.max_message_bytes, geometry.max_message_bytes));
  }
  if (geometry.senders > capabilities.max_senders) {
    return absl::UnimplementedError(
        absl::StrFormat("%s has at most %d sender(s), not %d", primitive, capabilities.max_senders, geometry.senders));
  }
  if (geometry.receivers > capabilities.max_receivers) {
    return absl::UnimplementedError(absl::StrFormat("%s has at most %d receiver(s), not %d", primitive,
                                                    capabilities.max_receivers, geometry.receivers));
  }
  if (!capabilities.waits.Has(geometry.wait)) {
    return absl::UnimplementedError(
        absl::StrFormat("%s has no wait strategy \"%s\"", primitive, WaitName(geometry.wait)));
  }
  return absl::OkStatus();
}

}  // namespace ipcmark
