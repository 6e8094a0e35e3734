#include "ipc/mmap_queue/descriptors.h"

#include <sys/mman.h>

#include <atomic>
#include <cerrno>

namespace ipcmark::mmap_queue {

// A mapping and how many use it. Its memory is never given back to the system, so that a thread which comes too late
// can still look at `uses`.
struct Incarnation {
  static constexpr uint32_t kFree = 0;
  static constexpr uint32_t kGoing = UINT32_MAX;  // the last user is unmapping it
  std::atomic<uint32_t> uses;                     // the table's own counts
  MappedFile file;
};

namespace {

// Of anonymous memory, zeroed: every Incarnation free, every entry of a chunk empty.
struct Block {
  static constexpr unsigned kIncarnations = 32;
  Incarnation incarnations[kIncarnations];
  std::atomic<Block*> next;
};
struct Chunk {
  static constexpr unsigned kDescriptors = 1024;
  std::atomic<Incarnation*> of[kDescriptors];
};

// Linux allows about a million descriptors (fs.nr_open) unless told otherwise; this is four.
constexpr unsigned kChunks = 4096;
constinit std::atomic<Chunk*> chunks[kChunks];
constinit std::atomic<Block*> first_block;

// What `where` points to, made if need be and if asked for.
template <typename T>
T* GetOrMake(std::atomic<T*>& where, bool make) noexcept {
  T* there = where.load(std::memory_order_acquire);
  if (there != nullptr || !make) return there;
  void* memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  T* made = static_cast<T*>(memory);
  // Release: whoever finds it finds it zeroed.
  if (where.compare_exchange_strong(there, made, std::memory_order_acq_rel, std::memory_order_acquire)) return made;
  munmap(memory, sizeof(T));
  return there;
}

std::atomic<Incarnation*>* EntryOf(int fd, bool make) noexcept {
  if (fd < 0 || static_cast<unsigned>(fd) >= kChunks * Chunk::kDescriptors) return nullptr;
  Chunk* chunk = GetOrMake(chunks[static_cast<unsigned>(fd) / Chunk::kDescriptors], make);
  return chunk == nullptr ? nullptr : &chunk->of[static_cast<unsigned>(fd) % Chunk::kDescriptors];
}

// A free one, with one use. Looks at them one after the other: there are as many as queues are open.
Incarnation* Claim() noexcept {
  std::atomic<Block*>* where = &first_block;
  for (;;) {
    Block* block = GetOrMake(*where, /*make=*/true);
    if (block == nullptr) return nullptr;
    for (Incarnation& candidate : block->incarnations) {
      uint32_t free = Incarnation::kFree;
      // Acquire: after the unmapping of its last life.
      if (candidate.uses.compare_exchange_strong(free, 1, std::memory_order_acquire, std::memory_order_relaxed)) {
        return &candidate;
      }
    }
    where = &block->next;
  }
}

bool AddUse(Incarnation* of) noexcept {
  uint32_t uses = of->uses.load(std::memory_order_relaxed);
  while (uses != Incarnation::kFree && uses != Incarnation::kGoing) {
    if (of->uses.compare_exchange_weak(uses, uses + 1, std::memory_order_acquire, std::memory_order_relaxed))
      return true;
  }
  return false;
}

void DropUse(Incarnation* of) noexcept {
  uint32_t uses = of->uses.load(std::memory_order_relaxed);
  // Acquire-release: what every user did comes before the unmapping.
  while (!of->uses.compare_exchange_weak(uses, uses == 1 ? Incarnation::kGoing : uses - 1, std::memory_order_acq_rel,
                                         std::memory_order_relaxed)) {
  }
  if (uses != 1) return;
  of->file.Unmap();
  of->uses.store(Incarnation::kFree, std::memory_order_release);
}

// A use of what `entry` held a moment ago, or of nothing.
Use Look(std::atomic<Incarnation*>& entry) noexcept {
  for (;;) {
    Incarnation* of = entry.load(std::memory_order_acquire);
    if (of == nullptr) return Use();
    if (!AddUse(of)) continue;
    Use use(of);
    // It may have gone and come again for another descriptor before AddUse.
    if (entry.load(std::memory_order_acquire) == of) return use;
  }
}

void Forget(std::atomic<Incarnation*>& entry, Incarnation* of) noexcept {
  if (entry.compare_exchange_strong(of, nullptr, std::memory_order_acq_rel, std::memory_order_relaxed)) DropUse(of);
}

}  // namespace

Use::~Use() {
  if (of_ != nullptr) DropUse(of_);
}

const MappedFile& Use::file() const { return of_->file; }

int UseDescriptor(int fd, Use* use, Check check) noexcept {
  for (;;) {
    std::atomic<Incarnation*>* entry = EntryOf(fd, /*make=*/false);
    if (entry != nullptr) {
      Use known = Look(*entry);
      if (known.of() != nullptr) {
        const bool trusts = check == Check::kUnlessTrusted && known.file().trusted;
        const int err = trusts ? 0 : CheckQueueFile(fd, known.file().id);
        if (err != EBADF) {
          *use = std::move(known);
          return err;
        }
        // Closed behind our back, and maybe used for something else since.
        Forget(*entry, known.of());
      }
    }
    MappedFile file;
    int err = MapQueueFile(fd, &file);
    if (err == 0) err = RememberDescriptor(fd, file);
    if (err != 0) return err;
  }
}

int RememberDescriptor(int fd, MappedFile file) noexcept {
  std::atomic<Incarnation*>* entry = EntryOf(fd, /*make=*/true);
  Incarnation* of = entry == nullptr ? nullptr : Claim();
  if (of == nullptr) {
    file.Unmap();
    return entry == nullptr ? EMFILE : ENOMEM;
  }
  of->file = file;
  // Release: publishes the file to whoever looks the descriptor up.
  Incarnation* old = entry->exchange(of, std::memory_order_acq_rel);
  if (old != nullptr) DropUse(old);
  return 0;
}

void ForgetDescriptor(int fd, const Use& use) noexcept {
  std::atomic<Incarnation*>* entry = EntryOf(fd, /*make=*/false);
  if (entry != nullptr) Forget(*entry, use.of());
}

}  // namespace ipcmark::mmap_queue
