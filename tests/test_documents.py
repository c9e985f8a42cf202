"""What the documents say of the code is there, and nothing points to what is not."""

import ast
import re
from pathlib import Path

import pytest
from portrait_diffusion.models.public_models import PUBLIC

from .test_repository import tracked

ROOT = Path(__file__).resolve().parent.parent
MAP = re.compile(r"`([\w/]+\.py):([\w.]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
DOCUMENT = re.compile(r"[\w-]+\.md\b")
UNNAMED = {"NAME.md", "demo.md"}  # any report's text; a test's
WORDS = (
    "MODELS" + "_[A-Z]+",
    "CONTR" + "ACTS",
    "HO" + "USE",
    "CHECK" + "POINTS",
    "SPEED" + "_EG3D",
)  # in two parts: not to find itself
ELSEWHERE = re.compile(rf"\b(?:{'|'.join(WORDS)})\b|\bshared" + "/")
PAGES = [ROOT / name for name in tracked() if name.endswith(".md")]


def definitions(path: Path) -> set[str]:
    """Functions and classes of a file, methods as Class.method."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return names


def numbers_of(tables: str) -> set[int]:
    """Of the equations that begin a line of a table."""
    return {int(number) for number in re.findall(r"^\| (\d+) \|", tables, re.MULTILINE)}


def test_the_readme_is_for_a_user():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1900


def test_the_table_of_checkpoints_says_what_the_errors_say():
    """Folder, file, size, licence and page of each public model, as `models.public_models` has them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.split("## Checkpoints of yours")[1].split("\n## ")[0]
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]]
        for line in table.splitlines()
        if "](http" in line
    ]
    row_of = {row[0].split("](")[0].strip("["): row for row in rows}
    assert list(row_of) == [model.name for model in PUBLIC]
    for model in PUBLIC:
        assert row_of[model.name][1:] == [model.folder, model.file, model.size, model.licence]
        assert f"]({model.url.split('/resolve/')[0]})" in row_of[model.name][0]


def test_every_equation_is_where_the_map_says():
    text = (ROOT / "models" / "README.md").read_text(encoding="utf-8")
    places = MAP.findall(text)
    assert [place for place in places if place[1] not in definitions(ROOT / "models" / place[0])] == []
    diffusion, rest = text.split("TurboPortrait3D (arXiv")
    assert (
        numbers_of(diffusion) == set(range(1, 18))
        and numbers_of(rest) == set(range(1, 9))
        and len(places) > 25
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_nothing_points_to_a_document_that_is_not_here():
    texts = {
        name: (ROOT / name).read_text(encoding="utf-8")
        for name in tracked()
        if name.endswith((".py", ".md", ".toml", ".json"))
    }
    own = {page.name for page in PAGES} | UNNAMED
    absent = {
        name: set(DOCUMENT.findall(text)) - own | set(ELSEWHERE.findall(text)) for name, text in texts.items()
    }
    assert {name: words for name, words in absent.items() if words} == {}
