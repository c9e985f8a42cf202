"""The fuzzing of fuzz.py, for a few seconds."""

import codecs
import sys

import pytest

from . import fuzz
from .hostile_streams import CASES, MARKER


@pytest.fixture(scope="module", autouse=True)
def hook():
    for codec in ("raw-unicode-escape", "cp437"):  # cp437: names in ZIP files
        codecs.lookup(codec)  # Python loads its module when it is first asked for
    sys.addaudithook(fuzz.watch)  # it stays, but listens only while a file is read


def test_chance_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = fuzz.good_files(tmp_path) + [content for _, content, _ in CASES.values() if len(content) < 20_000]
    for content in files[:20]:
        fuzz.read(tmp_path / "a.pkl", content)
    count, sentences = fuzz.fuzz(tmp_path, files, 1000, 5.0)
    print(f"{count} files, {len(sentences)} kinds of answers")
    assert count > 20 and len(sentences) > 10 and not (tmp_path / MARKER).exists()


def test_the_watch_sees_what_it_should():
    fuzz.watching.append(True)
    compile("1", "a", "eval")
    fuzz.watching.clear()
    assert fuzz.watched and fuzz.watched[0].startswith("compile")
    fuzz.watched.clear()
