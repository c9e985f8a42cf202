"""The rows of `bench rodin --generate` beside avatars: what else makes a head of the same portrait, and what a picture's refiner adds."""

from __future__ import annotations

from functools import cached_property

import torch

from ...avatar.planes import resize
from ...avatar.shared_decoder import SharedDecoder
from ...camera import Camera
from ...diffusion.turbo import Turbo, refine_sequence
from ...diffusion.turbo_weights import shipped_refiner
from ...embedded import load_weights
from ...fitting.feed_forward import feed_forward_head
from ...head import Head, head_of
from ...portrait import Weights
from ...prior.contract import styles
from ...training.avatar_decoder import fitted
from ...training.avatar_views import head_views
from ..inverted_heads import inverted
from .consistency import Look
from .people import Pictures, Subject

FEED_FORWARD, INVERSION = "feed-forward head", "inversion, quick"
FITTED, COARSE = (
    "planes fitted to 24 views",
    "planes fitted to 24 views, shrunk as the base model learns them",
)
REFINED = "refined by Turbo"


def look_at(head: Head) -> Look:
    """A head as its cameras see it."""

    def look(cameras: Camera, size: int) -> Pictures:
        view = head.render(cameras, size, normals=False)
        return Pictures(view.rgb.clamp(0, 1), view.opacity.clamp(0, 1))

    return look


class Methods:
    """Networks of the main path and of Turbo, each read when it is first asked for.

    Attributes: fits: the last fitted head by its seed, since two rows show it.
    """

    def __init__(self) -> None:
        self.fits: dict[int, Head] = {}

    @cached_property
    def weights(self) -> Weights:
        """The main path's."""
        return load_weights(torch.device("cpu"))

    @cached_property
    def turbo(self) -> Turbo:
        """The refiner that ships."""
        return shipped_refiner()

    def feed_forward(self, subject: Subject) -> Head:
        """What the encoder sees in the portrait, through the prior."""
        return feed_forward_head(self.weights.prior, self.weights.encoder, subject.portrait)

    def inversion(self, subject: Subject) -> Head:
        """The prior fitted to the portrait, preset `quick`."""
        with torch.enable_grad():
            return inverted(self.weights, subject.photo, 0, "quick")

    def fitted(self, shared: SharedDecoder, subject: Subject) -> Head:
        """What the cascade learns to draw, of views that no portrait tells of: the most that it could be."""
        if subject.seed not in self.fits:
            with torch.enable_grad():
                own = head_views(subject.factory, subject.seed, shared.config.field.box_side).fitted
                self.fits = {subject.seed: fitted(shared, own, subject.seed)}
        return self.fits[subject.seed]

    def coarse(self, shared: SharedDecoder, size: int, subject: Subject) -> Head:
        """The same as the base model learns it. Args: size: texels along its planes."""
        planes = shared.normalised(self.fitted(shared, subject).planes)
        return shared.head(shared.planes(resize(planes, size).clamp(-1, 1)))

    def prior_head(self, subject: Subject) -> Head | None:
        """The prior's head of somebody else's exact code: a person that nobody photographed; None where it takes no such codes."""
        prior = self.weights.prior
        if prior.config.z_dim != subject.factory.code_dim:
            return None
        with torch.no_grad():
            return head_of(prior, styles(prior, subject.factory.code(subject.other)))

    def refined(self, look: Look, subject: Subject) -> Look:
        """A row's pictures, refined in one step with the portrait beside them: RodinHD's rows with a star, whose refiner is 2D, too."""
        reference = subject.portrait.on_white()[None]

        def better(cameras: Camera, size: int) -> Pictures:
            plain, draws = look(cameras, size), torch.Generator().manual_seed(0)
            return Pictures(refine_sequence(self.turbo, plain.rgb, reference, generator=draws), plain.mask)

        return better
