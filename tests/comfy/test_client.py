"""workflows/client.py against core's own nodes: files go up and down, and every failure is one sentence."""

import io

import pytest
from PIL import Image
from portrait_diffusion.workflows.client import Client, PromptFailed
from portrait_diffusion.workflows.server import free_port

from .graphs import chain


def flat(size: int = 16, color: int = 0xFF0000) -> dict:
    """A picture of one colour, saved."""
    empty = {"width": size, "height": size, "batch_size": 2, "color": color}
    return chain(("EmptyImage", empty), ("SaveImage", {"images": "@1", "filename_prefix": "flat/red"}))


def test_a_prompt_s_files_come_back(client):
    outcome = client.run(flat())
    entries = outcome.files("images")
    assert len(entries) == 2 and {entry["subfolder"] for entry in entries} == {"flat"}
    image = Image.open(io.BytesIO(client.fetch(entries[0]))).convert("RGB")
    assert image.size == (16, 16) and image.getpixel((3, 3)) == (255, 0, 0)


def test_every_start_is_told_and_timed(client):
    seen = []
    outcome = client.run(flat(size=17), seen.append)
    assert [event.node for event in seen if event.maximum == 0] == ["1", "2"]
    assert set(outcome.seconds) == {"1", "2"} and min(outcome.seconds.values()) >= 0


@pytest.mark.parametrize("name", ["plain.png", "Jörg und 李.png", 'with "quotes" and \\ more.png'])
def test_a_photo_of_any_name_arrives(client, tmp_path, name):
    path = tmp_path / "photo.png"
    Image.new("RGB", (8, 8), (0, 255, 0)).save(path)
    there = client.upload(path, name)
    outcome = client.run(chain(("LoadImage", {"image": there}), ("PreviewImage", {"images": "@1"})))
    assert Image.open(io.BytesIO(client.fetch(outcome.files("images")[0]))).convert("RGB").getpixel(
        (1, 1)
    ) == (0, 255, 0)


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (
            chain(
                ("EmptyImage", {"width": 0, "height": 8, "batch_size": 1, "color": 0}),
                ("PreviewImage", {"images": "@1"}),
            ),
            "EmptyImage 1: .*smaller than min",
        ),
        (chain(("PreviewImage", {})), "PreviewImage 1: .*missing"),
        (chain(("NoSuchNode", {}), ("PreviewImage", {"images": "@1"})), "NoSuchNode"),
        (chain(("EmptyImage", {"width": 8, "height": 8, "batch_size": 1, "color": 0})), "no outputs"),
        ({}, "."),
    ],
)
def test_a_refused_prompt_names_the_node_and_the_reason(client, graph, words):
    with pytest.raises(PromptFailed, match=words):
        client.run(graph)
    assert client.run(flat()).files("images")


def test_a_prompt_that_is_valid_in_part_fails_as_a_whole(client):
    graph = {**flat(), "9": {"class_type": "PreviewImage", "inputs": {}, "_meta": {"title": "bad"}}}
    with pytest.raises(PromptFailed, match="PreviewImage 9"):
        client.run(graph)


def test_a_failing_node_speaks(client, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    name = client.upload(tmp_path / "broken.png")
    with pytest.raises(PromptFailed, match="^LoadImage: ") as caught:
        client.run(chain(("LoadImage", {"image": name}), ("PreviewImage", {"images": "@1"})))
    assert caught.value.node == "LoadImage" and not caught.value.interrupted


def test_nobody_there_is_one_sentence(tmp_path):
    client = Client(f"http://127.0.0.1:{free_port()}")
    (tmp_path / "a.png").touch()
    for call in (
        lambda: client.get("/history"),
        lambda: client.upload(tmp_path / "a.png"),
        lambda: client.run(flat()),
        client.interrupt,
    ):
        with pytest.raises(PromptFailed, match="does not answer"):
            call()


def test_a_file_that_is_not_there_is_one_sentence(client):
    with pytest.raises(PromptFailed, match="404"):
        client.fetch({"filename": "none.png", "subfolder": "", "type": "output"})
