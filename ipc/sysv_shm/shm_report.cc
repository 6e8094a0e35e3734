#include "ipc/sysv_shm/shm_report.h"

#include <pwd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/os/error.h"
#include "rapidjson/prettywriter.h"
#include "rapidjson/stringbuffer.h"

namespace ipcmark::sysv_shm {
namespace {

using Writer = rapidjson::PrettyWriter<rapidjson::StringBuffer>;

constexpr size_t kColumns = 100;

std::string KeyText(key_t key) { return absl::StrFormat("0x%08x", static_cast<uint32_t>(key)); }
std::string ModeText(uint32_t mode) { return absl::StrFormat("%04o", mode); }

// A name of up to 10 letters, else the number, so that a column has a width.
std::string UserText(uid_t uid) {
  const passwd* user = getpwuid(uid);  // NOLINT(concurrency-mt-unsafe): one thread
  return user != nullptr && strlen(user->pw_name) <= 10 ? user->pw_name : absl::StrCat(uid);
}

std::string TimeText(int64_t seconds) {
  if (seconds == 0) return "never";
  const auto time = static_cast<time_t>(seconds);
  tm local;
  char text[64];
  if (localtime_r(&time, &local) == nullptr) return absl::StrCat(seconds);
  return strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local) > 0 ? text : absl::StrCat(seconds);
}

std::string StatusText(const SegmentInfo& segment) {
  const char* dest = segment.marked_for_removal ? "dest" : "";
  const char* lock = segment.locked ? "locked" : "";
  return absl::StrCat(dest, *dest != '\0' && *lock != '\0' ? "," : "", lock);
}

std::string JsonOf(const std::function<void(Writer&)>& write) {
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  writer.SetIndent(' ', 2);
  writer.StartObject();
  write(writer);
  writer.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize()) + "\n";
}

void Text(Writer& writer, const char* key, const std::string& value) {
  writer.Key(key);
  writer.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
}
void Unsigned(Writer& writer, const char* key, uint64_t value) {
  writer.Key(key);
  writer.Uint64(value);
}
void Bool(Writer& writer, const char* key, bool value) {
  writer.Key(key);
  writer.Bool(value);
}
void Time(Writer& writer, const char* key, int64_t seconds) {
  writer.Key(key);
  if (seconds == 0) {
    writer.Null();
  } else {
    writer.Int64(seconds);
  }
}

void SegmentMembers(Writer& writer, const SegmentInfo& segment) {
  Unsigned(writer, "id", segment.id);
  Text(writer, "key", KeyText(segment.key));
  Unsigned(writer, "bytes", segment.bytes);
  Unsigned(writer, "attached", segment.attached);
  Text(writer, "mode", ModeText(segment.mode));
  Unsigned(writer, "uid", segment.uid);
  Unsigned(writer, "gid", segment.gid);
  Unsigned(writer, "creator_uid", segment.creator_uid);
  Unsigned(writer, "creator_gid", segment.creator_gid);
  Unsigned(writer, "creator_pid", segment.creator_pid);
  Unsigned(writer, "last_pid", segment.last_pid);
  Unsigned(writer, "sequence", segment.sequence);
  Time(writer, "attach_time_unix_seconds", segment.attach_time_seconds);
  Time(writer, "detach_time_unix_seconds", segment.detach_time_seconds);
  Time(writer, "change_time_unix_seconds", segment.change_time_seconds);
  Bool(writer, "marked_for_removal", segment.marked_for_removal);
  Bool(writer, "locked", segment.locked);
}

// Breaks `text` at spaces into lines that start at column `indent` and end before column 100.
std::string Wrapped(const std::string& text, size_t indent) {
  std::string lines;
  size_t at = 0;
  while (text.size() - at > kColumns - indent) {
    size_t end = text.rfind(' ', at + kColumns - indent);
    if (end == std::string::npos || end <= at) end = at + kColumns - indent;
    absl::StrAppend(&lines, text.substr(at, end - at), "\n", std::string(indent, ' '));
    at = text[end] == ' ' ? end + 1 : end;
  }
  return absl::StrCat(lines, text.substr(at), "\n");
}

}  // namespace

std::string SegmentsText(const std::vector<SegmentInfo>& segments, const SegmentUsage& usage) {
  using Row = std::array<std::string, 8>;
  std::vector<Row> rows = {{"id", "key", "owner", "mode", "bytes", "attached", "last pid", "status"}};
  for (const SegmentInfo& segment : segments) {
    rows.push_back({absl::StrCat(segment.id), KeyText(segment.key), UserText(segment.uid), ModeText(segment.mode),
                    absl::StrCat(segment.bytes), absl::StrCat(segment.attached), absl::StrCat(segment.last_pid),
                    StatusText(segment)});
  }
  std::array<size_t, 8> widths = {};
  for (const Row& row : rows) {
    for (size_t at = 0; at < row.size(); ++at) widths[at] = std::max(widths[at], row[at].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t at = 0; at < row.size(); ++at) {
      const std::string padding(widths[at] - row[at].size(), ' ');
      const bool number = at == 0 || (at >= 4 && at <= 6);
      absl::StrAppend(&line, at == 0 ? "" : "  ", number ? padding : "", row[at], number ? "" : padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&text, line, "\n");
  }
  absl::StrAppendFormat(&text, "%d segments, %d pages of %d bytes: %d resident, %d swapped\n", usage.segments,
                        usage.total_pages, sysconf(_SC_PAGESIZE), usage.resident_pages, usage.swapped_pages);
  return text;
}

std::string SegmentsJson(const std::vector<SegmentInfo>& segments, const SegmentUsage& usage) {
  return JsonOf([&](Writer& writer) {
    writer.Key("segments");
    writer.StartArray();
    for (const SegmentInfo& segment : segments) {
      writer.StartObject();
      SegmentMembers(writer, segment);
      writer.EndObject();
    }
    writer.EndArray();
    writer.Key("usage");
    writer.StartObject();
    Unsigned(writer, "segments", usage.segments);
    Unsigned(writer, "page_bytes", sysconf(_SC_PAGESIZE));
    Unsigned(writer, "total_pages", usage.total_pages);
    Unsigned(writer, "resident_pages", usage.resident_pages);
    Unsigned(writer, "swapped_pages", usage.swapped_pages);
    writer.EndObject();
  });
}

std::string SegmentText(const SegmentInfo& segment) {
  const std::string status = StatusText(segment);
  return absl::StrFormat(
      "id        %d\nkey       %s\nbytes     %d\nattached  %d\nmode      %s\nowner     uid %d (%s), gid %d\n"
      "creator   uid %d (%s), gid %d, process %d\nlast      process %d (attached or detached)\nattach    %s\n"
      "detach    %s\nchange    %s\nstatus    %s\n",
      segment.id, KeyText(segment.key), segment.bytes, segment.attached, ModeText(segment.mode), segment.uid,
      UserText(segment.uid), segment.gid, segment.creator_uid, UserText(segment.creator_uid), segment.creator_gid,
      segment.creator_pid, segment.last_pid, TimeText(segment.attach_time_seconds),
      TimeText(segment.detach_time_seconds), TimeText(segment.change_time_seconds), status.empty() ? "-" : status);
}

std::string SegmentJson(const SegmentInfo& segment) {
  return JsonOf([&](Writer& writer) { SegmentMembers(writer, segment); });
}

std::string LimitsText(const std::vector<LimitProof>& limits) {
  std::string text;
  for (const LimitProof& limit : limits) {
    const bool none = strcmp(limit.name, "SHMSEG") == 0;
    absl::StrAppendFormat(&text, "%s  %s\n", limit.name,
                          none ? "none: Linux does not limit the attachments of a process"
                               : absl::StrFormat("%d %s%s%s%s", limit.value, limit.unit, *limit.sysctl != 0 ? " (" : "",
                                                 limit.sysctl, *limit.sysctl != 0 ? ")" : ""));
    if (limit.sysctl_value && *limit.sysctl_value != limit.value) {
      absl::StrAppendFormat(&text, "        /proc says %d\n", *limit.sysctl_value);
    }
    if (limit.outcome == LimitOutcome::kNotTried) continue;
    std::string outcome = "not provable here";
    if (limit.outcome != LimitOutcome::kNotProvable) {
      outcome = absl::StrFormat("%s at %d %s: %s", LimitOutcomeName(limit.outcome), limit.reached_at, limit.unit,
                                limit.err == 0 ? "no error" : os::ErrnoName(limit.err));
    }
    absl::StrAppend(&text, "        ", Wrapped(absl::StrCat(outcome, "; ", limit.how), 8));
  }
  return text;
}

std::string LimitsJson(const std::vector<LimitProof>& limits) {
  return JsonOf([&](Writer& writer) {
    writer.Key("limits");
    writer.StartArray();
    for (const LimitProof& limit : limits) {
      writer.StartObject();
      Text(writer, "name", limit.name);
      Unsigned(writer, "value", limit.value);
      Text(writer, "unit", limit.unit);
      if (*limit.sysctl != '\0') Text(writer, "sysctl", limit.sysctl);
      if (limit.sysctl_value) Unsigned(writer, "sysctl_value", *limit.sysctl_value);
      Bool(writer, "enforced", strcmp(limit.name, "SHMSEG") != 0);
      Text(writer, "outcome", LimitOutcomeName(limit.outcome));
      if (limit.outcome == LimitOutcome::kReached || limit.outcome == LimitOutcome::kContradicted) {
        Unsigned(writer, "reached_at", limit.reached_at);
        Text(writer, "errno", limit.err == 0 ? "" : os::ErrnoName(limit.err));
      }
      Text(writer, "how", limit.how);
      writer.EndObject();
    }
    writer.EndArray();
  });
}

std::string RemovedJson(int id, uint64_t attached) {
  return JsonOf([&](Writer& writer) {
    Unsigned(writer, "id", id);
    Bool(writer, "removed", true);
    Unsigned(writer, "attached", attached);
  });
}

std::string BytesJson(int id, uint64_t offset_bytes, std::span<const unsigned char> bytes, bool with_hex) {
  return JsonOf([&](Writer& writer) {
    Unsigned(writer, "id", id);
    Unsigned(writer, "offset_bytes", offset_bytes);
    Unsigned(writer, "bytes", bytes.size());
    if (!with_hex) return;
    std::string hex;
    hex.reserve(bytes.size() * 2);
    constexpr char kDigits[] = "0123456789abcdef";
    for (const unsigned char byte : bytes) hex += {kDigits[byte >> 4], kDigits[byte & 15]};
    Text(writer, "hex", hex);
  });
}

std::string HexLine(uint64_t offset_bytes, std::span<const unsigned char> bytes) {
  std::string line = absl::StrFormat("%08x ", offset_bytes);
  std::string characters;
  for (size_t at = 0; at < 16; ++at) {
    if (at % 8 == 0) line += ' ';
    if (at >= bytes.size()) {
      line += "   ";
      continue;
    }
    absl::StrAppendFormat(&line, "%02x ", bytes[at]);
    characters += bytes[at] >= 0x20 && bytes[at] < 0x7f ? static_cast<char>(bytes[at]) : '.';
  }
  return absl::StrCat(line, " |", characters, "|\n");
}

}  // namespace ipcmark::sysv_shm
