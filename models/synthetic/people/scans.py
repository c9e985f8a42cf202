"""The scan shapes that people are drawn from: ICT Face Model Light, read from a file that never ships with the pack.

Li et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020; its authors publish the model under the MIT licence
as ICT-FaceKit (github.com/ICT-VGL/ICT-FaceKit).
"""

from __future__ import annotations

import functools
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...foreign_files import check_archive

FILE = "ict_face_model_light.npz"
VARIABLE = "PORTRAIT_DIFFUSION_SCANS"
MOST = 256 * 2**20  # bytes that the file may unpack to; the real one has 60 million
SHELLS = ("M_EyeOcclusion", "M_LacrimalFluid", "M_EyeBlend", "M_EyeLashes")  # half transparent: not drawn
SHAPES = {
    "vertices": (np.float32, (26719, 3)),
    "faces": (np.int32, (52220, 3)),
    "face_material": (np.int8, (52220,)),
    "material_names": (np.str_, (12,)),
    "identity_modes": (np.float16, (100, 26719, 3)),
    "expression_shapes": (np.float16, (57, 26719, 3)),
    "expression_names": (np.str_, (57,)),
    "landmarks_68": (np.int32, (68,)),
}
SKIN = 11248  # vertices of face and back of the head come first
LEFT_EYE, RIGHT_EYE = slice(21451, 23021), slice(23021, 24591)  # vertices of whole eyeballs
LEFT_IRIS, RIGHT_IRIS = slice(22221, 23021), slice(23791, 24591)


@dataclass(frozen=True, kw_only=True)
class Scans:
    """The model: a mean head and what its vertices move by, centimetres, +y up, the face towards +z.

    Attributes:
        vertices: [N, 3] the neutral mean. faces: [F, 3], all. material: [F] into material_names.
        identity: [100, N, 3] offsets at one standard deviation. expressions: [57, N, 3] offsets at full strength.
        expression_names: ARKit's, with _L and _R.
        landmarks: [68] vertices. weld: [N] the first vertex at the same place: two meshes meet along a seam.
    """

    vertices: Tensor
    faces: Tensor
    material: Tensor
    material_names: tuple[str, ...]
    identity: Tensor
    expressions: Tensor
    expression_names: tuple[str, ...]
    landmarks: Tensor
    weld: Tensor

    def faces_of(self, *materials: str) -> Tensor:
        """[F, 3] faces of the named materials, in the file's order."""
        wanted = torch.tensor([self.material_names.index(name) for name in materials])
        return self.faces[torch.isin(self.material, wanted)]

    def solid_faces(self) -> Tensor:
        """[F, 3] without the shells over the eyes and the lashes."""
        return self.faces_of(*(name for name in self.material_names if name not in SHELLS))


def scans_file(path: Path | None = None) -> Path:
    """Where the model's file lies: the path given, else $PORTRAIT_DIFFUSION_SCANS, else the assets that lie shared beside the checkout.

    Args:
        path: the file, or the folder that holds it.

    Raises:
        ValueError: no file there; says where to get it.
    """
    beside = Path(__file__).resolve().parents[4] / "shared" / "assets"
    place = Path(path or os.environ.get(VARIABLE) or beside)
    place = place / FILE if place.is_dir() else place
    if not place.is_file():
        raise ValueError(
            f"scans: expected {FILE} at {place}, which is no file; make it of ICT-FaceKit's FaceXModel "
            f"(github.com/ICT-VGL/ICT-FaceKit, MIT licence) and name it by a flag or by {VARIABLE}"
        )
    return place


def scans_present(path: Path | None = None) -> bool:
    """Whether there is a file to read."""
    try:
        scans_file(path)
    except ValueError:
        return False
    return True


def load_scans(path: Path | None = None) -> Scans:
    """The model, read once per file.

    Args:
        path: as of `scans_file`.

    Raises:
        ValueError: no file, or one with other arrays, numbers that are not finite, or faces without vertices.
    """
    return _load(scans_file(path).resolve())


@functools.lru_cache(maxsize=1)
def _load(path: Path) -> Scans:
    arrays = _arrays(path)
    vertices = torch.from_numpy(arrays["vertices"])
    first = np.unique(arrays["vertices"].round(4), axis=0, return_index=True, return_inverse=True)
    return Scans(
        vertices=vertices,
        faces=torch.from_numpy(arrays["faces"].astype(np.int64)),
        material=torch.from_numpy(arrays["face_material"].astype(np.int64)),
        material_names=tuple(str(name) for name in arrays["material_names"]),
        identity=torch.from_numpy(arrays["identity_modes"].astype(np.float32)),
        expressions=torch.from_numpy(arrays["expression_shapes"].astype(np.float32)),
        expression_names=tuple(str(name) for name in arrays["expression_names"]),
        landmarks=torch.from_numpy(arrays["landmarks_68"].astype(np.int64)),
        weld=torch.from_numpy(first[1][first[2].reshape(-1)]),
    )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The file's arrays by name, of the shapes expected."""
    try:
        check_archive(path, MOST)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in SHAPES if name in archive}
    except (ValueError, OSError, zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"scans: {path} is no readable archive of arrays ({error}); get it again") from error
    for name, (dtype, shape) in SHAPES.items():
        if name not in arrays:
            raise ValueError(f"scans: {path} lacks {name}; expected {', '.join(SHAPES)}")
        array = arrays[name]
        if array.shape != shape or not np.issubdtype(array.dtype, dtype):
            raise ValueError(
                f"scans: expected {name} {np.dtype(dtype).name} {list(shape)} in {path}, "
                f"got {array.dtype.name} {list(array.shape)}; get the light model again"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"scans: {name} in {path} has NaN or infinity; get it again")
    limits = {"faces": 26719, "landmarks_68": 26719, "face_material": 12}
    for name, limit in limits.items():
        if arrays[name].min() < 0 or arrays[name].max() >= limit:
            raise ValueError(
                f"scans: expected {name} from 0 to {limit - 1} in {path}, got others; get it again"
            )
    return arrays
