"""How long and how an inversion fits: the pack's presets, and what the authors of public generators published."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..prior.contract import HeadGenerator
from ..prior.encoder import PortraitEncoder
from ..prior.families import family_of


@dataclass(frozen=True, kw_only=True)
class InversionConfig:
    """How long and how an inversion fits.

    Attributes:
        latent_steps, tuning_steps, detail_steps, sweep_steps: of the stages: latents, generator, planes, and these without the photo.
        latent_rate, tuning_rate, detail_rate, sweep_rate: Adam's learning rates. pose_rate: of the photo's camera, where that is an
            estimate, in the latents' stage; 0 leaves it.
        size: pixels to which the photo is shrunk for fitting.
        rays: per step. coarse, fine: samples per ray.
        keep_latents: weight of the latents' mean squared distance from the start's. keep_pose: of the camera's squared move.
        keep_shape, keep_colour: weights of the tuned field's distance from the untuned one at random points, which holds unseen sides.
        keep_surface: weight of its distance at the surface that `held_surface` names, in the planes' stage.
        keep_relief: weight of the distance from the relief of the face that the photo came with, in the stages of generator and planes.
        reach_shape, reach_colour: weights of matter, and its colour, where the photo's silhouette and the generator's disagree.
        points: per step at which fields are compared.
        shape_share: texels of the planes along one of the grid on which the density's may move in that stage (`field.geometry`); 0 for
            planes that colour and density share.
        crop_every: steps between those that look at a piece of the super-resolved picture; 0 for none. crop: its side in raw pixels.
        perceptual: weight of such a piece's perceptual distance. pixels: of its pixels' errors beside that, 1 where there is none.
            silhouette: of its opacity's squared distance from the mask.
        starts: heads that are held against the photo where no encoder tells one: the mean, and some around it.
        latent_noise: of the latents, at the beginning, in shares of the distance of styles from their mean.
        projected: latents' rate rises and falls and the generator's stays as in StyleGAN2's projector (Karras et al. 2020, appendix D)
            and pivotal tuning, and rays are sampled as the generator's own, so coarse and fine are not looked at.
        near: scene units from which such rays begin; None for where the generator's do.
    """

    latent_steps: int = 25
    tuning_steps: int = 25
    detail_steps: int = 140
    sweep_steps: int = 80
    latent_rate: float = 0.03
    tuning_rate: float = 2.5e-3
    detail_rate: float = 0.15
    sweep_rate: float = 0.2
    pose_rate: float = 0.1
    size: int = 256
    rays: int = 1024
    coarse: int = 20
    fine: int = 20
    keep_latents: float = 0.02
    keep_pose: float = 0.01
    keep_shape: float = 4.0
    keep_colour: float = 0.3
    keep_surface: float = 1.0
    keep_relief: float = 0.3
    reach_shape: float = 0.5
    reach_colour: float = 0.2
    points: int = 2048
    shape_share: int = 2
    crop_every: int = 3
    crop: int = 48
    perceptual: float = 0.1
    pixels: float = 1.0
    silhouette: float = 0.0
    starts: int = 8
    latent_noise: float = 0.0
    projected: bool = False
    near: float | None = None

    def __post_init__(self) -> None:
        if min(*self.stages, self.crop_every) < 0 or min(self.size, self.rays, self.crop, self.starts) < 1:
            raise ValueError(f"InversionConfig: expected steps >= 0 and positive size and rays, got {self}")

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(self.stages)

    @property
    def stages(self) -> tuple[int, int, int, int]:
        """Steps of each stage."""
        return self.latent_steps, self.tuning_steps, self.detail_steps, self.sweep_steps

    @property
    def holds(self) -> bool:
        """Whether anything holds the generator's stage to its start."""
        return max(self.keep_shape, self.keep_colour, self.keep_relief) > 0


PRESETS = {
    "quick": InversionConfig(),
    "full": InversionConfig(
        latent_steps=80, tuning_steps=120, detail_steps=400, sweep_steps=120, tuning_rate=1e-3, rays=2048
    ),
}

EVERYWHERE = 1 << 16  # raw pixels a side: the whole picture
# What all of them share: whole pictures, of which pixels count a tenth and VGG16's features the rest, and nothing that holds the head but
# the mean. The silhouette is ours, for these heads become meshes.
PROJECTED = InversionConfig(
    detail_steps=0,
    sweep_steps=0,
    keep_latents=1.0,
    keep_shape=0.0,
    keep_colour=0.0,
    keep_relief=0.0,
    crop_every=1,
    crop=EVERYWHERE,
    pixels=0.1,
    silhouette=0.1,
    perceptual=1.0,
    starts=1,
    projected=True,
)
PUBLISHED = {  # by family; PanoHead's repository has StyleGAN2's projector, EG3D's none, so its users' (oneThousand1000's)
    "eg3d": replace(
        PROJECTED, latent_steps=450, latent_rate=0.01, latent_noise=0.05, tuning_steps=350, tuning_rate=3e-4
    ),
    "panohead": replace(
        PROJECTED,
        latent_steps=500,
        latent_rate=0.1,
        latent_noise=0.05,
        tuning_steps=350,
        tuning_rate=3e-4,
        near=2.35,
    ),
}
PUBLISHED["spherehead"] = PUBLISHED["panohead"]
SHARE = 5  # of the published steps, one is taken for a quick look


def inversion_config(prior: HeadGenerator, encoder: PortraitEncoder | None, preset: str) -> InversionConfig:
    """The config of a preset's name ("quick", "full"): for a public generator, which asks for a camera's label and has no encoder, as its
    authors and users invert it, in full or with a share of the steps; else the pack's own.

    Raises:
        ValueError: no such preset.
    """
    if preset not in PRESETS:
        raise ValueError(
            f"inversion: expected a preset among {', '.join(PRESETS)}, got {preset!r}; choose one of these"
        )
    if not is_public(prior, encoder):
        return PRESETS[preset]
    config = PUBLISHED[family_of(prior)]
    if preset == "full":
        return config
    return replace(
        config, latent_steps=config.latent_steps // SHARE, tuning_steps=config.tuning_steps // SHARE
    )


def is_public(prior: HeadGenerator, encoder: PortraitEncoder | None) -> bool:
    """Whether a prior is one of the public families', rather than one that this pack trained."""
    return encoder is None and prior.config.c_dim > 0
