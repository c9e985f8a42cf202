"""Small weights and heads that ask for much, through the real server: one sentence each, and the next prompt works."""

import pytest

from ..models.hostile import CASES
from .graphs import PACK, by_hand, chain, number, only, small, view_of_a_head
from .messages import refused

SMALL_HEAD = "small.safetensors"
PRIORS = (
    "mapping of 1e9 layers",
    "decoder of 1e9",
    "coarse 1e5",
    "float8 of the other kind",
    "all as large as may be",
)
HEADS = (
    "a million empty tensors",
    "complex tensor",
    "head of 1e9 layers",
    "photo_size of lists in lists",
    "latents, wrong in way 1",
)
BRANCHES = ("branches of 3000 layers", "BrushNet 16384 wide", "branches with hidden 1e9")
REFINERS = ("refiner whose bases are words", "refiner whose factors would be huge")
AVATARS = {
    "base model as large as may be": "base",
    "base model of 65536 tokens": "base",
    "upsampler as large as may be": "upsampler",
}  # to the file's place
FOLDERS = {
    PRIORS: "prior",
    HEADS: "head",
    BRANCHES: "hpdm",
    REFINERS: "turbo",
    tuple(AVATARS): "avatar",
}  # how files are called


def files() -> dict[str, str]:
    """Case -> name of its file."""
    return {
        case: f"{kind}-hostile-{i}.safetensors"
        for cases, kind in FOLDERS.items()
        for i, case in enumerate(cases)
    }


def graph(case: str) -> dict:
    """What loads a case's file."""
    file = files()[case]
    if case in HEADS:
        return view_of_a_head(file)
    if case in PRIORS:
        nodes = only(by_hand(small("portrait.png"), "mask.png"), "SaveHead")
        nodes[number(nodes, "LoadHeadPrior")]["inputs"]["prior"] = file
        return nodes
    if case in BRANCHES:
        loads = (PACK + "LoadViewDiffusion", {}), (PACK + "LoadHPDM", {"diffusion": "@1", "branches": file})
        return chain(*loads, ("PreviewAny", {"source": "@2"}))
    if case in AVATARS:
        others = {
            name: f"{file.removesuffix('.safetensors')}/avatar_{name}.safetensors"
            for name in ("decoder", "base", "upsampler")
        }
        return chain(
            (PACK + "LoadAvatarModel", others | {AVATARS[case]: file}), ("PreviewAny", {"source": "@1"})
        )
    return chain((PACK + "LoadTurboRefiner", {"refiner": file}), ("PreviewAny", {"source": "@1"}))


@pytest.fixture(scope="module", autouse=True)
def hostile_files(server) -> None:
    """Each case's file where its node looks."""
    models, inputs = server.base / "models" / "portrait_diffusion", server.base / "input"
    models.mkdir(parents=True, exist_ok=True)
    for case, name in files().items():
        CASES[case][1]((inputs if case in HEADS else models) / name)


@pytest.mark.parametrize("case", files())
def test_one_sentence(case, client):
    failed = refused(client, graph(case), CASES[case][2])
    assert not failed.interrupted


def test_after_all_that_a_good_prompt_works(client):
    outcome = client.run(view_of_a_head(SMALL_HEAD, yaw_degrees=30.0))
    assert len(outcome.files("images")) == 1 and outcome.previews
