"""`bench rodin --generate`: avatars of held-out portraits by the cascade, its variants, and whatever else makes a head of a portrait.

Which of RodinHD's tables is where:

- 1 and 7: "what ships" beside its base model alone, the feed-forward head, and, with `--slow`, the inversion, Turbo on both's
  pictures, and planes fitted to 24 views, the most that the cascade could draw; exact views for what the judges themselves are wrong by.
- 2: rows of nobody, by kernel and Frechet distance on features of ours; a prior's head of somebody else's code stands for the GANs.
- 3 and 8: rows "refit", with `--refit`: our field fitted to a row's pictures. Figure 9: `--sheet`.
- 4b: the variants that `train avatar-base --variant` has left in the cache, each trained for as many steps; base models alone, so that
  the upsampler hides nothing, and where two make fine planes, those two. What each step changes stands below, paired.
- 9 asked people; ranks by our judges stand for them.
- Guidance: the paper has one value and no table; what ships at others, beside its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...avatar.model import avatar
from ...commands.report import Row
from ...head import Head
from ...metrics.evaluate import Judges, shipped_judges
from ...presence import present
from ...training.avatar_upsampler import COARSE as COARSE_SIZE
from ..heads import save
from ..store import HeadBench, difference_rows, mean_rows
from . import consistency
from .consistency import Look, line_picture, refitted
from .figures import UNITS, distance_rows, figures_of, own_figures, rank_rows, verdict
from .methods import COARSE, FEED_FORWARD, FITTED, INVERSION, REFINED, Methods, look_at
from .networks import ALONE, GUIDANCE, SHIPS, UPSAMPLED, VARIANT_ROWS, Files, Networks, guided
from .people import SIZE, Subject
from .readings import Readers, shipped_readers

EXACT, OTHERS = "exact views", "exact views of others"
NOBODY, PRIOR = "nobody, what ships", "nobody, the prior's head of another's code"
STARRED = f"{SHIPS}, {REFINED}"
STEPS = [  # of table 4b; the paper says of the last that it is worse
    ("multi_scale", "linear"),
    ("multi_scale", "token"),
    ("one_scale", "token"),
    ("multi_scale", "one_scale"),
    ("naive", "linear"),
]
TURNED = (EXACT, FITTED, SHIPS, STARRED, FEED_FORWARD)  # rows of figure 9
RANKED = ("identity to the portrait", "perceptual", "identity across views")
ON_SHEET = 4  # heads


class GenerationBench(HeadBench[Subject]):
    """Rows of pictures. Args: slow: also rows that take minutes a head. refit: also tables 3 and 8."""

    def __init__(
        self, heads: list[Subject], store: Path, minutes: float, files: Files, *, slow: bool, refit: bool
    ) -> None:
        super().__init__(heads, store, minutes)
        self.networks, self.methods = Networks(files), Methods()
        self.slow, self.refit = slow, refit

    @cached_property
    def judges(self) -> Judges:
        return shipped_judges()

    @cached_property
    def readers(self) -> Readers:
        return shipped_readers()

    @cached_property
    def looks(self) -> dict[str, Callable[[Subject], Look]]:
        """Every row of the portrait's head, the cheap ones first: subject -> what cameras see."""
        rows: dict[str, Callable[[Subject], Look]] = {EXACT: lambda subject: subject.exact}
        for name, draw in self.networks.draws().items():
            rows[name] = partial(of_portrait, draw)
        rows[FEED_FORWARD] = lambda subject: look_at(self.methods.feed_forward(subject))
        if self.slow:
            shared = self.networks.shared
            rows[FITTED] = lambda subject: look_at(self.methods.fitted(shared, subject))
            rows[COARSE] = lambda subject: look_at(self.methods.coarse(shared, COARSE_SIZE, subject))
            for name in (SHIPS, FEED_FORWARD):
                if name in rows:
                    rows[f"{name}, {REFINED}"] = partial(self._refined, rows[name])
            rows[INVERSION] = lambda subject: look_at(self.methods.inversion(subject))
        return rows

    def _refined(self, make: Callable[[Subject], Look], subject: Subject) -> Look:
        return self.methods.refined(make(subject), subject)

    @cached_property
    def strangers(self) -> dict[str, Callable[[Subject], Look | None]]:
        """Rows of nobody's portrait."""
        rows: dict[str, Callable[[Subject], Look | None]] = {
            OTHERS: lambda subject: subject.somebody_else.exact
        }
        files = self.networks.files
        if files.base.is_file() and files.upsampler.is_file():
            model = self.networks.whole(files.base)
            rows[NOBODY] = lambda subject: look_at(avatar(model, None, draws_of(subject)))
        rows[PRIOR] = lambda subject: none_or_look(self.methods.prior_head(subject))
        return rows

    def measured(self, make: Callable[[Subject], Look], subject: Subject) -> dict[str, Any]:
        """One row of one head."""
        return figures_of(make(subject)(subject.cameras, SIZE), subject, self.judges, self.readers)

    def of_strangers(self, name: str, subject: Subject) -> dict[str, Any] | None:
        """One row of nobody."""
        look = self.strangers[name](subject)
        if look is None:
            return None
        cameras = subject.somebody_else.cameras if name == OTHERS else subject.cameras
        return own_figures(look(cameras, SIZE), self.judges)

    def refit_figures(
        self, make: Callable[[Subject], Look | None], subject: Subject
    ) -> dict[str, float] | None:
        """Of a row's pictures; none, and said, where nothing can be fitted to them."""
        look = make(subject)
        if look is None:
            return None
        eyes = present(
            self.judges.perceptual, "a perceptual network among the judges", "take `shipped_judges`"
        )
        try:
            return refitted(look, subject.seed, eyes)
        except ValueError as error:
            print(f"{subject.name}: {error}", flush=True)
            return None

    def refits(self) -> dict[str, Callable[[Subject], Look | None]]:
        """Rows of tables 3 and 8."""
        rows: dict[str, Callable[[Subject], Look | None]] = {
            name: self.looks[name] for name in (EXACT, SHIPS, STARRED, FEED_FORWARD) if name in self.looks
        }
        return rows | {name: self.strangers[name] for name in (NOBODY, PRIOR) if name in self.strangers}

    def run(self) -> None:
        """Head by head, so that a stopped bench has whole ones."""
        for head in self.heads:
            for name, make in self.looks.items():
                self.fill(name, [head], partial(self.measured, make))
            for name in self.strangers:
                self.fill(name, [head], partial(self.of_strangers, name))
            for name, make in self.refits().items() if self.refit else ():
                self.fill(refit_name(name), [head], partial(self.refit_figures, make))

    def rows(self) -> list[Row]:
        """The tables, what is paired, distances of sets, ranks."""
        rows = list[Row]()
        exact = self.done.get(EXACT, {})
        for name, figures in self.done.items():
            refit = name.startswith(refit_name(""))
            rows += mean_rows(name, figures, consistency.UNITS if refit else UNITS)
            if not refit and name != EXACT:
                rows += distance_rows(name, figures, exact)
        return rows + self.paired() + rank_rows(self.compared(), self.done, RANKED)

    def compared(self) -> list[str]:
        """Rows that make a head of a portrait in ways of their own."""
        return [name for name in (SHIPS, STARRED, FEED_FORWARD, INVERSION) if name in self.done]

    def paired(self) -> list[Row]:
        """What the upsampler, each step of table 4b, guidance and this way of making heads change, over the heads that both have."""
        pairs = table_4b()
        pairs += [(guided(scale), SHIPS) for scale in GUIDANCE]
        pairs += [(SHIPS, other) for other in (ALONE, STARRED, FEED_FORWARD, INVERSION, FITTED)]
        pairs.append((ALONE, COARSE))
        pairs += [(refit_name(STARRED), refit_name(SHIPS)), (refit_name(NOBODY), refit_name(PRIOR))]
        rows = list[Row]()
        for name, other in pairs:
            units = consistency.UNITS if name.startswith(refit_name("")) else UNITS
            ours, theirs = self.done.get(name, {}), self.done.get(other, {})
            rows += difference_rows(f"{name} less {other}", ours, theirs, units)
        return rows

    def verdicts(self) -> list[str]:
        """Of each step of table 4b, in words, whether it shows at this scale: a line each."""
        lines = []
        for name, other in table_4b():
            rows = difference_rows(name, self.done.get(name, {}), self.done.get(other, {}), UNITS)
            words = ", ".join(f"{row.metric} {verdict(row)}" for row in rows)
            lines += [f"table 4b, {name} less {other}: {words} (n = {rows[0].n})"] if rows else []
        return lines

    def draw_sheet(self, path: Path) -> None:
        """What heads look like, and figure 9: of each head its portrait, then every row's front; below it, for those that the figure
        compares, the lines of its turn."""
        strips = list[Tensor]()
        for subject in self.heads[:ON_SHEET]:
            photo = subject.portrait.on_white_at(SIZE)
            tiles = [torch.cat([photo, torch.ones_like(photo)], -2)]
            for name, make in self.looks.items():
                look = make(subject)
                front = look(subject.cameras[:1], SIZE).rgb[0]
                lines = line_picture(look, SIZE) if name in TURNED else torch.ones_like(front)
                tiles.append(torch.cat([front, lines], -2))
            strips.append(torch.cat(tiles, -1))
        save(torch.cat(strips, -2).clamp(0, 1), path)
        print(f"{path.name}, from the left: portrait, {', '.join(self.looks)}", flush=True)


def table_4b() -> list[tuple[str, str]]:
    """Its steps: a row and the one that it is held against; all but "naive" over "linear" are better in the paper."""
    pairs = [(VARIANT_ROWS[ours], VARIANT_ROWS[other]) for ours, other in STEPS]
    return [*pairs, (f"{VARIANT_ROWS[UPSAMPLED]}, upsampled", VARIANT_ROWS["naive"])]


def draws_of(subject: Subject) -> torch.Generator:
    """A head's draws: the same for all rows."""
    return torch.Generator().manual_seed(subject.seed)


def of_portrait(draw: Callable[..., Head], subject: Subject) -> Look:
    """An avatar's views."""
    return look_at(draw(subject.portrait, draws_of(subject)))


def none_or_look(head: Head | None) -> Look | None:
    """What cameras see of a head, where there is one."""
    return None if head is None else look_at(head)


def refit_name(name: str) -> str:
    """A row of tables 3 and 8."""
    return f"refit: {name}"
