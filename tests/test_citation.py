import re

import pytest

from ntkng.citation import REFERENCES, citation
from ntkng.fisher import KFAC, Fisher


def subclasses(cls):
    return {cls}.union(*(subclasses(sub) for sub in cls.__subclasses__()))


def test_cites_exactly_what_was_used_once():
    text = citation(KFAC, "novak-2020", KFAC())
    assert re.findall(r"@\w+\{([\w-]+),", text) == [*KFAC.reference, "novak-2020"]
    assert "ntkng" in citation()


@pytest.mark.parametrize("key", REFERENCES)
def test_entries_are_well_formed(key):
    entry = REFERENCES[key]
    assert re.match(rf"@\w+\{{{key},\n", entry)
    assert entry.count("{") == entry.count("}")
    assert {"title", "author", "year"} <= set(re.findall(r"^  (\w+) +=", entry, flags=re.MULTILINE))


def test_every_fisher_and_paper_can_be_cited():
    from paper_repro.registry import papers

    for cls in subclasses(Fisher):
        assert citation(cls)
    for paper in papers().values():  # some are no papers of their own, and cite another one or none
        for key in re.findall(r"@\w+\{([\w-]+),", paper.bibtex):
            assert citation(key)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="choose from"):
        citation("nobody-1900")
    with pytest.raises(TypeError, match="reference"):
        citation(3)

    class Odd:
        reference = "martens-2020"  # a string, whose letters must not become keys

    with pytest.raises(TypeError, match="tuple"):
        citation(Odd)
