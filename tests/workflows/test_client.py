"""What the client understands of the server's words, without a server."""

import json

import pytest
from portrait_diffusion.workflows.client import Outcome, PromptFailed, _Clock, ended, picture, refusal


def message(kind: str, **data) -> dict:
    return {"type": kind, "data": data}


def test_a_refusal_names_node_and_reason():
    error = {"message": "Value 0 smaller than min of 16", "details": "size"}
    answer = {
        "error": {"message": "Prompt outputs failed validation"},
        "node_errors": {"5": {"class_type": "Orbit", "errors": [error]}},
    }
    assert refusal(answer) == "Orbit 5: Value 0 smaller than min of 16: size"
    assert refusal({"error": {"message": "no prompt"}, "node_errors": {}}) == "no prompt"
    assert refusal({"error": "closed"}) == "closed"


def test_the_end_of_a_prompt_is_known():
    seen = []
    assert not ended(message("executing", node="3"), _Clock(), seen.append)
    assert not ended(message("progress", node="3", value=2, max=5), _Clock(), seen.append)
    assert not ended(message("executing", node=None), _Clock(), seen.append)
    assert [(event.node, event.value, event.maximum) for event in seen] == [("3", 0, 0), ("3", 2, 5)]
    assert ended(message("execution_success"), _Clock(), seen.append)


def test_failures_and_interrupts_are_told_apart():
    with pytest.raises(PromptFailed, match="Align: expected a face") as caught:
        ended(
            message("execution_error", node_type="Align", exception_message="expected a face\n"),
            _Clock(),
            print,
        )
    assert caught.value.node == "Align" and not caught.value.interrupted
    with pytest.raises(PromptFailed) as caught:
        ended(message("execution_interrupted", node_type="Invert"), _Clock(), print)
    assert caught.value.node == "Invert" and caught.value.interrupted


def test_previews_are_taken_out_of_their_frames():
    metadata = json.dumps({"node_id": "4"}).encode()
    outcome, seen = Outcome({}), []
    picture(
        (4).to_bytes(4, "big") + len(metadata).to_bytes(4, "big") + metadata + b"JPEG", outcome, seen.append
    )
    picture((1).to_bytes(4, "big") + (2).to_bytes(4, "big") + b"legacy", outcome, seen.append)
    assert outcome.previews == [b"JPEG"] and [(event.node, event.picture) for event in seen] == [
        ("4", b"JPEG")
    ]


def test_outputs_come_in_the_order_of_nodes():
    outcome = Outcome({"10": {"images": ["c"]}, "9": {"images": ["a", "b"], "text": ["one", "two"]}})
    assert outcome.files("images") == ["a", "b", "c"] and outcome.words() == {"9": "one\ntwo"}
