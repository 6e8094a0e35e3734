#ifndef IPCMARK_IPC_MMAP_QUEUE_FILE_FUZZ_H_
#define IPCMARK_IPC_MMAP_QUEUE_FILE_FUZZ_H_

// The fuzz target: what a queue's users do with a file whose bytes are anybody's. libFuzzer's interface, so that it can
// be linked with that (clang's) as well as with file_fuzz_main.cc, which has a plain random generator.
//
// The first byte of the input chooses what is damaged, the others are a script of damage and calls:
//
//   the file itself   its bytes are the input's; then it is opened
//   a queue in use    bytes of an open queue are changed between calls, and it is opened again in between
//   the core          the data structure alone, in heap memory as long as itself: what AddressSanitizer watches
//
// Every call must return, with a result that its contract knows. A damaged file that says it is of the policy `posix`
// is not used: that policy trusts its users (literal.h).

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

#endif  // IPCMARK_IPC_MMAP_QUEUE_FILE_FUZZ_H_
