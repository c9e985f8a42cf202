"""Snapshots in the full layout of EG3D, PanoHead and SphereHead, small and with random weights, through the shipped workflow."""

import pytest
import torch
from portrait_diffusion.models.mesh.gltf import from_glb

from ..models.prior import pretend
from .graphs import PACK, by_hand, chain, number, small
from .messages import refused
from .test_workflow import picture


def shipped_with(file: str) -> dict:
    """The shipped workflow with a prior of the user's, small; whatever the photo is, nothing is detected."""
    graph = by_hand(small("portrait.png"), "mask.png")
    graph[number(graph, "LoadHeadPrior")]["inputs"]["prior"] = file
    return graph


@pytest.fixture(scope="module", autouse=True)
def snapshots(server) -> None:
    """One of each family in the models folder."""
    folder = server.base / "models" / "portrait_diffusion"
    folder.mkdir(parents=True, exist_ok=True)
    for family in pretend.KINDS:
        made = pretend.with_matter(pretend.make(family))
        pretend.write_snapshot(folder / f"{family}.pkl", made, family, server.base / "ran", 3)


@pytest.mark.parametrize("family", pretend.KINDS)
def test_a_snapshot_is_listed_opened_and_goes_through_the_workflow(family, client, server, gltf_issues):
    options = client.get("/object_info/" + PACK + "LoadHeadPrior")[PACK + "LoadHeadPrior"]["input"][
        "required"
    ]
    assert f"{family}.pkl" in str(options["prior"])
    graph = shipped_with(f"{family}.pkl")
    outcome = client.run(graph)
    words = outcome.words()[number(graph, "InvertPortrait")]
    assert "begun at the mean of the prior's heads" in words and "pictures compared by pixels alone" in words
    data = client.fetch(outcome.outputs[number(graph, "SaveGLB")]["3d"][0])
    assert gltf_issues(data) == [] and len(from_glb(data).faces) > 100
    sheet = picture(client, outcome.outputs[number(graph, "SaveImage")]["images"][0]).convert("RGB")
    views = torch.tensor(list(sheet.getdata())).float().view(2, 64, 8, 64, 3)
    assert views[0].std() > 1  # not one colour
    assert len(outcome.outputs[number(graph, "SaveVideo")]["images"]) == 1
    assert not (server.base / "ran").exists()


def test_feed_forward_is_not_offered(client):
    inputs = shipped_with("eg3d.pkl")[number(shipped_with("eg3d.pkl"), "AlignPortrait")]["inputs"]
    graph = chain(
        ("LoadImage", {"image": "portrait.png"}),
        (PACK + "LoadHeadPrior", {"prior": "eg3d.pkl"}),
        ("LoadImageMask", {"image": "mask.png", "channel": "red"}),
        (PACK + "AlignPortrait", inputs | {"image": "@1", "foreground_mask": "@3"}),
        (PACK + "FeedForwardHead", {"prior": "@2", "aligned": "@4"}),
        ("PreviewAny", {"source": "@5"}),
    )
    refused(
        client, graph, ["expected a prior with an encoder of its own, got one without; use Invert Portrait"]
    )
