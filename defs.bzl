"""ipcmark for other workspaces: bring your own primitive.

    load("@ipcmark//:defs.bzl", "ipc_primitive")

    ipc_primitive(
        name = "my_ring",
        hdrs = ["my_ring.h"],
        channel = "acme::MyRing",
    )

examples/own_transport is a whole workspace that does this, with the flags that it needs in .bazelrc.
"""

load("@rules_cc//cc:defs.bzl", "cc_library")
load("//bench:bench.bzl", "bench_binary")
load("//ipc:primitives.bzl", "primitive")
load("//ipc/conformance:conformance.bzl", "conformance_tests")
load("//results:perf_gate.bzl", "perf_gate_test")
load("//stress:stress.bzl", "stress_binary")

def ipc_primitive(
        name,
        hdrs,
        channel,
        srcs = [],
        deps = [],
        header = "",
        beside = ["pipe"],
        gate_base = "",
        gate_filter = "",
        tags = [],
        visibility = None,
        **kwargs):
    """A transport of your own, tested for conformance, measured, stressed and, if you like, gated.

    Declares, with what each does:
      NAME                    the cc_library
      NAME_conformance_test   every promise of its kCapabilities; what it does not promise is skipped
      NAME_bench, _bench_test the benchmark of it and `beside`, and the shortest run of it that shows a row
      NAME_stress, _stress_test  the stress program, and one trial of every small scenario, seeded
      NAME_gate_test          where `gate_base` is given: not slower than that

    Args:
      name: what rows and scenarios call it; a C++ identifier.
      hdrs: of the library.
      channel: the class that models ipcmark::Primitive (ipc/channel.h), from the outermost namespace on.
      srcs: of the library.
      deps: of the library, beside ipcmark's contract and its operating-system wrappers.
      header: as #include wants it; the first of hdrs if empty.
      beside: primitives of ipcmark that are measured with it (names as in ipc/primitives.bzl).
      gate_base: a NAME_bench built from what it must not be slower than, such as the last release.
      gate_filter: regular expression over the benchmarks to gate; all of this primitive if empty.
      tags: of every target.
      visibility: of the library and the programs.
      **kwargs: more for the cc_library.
    """
    label = "//%s:%s" % (native.package_name(), name)
    if not header:
        header = hdrs[0].split(":")[-1]
        header = native.package_name() + "/" + header if native.package_name() else header
    own = primitive(channel = channel, header = header, label = label, name = name)
    cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        tags = tags,
        visibility = visibility,
        deps = deps + [str(Label("//ipc:channel")), str(Label("//ipc/os"))],
        **kwargs
    )
    conformance_tests(primitives = [own], tags = tags)

    bench_binary(name = name + "_bench", primitives = [own] + beside, tags = tags, visibility = visibility)
    native.sh_test(
        name = name + "_bench_test",
        size = "small",
        srcs = [name + "_bench"],
        args = ["--suite=smoke", "--primitives=" + name, "--bytes=64", "--benchmark_min_time=0.001", "--benchmark_out=/dev/null"],
        tags = tags,
    )

    stress_binary(name = name + "_stress", primitives = [own], tags = tags, visibility = visibility)
    native.sh_test(
        name = name + "_stress_test",
        size = "medium",
        srcs = [name + "_stress"],
        args = ["--seed=1", "--trials=1", "--scenario=depth:4/bytes:64/"],
        tags = tags,
    )

    if gate_base:
        perf_gate_test(
            name = name + "_gate_test",
            base = gate_base,
            binary = ":%s_bench" % name,
            filter = gate_filter or "/%s/" % name,
            tags = tags,
        )
