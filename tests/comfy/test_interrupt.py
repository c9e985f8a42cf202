"""An interrupted or killed inversion goes on where it stopped, and ends with the same bits."""

import time

import pytest
import torch
from portrait_diffusion.workflows.client import Client, PromptFailed

from .graphs import by_hand, number, only, small

STEPS = {"preset": "full", "latent_steps": 6, "tuning_steps": 6}


def graph(seed: int, *, save_often: bool = False, **steps) -> dict:
    """The inversion of the shipped graph, up to the saved head."""
    made = only(
        by_hand(small("portrait.png", InvertPortrait={**STEPS, **steps, "seed": seed}), "mask.png"),
        "SaveHead",
    )
    return made if not save_often else often(made)


def often(made: dict) -> dict:
    """With resume states after every step (a node of the neighbouring pack sees to it)."""
    align, photo = number(made, "AlignPortrait"), number(made, "LoadImage")
    extra = {"class_type": "NeighbourSaveOften", "inputs": {"image": [photo, 0]}, "_meta": {"title": "often"}}
    return {
        **made,
        "91": extra,
        align: {**made[align], "inputs": {**made[align]["inputs"], "image": ["91", 0]}},
    }


class Steps:
    """Notes the steps of a node; does something at one of them."""

    def __init__(
        self, made: dict, at: int | None = None, action=lambda: None, node: str = "InvertPortrait"
    ) -> None:
        self.node, self.at, self.action, self.values, self.acted = number(made, node), at, action, [], None

    def __call__(self, event) -> None:
        if event.node == self.node and event.maximum and event.picture is None:
            self.values.append(int(event.value))
            if self.at is not None and event.value >= self.at and self.acted is None:
                self.acted = time.monotonic()
                self.action()


def states(server) -> list:
    return sorted((server.base / "output" / "portrait_diffusion" / "resume").glob("*.safetensors"))


def saved(client, made: dict, outcome, head_tensors) -> dict:
    """Tensors of the head that a run saved."""
    (entry,) = outcome.outputs[number(made, "SaveHead")]["heads"]
    return head_tensors(client.fetch(entry))


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def interrupt_at(client, made: dict, step: int) -> tuple[Steps, float]:
    """Run until a step, interrupt there; seconds until the server said so."""
    steps = Steps(made, step, client.interrupt)
    with pytest.raises(PromptFailed) as caught:
        client.run(made, steps)
    assert caught.value.interrupted
    return steps, time.monotonic() - steps.acted


@pytest.fixture(scope="module")
def uninterrupted(server, head_tensors) -> dict:
    """The head of seed 3, made in one go."""
    client, made = Client(server.url), graph(3)
    steps = Steps(made)
    tensors = saved(client, made, client.run(made, steps), head_tensors)
    assert steps.values[:2] == [1, 2] and steps.values[-1] == 24
    client.post("/free", {"free_memory": True})  # forget the outputs: the next run of this graph works again
    return tensors


def test_interrupt_is_quick_and_the_next_run_goes_on_to_the_same_head(
    server, client, uninterrupted, head_tensors, record_property
):
    made = graph(3)
    assert states(server) == []
    _, seconds = interrupt_at(client, made, 4)
    record_property("interrupt_s", seconds)
    print(f"interrupted within {seconds:.2f} s")
    assert seconds < 3  # a second on a machine of one's own
    assert len(states(server)) == 1
    again = Steps(made)
    outcome = client.run(made, again)
    assert again.values[0] > 4, "the run did not go on where it was interrupted"
    assert states(server) == []
    assert same(saved(client, made, outcome, head_tensors), uninterrupted)


def test_another_seed_starts_anew(server, client, uninterrupted):
    interrupt_at(client, graph(7), 3)
    made = graph(8)
    steps = Steps(made)
    client.run(made, steps)
    assert steps.values[0] == 1
    (state,) = states(server)  # seed 7's is still there
    state.unlink()


def test_a_damaged_state_means_a_fresh_start(server, client, uninterrupted):
    made = graph(9)
    interrupt_at(client, made, 3)
    (state,) = states(server)
    state.write_bytes(state.read_bytes()[:1000])
    steps = Steps(made)
    client.run(made, steps)
    assert steps.values[0] == 1 and states(server) == []


def test_a_killed_server_goes_on_after_a_restart_to_the_same_head(start, uninterrupted, head_tensors):
    made = graph(3, save_often=True)
    first = start(arguments=("--cpu",))
    steps = Steps(made, 8, first.kill)  # in the second stage
    with pytest.raises((PromptFailed, OSError)):
        Client(first.url).run(made, steps)
    assert first.process.returncode not in (0, None) and len(states(first)) == 1
    second = start(first.base, arguments=("--cpu",))
    client, again = Client(second.url), Steps(made)
    outcome = client.run(made, again)
    second.stop()
    assert again.values[0] >= 8, "the run did not go on where the server was killed"
    assert states(second) == []
    assert same(saved_file(second, made, outcome, head_tensors), uninterrupted)


def saved_file(server, made: dict, outcome, head_tensors) -> dict:
    """The same from the disk."""
    (entry,) = outcome.outputs[number(made, "SaveHead")]["heads"]
    return head_tensors((server.base / "output" / entry["subfolder"] / entry["filename"]).read_bytes())
