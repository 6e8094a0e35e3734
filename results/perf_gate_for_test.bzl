"""A test of perf_gate_test's tests."""

def fails_test(name, test, exit_code, words, **kwargs):
    """Runs the program and the arguments of another test, and wants it to fail.

    Args:
      name: the test.
      test: a perf_gate_test of this package, declared above.
      exit_code: what it has to end with.
      words: what has to be in its output.
      **kwargs: as for every test.
    """
    rule = native.existing_rule(test)
    native.sh_test(
        name = name,
        srcs = ["fails_for_test.sh"],
        args = [str(exit_code), "'%s'" % words, "$(rootpath %s)" % test] + list(rule["args"]),
        data = list(rule["data"]) + [test],
        **kwargs
    )
