#!/usr/bin/python3
"""Writes compile_commands.json at the workspace root, for clang-tidy and editors.

Bazel's own actions are the source, so every flag is the one of the build; only what clang does not understand is left
out. A file that is compiled several times (with other defines, with and without -fPIC) appears once, because
clang-tidy would look at it as often as it appears.
"""

import json
import os
import re
import subprocess
import sys

# Flags of gcc alone, what clang would warn about with -Werror, and output files, which nobody writes here.
DROPPED = re.compile(r"-(fno-canonical-system-headers|Werror.*|MD|frandom-seed=.*|Wunused-but-set-parameter"
                     r"|Wno-free-nonheap-object|fsanitize=.*)$")
DROPPED_WITH_VALUE = {"-MF", "-o"}


def source_and_arguments(arguments):
    kept, source, values = [], None, iter(arguments)
    for argument in values:
        if argument in DROPPED_WITH_VALUE:
            next(values)
        elif argument == "-c":
            source = next(values)
            kept += ["-c", source]
        elif not DROPPED.match(argument):
            kept.append(argument)
    return source, kept


def main():
    workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
    if not workspace:
        sys.exit("compile_commands: start it with ./bazelw run //third_party:compile_commands")
    # The bazel that started us has released its lock, so the same server answers if it is told the same place:
    # `bazel run` starts a program in OUTPUT_USER_ROOT/OUTPUT_BASE/execroot/...
    output_base = os.getcwd().partition("/execroot/")[0]
    query = subprocess.run(
        ["bazel", "--output_user_root=" + os.path.dirname(output_base), "aquery", "--output=jsonproto", "--ui_event_filters=-info", "--noshow_progress",
         'mnemonic("CppCompile", //...)'],
        cwd=workspace, stdout=subprocess.PIPE, check=False)
    if query.returncode:
        sys.exit("compile_commands: bazel aquery failed (see above); does `./bazelw build //...` work?")

    commands = {}
    for action in json.loads(query.stdout).get("actions", []):
        source, arguments = source_and_arguments(action.get("arguments", []))
        # What is generated nobody edits, and it need not exist before a build.
        if source and not source.startswith(("bazel-out/", "external/")):
            commands.setdefault(source, {"directory": workspace, "file": source, "arguments": arguments})
    path = os.path.join(workspace, "compile_commands.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump([commands[source] for source in sorted(commands)], out, indent=1)
    print(f"{path}: {len(commands)} files")


if __name__ == "__main__":
    main()
