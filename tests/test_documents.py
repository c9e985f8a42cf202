"""What the documents say of the code is there, and nothing points to what is not."""

import ast
import re
from pathlib import Path

import pytest

from .test_repository import tracked

ROOT = Path(__file__).resolve().parent.parent
MAP = re.compile(r"`([\w/]+\.py):([\w.]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
ELSEWHERE = ("MODELS_" + "DIFFUSION", "MODELS_" + "GAN", "CONTRACTS" + ".md", "HOUSE" + ".md", "COMFYUI" + ".md", "README_" + "gan", "CHECKPOINTS" + ".md")
PAGES = [ROOT / name for name in tracked() if name.endswith(".md")]


def definitions(path: Path) -> set[str]:
    """Functions and classes of a file, methods as Class.method."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return names


def test_the_readme_is_for_a_user():
    words = [word for word in (ROOT / "README.md").read_text(encoding="utf-8").split() if re.search(r"\w", word)]
    assert len(words) <= 1500


def test_every_equation_is_where_the_map_says():
    text = (ROOT / "models" / "README.md").read_text(encoding="utf-8")
    places = MAP.findall(text)
    assert [place for place in places if place[1] not in definitions(ROOT / "models" / place[0])] == []
    numbers = {int(number) for number in re.findall(r"^\| (\d+) \|", text.split("TurboPortrait3D (arXiv")[0], re.MULTILINE)}
    assert numbers == set(range(1, 18)) and len(places) > 25


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_nothing_points_to_a_document_that_is_not_here():
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in tracked() if name.endswith((".py", ".md", ".toml", ".json"))}
    assert [f"{name}: {word}" for name, text in texts.items() for word in ELSEWHERE if word in text] == []
