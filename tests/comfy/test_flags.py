"""The workflow under the flags with which people save memory.

Core takes --novram and --cpu only one at a time, and without an accelerator it starts with --cpu alone: there tests/nodes/test_loading.py
loads our modules as --novram would, and this file takes the flags that do something on a CPU.
"""

import pytest
from portrait_diffusion.workflows.client import Client
from portrait_diffusion.workflows.server import ServerFailed, has_accelerator

from .graphs import by_hand, number, small

ACCELERATOR = has_accelerator()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(
            ("--novram",),
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(
                    not ACCELERATOR, reason="core starts with --novram on an accelerator only"
                ),
            ],
        ),
        ("--cpu", "--disable-smart-memory", "--cache-none", "--disable-metadata", "--deterministic"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_the_workflow_runs(arguments, start):
    server = start(arguments=arguments)
    graph = by_hand(
        small(
            "portrait.png",
            InvertPortrait={"latent_steps": 1, "tuning_steps": 1},
            HeadToMesh={"resolution": 48},
        ),
        "mask.png",
    )
    outcome = Client(server.url).run(graph)
    server.stop()
    assert (
        outcome.outputs[number(graph, "SaveGLB")]["3d"]
        and outcome.outputs[number(graph, "SaveVideo")]["images"]
    )


@pytest.mark.skipif(ACCELERATOR, reason="for machines that cannot start core with --novram")
def test_core_takes_novram_or_cpu(start):
    """Why the row above is skipped here; where this fails, core has changed and the row can run."""
    with pytest.raises(ServerFailed, match="not allowed with argument"):
        start(arguments=("--novram", "--cpu"))
