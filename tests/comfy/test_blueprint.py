"""The subgraph blueprint: listed by the server, made of nodes and values that exist, its own inputs wired to theirs."""

import json

import pytest

from .graphs import PACK, ROOT
from .test_object_info import fault, info, inputs_of, is_widget  # noqa: F401 - a fixture

PATH = ROOT / "subgraphs" / "Portrait to 3D Head.json"
BLUEPRINT = json.loads(PATH.read_text(encoding="utf-8"))
(INNER,) = BLUEPRINT["definitions"]["subgraphs"]
(OUTER,) = BLUEPRINT["nodes"]


def values_of(node: dict, known: dict) -> dict:
    """A node's widget values by name."""
    values, found = list(node["widgets_values"]), {}
    for name, (kind, options) in known.items():
        if is_widget(kind, options) and values:  # what came later is optional, and has its default
            found[name] = values.pop(0)
            if options.get("control_after_generate"):
                assert values.pop(0) == "fixed"
    assert values == []
    return found


def test_the_server_lists_it(client):
    listed = client.get("/global_subgraphs").values()
    (ours,) = [entry for entry in listed if entry["name"] == PATH.stem]
    assert ours["source"] == "custom_node" and ours["info"]["node_pack"] == "custom_nodes.portrait-diffusion"


def test_every_value_is_valid(info):  # noqa: F811
    for node in INNER["nodes"]:
        known = inputs_of(info[node["type"]])
        for name, value in values_of(node, known).items():
            assert fault(value, *known[name]) == "", f"{node['type']}.{name}"


def test_every_link_joins_what_is_there(info):  # noqa: F811
    nodes, links = (
        {node["id"]: node for node in INNER["nodes"]},
        {link["id"]: link for link in INNER["links"]},
    )
    assert len(links) == len(INNER["links"]) and INNER["state"]["lastLinkId"] >= max(links)
    for link in links.values():
        source = INNER["inputs"] if link["origin_id"] == -10 else nodes[link["origin_id"]]["outputs"]
        target = INNER["outputs"] if link["target_id"] == -20 else nodes[link["target_id"]]["inputs"]
        assert source[link["origin_slot"]]["type"] == link["type"] == target[link["target_slot"]]["type"]
        if link["origin_id"] == -10:
            assert link["id"] in source[link["origin_slot"]]["linkIds"]
        if link["target_id"] != -20:
            assert target[link["target_slot"]]["link"] == link["id"]
    wired = {(link["target_id"], link["target_slot"]) for link in links.values()}
    for node in INNER["nodes"]:
        needed = info[node["type"]]["input"].get("required", {})
        for i, slot in enumerate(node["inputs"]):
            if slot["name"] in needed and "widget" not in slot:
                assert (node["id"], i) in wired, f"{node['type']}.{slot['name']} is not wired"


@pytest.mark.parametrize("name", ["image", "inversion", "preset", "seed"])
def test_its_inputs_are_its_nodes_own(name):
    assert [slot["name"] for slot in OUTER["inputs"]] == [slot["name"] for slot in INNER["inputs"]]
    slot = next(one for one in INNER["inputs"] if one["name"] == name)
    reached = {link["target_id"] for link in INNER["links"] if link["id"] in slot["linkIds"]}
    kinds = {node["type"].removeprefix(PACK) for node in INNER["nodes"] if node["id"] in reached}
    assert (
        kinds
        == {
            "image": {"AlignPortrait"},
            "inversion": {"InvertPortrait"},
            "preset": {"RefineHead"},
            "seed": {"InvertPortrait", "RestoreGeometry", "RefineHead"},
        }[name]
    )


def test_it_begins_as_its_nodes_do():
    assert OUTER["type"] == INNER["id"] and OUTER["widgets_values"] == ["quick", "fast", 0]
    assert [slot["type"] for slot in OUTER["outputs"]] == ["PORTRAIT_HEAD", "MESH", "FILE_3D_GLB", "VIDEO"]
