"""Convert MP4 videos to MP3 in parallel on Azure Batch.

The sample of the tutorial "Run a parallel workload with Azure Batch using the Python API":
1. check the settings and find the videos in InputFiles/; up to here nothing is contacted
2. upload the videos to a container in Azure Storage
3. create a pool of compute nodes; each node installs ffmpeg when it starts
4. create a job and add one task for each video: ffmpeg converts it, the node uploads the MP3
5. wait for the tasks and look at the result of every one
6. download the MP3s to OutputFiles/
7. delete the input container and, if you agree, the job and the pool

Put the names of your accounts into the settings at the top of this file, or into the variables beside them, and run
    python batch_python_tutorial_ffmpeg.py      (without an Azure account: python -m tests.local_azure)
    python batch_python_tutorial_ffmpeg.py --input ~/Videos --output ~/Music --low-priority 20 --timeout 90 -y
Exit codes: 0 every file converted; 1 something failed; 2 wrong usage or settings, nothing contacted; 130 interrupted
"""

# /// script
# requires-python = ">=3.10"
# dependencies = ["azure-batch==14.2.0", "azure-identity==1.27.0", "azure-storage-blob==12.31.1",
#   "msrestazure==0.6.4.post1", "tqdm==4.70.1"]
# ///

import collections
import concurrent.futures
import contextlib
import functools
import json
import logging
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from argparse import ArgumentError, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # the imports below take half a second, and need no cleanup

from azure.batch import BatchServiceClient, models as batchmodels
from azure.batch.batch_auth import SharedKeyCredentials
from azure.batch.custom.custom_errors import CreateTasksErrorException
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient, ExponentialRetry, generate_blob_sas, generate_container_sas
from msrest.exceptions import ClientException
from msrestazure.azure_active_directory import AdalAuthentication
from tqdm import tqdm  # a progress bar is one call, the terminal stays as it is, and all else may still print

# --- Settings (of the accounts, replace the placeholders or set the environment variables, which win) -----------------
_BATCH_ACCOUNT_NAME = os.getenv('AZURE_BATCH_ACCOUNT', '<Batch account>')
_BATCH_ACCOUNT_KEY = os.getenv('AZURE_BATCH_ACCESS_KEY', '')  # empty: sign in with Microsoft Entra ID
_BATCH_ACCOUNT_URL = os.getenv('AZURE_BATCH_ENDPOINT', 'https://<Batch account>.<region>.batch.azure.com')
_STORAGE_ACCOUNT_NAME = os.getenv('AZURE_STORAGE_ACCOUNT', '<storage account>')
_STORAGE_ACCOUNT_KEY = os.getenv('AZURE_STORAGE_KEY', '')  # the same
_BLOB_ENDPOINT = f'https://{_STORAGE_ACCOUNT_NAME}.blob.core.windows.net'
_STORAGE_ACCOUNT_URL = os.getenv('AZURE_STORAGE_SERVICE_ENDPOINT', _BLOB_ENDPOINT)

_INPUT_CONTAINER_NAME = 'input'  # made and deleted by each run
_OUTPUT_CONTAINER_NAME = 'output'  # made when missing, never deleted

_POOL_ID = 'LinuxFFmpegPool'  # each of its nodes bills from the moment it exists until it is gone, busy or not
_DEDICATED_POOL_NODE_COUNT = 0
_LOW_PRIORITY_POOL_NODE_COUNT = 5  # Spot nodes: much cheaper, and Azure may take them back
_POOL_VM_SIZE = 'STANDARD_A1_v2'
_POOL_IMAGE = {'publisher': 'canonical', 'offer': 'ubuntu-24_04-lts', 'sku': 'server-gen1', 'version': 'latest'}
_POOL_NODE_AGENT_SKU_ID = 'batch.node.ubuntu 24.04'  # A1_v2 boots generation 1 only, hence server-gen1, not server
_START_TASK_COMMAND = (  # the apt lock of a fresh node is taken for minutes; runs again at every reboot
    "/bin/bash -c 'export DEBIAN_FRONTEND=noninteractive; for attempt in {1..20}; do command -v ffmpeg && exit 0; "
    "apt-get update && apt-get install -y --no-install-recommends ffmpeg || sleep 15; done; command -v ffmpeg'"
)

_JOB_ID = 'LinuxFFmpegJob'
_TASK_COMMAND = "/bin/bash -c 'ffmpeg -nostdin -hide_banner -nostats -y -i input.mp4 -vn output.mp3'"
_UPLOAD_TIMEOUT = timedelta(hours=2)  # all uploads together
_JOB_TIMEOUT = timedelta(minutes=30)  # from adding the tasks to the end of the last one, waiting for nodes included
_TASK_TIMEOUT = timedelta(minutes=20)  # one conversion
_DELETION_TIMEOUT = timedelta(minutes=10)  # for a pool or job of the same id that is still being deleted
_MARGIN = timedelta(minutes=30)  # how much longer than these limits a SAS and the job live

_BATCH_API_VERSION = '2025-06-01'  # azure-batch 14.2.0 itself sends 2024-02-01.19.0, which Batch is going to retire
_SHOWN_FILES = 20  # of the failed ones and in the table at the end; more are only counted
_NODE_CELLS = {'idle': '4i', 'running': '2R', 'waiting_for_start_task': '6t', 'start_task_failed': '1F'}
_NODE_CELLS |= {'preempted': '5p', 'unusable': '1F', 'offline': '1F', 'leaving_pool': '5l'}  # colour (ANSI), letter
_CONNECTIONS = 32  # requests under way at once
_BLOCK_SIZE = 4 * 1024 * 1024  # bytes; larger files travel in blocks of this size
_RETRY_SECONDS, _FIRST_RETRY_SECONDS = 75, 15  # how long a failing request is repeated; until the first answer

_AZ_STORAGE = f'--account-name {_STORAGE_ACCOUNT_NAME}{"" if _STORAGE_ACCOUNT_KEY else " --auth-mode login"}'
_AZ_ACCOUNT = f'--account-name {_BATCH_ACCOUNT_NAME} --account-endpoint {_BATCH_ACCOUNT_URL}'
_LEFT_BEHIND = {  # what that costs, and the command of the Azure CLI that deletes it
    'container': f'Its files bill. Delete it:\n  az storage container delete -n {_INPUT_CONTAINER_NAME} {_AZ_STORAGE}',
    'job': f'It costs nothing. Delete it:\n  az batch job delete --job-id {_JOB_ID} --yes {_AZ_ACCOUNT}',
    'pool': f'Its nodes bill. Delete it:\n  az batch pool delete --pool-id {_POOL_ID} --yes {_AZ_ACCOUNT}',
}
_MARK = {'createdby': 'batch_python_tutorial_ffmpeg', 'run': uuid.uuid4().hex}  # only what carries it is ever deleted
_MARK_ITEMS = [batchmodels.MetadataItem(name=name, value=value) for name, value in _MARK.items()]

# --- Errors: what users really meet, error code (a pattern) -> cause and remedy ---------------------------------------
Failures = dict[str, str]  # file -> why it was not converted
_QUOTA = 'Ask for more in the portal (Batch account > Quotas), or'
_ROLE = 'a role is missing (or is minutes old):\n  az role assignment create --role "{} Data Contributor" '
_ROLE += '--assignee <you> --scope $(az resource list --query [0].id -o tsv --name {})'
_REMEDIES = {
    'AuthenticationFailed|InvalidAuthenticationInfo': 'Wrong key or clock, or an expired or forbidden sign-in.',
    'AuthorizationFailure|PermissionDenied': 'Wrong key, a network rule of the account, or '
    + _ROLE.format('Azure Batch', _BATCH_ACCOUNT_NAME),
    'AuthorizationPermissionMismatch': 'Signed in, but ' + _ROLE.format('Storage Blob', _STORAGE_ACCOUNT_NAME),
    'ClientAuthenticationError|CredentialUnavailableError': 'Not signed in. Run "az login", or set a key.',
    'KeyBasedAuthenticationNotPermitted': 'The account allows no keys. Leave _STORAGE_ACCOUNT_KEY empty to sign in.',
    'AccountCoreQuotaReached': f'No quota for dedicated cores is left. {_QUOTA} lower _DEDICATED_POOL_NODE_COUNT.',
    'Account(LowPriority|Spot)CoreQuotaReached': f'No quota is left. {_QUOTA} lower _LOW_PRIORITY_POOL_NODE_COUNT.',
    'AccountVMSeriesCoreQuotaReached': f'No quota for this VM series is left. {_QUOTA} choose another _POOL_VM_SIZE.',
    '(Pool|ActiveJobAndSchedule)QuotaReached': f'The account cannot hold another one. {_QUOTA} delete one.',
    'Allocation(Failed|TimedOut)': 'None free, try later; or _POOL_VM_SIZE does not fit the image (generation 1 or 2).',
    'UnsupportedRequestVersion': 'Batch no longer accepts this version. Change _BATCH_API_VERSION.',
}


class SampleError(Exception):
    """Something that the user should know about: the message says what, why and the way out."""


def error_code(error: BaseException) -> str:
    """Return the service's code of a Batch or Storage error, '' when it has none."""
    code = getattr(getattr(error, 'error', None) or error, 'code', None) or getattr(error, 'error_code', None)
    name = type(error).__name__ if isinstance(error, ClientAuthenticationError) else ''  # azure-identity has no codes
    return str(getattr(code, 'value', code or name))


def describe(error: BaseException) -> str:
    """Return one message for an expected error: what happened and the way out, without keys and SAS."""
    if parts := [*getattr(error, 'errors', ()), *getattr(error, 'failure_tasks', ())]:  # of CreateTasksErrorException
        return describe(parts[0])
    if isinstance(error, OSError) and error.errno:  # not so the exceptions of requests
        return f'{error.filename or "Output"}: {error.strerror}'
    code, response, inner = error_code(error), getattr(error, 'response', None), getattr(error, 'error', None) or error
    message = getattr(inner, 'message', None) or getattr(error, 'message', None) or error
    text = str(getattr(message, 'value', message))
    if code:  # the first line; the others have no news but a signature
        pairs = [(getattr(v, 'key', 'Reason'), v.value) for v in getattr(inner, 'values', None) or ()]
        values = [value for key, value in pairs if key in ('PropertyName', 'Reason') or 'allowed' in value]
        remedies = [remedy for pattern, remedy in _REMEDIES.items() if re.fullmatch(pattern, code, re.IGNORECASE)]
        text = ' '.join((f'{code}: {text.partition(chr(10))[0]}', *values, *remedies))
    elif response is not None:
        text = f'{response.status_code} {response.reason}: this is no answer of Azure. Check the URLs and the proxy.'
    if code == 'AuthenticationFailed' and response is not None:
        text += f' (Clocks: service {response.headers.get("Date")}, this machine {datetime.now(timezone.utc):%c} GMT.)'
    return re.sub(r'\?\S*sig=\S*', '', text.rpartition('(Caused by ')[2])  # a SAS stands after a question mark


def print_batch_exception(batch_exception: BaseException) -> None:
    """Print what a service refused, why, and the way out."""
    say(f'Error: {describe(batch_exception)}', sys.stderr)


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line, on stdout by default; when it cannot be printed any more, go on in silence."""
    try:
        with tqdm.external_write_mode(stream, nolock=True):  # progress bars make room
            print(text, file=stream, flush=True)
    except OSError:  # nobody reads any more, the terminal is gone, the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())


_EXPECTED_ERRORS = (SampleError, ArgumentError, ClientException, CreateTasksErrorException, AzureError, OSError)
say_once = functools.cache(say)  # each text once only
tqdm.set_lock(threading.RLock())  # its own one starts a process on macOS, which complains when this one is gone
_MUTE = not (sys.stderr and sys.stderr.isatty() and os.getenv('TERM') != 'dumb' and os.get_terminal_size(2).columns)
# The cursor goes back to the start of the bar, lest the ^C of the terminal tears it.
progress = functools.partial(tqdm, leave=False, dynamic_ncols=True, bar_format='{l_bar}{bar}{r_bar}\r', disable=_MUTE)
if _MUTE:  # then a bar with disable=False is a plain line every 10 seconds
    lines = Namespace(write=lambda text: say(text.strip(), sys.stderr) if text.strip() else None)
    progress = functools.partial(progress, file=lines, delay=10, mininterval=10, miniters=1, lock_args=(False,))
logging.getLogger('azure').addHandler(logging.NullHandler())  # what its clients log, they also raise


def parse_arguments(argv: Sequence[str] | None) -> Namespace:
    """Return the options of the command line; some take the place of a setting."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--input', type=Path, default=Path('InputFiles'), metavar='DIR', help='default: %(default)s')
    add('--output', type=Path, default=Path('OutputFiles'), metavar='DIR', help='default: %(default)s')
    answers = parser.add_mutually_exclusive_group()
    answers.add_argument('-y', dest='answer', action='store_const', const='yes', help='delete job, pool and an old job')
    answers.add_argument('--keep', dest='answer', action='store_const', const='no', help='keep job and pool')
    add('--check', action='store_true', help='only check what can be checked, and create nothing')
    add('--dedicated', dest='_DEDICATED_POOL_NODE_COUNT', type=int, metavar='N', help='dedicated nodes (%(dest)s)')
    add('--low-priority', dest='_LOW_PRIORITY_POOL_NODE_COUNT', type=int, metavar='N', help='Spot nodes (%(dest)s)')
    add('--vm-size', dest='_POOL_VM_SIZE', metavar='SIZE', help='size of each node (%(dest)s)')
    parser.register('type', 'minutes', lambda text: timedelta(minutes=max(0, min(1e6, float(text)))))
    add('--timeout', dest='_JOB_TIMEOUT', type='minutes', metavar='MINUTES', help='limit for all tasks (%(dest)s)')
    options = parser.parse_args(argv)
    if os.path.exists(options.output) and not (os.path.isdir(options.output) and os.access(options.output, os.W_OK)):  # noqa: PTH110, PTH112
        parser.error(f'--output: {options.output} is not a folder that you may write to')
    globals().update((name, value) for name, value in vars(options).items() if name.isupper() and value is not None)
    return options


def check_settings() -> None:
    """Pass if the settings can be right; otherwise raise one ArgumentError that names each that cannot."""
    forms = {
        'ACCOUNT_NAME': ('[a-z0-9]{3,24}', 'lower-case letters and digits'),
        'ACCOUNT_KEY': ('(?!xxxx)([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?', 'base64'),
        'URL': (r'https://([\w-]{1,63}\.)+\w+/?|https?://(localhost|127\.[\d.]+|\[::1\])(:\d+)?(/\w*)*', 'https://...'),
        'CONTAINER_NAME': ('(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*', 'lower-case letters, digits and single hyphens'),
        'OUTPUT_CONTAINER': (f'(?!{re.escape(_INPUT_CONTAINER_NAME)}$).*', 'other than _INPUT_CONTAINER_NAME'),
        '_(POOL|JOB)_ID': (r'[\w-]{1,64}', 'letters, digits, hyphens and underscores'),
    }
    problems = []
    for setting, (pattern, form) in ((s, f) for s in globals() for name, f in forms.items() if re.search(name, s)):
        if not re.fullmatch(pattern, value := globals()[setting]):
            form = 'still a placeholder' if re.match('.*<|xxxx', value) else f'not {form}' if value.strip() else 'empty'
            problems.append(f'{setting} is {form}')
    nodes = _DEDICATED_POOL_NODE_COUNT, _LOW_PRIORITY_POOL_NODE_COUNT
    if not (min(nodes) >= 0 < sum(nodes) and timedelta() < _JOB_TIMEOUT <= timedelta(days=6)):
        problems.append(f'--dedicated, --low-priority {nodes}: one at least; --timeout {_JOB_TIMEOUT}: up to 6 days')
    if problems:
        raise ArgumentError(None, f'{"; ".join(problems)}. Without an Azure account: python -m tests.local_azure')


def create_clients() -> tuple[BatchServiceClient, BlobServiceClient]:
    """Return the clients of both accounts; where a key is empty, they sign in with Microsoft Entra ID."""
    entra: Any = None if _BATCH_ACCOUNT_KEY and _STORAGE_ACCOUNT_KEY else DefaultAzureCredential()  # "az login", ...
    batch_url = _BATCH_ACCOUNT_URL.rstrip('/')
    resources = {'cn': 'batch.chinacloudapi.cn', 'net': 'batch.core.usgovcloudapi.net'}  # Azure China, US Government
    scope = f'https://{resources.get(batch_url.rpartition(".")[2], "batch.core.windows.net")}/.default'
    batch_auth = SharedKeyCredentials(_BATCH_ACCOUNT_NAME, _BATCH_ACCOUNT_KEY)
    if not _BATCH_ACCOUNT_KEY:  # a token for each request; azure-identity keeps it and renews it
        batch_auth = AdalAuthentication(lambda: {'tokenType': 'Bearer', 'accessToken': entra.get_token(scope).token})
    batch_service_client: Any = BatchServiceClient(batch_auth, batch_url)
    for operations in (group for group in vars(batch_service_client).values() if hasattr(group, 'api_version')):
        operations.api_version = _BATCH_API_VERSION
    batch_service_client._serialize.body = lambda model, _: json.loads(json.dumps(model, default=to_json))
    config = batch_service_client.config
    config.keep_alive = True  # one connection a thread instead of one a request
    config.connection.timeout = (10, 30)  # seconds: to connect, for an answer
    config.retry_policy.retries, config.retry_policy.policy.status_forcelist = 0, ()  # they leave out POST and PATCH
    config.pipeline.run = functools.partial(send_with_retries, config.pipeline.run)
    key = {'account_name': _STORAGE_ACCOUNT_NAME, 'account_key': _STORAGE_ACCOUNT_KEY} if _STORAGE_ACCOUNT_KEY else None
    options: dict[str, Any] = {'max_single_put_size': _BLOCK_SIZE, 'max_single_get_size': _BLOCK_SIZE}
    options |= {'connection_timeout': 10, 'retry_policy': ExponentialRetry(1, 2, 5), 'raw_response_hook': check_answer}
    return batch_service_client, BlobServiceClient(_STORAGE_ACCOUNT_URL, key or entra, **options)


def check_answer(answer: Any) -> None:
    """Raise what the client of Storage sends again: 429, or HTML, which is a proxy's."""
    response = answer.http_response
    if response.status_code == 429 or 'html' in response.headers.get('Content-Type', ''):
        raise HttpResponseError(response=response)


def to_json(value: Any) -> Any:
    """Return a part of a request as JSON has it; the client's own serializer takes ten times as long."""
    if isinstance(value, timedelta):
        return f'PT{value.total_seconds():.0f}S'
    named = ((field['key'], getattr(value, name)) for name, field in value._attribute_map.items())
    return {key: part for key, part in named if part is not None}


def send_with_retries(send: Callable[..., Any], request: Any, **options: Any) -> Any:
    """Send with patience: what may pass (connection, timeout, 408, 429, 5xx, a proxy's HTML) is sent again."""
    started, pause = time.monotonic(), 0.5
    while True:
        if Run.interrupted:  # the KeyboardInterrupt got lost where Python drops exceptions, as in __del__
            raise KeyboardInterrupt
        wait = pause = min(pause * random.uniform(1.5, 2), 10)  # noqa: S311 - jitter, not a secret
        try:
            Run.adds = request.method == 'POST' and 'addtaskcollection' not in request.url
            result = send(request, **options)
            response, Run.answered, Run.adds = result.http_response, True, False
            html = response.status_code < 300 and 'html' in response.headers.get('Content-Type', '')
            failed = 'addtaskcollection' in request.url and '"servererror"' in response.text().lower()  # one task
            if not (html or failed or response.status_code in (408, 429, 500, 502, 503, 504)):
                return result
            problem = f'does not work at the moment ({response.status_code} {response.reason}). Try again later.'
            retry_after = response.headers.get('Retry-After', '')
            wait = max(wait, int(retry_after)) if retry_after.isdigit() else wait
        except (ClientException, OSError) as error:  # an exception of requests is an OSError
            problem, Run.adds = f'is unreachable. Check _BATCH_ACCOUNT_URL and the network. ({describe(error)})', False
        if time.monotonic() + wait - started > (_RETRY_SECONDS if Run.answered else _FIRST_RETRY_SECONDS):
            raise SampleError(f'The Batch service at {_BATCH_ACCOUNT_URL} {problem}')
        time.sleep(wait)


def in_parallel(action: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Yield the results of `action` for all `items`, in order, from _CONNECTIONS threads; an error cancels the rest."""
    executor = concurrent.futures.ThreadPoolExecutor(_CONNECTIONS)
    try:
        yield from executor.map(action, items)
    finally:  # without waiting: after Ctrl-C the cleanup comes first, and the process does not wait either
        executor.shutdown(wait=False, cancel_futures=True)


def find_input_files(folder: Path) -> dict[str, Path]:
    """Return name (relative to `folder`) and path of every MP4 file in it and below, sorted; ArgumentError if none."""
    paths = sorted(path for path in folder.rglob('*') if path.suffix.lower() == '.mp4' and path.is_file())
    if not paths:
        raise ArgumentError(None, f'--input: {folder} {"holds no .mp4 file" if folder.is_dir() else "is no folder"}.')
    names: dict[str, str] = {}
    for name in (path.relative_to(folder).as_posix() for path in paths):
        if '\\' in name or not re.sub('[\xa0\u200d\u202f\u3000]', '', name).isprintable():  # but spaces, joined emoji
            raise ArgumentError(None, f'Rename {name!a}: Azure Storage or terminals change such characters.')
        if (other := names.setdefault(mp3_name(name), name)) != name:
            raise ArgumentError(None, f'{other} and {name} both become {mp3_name(name)}: rename one.')
    return dict(zip(names.values(), paths, strict=True))


def mp3_name(name: str) -> str:
    """Return the name of the MP3 made of the video `name`: 'sub/a.b.mp4' becomes 'sub/a.b.mp3'."""
    return PurePosixPath(name).with_suffix('.mp3').as_posix()


def is_ours(resource: Any, *, run: bool = False) -> bool:
    """Return whether a container, pool or job was created (or taken over) by this sample, or even by this run."""
    items = resource.metadata or {}  # Storage has a dictionary, Batch a list of items
    metadata = items if isinstance(items, dict) else {item.name: item.value for item in items}
    return metadata.get('createdby') == _MARK['createdby'] and (not run or metadata.get('run') == _MARK['run'])


def find(get: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what `get` returns, None if the service does not know the thing."""
    try:
        return get(*arguments, **options)
    except (batchmodels.BatchErrorException, AzureError) as error:
        if re.fullmatch('(Job|Pool|Container)(NotFound|BeingDeleted)', error_code(error)):
            return None
        raise


def add_or_find(add: Callable[[], Any], get: Callable[[], Any], what: str, wait: timedelta = _DELETION_TIMEOUT) -> Any:
    """Call `add` and return None, or the thing of that name that exists; wait while the service still deletes it."""
    deadline = time.monotonic() + wait.total_seconds()
    while time.monotonic() < deadline:
        try:
            add()
            return None
        except (batchmodels.BatchErrorException, AzureError) as error:
            if not error_code(error).endswith(('Exists', 'BeingDeleted')):
                raise
        if (existing := find(get)) is not None and getattr(existing, 'state', '') != 'deleting':
            return existing
        say_once(f'{what} is still being deleted: waiting until it is gone...', sys.stderr)
        time.sleep(2)
    raise SampleError(f'{what} is still being deleted after {wait}. Try again later.')


def check_what_exists(batch_client: BatchServiceClient, blob_client: BlobServiceClient, answer: str | None) -> None:
    """Sign in to both accounts, say what a run can cost, ask about an old job; SampleError if it cannot go on."""
    job = find(batch_client.job.get, _JOB_ID)
    existing = find(blob_client.get_container_client(_INPUT_CONTAINER_NAME).get_container_properties, retry_total=1)
    if existing is not None and not is_ours(existing):
        raise SampleError(f"Container [{_INPUT_CONTAINER_NAME}] is not this sample's: change _INPUT_CONTAINER_NAME.")
    nodes = _DEDICATED_POOL_NODE_COUNT + _LOW_PRIORITY_POOL_NODE_COUNT
    say(f'{nodes} nodes {_POOL_VM_SIZE}, up to {nodes * _JOB_TIMEOUT / timedelta(hours=1):.5g} node-hours.', sys.stderr)
    if job is not None and job.state != 'deleting':
        counts = batch_client.job.get_task_counts(_JOB_ID).task_counts
        say(f'Job [{_JOB_ID}] exists: {counts.completed} tasks done, {counts.active + counts.running} not done.')
        if not is_ours(job) or query_yes_no('Delete it and go on?', default='no', answer=answer) == 'no':
            pool = f' Pool: {_LEFT_BEHIND["pool"]}' if find(batch_client.pool.get, _POOL_ID) else ''
            raise SampleError(f'Job [{_JOB_ID}] exists. Wait, or -y if the sample made it. {_LEFT_BEHIND["job"]}{pool}')
        find(batch_client.job.delete, _JOB_ID)


def check_only(batch_client: BatchServiceClient, blob_client: BlobServiceClient, input_paths: dict[str, Path]) -> int:
    """Print what a run would find and make, without making anything; SampleError if it would not work."""
    check_what_exists(batch_client, blob_client, answer='no')
    options = batchmodels.AccountListSupportedImagesOptions(filter=f"nodeAgentSKUId eq '{_POOL_NODE_AGENT_SKU_ID}'")
    images = {image.image_reference.sku: image for image in batch_client.account.list_supported_images(options)}
    if (sku := _POOL_IMAGE['sku']) not in images:
        raise SampleError(f'Batch does not support the image {sku}. Change _POOL_IMAGE.')
    until = images[sku].batch_support_end_of_life
    say(f'Both accounts answer. Image: {sku} is supported{f" until {until:%Y-%m-%d}" if until else ", no end known"}.')
    say(f'Files: {len(input_paths)}. Pool: {"exists" if find(batch_client.pool.get, _POOL_ID) else "new"}. Job: new.')
    return 0


def create_container(blob_service_client: BlobServiceClient, container_name: str) -> None:
    """Create a container that carries this run's mark, or use an existing one."""
    container = blob_service_client.get_container_client(container_name)
    add, what = functools.partial(container.create_container, metadata=_MARK), f'Container [{container_name}]'
    existing = add_or_find(add, container.get_container_properties, what, timedelta(minutes=1))
    if existing is not None and is_ours(existing):  # left by an earlier run: taken over
        container.set_container_metadata(_MARK)
    say(f'{what} created.' if existing is None else f'{what} exists and is used again.')


def upload_input_files(blob_client: BlobServiceClient, input_paths: dict[str, Path]) -> list[Any]:
    """Upload all videos; return them as resource files."""
    deadline = sas_options(blob_client)['expiry'] - _JOB_TIMEOUT - _MARGIN
    blocks = max(1, min(8, _CONNECTIONS // len(input_paths)))  # of one file at once: few files have the line to share

    def upload(name: str) -> Any:
        if datetime.now(timezone.utc) > deadline:
            raise SampleError(f'The uploads took longer than _UPLOAD_TIMEOUT, {_UPLOAD_TIMEOUT}.')
        options: dict[str, Any] = {'blob_name': name, 'max_concurrency': blocks}
        options['progress_hook'] = lambda now, _: (bar.update(now - sent[name]), sent.update({name: now - sent[name]}))
        return upload_file_to_container(blob_client, _INPUT_CONTAINER_NAME, input_paths[name], **options)

    say('\n'.join(f'Uploading file {name} to container [{_INPUT_CONTAINER_NAME}]...' for name in input_paths))
    sent, size = collections.Counter[str](), sum(path.stat().st_size for path in input_paths.values())  # sent: bytes
    with progress(desc='Uploading', total=size, unit='B', unit_scale=True, disable=False) as bar:
        return list(in_parallel(upload, input_paths))


def upload_file_to_container(
    blob_service_client: BlobServiceClient, container_name: str, file_path: str | Path, **options: Any
) -> batchmodels.ResourceFile:
    """Upload a file with these options of upload_blob; return it as a resource file, whose SAS lets a node read it."""
    blob_name = options.pop('blob_name', Path(file_path).name)
    blob_client = blob_service_client.get_blob_client(container_name, blob_name)
    with Path(file_path).open('rb') as data:
        blob_client.upload_blob(data, overwrite=True, validate_content=True, **options)
    signed = sas_options(blob_service_client)
    sas_token = generate_blob_sas(_STORAGE_ACCOUNT_NAME, container_name, blob_name, permission='r', **signed)
    return batchmodels.ResourceFile(http_url=f'{blob_client.url}?{sas_token}', file_path=blob_name)


def get_container_sas_url(blob_service_client: BlobServiceClient, container_name: str, blob_permissions: Any) -> str:
    """Return the URL of a container with a SAS that grants `blob_permissions`."""
    signed = {'permission': blob_permissions, **sas_options(blob_service_client)}
    sas_token = generate_container_sas(_STORAGE_ACCOUNT_NAME, container_name, **signed)
    return f'{blob_service_client.get_container_client(container_name).url}?{sas_token}'


@functools.cache
def sas_options(blob_service_client: BlobServiceClient) -> dict[str, Any]:
    """Return what every SAS is signed with, and when it ends: when all time limits of this run have passed."""
    expiry = datetime.now(timezone.utc) + _UPLOAD_TIMEOUT + _JOB_TIMEOUT + _MARGIN
    if _STORAGE_ACCOUNT_KEY:
        return {'account_key': _STORAGE_ACCOUNT_KEY, 'expiry': expiry}
    start = datetime.now(timezone.utc) - timedelta(minutes=15)  # clocks differ
    expiry = min(expiry, start + timedelta(days=7))  # a user delegation key lives no longer
    return {'user_delegation_key': blob_service_client.get_user_delegation_key(start, expiry), 'expiry': expiry}


def create_pool(batch_service_client: BatchServiceClient, pool_id: str) -> None:
    """Create a pool whose nodes install ffmpeg when they start, or use an existing one of the same shape."""
    say(f'Creating pool [{pool_id}]...')
    image = batchmodels.ImageReference(**_POOL_IMAGE)
    machine = batchmodels.VirtualMachineConfiguration(image_reference=image, node_agent_sku_id=_POOL_NODE_AGENT_SKU_ID)
    administrator = batchmodels.AutoUserSpecification(scope='pool', elevation_level='admin')
    start_task = batchmodels.StartTask(command_line=_START_TASK_COMMAND, wait_for_success=True, max_task_retry_count=2)
    start_task.user_identity = batchmodels.UserIdentity(auto_user=administrator)
    pool = batchmodels.PoolAddParameter(id=pool_id, vm_size=_POOL_VM_SIZE, metadata=_MARK_ITEMS, start_task=start_task)
    pool.virtual_machine_configuration = machine
    pool.target_dedicated_nodes = _DEDICATED_POOL_NODE_COUNT
    pool.target_low_priority_nodes = _LOW_PRIORITY_POOL_NODE_COUNT
    pools = batch_service_client.pool
    existing = add_or_find(lambda: pools.add(pool), lambda: pools.get(pool_id), f'Pool [{pool_id}]')
    if existing is None or is_ours(existing, run=True):  # the latter after a request whose answer was lost
        return
    if unlike := '; '.join(differences(pool.as_dict(), existing.as_dict())):
        raise SampleError(f'Pool [{pool_id}] exists and is another one ({unlike}). {_LEFT_BEHIND["pool"]}')
    job = find(batch_service_client.job.get, _JOB_ID)
    if is_ours(existing) and (job is None or job.state == 'deleting'):  # left by an earlier run, used by none
        pools.patch(pool_id, batchmodels.PoolPatchParameter(metadata=_MARK_ITEMS))  # taken over
    say(f'Pool [{pool_id}] exists with the same shape and is used again.')


def differences(wanted: dict[str, Any], existing: dict[str, Any]) -> Iterator[str]:
    """Yield what is asked for in one description of a pool and is not so in another."""
    for name, value in wanted.items():
        found = existing.get(name)
        if isinstance(value, dict):
            yield from differences(value, found if isinstance(found, dict) else {})
        elif name != 'metadata' and str(found).lower() != str(value).lower():
            yield f'{name}: {found} instead of {value}'


def create_job(batch_service_client: BatchServiceClient, job_id: str, pool_id: str) -> None:
    """Create a job on a pool; its time limit ends its tasks even if this machine disappears."""
    say(f'Creating job [{job_id}]...')
    pool = batchmodels.PoolInformation(pool_id=pool_id)
    job = batchmodels.JobAddParameter(id=job_id, pool_info=pool, metadata=_MARK_ITEMS)
    job.constraints = batchmodels.JobConstraints(max_wall_clock_time=_JOB_TIMEOUT + _MARGIN)
    jobs = batch_service_client.job
    existing = add_or_find(lambda: jobs.add(job), lambda: jobs.get(job_id), f'Job [{job_id}]')
    if existing is not None and not is_ours(existing, run=True):
        raise SampleError(f'Job [{job_id}] has just been created by somebody else. Choose another _JOB_ID.')


def add_tasks(
    batch_service_client: BatchServiceClient, job_id: str, input_files: Sequence[Any], output_container_sas_url: str
) -> None:
    """Add one task for each input file. Names on the node are fixed: a file name never becomes part of a command."""

    def make_task(number: int, input_file: Any) -> batchmodels.TaskAddParameter:
        mp3 = mp3_name(input_file.file_path)
        container = batchmodels.OutputFileBlobContainerDestination(container_url=output_container_sas_url, path=mp3)
        destination = batchmodels.OutputFileDestination(container=container)
        options = batchmodels.OutputFileUploadOptions(upload_condition='tasksuccess')
        output_file = batchmodels.OutputFile(file_pattern='output.mp3', destination=destination, upload_options=options)
        task = batchmodels.TaskAddParameter(id=f'Task{number}', command_line=_TASK_COMMAND, output_files=[output_file])
        task.display_name = input_file.file_path
        task.resource_files = [batchmodels.ResourceFile(http_url=input_file.http_url, file_path='input.mp4')]
        task.constraints = batchmodels.TaskConstraints(max_wall_clock_time=_TASK_TIMEOUT, max_task_retry_count=1)
        return task

    def add(start: int) -> None:
        chunk = [make_task(number, input_files[number]) for number in range(start, min(start + 100, len(input_files)))]
        added = {result.task_id for result in batch_service_client.task.add_collection(job_id, chunk).value}
        if missing := {new.id for new in chunk} - added:
            raise SampleError(f'Batch did not confirm {len(missing)} tasks, among them {missing.pop()}.')

    say(f'Adding {len(input_files)} tasks to job [{job_id}]...')
    list(in_parallel(add, range(0, len(input_files), 100)))  # 100 is the most that one request may carry


def wait_for_tasks_to_complete(batch_service_client: BatchServiceClient, job_id: str, timeout: timedelta) -> Failures:
    """Return the files without success, and why, when all tasks are done (the counts may lag) or at the timeout."""
    say(f"Monitoring all tasks for 'Completed' state, timeout in {timeout!s:0>8}...")
    deadline = time.monotonic() + timeout.total_seconds()
    status, nodes, cells, unchanged = '', 'nodes not looked at', '', 0
    form = '{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]\r'
    with progress(desc='Tasks', smoothing=0, bar_format=form) as bar, progress(bar_format='{desc}{bar}\r') as strip:
        while time.monotonic() < deadline:
            counts = batch_service_client.job.get_task_counts(job_id).task_counts
            if (counts.completed and not counts.active + counts.running) or unchanged % 5 == 4:  # the counts may lag
                if not has_unfinished_tasks(batch_service_client, job_id):
                    return failed_tasks(batch_service_client, job_id)
            else:
                nodes, cells = describe_nodes(batch_service_client, _POOL_ID)
            tasks = f'{counts.active} queued, {counts.running} running, {counts.failed} failed'
            status, last = f'{nodes}; tasks: {counts.completed} done, {tasks}', status
            unchanged = unchanged + 1 if status == last else 0
            bar.n, bar.total = counts.completed, counts.active + counts.running + counts.completed
            bar.set_postfix_str(tasks)
            strip.set_description_str(f'{nodes}  {cells}')
            if bar.disable and not unchanged:
                say(status, sys.stderr)
            time.sleep(max(0, min(1.5 ** min(unchanged, 9), 4.5, deadline - time.monotonic())))
    options = batchmodels.TaskListOptions(filter="state ne 'completed'", select='displayName,state')
    late = {t.display_name: f'not done: {t.state.value}' for t in batch_service_client.task.list(job_id, options)}
    say(f'Timeout: {timeout!s:0>8} have passed, and {len(late)} tasks are not done.', sys.stderr)
    return failed_tasks(batch_service_client, job_id) | late


def has_unfinished_tasks(batch_service_client: BatchServiceClient, job_id: str) -> bool:
    """Return whether any task of a job has not completed."""
    options = batchmodels.TaskListOptions(filter="state ne 'completed'", select='id', max_results=1)
    return any(True for _ in batch_service_client.task.list(job_id, options))


def failed_tasks(batch_service_client: BatchServiceClient, job_id: str) -> Failures:
    """Return the files of the tasks that failed, and why: of the first ones with the end of their stderr."""
    options = batchmodels.TaskListOptions(select='id,displayName,executionInfo')
    options.filter = "executionInfo/result eq 'Failure'"
    failures: Failures = {}
    for task in batch_service_client.task.list(job_id, options):
        info, failure = task.execution_info, task.execution_info.failure_info
        by_exit_code = failure is None or failure.code == 'FailureExitCode'
        reason = f'exit code {info.exit_code}' if by_exit_code else f'{failure.code}: {failure.message}'
        if len(failures) < _SHOWN_FILES:
            reason += last_lines(batch_service_client.file.get_from_task, job_id, task.id, 'stderr.txt')
        failures[task.display_name] = reason
    return failures


def describe_nodes(batch_service_client: BatchServiceClient, pool_id: str) -> tuple[str, str]:
    """Return how many nodes are ready and what the others do, and a cell for each; SampleError if none will come."""
    pool = batch_service_client.pool.get(pool_id)
    options = batchmodels.AccountListPoolNodeCountsOptions(filter=f"poolId eq '{pool_id}'")
    counts = batch_service_client.account.list_pool_node_counts(options)
    kinds = (vars(kind) for count in counts for kind in (count.dedicated, count.low_priority))
    states = collections.Counter(s for kind in kinds for s, n in kind.items() if isinstance(n, int) for _ in range(n))
    total = states.pop('total', 0)
    runs = ((*_NODE_CELLS.get(state, '3s'), n) for state, n in states.items() if n)
    cells = ''.join(sign * n if os.getenv('NO_COLOR') else f'\033[30;4{c}m{sign * n}\033[0m' for c, sign, n in runs)
    ready = states.pop('idle', 0) + states.pop('running', 0)
    steady = pool.allocation_state == batchmodels.AllocationState.steady
    allocated = pool.current_dedicated_nodes + pool.current_low_priority_nodes
    if steady and pool.resize_errors:
        reasons = ' '.join(map(describe, pool.resize_errors))
        if not allocated:
            raise SampleError(f'Pool [{pool_id}] gets no nodes. {reasons}')
        say_once(f'Warning: pool [{pool_id}] gets fewer nodes than asked for. {reasons}', sys.stderr)
    if failed := states['start_task_failed']:
        failing = batchmodels.ComputeNodeListOptions(filter="state eq 'starttaskfailed'", max_results=1)
        for node in batch_service_client.compute_node.list(pool_id, failing) if steady and failed >= allocated else ():
            stderr = last_lines(batch_service_client.file.get_from_compute_node, pool_id, node.id, 'startup/stderr.txt')
            raise SampleError(f'The start task failed on all nodes of pool [{pool_id}].{stderr}')
        say_once(f'Warning: the start task failed on {failed} of {total} nodes of pool [{pool_id}].', sys.stderr)
    others = ', '.join(f'{n} {s.replace("waiting_for", "in").replace("_", " ")}' for s, n in states.items() if n)
    target = pool.target_dedicated_nodes + pool.target_low_priority_nodes
    return f'{ready} of {target} nodes ready{f": {others}" if others else "" if total else ": being allocated"}', cells


def last_lines(get_file: Callable[..., Iterable[bytes]], *where: str) -> str:
    """Return the last five lines of a file on a node, each indented on a new line."""
    try:
        tail = b''.join(collections.deque(get_file(*where), maxlen=9))[-2000:]  # of its last chunks
    except _EXPECTED_ERRORS as error:
        return f'\n    (no stderr: {describe(error)})'
    lines = tail.decode('utf-8', 'replace').splitlines()[-5:]
    return ''.join('\n    ' + ''.join(c if c.isprintable() else ' ' for c in line) for line in lines)


def find_outputs(blob_client: BlobServiceClient, names: Collection[str], failures: Failures) -> dict[str, int]:
    """Return the size of the MP3 of each video. A task may succeed without: such a video joins `failures`."""
    began = blob_client.get_container_client(_INPUT_CONTAINER_NAME).get_container_properties().last_modified
    blobs = blob_client.get_container_client(_OUTPUT_CONTAINER_NAME).list_blobs()
    sizes = {blob.name: blob.size for blob in blobs if blob.last_modified >= began}  # older ones are of other runs
    outputs = {name: sizes[mp3_name(name)] for name in names if name not in failures and sizes.get(mp3_name(name))}
    for name in sorted({*names} - {*outputs, *failures}):
        failures[name] = f'the task succeeded, but its MP3 is {"empty" if mp3_name(name) in sizes else "missing"}'
    if not failures:
        say('Success! All tasks completed successfully within the specified timeout period.')
    return outputs


def download_outputs(blob_client: BlobServiceClient, outputs: Mapping[str, int], folder: Path) -> Failures:
    """Download the MP3s, none under its final name before it is complete; return the videos without one and why."""
    say(f'Downloading {len(outputs)} files from container [{_OUTPUT_CONTAINER_NAME}] to {folder}...')

    def download(name: str) -> str:
        part, mp3 = Path(parts, uuid.uuid4().hex), folder / mp3_name(name)
        try:
            mp3.parent.mkdir(parents=True, exist_ok=True)
            blob = blob_client.get_blob_client(_OUTPUT_CONTAINER_NAME, mp3_name(name))
            with part.open('xb') as file:
                size = blob.download_blob(max_concurrency=4).readinto(file)
            if size != outputs[name]:
                return f'{size} of {outputs[name]} bytes arrived'
            part.replace(mp3)
        except (AzureError, OSError) as error:
            return f'not downloaded: {describe(error)}'
        return ''

    list(map(functools.partial(shutil.rmtree, ignore_errors=True), folder.glob('.parts-*')))  # of runs that were killed
    with tempfile.TemporaryDirectory(prefix='.parts-', dir=folder, ignore_cleanup_errors=True) as parts:
        problems = progress(in_parallel(download, outputs), 'Downloading', len(outputs), unit='file', disable=False)
        return {name: problem for name, problem in zip(outputs, problems, strict=True) if problem}


def report(batch_client: BatchServiceClient, paths: dict[str, Path], sizes: dict[str, int], failures: Failures) -> None:
    """Print a table of the first files, failed ones before others, and what all took; SampleError if any failed."""
    shown = [*failures, *(name for name in paths if name not in failures)][:_SHOWN_FILES]
    row = '{:<24} {:<8} {:>8} {:>8} {:>7} {:>7}  {}'
    rows = {'': '\n' + row.format(f'File ({len(shown)} of {len(paths)})', 'Node', 'Wait', 'Run', 'In', 'Out', 'Result')}
    now, spans, work = datetime.now(timezone.utc), [], ''
    options = batchmodels.TaskListOptions(select='displayName,creationTime,executionInfo,nodeInfo')
    with contextlib.suppress(*_EXPECTED_ERRORS):  # without an answer the table has no figures, but all its files
        for task in batch_client.task.list(_JOB_ID, options):
            name, info, node = task.display_name, task.execution_info, task.node_info and task.node_info.node_id
            end = (info and info.end_time) or now
            start = (info and info.start_time) or end
            spans += [(start, end)] if start < end else []  # not of a task that never ran
            if name in shown:
                times = (f'{time.total_seconds():.1f} s' for time in (start - task.creation_time, end - start))
                in_size = paths[name].stat().st_size if paths[name].exists() else 0
                moved = (tqdm.format_sizeof(size, 'B') for size in (in_size, sizes.get(name, 0)))
                result = f'failed\n    {failures[name]}' if name in failures else 'ok'
                rows[name] = row.format(name, (node or '-')[-8:], *times, *moved, result)
        worked = sum((end - start).total_seconds() for start, end in spans)
        wall = (max(end for _, end in spans) - min(start for start, _ in spans)).total_seconds() if spans else 0
        speed_up = f', {worked / wall:.1f} times as fast as one node' if worked > wall else ''
        nodes = batch_client.compute_node.list(_POOL_ID)
        hours = sum((now - (node.allocation_time or now)) / timedelta(hours=1) for node in nodes)
        work = f'\nWork: {worked:.1f} s in {wall:.1f} s{speed_up}. Pool: {hours:.2f} node-hours.'
    say('\n'.join(rows.get(name, f'{name}  {failures.get(name, "ok")}') for name in ('', *shown)) + work, sys.stderr)
    if failures:
        raise SampleError(f'{len(failures)} of {len(paths)} files failed.')


def query_yes_no(question: str, default: str = 'yes', *, answer: str | None = None) -> str:
    """Return 'yes' or 'no': `answer` if given, what the user types, or `default` where there is no terminal."""
    prompt = f'{question} [{"Y/n" if default == "yes" else "y/N"}] '
    if answer or not all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        say(prompt + (answer or f'{default} (there is no terminal to ask)'))
        return answer or default
    try:
        while (reply := input(prompt).strip().lower() or default) not in ('y', 'yes', 'n', 'no'):
            say("Please answer 'yes' or 'no' ('y' or 'n').")
    except (EOFError, KeyboardInterrupt, OSError, UnicodeError):  # the end of input, a signal, a lost terminal, no text
        reply = default
    return 'yes' if reply.startswith('y') else 'no'


def clean_up(batch_client: BatchServiceClient, blob_client: BlobServiceClient, answer: str | None, began: Any) -> bool:
    """Delete what this run made: the inputs and, if the user agrees, job and pool. Return whether that worked."""
    inputs, jobs, pools = blob_client.get_container_client(_INPUT_CONTAINER_NAME), batch_client.job, batch_client.pool
    container = 'container', inputs.get_container_properties, inputs.delete_container
    job = 'job', functools.partial(jobs.get, _JOB_ID), functools.partial(jobs.delete, _JOB_ID)
    pool = 'pool', functools.partial(pools.get, _POOL_ID), functools.partial(pools.delete, _POOL_ID)
    inputs_needed = True
    with contextlib.suppress(*_EXPECTED_ERRORS):
        inputs_needed = find(has_unfinished_tasks, batch_client, _JOB_ID)
    left: dict[str, str] = {}
    for kind, get, delete in (job, container, pool) if inputs_needed else (container, job, pool):
        if kind == 'job':
            ended = datetime.now().replace(microsecond=0)
            say(f'\nSample end: {ended}\nElapsed time: {ended - began}\n')
        needed = left.get('job') if kind == 'container' else left.get('job') == 'was there before this run'
        state = left[kind] = 'is kept: the job still needs it' if needed else remove(kind, get, delete, answer)
        if state:
            say(f'The {kind} {state}. {_LEFT_BEHIND[kind]}', sys.stderr)
    if not left['pool']:
        say('Nothing is left that bills, but for files in Storage and nodes that are still ending.', sys.stderr)
    return not any('may be left' in state for state in left.values())


def remove(kind: str, get: Callable[[], Any], delete: Callable[[], Any], answer: str | None) -> str:
    """Delete a container, job or pool if it is this run's and the user agrees; otherwise return why it is left."""
    try:
        if (existing := find(get)) is None:
            return ''
        if not is_ours(existing, run=True):
            return 'was there before this run'
        if kind != 'container' and query_yes_no(f'Delete {kind}?', answer=answer) == 'no':
            return 'is kept'
        if kind == 'container':
            say(f'Deleting container [{_INPUT_CONTAINER_NAME}]...')
        find(delete)  # already gone if the answer to an earlier try was lost
        return ''
    except _EXPECTED_ERRORS as error:
        return f'may be left ({describe(error)})'


class Run:
    """A block whose errors become one message and an exit code; cleanup on every way out, a second Ctrl-C excepted."""

    exit_code, interrupts, in_cleanup = 0, 0, False
    answered, interrupted = False, False  # by Batch, once; from Ctrl-C to the beginning of the cleanup
    adds = False  # a pool or job is being created: Ctrl-C waits, for the cleanup would not see it yet
    cleanup: Callable[[], bool] | None = None  # has clients of its own: Ctrl-C may leave a lock of the others taken

    def __enter__(self) -> 'Run':  # noqa: PYI034 - typing.Self is younger than Python 3.10
        self.began = datetime.now().replace(microsecond=0)
        for stream in filter(None, (sys.stdout, sys.stderr)):  # a name that the terminal cannot show is no error
            stream.reconfigure(errors='backslashreplace')
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, 'SIGHUP', signal.SIGTERM)):
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP, the end of the terminal
                signal.signal(number, self.interrupt)
        return self

    def interrupt(self, number: int, frame: Any) -> None:
        self.interrupts += number in (signal.SIGINT, signal.SIGTERM) or not self.interrupts  # SIGHUP comes twice
        sys.stdin = sys.stdin if number == signal.SIGINT else None  # nobody to ask: the questions answer themselves
        left = f'Left at once. Job: {_LEFT_BEHIND["job"]}\nPool: {_LEFT_BEHIND["pool"]}'
        text = left if self.interrupts > 1 else 'Interrupted: cleaning up. Once more leaves at once.'
        start = '\r\033[J' if tqdm._instances and not _MUTE else '\n'  # over the progress bars
        with contextlib.suppress(OSError):
            os.write(2, f'{start}{text}\n'.encode())  # print() may be in the middle of a line
        if self.interrupts > 1:
            os._exit(130)
        Run.interrupted = not self.in_cleanup
        waits = self.in_cleanup or Run.adds or frame.f_code is Run.__exit__.__code__
        if frame.f_code is query_yes_no.__code__ or not waits:  # a question under way gets its default
            raise KeyboardInterrupt

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> bool:
        self.in_cleanup, Run.interrupted = True, False
        if isinstance(error, _EXPECTED_ERRORS):
            print_batch_exception(error)
        cleaned = self.cleanup is None or self.cleanup()
        failed = 2 if isinstance(error, ArgumentError) else 1 if error or not cleaned else 0
        self.exit_code = 130 if self.interrupts else failed
        return isinstance(error, (*_EXPECTED_ERRORS, KeyboardInterrupt))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sample; return 0 if all files were converted, 1 for a failure, 2 for wrong usage, 130 if interrupted."""
    options = parse_arguments(argv)
    with Run() as run:
        check_settings()
        input_paths = find_input_files(options.input)
        batch_client, blob_client = create_clients()
        if options.check:
            return check_only(batch_client, blob_client, input_paths)
        options.output.mkdir(parents=True, exist_ok=True)
        say(f'Sample start: {run.began}\n')
        check_what_exists(batch_client, blob_client, options.answer)
        run.cleanup = functools.partial(clean_up, *create_clients(), options.answer, run.began)
        create_container(blob_client, _INPUT_CONTAINER_NAME)
        create_container(blob_client, _OUTPUT_CONTAINER_NAME)
        input_files = upload_input_files(blob_client, input_paths)
        output_container_sas_url = get_container_sas_url(blob_client, _OUTPUT_CONTAINER_NAME, 'cw')  # create and write
        create_pool(batch_client, _POOL_ID)
        create_job(batch_client, _JOB_ID, _POOL_ID)
        add_tasks(batch_client, _JOB_ID, input_files, output_container_sas_url)
        failures = wait_for_tasks_to_complete(batch_client, _JOB_ID, _JOB_TIMEOUT)
        outputs = find_outputs(blob_client, input_paths, failures)
        failures |= download_outputs(blob_client, outputs, options.output)
        report(batch_client, input_paths, outputs, failures)
    return run.exit_code


if __name__ == '__main__':
    os._exit(main())  # without waiting for uploads that were under way when Ctrl-C came
