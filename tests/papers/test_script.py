"""The one script under users' settings: what it prints, what it refuses before it computes, and what it leaves as it was."""

import matplotlib
import matplotlib.pyplot as plt
import pytest
from typer.testing import CliRunner

import paper_repro._run as runs
from ntkng.report import Claim, Report
from paper_repro.__main__ import app
from paper_repro.registry import papers

ONE = ["--paper", "kerekes-2021", "--figure", "A1", "--quick", "--jobs", "1", "--no-cache"]


@pytest.fixture
def computed(monkeypatch):
    done = []

    def run_figure(*arguments):
        done.append(arguments)
        return Report("t", (Claim.holds("a", True, "s"),))

    monkeypatch.setattr(runs, "run_figure", run_figure)
    return done


def call(*arguments, **environment):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


@pytest.mark.parametrize("columns", ["20", "80"])
@pytest.mark.parametrize("name", ["plain", "runs [quick]", "a[/b]c", "[red]é :smile:"])
def test_the_last_line_names_the_folder(computed, tmp_path, name, columns):
    result = call(*ONE, "--out", tmp_path / name, COLUMNS=columns)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == f"1 claims, 0 not passed; see {tmp_path / name / 'report.md'}"
    assert (tmp_path / name / "report.json").exists()


@pytest.mark.parametrize(
    ("out", "blocked", "said"),
    [
        ("file", "file", "is a file"),
        ("file/below/it", "file", "is a file"),
        ("out", "out/kerekes-2021", "is a file"),
        ("out", "out/report.md/", "it is a folder"),
        ("out", "out/kerekes-2021/A1.csv/", "it is a folder"),
        ("z" * 300, None, "name too long"),
    ],
)
def test_what_cannot_be_written_is_refused_first(computed, tmp_path, out, blocked, said):
    if blocked is not None:
        place = tmp_path / blocked
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir() if blocked.endswith("/") else place.write_text("")
    result = call(*ONE, "--out", tmp_path / out)
    assert result.exit_code == 2
    assert not computed
    last = result.output.strip().splitlines()[-1].lower()
    assert "cannot write" in last
    assert said in last
    assert isinstance(result.exception, SystemExit)


def test_a_gallery_and_unknown_figures_are_refused_first(computed, tmp_path):
    (tmp_path / "file").write_text("")
    assert "is a file" in call(*ONE, "--out", tmp_path / "a", "--gallery", tmp_path / "file").output
    assert "no figure is called nosuch" in call(*ONE, "--figure", "nosuch", "--out", tmp_path / "a").output
    assert not computed


@pytest.mark.parametrize("columns", ["20", "200"])
def test_the_list_has_a_line_a_figure(columns):
    lines = call("--list", COLUMNS=columns).output.strip().splitlines()
    assert len(lines) == sum(len(paper.figures) for paper in papers().values())


class Plot:
    key = "a"

    @staticmethod
    def draw(study):
        figure, axes = plt.subplots()
        axes.set_title(r"$\alpha$")
        axes.plot([1, 2], label="a")
        axes.legend()
        return figure


class Broken(Plot):
    @staticmethod
    def draw(study):
        plt.subplots()
        raise RuntimeError


USERS = {
    "font.size": 30, "text.usetex": True, "axes.grid": True, "font.family": ["serif"], "savefig.bbox": "tight",
    "path.sketch": (1, 100, 2), "mathtext.fontset": "cm", "figure.figsize": (2, 2), "savefig.transparent": True,
}  # fmt: skip


def test_the_users_matplotlib_stays_and_does_not_leak_in(tmp_path, monkeypatch):
    def picture(name):
        (tmp_path / name).mkdir()
        runs.draw(Plot, None, tmp_path / name, ("png",))
        return (tmp_path / name / "a.png").read_bytes()

    plain = picture("plain")
    window = object()  # a backend with windows, which may neither be used nor lost
    monkeypatch.setattr(plt, "_backend_mod", window)
    with matplotlib.rc_context(USERS):
        before = dict(matplotlib.rcParams.copy())  # which does not look for a backend
        assert picture("users") == plain
        with pytest.raises(RuntimeError):
            runs.draw(Broken, None, tmp_path, ("png",))
        assert dict(matplotlib.rcParams.copy()) == before
    assert plt._backend_mod is window
    assert plt.get_fignums() == []
