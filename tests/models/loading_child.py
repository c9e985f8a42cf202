"""A process of its own that loads files: `python loading_child.py CONFTEST < cases`.

A case is a line of JSON: [name, loader, path]. Says of each, as such a line, what came of it, its CPU seconds, how far
memory rose above the start, and which processes were started.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import time
from functools import cache
from pathlib import Path

STARTS = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "os.spawn",
    "exec",
}
MODULES = {  # loaders that read the file that ships: module, function, kind
    "encoder": ("prior.encoder", "shipped_encoder"),
    "discriminator": ("prior.discriminator", "shipped_critic"),
    "perceptual": ("metrics.perceptual", "shipped_perceptual"),
    "identity": ("metrics.identity", "shipped_identity"),
}
PATHS = {  # loaders of a path
    "head": ("head", "load_head"),
    "prior": ("prior.families", "load_generator"),
    "hpdm": ("diffusion.hpdm", "load_branches"),
    "autoencoder": ("diffusion.embedded", "shipped_autoencoder"),
    "diffusion": ("diffusion.embedded", "shipped_unet"),
    "restoration": ("prior.detail_block", "shipped_detail_block"),
    "avatar_decoder": ("avatar.shared_decoder", "shared_decoder"),
    "niqe": ("metrics.niqe", "read_niqe"),
    "views": ("synthetic.multiview", "read_views"),
    "vgg": ("metrics.vgg", "load_vgg"),
    "arcface": ("metrics.standard", "load_arcface"),
}


AVATARS = ("avatar_decoder", "avatar_base", "avatar_upsampler")  # in the order in which a model takes them


def models(name: str):
    return importlib.import_module(f"portrait_diffusion.models.{name}")


@cache
def base() -> tuple:
    """UNet and autoencoder that ship."""
    return models("diffusion.embedded").shipped_unet(), models("diffusion.embedded").shipped_autoencoder()


def load(loader: str, path: Path) -> object:
    if loader == "turbo":
        weights = models("diffusion.turbo_weights").load_turbo(path, base()[0].unet, base()[1])
        return models("diffusion.lora").merged(base()[0].unet, weights.unet)
    if loader == "zero123":
        return models("diffusion.embedded_zero123").shipped_zero123(path, base()[0])
    if loader in AVATARS[1:]:  # the other files are in a folder of its name
        files = [path.with_suffix("") / f"{kind}.safetensors" for kind in AVATARS]
        files[AVATARS.index(loader)] = path
        return models("avatar.model").load_avatar(*files)
    if loader in PATHS:
        module, function = PATHS[loader]
        return getattr(models(module), function)(path)
    if loader == "alignment":
        return models("photo.network").alignment_network_from(*models("checkpoint").read(path, "alignment"))
    module, function = MODULES[loader]
    keeper = models("checkpoint")
    before, keeper.shipped = keeper.shipped, lambda kind: path
    try:
        return getattr(models(module), function)()
    finally:
        keeper.shipped = before


def mebibytes(what: str) -> float:
    """VmRSS or VmHWM of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 2**10


def reset_peak() -> bool:
    """Whether the kernel forgets the highest memory so far."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def outcome(loader: str, path: Path) -> dict:
    measured = reset_peak()
    before = mebibytes("VmRSS") if measured else 0.0
    begun = time.process_time()  # not by the clock: others may have the machine
    error, message = None, ""
    try:
        models("recognition").kind_of_file(path)  # as a list of files does
        load(loader, path)
    except Exception as caught:  # noqa: BLE001 - any kind is to be reported
        error, message = type(caught).__name__, str(caught)
    seconds = time.process_time() - begun
    return {
        "error": error,
        "message": message[:3000],
        "seconds": seconds,
        "mebibytes": mebibytes("VmHWM") - before if measured else None,
    }


def main() -> None:
    spec = importlib.util.spec_from_file_location("conftest_of_the_pack", sys.argv[1])
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    shipped = models("checkpoint").shipped
    for kind in (
        *MODULES,
        "alignment",
        "prior",
        "hpdm",
        "turbo",
        "zero123",
        "autoencoder",
        "diffusion",
        "restoration",
        "niqe",
    ):
        load(kind, shipped(kind))  # imports what it needs, too
    models("avatar.model")
    started: list[str] = []
    sys.addaudithook(lambda event, _: started.append(event) if event in STARTS - {"exec"} else None)
    for line in sys.stdin:
        name, loader, path = json.loads(line)
        started.clear()
        print(json.dumps({"name": name, **outcome(loader, Path(path)), "started": list(started)}), flush=True)


if __name__ == "__main__":
    main()
