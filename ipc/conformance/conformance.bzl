"""One suite, compiled once per primitive."""

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

def conformance_tests(primitives):
    """Declares NAME_conformance_test for each primitive.

    Args:
      primitives: names as in //ipc:primitives.bzl, or labels of primitives elsewhere.
    """
    for primitive in primitives:
        name = primitive_name(primitive)
        native.genrule(
            name = name + "_instance",
            outs = [name + "_instance.cc"],
            cmd = """cat > $@ <<'END'
#include "ipc/conformance/conformance.h"

#include "{header}"

namespace ipcmark::conformance {{
INSTANTIATE_TYPED_TEST_SUITE_P({name}, Conformance, ipcmark::{name}::Channel);
}}  // namespace ipcmark::conformance
END""".format(header = primitive_header(primitive), name = name),
        )
        native.cc_test(
            name = name + "_conformance_test",
            size = "medium",
            srcs = [name + "_instance.cc"],
            deps = [
                ":conformance",
                primitive_label(primitive),
                "@com_google_googletest//:gtest_main",
            ],
        )
