#include "stress/report.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ipc/os/error.h"

namespace ipcmark::stress {
namespace {

double Millis(int64_t nanos) { return static_cast<double>(nanos) / 1e6; }

void AppendName(std::string* text, const Breach& breach) { text->append(breach.invariant); }

std::map<std::string, Tally> ByFault(const Results& results) {
  std::map<std::string, Tally> faults;
  for (size_t i = 0; i < results.scenarios.size(); ++i) {
    faults[results.catalogue.scenarios[i].fault->name].Add(results.scenarios[i].tally);
  }
  return faults;
}

void PrintFaults(const Results& results) {
  absl::PrintF("%-20s %7s %8s %6s %9s %12s %8s\n", "fault", "trials", "strikes", "kills", "survivors", "recovery/ms",
               "late/ms");
  for (const auto& [name, tally] : ByFault(results)) {
    absl::PrintF("%-20s %7d %8d %6d %9d %12.1f %8.1f\n", name, tally.trials, tally.strikes, tally.kills,
                 tally.survivors, Millis(tally.worst_recovery_nanos), Millis(tally.worst_lateness_nanos));
  }
}

std::string Fields(const Tally& tally) {
  return absl::StrFormat(
      R"("trials": %d, "messages": %d, "missed": %d, "strikes": %d, "kills": %d, "survivors": %d, "worst_wait_nanos": %d, )"
      R"("worst_end_wait_nanos": %d, "worst_recovery_nanos": %d, "worst_lateness_nanos": %d, )"
      R"("most_overtaken": %d, "worst_starved_nanos": %d)",
      tally.trials, tally.messages, tally.missed, tally.strikes, tally.kills, tally.survivors, tally.worst_wait_nanos,
      tally.worst_end_wait_nanos, tally.worst_recovery_nanos, tally.worst_lateness_nanos, tally.most_overtaken,
      tally.worst_starved_nanos);
}

// What a broken scenario has besides.
std::string Replays(const ScenarioResult& result) {
  if (result.breaches.empty()) return "";
  std::string text = absl::StrCat(R"(, "replay": )", Quoted(result.replay));
  if (!result.smallest) return text;
  const auto& [smaller, geometry, failure, trials, failed, confirmed] = *result.smallest;
  absl::StrAppendFormat(
      &text,
      R"(, "smallest": {"invariant": %s, "text": %s, "seed": %d, "step": %d, "operation": %s, "senders": %d, )"
      R"("receivers": %d, "depth_messages": %d, "message_bytes": %d, "messages": %d, "strikes": %d, "trials": %d, )"
      R"("failed": %d, "confirmed": %d, "replay": %s})",
      Quoted(result.breaches[0].invariant), Quoted(failure.text), result.broken_seed, failure.step,
      Quoted(failure.operation), geometry.senders, geometry.receivers, geometry.depth_messages,
      geometry.max_message_bytes, failure.messages, failure.strikes, trials, failed, confirmed,
      Quoted(result.smallest_replay));
  return text;
}

}  // namespace

std::string ToJson(const Results& results) {
  std::vector<std::string> scenarios;
  for (size_t i = 0; i < results.scenarios.size(); ++i) {
    const ScenarioResult& result = results.scenarios[i];
    std::vector<std::string> breaches;
    for (const Breach& breach : result.breaches) {
      breaches.push_back(absl::StrFormat(R"({"invariant": %s, "text": %s, "seed": %d})", Quoted(breach.invariant),
                                         Quoted(breach.text), result.broken_seed));
    }
    scenarios.push_back(absl::StrFormat(R"({"name": %s, %s, "breaches": [%s]%s})",
                                        Quoted(results.catalogue.scenarios[i].name), Fields(result.tally),
                                        absl::StrJoin(breaches, ", "), Replays(result)));
  }
  std::vector<std::string> faults;
  for (const auto& [name, tally] : ByFault(results)) {
    faults.push_back(absl::StrFormat(R"({"name": %s, %s})", Quoted(name), Fields(tally)));
  }
  std::vector<std::string> skipped;
  for (const Skipped& one : results.catalogue.skipped) {
    skipped.push_back(absl::StrFormat(R"({"name": %s, "reason": %s})", Quoted(one.name), Quoted(one.reason)));
  }
  return absl::StrFormat(
      "{\"seed\": %d,\n\"resident_bytes\": %d, \"resident_growth_bytes\": %d,\n\"scenarios\": [\n%s],\n\"faults\": "
      "[\n%s],\n\"skipped\": [\n%s]}\n",
      results.seed, results.memory.settled_bytes(), results.memory.growth_bytes(), absl::StrJoin(scenarios, ",\n"),
      absl::StrJoin(faults, ",\n"), absl::StrJoin(skipped, ",\n"));
}

void Tally::Add(const Record& record) {
  ++trials;
  messages += record.delivered_messages;
  missed += record.overwritten_messages;
  strikes += record.strikes;
  kills += record.sender_kills + record.receiver_kills;
  if (record.strikes > 0 && record.complete) {
    survivors += static_cast<uint64_t>(std::ranges::count(record.senders, false, &SenderHistory::killed) +
                                       std::ranges::count(record.receivers, false, &ReceiverHistory::killed));
  }
  worst_wait_nanos = std::max(worst_wait_nanos, record.worst_wait_nanos);
  worst_end_wait_nanos = std::max(worst_end_wait_nanos, record.worst_end_wait_nanos);
  worst_recovery_nanos = std::max(worst_recovery_nanos, record.worst_recovery_nanos);
  worst_lateness_nanos = std::max(worst_lateness_nanos, record.worst_lateness_nanos);
  most_overtaken = std::max(most_overtaken, record.most_overtaken);
  worst_starved_nanos = std::max(worst_starved_nanos, record.worst_starved_nanos);
}

void Tally::Add(const Tally& other) {
  trials += other.trials;
  messages += other.messages;
  missed += other.missed;
  strikes += other.strikes;
  kills += other.kills;
  survivors += other.survivors;
  worst_wait_nanos = std::max(worst_wait_nanos, other.worst_wait_nanos);
  worst_end_wait_nanos = std::max(worst_end_wait_nanos, other.worst_end_wait_nanos);
  worst_recovery_nanos = std::max(worst_recovery_nanos, other.worst_recovery_nanos);
  worst_lateness_nanos = std::max(worst_lateness_nanos, other.worst_lateness_nanos);
  most_overtaken = std::max(most_overtaken, other.most_overtaken);
  worst_starved_nanos = std::max(worst_starved_nanos, other.worst_starved_nanos);
}

void PrintSummary(const Results& results) {
  const Catalogue& catalogue = results.catalogue;
  size_t width = 8;
  for (size_t i = 0; i < results.scenarios.size(); ++i) {
    if (results.scenarios[i].tally.trials > 0) width = std::max(width, catalogue.scenarios[i].name.size());
  }
  absl::PrintF("%-*s %7s %10s %6s %9s %8s %8s  %s\n", static_cast<int>(width), "scenario", "trials", "messages",
               "kills", "overtaken", "wait/ms", "end/ms", "result");
  Tally all;
  size_t worst = 0;
  uint64_t not_reached = 0;
  uint64_t broken = 0;
  for (size_t i = 0; i < results.scenarios.size(); ++i) {
    const Tally& tally = results.scenarios[i].tally;
    const std::vector<Breach>& breaches = results.scenarios[i].breaches;
    if (tally.trials == 0 && breaches.empty()) {
      // Of thousands of scenarios a short run reaches some: the others are counted below, and each is in the JSON.
      ++not_reached;
      continue;
    }
    std::string result = "ok";
    if (!breaches.empty()) result = absl::StrCat("BROKEN: ", absl::StrJoin(breaches, ", ", AppendName));
    absl::PrintF("%-*s %7d %10d %6d %9d %8.1f %8.1f  %s\n", static_cast<int>(width), catalogue.scenarios[i].name,
                 tally.trials, tally.messages, tally.kills, tally.most_overtaken, Millis(tally.worst_wait_nanos),
                 Millis(tally.worst_end_wait_nanos), result);
    broken += breaches.empty() ? 0 : 1;
    all.Add(tally);
    if (tally.worst_wait_nanos > results.scenarios[worst].tally.worst_wait_nanos) worst = i;
  }
  for (const Skipped& skipped : catalogue.skipped) {
    absl::PrintF("skipped %s: %s\n", skipped.name, skipped.reason);
  }
  PrintFaults(results);
  absl::PrintF(
      "%d scenarios, %d trials, %d messages, %d kills, %d broken, %d skipped; the longest wait before the end %.1f ms "
      "in %s\n",
      results.scenarios.size(), all.trials, all.messages, all.kills, broken, catalogue.skipped.size(),
      Millis(all.worst_wait_nanos), catalogue.scenarios[worst].name);
  if (not_reached > 0) {
    absl::PrintF("%d scenario(s) not reached: %s\n", not_reached,
                 results.reason_to_stop != nullptr ? results.reason_to_stop : "?");
  }
  const std::string growth = results.memory.FindBreach();
  absl::PrintF("the runner's memory: %d KiB, grown by %d KiB since\n", results.memory.settled_bytes() >> 10U,
               results.memory.growth_bytes() >> 10U);
  if (!growth.empty()) absl::PrintF("BROKEN constant_memory: %s\n", growth);
  absl::PrintF("seed %d\n", results.seed);
  fflush(stdout);
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppendFormat(&quoted, "\\u%04x", c);
      continue;
    }
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

namespace {

absl::Status Refused(const char* call, const std::string& path) {
  return os::SyscallError(absl::StrFormat("%s(%s)", call, path), errno, "give --json= a file that can be written");
}

}  // namespace

absl::StatusOr<ResultFile> ResultFile::Open(const std::string& path) {
  if (path.empty()) return ResultFile(path, os::Fd());
  os::Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
  if (!file.valid()) return Refused("open", path);
  return ResultFile(path, std::move(file));
}

absl::Status ResultFile::Write(const std::string& text) const {
  if (!file_.valid()) return absl::OkStatus();
  // A pipe has no length.
  if (ftruncate(file_.get(), 0) != 0 && errno != EINVAL) return Refused("ftruncate", path_);
  for (size_t done = 0; done < text.size();) {
    const ssize_t bytes = write(file_.get(), text.data() + done, text.size() - done);
    if (bytes < 0 && errno != EINTR) return Refused("write", path_);
    done += bytes > 0 ? static_cast<size_t>(bytes) : 0;
  }
  return absl::OkStatus();
}

}  // namespace ipcmark::stress
