"""Debian packages as Bazel repositories under upstream's labels.

Nothing is downloaded: headers come from /usr/include (the compiler finds them itself; naming
/usr/include as an include path would break `#include_next`), libraries are linked from the static
archives in /usr/lib. Google Benchmark comes as a shared object only, and SQLite is linked as one, so
that Debian's fixes reach a store that is kept for years.
packages.txt beside this file lists what must be installed; ./bazelw installs it.
"""

def _generated_repository_impl(ctx):
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    for path, content in ctx.attr.files.items():
        ctx.file(path, content)

_generated_repository = repository_rule(
    implementation = _generated_repository_impl,
    attrs = {"files": attr.string_dict(doc = "path in the repository -> content")},
    doc = "A repository that consists of the given files.",
    local = True,
)

def _library(name, linkopts = [], deps = []):
    return """cc_library(
    name = "{}",
    linkopts = {},
    visibility = ["//visibility:public"],
    deps = {},
)
""".format(name, repr(linkopts), repr(deps))

def _archives(names):
    # One group: the archives of one package refer to each other in circles.
    return ["-Wl,--start-group"] + ["-l:lib%s.a" % n for n in names] + ["-Wl,--end-group"]

# The closure of what we link of abseil 20220623. Debian ships more; add here what a new label needs.
_ABSL_ARCHIVES = ["absl_" + n for n in [
    "bad_any_cast_impl",
    "bad_optional_access",
    "bad_variant_access",
    "base",
    "city",
    "cord",
    "cord_internal",
    "cordz_functions",
    "cordz_handle",
    "cordz_info",
    "debugging_internal",
    "demangle_internal",
    "exponential_biased",
    "flags_commandlineflag",
    "flags_commandlineflag_internal",
    "flags_config",
    "flags_internal",
    "flags_marshalling",
    "flags_parse",
    "flags_private_handle_accessor",
    "flags_program_name",
    "flags_reflection",
    "flags_usage",
    "flags_usage_internal",
    "graphcycles_internal",
    "hash",
    "hashtablez_sampler",
    "int128",
    "log_severity",
    "low_level_hash",
    "malloc_internal",
    "raw_hash_set",
    "raw_logging_internal",
    "spinlock_wait",
    "stacktrace",
    "status",
    "statusor",
    "str_format_internal",
    "strerror",
    "strings",
    "strings_internal",
    "symbolize",
    "synchronization",
    "throw_delegate",
    "time",
    "time_zone",
]]

_ABSL_LABELS = {
    "container": ["flat_hash_map", "flat_hash_set"],
    "functional": ["function_ref"],
    "flags": ["flag", "parse", "reflection", "usage"],
    "status": ["status", "statusor"],
    "strings": ["strings", "str_format"],
    "time": ["time"],
    "types": ["span"],
}

def _absl_files():
    files = {"BUILD": _library("absl_archives", _archives(_ABSL_ARCHIVES) + ["-lpthread"])}
    for package, names in _ABSL_LABELS.items():
        files["absl/%s/BUILD" % package] = "".join([_library(n, deps = ["//:absl_archives"]) for n in names])
    return files

# Debian's bazel-rules-cc does not load under its own Bazel 4.2.3, so @rules_cc is the native rules by their names.
_NATIVE_CC_RULES = [
    "cc_binary",
    "cc_import",
    "cc_library",
    "cc_proto_library",
    "cc_test",
    "cc_toolchain",
    "cc_toolchain_suite",
    "fdo_prefetch_hints",
    "fdo_profile",
    "objc_import",
    "objc_library",
]

_RULES_CC_DEFS = "".join(["%s = native.%s\n" % (r, r) for r in _NATIVE_CC_RULES]) + \
                 "cc_flags_supplier = None\ncompiler_flag = None\n"

# Every cc_test asks for these two labels, also when no coverage is collected.
_COVERAGE_BUILD = "".join(["""sh_binary(
    name = "%s",
    srcs = ["none.sh"],
    visibility = ["//visibility:public"],
)
""" % n for n in ["coverage_report_generator", "lcov_merger"]])

def ipcmark_repositories():
    """Declares every external repository that ipcmark uses. Call it from WORKSPACE."""
    for name, path in {
        "bazel_skylib": "/usr/share/bazel/tools/skylib",
        "platforms": "/usr/share/bazel/platforms",
        "rules_java": "/usr/share/bazel/rules/java",
        "rules_proto": "/usr/share/bazel/rules/proto",
    }.items():
        if not native.existing_rule(name):
            native.local_repository(name = name, path = path)

    for name, files in {
        "com_github_google_benchmark": {"BUILD": _library("benchmark", ["-lbenchmark", "-lpthread"])},
        "com_google_absl": _absl_files(),
        "com_google_googletest": {
            "BUILD": _library("gtest", _archives(["gtest", "gmock"]) + ["-lpthread"]) +
                     _library("gtest_main", _archives(["gtest_main", "gtest", "gmock"]) + ["-lpthread"]),
        },
        "com_github_tencent_rapidjson": {"BUILD": _library("rapidjson")},
        "org_sqlite": {"BUILD": _library("sqlite3", ["-lsqlite3"])},
        "remote_coverage_tools": {"BUILD": _COVERAGE_BUILD, "none.sh": "#!/bin/sh\nexit 0\n"},
        "rules_cc": {"BUILD": "", "cc/BUILD": "", "cc/defs.bzl": _RULES_CC_DEFS},
    }.items():
        if not native.existing_rule(name):
            _generated_repository(name = name, files = files)
