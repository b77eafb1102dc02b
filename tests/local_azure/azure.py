"""Puts the parts together: `with LocalAzure() as azure` is Azure on this machine."""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

import azure.batch
from azure.batch.batch_auth import SharedKeyCredentials
from azure.storage.blob import BlobLeaseClient, BlobServiceClient
from msrestazure.azure_active_directory import AdalAuthentication

from tests.local_azure.azurite import Azurite
from tests.local_azure.batch import signature
from tests.local_azure.batch.account import Account
from tests.local_azure.batch.api_versions import ANSWERED as API_VERSIONS
from tests.local_azure.batch.clock import Timeline
from tests.local_azure.batch.delays import Delays
from tests.local_azure.batch.machines import Machines
from tests.local_azure.batch.service import BatchService, batch_error
from tests.local_azure.faults import Faults, OnDemand
from tests.local_azure.http_front import NODE_USER_AGENT, Answer, Conditions, Front, Handler
from tests.local_azure.node.agent import Agent
from tests.local_azure.node.blobs import BlobClient
from tests.local_azure.node.instant_machine import InstantMachine
from tests.local_azure.node.machine import Equipment, Machine, ProcessMachine
from tests.local_azure.node.preinstalled import NodeImage
from tests.local_azure.storage import Storage, storage_error
from tests.local_azure.watchdog import Watchdog

if TYPE_CHECKING:
    from tests.local_azure.entra import Entra

BATCH_ACCOUNT = 'localbatch'
STORAGE_ACCOUNT = 'localstorage'
BATCH_SCOPE = 'https://batch.core.windows.net/'
OPERATION_GROUPS = ('account', 'pool', 'compute_node', 'job', 'task', 'file')
# How the variables begin with which azure-identity signs in.
CREDENTIALS = ('AZURE_', 'IDENTITY_', 'IMDS_', 'MSI_')


class LocalAzure(OnDemand):
    """A storage account and a Batch account on free loopback ports, with random keys.

    `instant_output`: tasks run no process; each ends at once with exit code 0, and its output files
    get this content. `task_delay`: seconds that each task waits on its node before its command line
    starts. `entra`: both accounts are reached over TLS and also accept tokens, which live for
    `token_life`; the environment has an identity that gets them, and no key. `keys` has the keys,
    by the name of their variable.
    """

    def __init__(
        self,
        *,
        delays: Delays | None = None,
        instant_output: bytes | None = None,
        task_delay: float = 0.0,
        entra: bool = False,
        token_life: timedelta = timedelta(hours=24),
    ) -> None:
        self._delays = delays
        self._instant_output = instant_output
        self._task_delay = task_delay
        self._with_entra = entra
        self._token_life = token_life

        self.token_life = token_life
        self.crashes: list[BaseException] = []

    # Life

    def start(self) -> None:
        with ExitStack() as stack:  # undoes what was done before something fails
            self._start_parts(stack)
            self._stack = stack.pop_all()

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

    def _start_parts(self, stack: ExitStack) -> None:
        self.keys = {
            'AZURE_BATCH_ACCESS_KEY': _random_key(),
            'AZURE_STORAGE_KEY': _random_key(),
        }
        self.root = Path(tempfile.mkdtemp(prefix='local-azure-'))
        self._watchdog = Watchdog(self.root)
        stack.callback(self._watchdog.stop)  # it removes the folder, too

        self.faults = Faults()
        self.conditions = Conditions(self.faults)
        # Since the last `clear`, in the order in which they ended.
        self.requests = self.conditions.requests

        self._entra: Entra | None = None
        if self._with_entra:
            self._entra = self._start_entra(stack)
        self._start_storage(stack)
        self._start_batch(stack)

    def _start_entra(self, stack: ExitStack) -> Entra:
        from tests.local_azure.entra import Entra, identity_error  # it imports what takes a while

        entra = Entra(self.root, self.faults, self._now, lambda: self.token_life)
        self.conditions.refusal = entra.refusal
        self._identity_front = Front('identity', self.conditions, None, identity_error)
        self._serve(stack, self._identity_front, entra.endpoint)
        return entra

    def _start_storage(self, stack: ExitStack) -> None:
        key = self.keys['AZURE_STORAGE_KEY']
        self._azurite = Azurite(self.root, STORAGE_ACCOUNT, key, self._watchdog, self._entra)
        stack.callback(self._azurite.stop)

        client_tls = self._entra.client_tls if self._entra else None
        server_tls = self._entra.server_tls if self._entra else None
        storage = Storage(
            self._azurite, STORAGE_ACCOUNT, key, self.faults, client_tls, self.crashes.append
        )
        self._storage_front = Front('storage', self.conditions, server_tls, storage_error)
        self._serve(stack, self._storage_front, storage)

    def _start_batch(self, stack: ExitStack) -> None:
        server_tls = self._entra.server_tls if self._entra else None
        self._batch_front = Front('batch', self.conditions, server_tls, batch_error)

        machines = self._make_machines(stack)
        timeline = Timeline(self.crashes.append)
        stack.callback(timeline.stop)
        self.batch = Account(
            timeline,
            machines,
            self._batch_front.url,
            self.faults,
            self._delays or Delays(),
        )

        service = BatchService(self.batch, self._authenticate, self.crashes.append)
        self._serve(stack, self._batch_front, service)
        stack.callback(self.batch.clear)

    def _make_machines(self, stack: ExitStack) -> Machines:
        blobs = BlobClient(NODE_USER_AGENT, self._entra.authority if self._entra else None)
        stack.callback(blobs.close)
        equipment = Equipment(
            image=NodeImage(self.root / 'tools'),
            agent=Agent(blobs, self.faults),
            watchdog=self._watchdog,
            on_crash=self.crashes.append,
        )

        def make_machine(home: Path) -> Machine:
            if self._instant_output is not None:
                return InstantMachine(self._instant_output, equipment)
            return ProcessMachine(home, equipment)

        environment = {
            'AZ_BATCH_ACCOUNT_NAME': BATCH_ACCOUNT,
            'AZ_BATCH_ACCOUNT_URL': f'{self._batch_front.url}/',
        }
        machines = Machines(self.root / 'nodes', environment, make_machine, self._task_delay)
        stack.callback(machines.close)
        return machines

    def _serve(self, stack: ExitStack, front: Front, backend: Callable[[Handler], Answer]) -> None:
        front.start(backend)
        stack.callback(front.stop)

    def clear(self) -> None:
        """Ends all work, empties both accounts, forgets faults, settings and requests.

        Raises what has crashed.
        """
        self.batch.clear()
        self.batch.delays = self._delays or Delays()
        self.token_life = self._token_life
        self._delete_containers()
        self.conditions.requests.clear()
        self._raise_crash()

    def _delete_containers(self) -> None:
        with self._key_client(self._azurite.url) as client:  # past the record of requests
            for properties in client.list_containers():
                container = client.get_container_client(properties.name)
                if properties.lease.status == 'locked':
                    BlobLeaseClient(container).break_lease(lease_break_period=0)
                container.delete_container()

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
            'AZURE_BATCH_ENDPOINT': self._batch_front.url,
            'AZURE_STORAGE_ACCOUNT': STORAGE_ACCOUNT,
            'AZURE_STORAGE_SERVICE_ENDPOINT': f'{self._storage_front.url}/{STORAGE_ACCOUNT}',
        }
        if self._entra:
            return accounts | self._entra.environment(self._identity_front.url)
        return accounts | self.keys

    def batch_client(self, api_version: str = API_VERSIONS[-1]) -> azure.batch.BatchServiceClient:
        """A client with the key or, if Entra ID is there, with tokens that are always good."""
        entra = self._entra
        if entra:

            def token() -> dict[str, str]:
                return {'tokenType': 'Bearer', 'accessToken': entra.get_token(BATCH_SCOPE).token}

            credentials = AdalAuthentication(token)
        else:
            key = self.keys['AZURE_BATCH_ACCESS_KEY']
            credentials = SharedKeyCredentials(BATCH_ACCOUNT, key)

        client = azure.batch.BatchServiceClient(credentials, self._batch_front.url)
        if entra:
            client.config.connection.verify = str(entra.authority)
        for group in OPERATION_GROUPS:
            getattr(client, group).api_version = api_version
        return client

    def blob_service_client(self) -> BlobServiceClient:
        """As `batch_client`."""
        if not self._entra:
            return self._key_client(self._storage_front.url)
        return BlobServiceClient(
            f'{self._storage_front.url}/{STORAGE_ACCOUNT}',
            self._entra,
            connection_verify=str(self._entra.authority),
        )

    def _key_client(self, url: str) -> BlobServiceClient:
        return BlobServiceClient(
            f'{url}/{STORAGE_ACCOUNT}',
            self.keys['AZURE_STORAGE_KEY'],
            connection_verify=str(self._entra.authority) if self._entra else True,
        )

    def wait_ready(self) -> None:
        """Returns when Azurite answers; AzuriteError if it does not start."""
        _ = self._azurite.url

    def wait_until(
        self, predicate: Callable[[], object], timeout: float = 300, describe: str = 'the condition'
    ) -> None:
        """Waits for the predicate, asked 100 times a second; else TimeoutError with the state."""
        deadline = time.monotonic() + timeout
        while not predicate():
            if time.monotonic() > deadline:
                raise TimeoutError(f'{describe} did not come true within {timeout} s: {self.batch}')
            time.sleep(0.01)

    def evaluate_autoscale_every(self, seconds: float) -> None:
        """Autoscale formulas are evaluated so often until `clear`, whatever their pools say.

        As often samples are taken for them.
        """
        self.batch.pools.evaluate_autoscale_every(seconds)

    def _now(self) -> datetime:
        return datetime.now(UTC) + self.faults.clock_offset

    def _authenticate(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> None:
        """Refuses a wrong key; a token that has come this far has been looked at."""
        if self._entra and headers.get('authorization', '').startswith('Bearer '):
            return
        account = (BATCH_ACCOUNT, self.keys['AZURE_BATCH_ACCESS_KEY'])
        signature.check(method, path, query, headers, account, self._now())


def script_environment(azure: LocalAzure) -> dict[str, str]:
    """This process's environment with that of the accounts and no other.

    Loopback never goes through a proxy.
    """
    environment = {}
    for name, value in os.environ.items():
        if not name.startswith(CREDENTIALS):
            environment[name] = value
    environment |= azure.environment
    environment['NO_PROXY'] = '127.0.0.1'
    environment['no_proxy'] = '127.0.0.1'
    return environment


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()
