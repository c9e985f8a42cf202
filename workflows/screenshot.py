"""`make screenshot`: the shipped workflow in ComfyUI's own page, in a real browser, to output/screenshot.png."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .client import Client, PromptFailed
from .server import ROOT, ServerFailed, running

if TYPE_CHECKING:
    from playwright.sync_api import ViewportSize

WORKFLOW = ROOT / "workflows" / "portrait_to_3d.json"
PHOTO = ROOT / "web" / "pictures" / "portrait.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",  # WebGL without a GPU: the 3D viewer needs it
)
SIZE: ViewportSize = {"width": 2200, "height": 1240}
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.EnableTooltips": False, "Comfy.Minimap.Visible": False}
SMALL = {  # widget values of a run that only has to show that every node works
    "PortraitDiffusionInvertPortrait": {"latent_steps": 2, "tuning_steps": 2},
    "PortraitDiffusionCameraOrbit": {"size": 64},
    "PortraitDiffusionHeadToMesh": {"resolution": 96},
    "PortraitDiffusionTurntable": {"frames": 8},
}
READY = """() => window.app?.graph && window.LiteGraph
    && Object.keys(LiteGraph.registered_node_types).some(type => type.startsWith('PortraitDiffusion'))"""
LOADED = "() => !document.body.innerText.includes('Loading 3D')"
LOAD = """async ([workflow, name]) => {
    await app.loadGraphData(workflow, true, true, name);
    return app.graph.nodes.length;
}"""
FAULTS = """() => {
    const unknown = app.graph.nodes.filter(node => !LiteGraph.registered_node_types[node.type]).map(node => `unknown node ${node.type}`);
    const red = app.graph.nodes.filter(node => node.has_errors).map(node => `error on node ${node.title}`);
    const dialogs = [...document.querySelectorAll('[role=dialog], .p-dialog')].filter(box => box.offsetParent !== null);
    const words = document.body.innerText.match(/Missing (node|model)[^\\n]*/g) ?? [];  // the page's own warning
    return [...unknown, ...red, ...words, ...dialogs.map(box => `dialog: ${box.innerText.slice(0, 200)}`)];
}"""
SET = """(values) => {
    for (const node of app.graph.nodes)
        for (const widget of node.widgets ?? [])
            if (values[node.type]?.[widget.name] !== undefined) widget.value = values[node.type][widget.name];
}"""
FRAME = """() => {
    const boxes = app.graph.groups.map(group => group.boundingRect ?? group._bounding);
    const left = Math.min(...boxes.map(b => b[0])), top = Math.min(...boxes.map(b => b[1]));
    const right = Math.max(...boxes.map(b => b[0] + b[2])), bottom = Math.max(...boxes.map(b => b[1] + b[3]));
    const view = app.canvas.ds, canvas = app.canvas.canvas, margin = 90;  // pixels: the page's own bars
    const wide = canvas.clientWidth - 2 * margin, high = canvas.clientHeight - 2 * margin;
    view.scale = Math.min(wide / (right - left), high / (bottom - top));
    view.offset[0] = (margin + wide / 2) / view.scale - (left + right) / 2;
    view.offset[1] = (margin + high / 2) / view.scale - (top + bottom) / 2;
    app.canvas.setDirty(true, true);
}"""


class PageFailed(RuntimeError):
    """No browser, or the page shows something that it should not."""


def browser_path() -> str:
    """The browser: CHROMIUM, else the first known name on PATH.

    Raises:
        PageFailed: there is none.
    """
    path = os.environ.get("CHROMIUM")
    browser = shutil.which(path) if path else next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        place = f"CHROMIUM={path}" if path else f"{', '.join(BROWSERS)} on PATH"
        raise PageFailed(
            f"screenshot: expected a Chromium browser, found none ({place}); install chromium or set CHROMIUM to its path"
        )
    return browser


@contextlib.contextmanager
def opened(url: str) -> Iterator:
    """The server's page in a browser, ready to load graphs.

    Raises:
        PageFailed: no browser, or the page does not come up.
    """
    path = browser_path()
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            # started with --disable-api-nodes, ComfyUI forbids its page the blob: addresses by which the viewer loads textures
            page = browser.new_page(viewport=SIZE, bypass_csp=True)
            page.set_default_timeout(180_000)
            page.goto(url, wait_until="domcontentloaded")
            page.wait_for_function(READY)
            yield page
        except Error as error:
            raise PageFailed(f"screenshot: the page failed: {error.message.splitlines()[0]}") from error
        finally:
            browser.close()


def load(page, workflow: dict) -> None:
    """Open a UI-format workflow in the page.

    Raises:
        PageFailed: nodes are missing or marked as wrong, or a dialog came up.
    """
    count = page.evaluate(LOAD, [workflow, WORKFLOW.stem])
    page.wait_for_timeout(2000)  # dialogs come with a delay
    faults = page.evaluate(FAULTS)
    if count != len(workflow["nodes"]) or faults:
        what = "; ".join(faults) or "some were dropped"
        raise PageFailed(f"screenshot: expected {len(workflow['nodes'])} good nodes, got {count}; {what}")


def queue(page, client: Client, seconds: float) -> None:
    """Run what is open in the page and wait for it.

    Raises:
        PromptFailed: it failed, or took too long.
    """
    page.evaluate("() => app.queuePrompt(0)")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for entry in client.get("/history").values():
            if entry["status"]["status_str"] != "success":
                errors = [data for kind, data in entry["status"]["messages"] if kind == "execution_error"]
                words = [f"{data['node_type']}: {data['exception_message'].strip()}" for data in errors]
                raise PromptFailed("; ".join(words) or "the run failed")
            return
        page.wait_for_timeout(500)
    raise PromptFailed(f"the run took longer than {seconds:.0f} s")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The few options."""
    parser = argparse.ArgumentParser(prog="make screenshot", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "output" / "screenshot.png")
    parser.add_argument(
        "--run",
        nargs="?",
        const="small",
        choices=["small", "shipped"],
        help="run it first, in a few steps or as it ships",
    )
    parser.add_argument("--minutes", type=float, default=20, help="longest run")
    return parser.parse_args(arguments)


def screenshot(options: argparse.Namespace) -> None:
    """Start the server and the page, load, run if wanted, photograph."""
    workflow = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    browser_path()  # before the server's long start
    with running() as server:
        client = Client(server.url)
        client.upload(PHOTO)
        client.post("/settings", SETTINGS)
        with opened(server.url) as page:
            load(page, workflow)
            if options.run:
                page.evaluate(SET, SMALL if options.run == "small" else {})
                queue(page, client, 60 * options.minutes)
                page.wait_for_timeout(5000)  # the viewers start to load their files
                page.wait_for_function(LOADED)
            page.evaluate(FRAME)
            page.wait_for_timeout(3000)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=str(options.out))
    print(f"{len(workflow['nodes'])} nodes, none missing; wrote {options.out}")


def main(arguments: list[str] | None = None) -> int:
    """0 done, 1 no browser, a bad page, or a failed run, 130 stopped by Ctrl-C."""
    try:
        screenshot(parse(arguments))
    except (PageFailed, PromptFailed, ServerFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
