"""A process of its own that writes or reads a large snapshot: `python memory_child.py CONFTEST FOLDER write|read`.

Reading prints how far memory rose above the start, the size of the tensors and of the file, in MiB.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

SIZES = {"z_dim": 512, "w_dim": 512, "channel_base": 2**14, "channel_max": 512}


def mebibytes(what: str) -> float:
    """VmRSS or VmHWM of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 2**10


def write(folder: Path) -> None:
    """small.pkl and large.pkl, of which G_ema is half."""
    sys.path.append(str(Path(__file__).parents[1] / "prior"))
    pretend = importlib.import_module("pretend")
    pretend.write_snapshot(folder / "small.pkl", pretend.make("eg3d"), "eg3d", folder / "ran", 3)
    pretend.CONFIGS["eg3d"] = replace(pretend.CONFIGS["eg3d"], **SIZES)
    pretend.write_snapshot(folder / "large.pkl", pretend.make("eg3d"), "eg3d", folder / "ran", 3)


def read(folder: Path) -> None:
    families = importlib.import_module("portrait_diffusion.models.prior.families")
    families.load_generator(folder / "small.pkl")  # imports what it needs, too
    Path("/proc/self/clear_refs").write_text("5")
    before = mebibytes("VmRSS")
    generator = families.load_generator(folder / "large.pkl")
    peak = mebibytes("VmHWM")
    size = sum(value.numel() * value.element_size() for value in generator.state_dict().values()) / 2**20
    print(f"{peak - before:.1f} {size:.1f} {(folder / 'large.pkl').stat().st_size / 2**20:.1f}")


if __name__ == "__main__":
    specification = importlib.util.spec_from_file_location("conftest_of_the_pack", sys.argv[1])
    specification.loader.exec_module(importlib.util.module_from_spec(specification))
    {"write": write, "read": read}[sys.argv[3]](Path(sys.argv[2]))
