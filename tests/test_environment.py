"""One source for the versions: pyproject.toml says what is needed, requirements.txt pins it, all else uses the pins."""

import re
import tomllib
from itertools import chain

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from xtalsight.study.profiles import root

PROJECT = tomllib.loads((root() / "pyproject.toml").read_text())["project"]
LOCK = (root() / "requirements.txt").read_text() + (root() / "requirements-rivals.txt").read_text()
PINS = [Requirement(re.sub(r"\s*\\$", "", line)) for line in LOCK.splitlines() if re.match(r"\w", line)]
LINUX = {"sys_platform": "linux", "platform_machine": "x86_64", "platform_system": "Linux"}
MAC = {"sys_platform": "darwin", "platform_machine": "arm64", "platform_system": "Darwin"}
ARM = {"sys_platform": "linux", "platform_machine": "aarch64", "platform_system": "Linux"}


def machine(platform, python):
    return platform | {"python_version": python, "python_full_version": f"{python}.0"}


def pins(environment):
    return {p.name: p for p in PINS if p.marker is None or p.marker.evaluate(environment)}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("platform", [LINUX, MAC, ARM], ids=["linux", "mac", "arm"])
def test_the_lock_holds_all_that_the_project_asks_for(platform, python):
    environment = machine(platform, python)
    asked = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
    locked = pins(environment)
    for requirement in map(Requirement, asked):
        own = requirement.name == PROJECT["name"]  # an extra that takes in another
        if not own and (requirement.marker is None or requirement.marker.evaluate(environment)):
            (version,) = locked[requirement.name].specifier
            assert requirement.specifier.contains(version.version), requirement


@pytest.mark.parametrize("platform", [LINUX, MAC, ARM], ids=["linux", "mac", "arm"])
def test_one_tensorflow_only(platform):
    found = {name for name in pins(machine(platform, "3.12")) if re.match(r"tensorflow|tf-", name)}
    assert len(found & {"tensorflow", "tensorflow-cpu", "tf-keras"}) == 1


def test_every_pin_has_a_hash_and_no_address():
    assert len(re.findall(r"^\S+==.*\\\n    --hash=sha256:", LOCK, re.MULTILINE)) == len(PINS)
    assert "://" not in LOCK


def test_conda_gets_the_same_versions():
    conda = yaml.safe_load((root() / "environment.yml").read_text())["dependencies"]
    assert conda[-1] == {"pip": ["-r requirements.txt"]}
    python, *others = conda[:-1]
    assert python == f"python{PROJECT['requires-python']}"
    assert not any(re.search(r"[<>=]", other) for other in others)


def test_the_workflow_of_the_public_repository_asks_for_what_is_there():
    workflow = yaml.safe_load((root() / ".github" / "workflows" / "study.yml").read_text())
    assert workflow["jobs"].keys() == {"tests", "colab", "pages"}
    assert workflow["jobs"]["tests"]["strategy"]["matrix"]["python"] == _supported()
    commands = " ".join(step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"])
    phony = re.search(r"^\.PHONY: (.+)$", (root() / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert set(re.findall(r"\bmake ([\w-]+)", commands)) <= set(phony)
    for file in re.findall(r"(?:--requirement|sh) (\S+)", commands):
        assert (root() / file).exists()


def test_colab_has_no_older_packages_than_the_study_needs():
    colab = {r.name: r for r in map(Requirement, _lines(root() / ".github" / "colab.txt"))}
    asked = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["training"]]
    for requirement in map(Requirement, asked):
        if requirement.name in colab:
            pinned = re.search(r"==([\d.]+)", str(colab[requirement.name].specifier))[1].rstrip(".")
            assert requirement.specifier.contains(pinned), requirement


def _supported():
    return [f"3.{minor}" for minor in range(8, 20) if f"3.{minor}" in SpecifierSet(PROJECT["requires-python"])]


def _lines(path):
    return [line for line in path.read_text().splitlines() if line and line[0] != "#"]
