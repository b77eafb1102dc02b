"""Puts the parts together: `with LocalAzure() as azure` is Azure on this machine."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType

import azure.batch
from azure.batch.batch_auth import SharedKeyCredentials
from azure.storage.blob import BlobServiceClient
from typing_extensions import Self

from .account import Account, Delays
from .azurite import Azurite
from .executor import Executor
from .faults import Faults
from .instant import InstantExecutor
from .machine import Machines
from .ondemand import OnDemand
from .proxy import StorageProxy
from .rest import API_VERSIONS, create_app
from .server import BatchServer, Conditions, Request
from .timeline import RealTimeline
from .watchdog import Watchdog

BATCH_ACCOUNT, STORAGE_ACCOUNT = 'localbatch', 'localstorage'
OPERATION_GROUPS = ('account', 'pool', 'compute_node', 'job', 'task', 'file')


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()


class LocalAzure(OnDemand):
    """A storage account and a Batch account on free loopback ports, with random keys and an own temporary folder.

    `instant_output`: tasks run no process; each ends at once with exit code 0, and its output files get this content.
    """

    def __init__(self, *, delays: Delays | None = None, instant_output: bytes | None = None) -> None:
        self._delays, self._instant_output = delays, instant_output
        self.offset = timedelta()
        self.crashes: list[BaseException] = []

    # Life

    def start(self) -> None:
        self._keys = (_random_key(), _random_key())
        self.root = Path(tempfile.mkdtemp(prefix='local-azure-'))
        self._watchdog = Watchdog(self.root)
        self._azurite = Azurite(self.root, STORAGE_ACCOUNT, self._keys[1], self._watchdog)
        self.faults = Faults()
        self.conditions = Conditions(self.faults)
        self._proxy = StorageProxy(self.conditions, self._azurite.port)
        self._server = BatchServer(self.conditions)
        self._timeline = RealTimeline(self.crashes.append)
        self._machines = Machines(
            self.root, (BATCH_ACCOUNT, self._server.url), self.faults, self._watchdog, self.crashes.append
        )
        self._executor: Executor = self._machines
        if self._instant_output is not None:
            self._executor = InstantExecutor(self._instant_output, self.faults)
        self.batch = Account(self._timeline, self._executor, BATCH_ACCOUNT, self._server.url, self.faults)
        if self._delays:
            self.batch.delays = self._delays
        self.conditions.on_request = self._requested
        self._server.app = create_app(self.batch, self._keys[0], self._now, self.crashes.append)
        self._proxy.start()
        self._server.start()

    def stop(self) -> None:
        """Ends every process, closes every port, removes the folder."""
        self.batch.clear()
        self._server.stop()
        self._proxy.stop()
        self._timeline.stop()
        self._machines.close()
        self._azurite.stop()
        self._watchdog.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None:
            self._raise_crash()

    def clear(self) -> None:
        """Ends all work, empties both accounts, removes faults, latency and the record of requests.

        Raises what has crashed.
        """
        self.batch.clear()
        if self._delays is None:
            self.batch.delays = Delays()
        self.conditions.latency, self.offset = 0.0, timedelta()
        with self._direct_blob_service_client() as client:
            for container in client.list_containers():
                client.delete_container(container.name)
        self.conditions.requests.clear()
        self._raise_crash()

    def _raise_crash(self) -> None:
        if self.crashes:
            crash = self.crashes[0]
            self.crashes.clear()
            raise RuntimeError('the local Azure itself has crashed') from crash

    # For clients

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the Azure CLI and the sample read."""
        return {
            'AZURE_BATCH_ACCOUNT': BATCH_ACCOUNT,
            'AZURE_BATCH_ACCESS_KEY': self._keys[0],
            'AZURE_BATCH_ENDPOINT': self._server.url,
            'AZURE_STORAGE_ACCOUNT': STORAGE_ACCOUNT,
            'AZURE_STORAGE_KEY': self._keys[1],
            'AZURE_STORAGE_SERVICE_ENDPOINT': f'{self._proxy.url}/{STORAGE_ACCOUNT}',
        }

    def batch_client(self, api_version: str = API_VERSIONS[-1]) -> azure.batch.BatchServiceClient:
        client = azure.batch.BatchServiceClient(SharedKeyCredentials(BATCH_ACCOUNT, self._keys[0]), self._server.url)
        for group in OPERATION_GROUPS:
            getattr(client, group).api_version = api_version
        return client

    def blob_service_client(self) -> BlobServiceClient:
        return BlobServiceClient(f'{self._proxy.url}/{STORAGE_ACCOUNT}', credential=self._keys[1])

    def _direct_blob_service_client(self) -> BlobServiceClient:
        url = f'http://127.0.0.1:{self._azurite.port()}/{STORAGE_ACCOUNT}'
        return BlobServiceClient(url, credential=self._keys[1])

    def wait_ready(self) -> None:
        """Returns when Azurite answers; its first start on a machine downloads it."""
        self._azurite.port()

    @property
    def requests(self) -> list[Request]:
        """Every request since the last `clear`, in the order in which they ended."""
        return self.conditions.requests

    def wait_until(self, predicate: Callable[[], object], timeout: float = 30, describe: str = 'the condition') -> None:
        """Waits for the predicate, asked again after every change and request.

        TimeoutError with the account's state.
        """
        self.batch.wait_until(predicate, timeout, describe)

    def _now(self) -> datetime:
        return datetime.now(timezone.utc) + self.offset

    def _requested(self) -> None:
        with self.batch.lock:
            self.batch.notify()


def script_environment(azure: LocalAzure) -> dict[str, str]:
    """This process's environment with the six variables; loopback never goes through a proxy."""
    return {**os.environ, **azure.environment, 'NO_PROXY': '127.0.0.1', 'no_proxy': '127.0.0.1'}
