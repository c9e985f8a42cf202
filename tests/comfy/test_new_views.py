"""Projection and HPDM through the real server: pictures moved by a head's depth or by a depth picture, views drawn, stopped, refused."""

import io
import json

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from portrait_diffusion.models import checkpoint
from portrait_diffusion.models.checkpoint import write
from portrait_diffusion.models.diffusion.brushnet import Branch, BranchConfig
from portrait_diffusion.models.diffusion.embedded import shipped_unet
from portrait_diffusion.models.diffusion.hpdm import Hpdm, HpdmConfig
from portrait_diffusion.workflows.client import PromptFailed

from .graphs import ALIGN, ORBIT, PACK, ROOT, VIEWS, chain
from .messages import refused

DRAW = {"steps": 2, "guidance": 1.0, "weight": 1.0, "strength": 1.0, "blend": 0.0, "seed": 0}
PROJECT = {"near": 2.2, "far": 3.2, "grazing_degrees": 80.0}
SIDES = {"count": 2, "yaw_degrees": -25.0, "yaw_step_degrees": 50.0, "size": 64}
HEAD = [  # 1 to 4: a person's head
    ("LoadImage", {"image": "portrait.png"}),
    (PACK + "AlignPortrait", ALIGN | {"image": "@1"}),
    (PACK + "LoadHeadPrior", {"prior": "embedded"}),
    (PACK + "FeedForwardHead", {"prior": "@3", "aligned": "@2"}),
]


def pixels(client, entry) -> torch.Tensor:
    picture = Image.open(io.BytesIO(client.fetch(entry))).convert("RGB")
    return (
        torch.tensor(list(picture.getdata()), dtype=torch.float32).view(picture.height, picture.width, 3)
        / 255
    )


def source(what: str) -> tuple[str, dict]:
    return "NeighbourSource", {"what": what}


def ring(*, orbit=SIDES, branches="embedded", head="@4", model=None, **draw) -> dict:
    return chain(
        *HEAD,
        (PACK + "CameraOrbit", ORBIT | orbit),
        (PACK + "LoadViewDiffusion", {} if model is None else {"model": "@12"}),
        (PACK + "LoadHPDM", {"diffusion": "@6", "branches": branches}),
        (PACK + "GenerateRing", DRAW | {"hpdm": "@7", "head": head, "cameras": "@5"} | draw),
        ("PreviewImage", {"images": "@8"}),
        ("PreviewImage", {"images": "@8.2"}),
        (PACK + "LoadHead", {"file": "small.safetensors"}),
        *([] if model is None else [model]),
    )


def view(*, orbit=SIDES, image="@2.1", **inputs) -> dict:
    return chain(
        *HEAD,
        (PACK + "CameraOrbit", ORBIT | orbit),
        (PACK + "LoadViewDiffusion", {}),
        (PACK + "LoadHPDM", {"diffusion": "@6", "branches": "embedded"}),
        (
            PACK + "GenerateView",
            DRAW | {"hpdm": "@7", "head": "@4", "image": image, "cameras": "@5"} | inputs,
        ),
        ("PreviewImage", {"images": "@8"}),
        ("PreviewImage", {"images": "@8.1"}),
        ("MaskToImage", {"mask": "@8.2"}),
        ("PreviewImage", {"images": "@11"}),
    )


def projected(*, image="@2.1", orbit=SIDES, **inputs) -> dict:
    """The portrait by its head's depth, unless the inputs say otherwise; 6 is another camera, 7 and 8 a flat depth and its mask."""
    return chain(
        *HEAD,
        (PACK + "CameraOrbit", ORBIT | orbit),
        (PACK + "CameraOrbit", ORBIT | {"size": 64}),
        (
            "EmptyImage",
            {"width": 64, "height": 64, "batch_size": inputs.pop("pictures", 1), "color": 0x808080},
        ),
        ("SolidMask", {"value": inputs.pop("solid", 1.0), "width": 64, "height": 64}),
        (PACK + "ProjectView", PROJECT | {"image": image, "cameras": "@5"} | (inputs or {"head": "@4"})),
        ("PreviewImage", {"images": "@9"}),
        ("MaskToImage", {"mask": "@9.1"}),
        ("PreviewImage", {"images": "@11"}),
    )


def shown(client, outcome, key: str) -> list[torch.Tensor]:
    return [pixels(client, entry) for entry in outcome.outputs[key]["images"]]


def test_a_ring_has_a_picture_for_each_camera_in_any_order(client):
    outcome = client.run(ring(orbit={"count": 3, "yaw_degrees": 60.0, "yaw_step_degrees": -45.0, "size": 64}))
    assert [picture.shape for picture in shown(client, outcome, "9")] == [(64, 64, 3)] * 3
    (sheet,) = shown(client, outcome, "10")
    assert sheet.shape == (128, 192, 3) and sheet.std() > 0.05


def test_new_views_keep_what_the_picture_shows(client):
    outcome = client.run(view(blend=0.016))
    made, told, void = (shown(client, outcome, key) for key in ("9", "10", "12"))
    assert len(made) == len(told) == len(void) == 2 and not torch.equal(made[0], made[1])
    for new, known, hole in zip(made, told, void, strict=True):
        assert 0.05 < hole.mean() < 0.98 and not known[hole > 0.5].any()
        inside = (
            F.max_pool2d(hole[None, None, ..., 0], 7, 1, 3)[0, 0] == 0
        )  # further from the void than the blend reaches
        assert inside.sum() > 300 and (new - known)[inside].abs().max() < 2 / 255
        assert (new - known)[hole[..., 0] > 0.5].abs().mean() > 0.05  # and the rest is drawn


def test_a_head_s_depth_and_its_depth_picture_move_a_picture_alike(client):
    """The second time by what Render Views makes of the same view."""
    graph = chain(
        *HEAD,
        (PACK + "CameraOrbit", ORBIT | {"size": 64}),
        (PACK + "CameraOrbit", ORBIT | SIDES),
        (PACK + "RenderViews", VIEWS | {"head": "@4", "cameras": "@5", "samples": 32}),
        (PACK + "ProjectView", PROJECT | {"image": "@7", "cameras": "@6", "source": "@5", "head": "@4"}),
        (
            PACK + "ProjectView",
            PROJECT | {"image": "@7", "cameras": "@6", "source": "@5", "depth": "@7.2", "mask": "@7.1"},
        ),
        ("PreviewImage", {"images": "@8"}),
        ("PreviewImage", {"images": "@9"}),
    )
    outcome = client.run(graph)
    by_head, by_picture = (shown(client, outcome, key) for key in ("10", "11"))
    assert len(by_head) == len(by_picture) == 2
    for a, b in zip(by_head, by_picture, strict=True):
        assert (
            0.2 < (a.sum(-1) > 0).float().mean() < 0.9
            and ((a - b).abs().amax(-1) > 0.05).float().mean() < 0.01
        )


def test_the_seed_decides(client):
    one, same, other = (shown(client, client.run(ring(seed=seed)), "9")[0] for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_an_interrupt_stops_within_a_step(client):
    seen = []

    def stop(event) -> None:
        if (
            event.node == "8" and event.maximum == 800 and event.value
        ):  # two views; 100 is the rendering before
            if not seen:
                client.interrupt()
            seen.append(event.value)

    with pytest.raises(PromptFailed) as caught:
        client.run(ring(steps=400, seed=9), stop)
    assert (
        caught.value.interrupted and seen[-1] < seen[0] + 20
    )  # a call of the UNet is a few milliseconds here


def test_an_interrupt_stops_while_a_head_is_rendered(client):
    seen = []

    def stop(event) -> None:
        if event.node == "8" and event.maximum:
            if not seen:
                client.interrupt()
            seen.append((event.value, event.maximum))

    with pytest.raises(PromptFailed) as caught:
        client.run(ring(orbit={"count": 60, "yaw_step_degrees": 6.0, "size": 128}, seed=10), stop)
    assert caught.value.interrupted and all(maximum == 100 for _, maximum in seen) and seen[-1][0] < 100


# --- bad input

# what -> (graph, what the message must hold)
BAD = {
    "no overlap": (
        view(orbit={"count": 1, "yaw_degrees": 180.0, "size": 64}),
        ["share no surface", "choose a nearer view"],
    ),
    "a head in which nobody is": (ring(head="@11"), ["mask with a person", "empty"]),
    "an empty mask": (
        projected(source="@6", depth="@7", mask="@8", solid=0.0),
        ["mask with a person", "empty", "wire"],
    ),
    "depth without mask": (projected(source="@6", depth="@7"), ["depth and mask together", "depth alone"]),
    "two depth pictures": (
        projected(source="@6", depth="@7", mask="@8", pictures=2),
        ["one depth picture", "got 2"],
    ),
    "neither head nor depth": (projected(source="@6"), ["expected a head, or depth and mask"]),
    "near behind far": (
        projected(source="@6", depth="@7", mask="@8", near=3.0, far=2.0),
        ["near before far", "3.0", "2.0"],
    ),
    "no camera of the image": (projected(depth="@7", mask="@8"), ["camera that took the image", "wire"]),
    "several cameras of the image": (
        projected(head="@4", source="@5"),
        ["one camera", "got 2", "count to 1"],
    ),
    "branches of other latents": (
        ring(branches="hpdm-latents.safetensors"),
        ["latents of 4 channels", "for 16", "one family"],
    ),
    "branches of another UNet": (
        ring(branches="other-brushnet.safetensors"),
        ["channels", "made for this model"],
    ),
    "branches of another kind": (ring(branches="hpdm-kind.safetensors"), ["hpdm-kind.safetensors"]),
    "branches that are not there": (ring(branches="hpdm-absent.safetensors"), ["hpdm-absent.safetensors"]),
    "model without its other parts": (
        ring(model=source("box")),
        ["model, vae, front and negative together", "wire all four"],
    ),
}


@pytest.fixture(scope="module")
def bad_files(server) -> None:
    models = server.base / "models" / "portrait_diffusion"
    models.mkdir(parents=True, exist_ok=True)
    (models / "hpdm-kind.safetensors").write_bytes(checkpoint.shipped("encoder").read_bytes())
    size = shipped_unet().config
    branch = BranchConfig(
        channels=size.channels,
        layers=size.layers,
        groups=size.groups,
        latent_channels=16,
        condition_channels=17,
    )
    network = Hpdm(HpdmConfig(branch=branch, geometry=False, implicit=False))
    write(models / "hpdm-latents.safetensors", "hpdm", network.config, network)
    brushnet = Branch(BranchConfig(channels=(32, 64)))
    checkpoint.save_tensors(models / "other-brushnet.safetensors", brushnet.state_dict(), {})


@pytest.mark.parametrize("name", BAD)
def test_one_sentence(name, client, bad_files):
    refused(client, *BAD[name])


# --- the shipped workflow

SHIPPED = ROOT / "workflows" / "api" / "new_views.json"
SMALL = {
    "Invert Portrait": {"latent_steps": 1, "tuning_steps": 1},
    "All around": {"count": 4, "yaw_step_degrees": 90.0, "size": 64},
    "Generate Ring": {"steps": 2},
    "Generate View": {"steps": 2},
}


def test_the_shipped_workflow_draws_a_ring_and_one_view(client):
    graph = json.loads(SHIPPED.read_text(encoding="utf-8"))
    named = {node["_meta"]["title"]: key for key, node in graph.items()}
    for title, values in SMALL.items():
        graph[named[title]]["inputs"] |= values
    outcome = client.run(graph)
    (sheet,) = shown(client, outcome, named["Save contact sheet"])
    (view,) = shown(client, outcome, named["New view"])
    (told,) = shown(client, outcome, named["What the photo tells of it"])
    assert sheet.shape == (128, 256, 3) and view.shape == told.shape == (256, 256, 3)
    assert sheet.std() > 0.1 and view.std() > 0.1 and 0.1 < (told.sum(-1) == 0).float().mean() < 0.95
