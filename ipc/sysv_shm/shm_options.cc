#include "ipc/sysv_shm/shm_options.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ipcmark::sysv_shm {
namespace {

constexpr const char* kCommandNames[] = {"create", "list",   "stat",   "set",    "write", "read",
                                         "lock",   "unlock", "remove", "limits", "help"};

absl::Status Bad(absl::string_view argument, absl::string_view advice) {
  // Escaped: a newline in an argument must not make two lines of one sentence.
  return absl::InvalidArgumentError(absl::StrCat(absl::Utf8SafeCEscape(argument), ": ", advice));
}

// The whole of `text` as a number of `base` up to `max`.
template <typename T>
bool Number(const std::string& text, int base, uint64_t max, T* out) {
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const std::from_chars_result result = std::from_chars(text.data(), end, value, base);
  if (text.empty() || result.ec != std::errc() || result.ptr != end || value > max) return false;
  *out = static_cast<T>(value);
  return true;
}

bool Key(const std::string& text, key_t* key) {
  const bool hex = text.rfind("0x", 0) == 0 || text.rfind("0X", 0) == 0;
  return Number(hex ? text.substr(2) : text, hex ? 16 : 10, std::numeric_limits<uint32_t>::max(), key) &&
         *key != IPC_PRIVATE;
}

// -1 is "no such id" to the kernel.
constexpr uint64_t kMaxUid = std::numeric_limits<uint32_t>::max() - 1;

bool User(const std::string& text, uid_t* uid) {
  if (Number(text, 10, kMaxUid, uid)) return true;
  const passwd* user = getpwnam(text.c_str());  // NOLINT(concurrency-mt-unsafe): one thread
  if (user != nullptr) *uid = user->pw_uid;
  return user != nullptr;
}

bool Group(const std::string& text, gid_t* gid) {
  if (Number(text, 10, kMaxUid, gid)) return true;
  const group* group = getgrnam(text.c_str());  // NOLINT(concurrency-mt-unsafe): one thread
  if (group != nullptr) *gid = group->gr_gid;
  return group != nullptr;
}

struct Parser {
  ShmOptions options;
  const char* working_directory;

  bool Huge(const std::string& value) {
    constexpr std::pair<const char*, HugePages> kSizes[] = {
        {"default", HugePages::kDefault}, {"2MiB", HugePages::k2MiB}, {"1GiB", HugePages::k1GiB}};
    for (const auto& [name, size] : kSizes) {
      if (value == name) options.huge_pages = size;
    }
    return options.huge_pages != HugePages::kNone;
  }

  bool Ftok(const std::string& value) {
    const size_t comma = value.rfind(',');
    if (comma == std::string::npos || comma == 0) return false;
    options.ftok_path = value.substr(0, comma);
    if (options.ftok_path[0] != '/' && working_directory != nullptr) {
      options.ftok_path = absl::StrCat(working_directory, "/", options.ftok_path);
    }
    return Number(value.substr(comma + 1), 10, 255, &options.ftok_id) && options.ftok_id != 0;
  }

  template <typename T>
  static bool Store(bool ok, const T& value, std::optional<T>* out) {
    if (ok) *out = value;
    return ok;
  }

  bool Id(const std::string& value) {
    int id = 0;
    return Store(Number(value, 10, std::numeric_limits<int>::max(), &id), id, &options.id);
  }
  bool KeyValue(const std::string& value) {
    key_t key = 0;
    return Store(Key(value, &key), key, &options.key);
  }
  bool Bytes(const std::string& value) {
    absl::StatusOr<uint64_t> bytes = ParseBytes(value);
    return Store(bytes.ok(), bytes.value_or(0), &options.bytes);
  }
  bool Offset(const std::string& value) {
    absl::StatusOr<uint64_t> bytes = ParseBytes(value);
    options.offset_bytes = bytes.value_or(0);
    return bytes.ok();
  }
  bool Mode(const std::string& value) {
    uint32_t mode = 0;
    return Store(Number(value, 8, 0777, &mode), mode, &options.mode);
  }
  bool Uid(const std::string& value) {
    uid_t uid = 0;
    return Store(User(value, &uid), uid, &options.uid);
  }
  bool Gid(const std::string& value) {
    gid_t gid = 0;
    return Store(Group(value, &gid), gid, &options.gid);
  }
  bool Text(const std::string& value) {
    options.text = value;
    return true;
  }
};

constexpr uint32_t Bit(Command command) { return 1U << static_cast<unsigned>(command); }

constexpr uint32_t kOnExisting = Bit(Command::kStat) | Bit(Command::kSet) | Bit(Command::kWrite) | Bit(Command::kRead) |
                                 Bit(Command::kLock) | Bit(Command::kUnlock) | Bit(Command::kRemove);
constexpr uint32_t kEverywhere = ~0U;

struct ValueFlag {
  const char* name;
  uint32_t commands;
  bool (Parser::*take)(const std::string& value);
  const char* advice;
};

constexpr ValueFlag kValueFlags[] = {
    {"--id", kOnExisting, &Parser::Id, "write the number that list shows, as in --id=3"},
    {"--key", kOnExisting | Bit(Command::kCreate), &Parser::KeyValue,
     "write a number from 1 to 0xffffffff, as in --key=0x51 (a private segment has none)"},
    {"--ftok", kOnExisting | Bit(Command::kCreate), &Parser::Ftok,
     "write a file and a number from 1 to 255, as in --ftok=/etc/passwd,1"},
    {"--bytes", Bit(Command::kCreate) | Bit(Command::kRead), &Parser::Bytes,
     "write a number of bytes, as in 4096, 4KiB or 1MiB"},
    {"--offset", Bit(Command::kWrite) | Bit(Command::kRead), &Parser::Offset,
     "write a number of bytes, as in 4096, 4KiB or 1MiB"},
    {"--mode", Bit(Command::kCreate) | Bit(Command::kSet), &Parser::Mode,
     "write permissions in octal, as in --mode=0640"},
    {"--uid", Bit(Command::kSet), &Parser::Uid, "write a user's number or name"},
    {"--gid", Bit(Command::kSet), &Parser::Gid, "write a group's number or name"},
    {"--text", Bit(Command::kWrite), &Parser::Text, ""},
    {"--huge", Bit(Command::kCreate), &Parser::Huge, "write default, 2MiB or 1GiB"},
};

struct SwitchFlag {
  const char* name;
  uint32_t commands;
  bool ShmOptions::*flag;
};

constexpr SwitchFlag kSwitchFlags[] = {
    {"--help", kEverywhere, &ShmOptions::help},
    {"--json", ~Bit(Command::kHelp), &ShmOptions::json},
    {"--no-reserve", Bit(Command::kCreate), &ShmOptions::no_reserve},
    {"--reuse", Bit(Command::kCreate), &ShmOptions::reuse},
    {"--hex", Bit(Command::kRead), &ShmOptions::hex},
    {"--readable", Bit(Command::kList), &ShmOptions::readable},
    {"--no-proof", Bit(Command::kLimits), &ShmOptions::no_proof},
};

absl::Status TakeArgument(const std::string& argument, Parser& parser) {
  const uint32_t bit = Bit(parser.options.command);
  const size_t equals = argument.find('=');
  const std::string name = argument.substr(0, equals);
  for (const SwitchFlag& flag : kSwitchFlags) {
    if (name != flag.name || (flag.commands & bit) == 0) continue;
    if (equals != std::string::npos) return Bad(argument, absl::StrCat("write ", name, " alone"));
    parser.options.*flag.flag = true;
    return absl::OkStatus();
  }
  for (const ValueFlag& flag : kValueFlags) {
    if (name != flag.name || (flag.commands & bit) == 0) continue;
    if (equals == std::string::npos) return Bad(argument, absl::StrCat("write ", name, "=VALUE"));
    if (!(parser.*flag.take)(argument.substr(equals + 1))) return Bad(argument, flag.advice);
    return absl::OkStatus();
  }
  const char* command = CommandName(parser.options.command);
  return Bad(argument, absl::StrFormat("%s does not know it; see %s --help", command, command));
}

absl::Status Check(const ShmOptions& options) {
  const bool existing = (kOnExisting & Bit(options.command)) != 0;
  const int named = (options.id ? 1 : 0) + (options.key ? 1 : 0) + (options.ftok_id != 0 ? 1 : 0);
  const char* command = CommandName(options.command);
  if (named > 1) return Bad(command, "give one of --id, --key and --ftok");
  if (existing && named == 0) return Bad(command, "say which segment: --id=N, --key=0x51 or --ftok=PATH,N");
  if (options.command == Command::kCreate) {
    if (!options.bytes) return Bad(command, "say how large: --bytes=4KiB");
    if (*options.bytes == 0) return Bad("--bytes=0", "a segment has at least 1 byte");
    if (options.reuse && named == 0) return Bad("--reuse", "needs --key or --ftok: a private segment is always new");
  }
  if (options.command == Command::kSet && !options.uid && !options.gid && !options.mode) {
    return Bad(command, "say what to set: --uid, --gid or --mode");
  }
  if (options.hex && options.json) return Bad("--hex", "--json has the bytes in hexadecimal already");
  return absl::OkStatus();
}

}  // namespace

const char* CommandName(Command command) { return kCommandNames[static_cast<unsigned>(command)]; }

absl::StatusOr<uint64_t> ParseBytes(const std::string& text) {
  constexpr std::pair<const char*, int> kUnits[] = {{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40},
                                                    {"PiB", 50}, {"EiB", 60}, {"B", 0}};
  std::string digits = text;
  int shift = 0;
  for (const auto& [unit, bits] : kUnits) {
    const size_t length = std::string(unit).size();
    if (text.size() <= length || text.compare(text.size() - length, length, unit) != 0) continue;
    digits.resize(text.size() - length);
    shift = bits;
    break;
  }
  uint64_t value = 0;
  if (!Number(digits, 10, std::numeric_limits<uint64_t>::max() >> shift, &value)) {
    return Bad(text, "not a number of bytes");
  }
  return value << shift;
}

absl::StatusOr<ShmOptions> ParseShmOptions(const std::vector<std::string>& arguments, const char* working_directory) {
  Parser parser{.options = {}, .working_directory = working_directory};
  if (arguments.empty()) return absl::InvalidArgumentError("say what to do, as in list; see --help");
  const std::string& word = arguments[0];
  if (word == "--help" || word == "-h") {
    parser.options.help = true;
    return parser.options;
  }
  const auto* found = std::find(std::begin(kCommandNames), std::end(kCommandNames), word);
  if (found == std::end(kCommandNames)) return Bad(word, "no such command; see --help");
  parser.options.command = static_cast<Command>(found - std::begin(kCommandNames));
  for (size_t at = 1; at < arguments.size(); ++at) {
    absl::Status status = TakeArgument(arguments[at], parser);
    if (!status.ok()) return status;
  }
  // What is asked for need not be complete to be explained.
  if (parser.options.help) return parser.options;
  absl::Status status = Check(parser.options);
  if (!status.ok()) return status;
  return parser.options;
}

}  // namespace ipcmark::sysv_shm
