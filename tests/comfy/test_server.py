"""workflows/server.py: a real ComfyUI that starts where it should, and always ends."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import psutil
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
{then}
"""
OWNER = "from portrait_diffusion.workflows.server import running\nwith running(arguments=('--cpu',)): time.sleep(600)"
DEMO = "from portrait_diffusion.workflows.demo import main; raise SystemExit(main([]))"


@contextlib.contextmanager
def another_python(then: str, temporary) -> Iterator[tuple[subprocess.Popen, psutil.Process]]:
    """Another Python that knows the pack and starts a server: the two of them, while the server still starts."""
    command = [sys.executable, "-c", STARTER.format(root=str(ROOT), then=then)]
    environ = {**os.environ, "TMPDIR": str(temporary)}
    owner = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environ,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a test run in the background ignores Ctrl-C, a terminal does not
    )
    try:
        yield owner, server_of(owner)
    finally:
        owner.terminate()
        owner.communicate()


def server_of(owner: subprocess.Popen, seconds: float = 120) -> psutil.Process:
    """The ComfyUI that a process started."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(owner.pid).children():
                if "--base-directory" in child.cmdline():
                    time.sleep(1)  # the owner has noted its child by now
                    return child
        time.sleep(0.1)
    raise AssertionError(f"no server was started: {owner.poll()}")


def ended(process: psutil.Process, seconds: float = 30) -> bool:
    """Whether it ends in time; one that nobody asked yet has ended, too."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False


def test_it_writes_only_into_its_base_directory(server):
    before = {
        path: path.stat().st_mtime
        for folder in servers.FOLDERS
        for path in (comfyui_path() / folder).glob("*")
        if path.name != "__pycache__"
    }
    assert {path.name for path in server.base.iterdir()} >= set(servers.FOLDERS)
    assert (server.base / "custom_nodes" / "portrait-diffusion").resolve() == ROOT
    after = {
        path: path.stat().st_mtime
        for folder in servers.FOLDERS
        for path in (comfyui_path() / folder).glob("*")
        if path.name != "__pycache__"
    }
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
def test_it_ends_when_whoever_started_it_is_killed(tmp_path):
    with another_python(OWNER, tmp_path) as (owner, server):
        owner.kill()
        assert ended(server)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_the_demo_is_stopped(number, tmp_path):
    """Here while the server still starts; nothing is left on the disk."""
    with another_python(DEMO, tmp_path) as (demo, server):
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=60)
        assert demo.returncode == 130 and errors.strip() == "stopped"
        assert ended(server) and list(tmp_path.iterdir()) == []
