"""Puts the parts together: `with LocalAzure() as azure` is Azure on this machine."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import azure.batch
from azure.batch.batch_auth import SharedKeyCredentials
from azure.storage.blob import BlobServiceClient
from msrestazure.azure_active_directory import AdalAuthentication
from typing_extensions import Self

from . import auth, transfer
from .account import Account, Delays
from .azurite import Azurite
from .executor import Executor
from .faults import Faults
from .front import Conditions, Front
from .instant import InstantExecutor
from .machine import Machines
from .ondemand import OnDemand
from .rest import API_VERSIONS, Batch
from .timeline import RealTimeline
from .watchdog import Watchdog

if TYPE_CHECKING:
    from .entra import Entra

BATCH_ACCOUNT, STORAGE_ACCOUNT = 'localbatch', 'localstorage'
OPERATION_GROUPS = ('account', 'pool', 'compute_node', 'job', 'task', 'file')
CREDENTIALS = ('AZURE_', 'IDENTITY_', 'IMDS_', 'MSI_')  # how the variables begin with which azure-identity signs in


class LocalAzure(OnDemand):
    """A storage account and a Batch account on free loopback ports, with random keys and an own temporary folder.

    `instant_output`: tasks run no process; each ends at once with exit code 0, and its output files get this content.
    `entra`: both accounts are reached over TLS and also accept tokens, which live for `token_life`; the environment has
    an identity that gets them, and no key. `keys` has the keys, by the name of their variable.
    """

    def __init__(
        self,
        *,
        delays: Delays | None = None,
        instant_output: bytes | None = None,
        entra: bool = False,
        token_life: timedelta = timedelta(hours=24),
    ) -> None:
        self._delays, self._instant_output, self._with_entra = delays, instant_output, entra
        self._token_life = self.token_life = token_life
        self.offset = timedelta()
        self.crashes: list[BaseException] = []

    # Life

    def start(self) -> None:
        variables = ('AZURE_BATCH_ACCESS_KEY', 'AZURE_STORAGE_KEY')
        self.keys = {name: base64.b64encode(secrets.token_bytes(64)).decode() for name in variables}
        self.root = Path(tempfile.mkdtemp(prefix='local-azure-'))
        self._watchdog = Watchdog(self.root)
        self.faults = Faults()
        self.conditions = Conditions(self.faults, on_request=self._requested)
        self._entra = self._start_entra() if self._with_entra else None
        tls = self._entra.server_tls if self._entra else None
        account = (STORAGE_ACCOUNT, self.keys['AZURE_STORAGE_KEY'])
        self._azurite = Azurite(self.root, account, self.faults, self._watchdog, self._entra)
        self._storage = Front('storage', self.conditions, tls)
        self._front = Front('batch', self.conditions, tls)
        self._timeline = RealTimeline(self.crashes.append)
        address = (BATCH_ACCOUNT, self._front.url)
        self._machines = Machines(self.root, address, self.faults, self._watchdog, self.crashes.append)
        self._executor: Executor = self._machines
        if self._instant_output is not None:
            self._executor = InstantExecutor(self._instant_output, self.faults)
        self.batch = Account(self._timeline, self._executor, *address, self.faults)
        if self._delays:
            self.batch.delays = self._delays
        self.requests = self.conditions.requests  # since the last `clear`, in the order in which they ended
        self._storage.start(self._azurite)
        self._front.start(Batch(self.batch, self._authenticate, self.crashes.append))

    def _start_entra(self) -> Entra:
        from .entra import Entra  # what it imports takes a while

        entra = Entra(self.root, self.faults, self._now, lambda: self.token_life)
        transfer.TLS.load_verify_locations(entra.authority)
        self.conditions.refusal = entra.refusal
        self._identity = Front('identity', self.conditions, None)
        self._identity.start(entra.endpoint)
        return entra

    def stop(self) -> None:
        """Ends every process, closes every port, removes the folder."""
        self.batch.clear()
        for front in (self._front, self._storage, *([self._identity] if self._entra else [])):
            front.stop()
        self._timeline.stop()
        self._machines.close()
        self._azurite.stop()
        self._watchdog.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.stop()
        if kind is None:
            self._raise_crash()

    def clear(self) -> None:
        """Ends all work, empties both accounts, forgets faults, settings and requests; raises what has crashed."""
        self.batch.clear()
        if self._delays is None:
            self.batch.delays = Delays()
        self.conditions.latency, self.offset, self.token_life = 0.0, timedelta(), self._token_life
        with self._blob_client(self._azurite.url, token=False) as client:  # past the record of requests
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
        """The variables that the Azure CLI, azure-identity and the sample read."""
        accounts = {
            'AZURE_BATCH_ACCOUNT': BATCH_ACCOUNT,
            'AZURE_BATCH_ENDPOINT': self._front.url,
            'AZURE_STORAGE_ACCOUNT': STORAGE_ACCOUNT,
            'AZURE_STORAGE_SERVICE_ENDPOINT': f'{self._storage.url}/{STORAGE_ACCOUNT}',
        }
        return accounts | (self._entra.environment(self._identity.url) if self._entra else self.keys)

    def batch_client(self, api_version: str = API_VERSIONS[-1]) -> azure.batch.BatchServiceClient:
        """A client with the key or, if Entra ID is there, with tokens that are always good."""
        credentials = SharedKeyCredentials(BATCH_ACCOUNT, self.keys['AZURE_BATCH_ACCESS_KEY'])
        if entra := self._entra:
            scope = 'https://batch.core.windows.net/'
            credentials = AdalAuthentication(
                lambda: {'tokenType': 'Bearer', 'accessToken': entra.get_token(scope).token}
            )
        client = azure.batch.BatchServiceClient(credentials, self._front.url)
        if self._entra:
            client.config.connection.verify = str(self._entra.authority)
        for group in OPERATION_GROUPS:
            getattr(client, group).api_version = api_version
        return client

    def blob_service_client(self) -> BlobServiceClient:
        """As `batch_client`."""
        return self._blob_client(self._storage.url, token=True)

    def _blob_client(self, url: str, *, token: bool) -> BlobServiceClient:
        key, verify = self.keys['AZURE_STORAGE_KEY'], str(self._entra.authority) if self._entra else True
        credential = self._entra if self._entra and token else key
        return BlobServiceClient(f'{url}/{STORAGE_ACCOUNT}', credential, connection_verify=verify)

    def wait_ready(self) -> None:
        """Returns when Azurite answers; its first start on a machine downloads it."""
        assert self._azurite.url

    def wait_until(self, predicate: Callable[[], object], timeout: float = 30, describe: str = 'the condition') -> None:
        """Waits for the predicate, asked again after every change and request; else TimeoutError with the state."""
        self.batch.wait_until(predicate, timeout, describe)

    def _now(self) -> datetime:
        return datetime.now(timezone.utc) + self.offset

    def _authenticate(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> None:
        """Refuses a wrong key; a token that has come this far has been looked at."""
        if not (self._entra and headers.get('authorization', '').startswith('Bearer ')):
            account = (BATCH_ACCOUNT, self.keys['AZURE_BATCH_ACCESS_KEY'])
            auth.check(method, path, query, headers, account, self._now())

    def _requested(self) -> None:
        with self.batch.lock:
            self.batch.notify()


def script_environment(azure: LocalAzure) -> dict[str, str]:
    """This process's environment with that of the accounts and no other; loopback never goes through a proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(CREDENTIALS)}
    return {**kept, **azure.environment, 'NO_PROXY': '127.0.0.1', 'no_proxy': '127.0.0.1'}
