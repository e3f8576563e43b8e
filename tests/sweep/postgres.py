"""A PostgreSQL server of a test's own, from the installed binaries: a data directory, a free port, no password."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


def binaries() -> Path | None:
    """Debian's place, or the path's; None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


class Server:
    """Started, stopped at once as a power cut does, and started again."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.data, self.port = programs, folder / "data", free_port()
        # The server refuses to run as root: Debian's package comes with a user for it.
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self.user:
            shutil.chown(folder, "postgres")
        self.call("initdb", "--auth=trust", "--username=test", "--encoding=UTF8", "--no-sync", "-D", str(self.data))
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://test@127.0.0.1:{self.port}/postgres"

    def call(self, program: str, *arguments: str) -> None:
        command = [*self.user, str(self.programs / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.data.parent)

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.data} -c fsync=off"
        self.call("pg_ctl", "-D", str(self.data), "-l", str(self.data.parent / "log"), "-o", options, "-w", "start")

    def stop(self, how: str = "fast") -> None:
        self.call("pg_ctl", "-D", str(self.data), "-m", how, "-w", "stop")


@contextlib.contextmanager
def server() -> Iterator[Server]:
    programs = binaries()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    running = Server(programs, folder)
    try:
        yield running
    finally:
        running.stop("immediate")
        shutil.rmtree(folder)
