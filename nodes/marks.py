"""Provenance: pictures are marked, for people and for a reader, and read back."""

from __future__ import annotations

import comfy.model_management as mm
from comfy_api.latest import io

from ..models.marks import invisible, visible
from . import convert
from .optimising import Progress
from .types import CATEGORY

WAYS = {
    "each picture": invisible.read,
    "one video": lambda pictures: [invisible.read_together(pictures)],
    "cropped pictures": invisible.read_cropped,
}


class MarkImages(io.ComfyNode):
    """IMAGE -> the same with a tag, with an invisible mark, or with both."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionMarkImages",
            display_name="Mark Images",
            category=CATEGORY,
            description="Says that pictures are made by a machine: words in a corner, and a number that nobody sees, which Read Mark reads "
            "also after JPEG and resizing. For renders, turntables, frames of a video, any image. No proof: whoever wants to can remove it.",
            search_aliases=["watermark", "provenance", "AI label", "invisible watermark", "tag"],
            inputs=[
                io.Image.Input("images", tooltip="Any pictures; frames of a video, too."),
                io.Boolean.Input(
                    "visible", default=True, tooltip="Words in a corner, white on a dark plate."
                ),
                io.String.Input(
                    "text",
                    default=visible.TEXT,
                    tooltip="The words, one line of Latin letters, digits, signs.",
                ),
                io.Combo.Input(
                    "corner",
                    options=list(visible.CORNERS),
                    default=visible.CORNERS[0],
                    tooltip="Where the words are.",
                ),
                io.Boolean.Input(
                    "invisible",
                    default=True,
                    tooltip="A number spread over the whole picture; pictures of 128 pixels and more.",
                ),
                io.Int.Input(
                    "number",
                    default=0,
                    min=0,
                    max=invisible.NUMBERS - 1,
                    tooltip="What the invisible mark says: a project, a customer, a date of yours.",
                ),
                io.Float.Input(
                    "psnr",
                    default=invisible.PSNR,
                    min=38.0,
                    max=50.0,
                    step=0.5,
                    advanced=True,
                    tooltip="dB of a picture with the invisible mark to itself; less survives more, more is seen less. Clutter that would drown the mark takes up to 3.5 dB less.",
                ),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="The same pictures, marked.")],
        )

    @classmethod
    def execute(
        cls,
        images,
        visible: bool,
        text: str,
        corner: str,
        invisible: bool,
        number: int,
        psnr: float = invisible.PSNR,
    ) -> io.NodeOutput:
        pictures = convert.from_image(images).to(mm.get_torch_device())
        if visible:
            pictures = tagged(pictures, text, corner)
        if invisible:
            pictures = numbered(pictures, number, psnr)
        return io.NodeOutput(convert.to_image(pictures))


def tagged(pictures, text: str, corner: str):
    """[B, 3, H, W] with words."""
    return visible.tag(pictures, text, corner)


def numbered(pictures, number: int, psnr: float):
    """[B, 3, H, W] with a number; the node's progress is of pictures."""
    progress = Progress(len(pictures))
    return invisible.mark(pictures, number, psnr=psnr, callback=lambda count, _: progress.update(count))


class ReadMark(io.ComfyNode):
    """IMAGE -> whether it has our invisible mark, and what that says."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionReadMark",
            display_name="Read Mark",
            category=CATEGORY,
            description="Looks for the invisible mark of Mark Images and reads its number. It takes an unmarked picture for a marked one less "
            "than once in a million; pictures that were turned, or cropped by more than a little, it does not recognise.",
            search_aliases=["watermark detector", "provenance", "detect AI", "decode watermark"],
            inputs=[
                io.Image.Input("images", tooltip="Pictures that may be marked, of any size."),
                io.Combo.Input(
                    "look",
                    options=list(WAYS),
                    default=next(iter(WAYS)),
                    tooltip="Each picture by itself; all as frames of one video, whose mark is read where single frames are too weak; or also for "
                    "pictures of which up to 6 % was cut off at any side, which takes seconds a picture.",
                ),
            ],
            outputs=[
                io.Boolean.Output(display_name="found", tooltip="Whether every picture has a mark."),
                io.Int.Output(display_name="number", tooltip="Of the first that has one; -1 for none."),
                io.Float.Output(
                    display_name="score",
                    tooltip=f"The least: a mark is one from {invisible.threshold():.2f} on, for cropped pictures from {invisible.threshold(invisible.CUTS):.2f} on; {invisible.CARRIERS**0.5:.1f} at most.",
                ),
                io.String.Output(display_name="report", tooltip="One line a picture."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images, look: str) -> io.NodeOutput:
        pictures = convert.from_image(images).to(mm.get_torch_device())
        readings = WAYS[look](pictures)
        numbers = [reading.number for reading in readings if reading.present]
        report = "\n".join(line(i, reading) for i, reading in enumerate(readings))
        return io.NodeOutput(
            len(numbers) == len(readings),
            numbers[0] if numbers else -1,
            min(reading.score for reading in readings),
            report,
            ui={"text": [report]},
        )


def line(index: int, reading: invisible.Reading) -> str:
    """What one picture says, in words."""
    words = f"number {reading.number}" if reading.present else "no mark"
    return f"{index}: {words}, score {reading.score:.2f} (a mark from {invisible.threshold(reading.tries):.2f} on)"
