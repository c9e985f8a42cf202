"""A real ComfyUI, headless, on a free loopback port, in a private base directory; always stopped."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Spinning threads starve shared cores; and two processors are often one core, on which two threads are slower than one.
THREADS = {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) // 2))}
DEVICES = (
    "/dev/nvidiactl",
    "/dev/kfd",
    "/dev/dri",
    "/dev/accel",
    "/dev/dxg",
    "/dev/davinci_manager",
)  # any accelerator on Linux has one
DIE_WITH_PARENT = 1  # Linux: PR_SET_PDEATHSIG
FOLDERS = ("custom_nodes", "input", "output", "models", "temp", "user")


class ServerFailed(RuntimeError):
    """ComfyUI did not start; the message ends with its last words."""


def comfyui_path() -> Path:
    """ComfyUI's folder: COMFYUI_PATH, else the one that the environment was made with.

    Raises:
        ServerFailed: neither is there.
    """
    path = os.environ.get("COMFYUI_PATH")
    note = Path(sys.prefix) / "comfyui"
    if not path and not note.is_file():
        raise ServerFailed(
            "ComfyUI: expected COMFYUI_PATH or the environment of `make python`, found neither; run through make"
        )
    return Path(path or note.read_text(encoding="utf-8")).resolve()


def free_port() -> int:
    """A loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def has_accelerator() -> bool:
    """Whether torch sees one; asked in another process, so that this one stays light, and not at all where Linux has no device for one."""
    if sys.platform == "linux" and not any(Path(device).exists() for device in DEVICES):
        return False
    question = "import torch; print(torch.accelerator.is_available())"
    return (
        subprocess.run([sys.executable, "-c", question], capture_output=True, text=True).stdout.strip()
        == "True"
    )


def dies_with_its_parent():
    """What a child does before it becomes the server: ask Linux to end it should we be killed. None elsewhere."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(DIE_WITH_PARENT, signal.SIGTERM)


def install_pack(custom_nodes: Path, name: str) -> None:
    """Put the checkout under custom_nodes as `name`: a link, or a copy where links are not allowed."""
    try:
        (custom_nodes / name).symlink_to(ROOT, target_is_directory=True)
    except OSError:
        shutil.copytree(
            ROOT, custom_nodes / name, ignore=shutil.ignore_patterns(".git", "output", "__pycache__")
        )


class Server:
    """One running ComfyUI.

    Attributes:
        url: of its API. base: its private base directory. process: of the server. started_s: seconds until it answered.
    """

    def __init__(
        self,
        base: Path,
        *,
        name: str = "portrait-diffusion",
        arguments: tuple[str, ...] = (),
        install: bool = True,
    ) -> None:
        self.base = base
        self.log = base / "server.log"
        for folder in FOLDERS:
            (base / folder).mkdir(parents=True, exist_ok=True)
        if install and not (base / "custom_nodes" / name).exists():
            install_pack(base / "custom_nodes", name)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        comfy = comfyui_path()
        command = [
            sys.executable,
            str(comfy / "main.py"),
            "--port",
            str(port),
            "--disable-api-nodes",
            "--base-directory",
            str(base),
        ]
        command += ["--database-url", "sqlite:///:memory:", "--preview-size", "256", *arguments]
        if "--cpu" not in arguments and not has_accelerator():
            command.append("--cpu")
        began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=comfy,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=dies_with_its_parent(),
                env={**THREADS, **os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self.peak_bytes = 0
        threading.Thread(target=self._watch_memory, daemon=True).start()
        try:
            self._wait(300)  # 13 s on two idle cores; minutes on busy ones
        except BaseException:
            self.stop()
            raise
        self.started_s = time.monotonic() - began

    def _wait(self, seconds: float) -> None:
        """Until it answers.

        Raises:
            ServerFailed: it ended, or did not answer in time.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerFailed(f"ComfyUI ended while starting:\n{self.last_words()}")
            with contextlib.suppress(OSError, urllib.error.URLError):
                urllib.request.urlopen(self.url + "/system_stats", timeout=5).close()
                return
            time.sleep(0.2)
        raise ServerFailed(f"ComfyUI did not answer within {seconds:.0f} s:\n{self.last_words()}")

    def _watch_memory(self) -> None:
        """Keep the highest resident memory of the server's process: Linux' own record, elsewhere samples."""
        import psutil  # core brings it

        status = Path(f"/proc/{self.process.pid}/status")
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(self.process.pid)
            while self.process.poll() is None:
                lines = status.read_text().splitlines() if status.exists() else []
                record = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
                self.peak_bytes = max(self.peak_bytes, record or process.memory_info().rss)
                time.sleep(0.2)

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """Ask, then make it."""
        if self.process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self.process.wait(8)
            except subprocess.TimeoutExpired:
                self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
                self.process.wait()

    def kill(self) -> None:
        """As a crash would."""
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        self.process.wait()

    def _signal(self, number: int) -> None:
        """To its whole process group."""
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)


@contextlib.contextmanager
def running(**options) -> Iterator[Server]:
    """A server in a temporary base directory, stopped and removed at the end, also on Ctrl-C and on SIGTERM."""
    base = Path(tempfile.mkdtemp(prefix="portrait-diffusion-"))
    before = (
        signal.signal(signal.SIGTERM, _interrupt)
        if threading.current_thread() is threading.main_thread()
        else None
    )
    server = None
    try:
        server = Server(base, **options)
        yield server
    finally:
        if server is not None:
            server.stop()
        if before is not None:
            signal.signal(signal.SIGTERM, before)
        shutil.rmtree(base, ignore_errors=True)


def _interrupt(*_) -> None:
    raise KeyboardInterrupt
