// Rows: names, opening, making, attributes, permissions, unlinking.

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "ipc/mmap_queue/semantics.h"

namespace ipcmark::mmap_queue {
namespace {

// Opens, closes and unlinks; what the open said ("ok" for a descriptor).
std::string TryOpen(const Mqueue& mq, const char* name, int flags, const mq_attr* attributes = nullptr) {
  const mqd_t queue = mq.open(name, flags, 0600, attributes);
  if (queue < 0) return Said(queue);
  mq.close(queue);
  mq.unlink(name);
  return "ok";
}

std::string TryMake(const Mqueue& mq, long depth, long bytes) {
  mq_attr attributes{};
  attributes.mq_maxmsg = depth;
  attributes.mq_msgsize = bytes;
  return TryOpen(mq, Name(), O_CREAT | O_RDWR, &attributes);
}

std::string Names(const Mqueue& mq) {
  const int flags = O_CREAT | O_RDWR;
  return Words{TryOpen(mq, "no_slash", flags), TryOpen(mq, "", flags),    TryOpen(mq, "/", flags),
               TryOpen(mq, "/a/b", flags),     TryOpen(mq, "//a", flags), TryOpen(mq, "/.", flags),
               TryOpen(mq, "/..", flags),      TryOpen(mq, "/...", flags)};
}

std::string NameOfLength(const Mqueue& mq, size_t length) {
  std::string name = Name();
  name.resize(length + 1, 'x');
  return TryOpen(mq, name.c_str(), O_CREAT | O_RDWR);
}

std::string Unlinks(const Mqueue& mq) {
  mq.close(Make(mq));
  std::string words = Words{Said(mq.unlink("no_slash")), Said(mq.unlink("/")), Said(mq.unlink("/a/b"))};
  return Words{words, Said(mq.unlink(Name())), Said(mq.unlink(Name()))};
}

std::string AnUnlinkedQueueGoesWithItsLastUser(const Mqueue& mq) {
  const mqd_t old = Make(mq);
  std::string words = Words{Said(mq.unlink(Name())), SendText(mq, old, "old")};
  words = Words{words, Said(mq.open(Name(), O_RDWR))};
  const mqd_t another = Make(mq);
  words = Words{words, SendText(mq, another, "new")};
  return Words{words, ReceiveText(mq, old), ReceiveText(mq, another)};
}

std::string AttributesOf(const Mqueue& mq, mqd_t queue) {
  mq_attr attributes{};
  if (mq.getattr(queue, &attributes) != 0) return Said(-1);
  return Words{std::to_string(attributes.mq_flags), std::to_string(attributes.mq_maxmsg),
               std::to_string(attributes.mq_msgsize), std::to_string(attributes.mq_curmsgs)};
}

std::string Exists(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  mq_attr wrong{};
  wrong.mq_maxmsg = -1;
  std::string words = Said(mq.open(Name(), O_CREAT | O_EXCL | O_RDWR, 0600, nullptr));
  words = Words{words, Said(mq.open(Name(), O_CREAT | O_EXCL | O_RDWR, 0600, &wrong))};
  const mqd_t again = mq.open(Name(), O_CREAT | O_RDWR, 0600, &wrong);
  words = Words{words, AttributesOf(mq, again), SendText(mq, queue, "m"), ReceiveText(mq, again)};
  return Words{words, Said(mq.open(Name(), O_RDWR | O_WRONLY))};
}

std::string Umask(const Mqueue& mq) {
  umask(027);
  const mqd_t queue = mq.open(Name(), O_CREAT | O_RDWR, 0666, nullptr);
  struct stat its {};
  fstat(queue, &its);
  return std::to_string((its.st_mode & 0700) >> 6) + std::to_string((its.st_mode & 070) >> 3) +
         std::to_string(its.st_mode & 07);
}

// From now on this process's permissions count, though it be root's.
void BecomePowerless() {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[2] = {};
  syscall(SYS_capset, &header, none);
}

std::string OpenWithMode(const Mqueue& mq, mode_t mode) {
  BecomePowerless();
  // Making it is allowed whatever its mode.
  const mqd_t queue = mq.open(Name(), O_CREAT | O_EXCL | O_RDWR, mode, nullptr);
  std::string words = queue < 0 ? Said(queue) : "made";
  for (int flags : {O_RDONLY, O_WRONLY, O_RDWR}) {
    const mqd_t again = mq.open(Name(), flags);
    words = Words{words, again < 0 ? Said(again) : "ok"};
  }
  return words;
}

std::string NoDescriptorsLeft(const Mqueue& mq) {
  mq.close(Make(mq));
  const int next = dup(0);
  close(next);
  rlimit limit = {.rlim_cur = static_cast<rlim_t>(next), .rlim_max = static_cast<rlim_t>(next)};
  setrlimit(RLIMIT_NOFILE, &limit);
  std::string words = Words{Said(mq.open(Name(), O_RDWR)), Said(mq.open(Name(1), O_CREAT | O_RDWR, 0600, nullptr))};
  // It left nothing behind: the queue that could not be opened was not made. (The kernel makes it first.)
  limit.rlim_cur = 0;
  return Words{words, Said(mq.unlink(Name()))};
}

std::string SmallFilesOnly(const Mqueue& mq) {
  const rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};
  setrlimit(RLIMIT_FSIZE, &limit);
  return TryMake(mq, kDepth, kBytes);
}

std::string NoAddressSpace(const Mqueue& mq) {
  rlimit before;
  getrlimit(RLIMIT_AS, &before);
  rlimit none = before;
  none.rlim_cur = 0;
  setrlimit(RLIMIT_AS, &none);
  const mqd_t queue = mq.open(Name(), O_CREAT | O_RDWR, 0600, nullptr);
  const int err = errno;
  setrlimit(RLIMIT_AS, &before);
  errno = err;
  std::string words = queue < 0 ? Said(queue) : "ok";
  // It left nothing behind.
  return Words{words, Said(mq.unlink(Name()))};
}

std::string UnlinkByAnotherUser(const Mqueue& mq) {
  umask(0);
  mq.close(mq.open(Name(), O_CREAT | O_EXCL | O_RDWR, 0666, nullptr));
  if (setuid(kAnotherUser) != 0) return Said(-1);
  return Said(mq.unlink(Name()));
}

}  // namespace

const std::vector<Row>& OpenRows() {
  static const auto* const kRows = new std::vector<Row>{
      {"names", Names, "EINVAL EINVAL ENOENT EACCES EACCES EACCES EACCES ok"},
      {"a name of 252 bytes", [](const Mqueue& mq) { return NameOfLength(mq, 252); }, "ok"},
      {"a name of 255 bytes", [](const Mqueue& mq) { return NameOfLength(mq, 255); }, "ENAMETOOLONG", "ok",
       "the file is called mq.NAME, so that a shared memory object may have the same name"},
      {"a name of 256 bytes", [](const Mqueue& mq) { return NameOfLength(mq, 256); }, "ENAMETOOLONG"},
      {"a name of 5000 bytes", [](const Mqueue& mq) { return NameOfLength(mq, 5000); }, "ENAMETOOLONG"},
      {"a queue that is not there", [](const Mqueue& mq) { return TryOpen(mq, Name(), O_RDWR); }, "ENOENT"},
      {"no attributes: the defaults",
       [](const Mqueue& mq) { return AttributesOf(mq, mq.open(Name(), O_CREAT | O_RDWR, 0600, nullptr)); },
       "0 10 8192 0"},
      {"attributes", [](const Mqueue& mq) { return AttributesOf(mq, Make(mq)); }, "0 4 16 0"},
      {"O_NONBLOCK from the start", [](const Mqueue& mq) { return AttributesOf(mq, Make(mq, O_NONBLOCK)); },
       "2048 4 16 0"},
      {"attributes that no queue can have",
       [](const Mqueue& mq) -> std::string {
         return Words{TryMake(mq, 0, 8),
                      TryMake(mq, -1, 8),
                      TryMake(mq, 8, 0),
                      TryMake(mq, 8, -1),
                      TryMake(mq, INT64_MAX, 8),
                      TryMake(mq, 8, INT64_MAX),
                      TryMake(mq, INT64_MAX, INT64_MAX),
                      TryMake(mq, 65537, 8),
                      TryMake(mq, 8, (16 << 20) + 1)};
       },
       "EINVAL EINVAL EINVAL EINVAL EINVAL EINVAL EINVAL EINVAL EINVAL"},
      {"what exists", Exists, "EEXIST EEXIST 0 4 16 0 0 m/0 EINVAL"},
      {"unlink", Unlinks, "EINVAL ENOENT EACCES 0 ENOENT"},
      {"an unlinked queue goes with its last user", AnUnlinkedQueueGoesWithItsLastUser, "0 0 ENOENT 0 old/0 new/0"},
      {"mode and umask", Umask, "640"},
      {"a queue of mode 0", [](const Mqueue& mq) { return OpenWithMode(mq, 0); }, "made EACCES EACCES EACCES"},
      {"a queue of mode 0600", [](const Mqueue& mq) { return OpenWithMode(mq, 0600); }, "made ok ok ok"},
      {"a queue of mode 0400", [](const Mqueue& mq) { return OpenWithMode(mq, 0400); }, "made EACCES EACCES EACCES",
       "made ok EACCES EACCES", "a receiver writes to the file, too: opening needs both permissions"},
      {"a queue of mode 0200", [](const Mqueue& mq) { return OpenWithMode(mq, 0200); }, "made EACCES EACCES EACCES",
       "made EACCES ok EACCES", "a sender reads the file, too: opening needs both permissions"},
      {"no descriptors left", NoDescriptorsLeft, "EMFILE EMFILE 0"},
      {"no address space left", NoAddressSpace, "ENOMEM ENOENT", "ok 0", "it is mapped"},
      {"RLIMIT_FSIZE", SmallFilesOnly, "ENOSPC", "ok", "it is a file, and may not be as large as a queue is"},
      {.name = "unlink by another user", .run = UnlinkByAnotherUser, .expected = "EACCES", .needs_users = true},
  };
  return *kRows;
}

}  // namespace ipcmark::mmap_queue
