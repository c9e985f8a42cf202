"""Views that see each other: self-attention over the tokens of several rows of a batch at once, on a stock diffusers UNet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


class ViewMixing:
    """An attention processor that regroups tokens ((b v), n, d) -> (b, (v n), d) around another one.

    Difix3D (Wu et al. 2025) and TurboPortrait3D, fig. 3. LayerNorm is per token and the residual is outside, so nothing else of a
    transformer block has to change.

    Args:
        views: rows that belong together, adjacent in the batch. inner: the processor that attends.
    """

    def __init__(self, views: int, inner) -> None:
        self.views = views
        self.inner = inner

    def __call__(
        self,
        attn,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask=None,
        temb=None,
    ) -> Tensor:
        """As the inner processor, on views side by side.

        Args:
            hidden_states: [B * views, N, D]. encoder_hidden_states: [B * views, L, E], or None.

        Returns:
            [B * views, N, D].
        """
        if encoder_hidden_states is not None:  # a block whose first attention is to the prompt, too
            return self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        tokens = hidden_states.shape[1]
        together = hidden_states.unflatten(0, (-1, self.views)).flatten(1, 2)
        return (
            self.inner(attn, together, None, attention_mask, temb)
            .unflatten(1, (self.views, tokens))
            .flatten(0, 1)
        )


def check_rows(rows: int, views: int) -> None:
    """Raises ValueError unless a batch falls into groups of `views` rows."""
    if views < 1 or rows % views:
        raise ValueError(
            f"view mixing: expected a batch of whole groups of {max(views, 1)} views, got {rows} rows; repeat or split it"
        )


@contextmanager
def view_mixing(unet: UNet2DConditionModel, views: int) -> Iterator[None]:
    """Inside, `views` adjacent rows of the UNet's batch see each other in self-attention; then it is as it was.

    With gradient checkpointing, go backward inside: the blocks run again then.
    """
    if views == 1:
        yield
        return
    before = unet.attn_processors
    mixing = {
        name: ViewMixing(views, processor) if name.endswith("attn1.processor") else processor
        for name, processor in before.items()
    }
    unet.set_attn_processor(mixing)  # pyright: ignore[reportArgumentType] diffusers names its own classes only
    try:
        yield
    finally:
        unet.set_attn_processor(dict(before))
