"""Files that owners bring: what the shipped graphs tell ComfyUI's page of them, which asks for `properties.models` where one is missing."""

import json
import re
from importlib.metadata import files

import pytest
from portrait_diffusion.models.public_models import PUBLIC
from portrait_diffusion.workflows.demo import GRAPHS, self_contained

OWNED = sorted({path.stem for path in GRAPHS.glob("*.json")} - set(self_contained()))
BY_FILE = {model.file: model for model in PUBLIC}


def nodes_of(name: str) -> list[dict]:
    return json.loads((GRAPHS.parent / f"{name}.json").read_text(encoding="utf-8"))["nodes"]


def test_two_workflows_need_files():
    assert OWNED == ["portrait_diffusion_sd", "portrait_panohead"]


@pytest.mark.parametrize("name", OWNED)
def test_each_loader_names_file_folder_and_page(name):
    """The page, and `models.public_models`, by the value that the loader has: the page matches the two by name."""
    loaders = [node for node in nodes_of(name) if "models" in node["properties"]]
    for node in loaders:
        (model,) = node["properties"]["models"]
        public = BY_FILE[model["name"].removeprefix("inpaint/")]
        assert model == {"name": model["name"], "url": public.url, "directory": public.folder}
        assert node["widgets_values"] == [model["name"]]
    values = [value for node in nodes_of(name) for value in node.get("widgets_values", [])]
    suffixes = (".safetensors", ".ckpt", ".pkl")
    assert sum(str(value).endswith(suffixes) for value in values) == len(loaders)


@pytest.mark.parametrize("name", OWNED)
def test_the_note_names_every_file(name):
    (note,) = [node for node in nodes_of(name) if node.get("title") == "How to use"]
    for node in nodes_of(name):
        for model in node["properties"].get("models", []):
            assert model["name"] in note["widgets_values"][0]


def page_suffixes() -> tuple[str, ...]:
    """Of the files that the installed page looks for, from its own scripts."""
    installed = files("comfyui-frontend-package") or []
    scripts = [path.locate() for path in installed if path.suffix == ".js" and path.parent.name == "assets"]
    (found,) = {
        match
        for path in scripts
        for match in re.findall(
            r"new Set\(\[(`\.safetensors`[^\]]*`\.gguf`)\]", path.read_text(encoding="utf-8")
        )
    }
    return tuple(suffix.strip("`") for suffix in found.split(","))


def test_which_of_them_the_page_looks_for():
    """All but a snapshot, of which the loader itself speaks when the graph is run."""
    suffixes = page_suffixes()
    names = {
        model["name"]
        for name in OWNED
        for node in nodes_of(name)
        for model in node["properties"].get("models", [])
    }
    assert {name for name in names if not name.endswith(suffixes)} == {
        "easy-khair-180-gpc0.8-trans10-025000.pkl"
    }
