"""Workflow files run the steps of .ci/run on every supported Python, with few rights."""

from __future__ import annotations

import configparser
import re
import subprocess

import pytest
import yaml

STEPS = {"lint", "slow", "tests", "docs", "release"}


@pytest.fixture(scope="module")
def workflows(repo_root) -> dict[str, dict]:
    folder = repo_root / ".github" / "workflows"
    return {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in folder.glob("*.yml")}


@pytest.fixture(scope="module")
def supported(repo_root) -> list[str]:
    """Versions of Python that setup.cfg names."""
    parser = configparser.ConfigParser()
    parser.read(repo_root / "setup.cfg")
    classifiers = parser["metadata"]["classifiers"]
    versions = re.findall(r"Python :: (3\.\d+)$", classifiers, re.M)
    assert parser["options"]["python_requires"] == f">={versions[0]}"
    return versions


def steps(workflow: dict) -> list[tuple[str, dict]]:
    return [(name, step) for name, job in workflow["jobs"].items() for step in job["steps"]]


def test_all_versions_are_tested(workflows, supported, repo_root):
    for job in ("tests", "release"):
        assert workflows["checks"]["jobs"][job]["strategy"]["matrix"]["python"] == supported
    used = {step["with"]["python-version"] for workflow in workflows.values()
            for _, step in steps(workflow) if "python-version" in step.get("with", {})}  # fmt: skip
    assert used <= {*supported, "${{ matrix.python }}"}
    pyproject = (repo_root / "pyproject.toml").read_text("utf-8")
    assert f'target-version = "py{supported[0].replace(".", "")}"' in pyproject
    assert f'python_version = "{supported[0]}"' in pyproject


def test_actions_are_pinned_to_a_commit(workflows, repo_root):
    used = [step["uses"] for workflow in workflows.values()
            for _, step in steps(workflow) if "uses" in step]  # fmt: skip
    assert used
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", each) for each in used)
    for path in (repo_root / ".github" / "workflows").glob("*.yml"):
        for line in path.read_text("utf-8").splitlines():
            assert "uses:" not in line or re.search(r"# v\d+\.\d+\.\d+$", line), line


def test_rights_are_least_and_no_secret_is_read(workflows, repo_root):
    for workflow in workflows.values():
        assert workflow["permissions"] == {"contents": "read"}
        assert "cancel-in-progress" in workflow["concurrency"]
        assert all("timeout-minutes" in job for job in workflow["jobs"].values())
    own = {name: job["permissions"] for workflow in workflows.values()
           for name, job in workflow["jobs"].items() if "permissions" in job}  # fmt: skip
    assert own == {"publish": {"id-token": "write"}}
    for path in (repo_root / ".github" / "workflows").glob("*.yml"):
        assert "secrets." not in path.read_text("utf-8")
    for _, step in steps(workflows["checks"]) + steps(workflows["publish"]):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_only_a_tag_publishes(workflows):
    # YAML reads the key `on` as true
    assert workflows["publish"][True] == {"push": {"tags": ["v*"]}}
    assert workflows["publish"]["jobs"]["publish"]["needs"] == "build"
    assert set(workflows["checks"][True]) == {"push", "pull_request"}


def test_workflows_call_the_steps_of_ci(workflows, repo_root):
    calls = [step["run"] for workflow in workflows.values()
             for _, step in steps(workflow) if ".ci/run" in step.get("run", "")]  # fmt: skip
    assert {call.split()[1] for call in calls} == STEPS
    script = (repo_root / ".ci" / "run").read_text("utf-8")
    assert set(re.findall(r"^        (\w+)\) ", script, re.M)) == STEPS
    assert "${*:-lint slow tests}" in script
    targets = set(re.findall(r"^([\w-]+):", (repo_root / "Makefile").read_text("utf-8"), re.M))
    assert set(re.findall(r"make ([\w-]+)", script)) - {"it"} <= targets


def test_an_unknown_step_is_refused(repo_root, tmp_path):
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text((repo_root / ".ci" / "run").read_text("utf-8"))
    (tmp_path / "Makefile").write_text("setup lint:\n\t@echo made $@\n")
    for step, status in (("lint", 0), ("nothing", 1)):
        done = subprocess.run(
            ["sh", str(tmp_path / ".ci" / "run"), step], capture_output=True, text=True
        )
        assert done.returncode == status, done.stderr


def test_the_container_is_built_from_what_the_wheel_needs(repo_root):
    """Read only: docker is not needed."""
    text = (repo_root / "Dockerfile").read_text("utf-8")
    assert re.search(r"^USER ovss$", text, re.M)
    assert "HEALTHCHECK" in text
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", text, re.M))
    assert stages == {"wheel", "base-cpu", "base-cuda"}
    kept = {line[1:] for line in (repo_root / ".dockerignore").read_text("utf-8").splitlines()
            if line.startswith("!")}  # fmt: skip
    assert {"ovss", "plugins", "configs", "setup.cfg", "README.md", "constraints.txt"} <= kept
    assert all((repo_root / name).exists() for name in kept)
    copied = set(re.findall(r"^COPY (\S+) ", text, re.M)) - {"."}
    assert copied <= kept
