// A hostile or broken process has scribbled in the segment. Ends must say so (EBADMSG, or kDataLoss at open), or find
// nothing to do; never leave the mapping (its neighbours are unmapped here) and never hang.

#include <sys/mman.h>

#include "ipc/conformance/support.h"
#include "ipc/shm_mpmc/ring_test_support.h"
#include "ipc/shm_mpmc/shm_mpmc.h"

namespace ipcmark::shm_mpmc {
namespace {

using Ring = TestRing<std::atomic>;
using Header = RingHeader<std::atomic>;

constexpr uint32_t kDepth = 4;
constexpr uint64_t kFirst = 8;  // position; two messages follow

struct HeaderCase {
  const char* what;
  void (*damage)(RingConstants&);
};

constexpr HeaderCase kHeaderCases[] = {
    {"magic", [](RingConstants& h) { h.magic ^= 1; }},
    {"version", [](RingConstants& h) { ++h.version; }},
    {"no depth", [](RingConstants& h) { h.depth_messages = 0; }},
    {"more depth", [](RingConstants& h) { ++h.depth_messages; }},
    {"depth beyond the format", [](RingConstants& h) { h.depth_messages = UINT32_MAX; }},
    {"larger messages", [](RingConstants& h) { h.max_message_bytes = 1 << 20; }},
    {"messages beyond the format", [](RingConstants& h) { h.max_message_bytes = UINT32_MAX; }},
    {"payload offset", [](RingConstants& h) { h.payload_offset = 1 << 30; }},
    {"slot size 0", [](RingConstants& h) { h.slot_bytes = 0; }},
    {"slot size huge", [](RingConstants& h) { h.slot_bytes = UINT64_MAX; }},
    {"total size", [](RingConstants& h) { h.total_bytes += 4096; }},
    {"consistent, but larger than the segment",
     [](RingConstants& h) {
       h.depth_messages = 1 << 20;
       h.total_bytes = RingBytes(h.depth_messages, h.max_message_bytes);
     }},
};

TEST(ShmMpmcDamage, OpenRefusesADamagedHeader) {
  for (const HeaderCase& row : kHeaderCases) {
    SCOPED_TRACE(row.what);
    auto channel = Channel::Create({.depth_messages = kDepth, .max_message_bytes = 64});
    ASSERT_TRUE(channel.ok());
    auto attachment = channel->segment().Attach();
    ASSERT_TRUE(attachment.ok()) << attachment.status();
    row.damage(static_cast<Header*>(attachment->address())->constants);
    EXPECT_EQ(channel->OpenSender().status().code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(channel->OpenReceiver().status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(ShmMpmcDamage, AMappingSmallerThanTheHeaderIsNoRing) {
  const Ring ring(kDepth);
  EXPECT_TRUE(ReadConstants(ring.memory().get(), ring.bytes()).has_value());
  EXPECT_FALSE(ReadConstants(ring.memory().get(), sizeof(Header) - 1).has_value());
  EXPECT_FALSE(ReadConstants(ring.memory().get(), ring.bytes() - 1).has_value());
}

enum class Says : uint8_t { kDamaged, kWorks };

struct WordCase {
  const char* what;
  void (*damage)(const Ring&);
  Says send, receive;
};

constexpr uint64_t Word(uint64_t position, SlotState state, uint32_t detail = 0) {
  return SlotWord(position, state, detail);
}
// What a sender (which is at position 10, slot 2) and a receiver (position 8, slot 0) are due to look at.
void SetTail(const Ring& ring, uint64_t word) { ring.WordOf(2) = word; }
void SetHead(const Ring& ring, uint64_t word) { ring.WordOf(0) = word; }

constexpr WordCase kWordCases[] = {
    {"nothing", [](const Ring&) {}, Says::kWorks, Says::kWorks},
    {"length beyond the geometry", [](const Ring& r) { SetHead(r, Word(8, SlotState::kCommitted, 17)); }, Says::kWorks,
     Says::kDamaged},
    {"length beyond everything", [](const Ring& r) { SetHead(r, Word(8, SlotState::kCommitted, (1U << 30) - 1)); },
     Says::kWorks, Says::kDamaged},
    {"head's slot is free, a lap back", [](const Ring& r) { SetHead(r, Word(4, SlotState::kFree)); }, Says::kWorks,
     Says::kDamaged},
    {"head's slot is claimed, a lap back", [](const Ring& r) { SetHead(r, Word(4, SlotState::kClaimed)); },
     Says::kWorks, Says::kDamaged},
    {"head's slot is of another slot's position", [](const Ring& r) { SetHead(r, Word(9, SlotState::kCommitted, 8)); },
     Says::kWorks, Says::kDamaged},
    {"head's slot is two laps ahead", [](const Ring& r) { SetHead(r, Word(16, SlotState::kCommitted, 8)); },
     Says::kWorks, Says::kWorks},
    {"head's slot is half the range away", [](const Ring& r) { SetHead(r, Word(8 + (1U << 31), SlotState::kFree)); },
     Says::kWorks, Says::kDamaged},
    {"head's slot is claimed by nobody", [](const Ring& r) { SetHead(r, Word(8, SlotState::kClaimed, 12345)); },
     Says::kWorks, Says::kWorks},
    {"head's slot is taken by nobody", [](const Ring& r) { SetHead(r, Word(8, SlotState::kTaken, (1U << 30) - 1)); },
     Says::kWorks, Says::kWorks},
    {"all ones", [](const Ring& r) { SetHead(r, UINT64_MAX); }, Says::kWorks, Says::kDamaged},
    {"tail's slot is free, a lap back", [](const Ring& r) { SetTail(r, Word(6, SlotState::kFree)); }, Says::kDamaged,
     Says::kWorks},
    {"tail's slot is two laps back", [](const Ring& r) { SetTail(r, Word(2, SlotState::kCommitted, 8)); },
     Says::kDamaged, Says::kWorks},
    {"tail's slot is of another slot's position", [](const Ring& r) { SetTail(r, Word(11, SlotState::kFree)); },
     Says::kDamaged, Says::kWorks},
    {"tail's slot is taken by nobody, a lap back", [](const Ring& r) { SetTail(r, Word(6, SlotState::kTaken, 77)); },
     Says::kWorks, Says::kWorks},
    {"tail's slot is all ones", [](const Ring& r) { SetTail(r, UINT64_MAX); }, Says::kDamaged, Says::kWorks},
    {"tail jumps ahead", [](const Ring& r) { r.header().tail = 1'000'000; }, Says::kDamaged, Says::kWorks},
    {"tail falls back", [](const Ring& r) { r.header().tail = 0; }, Says::kDamaged, Says::kWorks},
    {"tail at the end of numbers", [](const Ring& r) { r.header().tail = UINT64_MAX; }, Says::kDamaged, Says::kWorks},
    {"head jumps ahead", [](const Ring& r) { r.header().head = 1'000'000; }, Says::kWorks, Says::kDamaged},
    {"head falls back", [](const Ring& r) { r.header().head = 0; }, Says::kWorks, Says::kWorks},
    {"head at the end of numbers, whose slot mends it", [](const Ring& r) { r.header().head = UINT64_MAX; },
     Says::kWorks, Says::kWorks},
    {"a return that never was", [](const Ring& r) { r.header().returns_announced = UINT64_MAX; }, Says::kWorks,
     Says::kWorks},
    {"returns settled that never were", [](const Ring& r) { r.header().returns_settled = UINT64_MAX; }, Says::kWorks,
     Says::kWorks},
    {"tables longer than the table",
     [](const Ring& r) { r.header().senders.used = r.header().receivers.used = UINT32_MAX; }, Says::kWorks,
     Says::kWorks},
    {"owners who never were",
     [](const Ring& r) {
       for (auto& end : r.header().sender_ends) end.peer.owner = UINT64_MAX;
       for (auto& end : r.header().receiver_ends) end.peer.owner = UINT64_MAX;
     },
     Says::kWorks, Says::kWorks},
};

void Expect(Says says, const IoResult& result) {
  const std::string what = testing::PrintToString(result);
  if (says == Says::kDamaged) {
    EXPECT_EQ(result.outcome, Outcome::kError) << what;
    EXPECT_EQ(result.err, EBADMSG) << what;
  } else {
    EXPECT_TRUE(result.ok()) << what;
  }
}

TEST(ShmMpmcDamage, EndsSayThatAWordIsDamaged) {
  for (const WordCase& row : kWordCases) {
    for (Wait wait : kAllWaits) {
      SCOPED_TRACE(testing::Message() << row.what << ", " << WaitName(wait));
      const Ring ring(kDepth, 16, kFirst, wait);
      auto sender = ring.OpenSender();
      auto receiver = ring.OpenReceiver();
      ASSERT_TRUE(SendNumber(sender, 1).ok() && SendNumber(sender, 2).ok());
      row.damage(ring);
      uint64_t number = 0;
      Expect(row.send, SendNumber(sender, 3, os::After(kWatchdogNanos)));
      Expect(row.receive, ReceiveNumber(receiver, &number, os::After(kWatchdogNanos)));
    }
  }
}

// Random words everywhere, with nothing but traps beside the ring.
TEST(ShmMpmcDamage, RandomWordsLeadNeitherOutsideNorAstray) {
  constexpr int kTrials = 3000;
  constexpr uint64_t kPageBytes = 4096;
  uint64_t state = conformance::Seed() | 1;
  const auto random = [&] {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  };
  const uint64_t ring_bytes = RingBytes(3, 1000);
  const uint64_t room_bytes = (ring_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  auto* room = static_cast<std::byte*>(
      mmap(nullptr, room_bytes + 2 * kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(room, MAP_FAILED);
  ASSERT_EQ(mprotect(room + kPageBytes, room_bytes, PROT_READ | PROT_WRITE), 0);
  // As close to the trap behind it as a cache line allows.
  std::byte* at = room + kPageBytes + (room_bytes - ring_bytes) / 64 * 64;
  const std::shared_ptr<void> memory(at, [](void*) {});
  std::vector<std::byte> buffer(1000);
  for (int trial = 0; trial < kTrials; ++trial) {
    memset(at, 0, ring_bytes);
    FormatRing<std::atomic>(at, 3, 1000, trial);
    auto sender = BasicSender<std::atomic>::Open(memory, RingConstantsOf(3, 1000), Wait::kBlock);
    auto receiver = BasicReceiver<std::atomic>::Open(memory, RingConstantsOf(3, 1000), Wait::kBlock);
    ASSERT_TRUE(sender.ok() && receiver.ok());
    auto* words = reinterpret_cast<uint64_t*>(at);
    const uint64_t scribbles = random() % 8 + 1;
    for (uint64_t i = 0; i < scribbles; ++i) {
      // Everything behind the magic: the header counts no more once an end is open.
      const uint64_t slot_word = (kSlotsOffset + random() % 3 * SlotBytes(1000)) / 8;
      const uint64_t header_word = random() % (320 / 8);
      words[random() % 2 == 0 ? slot_word : header_word] =
          random() % 4 == 0 ? random() : random() % 16 << 32 | random() % 4;
    }
    for (int i = 0; i < 8; ++i) {
      (void)sender->Send(std::span(buffer).first(random() % 1001), Deadline::Immediate());
      (void)receiver->Receive(std::span(buffer).first(random() % 1001), Deadline::Immediate());
    }
  }
  munmap(room, room_bytes + 2 * kPageBytes);
}

}  // namespace
}  // namespace ipcmark::shm_mpmc
