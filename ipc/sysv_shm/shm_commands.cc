#include "ipc/sysv_shm/shm_commands.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/os/error.h"
#include "ipc/sysv_shm/limit_proof.h"
#include "ipc/sysv_shm/segment_table.h"
#include "ipc/sysv_shm/shm_report.h"

namespace ipcmark::sysv_shm {
namespace {

constexpr char kOutputRemedy[] = "send standard output elsewhere";

CommandResult Refused(absl::Status status) { return {.status = std::move(status)}; }
CommandResult BadInput(const std::string& sentence) {
  return {.status = absl::InvalidArgumentError(sentence), .bad_input = true};
}

absl::Status PrintBytes(std::span<const unsigned char> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return os::SyscallError("write(standard output)", errno, kOutputRemedy);
    bytes = bytes.subspan(written);
  }
  return absl::OkStatus();
}

absl::StatusOr<key_t> KeyOf(const ShmOptions& options) {
  if (options.key) return *options.key;
  if (options.ftok_id == 0) return IPC_PRIVATE;
  return KeyFromPath(options.ftok_path, options.ftok_id);
}

absl::StatusOr<int> IdOf(const ShmOptions& options) {
  if (options.id) return *options.id;
  absl::StatusOr<key_t> key = KeyOf(options);
  if (!key.ok()) return key.status();
  return Segment::FindId(*key);
}

CommandResult Create(const ShmOptions& options) {
  absl::StatusOr<key_t> key = KeyOf(options);
  if (!key.ok()) return Refused(key.status());
  const CreateOptions create = {.bytes = *options.bytes,
                                .key = *key,
                                .mode = static_cast<int>(options.mode.value_or(0600)),
                                .huge_pages = options.huge_pages,
                                .no_reserve = options.no_reserve};
  absl::StatusOr<Segment> segment = options.reuse ? Segment::OpenOrCreate(create) : Segment::Create(create);
  if (!segment.ok()) return Refused(segment.status());
  // Its creator may be denied to read it (mode 0): then only the id is known.
  absl::StatusOr<SegmentInfo> info = segment->Stat();
  if (!info.ok() && !absl::IsPermissionDenied(info.status())) return Refused(info.status());
  SegmentInfo shown = {};
  if (info.ok()) {
    shown = *info;
  } else {
    shown.id = segment->id();
    shown.key = *key;
    shown.bytes = segment->bytes();
  }
  absl::Status printed = Print(options.json ? SegmentJson(shown) : SegmentText(shown));
  // Who does not learn the id could never remove it: the owner's destructor does, unless all went well.
  if (printed.ok()) segment->Release();
  return Refused(printed);
}

CommandResult List(const ShmOptions& options) {
  absl::StatusOr<std::vector<SegmentInfo>> segments =
      ListSegments(options.readable ? ListScope::kReadable : ListScope::kAll);
  if (!segments.ok()) return Refused(segments.status());
  absl::StatusOr<SegmentUsage> usage = ReadUsage();
  if (!usage.ok()) return Refused(usage.status());
  return Refused(Print(options.json ? SegmentsJson(*segments, *usage) : SegmentsText(*segments, *usage)));
}

CommandResult Show(const Segment& segment, bool json) {
  absl::StatusOr<SegmentInfo> info = segment.Stat();
  if (!info.ok()) return Refused(info.status());
  return Refused(Print(json ? SegmentJson(*info) : SegmentText(*info)));
}

// After set, lock and unlock: the segment as it is now, if this process may read it; what was asked for is done anyway.
CommandResult Done(const Segment& segment, bool json, absl::Status status) {
  if (!status.ok()) return Refused(std::move(status));
  CommandResult shown = Show(segment, json);
  if (absl::IsPermissionDenied(shown.status)) return Refused(absl::OkStatus());
  return shown;
}

CommandResult Remove(Segment& segment, bool json) {
  absl::Status status = segment.MarkForRemoval();
  if (!status.ok()) return Refused(std::move(status));
  absl::StatusOr<SegmentInfo> info = segment.Stat();
  const uint64_t attached = info.ok() ? info->attached : 0;
  if (json) return Refused(Print(RemovedJson(segment.id(), attached)));
  const std::string when =
      attached == 0 ? "" : absl::StrFormat("; it goes with the last of its %d attachments", attached);
  return Refused(Print(absl::StrFormat("removed id %d%s\n", segment.id(), when)));
}

// Standard input, but not more than `limit` bytes and one that shows that there were more.
absl::StatusOr<std::string> ReadInput(uint64_t limit) {
  std::string input;
  std::vector<char> buffer(1 << 16);
  while (input.size() <= limit) {
    const size_t wanted = std::min<uint64_t>(buffer.size(), limit - input.size() + 1);
    const ssize_t got = read(STDIN_FILENO, buffer.data(), wanted);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return os::SyscallError("read(standard input)", errno, "give the bytes with --text or from a file");
    if (got == 0) break;
    input.append(buffer.data(), got);
  }
  return input;
}

// A segment of huge pages or without a reservation may have no memory for a page that is touched; the kernel says so
// by SIGBUS only.
std::array<char, 160> bus_sentence;

void OnBus(int /*signal*/) {
  (void)!write(STDERR_FILENO, bus_sentence.data(), strlen(bus_sentence.data()));
  _exit(kExitRefused);
}

void ExpectBus(const char* verb, const Segment& segment) {
  absl::SNPrintF(bus_sentence.data(), bus_sentence.size(),
                 "shm: %s(id=%d): SIGBUS (no memory for a page of it); free memory or reserve huge pages "
                 "(vm.nr_hugepages)\n",
                 verb, segment.id());
  struct sigaction action = {};
  action.sa_handler = OnBus;
  sigaction(SIGBUS, &action, nullptr);
}

std::string OutOfSegment(const Segment& segment, uint64_t offset_bytes, const std::string& bytes) {
  return absl::StrFormat("%s at offset %d: segment %d has %d bytes", bytes, offset_bytes, segment.id(),
                         segment.bytes());
}

CommandResult Write(const Segment& segment, const ShmOptions& options) {
  const uint64_t offset = options.offset_bytes;
  if (offset > segment.bytes()) return BadInput(OutOfSegment(segment, offset, "writing"));
  const uint64_t room = segment.bytes() - offset;
  absl::StatusOr<std::string> input = options.text ? absl::StatusOr<std::string>(*options.text) : ReadInput(room);
  if (!input.ok()) return Refused(input.status());
  if (input->size() > room) {
    return BadInput(OutOfSegment(segment, offset, absl::StrFormat("writing more than %d bytes", room)));
  }
  absl::StatusOr<Attachment> attachment = segment.Attach();
  if (!attachment.ok()) return Refused(attachment.status());
  ExpectBus("write", segment);
  memcpy(static_cast<char*>(attachment->address()) + offset, input->data(), input->size());
  const std::span<const unsigned char> written(reinterpret_cast<const unsigned char*>(input->data()), input->size());
  return Refused(Print(
      options.json ? BytesJson(segment.id(), offset, written, /*with_hex=*/false)
                   : absl::StrFormat("wrote %d bytes at offset %d of id %d\n", written.size(), offset, segment.id())));
}

CommandResult Read(const Segment& segment, const ShmOptions& options) {
  const uint64_t offset = options.offset_bytes;
  if (offset > segment.bytes()) return BadInput(OutOfSegment(segment, offset, "reading"));
  const uint64_t bytes = options.bytes.value_or(segment.bytes() - offset);
  if (bytes > segment.bytes() - offset) {
    return BadInput(OutOfSegment(segment, offset, absl::StrFormat("reading %d bytes", bytes)));
  }
  absl::StatusOr<Attachment> attachment = segment.Attach(SHM_RDONLY);
  if (!attachment.ok()) return Refused(attachment.status());
  ExpectBus("read", segment);
  std::span<const unsigned char> wanted(static_cast<const unsigned char*>(attachment->address()) + offset, bytes);
  if (options.json) return Refused(Print(BytesJson(segment.id(), offset, wanted, /*with_hex=*/true)));
  // In pieces: write(2) of a page that has no memory fails with EFAULT, where reading it here is a SIGBUS; and a
  // segment may be larger than what is left of memory.
  std::vector<unsigned char> piece;
  constexpr size_t kPieceBytes = 1 << 16;
  for (size_t at = 0; at < bytes; at += kPieceBytes) {
    const auto part = wanted.subspan(at, std::min<size_t>(kPieceBytes, bytes - at));
    piece.assign(part.begin(), part.end());
    std::string lines;
    for (size_t line = 0; options.hex && line < piece.size(); line += 16) {
      const size_t line_bytes = std::min<size_t>(16, piece.size() - line);
      lines += HexLine(offset + at + line, std::span(piece).subspan(line, line_bytes));
    }
    absl::Status status = options.hex ? Print(lines) : PrintBytes(piece);
    if (!status.ok()) return Refused(std::move(status));
  }
  return Refused(absl::OkStatus());
}

CommandResult ShowLimits(const ShmOptions& options) {
  absl::StatusOr<std::vector<LimitProof>> limits = options.no_proof ? ListLimits() : ProveLimits();
  if (!limits.ok()) return Refused(limits.status());
  CommandResult result = Refused(Print(options.json ? LimitsJson(*limits) : LimitsText(*limits)));
  result.contradicted = std::any_of(limits->begin(), limits->end(), [](const LimitProof& limit) {
    return limit.outcome == LimitOutcome::kContradicted;
  });
  return result;
}

CommandResult RunOnSegment(const ShmOptions& options) {
  absl::StatusOr<int> id = IdOf(options);
  if (!id.ok()) return Refused(id.status());
  if (options.command == Command::kWrite || options.command == Command::kRead) {
    absl::StatusOr<Segment> segment = Segment::OpenId(*id);
    if (!segment.ok()) return Refused(segment.status());
    return options.command == Command::kWrite ? Write(*segment, options) : Read(*segment, options);
  }
  Segment segment = Segment::ById(*id);
  switch (options.command) {
    case Command::kSet:
      return Done(segment, options.json, segment.Set({.uid = options.uid, .gid = options.gid, .mode = options.mode}));
    case Command::kLock:
      return Done(segment, options.json, segment.Lock());
    case Command::kUnlock:
      return Done(segment, options.json, segment.Unlock());
    case Command::kRemove:
      return Remove(segment, options.json);
    default:
      return Show(segment, options.json);
  }
}

}  // namespace

absl::Status Print(const std::string& text) {
  return PrintBytes({reinterpret_cast<const unsigned char*>(text.data()), text.size()});
}

CommandResult RunCommand(const ShmOptions& options) {
  switch (options.command) {
    case Command::kCreate:
      return Create(options);
    case Command::kList:
      return List(options);
    case Command::kLimits:
      return ShowLimits(options);
    default:
      return RunOnSegment(options);
  }
}

}  // namespace ipcmark::sysv_shm
