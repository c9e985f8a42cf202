"""Invert Portrait without a server: whose features compare pictures, and that the run's key and the node's text tell."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from portrait_diffusion.models.checkpoint import write
from portrait_diffusion.models.fitting import alike
from portrait_diffusion.models.metrics.vgg import VGG16
from portrait_diffusion.models.prior.discriminator import Discriminator, DiscriminatorConfig
from portrait_diffusion.models.prior.eg3d import Generator
from safetensors.torch import save_file

from ..models import small
from ..models.conftest import coarse_surveys as coarse_surveys
from ..models.prior import pretend
from ..models.test_foreign_family import CONFIG

pytestmark = pytest.mark.usefixtures("coarse_surveys")


@pytest.fixture
def node(monkeypatch, tmp_path):
    """nodes/inversion.py with a small prior, an empty models folder, and the keys of its runs."""
    import folder_paths
    from portrait_diffusion.nodes import inversion, loading
    from portrait_diffusion.nodes.types import PriorOnWire

    names = dict(folder_paths.folder_names_and_paths)
    names[loading.FOLDER] = ([str(tmp_path)], {".safetensors"})
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", names)
    monkeypatch.setattr(inversion, "picture", lambda now: None)
    inversion.keys = []
    optimise = inversion.optimise
    monkeypatch.setattr(
        inversion, "optimise", lambda run, key, *rest: inversion.keys.append(key) or optimise(run, key, *rest)
    )
    networks = (
        small.generator(),
        small.encoder(),
        Discriminator(DiscriminatorConfig(resolution=32, raw_resolution=16, widths=(6, 6, 6))),
    )
    inversion.prior = PriorOnWire(*networks, "small", loading.patcher(*networks))
    return inversion


def test_a_public_prior_s_head_has_the_portrait_as_it_was_cropped(node):
    from portrait_diffusion.nodes import loading

    prior = pretend.make("panohead")
    node.prior = node.prior.__class__(prior, None, None, "pretend", loading.patcher(prior))
    aligned = small.portrait(64)
    with torch.inference_mode():
        wire = node.InvertPortrait.execute(
            node.prior, aligned, "quick", 0, latent_steps=1, tuning_steps=1
        ).result[0]
    reference = wire.head.reference
    assert reference.image.shape == (3, 128, 128) and reference.mask.mean() > 1.5 * aligned.mask.mean()
    assert not torch.equal(
        reference.camera.cam2world, aligned.camera.cam2world
    )  # as the whole model moves it
    assert wire.head.generator.config.render.near == 2.35


def run(node):
    """The text of a run, in the mode in which ComfyUI runs nodes: one pass over a piece of the picture."""
    with torch.inference_mode():
        return node.InvertPortrait.execute(
            node.prior, small.portrait(), "quick", 0, latent_steps=5, tuning_steps=0
        ).ui["text"][0]


def random_vgg(seed: int) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(value.shape, generator=draws) * 0.05 for key, value in VGG16().state_dict().items()
    }


def test_the_user_s_vgg_replaces_the_prior_s_discriminator(node, tmp_path: Path):
    facts = [node.InvertPortrait.fingerprint_inputs(prior=None, seed=0)]
    assert "dB inside the mask; pictures compared by the prior's discriminator" in run(node)
    for seed in (0, 1):
        save_file(random_vgg(seed), tmp_path / "vgg16.safetensors")
        facts.append(node.InvertPortrait.fingerprint_inputs(prior=None, seed=0))
        assert run(node).endswith("; pictures compared by vgg16.safetensors")
    assert len(set(node.keys)) == 3 and len({str(fact) for fact in facts}) == 3


def test_a_broken_vgg_stops_the_run_with_one_sentence(node, tmp_path):
    (tmp_path / "vgg16.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(
        ValueError, match="vgg: expected safetensors, but vgg16.safetensors is truncated or of another format"
    ):
        run(node)


def test_a_prior_of_another_family_is_inverted_from_its_file(node, tmp_path):
    from portrait_diffusion.nodes import loading

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        write(tmp_path / "mine.safetensors", "prior", CONFIG, Generator(CONFIG), family="eg3d")
    node.prior = loading.load_prior("mine.safetensors")
    words = run(node)
    assert "pictures compared by pixels alone" in words and "for want of an encoder" in words
    assert words.endswith(", and cropped closer, as its photos were")
    save_file(random_vgg(0), tmp_path / "mine-too.safetensors")
    assert "pictures compared by mine-too.safetensors; begun at the mean" in run(node)
    with pytest.raises(ValueError, match="expected a prior with an encoder of its own.*use Invert Portrait"):
        node.FeedForwardHead.execute(node.prior, small.portrait())


def test_a_head_to_start_from_is_approached_first(node, monkeypatch):
    from portrait_diffusion.nodes import loading

    for name, value in (("SIZE", 16), ("RAYS", 32), ("STEPS", 3)):
        monkeypatch.setattr(alike, name, value)
    steps = []
    monkeypatch.setattr(node, "Steps", lambda total: SimpleNamespace(update=steps.append))
    head = small.head()
    with torch.inference_mode():
        inputs = node.prior, small.portrait(), "quick", 0
        for start in (None, loading.wire_head(head)):
            node.InvertPortrait.execute(*inputs, latent_steps=1, tuning_steps=0, start=start)
    assert steps == [1, 2, 3] and len(set(node.keys)) == 2
