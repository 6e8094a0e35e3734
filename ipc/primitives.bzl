"""THE LIST: every primitive that is tested for conformance, measured and stressed. A new one is a folder and a line."""

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

def primitive_label(primitive):
    """The Bazel label of a primitive: `pipe` is //ipc/pipe, and a label stands for itself."""
    return primitive if primitive.startswith("//") or primitive.startswith("@") else "//ipc/" + primitive

def primitive_name(primitive):
    """The folder, header and namespace of a primitive: the last part of its label."""
    return primitive.split(":")[-1].split("/")[-1]

def primitive_header(primitive):
    """Its header as #include wants it."""
    folder = primitive_label(primitive).split("//")[-1].split(":")[0]
    return folder + "/" + primitive_name(primitive) + ".h"
