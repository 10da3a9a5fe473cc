"""A PostgreSQL server, and a gRPC server of Optuna in front of it, for the time of a test."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SERVE = """
import sys
from optuna.storages import run_grpc_proxy_server
from frozenfit.search import open_storage
run_grpc_proxy_server(open_storage(sys.argv[1]), host="localhost", port=int(sys.argv[2]))
"""


def programs() -> Path:
    """The folder of initdb and pg_ctl; Debian does not add it to the path."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    pytest.skip("no PostgreSQL server is installed (package postgresql): initdb was not found")


@contextmanager
def postgresql() -> Iterator[str]:
    """Start a server that listens on a socket in a new folder, and yield the URL of a database."""
    pytest.importorskip("psycopg", reason="psycopg, the driver of PostgreSQL, is not installed")
    bin = programs()
    # A path of a socket has at most about a hundred characters, and PostgreSQL refuses to run as
    # root.
    options = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid} if not os.getuid() else {}
    with tempfile.TemporaryDirectory(prefix="frozenfit") as name:
        data = Path(name) / "data"
        if options:
            shutil.chown(name, "nobody")

        def run(program: str, *words: str) -> None:
            command = [bin / program, "-D", data, *words]
            with open(Path(name) / "output", "a+") as output:
                ended = subprocess.run(command, cwd=name, stdout=output, stderr=output, **options)
                output.seek(0)
                assert ended.returncode == 0, output.read()

        words = "--auth=trust --username=tests --encoding=UTF8 --no-locale --no-sync"
        run("initdb", *words.split())
        settings = f"-c listen_addresses= -c unix_socket_directories={name} -c fsync=off"
        run("pg_ctl", "start", "--wait", "-o", settings)
        try:
            yield f"postgresql+psycopg://tests@/postgres?host={name}"
        finally:
            run("pg_ctl", "stop", "--wait", "--mode=immediate")


@contextmanager
def grpc(database: str) -> Iterator[str]:
    """Start Optuna's gRPC server on a database, and yield its URL."""
    pytest.importorskip("grpc", reason="grpcio is not installed")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    root = Path(__file__).parents[2]
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", SERVE, database, str(port)]
    with subprocess.Popen(command, env=environment) as server:
        try:
            yield f"grpc://localhost:{port}"
        finally:
            server.kill()
