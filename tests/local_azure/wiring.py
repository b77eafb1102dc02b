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
from typing import Literal

import azure.batch
from azure.batch.batch_auth import SharedKeyCredentials
from azure.storage.blob import BlobServiceClient
from typing_extensions import Self

from .account import Account, Delays, Quotas
from .azurite import Azurite
from .executor import Executor
from .faults import (
    AllocationFault,
    BeingDeleted,
    Faults,
    NodeLoss,
    OutputFault,
    RequestFault,
    Service,
    SlowAllocation,
    SlowNodes,
    Source,
    StaleCounts,
    StartTaskFault,
)
from .instant import InstantExecutor
from .machine import Machines
from .proxy import StorageProxy
from .rest import API_VERSIONS, create_app
from .server import BatchServer, Conditions, Request
from .timeline import RealTimeline
from .watchdog import Watchdog

BATCH_ACCOUNT, STORAGE_ACCOUNT = 'localbatch', 'localstorage'
OPERATION_GROUPS = ('account', 'pool', 'compute_node', 'job', 'task', 'file')


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()


class LocalAzure:
    """A storage account and a Batch account on free loopback ports, with random keys and an own temporary folder.

    `instant_output`: tasks run no process; each ends at once with exit code 0, and its output files get this content.
    """

    def __init__(self, *, delays: Delays | None = None, instant_output: bytes | None = None) -> None:
        self._delays, self._instant_output = delays, instant_output
        self._offset = timedelta()
        self.crashes: list[BaseException] = []

    # Life

    def start(self) -> None:
        self._keys = (_random_key(), _random_key())
        self.root = Path(tempfile.mkdtemp(prefix='local-azure-'))
        self._watchdog = Watchdog(self.root)
        self._azurite = Azurite(self.root, STORAGE_ACCOUNT, self._keys[1], self._watchdog)
        self.faults = Faults()
        self._conditions = Conditions(self.faults)
        self._proxy = StorageProxy(self._conditions, self._azurite.port)
        self._server = BatchServer(self._conditions)
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
        self._conditions.on_request = self._requested
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
        self._conditions.latency, self._offset = 0.0, timedelta()
        with self._direct_blob_service_client() as client:
            for container in client.list_containers():
                client.delete_container(container.name)
        self._conditions.requests.clear()
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
        return self._conditions.requests

    def wait_until(self, predicate: Callable[[], object], timeout: float = 30, describe: str = 'the condition') -> None:
        """Waits for the predicate, asked again after every change and request.

        TimeoutError with the account's state.
        """
        self.batch.wait_until(predicate, timeout, describe)

    def _now(self) -> datetime:
        return datetime.now(timezone.utc) + self._offset

    def _requested(self) -> None:
        with self.batch.lock:
            self.batch.notify()

    # Faults of requests

    def fail_requests(
        self,
        method: str,
        path_regex: str,
        count: int | None = 1,
        *,
        service: Service = 'batch',
        status: int = 503,
        code: str = 'ServerBusy',
        retry_after: int | None = None,
        skip: int = 0,
        source: Source | None = 'client',
    ) -> RequestFault:
        """The next `count` matching requests (None: all) are answered with an error and not executed.

        `path_regex` is searched in path and query as sent; storage paths begin with the account's name. `source`: None
        also hits the nodes.
        """
        return self.faults.add(
            RequestFault(
                service=service,
                method=method,
                path=path_regex,
                source=source,
                action='answer',
                status=status,
                code=code,
                retry_after=retry_after,
                count=count,
                skip=skip,
            )
        )

    def cut_requests(
        self,
        method: str,
        path_regex: str,
        count: int | None = 1,
        *,
        service: Service = 'batch',
        where: Literal['before', 'after', 'mid-body'] = 'before',
        skip: int = 0,
        source: Source | None = 'client',
    ) -> RequestFault:
        """The connection is closed before anything is executed, after it (without an answer), or in mid-answer."""
        return self.faults.add(
            RequestFault(
                service=service,
                method=method,
                path=path_regex,
                source=source,
                action='cut',
                where=where,
                count=count,
                skip=skip,
            )
        )

    def hang_requests(
        self,
        method: str,
        path_regex: str,
        count: int | None = 1,
        *,
        service: Service = 'batch',
        skip: int = 0,
        source: Source | None = 'client',
    ) -> RequestFault:
        """No answer, nothing executed, until the fault is removed or cleared; then the connection is closed."""
        return self.faults.add(
            RequestFault(
                service=service, method=method, path=path_regex, source=source, action='hang', count=count, skip=skip
            )
        )

    def html_requests(
        self,
        method: str,
        path_regex: str,
        count: int | None = 1,
        *,
        service: Service = 'batch',
        status: int = 502,
        skip: int = 0,
        source: Source | None = 'client',
    ) -> RequestFault:
        """An HTML page, as from a proxy or gateway in between; nothing is executed."""
        return self.faults.add(
            RequestFault(
                service=service,
                method=method,
                path=path_regex,
                source=source,
                action='answer',
                status=status,
                html=True,
                count=count,
                skip=skip,
            )
        )

    def set_latency(self, seconds: float) -> None:
        """Every request of a client, to Batch and to storage, takes that much longer."""
        self._conditions.latency = seconds

    def clock_offset(self, offset: timedelta) -> None:
        """The service's clock for checking the date of signatures is off by this much."""
        self._offset = offset

    # Faults of the services

    def container_being_deleted(self, container: str, creates: int = 1, *, now: bool = False) -> BeingDeleted:
        """After its next deletion (`now`: at once) the next `creates` creations get 409 ContainerBeingDeleted."""
        return self.faults.add(BeingDeleted(container=container, creates=creates, count=creates, armed=now))

    def set_quota(
        self,
        *,
        dedicated_cores: int | None = None,
        low_priority_cores: int | None = None,
        pools: int | None = None,
        jobs: int | None = None,
    ) -> None:
        """Limits of the account; what is not given is unlimited."""
        self.batch.quotas = Quotas(dedicated_cores, low_priority_cores, pools, jobs)

    def fail_allocation(
        self,
        code: str = 'AllocationFailed',
        message: str | None = None,
        *,
        dedicated: bool | None = None,
        allocated: int = 0,
        count: int | None = None,
    ) -> AllocationFault:
        """Resizes end with this resizeError; only `allocated` nodes come. `dedicated`: one kind of node only."""
        return self.faults.add(
            AllocationFault(code=code, message=message, dedicated=dedicated, allocated=allocated, count=count)
        )

    def slow_allocation(self, seconds: float, *, count: int | None = None) -> SlowAllocation:
        """The pool stays `resizing` that much longer, without nodes."""
        return self.faults.add(SlowAllocation(seconds=seconds, count=count))

    def slow_nodes(
        self, *, creating: float = 0, starting: float = 0, start_task: float = 0, count: int | None = None
    ) -> SlowNodes:
        """Seconds more in each state, for the next `count` nodes; `start_task`: before its command line begins."""
        return self.faults.add(SlowNodes(creating=creating, starting=starting, start_task=start_task, count=count))

    def fail_start_task(
        self, nodes: Literal['all'] | int = 'all', *, stderr: str = 'E: start task failed\n', exit_code: int = 1
    ) -> StartTaskFault:
        """The start task does not run but fails, with every retry, on all nodes or on the first `nodes` ones."""
        limit = None if nodes == 'all' else nodes
        return self.faults.add(StartTaskFault(nodes=limit, exit_code=exit_code, stderr=stderr))

    def preempt_node(
        self, task: str = '*', *, after: float = 0.0, restore: bool = True, count: int | None = 1
    ) -> NodeLoss:
        """A node that runs this task (id with wildcards), now or later, is preempted `after` seconds into it.

        `restore`: comes back.
        """
        return self._lose_node(NodeLoss(task=task, unusable=False, after=after, restore=restore, count=count))

    def make_node_unusable(self, task: str = '*', *, after: float = 0.0, count: int | None = 1) -> NodeLoss:
        """As `preempt_node`, but the node becomes unusable and stays so."""
        return self._lose_node(NodeLoss(task=task, unusable=True, after=after, restore=False, count=count))

    def _lose_node(self, fault: NodeLoss) -> NodeLoss:
        self.faults.add(fault)
        self.batch.nodes.arm_running()
        return fault

    def refuse_upload(self, pattern: str = '*', *, count: int | None = None) -> OutputFault:
        """Output files of this task id, or with this blob name (wildcards), are refused: FileUploadAccessDenied."""
        return self.faults.add(OutputFault(pattern=pattern, kind='refused', count=count))

    def lose_output(self, pattern: str = '*', *, empty: bool = False, count: int | None = None) -> OutputFault:
        """Output files of this task id or blob name never arrive, or arrive empty; the task succeeds all the same."""
        return self.faults.add(OutputFault(pattern=pattern, kind='empty' if empty else 'lost', count=count))

    def stale_task_counts(self, answers: int | None = None, counts: dict[str, int] | None = None) -> StaleCounts:
        """The next `answers` task counts (None: all) are `counts`, or those of this moment.

        Zeros for jobs that do not exist yet.
        """
        with self.batch.lock:
            frozen = {job.key: {'tasks': dict(job.counts), 'slots': dict(job.slots)} for job in self.batch.all_jobs()}
        return self.faults.add(StaleCounts(counts=counts, frozen=frozen, count=answers))


def script_environment(azure: LocalAzure) -> dict[str, str]:
    """This process's environment with the six variables; loopback never goes through a proxy."""
    return {**os.environ, **azure.environment, 'NO_PROXY': '127.0.0.1', 'no_proxy': '127.0.0.1'}
