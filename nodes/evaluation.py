"""Evaluate views: pictures against what they should be, as a table and as pictures."""

from __future__ import annotations

import comfy.model_management as mm
import torch
import torch.nn.functional as F
from comfy_api.latest import io

from ..models.metrics.evaluate import Figure, Judges, evaluate, shipped_judges
from ..models.metrics.flicker import column_picture, plain_flicker
from . import convert, loading
from .types import CATEGORY

SIDE = 256  # pixels of a picture on the sheet


class EvaluateViews(io.ComfyNode):
    """IMAGE batch + references -> figures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionEvaluateViews",
            display_name="Evaluate Views",
            category=CATEGORY,
            description="Compares images with references, pair by pair: L2, PSNR, SSIM, our perceptual distance and identity, kernel "
            "distance, NIQE, silhouettes, and change along the sequence. Our networks know procedural heads; they are not LPIPS or ArcFace; "
            "they join where you have their files.",
            search_aliases=["metrics", "psnr", "ssim", "lpips", "compare images", "flicker"],
            inputs=[
                io.Image.Input("images", tooltip="Pictures to judge."),
                io.Image.Input("references", tooltip="What they should be, one for each or one for all."),
                io.Mask.Input(
                    "masks", optional=True, tooltip="Foreground of the images, for the silhouettes' overlap."
                ),
                io.Mask.Input(
                    "reference_masks",
                    optional=True,
                    tooltip="Foreground of the references: PSNR within it, NIQE of it.",
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="From Load CLIP Vision: adds the likeness of CLIP's embeddings.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="table", tooltip="One metric a line."),
                io.Image.Output(
                    display_name="sheet",
                    tooltip="Images, references, and their difference four times as strong.",
                ),
                io.Image.Output(
                    display_name="columns",
                    tooltip="The middle column of every image side by side, above the references': bands where views agree, jagged where "
                    "they flicker (RodinHD, figure 9).",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs) -> list:
        return loading.file_facts(*loading.judge_files().values())

    @classmethod
    def execute(cls, images, references, masks=None, reference_masks=None, clip_vision=None) -> io.NodeOutput:
        with torch.inference_mode(False):
            judges = shipped_judges(
                **loading.user_judges(), clip=None if clip_vision is None else embedder(clip_vision)
            )
        holder = loading.patcher(*judges.networks())
        mm.load_models_gpu([holder])
        device = holder.load_device
        pictures, truths = (convert.from_image(x).to(device) for x in (images, references))
        solid = [None if m is None else m[:, None].to(device).float() for m in (masks, reference_masks)]
        table = words(figures(pictures, truths, judges, *solid))
        if len(truths) == 1:
            truths = truths.expand(len(pictures), -1, -1, -1)
        columns = torch.cat([column_picture(at_side(x)) for x in (pictures, truths)], -2)
        return io.NodeOutput(
            table,
            convert.to_image(sheet(pictures, truths)[None]),
            convert.to_image(columns[None]),
            ui={"text": [table]},
        )


def embedder(clip_vision):
    """[B, 3, H, W] in [0, 1] -> a CLIP's embeddings [B, D]."""
    return lambda images: clip_vision.encode_image(convert.to_image(images))["image_embeds"].float()


def figures(images, references, judges: Judges, masks, reference_masks) -> list[Figure]:
    """Of pairs, and of the sequence where it has three pictures or more."""
    rows = evaluate(images, references, judges, masks=masks, reference_masks=reference_masks)
    if len(images) > 2:
        rows.append(Figure("change along the sequence", "", torch.tensor([plain_flicker(images)]), False))
    return rows


def words(rows: list[Figure]) -> str:
    """One line a metric."""
    return "\n".join(line(row) for row in rows)


def line(row: Figure) -> str:
    """Of one metric; where it judges some pictures only, how many."""
    some = "" if row.judged == len(row.values) else f", {row.judged} of {len(row.values)} pictures"
    value = f"{row.value:.4g}" if row.judged else "none"
    return (
        f"{row.metric}: {value} {row.unit}".rstrip()
        + f" ({'higher' if row.higher else 'lower'} is better{some})"
    )


def at_side(images):
    """[B, 3, SIDE, SIDE]."""
    return F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", antialias=True).clamp(0, 1)


def sheet(images, references):
    """[3, 3 SIDE, B SIDE]: images over references over their difference."""
    a, b = at_side(images), at_side(references)
    return torch.cat([torch.cat(list(rows), -1) for rows in (a, b, (4 * (a - b).abs()).clamp(max=1))], -2)
