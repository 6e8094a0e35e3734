"""THE LIST: every primitive that is tested for conformance, measured and stressed. A new one is a folder and a line."""

PRIMITIVES = [
    "sysv_shm",
    "mmap_queue",
    "pipe",
]
