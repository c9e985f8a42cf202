"""A head: planes, their decoder, and what later stages need; its pictures; and its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .bounds import configured, shown
from .camera import Camera
from .checkpoint import build, json_entry, kind_of, load_into, read_tensors, save_tensors
from .field import occupancy
from .field.casting import (
    Caster,
    MarchingCaster,
    Rendering,
    as_images,
    camera_normals,
    render,
    render_features,
)
from .field.decoders import decoder_of
from .field.geometry import coarse_offset, moved
from .field.outline import empty, outline, render_pixels
from .field.prepared import prepare
from .field.triplane import FieldConfig, TriplaneField
from .field.volume_rendering import RenderConfig
from .photo.alignment import AlignedPortrait
from .prior.contract import HeadGenerator
from .prior.families import DEFAULT, family_of, generator_from
from .saved_reference import below, check_tensor, reference_from, tensors_of

FORMAT_VERSION = 3  # 3: geometry apart; heads without are written as 2
WHITE = (1.0, 1.0, 1.0)
GRID = 64  # cells along each side of the grid that says where a head is
WORTH_A_GRID = 30_000  # rays, of which that grid saves more than it costs
LARGEST = (
    1e8  # number in a head file: products of two stay far from float32's end, where rays would lose their way
)


@dataclass(frozen=True)
class Head:
    """One head.

    Attributes:
        planes: [1, 3, C, (D,) H, W]. decoder: features -> raw density and colour. config: of the planes.
        reference: the portrait that it was made from, where known.
        latents: [1, num_ws, w_dim], where it came from a generator. generator: the tuned one, with its decoder.
        geometry: planes [1, 3, C, (D,) H, W] that the density is read from, where it has planes of its own.
    """

    planes: Tensor
    decoder: nn.Module
    config: FieldConfig
    reference: AlignedPortrait | None = None
    latents: Tensor | None = None
    generator: HeadGenerator | None = None
    geometry: Tensor | None = None

    def field(self) -> TriplaneField:
        """points [..., 3] -> (density [...], colour [..., 3])."""
        pair = self.styled
        layer = None if pair is None else pair[0].colour_layer(pair[1])
        return TriplaneField(self.planes, self.decoder, self.config, layer, self.geometry)

    @property
    def stacks(self) -> tuple[Tensor, ...]:
        """All planes that it is read from, [1, 3, C, (D,) H, W] each: those of colours, and of density where it has its own."""
        return (self.planes,) if self.geometry is None else (self.planes, self.geometry)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Head:
        """The head with all its planes changed alike. Args: change: planes [1, 3, C, (D,) H, W] -> planes."""
        geometry = None if self.geometry is None else change(self.geometry)
        return replace(self, planes=change(self.planes), geometry=geometry)

    def bends(self) -> dict[str, Tensor]:
        """What an optimisation moves beside the planes: zeros for a coarse offset of the density's, where it has its own."""
        return {} if self.geometry is None else {"bend": coarse_offset(self.geometry)}

    def bent(self, bend: Tensor | None) -> Head:
        """The head with its density's planes moved smoothly. Args: bend: as of `bends`, [1, 3, C, (D,) h, w]; None for none."""
        if bend is None or self.geometry is None:
            return self
        return replace(self, geometry=moved(self.geometry, bend))

    @property
    def styled(self) -> tuple[HeadGenerator, Tensor] | None:
        """Its generator and its styles [1, num_ws, w_dim], where it has both."""
        if self.generator is None or self.latents is None:
            return None
        return self.generator, self.latents

    def colour(self, points: Tensor, normals: Tensor) -> Tensor:
        """sRGB [N, 3] of the surface at points [N, 3]: what a ray sees that falls on it against the normals [N, 3].

        The weighted mean over a short way through the surface, since density is not a wall.
        """
        depth = torch.linspace(0.012, -0.03, 12, dtype=points.dtype, device=points.device)
        density, colour = prepare(self.field())(points[:, None] + depth[:, None] * normals[:, None])
        thickness = density * (0.042 / 12)
        weights = torch.exp(-(thickness.cumsum(-1) - thickness)) * -torch.expm1(-thickness) + 1e-6
        return ((weights[..., None] * colour).sum(-2) / weights.sum(-1, keepdim=True)).clamp(0, 1)

    @cached_property
    def occupancy(self) -> occupancy.OccupancyGrid:
        """Where its matter is, for rendering many rays; made on first use."""
        return occupancy.build(self.field(), GRID, config=self.sampling)

    def grid_for(self, rays: int) -> occupancy.OccupancyGrid | None:
        """The grid, where so many rays are worth it: the same picture either way, to 50 dB or better."""
        box_only = self.sampling.near is None  # the grid has the box only
        return self.occupancy if box_only and ("occupancy" in self.__dict__ or rays > WORTH_A_GRID) else None

    @property
    def sampling(self) -> RenderConfig:
        """How its generator has its rays sampled, or the usual way."""
        return RenderConfig() if self.generator is None else self.generator.config.render

    @torch.no_grad()
    def render(
        self,
        camera: Camera,
        size: int,
        config: RenderConfig | None = None,
        *,
        raw: bool = False,
        background: tuple[float, float, float] = WHITE,
        normals: bool = True,
        callback: Callable[[int, int], None] | None = None,
    ) -> Rendering:
        """V cameras -> images of size x size.

        Above its generator's raw size a head is rendered at that size and super-resolved.

        Args:
            config: of the rays, None for `sampling`. raw: the field itself at every size, without super-resolution.
            background, normals, callback: as `casting.render`.
        """
        config = config or self.sampling
        if self.styled and not raw:
            generator, styles = self.styled
            if generator.super_resolves and size > generator.config.raw_resolution:
                return fine_rendering(
                    self, generator, styles, camera, size, config, background, normals, callback
                )
        cast = self.caster(len(camera.cam2world) * size**2 if camera.shape else 0)
        return render(
            cast, camera, size, size, config, background=background, normals=normals, callback=callback
        )

    def caster(self, rays: int) -> Caster:
        """Casts rays at it, `rays` of them in all: by its grid, where so many are worth it."""
        grid = self.grid_for(rays)
        return MarchingCaster(self.field()) if grid is None else occupancy.GridCaster(self.field(), grid)


def fine_rendering(
    head: Head,
    generator: HeadGenerator,
    styles: Tensor,
    camera: Camera,
    size: int,
    config: RenderConfig,
    background: tuple[float, float, float],
    normals: bool,
    callback: Callable[[int, int], None] | None,
) -> Rendering:
    """A head from V cameras through its generator's super-resolution; depth, opacity and normals are enlarged.

    Args:
        styles: [1, num_ws, w_dim], the head's.
    """
    R, white = generator.config.raw_resolution, generator.config.render.white_back
    field, cast = head.field(), head.caster(len(camera.cam2world) * R**2)
    rays = render_features(cast, camera, R, R, replace(config, white_back=white), callback=callback)
    features, opacity, depth = (
        as_images(x, R, R) for x in (rays.features, rays.opacity[..., None], rays.depth[..., None])
    )
    normal = camera_normals(field, camera, rays, R, R, config.normal_step) if normals else None
    signed, styles = generator.signed(features), styles.expand(len(features), -1, -1)
    image = bilinear(
        (generator.super_resolve(generator.colours(signed, styles), signed, styles) + 1) / 2, size
    )  # from [-1, 1] to [0, 1]
    mask, weighted_depth = bilinear(opacity, size), bilinear(depth * opacity, size)
    backdrop = image.new_tensor(background)[:, None, None]
    if head.config.activation == "sigmoid":  # black or white shows through
        image = image + (1 - mask) * (backdrop - float(white))
        image = torch.where(empty(opacity, size)[:, None], backdrop, image)
    else:
        image = torch.lerp(backdrop, image, mask)
    pictures = Rendering(
        image.clamp(0, 1),
        torch.where(mask > 1e-3, weighted_depth / mask.clamp(min=1e-3), 0),
        mask,
        None if normal is None else F.normalize(bilinear(normal, size), dim=1) * (mask > 0.05),
    )
    return (
        with_outline(pictures, cast, camera, outline(opacity, size), config, backdrop) if white else pictures
    )


def with_outline(
    pictures: Rendering, cast: Caster, camera: Camera, pixels: Tensor, config: RenderConfig, backdrop: Tensor
) -> Rendering:
    """Pictures whose pixels [V, S, S] near an outline are the field's own.

    Args:
        pictures: of V cameras, S pixels. pixels: bool [V, S, S], those near an outline. backdrop: [3, 1, 1] sRGB.
    """
    if not pixels.any():
        return pictures
    rays, rgb = render_pixels(cast, camera, pixels, replace(config, white_back=False))
    opacity = rays.opacity[0]
    over_backdrop = rgb + (1 - opacity[:, None]) * backdrop[:, 0, 0]

    def put(image: Tensor, values: Tensor) -> Tensor:  # [V, c, S, S], [N, c]
        return image.movedim(1, -1).index_put((pixels,), values.to(image)).movedim(-1, 1)

    return replace(
        pictures,
        rgb=put(pictures.rgb, over_backdrop.clamp(0, 1)),
        depth=put(pictures.depth, rays.depth[0, :, None]),
        opacity=put(pictures.opacity, opacity[:, None]),
    )


def head_of(prior: HeadGenerator, ws: Tensor, reference: AlignedPortrait | None = None) -> Head:
    """A generator's head of styles [1, num_ws, w_dim]; reference: the portrait that they are of, where there is one."""
    return Head(prior.planes(ws), prior.decoder, prior.config.field, reference, ws, prior)


def bilinear(image: Tensor, size: int) -> Tensor:
    """[V, C, H, W] -> [V, C, size, size]."""
    return F.interpolate(image, size=(size, size), mode="bilinear", antialias=True)


def save_head(head: Head, path: Path, notes: dict[str, str] | None = None) -> None:
    """Write one .safetensors with everything that a head carries, and `notes` (such as the workflow that made it) beside it."""
    tensors = {"planes": head.planes} | {
        f"decoder.{key}": value for key, value in head.decoder.state_dict().items()
    }
    metadata = {
        **(notes or {}),
        "kind": "head",
        "format_version": str(FORMAT_VERSION if head.geometry is not None else 2),
        "config": json.dumps(asdict(head.config)),
    }
    if head.geometry is not None:
        tensors["geometry"] = head.geometry
    if head.latents is not None:
        tensors["latents"] = head.latents
    if head.generator is not None:
        tensors |= {f"generator.{key}": value for key, value in head.generator.state_dict().items()}
        metadata |= {
            "generator": json.dumps(asdict(head.generator.config)),
            "family": family_of(head.generator),
        }
    if (reference := head.reference) is not None:
        tensors |= tensors_of(reference)
        metadata["photo_size"] = json.dumps(list(reference.photo_size))
    save_tensors(
        path, {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}, metadata
    )


def load_head(path: Path) -> Head:
    """Read what `save_head` wrote, on the CPU. Heads of version 1 come without their generator, which is no more.

    Raises:
        ValueError: not a head file, unknown version, numbers or tensors that do not fit its config or each other.
    """
    name = Path(path).name
    tensors, metadata = read_tensors(path, "head file")
    if metadata.get("kind") != "head":
        raise ValueError(
            f"head file: expected a head saved by this pack, but {name} holds {kind_of(metadata, 'something else')}; choose another"
        )
    version = metadata.get("format_version", "none")
    if version not in map(str, range(1, FORMAT_VERSION + 1)):
        raise ValueError(
            f"head file: expected format version up to {FORMAT_VERSION}, but {name} has version {version[:20]}; "
            "update this pack or save the head again"
        )
    tensors = _checked_numbers(tensors, name)
    config, planes = _field_of(tensors, metadata, name)
    if version == "1":
        return Head(
            planes, first_decoder(config, tensors, name), config, reference_from(tensors, metadata, name)
        )
    generator = None
    own = below(tensors, "decoder.")
    if "generator" in metadata:
        sizes = json_entry(metadata, "generator", f"head file: {name}")
        generator = build(
            lambda: generator_from(sizes, metadata.get("family", DEFAULT)),
            below(tensors, "generator."),
            f"head file {name}",
        )
        load_into(generator.decoder, own, f"head file {name}")
    decoder = (
        build(lambda: decoder_of(config), own, f"head file {name}")
        if generator is None
        else generator.decoder
    )
    latents = _latents(tensors, generator, config, name)
    geometry = tensors.get("geometry")
    if geometry is not None:
        check_tensor(geometry, "geometry", (1, *config.planes_shape), name)
    reference = reference_from(tensors, metadata, name)
    return Head(planes, decoder.requires_grad_(False), config, reference, latents, generator, geometry)


def _checked_numbers(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """A head file's tensors, none more precise than a head's; raises ValueError for numbers that no head has."""
    for key, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(
                f"head file: expected finite numbers, but {key} in {name} contains NaN or infinity; save the head again"
            )
        if value.is_floating_point() and value.numel() and max(map(abs, value.aminmax())) > LARGEST:
            raise ValueError(
                f"head file: expected numbers up to {LARGEST:g}, but {key} in {name} has larger ones; save the head again"
            )
    return {key: value.float() if value.dtype == torch.float64 else value for key, value in tensors.items()}


def _field_of(tensors: dict[str, Tensor], metadata: dict[str, str], name: str) -> tuple[FieldConfig, Tensor]:
    """Config and planes of a head file."""
    values = json_entry(metadata, "config", f"head file: {name}")
    if not isinstance(values, dict) or "planes" not in tensors:
        lacks = "'planes'" if "planes" not in tensors else f"config {shown(values)}"
        raise ValueError(
            f"head file: {name} lacks or garbles a part of a head ({lacks}); save the head again"
        )
    config, planes = configured(FieldConfig, values, f"head file: {name}", "of a field "), tensors["planes"]
    check_tensor(planes, "planes", (1, *config.planes_shape), name)
    return config, planes


def _latents(
    tensors: dict[str, Tensor], generator: HeadGenerator | None, config: FieldConfig, name: str
) -> Tensor | None:
    """The styles in a head file, if it has any; with a generator they and the planes fit it."""
    latents = tensors.get("latents")
    if generator is None:
        if latents is not None:
            check_tensor(latents, "latents", (1, *latents.shape[-2:]), name)
        return latents
    field = generator.config.field
    if (field.channels, field.features, field.decoder) != (config.channels, config.features, config.decoder):
        raise ValueError(
            f"head file: expected {config.channels} channels, {config.features} features and a decoder of the kind {config.decoder} as its "
            f"planes have, but the generator in {name} has {field.channels}, {field.features} and {field.decoder}; save the head again"
        )
    if latents is not None:
        check_tensor(latents, "latents", (1, generator.num_ws, generator.config.w_dim), name)
    return latents


def first_decoder(config: FieldConfig, tensors: dict[str, Tensor], name: str) -> nn.Module:
    """The decoder of a head of version 1, whose layers had no equalised rates.

    Args:
        tensors: of the file, such as decoder.hidden.weight [hidden, C], decoder.out.weight [1 + F, hidden].

    Raises:
        ValueError: as `checkpoint.build`.
    """
    old = below(tensors, "decoder.")
    state = {}
    for new, key in (("net.0", "hidden"), ("net.2", "out")):
        if f"{key}.weight" in old and f"{key}.bias" in old:
            weight = old[f"{key}.weight"]
            rate = weight.shape[1] ** 0.5 if weight.ndim == 2 else 1  # another shape is named below
            state |= {f"{new}.weight": weight * rate, f"{new}.bias": old[f"{key}.bias"]}
    return build(lambda: decoder_of(config), state, f"head file {name}").requires_grad_(False)
