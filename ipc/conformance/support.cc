#include "ipc/conformance/support.h"

#include <dirent.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>

#include "absl/strings/str_format.h"

namespace ipcmark {

void PrintTo(const IoResult& result, std::ostream* out) {
  *out << OutcomeName(result.outcome) << " (" << result.bytes << " bytes, errno " << result.err << ")";
}

namespace conformance {
namespace {

// SplitMix64: every input bit reaches every output bit.
uint64_t Mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

std::byte ByteOf(uint64_t key, size_t at) { return static_cast<std::byte>(Mix(key + at / 8) >> (at % 8 * 8)); }

void ListFolder(const char* path, std::vector<std::string>* into) {
  DIR* folder = opendir(path);
  if (folder == nullptr) return;
  while (const dirent* entry = readdir(folder)) into->push_back(std::string(path) + "/" + entry->d_name);
  closedir(folder);
}

}  // namespace

uint64_t Seed() {
  static const uint64_t seed = [] {
    const char* given = getenv("IPCMARK_SEED");
    const uint64_t value = given != nullptr ? strtoull(given, nullptr, 0) : std::random_device{}();
    absl::PrintF("seed %d (replay with --test_env=IPCMARK_SEED=%d)\n", value, value);
    fflush(stdout);
    return value;
  }();
  return seed;
}

std::vector<std::byte> MessageOf(uint64_t stream, uint64_t n, size_t bytes) {
  const uint64_t key = Mix(Mix(stream) + n);
  std::vector<std::byte> message(bytes);
  for (size_t at = 0; at < bytes; ++at) message[at] = ByteOf(key, at);
  return message;
}

bool IsMessageOf(std::span<const std::byte> message, uint64_t stream, uint64_t n) {
  const uint64_t key = Mix(Mix(stream) + n);
  for (size_t at = 0; at < message.size(); ++at) {
    if (message[at] != ByteOf(key, at)) return false;
  }
  return true;
}

size_t LengthOf(uint64_t n, size_t max_bytes) {
  const uint64_t random = Mix(Seed() + n);
  const size_t limit = random % 4 == 0 ? max_bytes : std::min<size_t>(max_bytes, 100);
  return (random >> 8) % (limit + 1);
}

absl::Status IoError(const char* what, uint64_t n, const IoResult& result) {
  return absl::InternalError(
      absl::StrFormat("%s of message %d: %s (errno %d)", what, n, OutcomeName(result.outcome), result.err));
}

std::vector<std::string> Belongings() {
  std::vector<std::string> all;
  std::ifstream segments("/proc/sysvipc/shm");
  // The first four columns: key, id, permissions, size. Those behind them are times and counts.
  for (std::string line; std::getline(segments, line);) all.push_back("segment " + line.substr(0, 48));
  ListFolder("/dev/shm", &all);
  ListFolder("/proc/self/fd", &all);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    // Shared mappings only: private ones come and go with the allocator.
    const size_t mode = line.find(' ');
    if (mode != std::string::npos && line.size() > mode + 4 && line[mode + 4] == 's') all.push_back("mapping " + line);
  }
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace conformance
}  // namespace ipcmark
