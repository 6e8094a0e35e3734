#!/usr/bin/python3
"""Runs the commands of results/ci/*.yml, with the real gate, in a small git repository.

The checkout's ./bazelw is a stub: `build` succeeds, and `run //results:gate -- FLAGS` becomes the gate that was built, on
two synthetic programs instead of two revisions. What the pipelines promise is then checked: the files come out, the
summary holds the Markdown, the exit code is the right one for each way the gate can end.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import yaml

RESULTS = pathlib.Path("results").resolve()

STUB = """#!/bin/bash
set -u
echo "$*" >>"$STUB_LOG"
case $1 in
  build) exit "${STUB_BUILD:-0}" ;;
  run) [ "$2 $3" = "//results:gate --" ] || exit 99 ;;
  *) exit 99 ;;
esac
shift 3
flags=()
for flag in "$@"; do
  case $flag in
    --base=* | --head=*)
      # What the pipeline names must be a revision of this checkout.
      git rev-parse --verify --quiet "${flag#*=}^{commit}" >/dev/null || exit 2 ;;
    --budget=*) ;;
    *) flags+=("$flag") ;;
  esac
done
exec "$STUB_GATE" --base_binary="$STUB_BASE" --head_binary="$STUB_HEAD" --seed=1 --budget=10m --dead_band=50% \\
  --slowdown=200% --slice=10ms --max_pairs=20 --filter='^Chain/(200|400)$' "${flags[@]}"
"""


class Pipelines(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR")))
        self.addCleanup(shutil.rmtree, self.folder)
        self.checkout = self.folder / "checkout"
        self.checkout.mkdir()
        self.log = self.folder / "log"
        self.summary = self.folder / "summary"
        self.environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "STUB_LOG": str(self.log),
            "STUB_GATE": str(RESULTS / "gate"),
            "STUB_BASE": str(RESULTS / "synthetic_benchmark"),
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }
        bazelw = self.checkout / "bazelw"
        bazelw.write_text(STUB)
        bazelw.chmod(0o755)
        self.git("init", "-q", ".")
        self.git("add", ".")
        self.git("-c", "user.name=n", "-c", "user.email=a@b", "commit", "-qm", "one")
        self.base = self.git("rev-parse", "HEAD")
        self.git("-c", "user.name=n", "-c", "user.email=a@b", "commit", "-qm", "two", "--allow-empty")

    def git(self, *arguments):
        return subprocess.run(["git", *arguments], cwd=self.checkout, env=self.environment, check=True,
                              capture_output=True, text=True).stdout.strip()

    def program(self, slow):
        path = self.folder / "head"
        flags = "--slowdown=400" if slow else ""
        path.write_text(f"#!/bin/sh\nexec {RESULTS}/synthetic_benchmark {flags} \"$@\"\n")
        path.chmod(0o755)
        return str(path)

    def shell(self, options, script, **environment):
        """As the service runs a step: bash with its options, in the checkout."""
        done = subprocess.run(["bash", *options, "-c", script], cwd=self.checkout,
                              env={**self.environment, **environment}, capture_output=True, text=True)
        print(done.stdout, done.stderr)
        return done.returncode, done.stdout

    def github(self, **environment):
        job = yaml.safe_load((RESULTS / "ci/github-actions.yml").read_text())["jobs"]["gate"]
        code, output = 0, ""
        for step in job["steps"]:
            if "bazelw" not in step.get("run", "") or code != 0:
                continue
            # `shell: bash` is documented as `bash --noprofile --norc -eo pipefail {0}`.
            self.assertEqual(step["shell"], "bash")
            env = {name: value.replace("${{ github.event.pull_request.base.sha }}", self.base)
                   for name, value in step.get("env", {}).items()}
            code, output = self.shell(["-eo", "pipefail"], step["run"], **env, **environment)
        return code, output

    def gitlab(self, **environment):
        job = yaml.safe_load((RESULTS / "ci/gitlab-ci.yml").read_text())["performance"]
        # The runner joins the lines into one script and stops at the first that fails.
        code, _ = self.shell(["-eo", "pipefail"], "\n".join(job["script"]), CI_MERGE_REQUEST_DIFF_BASE_SHA=self.base,
                             **environment)
        return code, job

    def check_files(self, verdict, failures):
        gate = self.checkout / "gate"
        self.assertEqual(json.loads((gate / "gate.json").read_text())["verdict"], verdict)
        suite = xml.etree.ElementTree.parse(gate / "gate.xml").getroot()
        self.assertEqual(len(list(suite.iter("testcase"))), 2)
        self.assertEqual(len(list(suite.iter("failure"))), failures)
        self.assertIn(verdict, (gate / "gate.md").read_text())
        self.assertIn(f"--base={self.base} --head=HEAD", self.log.read_text())

    def test_github_fails_on_a_regression_and_shows_it(self):
        code, output = self.github(STUB_HEAD=self.program(slow=True))
        self.assertEqual(code, 1)
        self.check_files("FAIL", 2)
        self.assertEqual(self.summary.read_text(), (self.checkout / "gate/gate.md").read_text())
        self.assertIn("::error::", output)

    def test_github_passes_what_did_not_change(self):
        code, output = self.github(STUB_HEAD=self.program(slow=False))
        self.assertEqual(code, 0)
        self.assertNotIn("::", output)
        self.assertIn("Chain/", self.summary.read_text())

    def test_github_warns_when_nothing_was_measured(self):
        code, output = self.github(STUB_HEAD="/nonexistent")
        self.assertEqual(code, 0)
        self.assertIn("::warning::the gate reached no verdict (exit code 2)", output)

    def test_github_a_build_that_fails_fails_the_build_step(self):
        code, _ = self.github(STUB_HEAD="/nonexistent", STUB_BUILD="1")
        self.assertEqual(code, 1)
        self.assertNotIn("run //results:gate", self.log.read_text())

    def test_gitlab_hands_the_exit_code_on(self):
        code, job = self.gitlab(STUB_HEAD=self.program(slow=True))
        self.assertEqual(code, 1)
        self.check_files("FAIL", 2)
        allowed = job["allow_failure"]["exit_codes"]
        self.assertNotIn(code, allowed)
        self.assertEqual(self.gitlab(STUB_HEAD=self.program(slow=False))[0], 0)
        for broken in ({"STUB_HEAD": "/nonexistent"}, {"STUB_HEAD": "", "STUB_BUILD": "1"}):
            code, _ = self.gitlab(**broken)
            self.assertEqual(code, 2)
            self.assertIn(code, allowed)

    def test_what_the_services_are_told(self):
        text = (RESULTS / "ci/github-actions.yml").read_text()
        # YAML 1.1 reads the key `on` as true.
        self.assertEqual(yaml.safe_load(text)[True], "pull_request")
        steps = yaml.safe_load(text)["jobs"]["gate"]["steps"]
        upload = [step for step in steps if "upload-artifact" in step.get("uses", "")]
        self.assertEqual((upload[0]["if"], upload[0]["with"]["path"]), ("always()", "gate/"))
        checkout = [step for step in steps if "checkout" in step.get("uses", "")]
        self.assertEqual(checkout[0]["with"]["fetch-depth"], 0)
        job = yaml.safe_load((RESULTS / "ci/gitlab-ci.yml").read_text())["performance"]
        self.assertEqual(job["variables"]["GIT_DEPTH"], "0")
        self.assertIn("merge_request_event", job["rules"][0]["if"])
        self.assertEqual((job["artifacts"]["when"], job["artifacts"]["reports"]["junit"]), ("always", "gate/gate.xml"))

    @unittest.skipUnless(shutil.which("shellcheck"), "shellcheck is not installed (third_party/packages-lint.txt)")
    def test_the_steps_are_clean_for_shellcheck(self):
        steps = yaml.safe_load((RESULTS / "ci/github-actions.yml").read_text())["jobs"]["gate"]["steps"]
        job = yaml.safe_load((RESULTS / "ci/gitlab-ci.yml").read_text())["performance"]
        scripts = [step["run"] for step in steps if "run" in step]
        scripts += ["\n".join(job["before_script"]), "\n".join(job["script"])]
        for script in scripts:
            done = subprocess.run(["shellcheck", "--shell=bash", "-"], input=script, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
