#!/usr/bin/python3
"""Counts what a `bazel test` did, from the events it wrote with --build_event_json_file.

usage: count_tests.py EVENTS BAZEL_EXIT_CODE; prints `N passed, N failed[, N skipped]`.

Counted are test cases as the test.xml files give them. A target that did not pass although its file shows no failed
case (it crashed, ran out of time, was flaky, was never built) counts as one failed case more, a target without a
readable file as one case. A bazel that failed without any failed case counts as one failed case: something broke.
"""

import json
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree


def read_events(path):
    try:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                try:
                    yield json.loads(line)
                except ValueError:
                    pass  # The last line of a bazel that was stopped is cut off.
    except FileNotFoundError:
        pass  # bazel ended before it wrote anything.


def local_path(uri):
    return urllib.parse.unquote(urllib.parse.urlparse(uri).path)


def count_cases(path):
    """Returns [passed, failed, skipped] of one test.xml, or None if it cannot be read."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return None
    counts = [0, 0, 0]
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            counts[1] += 1
        elif case.find("skipped") is not None:
            counts[2] += 1
        elif case.get("status") != "notrun":  # gtest: DISABLED_ or filtered out
            counts[0] += 1
    return counts


def count_target(status, xml_paths):
    counts = [0, 0, 0]
    for path in xml_paths:
        of_file = count_cases(path)
        if of_file:
            counts = [a + b for a, b in zip(counts, of_file)]
    if status != "PASSED" and not counts[1]:
        counts[1] = 1
    elif status == "PASSED" and not any(counts):
        counts[0] = 1
    return counts


def main(events_path, exit_code):
    statuses = {}  # label -> status; every test target that bazel looked at is here
    results = {}  # label -> {(run, shard): (attempt, path of test.xml)}
    for event in read_events(events_path):
        key = event.get("id", {})
        if "targetConfigured" in key and event.get("configured", {}).get("testSize", "UNKNOWN") != "UNKNOWN":
            statuses.setdefault(key["targetConfigured"]["label"], "NO_STATUS")
        elif "testSummary" in key and "testSummary" in event:
            statuses[key["testSummary"]["label"]] = event["testSummary"].get("overallStatus", "NO_STATUS")
        elif "testResult" in key and "testResult" in event:
            part = key["testResult"]
            place = (part.get("run", 1), part.get("shard", 1))
            attempt = part.get("attempt", 1)
            for file in event["testResult"].get("testActionOutput", []):
                if file.get("name") == "test.xml":
                    # Only the last attempt of a retried test counts; its status then says flaky.
                    of_label = results.setdefault(part["label"], {})
                    of_label[place] = max(of_label.get(place, (0, "")), (attempt, local_path(file.get("uri", ""))))

    passed = failed = skipped = 0
    for label, status in sorted(statuses.items()):
        if status == "NO_STATUS" and not exit_code:
            continue  # Built, but left out by a tag filter.
        counts = count_target(status, [path for _, path in results.get(label, {}).values()])
        passed, failed, skipped = passed + counts[0], failed + counts[1], skipped + counts[2]
    if exit_code and not failed:
        failed = 1
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[2].isdecimal():
        sys.exit("usage: count_tests.py EVENTS BAZEL_EXIT_CODE")
    main(sys.argv[1], int(sys.argv[2]))
