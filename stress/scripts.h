#ifndef IPCMARK_STRESS_SCRIPTS_H_
#define IPCMARK_STRESS_SCRIPTS_H_

// What a sender and a receiver do in a trial, but for the operation itself, which traffic.h supplies per primitive:
//
//   while (script.Next()) script.Note(<the operation that script asks for>);
//
// Next decides (and sleeps between the phases of a trial), Note writes the log. Each script lives in its own process.

#include <cstddef>
#include <span>
#include <vector>

#include "stress/board.h"
#include "stress/message.h"
#include "stress/random.h"

namespace ipcmark::stress {

// What both have in common: which outcomes are allowed, and what follows from them.
class Script {
 public:
  // The end is open: others may count on it.
  void Opened();
  // It could not be opened.
  void Refused();
  [[nodiscard]] Deadline deadline() const { return deadline_; }
  // Use Loan/Publish or View/Release where the end has them.
  [[nodiscard]] bool in_place() const { return in_place_; }

 protected:
  Script(Board* board, Side side, uint32_t index);

  // How long an operation waits that nothing hurries.
  [[nodiscard]] Deadline Patience() const;
  // Draws how the next operation waits. Mostly without a deadline: a retry after one would hide a lost wake-up.
  void DrawManner();
  // What `result` (not ok) means. True: try again (after the replacement of a dead side has come). False: leave.
  bool MayGoOn(IoResult result);
  // The same once the object may be damaged.
  bool MayGoOnInRuins(IoResult result) const;
  void NoteTimeliness(Deadline asked);
  // Whether the parent wants this end to close now.
  bool AcceptsOrder();
  // Around all attempts at one operation: how many others of this side overtake it.
  void BeginWait();
  void EndWait();
  void BeginCall();
  void EndCall();
  void Leave();

  Board& board_;
  const Side side_;
  const uint32_t index_;
  EndLog& log_;
  Random random_;
  Deadline deadline_ = Deadline::Never();
  bool in_place_ = false;

 private:
  [[nodiscard]] uint64_t CompletedByOthers() const;

  uint64_t others_before_ = 0;
  Phase phase_before_ = Phase::kSetup;
  uint32_t epoch_before_ = 0;
};

class SenderScript : public Script {
 public:
  SenderScript(Board* board, uint32_t index);

  // True: send message(). False: close the end.
  bool Next();
  void Note(IoResult result);
  [[nodiscard]] std::span<const std::byte> message() const { return std::span(buffer_).first(message_bytes_); }
  [[nodiscard]] uint32_t priority() const { return priority_; }

 private:
  enum class Stage : uint8_t { kFill, kTraffic, kStops, kLeft };

  void Prepare(Kind kind, uint32_t bytes);
  // Ends this sender's part of the fill; the sender in slot 0 then fills what the others left, alone.
  void EndFill();
  // Where nobody holds it back it would be through before anybody else has had a CPU: now and then it waits for a
  // moment until the slowest receiver is close behind, or as far as one falls that is overtaken.
  void LetReceiversCatchUp();
  // Waits for the end of traffic and decides who sends the stop messages.
  void AwaitClosing();

  Stage stage_;
  bool pending_ = false;  // message() has not been accepted yet
  bool topping_up_ = false;
  uint32_t stops_left_ = 0;
  uint32_t priority_ = 0;
  uint32_t message_bytes_ = 0;
  std::vector<std::byte> buffer_;
};

class ReceiverScript : public Script {
 public:
  ReceiverScript(Board* board, uint32_t index);

  // True: receive into buffer(). False: close the end.
  bool Next();
  void Note(IoResult result, std::span<const std::byte> message, uint32_t priority);
  [[nodiscard]] std::span<std::byte> buffer() { return std::span(buffer_).first(buffer_.size() - kGuardBytes); }

 private:
  // Behind the buffer, to show that something was written there.
  static constexpr size_t kGuardBytes = 64;
  // Whether the result stays within the buffer.
  [[nodiscard]] bool Fits(IoResult result) const;
  // Whether the primitive may say so: a broadcast that overwrites.
  [[nodiscard]] bool MayMiss(IoResult result) const;
  // Logs `received` and counts it. False: there is no room for more, which only a broken object needs.
  bool Log(const Received& received);

  bool left_ = false;
  bool retry_ = false;
  std::vector<std::byte> buffer_;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_SCRIPTS_H_
