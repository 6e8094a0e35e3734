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
    main = Label("//bench:main")

    # What its help says that it is started with. No name: our own workspace, which has bazelw.
    bazel = "./bazelw" if main.workspace_name == "" else "bazel"
    package = native.package_name()
    target = "//" + package + ("" if package.split("/")[-1] == name else ":" + name)
    lines = ["#include \\\"bench/scenarios.h\\\""] + includes + [
        "namespace ipcmark::bench {",
        "std::span<const PrimitiveEntry> Primitives() {",
        "  static const PrimitiveEntry entries[] = {",
    ] + entries + [
        "  };",
        "  return entries;",
        "}",
        "const char* RunCommand() { return \\\"%s run %s\\\"; }" % (bazel, target),
        "}",
    ]
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
        deps = [str(main)] + [primitive_label(p) for p in primitives],
        **kwargs
    )
