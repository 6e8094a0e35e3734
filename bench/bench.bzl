"""A benchmark binary for a list of primitives."""

load("@rules_cc//cc:defs.bzl", "cc_binary")
load("//ipc:primitives.bzl", "primitive_channel", "primitive_header", "primitive_label", "primitive_name")

# For whatever holds a timed loop. Where a loop began otherwise, a few lines changed elsewhere made a round trip of 4 KiB
# a twelfth faster or slower: payloads are written, copied and summed in loops of some instructions.
TIMED = ["-falign-loops=32"]

def bench_binary(name, primitives, **kwargs):
    """Declares a cc_binary that measures `primitives`.

    Args:
      name: the binary.
      primitives: as in //ipc:primitives.bzl.
      **kwargs: as for cc_binary.
    """
    includes = ["#include \\\"%s\\\"" % primitive_header(p) for p in primitives]
    entries = [
        "      MakePrimitiveEntry<{channel}>(\\\"{name}\\\"),".format(channel = primitive_channel(p), name = primitive_name(p))
        for p in primitives
    ]
    lines = ["#include \\\"bench/scenarios.h\\\""] + includes + [
        "namespace ipcmark::bench {",
        "std::span<const PrimitiveEntry> Primitives() {",
        "  static const PrimitiveEntry entries[] = {",
    ] + entries + ["  };", "  return entries;", "}", "}"]
    native.genrule(
        name = name + "_primitives",
        testonly = kwargs.get("testonly", False),
        outs = [name + "_primitives.cc"],
        cmd = "printf '%s\\n' " + " ".join(["\"%s\"" % line for line in lines]) + " > $@",
    )
    cc_binary(
        name = name,
        srcs = [name + "_primitives.cc"],
        copts = TIMED,
        deps = [str(Label("//bench:main"))] + [primitive_label(p) for p in primitives],
        **kwargs
    )
