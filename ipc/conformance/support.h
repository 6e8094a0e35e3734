#ifndef IPCMARK_IPC_CONFORMANCE_SUPPORT_H_
#define IPCMARK_IPC_CONFORMANCE_SUPPORT_H_

// What the conformance tests share and what does not depend on the primitive: recognisable messages, a seed, a count of
// everything that a primitive could leave behind.

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ipc/channel.h"

namespace ipcmark {

// So that a failed expectation says "would-block (errno 11)" and not eight bytes in hexadecimal.
void PrintTo(const IoResult& result, std::ostream* out);

namespace conformance {

// The seed of this run: the environment variable IPCMARK_SEED, else random. Printed on first use.
uint64_t Seed();

// Message number `n` of a stream: `bytes` bytes that name the stream, the number and every position.
std::vector<std::byte> MessageOf(uint64_t stream, uint64_t n, size_t bytes);
// True when `message` is exactly MessageOf(stream, n, message.size()).
bool IsMessageOf(std::span<const std::byte> message, uint64_t stream, uint64_t n);
// A length in [0, max_bytes], small ones more often, the same for sender and receiver.
size_t LengthOf(uint64_t n, size_t max_bytes);

// "Receive of message 7: peer-dead (errno 32)".
absl::Status IoError(const char* what, uint64_t n, const IoResult& result);

// Everything of this system and process that a primitive may hold: System V segments, files in /dev/shm, descriptors,
// mappings. Two equal lists: nothing was left behind.
std::vector<std::string> Belongings();

}  // namespace conformance
}  // namespace ipcmark

#endif  // IPCMARK_IPC_CONFORMANCE_SUPPORT_H_
