"""Puts the parts together: `with LocalAzure() as azure` is Azure on this machine."""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import azure.batch
from azure.batch.batch_auth import SharedKeyCredentials
from azure.storage.blob import BlobServiceClient
from msrestazure.azure_active_directory import AdalAuthentication

from tests.local_azure.batch import signature as auth
from tests.local_azure.batch.account import Account, Delays
from tests.local_azure.batch.clock import Timeline
from tests.local_azure.batch.routes import API_VERSIONS, Batch
from tests.local_azure.faults import Faults, OnDemand
from tests.local_azure.http_front import Answer, Conditions, Front, Handler
from tests.local_azure.node.agent import Agent
from tests.local_azure.node.instant import InstantMachines
from tests.local_azure.node.machine import Machines
from tests.local_azure.storage import Azurite
from tests.local_azure.watchdog import Watchdog

if TYPE_CHECKING:
    from tests.local_azure.entra import Entra

BATCH_ACCOUNT, STORAGE_ACCOUNT = 'localbatch', 'localstorage'
OPERATION_GROUPS = ('account', 'pool', 'compute_node', 'job', 'task', 'file')
CREDENTIALS = (
    'AZURE_',
    'IDENTITY_',
    'IMDS_',
    'MSI_',
)  # how the variables begin with which azure-identity signs in


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
        self.crashes: list[BaseException] = []

    # Life

    def start(self) -> None:
        with ExitStack() as stack:  # undoes what was done before something fails
            self._start(stack)
            self._stack = stack.pop_all()

    def _start(self, stack: ExitStack) -> None:
        def serve(front: Front, backend: Callable[[Handler], Answer]) -> None:
            front.start(backend)
            stack.callback(front.stop)

        variables = ('AZURE_BATCH_ACCESS_KEY', 'AZURE_STORAGE_KEY')
        self.keys = {name: base64.b64encode(secrets.token_bytes(64)).decode() for name in variables}
        self.root = Path(tempfile.mkdtemp(prefix='local-azure-'))
        watchdog = Watchdog(self.root)
        stack.callback(watchdog.stop)  # it removes the folder, too
        self.faults = Faults()
        self.conditions = Conditions(self.faults)
        self.requests = (
            self.conditions.requests
        )  # since the last `clear`, in the order in which they ended
        self._entra: Entra | None = None
        if self._with_entra:
            from tests.local_azure.entra import Entra  # what it imports takes a while

            self._entra = Entra(self.root, self.faults, self._now, lambda: self.token_life)
            self.conditions.refusal = self._entra.refusal
            self._identity = Front('identity', self.conditions, None)
            serve(self._identity, self._entra.endpoint)
        tls = self._entra.server_tls if self._entra else None
        self._storage, self._front = (
            Front(service, self.conditions, tls) for service in ('storage', 'batch')
        )
        account = (STORAGE_ACCOUNT, self.keys['AZURE_STORAGE_KEY'])
        self._azurite = Azurite(self.root, account, self.faults, watchdog, self._entra)
        stack.callback(self._azurite.stop)
        agent = Agent(self._entra.authority if self._entra else None)
        names = {
            'AZ_BATCH_ACCOUNT_NAME': BATCH_ACCOUNT,
            'AZ_BATCH_ACCOUNT_URL': f'{self._front.url}/',
        }
        parts: Any = (self.root, names, self.faults, watchdog, agent, self.crashes.append)
        instant = self._instant_output
        machines = Machines(*parts) if instant is None else InstantMachines(instant, *parts)
        stack.callback(machines.close)
        timeline = Timeline(self.crashes.append)
        stack.callback(timeline.stop)
        self.batch = Account(
            timeline, machines, self._front.url, self.faults, self._delays or Delays()
        )
        serve(self._storage, self._azurite)
        serve(self._front, Batch(self.batch, self._authenticate, self.crashes.append))
        stack.callback(self.batch.clear)

    def stop(self) -> None:
        """Ends every process, closes every port, removes the folder."""
        self._stack.close()

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
        self.batch.delays = self._delays or Delays()
        self.token_life = self._token_life
        with self._blob_client(
            self._azurite.url, token=False
        ) as client:  # past the record of requests
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
        return accounts | (
            self._entra.environment(self._identity.url) if self._entra else self.keys
        )

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
        key, verify = (
            self.keys['AZURE_STORAGE_KEY'],
            str(self._entra.authority) if self._entra else True,
        )
        credential = self._entra if self._entra and token else key
        return BlobServiceClient(f'{url}/{STORAGE_ACCOUNT}', credential, connection_verify=verify)

    def wait_ready(self) -> None:
        """Returns when Azurite answers; its first start on a machine downloads it."""
        assert self._azurite.url

    def wait_until(
        self, predicate: Callable[[], object], timeout: float = 30, describe: str = 'the condition'
    ) -> None:
        """Waits for the predicate, asked 100 times a second; else TimeoutError with the state."""
        deadline = time.monotonic() + timeout
        while not predicate():
            if time.monotonic() > deadline:
                raise TimeoutError(f'{describe} did not come true within {timeout} s: {self.batch}')
            time.sleep(0.01)

    def evaluate_autoscale_every(self, seconds: float) -> None:
        """Autoscale formulas are evaluated so often until `clear`, whatever their pools say."""
        self.batch.pools.evaluate_autoscale_every(seconds)

    def _now(self) -> datetime:
        return datetime.now(UTC) + self.faults.clock_offset

    def _authenticate(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> None:
        """Refuses a wrong key; a token that has come this far has been looked at."""
        if not (self._entra and headers.get('authorization', '').startswith('Bearer ')):
            account = (BATCH_ACCOUNT, self.keys['AZURE_BATCH_ACCESS_KEY'])
            auth.check(method, path, query, headers, account, self._now())


def script_environment(azure: LocalAzure) -> dict[str, str]:
    """This process's environment with that of the accounts and no other; loopback never goes through a proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(CREDENTIALS)}
    return {**kept, **azure.environment, 'NO_PROXY': '127.0.0.1', 'no_proxy': '127.0.0.1'}
