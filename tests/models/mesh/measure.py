"""A process of its own that reads GLBs and prints for each the seconds, the memory and what came of it."""

import ctypes
import importlib.util
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def load_pack(root: Path) -> None:
    """As tests/conftest.py: this checkout, whatever is installed."""
    spec = importlib.util.spec_from_file_location(
        "portrait_diffusion", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    sys.modules["portrait_diffusion"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["portrait_diffusion"])


def memory(name: str) -> int:
    """Bytes of a line of Linux' record; 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def measured(read, data: bytes) -> dict:
    """Seconds of processor, bytes above the start at the highest, what was said (None: it was read), of which kind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the highest so far is now
    before, start = memory("VmRSS"), time.process_time()
    try:
        read(data)
        said, kind = None, None
    except Exception as error:  # the test judges which
        said, kind = str(error), type(error).__name__
    return {
        "seconds": time.process_time() - start,
        "bytes": memory("VmHWM") - before,
        "said": said,
        "kind": kind,
    }


if __name__ == "__main__":
    load_pack(Path(sys.argv[1]) if sys.argv[1:] else ROOT)  # another checkout, to compare
    from portrait_diffusion.models.mesh.gltf import from_glb

    files = [Path(line) for line in sys.stdin.read().split("\n") if line]
    from_glb(files[0].read_bytes())  # imports what it needs
    for file in files:
        print(json.dumps({"file": file.name, **measured(from_glb, file.read_bytes())}), flush=True)
