#!/bin/bash
# Feeds count_tests.py the events of imagined bazel runs.
set -euo pipefail
cd -- "$TEST_TMPDIR"
count=$TEST_SRCDIR/$TEST_WORKSPACE/third_party/count_tests.py

configured() { echo "{\"id\":{\"targetConfigured\":{\"label\":\"$1\"}},\"configured\":{\"testSize\":\"SMALL\"}}"; }
summary() { echo "{\"id\":{\"testSummary\":{\"label\":\"$1\"}},\"testSummary\":{\"overallStatus\":\"$2\"}}"; }
result() { # LABEL FILE [SHARD [ATTEMPT]]
  echo "{\"id\":{\"testResult\":{\"label\":\"$1\",\"run\":1,\"shard\":${3:-1},\"attempt\":${4:-1}}},\
\"testResult\":{\"testActionOutput\":[{\"name\":\"test.log\",\"uri\":\"file:///none\"},{\"name\":\"test.xml\",\"uri\":\"file://$PWD/$2\"}]}}"
}
expect() { # BAZEL_EXIT_CODE LINE; the events are in ./events
  local got
  got=$("$count" events "$1")
  [ "$got" = "$2" ] || { echo "line ${BASH_LINENO[0]}: expected '$2', got '$got'"; exit 1; }
}

cat >good.xml <<'X'
<testsuites><testsuite>
<testcase name="a" status="run" result="completed"/><testcase name="b" status="run"/>
<testcase name="c" status="run" result="skipped"><skipped message="no"/></testcase>
<testcase name="DISABLED_d" status="notrun"/>
</testsuite></testsuites>
X
cat >bad.xml <<'X'
<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure message="x"/></testcase>
<testcase name="c"><error message="exited with error code 1"/></testcase></testsuite></testsuites>
X
echo '<testsuites><testsuite>' >'cut off.xml'

configured //:lib | sed 's/"testSize":"SMALL"//' >events
{ configured //:a; result //:a good.xml; summary //:a PASSED; } >>events
expect 0 "2 passed, 0 failed, 1 skipped"

{ configured //:a; result //:a good.xml; result //:a bad.xml 2; summary //:a FAILED; } >events
expect 3 "3 passed, 2 failed, 1 skipped"

# Crashed after its last case, timed out without a file, passed without a readable file.
{ configured //:a; result //:a good.xml; summary //:a FAILED; } >events
expect 3 "2 passed, 1 failed, 1 skipped"
{ configured //:a; summary //:a TIMEOUT; } >events
expect 3 "0 passed, 1 failed"
{ configured //:a; result //:a cut%20off.xml; summary //:a PASSED; } >events
expect 0 "1 passed, 0 failed"

# Flaky: the last attempt is counted, and the target as a failure.
{ configured //:a; result //:a bad.xml 1 1; result //:a good.xml 1 2; summary //:a FLAKY; } >events
expect 0 "2 passed, 1 failed, 1 skipped"

# One was not built, another never ran, and bazel was stopped while it wrote.
{ configured //:a; configured //:b; summary //:a FAILED_TO_BUILD; echo '{"id":{"testSumm'; } >events
expect 1 "0 passed, 2 failed"
# Built but not asked for.
{ configured //:a; result //:a good.xml; summary //:a PASSED; configured //:b; } >events
expect 0 "2 passed, 0 failed, 1 skipped"

# Nothing ran: a broken BUILD file, no test at all, no file at all.
: >events
expect 1 "0 passed, 1 failed"
expect 4 "0 passed, 1 failed"
expect 0 "0 passed, 0 failed"
rm events
expect 37 "0 passed, 1 failed"
