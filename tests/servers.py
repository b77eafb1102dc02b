"""Servers that run beside a test, for as long as a block."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[None]:
    """Let a web server answer."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def local_azure_of_a_shell(
    *arguments: str, folder: Path, variables: Path
) -> Iterator[subprocess.Popen[str]]:
    """Run Python with these arguments, which serve a local Azure and write its variables."""
    with (
        variables.open('w') as file,
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
        ) as server,
    ):
        assert server.stderr
        while server.stderr.readline() != 'Ready.\n':
            assert server.poll() is None

        try:
            yield server
        finally:
            server.send_signal(signal.SIGINT)
