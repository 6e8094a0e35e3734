"""A performance gate as a Bazel test, for any workspace.

    load("@ipcmark//results:perf_gate.bzl", "perf_gate_test")

    perf_gate_test(
        name = "codec_gate",
        base = "@last_release//:codec_benchmark",
        binary = ":codec_benchmark",
        filter = "^BM_Decode/",
    )
"""

def perf_gate_test(
        name,
        binary,
        base,
        filter = "",
        budget = "60s",
        strict = False,
        gate_args = [],
        program_args = [],
        tags = [],
        **kwargs):
    """Fails when `binary` is slower than `base`; both run side by side, pair by pair, on the machine of the test.

    It is exclusive: no other test of this build disturbs it. The test's XML has one case for each benchmark.

    Args:
      name: the test.
      binary: the Google Benchmark program under test.
      base: what it is compared with: the program of the last release, or the same built in another way.
      filter: POSIX extended regular expression; only the benchmarks whose name it finds.
      budget: measuring time; keep it below the test's timeout.
      strict: whether what stays undecided fails the test.
      gate_args: more flags of //results:gate.
      program_args: flags for both programs.
      tags: more tags.
      **kwargs: as for every test (size, timeout, visibility, ...).
    """
    args = [
        "--base_binary=$(rootpath %s)" % base,
        "--head_binary=$(rootpath %s)" % binary,
        "--budget=" + budget,
    ]

    # The shell and make variables must not see what a regular expression is full of.
    if filter:
        args.append("'--filter=%s'" % filter.replace("$", "$$"))
    if strict:
        args.append("--strict")
    native.sh_test(
        name = name,
        srcs = [str(Label("//results:gate"))],
        args = args + gate_args + ["'--arg=%s'" % arg for arg in program_args],
        data = [binary] if binary == base else [base, binary],
        tags = tags + ["exclusive"],
        **kwargs
    )
