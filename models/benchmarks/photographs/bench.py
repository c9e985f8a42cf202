"""`bench photographs`: the main path on photographs, of which no exact views exist.

The own view against the photo; how rough the surface is, and what hangs in the air beside it; whether a seam shows where the photo ends
and colours drift behind it; the GLB against the photo, twice as fine. Beside it, for measure: the same of the factory's frontal
pictures taken for photographs, and, where it has a meaning, of the factory's exact views. Photos have numbers, by their files' names.
"""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import torch

from ...commands.report import Row
from ...fitting.inversion_config import PRESETS
from ...metrics.perceptual import shipped_perceptual
from ..exact_heads import factory_heads
from ..options import add_factory, add_split, asked_factory, bench_parser, called
from ..store import HeadBench, difference_rows, store_path
from .figures import (
    Figures,
    exact_sides,
    glb_figures,
    own_view_figures,
    sides_of,
    stray_figures,
    surface_figures,
)
from .photos import Photo, as_photograph, bundled_photos, folder_photos
from .portraits import BEGUN, DRAWN, Portraits

UNITS = {
    "own view": "dB",
    "own face": "dB",
    "coverage": "",
    "silhouette IoU": "",
    "perceptual": "",
    "roughness": "degrees",
    "roughness, face": "degrees",
    "roughness, hair": "degrees",
    "stray pieces": "",
    "stray share": "",
    "seam": "",
    "drift, hair": "",
    "drift, skin": "",
    "GLB front": "dB",
    "GLB detail": "",
    "GLB detail correlation": "",
    "time": "s",
}
REFUSED = "refused"
COMPARED = (
    "roughness",
    "roughness, face",
    "roughness, hair",
    "seam",
    "drift, hair",
    "drift, skin",
)  # by their ratio
FALLING = {*COMPARED, "perceptual", "stray pieces", "stray share", "time"}  # the less the better
PHOTOS, FACTORY, EXACT = "photos", "factory heads taken for photos", "factory heads, exact views"
MEDIAN, WORST = "median", "worst"
GOALS = {
    f"{PHOTOS}, {MEDIAN}": {"own view": 27.0, "stray pieces": 0.0, "GLB front": 27.0, "GLB detail": 0.8},
    f"{PHOTOS}, {WORST}": {"own view": 22.0},
    f"{PHOTOS} over {EXACT}": {"roughness": 1.5, "seam": 1.3, "drift, hair": 1.3, "drift, skin": 1.3},
}
BEFORE = "before: "


class PhotoBench(HeadBench[Photo]):
    """Photographs and the factory's heads, as figures by photo.

    Args:
        others: the photographs by other ways, by the names of these.
    """

    def __init__(
        self,
        photos: list[Photo],
        factory: list[Photo],
        portraits: Portraits,
        store: Path,
        minutes: float,
        others: dict[str, Portraits] | None = None,
    ) -> None:
        super().__init__([*photos, *factory], store, minutes)
        self.photos, self.factory, self.portraits = photos, factory, portraits
        self.others = {f"{PHOTOS}, {way}": other for way, other in (others or {}).items()}
        self.perceptual = shipped_perceptual()

    def measured(self, photo: Photo, portraits: Portraits | None = None) -> Figures:
        """Of one photo, or that it was refused; what has no value is left out."""
        try:
            portrait = (portraits or self.portraits).of(photo)
        except ValueError as error:
            print(f"{photo.name} was refused: {error}", flush=True)
            return {REFUSED: 1.0}
        head, reference = portrait.head, portrait.reference
        return defined(
            own_view_figures(head, reference, self.perceptual)
            | surface_figures(sides_of(head, reference))
            | stray_figures(head)
            | glb_figures(portrait.mesh, reference, photo)
            | {"time": sum(portrait.seconds.values())}
        )

    def exact(self, photo: Photo) -> Figures | None:
        """Of a factory head's exact views; a photograph has none."""
        return None if photo.exact is None else defined(surface_figures(exact_sides(photo.exact)))

    def run(self) -> None:
        """The photos first."""
        self.fill(PHOTOS, self.photos, self.measured)
        self.fill(EXACT, self.factory, self.exact)
        self.fill(FACTORY, self.factory, self.measured)
        for name, portraits in self.others.items():
            self.fill(name, self.photos, partial(self.measured, portraits=portraits))

    def rows(self) -> list[Row]:
        """Photo by photo; medians and worst; ratios; goals."""
        done = self.done[PHOTOS]
        rows = [
            Row(photo.name, metric, done[photo.key][metric], UNITS.get(metric, ""))
            for photo in self.photos
            if photo.key in done
            for metric in [REFUSED, *UNITS]
            if metric in done[photo.key]
        ]
        medians = {name: medians_of(self.done[name]) for name in (PHOTOS, FACTORY, EXACT)}
        rows += [Row(PHOTOS, REFUSED, sum(REFUSED in one for one in done.values()), "", n=len(done))]
        rows += table(f"{PHOTOS}, {MEDIAN}", medians[PHOTOS])
        rows += table(f"{PHOTOS}, {WORST}", worst_of(done))
        for name in (FACTORY, EXACT):
            rows += table(f"{name}, {MEDIAN}", medians[name])
        for name in (FACTORY, EXACT):
            rows += table(f"{PHOTOS} over {name}", ratios(medians[PHOTOS], medians[name]), unitless=True)
        for name in self.others:
            rows += table(f"{name}, {MEDIAN}", medians_of(self.done[name]))
            rows += difference_rows(f"{name}, less the inversion", self.done[name], done, UNITS)
        return rows + [
            Row(f"goal: {name}", metric, value, "" if " over " in name else UNITS[metric])
            for name, goals in GOALS.items()
            for metric, value in goals.items()
        ]

    def draw_sheet(self, path: Path) -> None:
        """All photos, then as many heads of the factory, then other ways, as far as the bench has come."""
        from .sheet import draw_sheet, refused_strip, strip

        strips = []
        parts = [(PHOTOS, self.photos, self.portraits), (FACTORY, self.factory, self.portraits)]
        parts += [(name, self.photos, portraits) for name, portraits in self.others.items()]
        for name, photos, portraits in parts:
            for photo in photos:
                figures = self.done[name].get(photo.key)
                if figures is not None:
                    refused = REFUSED in figures
                    shown = refused_strip(photo) if refused else strip(portraits.of(photo))
                    label = photo.name if portraits is self.portraits else f"{photo.name}, {name}"
                    strips.append((f"{label}, {REFUSED}" if refused else label, shown))
        draw_sheet(strips, path)


def defined(figures: Figures) -> Figures:
    """Those that are numbers: a region that a head does not show has none."""
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def values_of(done: dict[str, Figures]) -> dict[str, list[float]]:
    """Metric -> its figures, of those that have one."""
    every = {metric: [one[metric] for one in done.values() if metric in one] for metric in UNITS}
    return {metric: values for metric, values in every.items() if values}


def medians_of(done: dict[str, Figures]) -> dict[str, tuple[float, int]]:
    """Metric -> median and count."""
    return {
        metric: (float(torch.tensor(values, dtype=torch.float64).quantile(0.5)), len(values))
        for metric, values in values_of(done).items()
    }


def worst_of(done: dict[str, Figures]) -> dict[str, tuple[float, int]]:
    """Metric -> worst figure and count."""
    return {
        metric: (max(values) if metric in FALLING else min(values), len(values))
        for metric, values in values_of(done).items()
    }


def ratios(
    ours: dict[str, tuple[float, int]], other: dict[str, tuple[float, int]]
) -> dict[str, tuple[float, int]]:
    """Metric -> our median over another, and the smaller count."""
    return {
        metric: (ours[metric][0] / other[metric][0], min(ours[metric][1], other[metric][1]))
        for metric in COMPARED
        if metric in ours and other.get(metric, (0.0, 0))[0] > 0
    }


def table(name: str, figures: dict[str, tuple[float, int]], *, unitless: bool = False) -> list[Row]:
    """Rows of figures with their counts."""
    return [
        Row(name, metric, value, "" if unitless else UNITS[metric], n=count)
        for metric, (value, count) in figures.items()
    ]


def rows_before(path: Path) -> list[Row]:
    """Of an earlier report, under names that say so.

    Raises:
        ValueError: no report of this bench.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if not str(content.get("name", "")).startswith("photographs"):
        raise ValueError(
            f"bench photographs: expected a report of its own in {path.name}, got {content.get('name')!r}; name a JSON that it wrote"
        )
    told = [Row(**row) for row in content["rows"]]
    return [
        Row(f"{BEFORE}{row.row}", row.metric, row.value, row.unit, row.low, row.high, row.n)
        for row in told
        if not row.row.startswith(("goal: ", BEFORE))
    ]


def run(arguments: list[str]) -> None:
    """Print the table; what the clock cuts off, the next call goes on with."""
    parser = bench_parser("photographs", __doc__)
    parser.add_argument(
        "--photos", type=Path, metavar="DIR", help="portraits of yours in place of scikit-image's astronaut"
    )
    add_split(parser)
    add_factory(parser)
    parser.set_defaults(count=6)
    parser.add_argument("--preset", choices=list(PRESETS), default="quick")
    parser.add_argument("--minutes", type=float, default=40, help="begin no photo after so long (40)")
    parser.add_argument(
        "--avatars",
        action="store_true",
        help="also the photographs' avatars, drawn by RodinHD's diffusion, and inversions that begin at them",
    )
    parser.add_argument(
        "--before",
        type=Path,
        metavar="FILE",
        help="an earlier report of the same photos, into the same table",
    )
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="PNG: photo, own view, GLB and eight sides, a strip a photo",
    )
    parser.add_argument(
        "--before-sheet", type=Path, metavar="FILE", help="its sheet, whose strips then stand above these"
    )
    with called(parser, arguments) as options:
        photos = folder_photos(options.photos) if options.photos else bundled_photos()
        portraits = Portraits(options.preset)
        heads = factory_heads(options.split, options.count, asked_factory(options, portraits.weights.prior))
        factory = [as_photograph(head) for head in heads]
        store = store_path("photographs", __file__, (options.preset, PRESETS[options.preset], portraits.mesh))
        others = {way: Portraits(options.preset, way) for way in (DRAWN, BEGUN) if options.avatars}
        bench = PhotoBench(photos, factory, portraits, store, options.minutes, others)
        before = rows_before(options.before) if options.before else []
        bench.tell(f"photographs, {options.preset}", options, before)
        if options.sheet:
            bench.draw_sheet(options.sheet)
            if options.before_sheet:
                from .sheet import pair_sheets

                pair_sheets(options.before_sheet, options.sheet, options.sheet)
