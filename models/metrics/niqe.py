"""NIQE: how natural a picture looks by itself, without a reference (Mittal, Soundararajan, Bovik 2013).

Luminance is made locally zero-mean and of unit variance, generalised Gaussians are fitted to it and to products of neighbours in each
patch and at two scales, and the fits of a picture are compared with those of pristine pictures; smaller is more natural.

Our own statistics (`train niqe`, shipped) are of the factory's procedural heads on white, in patches of 32 pixels since frames are 256
pixels wide; figures by them compare with each other only. The paper's are of photographs, in patches of 96: `read_niqe` takes the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..bounds import shown
from ..checkpoint import json_entry, read_tensors, save_tensors, shipped
from ..foreign_files import check_archive, check_matlab
from .image import luminance

PAPER_PATCH, PATCH = 96, 32  # pixels a side
WINDOW = 7  # pixels: of the local mean and deviation
SIGMA = 7 / 6  # pixels: of the window's Gaussian
SHARP = 0.75  # of a picture's sharpest patch: pristine patches below are left out
INSIDE = 0.75  # of a patch must lie in the mask, where there is one
FEATURES = 36
SHAPES = torch.arange(
    0.2, 10.0005, 0.001, dtype=torch.float64
)  # generalised Gaussians' shape parameters that are tried
LENGTH = 2**18  # bytes of a file of statistics; the paper's numbers are 11 kB
NAMES = (("mu_prisparam", "cov_prisparam"), ("mu_pris_param", "cov_pris_param"), ("mean", "covariance"))


@dataclass(frozen=True)
class NiqeModel:
    """What pristine patches are like.

    Attributes:
        mean: [36]. covariance: [36, 36]. patch: pixels a side at the first scale, even.
    """

    mean: Tensor
    covariance: Tensor
    patch: int = PATCH

    def __post_init__(self) -> None:
        if self.mean.shape != (FEATURES,) or self.covariance.shape != (FEATURES, FEATURES):
            raise ValueError(
                f"niqe: expected a mean [{FEATURES}] and a covariance [{FEATURES}, {FEATURES}], got {list(self.mean.shape)} and "
                f"{list(self.covariance.shape)}; choose statistics of NIQE"
            )
        if not (self.mean.isfinite().all() and self.covariance.isfinite().all()):
            raise ValueError(
                "niqe: expected finite statistics, got NaN or infinity; fit them on more pictures, or choose another file"
            )
        checked_patch(self.patch)


def checked_patch(patch: object) -> int:
    """A patch's size, such as one from a file; raises ValueError unless it is even, of 16 to 1024 pixels."""
    if not isinstance(patch, int) or isinstance(patch, bool) or not 16 <= patch <= 1024 or patch % 2:
        raise ValueError(
            f"niqe: expected patches of an even size of 16 pixels or more, up to 1024, got {shown(patch)}; the paper has {PAPER_PATCH}"
        )
    return patch


def niqe(image: Tensor, model: NiqeModel, mask: Tensor | None = None) -> Tensor:
    """Distance of each picture's patches from pristine ones (eq. 10), [B]: about 0 or more, more is less natural.

    Args:
        image: [B, 3, H, W] sRGB in [0, 1], two patches or more. mask: [B, 1, H, W]; patches that lie less than three quarters where it is
            over 0.5 are left out. Patches without any structure always are.

    Raises:
        ValueError: a picture of which fewer than two patches are left.
    """
    values = []
    for i in range(len(image)):
        features, _ = patch_features(image[i : i + 1], model.patch, None if mask is None else mask[i : i + 1])
        if len(features) < 2:
            raise ValueError(
                f"niqe: expected two patches of {model.patch} pixels with structure or more, got {len(features)} in "
                f"{list(image.shape[-2:])} pixels; enlarge the picture or its mask, or fit statistics for smaller patches"
            )
        away = features.mean(0) - model.mean.to(features)
        covariance = (torch.cov(features.mT) + model.covariance.to(features)) / 2
        values.append((away @ torch.linalg.pinv(covariance, hermitian=True) @ away).clamp_min(0).sqrt())
    return torch.stack(values).to(image)


def fit_niqe(images: Tensor, patch: int = PATCH, masks: Tensor | None = None) -> NiqeModel:
    """Statistics of pristine pictures: of their sharp patches only (section II.B).

    Args:
        images: [B, 3, H, W] sRGB in [0, 1]. patch: pixels. masks: [B, 1, H, W] as in `niqe`.

    Raises:
        ValueError: fewer sharp patches than features.
    """
    rows = []
    for i in range(len(images)):
        features, sharpness = patch_features(
            images[i : i + 1], patch, None if masks is None else masks[i : i + 1]
        )
        if len(features):
            rows.append(features[sharpness > SHARP * sharpness.max()])
    patches = torch.cat(rows) if rows else torch.zeros(0, FEATURES)
    if len(patches) <= FEATURES:
        raise ValueError(
            f"fit_niqe: expected more than {FEATURES} sharp patches, got {len(patches)}; pass more or larger pictures"
        )
    return NiqeModel(patches.mean(0), torch.cov(patches.mT), patch)


def patch_features(image: Tensor, patch: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Features of one picture's patches, and how sharp each is.

    Args:
        image: [1, 3, H, W] in [0, 1]. patch: even, pixels. mask: [1, 1, H, W] or None.

    Returns:
        features [P, 36] float64, 18 of each scale; sharpness [P], the mean local deviation at the first scale.

    Raises:
        ValueError: a picture smaller than one patch.
    """
    if patch < 16 or patch % 2 or min(image.shape[-2:]) < patch:
        raise ValueError(
            f"niqe: expected pictures of at least one even patch of 16 or more, got {list(image.shape)} and {patch} pixels"
        )
    rows, columns = (side // patch for side in image.shape[-2:])
    grey = 255 * luminance(
        image[..., : rows * patch, : columns * patch].double()
    )  # the paper's constant 1 is of grey levels to 255
    normal, deviation = mscn(grey)
    half = F.interpolate(grey / 255, scale_factor=0.5, mode="bicubic", antialias=True) * 255
    scales = [_tiles(normal, patch), _tiles(mscn(half)[0], patch // 2)]
    features = torch.cat([scale_features(tiles) for tiles in scales], 1)
    sharpness = _tiles(deviation, patch).mean((1, 2))
    valid = features.isfinite().all(1)
    if mask is not None:
        inside = (mask[..., : rows * patch, : columns * patch] > 0.5).to(sharpness)
        valid &= _tiles(inside, patch).mean((1, 2)) >= INSIDE
    return features[valid], sharpness[valid]


def mscn(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance less its local mean, over its local deviation and 1 (eqs. 1-3), and that deviation.

    Args:
        grey: [B, 1, H, W], 0 to 255.
    """
    reach = torch.arange(WINDOW).to(grey) - WINDOW // 2
    line = torch.exp(-reach.square() / (2 * SIGMA**2))
    line = line / line.sum()

    def local(x: Tensor) -> Tensor:
        padded = F.pad(x, [WINDOW // 2] * 4, mode="replicate")
        return F.conv2d(F.conv2d(padded, line.view(1, 1, -1, 1)), line.view(1, 1, 1, -1))

    mean = local(grey)
    deviation = (local(grey.square()) - mean.square()).abs().sqrt()
    return (grey - mean) / (deviation + 1), deviation


def _tiles(values: Tensor, patch: int) -> Tensor:
    """[1, 1, R p, C p] -> [R C, p, p]."""
    side = patch
    return values[0, 0].unflatten(1, (-1, side)).unflatten(0, (-1, side)).transpose(1, 2).flatten(0, 1)


def scale_features(tiles: Tensor) -> Tensor:
    """Eighteen of each patch [P, p, p]: shape and width of its values, then shape, mean and both widths of the products of neighbours
    across, down and along both diagonals (table I); NaN or infinite where a patch has no structure. Neighbours wrap at a patch's edge."""
    shape, left, right = fit_asymmetric(tiles.flatten(1))
    columns = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right = fit_asymmetric((tiles * tiles.roll(shift, (1, 2))).flatten(1))
        mean = (right - left) * (torch.lgamma(2 / shape) - torch.lgamma(1 / shape)).exp()  # eq. 7
        columns += [shape, mean, left, right]
    return torch.stack(columns, 1)


def fit_asymmetric(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Asymmetric generalised Gaussians by moments (Lasmar et al. 2009): density ~ exp(-(|x| / width)^shape), a width on each side.

    Shape 2 and equal widths are a Gaussian, shape 1 a Laplacian.

    Args:
        values: [P, N].

    Returns:
        shape, left width, right width, each [P]; NaN where one side is empty.
    """
    below, above = values < 0, values > 0
    left, right = (((values * side).square().sum(1) / side.sum(1)).sqrt() for side in (below, above))
    ratio = left / right
    flatness = values.abs().mean(1).square() / values.square().mean(1)
    flatness = flatness * (ratio**3 + 1) * (ratio + 1) / (ratio.square() + 1).square()
    shape = _shape_of(flatness)
    to_width = (0.5 * (torch.lgamma(1 / shape) - torch.lgamma(3 / shape))).exp()
    return shape, left * to_width, right * to_width


def _shape_of(flatness: Tensor) -> Tensor:
    """The tried shape s with Gamma(2/s)^2 / (Gamma(1/s) Gamma(3/s)) nearest to the flatness [P]; it grows with s."""
    shapes = SHAPES.to(flatness.device)
    ratios = (2 * torch.lgamma(2 / shapes) - torch.lgamma(1 / shapes) - torch.lgamma(3 / shapes)).exp()
    place = torch.searchsorted((ratios[1:] + ratios[:-1]) / 2, flatness.double().contiguous())
    return torch.where(flatness.isfinite(), shapes[place], torch.nan).to(flatness)


def write_niqe(path: Path, model: NiqeModel, **facts: str) -> None:
    """Save statistics, and how they were made beside them."""
    tensors = {"mean": model.mean.float().contiguous(), "covariance": model.covariance.float().contiguous()}
    save_tensors(Path(path), tensors, {"kind": "niqe", "config": json.dumps({"patch": model.patch}), **facts})


def read_niqe(path: Path, patch: int | None = None) -> NiqeModel:
    """Statistics from a file: ours, or the standard ones that a user has, as .mat, .npz or .safetensors. Nothing in a file is run.

    Args:
        path: with mu_prisparam and cov_prisparam (or mu_pris_param and cov_pris_param; ours: mean and covariance).
        patch: pixels; None for what the file says, else the paper's 96.

    Raises:
        ValueError: another format, or statistics of another form.
    """
    path = Path(path)
    arrays, metadata = _stored(path)
    for mean, covariance in NAMES:
        if mean in arrays and covariance in arrays:
            what = f"niqe statistics: {path.name}"
            config = json_entry(metadata, "config", what) if "config" in metadata else {}
            own = config.get("patch", PAPER_PATCH) if isinstance(config, dict) else config
            size = patch or checked_patch(own)
            return NiqeModel(arrays[mean].double().flatten(), arrays[covariance].double(), size)
    raise ValueError(
        f"niqe: expected mu_prisparam and cov_prisparam, but {path.name} has {sorted(arrays)[:4]}; choose statistics of NIQE"
    )


def _stored(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Numbers of a file by name, and its metadata."""
    if path.suffix == ".safetensors" or not path.is_file():
        return read_tensors(path, "niqe statistics")
    if path.suffix not in (".mat", ".npz"):
        raise ValueError(
            f"niqe statistics: expected a .mat, .npz or .safetensors file, got {path.name}; choose another"
        )
    try:
        arrays = _matlab(path) if path.suffix == ".mat" else _numpy(path)
        return {key: torch.as_tensor(value.astype("float64")) for key, value in arrays.items()}, {}
    except ImportError as error:
        raise ValueError(
            f"niqe statistics: reading {path.name} needs scipy; install it, or save the file as .npz"
        ) from error
    except Exception as error:  # a damaged file fails in whatever way it likes
        raise ValueError(
            f"niqe statistics: {path.name} cannot be read ({error}); save it as .npz or .safetensors"
        ) from error


def _matlab(path: Path) -> dict:
    """Arrays of a MATLAB file (up to version 7.2)."""
    from scipy.io import loadmat

    check_matlab(path, LENGTH)
    return _numbers(loadmat(path, variable_names=[name for names in NAMES for name in names]))


def _numpy(path: Path) -> dict:
    """Arrays of an .npz file, pickled ones refused."""
    import numpy as np

    check_archive(path, most=2 * LENGTH, part=LENGTH)
    with np.load(path, allow_pickle=False) as file:
        return _numbers({key: file[key] for names in NAMES for key in names if key in file.files})


def _numbers(entries: dict) -> dict:
    """Those that are plain arrays of real numbers."""
    import numpy as np

    return {
        key: value
        for key, value in entries.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
    }


def shipped_niqe() -> NiqeModel:
    """The statistics that come with the pack: of the factory's heads."""
    return read_niqe(shipped("niqe"))
