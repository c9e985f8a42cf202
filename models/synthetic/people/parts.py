"""What a person is put together from: surfaces that are painted where a pixel sees them, and hair.

All positions are in the canonical frame (scene units). `rest` coordinates are those of the scan model's neutral head in centimetres
(+y up, the face towards +z), carried along by every vertex: paint lives in them, so it moves with the surface.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Paint:
    """What P points of a surface are made of.

    Attributes:
        albedo: [P, 3] linear RGB in [0, 1].
        roughness: [P] of the specular lobe (GGX), in (0, 1].
        specular: [P] factor on a dielectric's reflection, 1 = skin.
        scatter: [P, 3] how far light wraps around an edge, per colour; 0 = Lambert.
        bump: [P, 3] gradient of the height over rest coordinates, unitless; 0 = smooth.
        opacity: [P] in [0, 1]: lenses and veils let through what lies behind.
    """

    albedo: Tensor
    roughness: Tensor
    specular: Tensor
    scatter: Tensor
    bump: Tensor
    opacity: Tensor


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A triangle mesh with its paint.

    Attributes:
        vertices: [N, 3] scene units. faces: [F, 3]. rest: [N, 3] centimetres.
        paint: rest coordinates [P, 3] of visible points -> Paint.
        name: what it is, for errors and sheets.
        transparent: whether its paint's opacity counts; others hide what lies behind.
        two_sided: whether its back is seen: cloth, a hat's brim.
        normals: [N, 3] unit, or None for those of its faces. coat: [N, 3] unit, of a wet layer that reflects, or None for the same.
        cavity: [N] share of light that folds too fine for shadow maps let through, or None to read it off the mesh.
        recess: scene units that its points are raised for shadows: eyes lie behind their lids.
        thin: whether it is thinner than what dims the sky, about a centimetre: the wire of glasses throws lamps' shadows alone.
    """

    vertices: Tensor
    faces: Tensor
    rest: Tensor
    paint: Callable[[Tensor], Paint]
    name: str
    transparent: bool = False
    two_sided: bool = True
    normals: Tensor | None = None
    coat: Tensor | None = None
    cavity: Tensor | None = None
    recess: float = 0.0
    thin: bool = False


@dataclass(frozen=True, kw_only=True)
class Hair:
    """Strands, drawn as ribbons that face the camera.

    Attributes:
        strands: [N, K, 3] scene units, root first.
        normals: [N, K, 3] unit: which way the surface of the hair as a whole looks.
        width: [N] scene units at the root; ribbons taper to their tips.
        colour: [N, 3] linear albedo of each strand.
        depth: [N, K] in [0, 1], 0 = deep within the hair, 1 = outermost: inner ones get less light.
        tip: share of the width that is left at the tip. gloss: factor on highlights.
        name: what it is: "hair", "brows", "lashes", "beard".
    """

    strands: Tensor
    normals: Tensor
    width: Tensor
    colour: Tensor
    depth: Tensor
    tip: float = 0.35
    gloss: float = 1.0
    name: str = "hair"


@dataclass(frozen=True, kw_only=True)
class Body:
    """The bare head that hair grows on and clothes are put on.

    Attributes:
        vertices: [N, 3] scene units, of the whole scan topology. rest: [N, 3] centimetres (the neutral mean).
        faces: [F, 3], without the shells over the eyes and the lashes. normals: [N, 3] unit length.
        scale: scene units per centimetre of this person (pupils 0.09 apart).
        pupils: [2, 3] the subject's left (+x) and right eye's centres.
        landmarks: [68, 3] the usual 68 points.
        scalp: [N] in [0, 1]: where hair may grow.
        gaze: radians that the eyes look aside (towards +x) and up.
        posture: [4, 4] what carries an upright torso to where this person's is: the head keeps looking along +z, the neck turns below.
        male: whether the face's proportions, brows and beard are drawn as a man's; tone: 0 lightest to 5 darkest skin; age: 0 young
            to 1 old.
        child: 0 grown up to 1 about six years old; weight: -1 gaunt to 1 heavy; origin: a name in `nature.TONES`.
    """

    vertices: Tensor
    rest: Tensor
    faces: Tensor
    normals: Tensor
    scale: float
    pupils: Tensor
    landmarks: Tensor
    scalp: Tensor
    gaze: tuple[float, float]
    posture: Tensor
    male: bool
    tone: float
    age: float
    child: float
    weight: float
    origin: str
