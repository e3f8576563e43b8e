"""Commands on what strangers may send, as a table: `python -m tests.torture.hostile [CASE …]`.

Every case has a world of its own: a home with a key, a folder with a run of the user's own and one of a stranger, and a
stranger's server. After each command: was a program run, was the server asked, did a file outside of the folder change,
is the secret in any file, name, request or line, was there a traceback, did it hang?
"""

import contextlib
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from sota_exp.cli.main import run_command_line
from tests.experiments import TINY
from tests.torture.canary import CANARY, find_in_files
from tests.torture.hostile_cases import CASES

#: Seconds after which a command hangs.
PATIENCE = 60

#: A module on Python's path, which only the user may have imported.
EVIL_MODULE = "from pathlib import Path\nPath({marker!r}).touch()\n"


@dataclass(kw_only=True)
class World:
    """The folders of one case. asked: the requests to the stranger's server."""

    root: Path
    server: str
    asked: list[bytes]
    evil: Path = field(init=False)

    def __post_init__(self) -> None:
        self.home, self.work, self.marker = self.root / "home", self.root / "work", self.root / "executed"
        self.evil = self.work / "outputs" / "evil"

    def fill(self, text: str) -> str:
        names = ("server", "home", "marker", "evil")
        for name in names:
            text = text.replace(f"{{{name}}}", str(getattr(self, name)))
        return text.replace("{secret}", CANARY)

    def make(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, path: Path, text: str) -> None:
        self.make(path).write_text(text)

    def change_config(self, changes: dict[str, Any]) -> None:
        config = yaml.safe_load((self.evil / "config.yaml").read_text())
        for key, value in changes.items():
            *above, last = key.split(".")
            node = config
            for name in above:
                node = node.setdefault(name, {})
            node[last] = json.loads(self.fill(json.dumps(value)))
        (self.evil / "config.yaml").write_text(yaml.safe_dump(config))

    def change_json(self, name: str, **changes: Any) -> None:
        found = json.loads((self.evil / name).read_text())
        for key, value in changes.items():
            found[key] = found[key] | value if isinstance(value, dict) and key == "choices" else value
        (self.evil / name).write_text(json.dumps(found))

    def snapshot(self) -> dict[str, str]:
        """Path → digest of every file outside of the working folder and of the user's own cache and key."""
        own = (self.work, self.home / ".cache", self.home / "cache", self.home / "config", self.marker)
        files = [path for path in self.root.rglob("*") if path.is_file() or path.is_symlink()]
        outside = [path for path in files if not any(path.is_relative_to(place) for place in own)]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in outside if path.exists()}


@contextlib.contextmanager
def evil_server() -> Iterator[tuple[str, list[bytes]]]:
    """A server that keeps every request and answers everything."""
    asked: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(f"{self.command} {self.path} {self.headers}".encode() + content)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@contextlib.contextmanager
def variables(**changed: str) -> Iterator[None]:
    before, place = dict(os.environ), Path.cwd()
    os.environ.update(changed)
    try:
        yield
    finally:
        os.chdir(place)
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def make_template(root: Path) -> Path:
    """The world before any case: `outputs/mine` signed by the user, `outputs/evil` by a stranger, and a photo."""
    home, work = root / "home", root / "work"
    for path in (home / ".ssh/key", home / ".bashrc"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"secret: {CANARY}\n")
    work.mkdir()
    Image.new("RGB", (24, 24), "red").save(work / "photo.png")
    for name, config in (("mine", home / "config"), ("evil", root / "stranger")):
        with variables(XDG_CONFIG_HOME=str(config), SOTA_EXP_CACHE=str(home / "cache")):
            os.chdir(work)
            assert call(("train", *TINY, "recipe=baseline", f"hydra.run.dir=outputs/{name}"))[0] == 0
    (work / "outputs/evil/digests.json").unlink()  # a stranger can make one that fits
    return root


def call(words: tuple[str, ...] | list[str]) -> tuple[int, str]:
    """Exit status and output of a command in this process."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            with at_most(PATIENCE):
                status = run_command_line(list(words))
        except SystemExit as error:
            status = int(error.code or 0)
    return status, output.getvalue()


def find_harm(world: World, before: dict[str, str], status: int, output: str) -> list[str]:
    """What a command must not do."""
    here = f"{world.evil}"
    harm = ["executed"] if world.marker.exists() else []
    harm += ["sent"] if world.asked else []
    harm += [f"wrote {name}" for name, digest in world.snapshot().items() if before.get(name) != digest]
    harm += [f"removed {name}" for name in before.keys() - world.snapshot().keys()]
    harm += [f"leaked in {name}" for name in find_in_files(world.work) if not (world.work / name).is_symlink()]
    harm += (
        ["leaked on the terminal"] if CANARY in output or any(CANARY.encode() in each for each in world.asked) else []
    )
    harm += ["control characters"] if "\x1b]" in output or "\x1b[2J" in output else []
    pages = world.work.rglob("*.html")
    harm += [f"a script in {path.name}" for path in pages if "<script>evil" in path.read_text()]
    is_fault = "Traceback" in output or "this is a fault of sota-exp" in output or "it hangs" in output
    return harm + ([f"fault: {output.strip().splitlines()[-1].replace(here, '…')}"] if is_fault else [])


def run_case(name: str, template: Path, root: Path) -> list[tuple[str, int, str, list[str]]]:
    """(command, exit status, its last line, harm) of every command of a case, in a copy of the template at `root`."""
    shutil.copytree(template, root, symlinks=True)
    case, rows = CASES[name], []
    with evil_server() as (address, asked), variables(SECRET=CANARY, HOME=str(root / "home")):
        world = World(root=root, server=address, asked=asked)
        (root / "evil_module.py").write_text(EVIL_MODULE.format(marker=str(world.marker)))
        os.environ.update(XDG_CONFIG_HOME=str(root / "home/config"), SOTA_EXP_CACHE=str(root / "home/cache"))
        os.environ.update(MLFLOW_TRACKING_TOKEN=CANARY)
        os.chdir(world.work)
        sys.path.insert(0, str(root))
        case.prepare(world)
        before = world.snapshot()
        for command in case.commands:
            words = [world.fill(word) for word in command.split()]
            status, output = call(words)
            lines = [line for line in output.strip().splitlines() if line.strip()] or [""]
            rows.append((command.split()[0], status, lines[-1], find_harm(world, before, status, output)))
        sys.path.remove(str(root))
        sys.modules.pop("evil_module", None)
    return rows


def main(names: list[str]) -> int:
    """Print the table of these cases, or of all; 1 if there is harm."""
    began, num_harmful = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        template = make_template(Path(folder) / "template")
        for index, name in enumerate(names or CASES):
            rows = run_case(name, template, Path(folder) / str(index))
            harm = sorted({each for *_, found in rows for each in found})
            num_harmful += bool(harm)
            refused = sum(status != 0 for _, status, _, _ in rows)
            print(f"{name:45} {len(rows)} commands, {refused} refuse  {'; '.join(harm) or 'no harm'}", flush=True)
            if os.environ.get("VERBOSE"):
                print(*(f"      {command} {status} {line}" for command, status, line, _ in rows), sep="\n")
            shutil.rmtree(Path(folder) / str(index))
    print(f"{len(names or CASES)} cases, {num_harmful} with harm, {time.monotonic() - began:.0f} s")
    return int(num_harmful > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
