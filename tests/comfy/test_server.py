"""workflows/server.py: a real ComfyUI that starts where it should, and always ends."""

import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from portrait_diffusion.workflows import server as servers
from portrait_diffusion.workflows.server import ROOT, Server, ServerFailed, comfyui_path

STARTER = """
import importlib.util, sys, time
from pathlib import Path
root = Path({root!r})
spec = importlib.util.spec_from_file_location("portrait_diffusion", root / "__init__.py", submodule_search_locations=[str(root)])
pack = sys.modules["portrait_diffusion"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
from portrait_diffusion.workflows.server import running
{then}
"""


def starter(then: str, **options) -> subprocess.Popen:
    """Another Python that knows the pack."""
    command = [sys.executable, "-c", STARTER.format(root=str(ROOT), then=then)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options)


def gone(pid: int, seconds: float = 20) -> bool:
    """Whether a process ends in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if zombie(pid):
            return True
        time.sleep(0.1)
    return False


def zombie(pid: int) -> bool:
    """Ended, and its parent has not asked yet (Linux)."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return state.startswith("Z")


def test_it_writes_only_into_its_base_directory(server):
    before = {path: path.stat().st_mtime for folder in servers.FOLDERS for path in (comfyui_path() / folder).glob("*") if path.name != "__pycache__"}
    assert {path.name for path in server.base.iterdir()} >= set(servers.FOLDERS)
    assert (server.base / "custom_nodes" / "portrait-diffusion").resolve() == ROOT
    after = {path: path.stat().st_mtime for folder in servers.FOLDERS for path in (comfyui_path() / folder).glob("*") if path.name != "__pycache__"}
    assert before == after


def test_it_listens_on_the_loopback_only_and_knows_its_memory(server):
    assert server.url.startswith("http://127.0.0.1:")
    assert urllib.request.urlopen(server.url + "/system_stats", timeout=20).status == 200
    assert 100 * 2**20 < server.peak_bytes < 16 * 2**30
    assert server.started_s > 0


def test_a_server_that_cannot_start_says_why(tmp_path):
    with pytest.raises(ServerFailed, match="unrecognized arguments: --no-such-flag"):
        Server(tmp_path, arguments=("--cpu", "--no-such-flag"))


def test_no_comfyui_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(ServerFailed, match="expected COMFYUI_PATH or the environment"):
        comfyui_path()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_it_ends_when_whoever_started_it_is_killed():
    owner = starter("with running(arguments=('--cpu', '--disable-all-custom-nodes')) as server: print(server.process.pid, flush=True); time.sleep(600)")
    pid = int(owner.stdout.readline())
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    assert gone(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_the_demo_is_stopped_at_any_time(number, tmp_path):
    """Also while it is still starting."""
    demo = starter("from portrait_diffusion.workflows.demo import main; raise SystemExit(main([]))", env={**os.environ, "TMPDIR": str(tmp_path)})
    assert "portrait:" in demo.stdout.readline()
    pid = server_of(demo.pid)
    os.kill(demo.pid, number)
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130 and errors.strip() == "stopped"
    assert gone(pid) and list(tmp_path.iterdir()) == []  # nothing is left on the disk


def server_of(parent: int, seconds: float = 60) -> int:
    """Id of the first process that another one started and that runs ComfyUI."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        children = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True).stdout.splitlines()
        for line in children:
            if "main.py --port" in line:
                return int(line.split()[0])
        time.sleep(0.1)
    raise AssertionError("no server was started")
