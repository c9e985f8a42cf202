"""A generator, an encoder and a portrait small enough for tests of what is done with them."""

import torch
from portrait_diffusion.models.camera import frontal
from portrait_diffusion.models.field.triplane import FieldConfig
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.head import Head
from portrait_diffusion.models.photo.alignment import AlignedPortrait
from portrait_diffusion.models.prior.eg3d import GeneratorConfig
from portrait_diffusion.models.prior.encoder import EncoderConfig, PortraitEncoder
from portrait_diffusion.models.prior.panohead import PanoHeadGenerator

FIELD = FieldConfig(channels=4, depth=2, resolution=16, hidden=8, features=5)
CONFIG = GeneratorConfig(
    z_dim=6,
    w_dim=8,
    c_dim=0,
    channel_base=128,
    channel_max=8,
    mean_resolution=8,
    field=FIELD,
    render=RenderConfig(coarse=8, fine=8, white_back=True),
    raw_resolution=16,
    super_resolution="2X",
    sr_resolution=16,
    sr_channels=(6, 4),
)


def generator(seed=0, config=CONFIG):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PanoHeadGenerator(config).requires_grad_(False)


def encoder(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PortraitEncoder(EncoderConfig(size=32, z_dim=6, channels=(8, 8))).requires_grad_(False)


def portrait(size=32):
    ramp = torch.linspace(0, 1, size)
    image = torch.stack(
        [ramp.expand(size, size), ramp[:, None].expand(size, size), torch.full((size, size), 0.5)]
    )
    v, u = torch.meshgrid(ramp - 0.5, ramp - 0.5, indexing="ij")
    mask = (u.hypot(v) < 0.35).float()[None]
    return AlignedPortrait(
        image, mask, frontal(), torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.float64), (size, size)
    )


def head(seed=0):
    net = generator(seed)
    with torch.no_grad():
        latents = net.mapping(torch.randn(1, 6, generator=torch.Generator().manual_seed(seed)))
        return Head(net.planes(latents), net.decoder, FIELD, portrait(), latents.clone(), net)
