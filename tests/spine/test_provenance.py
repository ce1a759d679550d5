"""Provenance names ntkng's own commit, and nobody else's."""

import shutil
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import ntkng.provenance as own
from ntkng.provenance import commit, provenance

PYPROJECT = '[project]\nname = "{}"\nversion = "0"\n'


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "the user's")
    return tmp_path


def place(folder, monkeypatch):
    """ntkng's file at another place."""
    folder.mkdir(parents=True)
    shutil.copy(Path(own.__file__), folder / "provenance.py")
    monkeypatch.setattr(own, "__file__", str(folder / "provenance.py"))


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("where", [".venv/lib/python3/site-packages/ntkng", "ntkng", "vendor/ntkng"])
def test_the_repository_around_it_is_not_named(repository, monkeypatch, where, tracked):
    place(repository / where, monkeypatch)
    (repository / "pyproject.toml").write_text(PYPROJECT.format("users-own"))
    if tracked:
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "-m", "vendored")
    assert commit().startswith("version ")


def test_its_own_checkout_is_named(repository, monkeypatch):
    place(repository / "ntkng", monkeypatch)
    (repository / "pyproject.toml").write_text(PYPROJECT.format("ntkng"))
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "ours")
    head = git(repository, "rev-parse", "HEAD")
    assert commit() == head[:12]
    (repository / "ntkng" / "provenance.py").write_text("changed")
    assert commit() == head[:12] + "+"


def test_variables_of_git_hooks_are_not_followed(repository, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repository))
    users = git(repository, "rev-parse", "HEAD")[:12]
    assert users not in commit()
    monkeypatch.setattr(own, "__file__", str(tmp_path_factory.mktemp("a") / "archive.zip" / "ntkng" / "provenance.py"))
    assert commit().startswith("version ")


def test_an_embedded_interpreter_has_no_arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", [])
    assert provenance()["argv"] == []
    monkeypatch.delattr(sys, "argv")
    assert provenance()["argv"] == []


def test_the_device_is_the_one_that_computes():
    device = jax.devices("cpu")[-1]
    with jax.default_device(device):
        assert provenance()["device"] == f"{device.platform}: {device.device_kind}"
