"""`make demo`: a photo through a shipped workflow and a real ComfyUI, to files in output/."""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..models.commands.report import Row, print_table, report, write_json
from .client import Client, Event, Outcome, PromptFailed
from .server import ROOT, Server, ServerFailed, running

if TYPE_CHECKING:
    from PIL import Image

GRAPHS = ROOT / "workflows" / "api"
DEFAULT = "portrait_to_3d"
COMPARED = 8  # frames of a comparison that are kept, evenly spread
FIGURE = re.compile(
    r"(?<!\S)(\d+(?:\.\d+)?) ([a-zA-Z][^\d,;\n]*)"
)  # "25.7 dB inside the mask", "41556 faces"
PHOTO = ROOT / "web" / "pictures" / "portrait.png"


class Terminal:
    """One line per node, rewritten while it works (one line per tenth where stdout is no terminal)."""

    def __init__(self, graph: dict) -> None:
        self.titles = {number: node["_meta"]["title"] for number, node in graph.items()}
        self.began = time.monotonic()
        self.node = None
        self.percent = -1
        self.pictures = 0

    def __call__(self, event: Event) -> None:
        if event.picture is not None:
            self.pictures += 1
            return
        if event.node != self.node:
            self.finish()
            self.node = event.node
            self.percent = -1
        percent = int(100 * event.value / event.maximum) if event.maximum else 0
        step = 1 if sys.stdout.isatty() else 25
        if percent // step != self.percent // step or self.percent < 0:
            self.percent = percent
            end = "" if sys.stdout.isatty() else "\n"
            clear = "\r\x1b[K" if sys.stdout.isatty() else ""
            seconds = time.monotonic() - self.began
            print(
                f"{clear}{seconds:6.1f} s  {self.titles.get(event.node, event.node):<18} {percent:3d} %",
                end=end,
                flush=True,
            )

    def finish(self) -> None:
        """End the current line."""
        if self.node is not None and sys.stdout.isatty():
            print(flush=True)


def demo_graph(name: str, photo: str, preset: str, seed: int) -> dict:
    """A shipped graph with a photo of the server's input folder."""
    graph = json.loads((GRAPHS / f"{name}.json").read_text(encoding="utf-8"))
    for node in graph.values():
        if node["class_type"] == "LoadImage":
            node["inputs"]["image"] = photo
        if node["class_type"] == "PortraitDiffusionInvertPortrait":
            node["inputs"] |= {"preset": preset, "seed": seed}
    return graph


def self_contained() -> list[str]:
    """Names of the shipped graphs that run on what ships; the others name files that only their owners have."""
    names = sorted(path.stem for path in GRAPHS.glob("*.json"))
    nodes = {
        name: json.loads((GRAPHS.parent / f"{name}.json").read_text(encoding="utf-8"))["nodes"]
        for name in names
    }
    return [name for name in names if not any("models" in node["properties"] for node in nodes[name])]


def collect(client: Client, graph: dict, outcome: Outcome, out: Path) -> list[Path]:
    """Fetch what the graph's savers wrote.

    Raises:
        PromptFailed: a saver wrote nothing.
    """
    out.mkdir(parents=True, exist_ok=True)
    savers = {
        "SaveGLB": ("3d", "portrait.glb"),
        "SaveVideo": ("images", "turntable.mp4"),
        "SaveImage": ("images", "views.png"),
    }
    paths = []
    for number, node in graph.items():
        if node["class_type"] in savers:
            key, name = savers[node["class_type"]]
            entries = outcome.outputs.get(number, {}).get(key) or outcome.outputs.get(number, {}).get("video")
            if not entries:
                raise PromptFailed(f"{node['class_type']} wrote no file", node=node["class_type"])
            paths.append(out / name)
            paths[-1].write_bytes(client.fetch(entries[0]))
        elif node["class_type"] == "ImageCompare":
            paths.append(out / "before_after.png")
            compared(client, outcome.outputs.get(number, {})).save(paths[-1])
    return paths


def compared(client: Client, pictures: dict) -> Image.Image:
    """A comparison's frames, evenly spread: before above after.

    Raises:
        PromptFailed: there are none.
    """
    from PIL import Image

    rows = []
    for key in ("a_images", "b_images"):
        entries = pictures.get(key) or []
        sample = entries[:: max(1, -(-len(entries) // COMPARED))]
        rows.append(
            [Image.open(io.BytesIO(client.fetch(entry)), formats=["PNG"]).convert("RGB") for entry in sample]
        )
    if not all(rows):
        raise PromptFailed("ImageCompare showed no pictures", node="ImageCompare")
    width, height = rows[0][0].size
    sheet = Image.new("RGB", (width * len(rows[0]), height * len(rows)))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture, (x * width, y * height))
    return sheet


def figures(server: Server, graph: dict, outcome: Outcome, total_s: float) -> list[Row]:
    """Stage times, memory, and the numbers in the nodes' own words."""
    rows = [Row("server start", "time", server.started_s, "s")]
    for number, seconds in outcome.seconds.items():
        rows.append(Row(graph[number]["_meta"]["title"], "time", seconds, "s"))
    rows.append(Row("whole demo", "time", total_s, "s"))
    rows.append(Row("server", "peak memory", server.peak_bytes / 2**30, "GiB"))
    rows.append(Row("previews", "pictures received", len(outcome.previews), ""))
    for number, words in outcome.words().items():
        for value, what in FIGURE.findall(words):
            rows.append(Row(graph[number]["_meta"]["title"], what.strip(), float(value), what.split()[0]))
    return rows


def glb_figures(out: Path) -> list[Row]:
    """The written GLB read back and seen from the front, against the volume-rendered front view in views.png; and its faces."""
    import numpy as np  # these take seconds to import: after the server's work, not before its start
    import torch
    from PIL import Image

    from ..models.camera import frontal
    from ..models.mesh.gltf import from_glb
    from ..models.mesh.rasterize import render_mesh
    from ..models.metrics.image import psnr

    mesh = from_glb((out / "portrait.glb").read_bytes())
    sheet = (
        torch.from_numpy(np.array(Image.open(out / "views.png", formats=["PNG"]).convert("RGB"))).movedim(
            -1, 0
        )
        / 255
    )
    size = sheet.shape[1] // 2  # colours above normals, the front first
    view = render_mesh(mesh, frontal(), size, supersampling=2).rgb
    return [
        Row("GLB read back", "PSNR, front", psnr(view, sheet[:, :size, :size]), "dB"),
        Row("GLB read back", "faces", len(mesh.faces), ""),
    ]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The demo's few options."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--photo", type=Path, default=PHOTO)
    parser.add_argument("--workflow", choices=self_contained(), default=DEFAULT)
    parser.add_argument("--out", type=Path, default=ROOT / "output")
    parser.add_argument("--inversion", choices=["quick", "full"], default="quick")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def demo(options: argparse.Namespace) -> None:
    """Start the server, run the graph, fetch the files, write the report."""
    began = time.monotonic()
    print(f"portrait: {options.photo}\nstarting ComfyUI ...", flush=True)
    with running() as server:
        client = Client(server.url)
        graph = demo_graph(options.workflow, client.upload(options.photo), options.inversion, options.seed)
        terminal = Terminal(graph)
        outcome = client.run(graph, terminal)
        terminal.finish()
        paths = collect(client, graph, outcome, options.out)
        rows = figures(server, graph, outcome, time.monotonic() - began)
    mesh_rows = glb_figures(options.out) if options.workflow == DEFAULT else []
    content = report("demo" if options.workflow == DEFAULT else f"demo {options.workflow}", rows + mesh_rows)
    write_json(content, options.out / "report.json")
    print_table(content)
    for words in outcome.words().values():
        print(f"  {words}")
    print("\n".join(f"wrote {path}" for path in [*paths, options.out / "report.json"]))


def main(arguments: list[str] | None = None) -> int:
    """0 done, 1 the server or a node failed, 2 no such photo, 130 stopped by Ctrl-C."""
    options = parse(arguments)
    if not options.photo.is_file():
        print(f"PHOTO: expected a picture, found no file {options.photo}; pass PHOTO=path", file=sys.stderr)
        return 2
    try:
        demo(options)
    except (PromptFailed, ServerFailed) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
