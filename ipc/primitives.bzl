"""THE LIST: every primitive that is tested for conformance, measured and stressed. A new one is a folder and a line.

A primitive is named by its folder here, by a label elsewhere ("//some/folder:name"), or by what primitive() makes, for
one whose header or class is not called after its label.
"""

PRIMITIVES = [
    "sysv_shm",
    "shm_mpmc",
    "shm_broadcast",
    "mmap_queue",
    "pipe",
    "moodycamel",
    "kernel_mq",
    "boost_mq",
]

def primitive(name, label, header, channel):
    """A primitive under its own names.

    Args:
      name: what rows and scenarios call it; a C++ identifier.
      label: of the cc_library.
      header: as #include wants it.
      channel: the class, from the outermost namespace on.

    Returns:
      What stands for it in a list of primitives.
    """
    return struct(channel = channel, header = header, label = label, name = name)

def primitive_label(primitive):
    """The Bazel label of a primitive: `pipe` is //ipc/pipe of this repository, and a label stands for itself.

    Args:
      primitive: a member of a list of primitives.
    Returns:
      The label as a string.
    """
    if type(primitive) == "struct":
        return primitive.label
    if primitive.startswith("//") or primitive.startswith("@"):
        return primitive
    return str(Label("//ipc/" + primitive))

def primitive_name(primitive):
    """The folder, header and namespace of a primitive: the last part of its label.

    Args:
      primitive: a member of a list of primitives.
    Returns:
      The name as a string.
    """
    if type(primitive) == "struct":
        return primitive.name
    return primitive.split(":")[-1].split("/")[-1]

def primitive_header(primitive):
    """Its header as #include wants it.

    Args:
      primitive: a member of a list of primitives.
    Returns:
      The path as a string.
    """
    if type(primitive) == "struct":
        return primitive.header
    folder = primitive_label(primitive).split("//")[-1].split(":")[0]
    return (folder + "/" if folder else "") + primitive_name(primitive) + ".h"

def primitive_channel(primitive):
    """Its class."""
    if type(primitive) == "struct":
        return primitive.channel
    return "ipcmark::%s::Channel" % primitive_name(primitive)
