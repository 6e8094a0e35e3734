#!/usr/bin/env python3
"""Whatever the documents name in this repository must be there: links, files, packages and their targets."""

import glob
import itertools
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
DIRECTORIES = "ipc|bench|stress|results|third_party|docs|examples"
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
# With braces, as a shell expands them: ipc/os/{error,cpu}.cc.
FILE = re.compile(rf"(?<![\w/.-])((?:{DIRECTORIES})/[\w./{{}},*-]*\.(?:cc|c|h|md|sh|py|bzl|txt))\b")
# What a reader is to put names of his own into.
PLACEHOLDERS = {"ipc/NAME/NAME.h", "//your:benchmark"}
LABEL = re.compile(r"(?<![\w:/])//((?:[a-z_]+/)*[a-z_]+)?(?::([\w.-]+))?")


def expanded(path):
    """As the shell's brace expansion, without nesting."""
    parts = [part[1:-1].split(",") if part.startswith("{") else [part] for part in re.split(r"(\{[^}]*\})", path)]
    return ["".join(choice) for choice in itertools.product(*parts)]


def why_not_a_target(package, target):
    build = os.path.join(ROOT, package, "BUILD")
    if not os.path.exists(build):
        return "no such package"
    if target in ("", "all") or os.path.exists(os.path.join(ROOT, package, target)):
        return None
    with open(build, encoding="utf-8") as file:
        return None if f'"{target}"' in file.read() else "no such target"


def faults(document):
    with open(document, encoding="utf-8") as file:
        text = file.read()
    for link in LINK.findall(text):
        if "://" not in link and not os.path.exists(os.path.join(os.path.dirname(document), link)):
            yield f"link to {link}: no such file"
    for path in itertools.chain.from_iterable(map(expanded, FILE.findall(text))):
        if path in PLACEHOLDERS:
            continue
        if not glob.glob(os.path.join(ROOT, path)) and not glob.glob(os.path.join(os.path.dirname(document), path)):
            yield f"{path}: no such file"
    for package, target in LABEL.findall(text):
        label = f"//{package}:{target}"
        if label not in PLACEHOLDERS | {"//:"} and (why := why_not_a_target(package, target)):
            yield f"{label}: {why}"


def documents():
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(folder, name) for name in files if name.endswith(".md"))


def main():
    checked = list(documents())
    found = [f"{os.path.relpath(path, ROOT)}: {fault}" for path in checked for fault in faults(path)]
    print(f"{len(checked)} documents in {ROOT}")
    print("\n".join(found))
    return 1 if found or len(checked) < 5 else 0


if __name__ == "__main__":
    sys.exit(main())
