"""What `make demo` asks for, fetches and reports, without a server."""

import io
import json
from types import SimpleNamespace

import pytest
from PIL import Image
from portrait_diffusion.workflows import demo, screenshot
from portrait_diffusion.workflows.client import Event, Outcome, PromptFailed

GRAPH = json.loads((demo.GRAPHS / "portrait_to_3d.json").read_text(encoding="utf-8"))


def number(name: str) -> str:
    return next(key for key, node in GRAPH.items() if node["class_type"] == name)


def test_the_graph_takes_photo_preset_and_seed():
    graph = demo.demo_graph("portrait_to_3d", "me.png", "full", 7)
    inversion = graph[number("PortraitDiffusionInvertPortrait")]["inputs"]
    assert graph[number("LoadImage")]["inputs"]["image"] == "me.png" and (
        inversion["preset"],
        inversion["seed"],
    ) == ("full", 7)
    assert graph.keys() == GRAPH.keys()


def test_graphs_that_need_files_of_others_are_not_offered(capsys):
    assert demo.self_contained() == [
        "new_views",
        "portrait_diffusion",
        "portrait_to_3d",
        "rodin_avatar",
        "turbo_portrait",
        "views_to_head",
    ]
    with pytest.raises(SystemExit):
        demo.parse(["--workflow", "portrait_panohead"])
    assert "invalid choice: 'portrait_panohead'" in capsys.readouterr().err


def test_files_get_their_names(tmp_path):
    entry = {"filename": "a", "subfolder": "", "type": "output"}
    savers = {"SaveGLB": "3d", "SaveVideo": "images", "SaveImage": "images"}
    outcome = Outcome({number(name): {key: [entry | {"filename": name}]} for name, key in savers.items()})
    client = SimpleNamespace(fetch=lambda asked: asked["filename"].encode())
    paths = demo.collect(client, GRAPH, outcome, tmp_path / "deep" / "out")
    assert {path.name: path.read_text() for path in paths} == {
        "portrait.glb": "SaveGLB",
        "turntable.mp4": "SaveVideo",
        "views.png": "SaveImage",
    }
    del outcome.outputs[number("SaveVideo")]
    with pytest.raises(PromptFailed, match="SaveVideo wrote no file"):
        demo.collect(client, GRAPH, outcome, tmp_path)


def test_a_comparison_becomes_one_sheet(tmp_path):
    def fetch(entry: dict) -> bytes:
        data = io.BytesIO()
        Image.new("RGB", (4, 6), (entry["n"], 0, 200 if entry["after"] else 0)).save(data, "PNG")
        return data.getvalue()

    shown = {f"{key}_images": [{"n": n, "after": key == "b"} for n in range(48)] for key in "ab"}
    sheet = demo.compared(SimpleNamespace(fetch=fetch), shown)
    assert (
        sheet.size == (32, 12)
        and sheet.getpixel((5, 1)) == (6, 0, 0)
        and sheet.getpixel((31, 11)) == (42, 0, 200)
    )
    with pytest.raises(PromptFailed, match="no pictures"):
        demo.compared(SimpleNamespace(fetch=fetch), {"a_images": shown["a_images"]})


def test_the_report_holds_times_memory_and_the_nodes_own_numbers():
    server = SimpleNamespace(started_s=13.0, peak_bytes=2**30)
    inversion, mesh = number("PortraitDiffusionInvertPortrait"), number("PortraitDiffusionHeadToMesh")
    outputs = {
        inversion: {"text": ["portrait's own view: 25.7 dB inside the mask"]},
        mesh: {"text": ["41556 faces, 22819 vertices, 512 pixel texture"]},
        number("PortraitDiffusionSaveHead"): {"text": ["saved head_00001_.safetensors"]},
    }
    rows = demo.figures(server, GRAPH, Outcome(outputs, {inversion: 60.0}), 100.0)
    found = {(row.row, row.metric): row.value for row in rows}
    title = {key: GRAPH[key]["_meta"]["title"] for key in (inversion, mesh)}
    assert (
        found[("whole demo", "time")] == 100
        and found[("server", "peak memory")] == 1
        and found[(title[inversion], "time")] == 60
    )
    assert found[(title[inversion], "dB inside the mask")] == 25.7
    assert (found[(title[mesh], "faces")], found[(title[mesh], "pixel texture")]) == (41556, 512)


def test_the_terminal_shows_each_node_and_its_progress(capsys):
    terminal = demo.Terminal(GRAPH)
    node = number("PortraitDiffusionInvertPortrait")
    for value in range(101):
        terminal(Event(node, value, 100))
        terminal(Event(node, 0, 0, b"picture"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and all(GRAPH[node]["_meta"]["title"] in line for line in lines)
    assert [line.split()[-2] for line in lines] == ["0", "25", "50", "75", "100"] and terminal.pictures == 101


def test_a_photo_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert demo.main(["--photo", str(tmp_path / "none.png")]) == 2
    assert "PHOTO: expected a picture, found no file" in capsys.readouterr().err


def test_a_missing_browser_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setenv("CHROMIUM", "no-such-browser")
    assert screenshot.main([]) == 1
    assert "expected a Chromium browser, found none (CHROMIUM=no-such-browser)" in capsys.readouterr().err
