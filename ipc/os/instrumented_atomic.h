#ifndef IPCMARK_IPC_OS_INSTRUMENTED_ATOMIC_H_
#define IPCMARK_IPC_OS_INSTRUMENTED_ATOMIC_H_

// An atomic for tests of lock-free algorithms that take their atomic as a template parameter. It is a std::atomic, of
// the same size and layout, which does something before each access of a thread that asked for it:
//
//   InstrumentedAccess::KillBefore(k)      SIGKILL before access number k (0 is the next one)
//   InstrumentedAccess::CallBefore(k, f)   f() once, before access number k
//   InstrumentedAccess::Reschedule(seed)   gives up the CPU before some accesses, chosen by the seed
//   InstrumentedAccess::Off()              nothing, which is how every thread starts
//
// What a kill finds is what a SIGKILL between two accesses of the real thing finds; kills inside a copy of plain bytes
// are not among them, nor are those between an access and a system call behind it. A forked child inherits the state of
// the thread that forked. Broken by code that accesses the base class (std::atomic<T>&): that goes unseen, as futexes
// and os::PeerWord do.

#include <sched.h>
#include <signal.h>

#include <atomic>
#include <cstdint>

namespace ipcmark::os {

// What the calling thread does before its accesses.
class InstrumentedAccess {
 public:
  static void KillBefore(uint64_t access) { state() = {.mode = Mode::kKill, .accesses = 0, .at = access}; }
  // The accesses of `call` itself, and those behind it, are as after Off. `call` must live until then.
  template <typename Call>
  static void CallBefore(uint64_t access, const Call& call) {
    state() = {.mode = Mode::kCall,
               .accesses = 0,
               .at = access,
               .call = [](const void* it) { (*static_cast<const Call*>(it))(); },
               .argument = &call};
  }
  static void Reschedule(uint64_t seed) { state() = {.mode = Mode::kReschedule, .accesses = 0, .at = seed | 1}; }
  // Counts only.
  static void Count() { state() = {.mode = Mode::kCount, .accesses = 0, .at = 0}; }
  static void Off() { state() = State{}; }
  // Accesses of this thread since the last of the calls above, but none while off.
  static uint64_t accesses() { return state().accesses; }

  static void Before() noexcept {
    if (state().mode == Mode::kOff) return;
    if (state().mode == Mode::kKill && state().accesses == state().at) raise(SIGKILL);
    if (state().mode == Mode::kCall && state().accesses == state().at) return CallOnce();
    ++state().accesses;
    if (state().mode == Mode::kReschedule) RescheduleSometimes();
  }

 private:
  enum class Mode : uint8_t { kOff = 0, kCount, kKill, kCall, kReschedule };
  struct State {
    Mode mode;
    uint64_t accesses;
    uint64_t at;  // kKill, kCall: which access; kReschedule: the state of the random numbers, never 0
    void (*call)(const void* argument) = nullptr;  // kCall
    const void* argument = nullptr;                // kCall
  };

  static void CallOnce() noexcept {
    const State now = state();
    Off();
    if (now.call != nullptr) now.call(now.argument);
  }

  static void RescheduleSometimes() noexcept {
    // Marsaglia's xorshift64.
    state().at ^= state().at << 13;
    state().at ^= state().at >> 7;
    state().at ^= state().at << 17;
    // One access in four; one of those in eight stays away for several turns, so that others get whole operations
    // ahead.
    const uint64_t draw = state().at >> 40;
    if (draw % 4 != 0) return;
    const int turns = draw / 4 % 8 == 0 ? 8 : 1;
    for (int turn = 0; turn < turns; ++turn) sched_yield();
  }

  static State& state() {
    static thread_local State state;
    return state;
  }
};

template <typename T>
class InstrumentedAtomic : public std::atomic<T> {
 public:
  using Base = std::atomic<T>;
  using Base::Base;

  [[nodiscard]] T load(std::memory_order order = std::memory_order_seq_cst) const noexcept {
    InstrumentedAccess::Before();
    return Base::load(order);
  }
  void store(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
    InstrumentedAccess::Before();
    Base::store(value, order);
  }
  T exchange(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
    InstrumentedAccess::Before();
    return Base::exchange(value, order);
  }
  T fetch_add(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
    InstrumentedAccess::Before();
    return Base::fetch_add(value, order);
  }
  T fetch_or(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
    InstrumentedAccess::Before();
    return Base::fetch_or(value, order);
  }
  T fetch_and(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
    InstrumentedAccess::Before();
    return Base::fetch_and(value, order);
  }
  bool compare_exchange_weak(T& expected, T desired, std::memory_order success, std::memory_order failure) noexcept {
    InstrumentedAccess::Before();
    return Base::compare_exchange_weak(expected, desired, success, failure);
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure) noexcept {
    InstrumentedAccess::Before();
    return Base::compare_exchange_strong(expected, desired, success, failure);
  }
};
static_assert(sizeof(InstrumentedAtomic<uint64_t>) == sizeof(std::atomic<uint64_t>));
static_assert(sizeof(InstrumentedAtomic<uint32_t>) == sizeof(std::atomic<uint32_t>));

}  // namespace ipcmark::os

#endif  // IPCMARK_IPC_OS_INSTRUMENTED_ATOMIC_H_
