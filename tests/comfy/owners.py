"""A pack copied into a test server's custom_nodes: small networks come out of core's checkpoint loaders, whatever the file holds, and
no socket reaches beyond this machine."""

import importlib.util
import socket
import sys
import zlib
from pathlib import Path

import comfy.sd
import torch
from comfy_api.latest import ComfyExtension, io

HERE = Path(__file__).parent
RECORD = HERE / "network.txt"  # a line for each address that was asked for
LOCAL = {None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0"}
spec = importlib.util.spec_from_file_location("owners_neighbour", HERE / "neighbour.py")
neighbour = importlib.util.module_from_spec(spec)
spec.loader.exec_module(neighbour)


def no_network(event: str, arguments: tuple) -> None:
    """An audit hook: refuses every connection and look-up but those of this machine."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # others are this machine's own
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in LOCAL:
        with RECORD.open("a", encoding="utf-8") as record:
            record.write(f"{host}\n")
        raise OSError(f"the network was asked for {host}")


class Clip:
    """What of a CLIP core's CLIP Text Encode asks for; tokens by the text."""

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, tokens: str) -> list:
        return neighbour.small_prompt(zlib.crc32(tokens.encode()))


def stand_in(ckpt_path: str, output_clipvision: bool = False, **options) -> tuple:
    """In the place of `comfy.sd.load_checkpoint_guess_config`: MODEL, CLIP, VAE, CLIP_VISION."""
    if "zero123" in Path(ckpt_path).name:
        return neighbour.small_zero123(), None, neighbour.small_vae(), neighbour.Tower()
    return neighbour.small_model(), Clip(), neighbour.small_vae(), None


class Call(io.ComfyNode):
    """Asks for an address, to show that it cannot."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="OwnersCall",
            display_name="Call",
            category="owners",
            inputs=[io.String.Input("host")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, host):
        socket.create_connection((host, 80), 1).close()
        return io.NodeOutput(torch.zeros(1, 8, 8, 3))


class OwnersExtension(ComfyExtension):
    async def get_node_list(self):
        return [Call]


async def comfy_entrypoint():
    comfy.sd.load_checkpoint_guess_config = stand_in
    sys.addaudithook(no_network)
    return OwnersExtension()
