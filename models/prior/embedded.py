"""The embedded head prior: a small PanoHead that ships with the pack and runs on a CPU."""

from __future__ import annotations

from dataclasses import replace

from ..field.triplane import FieldConfig
from ..field.volume_rendering import RenderConfig
from ..synthetic.codes import CODE_DIM
from .config import GeneratorConfig
from .eg3d import Generator
from .panohead import PanoHeadGenerator

EmbeddedGenerator = Generator  # what its training works on, which alone may know a generator's insides


def embedded_config(z_dim: int = CODE_DIM) -> GeneratorConfig:
    """What the embedded prior is made of. Args: z_dim: length of the identity codes, which differs between factories.

    It begins at 40 x 40 pixels and adds to a learned mean, for aligned heads share one frame: what most have in one place (eyes,
    lips, hairline) is learnt there. Its box fits heads closely, its density is sharp, and it is rendered over white from box to box.
    Its two slices a plane meet outside the head, not in its middle: a grid bends where slices are.
    """
    return GeneratorConfig(
        z_dim=z_dim,
        w_dim=128,
        c_dim=0,
        channel_base=7680,
        channel_max=192,
        base_resolution=40,
        mean_resolution=80,
        field=FieldConfig(
            box_side=0.76,
            channels=8,
            depth=2,
            resolution=160,
            hidden=32,
            features=8,
            density_shift=-4.0,
            density_scale=100.0,
        ),
        render=RenderConfig(coarse=32, fine=32, white_back=True),
        raw_resolution=128,
        super_resolution="2X",
        sr_resolution=128,
        sr_channels=(24, 16),
        sr_clamp=None,
    )


def people_config(z_dim: int) -> GeneratorConfig:
    """The embedded prior of people: shoulders and long hair need a larger box, and reach its sides, where planes fade to what is
    neither empty nor a person: a texel is cut off.

    Args:
        z_dim: as of `embedded_config`.
    """
    config = embedded_config(z_dim)
    side = 0.84
    field = replace(config.field, box_side=side, crop=side / config.field.resolution)
    return replace(config, field=field)


def embedded_generator(z_dim: int = CODE_DIM) -> PanoHeadGenerator:
    """A generator for codes of that length, factory 2's or else people's, with random weights, to be trained."""
    return PanoHeadGenerator((embedded_config if z_dim == CODE_DIM else people_config)(z_dim))
