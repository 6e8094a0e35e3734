#include "bench/limit_cases.h"

#include "absl/strings/str_cat.h"
#include "bench/hardware.h"
#include "bench/report/format.h"

namespace ipcmark::bench {
namespace {

constexpr uint32_t kPayloadBytes = 64;
constexpr uint32_t kCopyBytes = 64 << 10;
// Of what one process measures, next to rows that were asked for: some milliseconds, and samples enough for a p99.9.
constexpr uint64_t kAlongEvents = 1'000'000;

}  // namespace

void AddLimitCases(uint64_t events, const Options& options, CaseList& list) {
  for (const Limit limit : kAllLimits) {
    const bool copies = limit == Limit::kCopy;
    const bool has_payload = copies || limit == Limit::kEmptyLoop || limit == Limit::kIntegrity;
    const bool alone = IsAlone(limit);
    SliceSpec spec = {.geometry = {},
                      .message_bytes = copies ? kCopyBytes : kPayloadBytes,
                      .messages = 0,
                      .sender_cpu = options.sender_cpu,
                      .receiver_cpu = alone ? os::kAnyCpu : options.receiver_cpu,
                      .watchdog_nanos = options.watchdog_nanos};
    const std::string name =
        absl::StrCat("Roofline/", LimitName(limit), has_payload ? absl::StrCat("/", spec.message_bytes) : "");
    if (limit == Limit::kTscRead && !ReadTscSupport().has_rdtscp) {
      list.skipped.push_back({name, "the processor has no RDTSCP"});
      continue;
    }
    Case one = {.name = name,
                .scenario = "Roofline",
                .subject = LimitName(limit),
                .variant = "",
                .size = has_payload ? FormatBytes(spec.message_bytes) : "",
                .bytes = has_payload ? spec.message_bytes : 0,
                .receivers = alone ? 0U : 1U,
                .fixed_messages = alone ? 0 : events,
                .along_messages = alone ? kAlongEvents : events,
                .has_rate = limit != Limit::kFutexWake,
                .unit = "what needs no primitive: the hardware, the kernel, this harness; per event",
                .sender_cpu = spec.sender_cpu,
                .receiver_cpu = spec.receiver_cpu};
    one.run = [limit, spec](uint64_t messages, const std::atomic<bool>* cancel) mutable {
      spec.messages = messages;
      spec.cancel = cancel;
      return MeasureLimit(limit, spec);
    };
    list.cases.push_back(std::move(one));
  }
}

}  // namespace ipcmark::bench
