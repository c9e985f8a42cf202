"""What a user is told."""

import pytest
from portrait_diffusion.workflows.client import PromptFailed


def refused(client, graph: dict, words: list[str]) -> PromptFailed:
    """A graph that must fail with one sentence that holds these words."""
    with pytest.raises(PromptFailed) as caught:
        client.run(graph)
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message and "Traceback" not in message
    return caught.value
