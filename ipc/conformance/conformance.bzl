"""One suite, compiled once per primitive."""

load("//ipc:primitives.bzl", "primitive_channel", "primitive_header", "primitive_label", "primitive_name")

def conformance_tests(primitives, **kwargs):
    """Declares NAME_conformance_test for each primitive.

    Args:
      primitives: as in //ipc:primitives.bzl.
      **kwargs: as for every test.
    """
    for primitive in primitives:
        name = primitive_name(primitive)
        native.genrule(
            name = name + "_instance",
            testonly = True,
            outs = [name + "_instance.cc"],
            cmd = """cat > $@ <<'END'
#include "ipc/conformance/conformance.h"

#include "{header}"

namespace ipcmark::conformance {{
INSTANTIATE_TYPED_TEST_SUITE_P({name}, Conformance, {channel});
}}  // namespace ipcmark::conformance
END""".format(channel = primitive_channel(primitive), header = primitive_header(primitive), name = name),
        )
        native.cc_test(
            name = name + "_conformance_test",
            size = "medium",
            srcs = [name + "_instance.cc"],
            deps = [
                str(Label("//ipc/conformance")),
                primitive_label(primitive),
                "@com_google_googletest//:gtest_main",
            ],
            **kwargs
        )
