"""A small headless client of ComfyUI's API: upload, queue, follow, interrupt, fetch.

client = Client("http://127.0.0.1:8188")
graph = json.load(open("workflows/api/portrait_to_3d.json"))
graph["1"]["inputs"]["image"] = client.upload("me.jpg")
outcome = client.run(graph, watch=print)
open("head.glb", "wb").write(client.fetch(outcome.outputs["9"]["3d"][0]))
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

ANNOUNCE = {
    "type": "feature_flags",
    "data": {"supports_preview_metadata": True},
}  # without it no previews come
PREVIEW_WITH_METADATA = 4


class PromptFailed(RuntimeError):
    """A prompt was refused, failed, or was interrupted; says which node and why.

    Attributes:
        node: class of the failing node, or "". interrupted: whether the user did it.
    """

    def __init__(self, message: str, *, node: str = "", interrupted: bool = False) -> None:
        super().__init__(message)
        self.node, self.interrupted = node, interrupted


@dataclass
class Outcome:
    """What came of a prompt.

    Attributes:
        outputs: node id -> its `ui`. seconds: node id -> time spent in it. previews: pictures that arrived (bytes, JPEG or PNG).
    """

    outputs: dict[str, dict]
    seconds: dict[str, float] = field(default_factory=dict)
    previews: list[bytes] = field(default_factory=list)

    def files(self, key: str) -> list[dict]:
        """All output files under a ui key such as "images" or "3d", in the order of node ids."""
        return [
            entry
            for node in sorted(self.outputs, key=int)
            for entry in self.outputs[node].get(key, [])
            if entry
        ]

    def words(self) -> dict[str, str]:
        """Node id -> the text it showed."""
        return {node: "\n".join(ui["text"]) for node, ui in self.outputs.items() if ui.get("text")}


@dataclass(frozen=True)
class Event:
    """Progress of one node: its id, value of maximum (both 0 while it only starts), and a picture's bytes or None."""

    node: str
    value: float
    maximum: float
    picture: bytes | None = None


class Client:
    """One ComfyUI server at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.id = uuid.uuid4().hex

    def get(self, path: str) -> dict:
        """JSON of a GET.

        Raises:
            PromptFailed: the server refused, or is not there.
        """
        return json.loads(self._send(urllib.request.Request(self.url + path)))

    def post(self, path: str, content: dict) -> dict:
        """JSON of a POST; {} where there is none.

        Raises:
            PromptFailed: the server refused.
        """
        request = urllib.request.Request(
            self.url + path, json.dumps(content).encode(), {"Content-Type": "application/json"}
        )
        return json.loads(self._send(request) or b"{}")

    def _send(self, request: urllib.request.Request) -> bytes:
        """The body of an answer.

        Raises:
            PromptFailed: the server refused, or is not there.
        """
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise PromptFailed(refused(error)) from error
        except OSError as error:
            raise PromptFailed(f"{self.url} does not answer: {error}") from error

    def upload(self, path: Path, name: str | None = None) -> str:
        """Put a file into the server's input folder; its name there.

        Raises:
            PromptFailed: the server refused it (more than 100 MB), or is not there.
        """
        boundary = uuid.uuid4().hex
        name = re.sub(r'["\r\n\\\\]', "_", name or Path(path).name)  # what a header cannot hold
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        tail = f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n--{boundary}--\r\n'
        body = head.encode() + Path(path).read_bytes() + tail.encode()
        request = urllib.request.Request(
            self.url + "/upload/image", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        )
        return json.loads(self._send(request))["name"]

    def fetch(self, entry: dict) -> bytes:
        """Bytes of an output file, as named in a node's `ui`."""
        query = urllib.parse.urlencode({key: entry[key] for key in ("filename", "subfolder", "type")})
        return self._send(urllib.request.Request(f"{self.url}/view?{query}"))

    def interrupt(self) -> None:
        """Stop the running prompt."""
        self.post("/interrupt", {})

    def run(
        self,
        graph: dict,
        watch: Callable[[Event], None] = lambda event: None,
        *,
        workflow: dict | None = None,
    ) -> Outcome:
        """Post an API graph, follow it to its end.

        Args:
            watch: told every start, step and picture; may call `interrupt` (from here or from another thread).

        Raises:
            PromptFailed: refused, failed or interrupted.
        """
        try:
            return asyncio.run(self._run(graph, watch, workflow))
        except aiohttp.ClientError as error:
            raise PromptFailed(f"{self.url} does not answer: {error}") from error

    async def _run(self, graph: dict, watch: Callable[[Event], None], workflow: dict | None) -> Outcome:
        outcome = Outcome({})
        clock = _Clock()
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{self.url}/ws?clientId={self.id}", max_msg_size=0) as socket,
        ):
            await socket.send_json(ANNOUNCE)
            extra = {"extra_pnginfo": {"workflow": workflow}} if workflow else {}
            answer = await asyncio.to_thread(
                self.post, "/prompt", {"prompt": graph, "client_id": self.id, "extra_data": extra}
            )
            if answer.get("node_errors"):  # accepted in part: say what was dropped
                raise PromptFailed(refusal(answer))
            prompt = answer["prompt_id"]
            async for message in socket:
                if message.type == aiohttp.WSMsgType.BINARY:
                    picture(message.data, outcome, watch)
                elif message.type == aiohttp.WSMsgType.TEXT:
                    event = json.loads(message.data)
                    if event["data"].get("prompt_id") == prompt and ended(event, clock, watch):
                        break
            else:
                raise PromptFailed("the server closed the connection before the prompt ended")
        outcome.seconds = clock.seconds
        outcome.outputs = await asyncio.to_thread(self._outputs, prompt)
        return outcome

    def _outputs(self, prompt: str) -> dict[str, dict]:
        """A finished prompt's outputs; /history may lag behind the end by some 50 ms."""
        for _ in range(100):
            if history := self.get(f"/history/{prompt}"):
                return history[prompt]["outputs"]
            time.sleep(0.05)
        raise PromptFailed("the server has no history of the prompt")


class _Clock:
    """Seconds spent in each node."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._node = None
        self._since = time.monotonic()

    def enter(self, node: str | None) -> None:
        now = time.monotonic()
        if self._node is not None:
            self.seconds[self._node] = self.seconds.get(self._node, 0) + now - self._since
        self._node, self._since = node, now


def ended(event: dict, clock: _Clock, watch: Callable[[Event], None]) -> bool:
    """Note one event of our prompt; whether it was the last.

    Raises:
        PromptFailed: a node failed, or the prompt was interrupted.
    """
    kind, data = event["type"], event["data"]
    if kind == "executing":
        clock.enter(data["node"])
        if data["node"] is not None:
            watch(Event(data["node"], 0, 0))
    elif kind == "progress":
        watch(Event(data["node"], data["value"], data["max"]))
    elif kind == "execution_error":
        raise PromptFailed(
            f"{data['node_type']}: {data['exception_message'].strip()}", node=data["node_type"]
        )
    elif kind == "execution_interrupted":
        raise PromptFailed("interrupted", node=data.get("node_type", ""), interrupted=True)
    elif kind == "execution_success":
        clock.enter(None)
        return True
    return False


def picture(data: bytes, outcome: Outcome, watch: Callable[[Event], None]) -> None:
    """A preview: type, length of its JSON, JSON, image."""
    if int.from_bytes(data[:4], "big") != PREVIEW_WITH_METADATA:
        return
    length = int.from_bytes(data[4:8], "big")
    metadata = json.loads(data[8 : 8 + length])
    image = data[8 + length :]
    outcome.previews.append(image)
    watch(Event(metadata.get("node_id", ""), 0, 0, image))


def refused(error: urllib.error.HTTPError) -> str:
    """What an HTTP error says: ComfyUI's JSON, or its own line."""
    try:
        return refusal(json.loads(error.read()))
    except ValueError:
        return f"{error.url}: {error.code} {error.reason}"


def refusal(answer: dict) -> str:
    """What a 400 or a partly accepted prompt says, node by node."""
    lines = [
        f"{node.get('class_type', 'node')} {number}: {error['message']}: {error['details']}"
        for number, node in (answer.get("node_errors") or {}).items()
        for error in node["errors"]
    ]
    error = answer.get("error", {})
    return "; ".join(lines) or (error.get("message", str(answer)) if isinstance(error, dict) else str(error))
