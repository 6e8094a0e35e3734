#!/bin/bash
# fails_for_test.sh EXIT_CODE WORDS PROGRAM ARGUMENT...: is that how the program ends?
set -uo pipefail
wanted=$1
words=$2
shift 2
unset XML_OUTPUT_FILE
output=$("$@" 2>&1)
code=$?
echo "$output"
if [ "$code" -ne "$wanted" ]; then
  echo "exit code $code, not $wanted" >&2
  exit 1
fi
if ! grep -qF -- "$words" <<<"$output"; then
  echo "no word of: $words" >&2
  exit 1
fi
