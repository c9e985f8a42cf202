"""Hostile pickles run nothing and are told so in one sentence; cut pickles, too, at every kind of operation."""

import time

import pytest
from portrait_diffusion.models.pickles.files import PickleFile, read_state
from portrait_diffusion.models.prior.families import load_generator

from .assembled import CODES, one_of_each
from .hostile_streams import CASES, MARKER

READERS = {"prior": load_generator, "state": lambda path: read_state(path, "vgg")}
SECONDS = 20.0  # of the processor; a slow one has a tenth of a fast one's


def sentence(read, path) -> str:
    """What a file is told, which is one sentence."""
    with pytest.raises(ValueError) as caught:
        read(path)
    message = str(caught.value)
    assert len(message) < 600 and "\n" not in message and message.isprintable() and ";" in message
    return message


@pytest.mark.parametrize("name", CASES)
def test_it_runs_nothing_and_is_told_so(name, tmp_path, monkeypatch):
    reader, content, words = CASES[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pkl").write_bytes(content)
    begun = time.process_time()
    assert words in sentence(READERS[reader], tmp_path / "a.pkl")
    assert time.process_time() - begun < SECONDS
    assert not (tmp_path / MARKER).exists()


def test_there_are_enough_of_them():
    assert len(CASES) >= 60 and len({content for _, content, _ in CASES.values()}) == len(CASES)


@pytest.mark.parametrize("name", one_of_each())
def test_it_is_damaged_wherever_it_is_cut(name, tmp_path):
    operation = one_of_each()[name]
    for end in range(len(operation)):
        (tmp_path / "a.pkl").write_bytes(operation[: end + 1])
        sentence(lambda path: PickleFile(path, "test"), tmp_path / "a.pkl") if name != "STOP" else None


def test_every_operation_of_python_s_is_known_or_refused():
    from portrait_diffusion.models.pickles.operations import OPERATION, STOP

    assert {code[0] for code in CODES.values()} - {STOP} == set(OPERATION)
