"""Core's MODEL and VAE with our branches and head, as --lowvram, --novram, --cpu and --disable-smart-memory load them: the same numbers.

Stand-ins: core's flags need an accelerator, so its states are set while the device stays the CPU.
"""

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.diffusion.new_views import NewViewConfig, coarse_views, new_view
from portrait_diffusion.models.distillation.restoration import Guides, RestorationConfig, restore_geometry
from torch.testing import assert_close

from ..models.distillation.test_refinement import ball_head
from .test_denoising import neighbour  # noqa: F401 - a fixture
from .test_places import diffusion

FLAGS = {
    "--normalvram": ("NORMAL_VRAM", False),
    "--lowvram": ("LOW_VRAM", False),
    "--novram": ("NO_VRAM", False),
    "--cpu": ("DISABLED", False),
    "--disable-smart-memory": ("NORMAL_VRAM", True),
}


@pytest.fixture
def short_of_memory(monkeypatch):
    """A function: a flag -> core behaves as with it, with a megabyte free."""
    import comfy.model_management as mm

    def begin(flag: str) -> None:
        state, plain = FLAGS[flag]
        monkeypatch.setattr(mm, "vram_state", mm.VRAMState[state])
        monkeypatch.setattr(mm, "DISABLE_SMART_MEMORY", plain)
        if state != "DISABLED":  # as on an accelerator, whose state is taken seriously
            monkeypatch.setattr(mm, "is_device_cpu", lambda device: False)
        free = 2**20
        monkeypatch.setattr(
            mm, "get_free_memory", lambda *rest, **named: (free, free) if len(rest) > 1 or named else free
        )

    yield begin
    monkeypatch.undo()
    mm.unload_all_models()


def outcome(wire) -> tuple[torch.Tensor, torch.Tensor]:
    """A new view, and the planes of a restored head, as their nodes run them."""
    import comfy.model_management as mm
    from portrait_diffusion.nodes import loading
    from portrait_diffusion.nodes.optimising import frozen, normally, private
    from portrait_diffusion.nodes.restoration import memory_for, resident

    config = RestorationConfig(steps=2, size=64, seen=64, samples=8, rays=32)
    cameras = orbit(torch.tensor([0.0, 0.4]), torch.zeros(2))
    mm.unload_all_models()
    head = loading.wire_head(ball_head())
    with torch.inference_mode():
        guides, patchers = resident(Guides(wire.model))
        ready = loading.ready(head, wire.patcher, *patchers, memory=memory_for(wire, guides, config))
        coarse = coarse_views(ready, cameras, 64)
        view = new_view(
            guides.model,
            None,
            coarse.driving(0, coarse.rgb[0]),
            coarse,
            1,
            generator=torch.Generator().manual_seed(0),
            config=NewViewConfig(steps=2, guidance=2.0),
        )
        with normally():
            (restored,), _ = restore_geometry(
                [private(ready)], frozen(guides), config, generator=torch.Generator().manual_seed(0)
            )
    return view.image, restored.planes


@pytest.mark.whole
def test_however_little_memory_there_is_the_numbers_are_the_same(short_of_memory, neighbour):  # noqa: F811
    wire = diffusion(neighbour)
    view, planes = outcome(wire)
    change = (planes - ball_head().planes).norm()
    assert change > 0
    for flag in FLAGS:
        short_of_memory(flag)
        again, restored = outcome(wire)
        assert_close(
            again, view, rtol=0, atol=1e-4
        )  # core cuts attention to the free memory: it rounds otherwise
        assert (restored - planes).norm() < 0.02 * change, flag


def test_memory_that_runs_out_in_the_unet_halves_the_views(neighbour, monkeypatch):  # noqa: F811
    """A MODEL that has room for two rows: eight views go through it by ones, for each has two."""
    from portrait_diffusion.models.diffusion.denoiser import Conditioning, guided
    from portrait_diffusion.models.out_of_memory import Halving
    from portrait_diffusion.nodes.denoising import ComfyDenoiser

    model, rows = neighbour.small_model(), []
    honest = model.model.apply_model

    def apply(x, *rest, **named):
        if len(x) > 2:
            raise torch.OutOfMemoryError("out of memory")
        rows.append(len(x))
        return honest(x, *rest, **named)

    monkeypatch.setattr(model.model, "apply_model", apply)
    g = torch.Generator().manual_seed(0)
    z, t = torch.randn(8, 4, 8, 8, generator=g), torch.full((8,), 400)
    told = Conditioning(torch.randn(8, neighbour.TOKENS, neighbour.WIDTH, generator=g))
    denoiser, halving = ComfyDenoiser(model), Halving()

    def some(index):
        part = slice(index[0], index[-1] + 1)
        return guided(denoiser, z[part], t[part], told.rows(part), told.rows(part), 1.0)

    result = halving(some, 8)
    assert result.shape == z.shape and halving.rows == 1 and rows == [2] * 8
