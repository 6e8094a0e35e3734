"""One suite, compiled once per primitive."""

load("//ipc:primitives.bzl", "primitive_header", "primitive_label", "primitive_name")

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
