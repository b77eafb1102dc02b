"""All texts that a user reads: the only place in which they are asserted word by word.

A row of a table has the situation, how it comes about, and everything that is then printed or
raised. So who changes a text of the script changes one row here.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.batch import models
from azure.batch.custom.custom_errors import CreateTasksErrorException
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from msrest.exceptions import ClientRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import SETTINGS, NewRun, RunMain, Typed, Videos
from .mocks import INPUT, OUTPUT, VIDEOS, Azure
from .service_objects import (
    _DESERIALIZE,
    BEGAN,
    SOMEBODY,
    batch_error,
    blob_properties,
    damaged,
    failed,
    http_response,
    image,
    node_counts,
    pool,
    raw_answer,
    storage_answer,
    storage_error,
    succeeded,
    task_counts,
    unfinished,
)

BATCH = {'account': SETTINGS['_BATCH_ACCOUNT_NAME'], 'url': SETTINGS['_BATCH_ACCOUNT_URL']}
STORAGE = {'account': SETTINGS['_STORAGE_ACCOUNT_NAME'], 'url': SETTINGS['_STORAGE_ACCOUNT_URL']}
QUOTA = 'Ask for more in the portal (Batch account > Quotas), which can take two days, or'
ROLE = (
    'If you are signed in, a role is missing (or is minutes old). An Owner or User Access '
    'Administrator can give it; with keys none is needed:\n'
    '  az role assignment create --role "{}" --assignee <you> '
    '--scope $(az resource list --query [0].id -o tsv --name {})'
)
BATCH_ROLE = ROLE.format('Azure Batch Data Contributor', 'mybatch')
STORAGE_ROLE = ROLE.format('Storage Blob Data Contributor', 'mystorage')
BATCH_KEY = (
    'Batch account mybatch: wrong key (_BATCH_ACCOUNT_KEY, AZURE_BATCH_ACCESS_KEY), '
    'or a wrong clock.'
)
STORAGE_KEY = (
    'Storage account mystorage: wrong key (_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_KEY), '
    'or a wrong clock.'
)
SIGN_IN = (
    'the sign-in is refused. Is the account of another tenant? Then az login --tenant <tenant>, '
    'or set AZURE_TENANT_ID.'
)
NO_NODES = (
    'No nodes are free, try later; or _POOL_VM_SIZE does not fit the image (generation 1 or 2).'
)
NO_SPOT = f'No quota for Spot cores is left. {QUOTA} run with --dedicated 2 --low-priority 0.'
INPUT_GONE = 'Was container [input], or a file in it, deleted meanwhile?'


@pytest.fixture(autouse=True)
def services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both services with the settings of the tests, signed in to by keys."""
    for name, words, key in (('BATCH', BATCH, BATCH_KEY), ('STORAGE', STORAGE, STORAGE_KEY)):
        service = getattr(sample, name)
        signing = key.partition(': ')[2]
        monkeypatch.setattr(sample, name, sample.Service(**vars(service) | words | {
            'signing': signing}))  # fmt: skip


@dataclass
class Stage:
    """What a situation is made of."""

    azure: Azure
    folder: Path  # below which everything is
    run_main: RunMain
    new_run: NewRun
    videos: Videos
    typed: Typed
    patch: pytest.MonkeyPatch

    def run(self, *names: str, argv: tuple[str, ...] = ()) -> sample.Run:
        return self.new_run(*argv, names=names or ['a.mp4'])


@pytest.fixture
def stage(
    azure: Azure,
    tmp_path: Path,
    run_main: RunMain,
    new_run: NewRun,
    videos: Videos,
    typed: Typed,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    return Stage(azure, tmp_path, run_main, new_run, videos, typed, monkeypatch)


Situation = Callable[[Stage], object]
Table = dict[str, tuple[Situation, str]]


def read(situation: Situation, stage: Stage, capfd: pytest.CaptureFixture[str]) -> str:
    """Return all that a user reads: what is printed, and then the error or what is returned."""
    try:
        last = situation(stage)
    except sample.EXPECTED_ERRORS as error:
        last = sample.describe(error)
    printed = capfd.readouterr()
    text = printed.out + printed.err + (last if isinstance(last, str) else '')
    lines = [line.rstrip() for line in text.replace(str(stage.folder), '').splitlines()]
    return '\n'.join(lines).strip('\n')


def raised(error: Exception) -> Situation:
    """Return a situation in which a client raises this error."""
    return lambda _: sample.describe(error)


def connection_error(cause: str) -> str:
    return f"HTTPSConnectionPool(host='h', port=443): Max retries exceeded (Caused by {cause})"


ERRORS: dict[str, tuple[Exception, str]] = {
    'wrong key of Batch': (
        batch_error('AuthenticationFailed', 'No.', 403, Date='Sun, 22 Nov 2026 14:00:00 GMT'),
        f'AuthenticationFailed: No. {BATCH_KEY} (Clocks: service Sun, 22 Nov 2026 14:00:00 GMT, '
        'this machine Sun, 22 Nov 2026 15:20:21 GMT.)',
    ),
    'wrong token of Batch': (
        batch_error('InvalidAuthenticationInfo', 'No.', 401),
        f'InvalidAuthenticationInfo: No. {BATCH_KEY}',
    ),
    'firewall of Batch': (
        batch_error('AuthorizationFailure', 'No.', 403),
        f'AuthorizationFailure: No. {BATCH_KEY} Or a firewall refuses this machine. {BATCH_ROLE}',
    ),
    'role of Batch': (
        batch_error('PermissionDenied', 'No.', 403),
        f'PermissionDenied: No. {BATCH_ROLE}',
    ),
    'value': (
        batch_error('InvalidPropertyValue', 'Bad.', 400, {'PropertyName': 'vmSize', 'X': 'y'}),
        'InvalidPropertyValue: Bad. vmSize (Check _POOL_VM_SIZE, --vm-size, and _POOL_IMAGE.)',
    ),
    'pool quota': (
        batch_error('PoolQuotaReached', 'Full.'),
        f'PoolQuotaReached: Full. The account cannot hold another pool. {QUOTA} delete one.',
    ),
    'job quota': (
        batch_error('ActiveJobAndScheduleQuotaReached', 'Full.'),
        'ActiveJobAndScheduleQuotaReached: Full. The account cannot hold another job. '
        f'{QUOTA} delete one.',
    ),
    'version': (
        batch_error('UnsupportedRequestVersion', 'Old.', 400),
        'UnsupportedRequestVersion: Old. Batch no longer takes this version. '
        'Change _BATCH_API_VERSION.',
    ),
    'job gone': (
        batch_error('JobNotFound', 'None.', 404),
        'JobNotFound: None. Job [LinuxFFmpegJob] is gone: somebody has deleted it.',
    ),
    'pool gone': (
        batch_error('PoolNotFound', 'None.', 404),
        'PoolNotFound: None. Pool [LinuxFFmpegPool] is gone: somebody has deleted it.',
    ),
    'without a remedy': (batch_error('InternalError', 'Oops.', 500), 'InternalError: Oops.'),
    'wrong key of Storage': (
        storage_error('AuthorizationFailure', 'No.', 403),
        f'AuthorizationFailure: No. {STORAGE_KEY} Or a firewall refuses this machine. '
        f'{STORAGE_ROLE}',
    ),
    'role of Storage': (
        storage_error('AuthorizationPermissionMismatch', 'No.', 403),
        f'AuthorizationPermissionMismatch: No. {STORAGE_ROLE}',
    ),
    'keys forbidden': (
        storage_error('KeyBasedAuthenticationNotPermitted', 'No.', 403),
        'KeyBasedAuthenticationNotPermitted: No. The account allows no keys. '
        'Leave _STORAGE_ACCOUNT_KEY empty to sign in.',
    ),
    'container gone': (
        storage_error('ContainerNotFound', 'None.', 404),
        'ContainerNotFound: None. Was container [input] or [output] deleted meanwhile?',
    ),
    'Batch does not answer': (
        ClientRequestError(
            'Error occurred in request., ConnectionError: '
            + connection_error(
                'NameResolutionError("HTTPSConnection(host=\'h\', port=443): Failed to resolve '
                '\'h\' ([Errno -2] Name or service not known)"))'
            )
        ),
        f'Batch at {BATCH["url"]} does not answer. Check _BATCH_ACCOUNT_URL '
        "(AZURE_BATCH_ENDPOINT) and the network. Failed to resolve 'h' ([Errno -2] Name or service "
        'not known)',
    ),
    'Storage does not answer': (
        ServiceRequestError(connection_error('ResponseError("too many 503 error responses"))')),
        f'Storage at {STORAGE["url"]} does not answer. Check _STORAGE_ACCOUNT_NAME '
        '(AZURE_STORAGE_ACCOUNT), _STORAGE_ACCOUNT_URL and the network. '
        'too many 503 error responses',
    ),
    'proxy': (
        ServiceRequestError(connection_error(
            "ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407'))")),
        f'Storage at {STORAGE["url"]} does not answer. Check _STORAGE_ACCOUNT_NAME '
        '(AZURE_STORAGE_ACCOUNT), _STORAGE_ACCOUNT_URL and the network. Or is it the proxy? Check '
        "HTTPS_PROXY, and the name and password in it. Tunnel connection failed: 407",
    ),
    'TLS inspection': (
        ServiceRequestError(connection_error(
            "SSLError(SSLCertVerificationError(1, 'certificate verify failed'))")),
        f'Storage at {STORAGE["url"]} does not answer. A proxy may inspect TLS: set '
        'REQUESTS_CA_BUNDLE to a file with its certificate. certificate verify failed',
    ),
    'not signed in': (
        ClientAuthenticationError(
            'DefaultAzureCredential failed to retrieve a token from the included credentials.\n'
            'Attempted credentials:\n'
            '\tEnvironmentCredential: EnvironmentCredential authentication unavailable. '
            'Environment variables are not fully configured.\n'
            'Visit https://aka.ms/azsdk to troubleshoot this issue.\n'
            '\tManagedIdentityCredential: ManagedIdentityCredential authentication unavailable.\n'
            '\tSharedTokenCacheCredential: No accounts were found in the cache.\n'
            "\tAzureCliCredential: Please run 'az login' to set up an account\n"
            '\tAzurePowerShellCredential: PowerShell is not installed\n'
            '\tBrokerCredential: The \'azure-identity-broker\' package is required.\n'
            'To mitigate this issue, please refer to the troubleshooting guidelines.'
        ),
        'Not signed in. Run "az login", or set a key.',
    ),
    'secret expired': (
        ClientAuthenticationError(
            'DefaultAzureCredential failed to retrieve a token from the included credentials.\n'
            'Attempted credentials:\n'
            '\tEnvironmentCredential: Authentication failed: AADSTS7000222: The provided client '
            'secret keys are expired.\n'
            'To mitigate this issue, please refer to the troubleshooting guidelines.'
        ),
        'Not signed in. EnvironmentCredential: Authentication failed: AADSTS7000222: The provided '
        'client secret keys are expired.',
    ),
    'two identities': (
        ClientAuthenticationError(
            'Attempted credentials:\n'
            '\tManagedIdentityCredential: ManagedIdentityCredential authentication unavailable. '
            'Multiple user assigned identities exist, please specify the clientId.'
        ),
        'Not signed in. ManagedIdentityCredential: ManagedIdentityCredential authentication '
        'unavailable. Multiple user assigned identities exist, please specify the clientId.',
    ),
    'a refusal in a form that Batch does not have': (
        models.BatchErrorException(_DESERIALIZE, http_response(403, b'{"blocked": true}')),
        f'Batch at {BATCH["url"]} does not answer. Check _BATCH_ACCOUNT_URL '
        '(AZURE_BATCH_ENDPOINT) and the network. Request encountered an exception.',
    ),
    'an allowed value': (
        batch_error('OutOfRange', 'Bad.', 400, {'X': 'allowed are 1 to 5'}),
        'OutOfRange: Bad. allowed are 1 to 5',
    ),
    'a proxy that is not there': (
        ClientRequestError(connection_error(
            "ProxyError('Unable to connect to proxy', NewConnectionError(\"HTTPSConnection("
            "host='p', port=1): Failed to establish a new connection: Connection refused\"))")),
        f'Batch at {BATCH["url"]} does not answer. Check _BATCH_ACCOUNT_URL (AZURE_BATCH_ENDPOINT) '
        'and the network. Or is it the proxy? Check HTTPS_PROXY, and the name and password in it. '
        'Failed to establish a new connection: Connection refused',
    ),
    'a page': (
        ServiceRequestError('200 OK: the answer did not come from Azure, but from a proxy.'),
        f'Storage at {STORAGE["url"]} does not answer. Check _STORAGE_ACCOUNT_NAME '
        '(AZURE_STORAGE_ACCOUNT), _STORAGE_ACCOUNT_URL and the network. Or is it the proxy? Check '
        'HTTPS_PROXY, and the name and password in it. 200 OK: the answer did not come from Azure, '
        'but from a proxy.',
    ),
    'file': (PermissionError(13, 'Permission denied', '/a.mp4'), '/a.mp4: Permission denied'),
}  # fmt: skip


REMEDIES = {
    'AccountCoreQuotaReached': (
        f'No quota for dedicated cores is left. {QUOTA} run with fewer --dedicated.'
    ),
    'AccountLowPriorityCoreQuotaReached': NO_SPOT,
    'accountspotcorequotareached': NO_SPOT,
    'AccountVMSeriesCoreQuotaReached': (
        f'No quota for this VM series is left. {QUOTA} choose another --vm-size.'
    ),
    'AllocationFailed': NO_NODES,
    'AllocationTimedout': NO_NODES,
    'BlobNotFound': INPUT_GONE,
    'ResourceContainerNotFound': INPUT_GONE,
    'FileUploadContainerNotFound': 'Was container [output] deleted meanwhile?',
}


def sign_in_refused(stage: Stage) -> object:
    stage.patch.setattr(sample.BATCH, 'signing', sample._SIGN_IN)
    return sample.describe(batch_error('InvalidAuthenticationInfo', 'Another issuer.', 401))


# --- Refusals before anything is contacted --------------------------------------------------------


def settings(*argv: str, **changed: object) -> Situation:
    """Return a situation with these settings, variables (in capitals) and options."""

    def check(stage: Stage) -> None:
        for name, value in changed.items():
            if name.startswith('_'):
                stage.patch.setattr(sample, name, value)
            else:
                stage.patch.setenv(name, str(value))
        sample.check_settings(sample.parse_arguments(argv))

    return check


def a_wrong_time_limit(_: Stage) -> object:
    with pytest.raises(Exception, match='minutes') as refused:
        sample.minutes('0')
    return str(refused.value)


def a_name(*names: str) -> Situation:
    return lambda _: sample.check_names(names)


def nothing_to_convert(stage: Stage) -> object:
    return sample.find_videos(stage.videos(['a.txt']))


def a_video_that_is_a_link_to_nowhere(stage: Stage) -> object:
    (stage.folder / 'gone.mp4').symlink_to(stage.folder / 'nowhere')
    return sample.find_videos(stage.folder)


def a_link_to_a_folder(stage: Stage) -> object:
    folder = stage.videos(['a.mp4'])
    (folder / 'link').symlink_to(stage.folder)
    return sample.find_videos(folder)


def an_output_that_replaces_a_video(stage: Stage) -> None:
    stage.patch.setattr(sample, '_OUTPUT_FORMAT', {'extension': '.mp4', 'ffmpeg_options': ''})
    folder = stage.videos(['a.mp4'])
    sample.check_outputs({'a.mp4': folder / 'a.mp4'}, folder)


def one_of_two_is_converted(stage: Stage) -> object:
    folder = stage.videos(['a.mp4', 'b.mp4'])
    (folder / 'a.mp3').touch()
    return sample.leave_out_converted(sample.find_videos(folder), folder)


EXTENSION = "_OUTPUT_FORMAT['extension']"
BEFORE_CONTACT: Table = {
    'placeholder': (
        settings(_BATCH_ACCOUNT_NAME='<Batch account>'),
        '_BATCH_ACCOUNT_NAME is still a placeholder. Without an Azure account:\n'
        '  python -m tests.local_azure',
    ),
    'account, and the URL that is made of it': (
        settings(_STORAGE_ACCOUNT_NAME='A', _STORAGE_ACCOUNT_URL='https://A.blob.core.windows.net'),
        "_STORAGE_ACCOUNT_NAME: 'A' is not 3 to 24 lower-case letters and digits",
    ),
    'variable': (
        settings(_BATCH_ACCOUNT_NAME='A', AZURE_BATCH_ACCOUNT='A'),
        "_BATCH_ACCOUNT_NAME (from the variable AZURE_BATCH_ACCOUNT): 'A' is not 3 to 24 "
        'lower-case letters and digits',
    ),
    'key': (settings(_STORAGE_ACCOUNT_KEY='a'), '_STORAGE_ACCOUNT_KEY: its value is not base64'),
    'url': (
        settings(_BATCH_ACCOUNT_URL='mybatch'),
        "_BATCH_ACCOUNT_URL: 'mybatch' is not https:// and the name of a host",
    ),
    'one container for both': (
        settings(_OUTPUT_CONTAINER_NAME='input'),
        "_OUTPUT_CONTAINER_NAME: 'input' is not lower-case letters, digits, single hyphens, other "
        'than input',
    ),
    'two settings': (
        settings(_INPUT_CONTAINER_NAME='A', _JOB_ID='a b'),
        "_INPUT_CONTAINER_NAME: 'A' is not lower-case letters, digits, single hyphens; "
        "_JOB_ID: 'a b' is not letters, digits, hyphens and underscores",
    ),
    'folder': (settings('--input', ''), "--input: '' is not the name of a folder"),
    'number': (settings('--dedicated', '-1'), '--dedicated: -1 is not a number such as 5'),
    'no nodes': (
        settings('--low-priority', '0'),
        '--dedicated and --low-priority together: 0 is not a number of nodes: without one nothing '
        'is converted',
    ),
    'duration': (
        settings(_JOB_TIMEOUT=timedelta(days=9)),
        '_JOB_TIMEOUT: datetime.timedelta(days=9) is not a duration of less than 6 days',
    ),
    'time limit': (
        a_wrong_time_limit,
        '0: it must be more than 0 minutes, and up to 6 days (8640)',
    ),
    'extension': (
        settings(_OUTPUT_FORMAT={'extension': 'mp3', 'ffmpeg_options': ''}),
        f"{EXTENSION}: 'mp3' is not a dot and letters, such as .mp3",
    ),
    'quotes': (
        settings(_OUTPUT_FORMAT={'extension': '.mp3', 'ffmpeg_options': '"'}),
        "_OUTPUT_FORMAT['ffmpeg_options']: '\"' is not text without quotes, which would end the "
        'command of the tasks',
    ),
    'password of a proxy': (
        settings(HTTPS_PROXY='http://me:a/b@proxy'),
        'HTTPS_PROXY: its value is not a URL; in its password / # @ ? [ ] have to be written as '
        '%2F %23 %40 %3F %5B %5D',
    ),
    'two names, one file': (
        a_name('a.mp4', 'A.MP4'),
        'a.mp4 and A.MP4 can both become A.mp3: rename one.',
    ),
    'a file where a folder is needed': (
        a_name('a.mp4', 'a.mp3/b.mp4'),
        'a.mp4 becomes a file where a.mp3/b.mp4 needs a folder: rename one.',
    ),
    'a control character': (
        a_name('a\n.mp4'),
        r"Rename 'a\n.mp4': it holds characters that cannot be shown.",
    ),
    'a backslash': (
        a_name('a\\b.mp4'),
        r'Rename a\b.mp4: Azure Storage turns a backslash into a slash.',
    ),
    'a dot': (
        a_name('Vol. 1./b.mp4'),
        'Rename Vol. 1./b.mp4: Azure Storage drops the dot at the end of a folder name.',
    ),
    'a long name': (
        a_name('x' * 1021 + '.mp4'),
        f'Rename {"x" * 1021}.mp4: Azure Storage allows 1,024 characters.',
    ),
    'no folder': (
        lambda _: sample.find_videos(Path('/nowhere')),
        '--input: /nowhere cannot be read: No such file or directory.',
    ),
    'no video': (
        nothing_to_convert,
        '--input: /videos holds no .mp4 file. (Hidden ones are not taken.)',
    ),
    'a link to nowhere': (
        a_video_that_is_a_link_to_nowhere,
        '--input: /gone.mp4 cannot be read: permission denied, or a link to nowhere.',
    ),
    'a link to a folder': (
        a_link_to_a_folder,
        'Not looked into: /videos/link is a link to a folder.',
    ),
    'no output folder': (
        lambda _: sample.check_outputs({}, Path('/dev/null/x')),
        '--output: /dev/null/x is not a folder that you may write to.',
    ),
    'an output that is a video': (
        an_output_that_replaces_a_video,
        '--output: /videos/a.mp4 would replace one of the videos.',
    ),
    '--missing': (one_of_two_is_converted, '1 of 2 videos left out: /videos has what they become.'),
}


# --- What exists already --------------------------------------------------------------------------


def existing_pool(**changes: Any) -> Situation:
    return lambda _: sample.check_existing_pool(pool(**changes), sample._POOL_VM_SIZE)


def another_image(stage: Stage) -> None:
    stage.azure.batch.account.list_supported_images.return_value = [image('another')]
    sample.make_room(stage.run())


def a_container_of_somebody_else(stage: Stage) -> None:
    stage.azure.made.add(INPUT)
    stage.azure.metadata = SOMEBODY
    sample.make_room(stage.run())


def an_old_job(stage: Stage) -> None:
    stage.azure.made.add('job')
    stage.azure.batch.job.get_task_counts.return_value = task_counts(running=2, completed=1)
    sample.make_room(stage.run())


def an_old_job_beside_a_check(stage: Stage) -> None:
    stage.azure.made.add('job')
    stage.run_main('--check')


def check(stage: Stage) -> None:
    end = datetime(2027, 6, 30, tzinfo=UTC)
    stage.azure.batch.account.list_supported_images.return_value = [image('server-gen1', end)]
    stage.azure.made.add('pool')
    stage.run_main('--check')


def check_without_an_end(stage: Stage) -> object:
    blob_client = stage.azure.storage.client
    return sample.look_at_what_exists(stage.azure.batch.client, blob_client, 'STANDARD_A1_v2')


def an_output_that_is_there(stage: Stage) -> None:
    run = stage.run('a.mp4', 'b.mp4')
    run.options.output.mkdir()
    (run.options.output / 'a.mp3').touch()
    sample.make_room(run)


def a_pool_that_is_used_again(stage: Stage) -> None:
    stage.azure.made.add('pool')
    sample.create_pool(stage.azure.batch.client, sample._POOL_ID)


def a_container_that_is_used_again(stage: Stage) -> object:
    stage.azure.made.add(OUTPUT)
    return sample.create_container(stage.azure.storage.client, OUTPUT)


def what_is_still_deleted(stage: Stage) -> None:
    stage.azure.batch.job.add.side_effect = [batch_error('JobBeingDeleted'), None]
    sample.create_job(stage.azure.batch.client, sample._JOB_ID, sample._POOL_ID)


def another_run(stage: Stage) -> None:
    container = stage.azure.storage.container(OUTPUT)
    container.acquire_lease.side_effect = storage_error('LeaseAlreadyPresent')
    sample.take_lock(stage.azure.storage.client)


def a_lost_lease(stage: Stage) -> None:
    stage.azure.lease.renew.side_effect = storage_error('LeaseLost', status=412)
    sample.RunLock(stage.azure.lease).is_lost()
    sample.pause(0)


def a_clock(hours: int) -> Situation:
    """Return a situation in which the clock of Azure is so many hours ahead."""

    def look(stage: Stage) -> None:
        def get(*, raw_response_hook: Any) -> None:
            raw_response_hook(storage_answer(BEGAN + timedelta(hours=hours)))

        stage.azure.storage.container(OUTPUT).get_container_properties.side_effect = get
        sample.azure_now(stage.azure.storage.client)

    return look


DELETE_JOB = (
    '  az batch job delete --job-id LinuxFFmpegJob --yes --account-name mybatch '
    '--account-endpoint https://mybatch.westeurope.batch.azure.com'
)
DELETE_POOL = (
    '  az batch pool delete --pool-id LinuxFFmpegPool --yes --account-name mybatch '
    '--account-endpoint https://mybatch.westeurope.batch.azure.com'
)
DELETE_CONTAINER = '  az storage container delete -n input --account-name mystorage'
ANOTHER_POOL = f'Choose another _POOL_ID, or delete it:\n{DELETE_POOL}'
BILL = '3 Spot nodes (STANDARD_A1_v2), for at most 1 hour 5 minutes each.'
EXISTING: Table = {
    'a pool of somebody else': (
        existing_pool(metadata=None),
        f"Pool [LinuxFFmpegPool] exists and is not this sample's. {ANOTHER_POOL}",
    ),
    'a pool of another size': (
        existing_pool(vm_size='standard_d2s_v3'),
        'Pool [LinuxFFmpegPool] exists with other settings: vm_size standard_d2s_v3 instead of '
        f'STANDARD_A1_v2. {ANOTHER_POOL}',
    ),
    'an image that Batch does not have': (
        another_image,
        'Batch does not support the image canonical ubuntu-24_04-lts server-gen1 with the node '
        'agent batch.node.ubuntu 24.04. Change _POOL_IMAGE or _POOL_NODE_AGENT_SKU_ID.',
    ),
    'a container of somebody else': (
        a_container_of_somebody_else,
        "Container [input] is not this sample's, or is of a run with another output container: "
        'change _INPUT_CONTAINER_NAME.',
    ),
    'an old job': (
        an_old_job,
        'Job [LinuxFFmpegJob] exists: 1 task done, 2 not done.\n'
        'Delete it and go on? [y/N] no (there is nobody to ask)\n'
        'Job [LinuxFFmpegJob] is in the way. Run with -y, which deletes a job of this sample, '
        f'choose another _JOB_ID, or delete it:\n{DELETE_JOB}',
    ),
    'an old job beside --check': (
        an_old_job_beside_a_check,
        f'Error: Job [LinuxFFmpegJob] exists. To delete it:\n{DELETE_JOB}',
    ),
    '--check': (
        check,
        'Both accounts answer. Image: server-gen1 is supported, until 2027-06-30.\n'
        f'Files: 3. Pool: exists. Job: new.\nA run has {BILL}',
    ),
    '--check, no end of the image': (check_without_an_end, 'no end known'),
    'outputs that are there': (an_output_that_is_there, '1 file in /outputs will be replaced.'),
    'a pool that is used again': (
        a_pool_that_is_used_again,
        'Creating pool [LinuxFFmpegPool]...\n'
        'Pool [LinuxFFmpegPool] exists with the same settings and is used again.',
    ),
    'a container that is used again': (
        a_container_that_is_used_again,
        'Container [output] exists and is used again.',
    ),
    'what is still deleted': (
        what_is_still_deleted,
        'Creating job [LinuxFFmpegJob]...\n'
        'What an earlier run has left is still being deleted or resized: waiting...',
    ),
    'another run': (
        another_run,
        'Container [output] is used by another run, or by one that has just died: waiting for up '
        'to 60 seconds...\n'
        'Another run is at work, and nothing of it was touched. Wait until it has ended, or give '
        'this run other names: _INPUT_CONTAINER_NAME, _OUTPUT_CONTAINER_NAME, _POOL_ID and '
        '_JOB_ID.',
    ),
    'a lost lease': (
        a_lost_lease,
        'Another run has taken over container [output], or somebody has deleted it or broken its '
        'lease. (Did this machine sleep?)',
    ),
    'a clock that is ahead': (
        a_clock(-2),
        'Warning: the clock of this machine is 120 minutes ahead of Azure\'s, which is used.',
    ),
    'a clock that is behind': (
        a_clock(3),
        'Warning: the clock of this machine is 180 minutes behind Azure\'s, which is used.',
    ),
}  # fmt: skip


# --- Uploads, tasks, nodes ------------------------------------------------------------------------


def upload(do: Callable[[Path], None]) -> Situation:
    """Return a situation in which this happens to a video during its upload."""

    def send(stage: Stage) -> object:
        run = stage.run()
        stage.azure.storage.container(INPUT).list_blobs.side_effect = lambda **_: []
        blob = stage.azure.storage.blob(INPUT, 'a.mp4')
        blob.upload_blob.side_effect = lambda *_, **__: do(run.videos['a.mp4'])
        return sample.upload_videos(run)

    return send


def fail_to_read(_: Path) -> None:
    raise OSError(5, 'Input/output error')


def a_video_that_is_there(stage: Stage) -> object:
    run = stage.run('a.mp4')
    there = blob_properties('a.mp4', 9, metadata=sample.file_metadata(run.videos['a.mp4']))
    stage.azure.storage.container(INPUT).list_blobs.side_effect = lambda **_: [there]
    return sample.upload_videos(run)


def an_unconfirmed_task(stage: Stage) -> None:
    stage.azure.batch.task.add_collection.side_effect = None
    answer = models.TaskAddCollectionResult(value=[])
    stage.azure.batch.task.add_collection.return_value = answer
    file = models.ResourceFile(http_url='https://x', file_path='a.mp4')
    sample.add_tasks(stage.azure.batch.client, sample._JOB_ID, [file], 'https://x')


def a_refused_task(_: Stage) -> object:
    refused = models.TaskAddResult(
        task_id='Task0',
        status='clienterror',
        error=models.BatchError(
            code='InvalidPropertyValue',
            message=models.ErrorMessage(value='Bad.'),
            values=[models.BatchErrorDetail(key='PropertyName', value='commandLine')],
        ),
    )
    return sample.describe(CreateTasksErrorException([], [refused], []))


def wait(stage: Stage) -> object:
    """Wait for a task that never starts, and return why it has ended without the first line."""
    stage.azure.batch.job.get_task_counts.return_value = task_counts(active=1)
    stage.azure.batch.tasks[:] = [unfinished('a.mp4')]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, 'say', lambda _: None)
        patch.setattr(sample, '_LOG_SECONDS', 1e9)
        return sample.wait_for_tasks_to_complete(
            stage.azure.batch.client, sample._JOB_ID, timedelta(minutes=30)
        )


def nodes(seconds: float = 60, errors: list[Any] | None = None, **states: int) -> Situation:
    """Return a situation with nodes in these states, so long after the beginning."""

    def look(stage: Stage) -> object:
        batch = stage.azure.batch
        number = sum(states.values())
        found = pool(current_low_priority_nodes=number, resize_errors=errors)
        batch.pool.get.side_effect = lambda *_, **__: raw_answer(found, seconds)
        batch.account.list_pool_node_counts.return_value = node_counts(None, **states)
        full = models.ComputeNodeError(code='DiskFull', message='The disk is full.')
        since = BEGAN - timedelta(minutes=9 if seconds == 60 else 60)
        node = models.ComputeNode(id='n', state_transition_time=since, errors=[full])
        batch.compute_node.list.return_value = [node]
        batch.file.get_from_compute_node.return_value = [b'E: no\n', b'package']
        return wait(stage)

    return look


def a_pool_that_is_gone(stage: Stage) -> object:
    stage.azure.batch.pool.get.side_effect = batch_error('PoolNotFound', status=404)
    return wait(stage)


def a_service_that_is_away(stage: Stage) -> object:
    away = [ClientRequestError('no answer')] * 3
    stage.azure.batch.pool.get.side_effect = [*away, batch_error('PoolNotFound', status=404)]
    return wait(stage)


def last_progress(situation: Situation) -> Situation:
    """Return what the bar of a situation shows at the end."""

    def look(stage: Stage) -> object:
        shown = ['']

        @contextlib.contextmanager
        def progress() -> Iterator[Callable[..., None]]:
            yield lambda text, *_: shown.append(text)

        stage.patch.setattr(sample, 'progress', progress)
        stage.patch.setattr(sample, 'say', lambda _: None)
        situation(stage)
        return shown[-1]

    return look


def a_page(_: Stage) -> None:
    page = http_response(403, b'Blocked', 'Forbidden', Content_Type='text/plain')
    sample.RepeatingAdapter().read(page.internal_response)


def progress_without_a_terminal(stage: Stage) -> object:
    counts = task_counts(active=1, running=1, completed=1, failed=1)
    stage.azure.batch.job.get_task_counts.return_value = counts
    stage.azure.made.add('pool')
    stage.patch.setattr(sample, '_LOG_SECONDS', 4)
    return sample.wait_for_tasks_to_complete(
        stage.azure.batch.client, sample._JOB_ID, timedelta(minutes=30)
    )


PASSED = '00:30:00 have passed, with'
AT_WORK: Table = {
    'a video that was changed': (
        upload(lambda path: os.utime(path, (1, 1))),
        'Uploading file a.mp4 to container [input]...\n'
        '/videos/a.mp4 was changed while it was uploaded. Run again.',
    ),
    'a disk that fails': (
        upload(fail_to_read),
        'Uploading file a.mp4 to container [input]...\n/videos/a.mp4: Input/output error',
    ),
    'a video that is there': (a_video_that_is_there, '1 of 1 file are there from an earlier run.'),
    'progress of the uploads': (
        last_progress(a_video_that_is_there),
        'Uploading: 0 bytes of 0 bytes',
    ),
    'a page of a proxy': (
        a_page,
        '403 Forbidden: the answer did not come from Azure, but from a proxy, perhaps.',
    ),
    'an unconfirmed task': (
        an_unconfirmed_task,
        'Adding 1 task to job [LinuxFFmpegJob]...\nBatch has confirmed 0 of 1 task.',
    ),
    'a refused task': (
        a_refused_task,
        'InvalidPropertyValue: Bad. commandLine (Check _POOL_VM_SIZE, --vm-size, and _POOL_IMAGE.)',
    ),
    'progress without a terminal': (
        progress_without_a_terminal,
        "Monitoring all tasks for 'Completed' state, timeout in 00:30:00...\n"
        'Tasks: 1 of 3 done, 1 queued, 1 running, 1 failed; 5 nodes: 5 idle',
    ),
    'time is over': (
        nodes(running=4, preempted=1),
        f'{PASSED} 5 nodes: 1 preempted, 4 running. Give the tasks more time with --timeout, or '
        'more nodes.',
    ),
    'time is over, Spot nodes taken away': (
        nodes(preempted=5),
        f'{PASSED} 5 nodes: 5 preempted. Azure has no Spot nodes to give now: use --dedicated, or '
        'try later.',
    ),
    'time is over, no nodes': (
        nodes(),
        f'{PASSED} no nodes yet. Azure has given no nodes: try later, with another --vm-size, or '
        'with --dedicated.',
    ),
    'time is over, one node in its start task': (
        nodes(waiting_for_start_task=1),
        f'{PASSED} 1 node: 1 in start task. Give the tasks more time with --timeout, or more '
        'nodes.',
    ),
    'time is over, nodes unusable for a while': (
        nodes(unusable=2),
        f'{PASSED} 2 nodes: 2 unusable. Choose another --vm-size.',
    ),
    'nodes unusable for long': (
        nodes(unusable=2, seconds=61),
        'All nodes of pool [LinuxFFmpegPool] are unusable. DiskFull: The disk is full. Choose a '
        'larger --vm-size.',
    ),
    'no quota': (
        nodes(errors=[models.ResizeError(code='AccountSpotCoreQuotaReached', message='Full.')]),
        'Pool [LinuxFFmpegPool] gets no nodes. AccountSpotCoreQuotaReached: Full. ' + NO_SPOT,
    ),
    'quota for some': (
        nodes(errors=[models.ResizeError(code='AllocationFailed', message='No.')], running=2),
        'Warning: pool [LinuxFFmpegPool] gets fewer nodes than asked for. AllocationFailed: No. '
        f'{NO_NODES}\n{PASSED} 2 nodes: 2 running. Give the tasks more time with --timeout, or '
        'more nodes.',
    ),
    'nodes removed by hand': (
        nodes(seconds=3600),
        'Pool [LinuxFFmpegPool] has no nodes: somebody has resized it, or has removed them.',
    ),
    'a start task that fails': (
        nodes(start_task_failed=4, unusable=1),
        'The start task failed on all nodes of pool [LinuxFFmpegPool].\n    E: no\n    package',
    ),
    'a pool that is deleted': (
        a_pool_that_is_gone,
        'Pool [LinuxFFmpegPool] is gone: somebody has deleted it.',
    ),
    'a service that is away': (
        a_service_that_is_away,
        f'Warning: Batch at {BATCH["url"]} does not answer. Check _BATCH_ACCOUNT_URL '
        '(AZURE_BATCH_ENDPOINT) and the network. no answer\n'
        'The tasks run on; asking again until there is an answer...\n'
        'Pool [LinuxFFmpegPool] is gone: somebody has deleted it.',
    ),
}


# --- Results, and what is left --------------------------------------------------------------------


MOOV = b'moov'  # what ffmpeg says of a video of which there is an output


def result_of(task: models.CloudTask | None, words: bytes | Exception = b'') -> Situation:
    """Return a situation in which a task has ended so; its reason is what is read."""

    def look(stage: Stage) -> object:
        run = stage.run('a.mp4')
        batch = stage.azure.batch
        batch.tasks[:] = [task] if task else []
        batch.file.get_from_task.side_effect = [words if isinstance(words, Exception) else [words]]
        here = [blob_properties('a.mp3', 9)] if words == MOOV else []
        stage.azure.storage.container(OUTPUT).list_blobs.return_value = here
        run.results = sample.read_results(batch.client, sample._JOB_ID, 'Why.')
        sample.find_outputs(run)
        return run.results['a.mp4'].reason

    return look


def download_of(content: Any) -> Situation:
    """Return a situation in which the download of an output brings this."""

    def fetch(stage: Stage) -> object:
        run = stage.run('a.mp4')
        run.results['a.mp4'] = sample.VideoResult('a.mp4', status='ok', output_size=5)
        stage.azure.storage.put_output('a.mp3', content)
        sample.download_outputs(run)
        return run.results['a.mp4'].reason

    return fetch


def report_of(*statuses: str, number: int = 0) -> Situation:
    """Return a situation in which videos have ended so; the table is left out."""

    def report(stage: Stage) -> None:
        run = stage.run(*(f'{place:02}.mp4' for place in range(number or len(statuses))))
        for name in run.videos:
            run.results[name] = sample.VideoResult(name, status='ok', has_verdict=True)
        for name, status in zip(run.videos, statuses, strict=False):
            has_verdict = status != 'not done'
            run.results[name].status = status if has_verdict else 'failed'
            run.results[name].has_verdict = has_verdict
            run.results[name].reason = 'Why.'
        stage.patch.setattr(sample, 'print_table', lambda *_: None)
        sample.print_report(run)

    return report


def a_table(stage: Stage) -> None:
    run = stage.run('a.mp4')
    run.results['a.mp4'] = sample.VideoResult(
        'a.mp4', status='ok', has_verdict=True, seconds=2.25, output_size=1500
    )
    sample.print_report(run)


def left(*made: str, formula: str = '') -> Situation:
    """Return a situation in which these are left by a run whose outputs are all here."""

    def look(stage: Stage) -> None:
        stage.azure.made |= {OUTPUT, *made}
        found = pool(auto_scale_formula=formula)
        if 'pool' in made:
            stage.azure.batch.pool.get.side_effect = lambda *_: found
        run = stage.run('a.mp4', argv=('--keep',))
        run.arrived.add('a.mp4')
        sample.say_what_is_left(run)

    return look


def an_output_that_has_not_arrived(stage: Stage) -> None:
    sample.say_what_can_be_fetched(stage.run('a.mp4'))


def a_look_without_an_answer(stage: Stage) -> None:
    stage.azure.batch.job.get.side_effect = batch_error('InternalError')
    left()(stage)


def a_deletion_that_fails(stage: Stage) -> None:
    with sample.removing(stage.run(), 'pool'):
        raise batch_error('InternalError', 'Oops.')


def a_lease_lost_before_the_cleanup(stage: Stage) -> None:
    run = stage.run()
    lock: Any = run.lock
    lock.is_lost.return_value = True
    sample.clean_up(run)


def videos_that_may_be_needed(stage: Stage) -> None:
    stage.azure.made.add(INPUT)
    sample.user_agrees(stage.run(*VIDEOS), 'container')


def the_end(stage: Stage) -> None:
    stage.azure.made.add(INPUT)
    run = stage.run('a.mp4', argv=('-y',))
    run.arrived.add('a.mp4')
    sample.clean_up(run)


NOT_DOWNLOADED = 'Downloading 1 file from container [output] to /outputs...\nnot downloaded: '
AFTERWARDS: Table = {
    'damaged': (result_of(damaged('a.mp4'), MOOV), 'ffmpeg reported errors\n    moov'),
    'failed': (result_of(failed('a.mp4', exit_code=69), b'Bad.'), 'exit code 69\n    Bad.'),
    'failed, words gone': (
        result_of(failed('a.mp4'), batch_error('NodeNotFound', 'Gone.', 404)),
        'exit code 1\n    no stderr: NodeNotFound: Gone.',
    ),
    'silent video': (
        result_of(failed('a.mp4'), b'Output file does not contain any stream'),
        'exit code 1: no audio track\n    Output file does not contain any stream',
    ),
    'not downloaded by the node': (
        result_of(failed('a.mp4', exit_code=None, code='BlobNotFound', message='None.')),
        f'BlobNotFound: None. {INPUT_GONE}',
    ),
    'not done': (result_of(unfinished('a.mp4')), 'not done: Why.'),
    'task gone': (result_of(None), 'its task is gone: somebody has deleted it'),
    'output missing': (
        result_of(succeeded('a.mp4')),
        'the task has ended, but its output is missing or empty',
    ),
    'progress of the downloads': (
        last_progress(download_of(b'ID3 a')),
        'Downloading: 1 of 1 files',
    ),
    'too few bytes': (download_of(b'ID3'), NOT_DOWNLOADED + '3 of 5 bytes arrived'),
    'disk full': (
        download_of(OSError(28, 'No space left on device')),
        NOT_DOWNLOADED + '/outputs/a.mp3: No space left on device',
    ),
    'output gone': (
        download_of(storage_error('BlobNotFound', 'None.')),
        NOT_DOWNLOADED + f'BlobNotFound: None. {INPUT_GONE}',
    ),
    'one failed': (report_of('failed', 'ok'), '00.mp4 failed: Why.\nError: 1 of 2 files failed.'),
    'failed and damaged': (
        report_of('damaged', 'failed', 'ok'),
        '00.mp4 damaged: Why.\n01.mp4 failed: Why.\n'
        'Error: 1 of 3 files failed. 1 of 3 files damaged.',
    ),
    'one not done': (
        report_of('not done', 'ok'),
        '00.mp4 failed: Why.\n'
        'Error: 1 of 2 files failed. To convert what was not converted, run again with --missing.',
    ),
    'many': (report_of(number=23), '... and 3 more, in /outputs.'),
    'table': (
        a_table,
        'File (1 of 1)   Time        In     Out  Result\n'
        'a.mp4          2.2 s  14 bytes  1.5 kB  ok',
    ),
    'nothing left': (
        left(),
        'Nothing that bills is left, except the files in Storage. Nodes stop billing when they are '
        'gone, in a few minutes.',
    ),
    'job left': (
        left('job', 'pool', formula='time() < time("2026-11-22T15:00:00Z") ? 1 : 0'),
        f'The job is left. It costs nothing. To delete it:\n{DELETE_JOB}\n'
        f'The pool is left. Its nodes are gone, or going. To delete it:\n{DELETE_POOL}',
    ),
    'pool left': (
        left('pool', formula='time() < time("2026-11-22T16:50:21Z") ? 1 : 0'),
        f'The pool is left. Its nodes bill until '
        f'{datetime(2026, 11, 22, 16, 50, tzinfo=UTC).astimezone():%Y-%m-%d %H:%M}, or until it is '
        f'deleted. To delete it:\n{DELETE_POOL}',
    ),
    'pool left that never ends': (
        left('pool', formula='$TargetDedicatedNodes = 5'),
        f'The pool is left. Its nodes bill until it is deleted. To delete it:\n{DELETE_POOL}',
    ),
    'container left': (
        left(INPUT),
        f'The container is left. Its 3 files (27 bytes) bill. To delete it:\n{DELETE_CONTAINER}',
    ),
    'no answer': (
        a_look_without_an_answer,
        f'The job may be left: there was no answer. To delete it:\n{DELETE_JOB}\n'
        'Nothing that bills is left, except the files in Storage. Nodes stop billing when they are '
        'gone, in a few minutes.',
    ),
    'outputs to fetch': (
        an_output_that_has_not_arrived,
        '1 output of this run, not yet in /outputs, can be fetched from container [output]:\n'
        '  az storage blob download-batch --source output --destination "/outputs" '
        '--account-name mystorage',
    ),
    'a deletion that fails': (
        a_deletion_that_fails,
        'Warning: the pool could not be deleted. InternalError: Oops.',
    ),
    'a lost lease at the end': (
        a_lease_lost_before_the_cleanup,
        'Nothing is deleted, since another run may use it. Its nodes and files bill.\n'
        'When that run has ended:\n'
        f'{DELETE_JOB}\n{DELETE_POOL}\n{DELETE_CONTAINER}',
    ),
    'videos that may be needed': (
        videos_that_may_be_needed,
        'Delete container? The next run would not have to upload its 3 files (27 bytes) again. '
        '[y/N] no (there is nobody to ask)',
    ),
    'the end': (
        the_end,
        'Delete container? The next run would not have to upload its 3 files (27 bytes) again. '
        '[y/N] yes\nDeleting container [input]...\n\n'
        f'Sample end: {BEGAN.astimezone():%Y-%m-%d %H:%M:%S}\nElapsed time: 0:00:00\n\n'
        'Nothing that bills is left, except the files in Storage. Nodes stop billing when they are '
        'gone, in a few minutes.',
    ),
}


# --- Questions, signals, this machine -------------------------------------------------------------


def question(*replies: Any) -> Situation:
    """Return a situation in which a user answers so. (What is typed is not printed by a test.)"""

    def ask(stage: Stage) -> None:
        prompts = stage.typed(*replies)
        sample.query_yes_no('Delete job?')
        sample.warn(' '.join(prompts))

    return ask


def interrupted(stage: Stage) -> None:
    stage.typed(KeyboardInterrupt())
    sample.stop.signalled = True
    sample.query_yes_no('Delete job?')


def signals(*numbers: signal.Signals) -> Situation:
    def send(stage: Stage) -> None:
        stage.patch.setattr(os, '_exit', lambda _: None)
        with sample.signals_noted():
            for number in numbers:
                signal.raise_signal(number)

    return send


def too_few_threads(stage: Stage) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    stage.patch.setattr(sample, 'create_clients', refuse)
    stage.run_main()


INTERRUPTED = 'Interrupted: cleaning up. Ctrl-C once more leaves at once.'
HERE: Table = {
    'a question': (question('y'), 'Delete job? [Y/n]'),
    'a question that is not understood': (
        question('what?', 'n'),
        "Please answer 'yes' or 'no' ('y' or 'n').\nDelete job? [Y/n]  Delete job? [Y/n]",
    ),
    'a question whose input ends': (question(EOFError()), 'yes\nDelete job? [Y/n]'),
    'a question that is answered already': (
        lambda _: sample.query_yes_no('Delete job?', answer='no'),
        'Delete job? [Y/n] no\nno',
    ),
    'a question that is interrupted': (interrupted, 'Delete job? [Y/n] yes (interrupted)'),
    'signals of the system': (signals(signal.SIGHUP, signal.SIGTERM), INTERRUPTED),
    'Ctrl-C twice': (
        signals(signal.SIGINT, signal.SIGINT),
        f'{INTERRUPTED}\n\nLeft at once. What may be left, and how to delete it:\n'
        f'{DELETE_JOB}\n{DELETE_POOL}\n{DELETE_CONTAINER}',
    ),
    'too few threads': (
        too_few_threads,
        f'{BILL}\nError: this machine, or its container, allows no more threads (ulimit -u).',
    ),
}

TEXTS: Table = {
    **{name: (raised(error), text) for name, (error, text) in ERRORS.items()},
    **{code: (raised(batch_error(code, 'No.')), f'{code}: No. {text}')
       for code, text in REMEDIES.items()},
    'refused token': (
        sign_in_refused,
        f'InvalidAuthenticationInfo: Another issuer. Batch account mybatch: {SIGN_IN}',
    ),
    **BEFORE_CONTACT,
    **EXISTING,
    **AT_WORK,
    **AFTERWARDS,
    **HERE,
}  # fmt: skip


@pytest.mark.parametrize(('situation', 'text'), TEXTS.values(), ids=TEXTS)
def test_a_user_reads(
    situation: Situation, text: str, stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    assert read(situation, stage, capfd) == text


def test_the_tables_do_not_hide_rows_of_each_other() -> None:
    tables = (ERRORS, REMEDIES, BEFORE_CONTACT, EXISTING, AT_WORK, AFTERWARDS, HERE)

    assert len(TEXTS) == sum(len(table) for table in tables) + 1


@pytest.mark.parametrize(
    ('argv', 'replies', 'after_success', 'at_the_end'),
    [
        ([], ['', ''], [], []),
        (
            ['-y'],
            [],
            ['Deleting pool [LinuxFFmpegPool]...'],
            ['Delete job? [Y/n] yes'],
        ),
    ],
    ids=['asked', '-y'],
)
def test_the_transcript_is_that_of_the_tutorial(
    stage: Stage,
    capfd: pytest.CaptureFixture[str],
    argv: list[str],
    replies: list[str],
    after_success: list[str],
    at_the_end: list[str],
) -> None:
    prompts = stage.typed(*replies)

    assert stage.run_main(*argv) == 0

    shown = capfd.readouterr().out.replace(str(stage.folder), '')
    now = f'{BEGAN.astimezone():%Y-%m-%d %H:%M:%S}'
    uploads = [line for line in shown.splitlines() if line.startswith('Uploading')]
    assert sorted(uploads) == [f'Uploading file {name} to container [input]...' for name in VIDEOS]
    assert [line for line in shown.splitlines() if line and line not in uploads] == [
        f'Sample start: {now}',
        'Container [input] created.',
        'Container [output] created.',
        'Creating pool [LinuxFFmpegPool]...',
        'Creating job [LinuxFFmpegJob]...',
        'Adding 3 tasks to job [LinuxFFmpegJob]...',
        "Monitoring all tasks for 'Completed' state, timeout in 00:30:00...",
        'Success! All tasks completed successfully within the specified timeout period.',
        *after_success,
        'Downloading 3 files from container [output] to /outputs...',
        'Deleting container [input]...',
        f'Sample end: {now}',
        'Elapsed time: 0:00:00',
        *at_the_end,
    ]
    assert prompts == ['Delete job? [Y/n] ', 'Delete pool? [Y/n] '][: len(replies)]


def test_the_help_has_each_option_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sample.main(['--help'])

    options = capsys.readouterr().out.rpartition('show this help message and exit')[2]
    assert ' '.join(options.split()) == (
        '--input DIR take every .mp4 in this folder and below (default: InputFiles beside the '
        'script) --output DIR put the MP3s here (default: OutputFiles) --missing leave out videos '
        'that have an MP3 which is newer --check only check what can be checked, create nothing '
        '--dedicated N dedicated nodes (default: 0); there are never more nodes than videos '
        '--low-priority N Spot nodes (default: 5) --vm-size SIZE size of each node (default: '
        'STANDARD_A1_v2) --timeout MINUTES for all tasks (default: 30, and 6 more for each GB that '
        'one node has to convert) -y delete what the run has made (and an old job) without asking '
        '--keep keep job and pool without asking'
    )


# --- The bill -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('argv', 'text'),
    [
        ([], '5 Spot nodes (STANDARD_A1_v2), for at most 1 hour 5 minutes each.'),
        (
            ['--dedicated', '1', '--low-priority', '1', '--timeout', '25'],
            '1 dedicated node and 1 Spot node (STANDARD_A1_v2), for at most 1 hour each.',
        ),
        (
            ['--dedicated', '2', '--low-priority', '0', '--vm-size', 'X', '--timeout', '1446'],
            '2 dedicated nodes (X), for at most 24 hours 41 minutes each.',
        ),
    ],
)
def test_the_bound_of_the_bill_is_said_in_words(argv: list[str], text: str) -> None:
    options = sample.parse_arguments(argv)
    options.timeout = options.timeout or timedelta(minutes=30)

    assert sample.describe_bill(options) == text


# --- What no text shows ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    'message',
    [
        'See https://a.blob.core.windows.net/input/a.mp4?sv=1&sig=secret%3D',
        'Bearer eyJhbGciOi.eyJzdWIiOiI.c2VjcmV0LXNlY3JldA is wrong',
        'Server used following string to sign:\nsecret',
    ],
    ids=['sas', 'token', 'later lines'],
)
@pytest.mark.parametrize('place', ['message', 'detail', 'storage', 'no answer', 'sign-in'])
def test_neither_sas_nor_token_are_shown(message: str, place: str) -> None:
    one_line = message.replace('\n', '?sig=')
    errors: dict[str, Exception] = {
        'message': batch_error('AuthenticationFailed', message),
        'detail': batch_error('AuthenticationFailed', 'No.', details={'Reason': one_line}),
        'storage': storage_error('AuthenticationFailed', message),
        'no answer': ClientRequestError(message),
        'sign-in': ClientAuthenticationError(one_line),
    }

    shown = sample.describe(errors[place])

    assert 'secret' not in shown
    assert 'eyJ' not in shown
    assert 'c2VjcmV0' not in shown


def test_a_message_moves_no_cursor() -> None:
    assert sample.describe(batch_error('X', 'a\x1b[2J\x9b2Jb')) == 'X: a [2J 2Jb'
