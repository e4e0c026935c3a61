"""One version, in one place; what repeats it agrees."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from datetime import date

import pytest
import yaml
from packaging.version import Version

import ovss

PEOPLE = {"name", "family-names", "given-names", "alias", "affiliation", "orcid", "email"}
FIELDS = {"cff-version", "message", "title", "authors", "type", "license", "version",
          "date-released", "keywords", "references", "abstract", "repository-code", "url", "doi",
          "identifiers", "preferred-citation", "contact"}  # fmt: skip
"""Fields of a citation file of format 1.2.0 that are used or may be."""


@pytest.fixture(scope="module")
def citation(repo_root) -> dict:
    return yaml.safe_load((repo_root / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_version_is_read_from_the_package(repo_root):
    parser = configparser.ConfigParser()
    parser.read(repo_root / "setup.cfg")
    assert parser["metadata"]["version"] == "attr: ovss.__version__"
    assert str(Version(ovss.__version__)) == ovss.__version__


def test_the_changelog_begins_with_the_version_and_its_date(repo_root, citation):
    text = (repo_root / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (.+)$", text, re.M)
    released = [head for head in heads if head != "Unreleased"]
    version, day = re.fullmatch(r"(\S+) - (\d{4}-\d\d-\d\d)", released[0]).groups()
    assert version == ovss.__version__
    assert citation["date-released"] == date.fromisoformat(day)
    assert "Unreleased" not in heads[1:]


def test_pages_name_the_wheel_of_this_version(repo_root):
    text = (repo_root / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"ovss-(\d[\w.]*)-py3", text)) == {ovss.__version__}


def test_the_command_prints_the_version():
    command = [sys.executable, "-m", "ovss", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split()[:2] == ["ovss", ovss.__version__]


def test_the_citation_follows_its_format(citation):
    """What the schema of format 1.2.0 asks for, without its package."""
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys() <= FIELDS
    assert citation["type"] in ("software", "dataset")
    assert citation["version"] == ovss.__version__
    assert citation["license"] == "Apache-2.0"
    for entry in (citation, *citation["references"]):
        assert entry["authors"]
        assert entry["title"]
        for author in entry["authors"]:
            assert author.keys() & {"name", "family-names"}
            assert author.keys() <= PEOPLE
    for reference in citation["references"]:
        assert reference["type"]
        assert isinstance(reference["year"], int)
