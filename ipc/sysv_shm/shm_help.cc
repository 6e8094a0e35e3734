#include "ipc/sysv_shm/shm_help.h"

namespace ipcmark::sysv_shm {
namespace {

// Indexed by Command. SHM stands for the command that starts the tool, WHICH for the choice of a segment.
constexpr const char* kTexts[] = {
    // create
    "SHM create --bytes=SIZE [--key=K | --ftok=PATH,N] [--mode=0600] [--reuse]\n"
    "           [--huge=default|2MiB|1GiB] [--no-reserve] [--json]\n"
    "Makes a segment of zeroed bytes and prints it. It stays until it is removed or the system restarts.\n"
    "  --bytes=SIZE      4096, 4KiB, 1MiB, ...; the kernel rounds up to whole pages\n"
    "  --key=K           find it by this number later; without a key, by its id only (IPC_PRIVATE)\n"
    "  --ftok=PATH,N     the key that ftok(3) makes of a file and a number from 1 to 255\n"
    "  --mode=MODE       permissions in octal; 0600 unless given\n"
    "  --reuse           take the segment that has the key already, if it is large enough (no IPC_EXCL)\n"
    "  --huge=PAGES      SHM_HUGETLB; needs reserved huge pages (vm.nr_hugepages) and CAP_IPC_LOCK\n"
    "  --no-reserve      SHM_NORESERVE: memory is not promised, so that any size is granted\n"
    "Examples\n"
    "  SHM create --bytes=1MiB --key=0x51 --mode=0640\n"
    "  SHM create --bytes=64KiB --ftok=/etc/hostname,1 --json\n",
    // list
    "SHM list [--readable] [--json]\n"
    "Lists the segments of this IPC namespace and what they use together, as ipcs -m does.\n"
    "  --readable  only those that you may read (SHM_STAT instead of SHM_STAT_ANY)\n"
    "Examples\n"
    "  SHM list\n"
    "  SHM list --json\n",
    // stat
    "SHM stat WHICH [--json]\n"
    "Shows everything that the kernel knows of one segment. Needs read permission.\n"
    "Examples\n"
    "  SHM stat --id=3\n"
    "  SHM stat --key=0x51 --json\n",
    // set
    "SHM set WHICH [--uid=USER] [--gid=GROUP] [--mode=MODE] [--json]\n"
    "Changes owner, group or permissions (IPC_SET; there is nothing else to set). For owner, creator\n"
    "and root. What is left out is read first, which needs read permission.\n"
    "Examples\n"
    "  SHM set --id=3 --mode=0660\n"
    "  SHM set --key=0x51 --uid=nobody\n",
    // write
    "SHM write WHICH [--offset=SIZE] [--text=TEXT] [--json]\n"
    "Writes TEXT, or without it standard input, into the segment. What does not fit is refused whole.\n"
    "Examples\n"
    "  SHM write --id=3 --text=hello\n"
    "  SHM write --key=0x51 --offset=4KiB < picture.raw\n",
    // read
    "SHM read WHICH [--offset=SIZE] [--bytes=SIZE] [--hex | --json]\n"
    "Writes the segment's bytes to standard output as they are, or readably.\n"
    "  --offset=SIZE  from there; 0 unless given\n"
    "  --bytes=SIZE   so many; to the end unless given\n"
    "  --hex          offset, hexadecimal and characters, 16 bytes a line\n"
    "Examples\n"
    "  SHM read --id=3 --bytes=64 --hex\n"
    "  SHM read --key=0x51 > copy.raw\n",
    // lock
    "SHM lock WHICH [--json]\n"
    "Keeps the segment's pages from being swapped out once they are there (SHM_LOCK); it brings none\n"
    "in. The lock belongs to the segment, not to a process: it stays until unlock or the segment's end.\n"
    "Example\n"
    "  SHM lock --id=3\n",
    // unlock
    "SHM unlock WHICH [--json]\n"
    "Takes the lock back (SHM_UNLOCK).\n"
    "Example\n"
    "  SHM unlock --id=3\n",
    // remove
    "SHM remove WHICH [--json]\n"
    "Marks one segment for removal (IPC_RMID). It loses its key and goes with its last attachment, at\n"
    "once when nobody has it attached. There is no way to remove all: most belong to others.\n"
    "Examples\n"
    "  SHM remove --id=3\n"
    "  SHM remove --ftok=/etc/hostname,1\n",
    // limits
    "SHM limits [--no-proof] [--json]\n"
    "Shows the kernel's limits and proves each by reaching it in a private IPC namespace, with untouched\n"
    "segments. Takes seconds and little memory, and leaves nothing behind. A limit that does not hold is\n"
    "exit status 1.\n"
    "  --no-proof  show them only\n"
    "Examples\n"
    "  SHM limits\n"
    "  SHM limits --json\n",
};

constexpr char kGeneral[] =
    "SHM COMMAND [--flag=value ...]\n"
    "System V shared memory by hand.\n"
    "  create   make a segment                  (ipcmk -M, shmcreate)\n"
    "  list     all segments                    (ipcs -m)\n"
    "  stat     one segment, every field        (ipcs -m -i)\n"
    "  set      owner, group, permissions\n"
    "  write    bytes from standard input       (shmwrite)\n"
    "  read     bytes to standard output        (shmread)\n"
    "  lock     keep its pages in memory        unlock takes it back\n"
    "  remove   mark for removal                (ipcrm -m, shmrmid)\n"
    "  limits   the kernel's limits, each one reached\n"
    "Every command has --json and a --help with examples.\n";

constexpr char kWhich[] =
    "WHICH is one of\n"
    "  --id=N         the number that create and list show\n"
    "  --key=0x51     the key it was made with, decimal or hexadecimal\n"
    "  --ftok=PATH,N  the key that ftok(3) makes of a file; PATH is relative to where you are\n";

constexpr char kExit[] =
    "Exit status: 0 done; 1 the system refused: one sentence names system call, object, errno and remedy\n"
    "(limits: also a limit that does not hold); 2 the command line or the input was wrong, and nothing\n"
    "was done.\n";

}  // namespace

std::string HelpText(Command command) {
  std::string text = "usage: ";
  const std::string body = command == Command::kHelp ? kGeneral : kTexts[static_cast<unsigned>(command)];
  text += body;
  if (body.find("WHICH") != std::string::npos) text += kWhich;
  text += kExit;
  // The usage line stays short; an example can be copied and run.
  const size_t usage = text.find("SHM ");
  if (usage != std::string::npos) text.replace(usage, 3, "shm");
  constexpr char kName[] = "./bazelw run //ipc/sysv_shm:shm --";
  for (size_t at = text.find("SHM "); at != std::string::npos; at = text.find("SHM ", at + 1)) {
    text.replace(at, 3, kName);
  }
  return text;
}

}  // namespace ipcmark::sysv_shm
