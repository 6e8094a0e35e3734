// Rows: an mqd_t is a descriptor.

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

#include "ipc/mmap_queue/semantics.h"

namespace ipcmark::mmap_queue {
namespace {

// What every call says to a descriptor.
std::string AllCalls(const Mqueue& mq, mqd_t fd) {
  char buffer[kBytes];
  mq_attr attributes{};
  timespec until = RealtimeAfter(0);
  std::string words = Words{Said(mq.send(fd, "m", 1, 0)), Said(mq.receive(fd, buffer, sizeof(buffer), nullptr)),
                            Said(mq.timedsend(fd, "m", 1, 0, &until)),
                            Said(mq.timedreceive(fd, buffer, sizeof(buffer), nullptr, &until))};
  return Words{words, Said(mq.getattr(fd, &attributes)), Said(mq.setattr(fd, &attributes, nullptr)),
               Said(mq.notify(fd, nullptr))};
}

constexpr char kAllBad[] = "EBADF EBADF EBADF EBADF EBADF EBADF EBADF";

std::string CallsOnAClosedDescriptor(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  SendText(mq, queue, "m");
  close(queue);
  return AllCalls(mq, queue);
}

std::string CloseOfWhatIsNoQueue(const Mqueue& mq) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  std::string words = Words{Said(mq.close(-1)), Said(mq.close(12345)), Said(mq.close(ends[0])), Said(mq.close(file))};
  const bool open_yet = fcntl(ends[0], F_GETFD) >= 0 && fcntl(file, F_GETFD) >= 0;
  const mqd_t queue = Make(mq);
  words = Words{words, open_yet ? "open" : "closed", Said(mq.close(queue)), Said(mq.close(queue))};
  return words;
}

std::string Access(const Mqueue& mq) {
  const mqd_t both = Make(mq);
  const mqd_t reader = mq.open(Name(), O_RDONLY);
  const mqd_t writer = mq.open(Name(), O_WRONLY);
  std::string words = Words{SendText(mq, reader, "m"), SendText(mq, writer, "m"), Count(mq, both)};
  words = Words{words, ReceiveText(mq, writer), ReceiveText(mq, reader), ReceiveText(mq, dup(writer))};
  words = Words{words, SendText(mq, dup(reader), "m"), SendText(mq, dup(writer), "m")};
  return Words{words, ReceiveText(mq, dup(reader))};
}

std::string AccessModeOfFcntl(const Mqueue& mq) {
  mq.close(Make(mq));
  std::string words;
  for (int flags : {O_RDONLY, O_WRONLY, O_RDWR}) {
    words += std::to_string(fcntl(mq.open(Name(), flags), F_GETFL) & O_ACCMODE);
  }
  return words;
}

std::string SetAttributes(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  mq_attr wanted{};
  mq_attr old{};
  wanted.mq_flags = O_NONBLOCK;
  wanted.mq_maxmsg = 99;
  wanted.mq_msgsize = 99;
  wanted.mq_curmsgs = 99;
  std::string words = Words{Said(mq.setattr(queue, &wanted, &old)), std::to_string(old.mq_flags)};
  mq.getattr(queue, &old);
  words = Words{words, std::to_string(old.mq_flags), std::to_string(old.mq_maxmsg), std::to_string(old.mq_msgsize),
                std::to_string(old.mq_curmsgs)};
  words = Words{words, ReceiveText(mq, queue)};
  wanted.mq_flags = O_NONBLOCK | O_APPEND;
  words = Words{words, Said(mq.setattr(queue, &wanted, nullptr))};
  wanted.mq_flags = 0;
  words = Words{words, Said(mq.setattr(queue, &wanted, &old)), std::to_string(old.mq_flags)};
  return Words{words, Said(mq.getattr(queue, &old)), std::to_string(old.mq_flags)};
}

std::string NoAttributes(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  mq_attr old{};
  std::string words = Words{Said(mq.getattr(queue, nullptr)), Said(mq.setattr(queue, nullptr, nullptr)),
                            Said(mq.setattr(queue, nullptr, &old)), std::to_string(old.mq_maxmsg)};
  return Words{words, Said(mq.getattr(-1, nullptr)), Said(mq.setattr(-1, nullptr, nullptr))};
}

// O_NONBLOCK belongs to the open file description.
std::string NonblockIsShared(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  const mqd_t duplicate = dup(queue);
  const mqd_t another = mq.open(Name(), O_RDWR);
  const pid_t child = Fork([&] {
    mq_attr wanted{};
    wanted.mq_flags = O_NONBLOCK;
    mq.setattr(queue, &wanted, nullptr);
  });
  Reap(child);
  std::string words;
  for (mqd_t fd : {queue, duplicate, another}) {
    mq_attr attributes{};
    mq.getattr(fd, &attributes);
    words += attributes.mq_flags == O_NONBLOCK ? "nonblocking " : "blocking ";
  }
  fcntl(queue, F_SETFL, fcntl(queue, F_GETFL) & ~O_NONBLOCK);
  mq_attr attributes{};
  mq.getattr(duplicate, &attributes);
  return words + (attributes.mq_flags == O_NONBLOCK ? "nonblocking" : "blocking");
}

std::string CloseOnExec(const Mqueue& mq) { return std::to_string(fcntl(Make(mq), F_GETFD) & FD_CLOEXEC); }

std::string DuplicatesWork(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  const mqd_t first = dup(queue);
  const mqd_t second = fcntl(queue, F_DUPFD_CLOEXEC, 500);
  std::string words = Words{SendText(mq, first, "a"), SendText(mq, second, "b"), Said(mq.close(queue))};
  words = Words{words, SendText(mq, queue, "c"), ReceiveText(mq, second), ReceiveText(mq, first)};
  return Words{words, Said(close(first)), Said(mq.close(second)), Said(mq.close(second))};
}

// A number that close(2) freed comes to stand for another queue without mq_open.
std::string AReusedNumberIsTheNewQueue(const Mqueue& mq) {
  const mqd_t old = Make(mq);
  const mqd_t other = Make(mq, 0, 1);
  SendText(mq, old, "old");
  SendText(mq, other, "other");
  close(old);
  const int same = dup2(other, old);
  return Words{same == old ? "same" : "another", ReceiveText(mq, same), Count(mq, other)};
}

std::string AForkedChildUsesIt(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  const pid_t child = Fork([&] {
    SendText(mq, queue, "child", 5);
    mq.close(queue);
  });
  Reap(child);
  return Words{ReceiveText(mq, queue), SendText(mq, queue, "m")};
}

std::string PollOf(const Mqueue& mq, mqd_t queue) {
  std::string words;
  for (int messages : {0, 1, 4}) {
    while (Count(mq, queue) != std::to_string(messages)) SendText(mq, queue, "m");
    pollfd waiting = {.fd = queue, .events = POLLIN | POLLOUT, .revents = 0};
    poll(&waiting, 1, 0);
    if ((waiting.revents & POLLIN) != 0) words += "in ";
    if ((waiting.revents & POLLOUT) != 0) words += "out ";
    words += ", ";
  }
  epoll_event event = {.events = EPOLLIN, .data = {}};
  return words + Said(epoll_ctl(epoll_create1(EPOLL_CLOEXEC), EPOLL_CTL_ADD, queue, &event));
}

}  // namespace

const std::vector<Row>& DescriptorRows() {
  static const auto* const kRows = new std::vector<Row>{
      {"calls on no descriptor", [](const Mqueue& mq) { return AllCalls(mq, -1); }, kAllBad},
      {"calls on a descriptor of something else",
       [](const Mqueue& mq) { return AllCalls(mq, open("/proc/self/exe", O_RDONLY | O_CLOEXEC)); }, kAllBad},
      {"calls on a queue that close(2) closed", CallsOnAClosedDescriptor, kAllBad},
      {"mq_close of what is no queue", CloseOfWhatIsNoQueue, "EBADF EBADF EBADF EBADF open 0 EBADF",
       "EBADF EBADF 0 0 closed 0 EBADF", "the C library's mq_close is close(2); POSIX asks for EBADF"},
      {"what it was opened for", Access, "EBADF 0 1 EBADF m/0 EBADF EBADF 0 m/0"},
      {"fcntl says what it was opened for", AccessModeOfFcntl, "222", "012",
       "every user writes to the mapping, so the file is always open for both; what the queue was opened for is kept"},
      {"mq_setattr", SetAttributes, "0 0 2048 4 16 0 EAGAIN EINVAL 0 2048 0 0"},
      {"mq_getattr and mq_setattr without attributes", NoAttributes, "0 0 0 4 EBADF EBADF"},
      {"O_NONBLOCK belongs to the open file description", NonblockIsShared,
       "nonblocking nonblocking blocking blocking"},
      {"close-on-exec", CloseOnExec, "1"},
      {"duplicates work", DuplicatesWork, "0 0 0 EBADF a/0 b/0 0 0 EBADF"},
      {"a number used again is the new queue", AReusedNumberIsTheNewQueue, "same other/0 0"},
      {"a forked child uses it", AForkedChildUsesIt, "child/5 0"},
      {"poll and epoll", [](const Mqueue& mq) { return PollOf(mq, Make(mq)); }, "in out , in out , in out , EPERM",
       "out , in out , in , 0",
       "a mapped file cannot tell the kernel of changes without a system call a message: poll and select say always "
       "ready, epoll refuses"},
  };
  return *kRows;
}

}  // namespace ipcmark::mmap_queue
