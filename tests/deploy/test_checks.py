"""What checks a change: the workflow on a server, and the hooks before a commit, do what `make` does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

from tests.support.processes import ROOT

WORKFLOW = ROOT / ".github/workflows/ci.yml"
BIN = Path(sys.executable).parent


def test_the_workflow_is_one_that_github_takes_and_runs_all_there_is() -> None:
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    told = re.fullmatch(
        r"\.ci/run \$\{\{ github\.event_name == 'schedule' && '(\w+)' \|\| '(\w+)' }}", job["steps"][-1]["run"]
    )
    assert told and told.groups() == ("long", "test")
    assert re.search(r"^    make test\nelse\n    make \"\$@\"$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert all(re.search(f"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE) for target in told.groups())


def test_the_hooks_before_a_commit_are_those_of_make_lint() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {Path(hook["entry"].split()[0]).name for hook in repository["hooks"]}
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe and hooks == set(re.findall(r"\$\(BIN\)/([\w-]+)", recipe[1]))
