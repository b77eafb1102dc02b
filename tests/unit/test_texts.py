"""All texts that a user reads: the only place in which they are asserted word by word.

A row of a table has the situation, how it comes about, and what a user then reads. So who changes a
text of the script changes one row here. What several texts share is spelled out in one row; the
others refer to the script.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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


def service(name: str) -> sample.Service:
    """Return what messages say about a service, with the settings of the tests."""
    of_the_script: sample.Service = getattr(sample, name)
    return replace(
        of_the_script,
        account=SETTINGS[f'_{name}_ACCOUNT_NAME'],
        url=SETTINGS[f'_{name}_ACCOUNT_URL'],
        signing=sample._WRONG_KEY.format('its key'),
    )


BATCH = service('BATCH')
STORAGE = service('STORAGE')
BATCH_IS_AWAY = sample.describe_no_answer(BATCH, '')
STORAGE_IS_AWAY = sample.describe_no_answer(STORAGE, '')
BATCH_KEY = sample._SIGNING.format(**vars(BATCH))
STORAGE_KEY = sample._SIGNING.format(**vars(STORAGE))
BATCH_ROLE = sample._ROLE.format(**vars(BATCH))
STORAGE_ROLE = sample._ROLE.format(**vars(STORAGE))


# --- Situations -----------------------------------------------------------------------------------


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
    """Both services. What is part of several texts, and has its own test below, stands in <>."""

    def commands(*kinds: str, output: object = '') -> str:
        return '\n'.join(f'<{kind} {output}>' if output else f'<delete {kind}>' for kind in kinds)

    monkeypatch.setattr(sample, 'BATCH', BATCH)
    monkeypatch.setattr(sample, 'STORAGE', STORAGE)
    monkeypatch.setattr(sample, 'az_commands', commands)
    monkeypatch.setattr(sample, 'describe_bill', lambda _: '<the bill>')
    return Stage(azure, tmp_path, run_main, new_run, videos, typed, monkeypatch)


Situation = Callable[[Stage], object]
Table = dict[str, tuple[Situation, str]]


def outcome(situation: Situation, stage: Stage) -> object:
    """Return the error that a situation ends with, as a user reads it, or what it returns."""
    try:
        return situation(stage)
    except sample.EXPECTED_ERRORS as error:
        return sample.describe(error)


def read(situation: Situation, stage: Stage, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines of the error, or of the text that is returned, or else what is printed."""
    text = outcome(situation, stage)
    if not isinstance(text, str) or not text:
        printed = capfd.readouterr()
        text = printed.out + printed.err
    lines = text.replace(str(stage.folder), '').strip('\n').splitlines()
    return [line.rstrip() for line in lines]


def each(*situations: Situation) -> Situation:
    """Return a situation in which one after the other ends with an error; all are read."""
    return lambda stage: '\n'.join(str(outcome(situation, stage)) for situation in situations)


def printed(situation: Situation) -> Situation:
    """Return a situation of which only what is printed is read."""

    def look(stage: Stage) -> None:
        outcome(situation, stage)

    return look


def after(mark: str, situation: Situation) -> Situation:
    """Return a situation of which what stands behind a mark is read."""
    return lambda stage: str(outcome(situation, stage)).partition(mark)[2]


def raised(error: Exception) -> Situation:
    """Return a situation in which a client raises this error."""
    return lambda _: sample.describe(error)


# --- Errors of the services -----------------------------------------------------------------------


def connection_error(cause: str) -> str:
    return f"HTTPSConnectionPool(host='h', port=443): Max retries exceeded (Caused by {cause})"


def sign_in_refused(stage: Stage) -> object:
    stage.patch.setattr(sample, 'BATCH', replace(BATCH, signing=sample._SIGN_IN))
    return sample.describe(batch_error('InvalidAuthenticationInfo', 'Another issuer.', 401))


ERRORS: dict[str, tuple[Exception, str]] = {
    'wrong key': (
        batch_error('AuthenticationFailed', 'No.', 403, Date='Sun, 22 Nov 2026 14:00:00 GMT'),
        'AuthenticationFailed: No. Batch account mybatch: wrong key (its key), or a wrong clock. '
        '(Clocks: service Sun, 22 Nov 2026 14:00:00 GMT, '
        'this machine Sun, 22 Nov 2026 15:20:21 GMT.)',
    ),
    'firewall of Batch': (
        batch_error('AuthorizationFailure', 'No.', 403),
        f'AuthorizationFailure: No. {BATCH_KEY} Or a firewall refuses this machine. {BATCH_ROLE}',
    ),
    'role': (
        batch_error('PermissionDenied', 'No.', 403),
        'PermissionDenied: No. '
        'If you are signed in, a role is missing (or is minutes old). An Owner or User Access '
        'Administrator can give it; with keys none is needed:\n'
        '  az role assignment create --role "Azure Batch Data Contributor" --assignee <you> '
        '--scope $(az resource list --query [0].id -o tsv --name mybatch)',
    ),
    'role of Storage': (
        storage_error('AuthorizationPermissionMismatch', 'No.', 403),
        f'AuthorizationPermissionMismatch: No. {STORAGE_ROLE}',
    ),
    'wrong key of Storage': (
        storage_error('AuthenticationFailed', 'No.', 403),
        f'AuthenticationFailed: No. {STORAGE_KEY}',
    ),
    'value': (
        batch_error(
            'InvalidPropertyValue',
            'Bad.',
            400,
            {'PropertyName': 'vmSize', 'X': 'y', 'Reason': 'No.'},
        ),
        'InvalidPropertyValue: Bad. vmSize No. '
        '(Check _POOL_VM_SIZE, --vm-size, and _POOL_IMAGE.)',
    ),
    'an allowed value': (
        batch_error('OutOfRange', 'Bad.', 400, {'X': 'allowed are 1 to 5'}),
        'OutOfRange: Bad. allowed are 1 to 5',
    ),
    'without a remedy': (batch_error('InternalError', 'Oops.', 500), 'InternalError: Oops.'),
    'no answer': (
        ClientRequestError(
            'Error occurred in request., ConnectionError: '
            + connection_error(
                'NameResolutionError("HTTPSConnection(host=\'h\', port=443): Failed to resolve '
                '\'h\' ([Errno -2] Name or service not known)"))'
            )
        ),
        f'Batch at {BATCH.url} does not answer. Check _BATCH_ACCOUNT_URL (AZURE_BATCH_ENDPOINT) '
        "and the network. Failed to resolve 'h' ([Errno -2] Name or service not known)",
    ),
    'no answer of Storage': (
        ServiceRequestError(connection_error('ResponseError("too many 503 error responses"))')),
        f'{STORAGE_IS_AWAY}too many 503 error responses',
    ),
    'a refusal in a form that Batch does not have': (
        models.BatchErrorException(_DESERIALIZE, http_response(403, b'{"blocked": true}')),
        f'{BATCH_IS_AWAY}Request encountered an exception.',
    ),
    'a proxy that refuses': (
        ServiceRequestError(connection_error(
            "ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407'))")),
        f'{STORAGE_IS_AWAY}Or is it the proxy? Check HTTPS_PROXY, and the name and password in it. '
        'Tunnel connection failed: 407',
    ),
    'a proxy that is not there': (
        ClientRequestError(connection_error(
            "ProxyError('Unable to connect to proxy', NewConnectionError(\"HTTPSConnection("
            "host='p', port=1): Failed to establish a new connection: Connection refused\"))")),
        sample.describe_no_answer(BATCH, 'proxy').removesuffix('proxy')
        + 'Failed to establish a new connection: Connection refused',
    ),
    'TLS inspection': (
        ServiceRequestError(connection_error(
            "SSLError(SSLCertVerificationError(1, 'certificate verify failed'))")),
        f'{STORAGE_IS_AWAY.partition("Check")[0]}A proxy may inspect TLS: set '
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
    'an expired secret and two identities': (
        ClientAuthenticationError(
            'Attempted credentials:\n'
            '\tEnvironmentCredential: Authentication failed: AADSTS7000222: The provided client '
            'secret keys are expired.\n'
            '\tManagedIdentityCredential: ManagedIdentityCredential authentication unavailable. '
            'Multiple user assigned identities exist, please specify the clientId.\n'
            'To mitigate this issue, please refer to the troubleshooting guidelines.'
        ),
        'Not signed in. EnvironmentCredential: Authentication failed: AADSTS7000222: The provided '
        'client secret keys are expired. ManagedIdentityCredential: ManagedIdentityCredential '
        'authentication unavailable. Multiple user assigned identities exist, please specify the '
        'clientId.',
    ),
    'file': (PermissionError(13, 'Permission denied', '/a.mp4'), '/a.mp4: Permission denied'),
}  # fmt: skip


# What to do, by the code of the error.
REMEDIES = {
    'InvalidAuthenticationInfo': BATCH_KEY,
    'KeyBasedAuthenticationNotPermitted': (
        'The account allows no keys. Leave _STORAGE_ACCOUNT_KEY empty to sign in.'
    ),
    'AccountCoreQuotaReached': (
        'No quota for dedicated cores is left. Ask for more in the portal (Batch account > '
        'Quotas), which can take two days, or run with fewer --dedicated.'
    ),
    'AccountLowPriorityCoreQuotaReached': (
        f'No quota for Spot cores is left. {sample._QUOTA} run with --dedicated 2 --low-priority 0.'
    ),
    'accountspotcorequotareached': sample._NO_SPOT,
    'AccountVMSeriesCoreQuotaReached': (
        f'No quota for this VM series is left. {sample._QUOTA} choose another --vm-size.'
    ),
    'PoolQuotaReached': f'The account cannot hold another pool. {sample._QUOTA} delete one.',
    'ActiveJobAndScheduleQuotaReached': (
        f'The account cannot hold another job. {sample._QUOTA} delete one.'
    ),
    'AllocationFailed': (
        'No nodes are free, try later; or _POOL_VM_SIZE does not fit the image (generation 1 or 2).'
    ),
    'AllocationTimedout': sample._NO_NODES,
    'UnsupportedRequestVersion': ('Batch no longer takes this version. Change _BATCH_API_VERSION.'),
    'JobNotFound': 'Job [LinuxFFmpegJob] is gone: somebody has deleted it.',
    'PoolNotFound': 'Pool [LinuxFFmpegPool] is gone: somebody has deleted it.',
    'ContainerNotFound': 'Was container [input] or [output] deleted meanwhile?',
    'BlobNotFound': 'Was container [input], or a file in it, deleted meanwhile?',
    'ResourceContainerNotFound': sample._GONE,
    'FileUploadContainerNotFound': 'Was container [output] deleted meanwhile?',
}

SERVICES: Table = {
    **{name: (raised(error), text) for name, (error, text) in ERRORS.items()},
    **{code: (raised(batch_error(code, 'No.')), f'{code}: No. {text}')
       for code, text in REMEDIES.items()},
    'the role in Storage': (lambda _: STORAGE.role, 'Storage Blob Data Contributor'),
    'the settings of Storage': (
        lambda _: STORAGE.settings,
        '_STORAGE_ACCOUNT_NAME (AZURE_STORAGE_ACCOUNT), _STORAGE_ACCOUNT_URL',
    ),
    'refused token': (
        after('mybatch: ', sign_in_refused),
        'the sign-in is refused. Is the account of another tenant? Then az login --tenant '
        '<tenant>, or set AZURE_TENANT_ID.',
    ),
}  # fmt: skip


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
    return sample.find_videos(stage.videos(['a.txt', '.hidden.mp4']))


def a_video_that_is_a_link_to_nowhere(stage: Stage) -> object:
    (stage.folder / 'gone.mp4').symlink_to(stage.folder / 'nowhere')
    return sample.find_videos(stage.folder)


def a_link_to_a_folder(stage: Stage) -> object:
    folder = stage.videos(['a.mp4'])
    (folder / 'link').symlink_to(stage.folder)
    return sample.find_videos(folder)


def an_output_that_replaces_a_video(stage: Stage) -> None:
    stage.patch.setattr(sample, 'output_name', lambda name: name)
    folder = stage.videos(['a.mp4'])
    sample.check_outputs({'a.mp4': folder / 'a.mp4'}, folder)


def one_of_two_is_converted(stage: Stage) -> object:
    folder = stage.videos(['a.mp4', 'b.mp4'])
    (folder / sample.output_name('a.mp4')).touch()
    return sample.leave_out_converted(sample.find_videos(folder), folder)


BEFORE_CONTACT: Table = {
    'placeholder in a variable': (
        settings(_BATCH_ACCOUNT_NAME='<Batch account>', AZURE_BATCH_ACCOUNT='not used'),
        '_BATCH_ACCOUNT_NAME (from the variable AZURE_BATCH_ACCOUNT) is still a placeholder. '
        'Without an Azure account:\n  python -m tests.local_azure',
    ),
    'all that is wrong': (
        settings(
            '--dedicated=-1',
            '--low-priority=1',
            '--input=',
            _BATCH_ACCOUNT_URL='mybatch',
            _STORAGE_ACCOUNT_NAME='A',
            _STORAGE_ACCOUNT_KEY='',
            _STORAGE_ACCOUNT_URL='http://localhost',
            _BATCH_ACCOUNT_KEY='secret',
            _OUTPUT_CONTAINER_NAME='input',
            _JOB_ID='a b',
            _JOB_TIMEOUT=timedelta(days=9),
            _OUTPUT_FORMAT={'extension': 'mp3', 'ffmpeg_options': '"'},
            HTTPS_PROXY='http://me:a/b@proxy',
        ),
        '; '.join([
            '_BATCH_ACCOUNT_KEY: its value is not base64',
            "_BATCH_ACCOUNT_URL: 'mybatch' is not https:// and the name of a host",
            "_STORAGE_ACCOUNT_NAME: 'A' is not 3 to 24 lower-case letters and digits",
            "_STORAGE_ACCOUNT_URL: 'http://localhost' is not https:// and the name of a host",
            "_OUTPUT_CONTAINER_NAME: 'input' is not lower-case letters, digits, single hyphens, "
            'other than input',
            "_JOB_ID: 'a b' is not letters, digits, hyphens and underscores",
            "--input: '' is not the name of a folder",
            '--dedicated: -1 is not a number such as 5',
            '--dedicated and --low-priority together: 0 is not a number of nodes: without one '
            'nothing is converted',
            '_JOB_TIMEOUT: datetime.timedelta(days=9) is not a duration of less than 6 days',
            "_OUTPUT_FORMAT['extension']: 'mp3' is not a dot and letters, such as .mp3",
            "_OUTPUT_FORMAT['ffmpeg_options']: '\"' is not text without quotes, which would end "
            'the command of the tasks',
            'HTTPS_PROXY: its value is not a URL; in its password / # @ ? [ ] have to be written '
            'as %2F %23 %40 %3F %5B %5D',
        ]),
    ),
    'time limit': (
        a_wrong_time_limit,
        '0: it must be more than 0 minutes, and up to 6 days (8640)',
    ),
    'names that Storage changes': (
        each(
            a_name('a\n.mp4'),
            a_name('a\\b.mp4'),
            a_name('Vol. 1./b.mp4'),
            a_name('x' * 1021 + '.mp4'),
        ),
        r"Rename 'a\n.mp4': it holds characters that cannot be shown." '\n'
        r'Rename a\b.mp4: Azure Storage turns a backslash into a slash.' '\n'
        'Rename Vol. 1./b.mp4: Azure Storage drops the dot at the end of a folder name.\n'
        f'Rename {"x" * 1021}.mp4: Azure Storage allows 1,024 characters.',
    ),
    'two names, one file': (
        a_name('a.mp4', 'A.MP4'),
        f'a.mp4 and A.MP4 can both become {sample.output_name("A.MP4")}: rename one.',
    ),
    'a file where a folder is needed': (
        a_name('a.mp4', f'{sample.output_name("a.mp4")}/b.mp4'),
        f'a.mp4 becomes a file where {sample.output_name("a.mp4")}/b.mp4 needs a folder: '
        'rename one.',
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
}  # fmt: skip


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


def a_question_about_an_old_job(stage: Stage) -> object:
    prompts = stage.typed('y')
    an_old_job(stage)
    return prompts[0]


def an_old_job_and_yes(stage: Stage) -> None:
    stage.typed('y')
    an_old_job(stage)


def an_old_job_beside_a_check(stage: Stage) -> None:
    stage.azure.made.add('job')
    sample.check_only(stage.run().options, {})


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
    (run.options.output / sample.output_name('a.mp4')).touch()
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


def clocks(*hours: int) -> Situation:
    """Return a situation in which the clock of Azure is so many hours ahead, each in turn."""

    def look(stage: Stage) -> None:
        container = stage.azure.storage.container(OUTPUT)
        for ahead in hours:
            answer = storage_answer(BEGAN + timedelta(hours=ahead))
            container.get_container_properties.side_effect = (
                lambda raw_response_hook, answer=answer: raw_response_hook(answer)
            )
            sample.azure_now(stage.azure.storage.client)

    return look


EXISTING: Table = {
    'pools that cannot be used': (
        each(existing_pool(metadata=None), existing_pool(vm_size='standard_d2s_v3')),
        "Pool [LinuxFFmpegPool] exists and is not this sample's. Choose another _POOL_ID, or "
        'delete it:\n<delete pool>\n'
        'Pool [LinuxFFmpegPool] exists with other settings: vm_size standard_d2s_v3 instead of '
        'STANDARD_A1_v2. Choose another _POOL_ID, or delete it:\n<delete pool>',
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
        an_old_job_and_yes,
        'Job [LinuxFFmpegJob] exists: 1 task done, 2 not done.\n'
        'Its outputs stay in container [output]. To convert only the rest, answer no, fetch them, '
        'and run again with --missing -y:\n<outputs /outputs>',
    ),
    'the question about an old job': (a_question_about_an_old_job, 'Delete it and go on? [y/N]'),
    'an old job that stays': (
        an_old_job,
        'Job [LinuxFFmpegJob] is in the way. Run with -y, which deletes a job of this sample, '
        'choose another _JOB_ID, or delete it:\n<delete job>',
    ),
    'an old job beside --check': (
        an_old_job_beside_a_check,
        'Job [LinuxFFmpegJob] exists. To delete it:\n<delete job>',
    ),
    '--check': (
        check,
        'Both accounts answer. Image: server-gen1 is supported until 2027-06-30.\n'
        '3 files, 48 bytes. Pool: exists.\nA run has <the bill>\n'
        'Not checked: your quota, the size of the nodes, and whether each file fits on one.',
    ),
    '--check, no end of the image': (check_without_an_end, 'without an announced end'),
    'outputs that are there': (an_output_that_is_there, '1 file in /outputs will be replaced.'),
    'a pool that is used again': (
        a_pool_that_is_used_again,
        'Pool [LinuxFFmpegPool] exists with the same settings and is used again.',
    ),
    'a container that is used again': (
        a_container_that_is_used_again,
        'Container [output] exists and is used again.',
    ),
    'what is still deleted': (
        what_is_still_deleted,
        'What an earlier run has left is still being deleted or resized: waiting...',
    ),
    'another run, at first': (
        printed(another_run),
        'Container [output] is used by another run, or by one that has just died: waiting for up '
        'to 60 seconds...',
    ),
    'another run': (
        another_run,
        'Another run is at work, and nothing of it was touched. Wait until it has ended, or give '
        'this run other names: _INPUT_CONTAINER_NAME, _OUTPUT_CONTAINER_NAME, _POOL_ID and '
        '_JOB_ID.',
    ),
    'a lost lease': (
        a_lost_lease,
        'Another run has taken over container [output], or somebody has deleted it or broken its '
        'lease. (Did this machine sleep?)',
    ),
    'a wrong clock': (
        clocks(-2, 3),
        "Warning: the clock of this machine is 120 minutes ahead of Azure's, which is used.\n"
        "Warning: the clock of this machine is 180 minutes behind Azure's, which is used.",
    ),
}


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
    error = models.BatchError(code='X', message=models.ErrorMessage(value='Bad.'))
    refused = models.TaskAddResult(task_id='Task0', status='clienterror', error=error)
    return sample.describe(CreateTasksErrorException([], [refused], []))


def wait(stage: Stage) -> object:
    """Wait for a task that never starts, and return why it has ended."""
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
        situation(stage)
        return shown[-1]

    return look


def tasks_at_work(stage: Stage) -> object:
    counts = task_counts(active=1, running=1, completed=1, failed=1)
    stage.azure.batch.job.get_task_counts.return_value = counts
    stage.azure.made.add('pool')
    return sample.wait_for_tasks_to_complete(
        stage.azure.batch.client, sample._JOB_ID, timedelta(minutes=30)
    )


def a_page(_: Stage) -> None:
    page = http_response(403, b'Blocked', 'Forbidden', Content_Type='text/plain')
    sample.RepeatingAdapter().read(page.internal_response)


FULL = models.ResizeError(code='AccountSpotCoreQuotaReached', message='Full.')
NO_QUOTA = sample.describe_code(BATCH, 'AccountSpotCoreQuotaReached', 'Full.')
AT_WORK: Table = {
    'a video that was changed': (
        upload(lambda path: os.utime(path, (1, 1))),
        '/videos/a.mp4 was changed while it was uploaded. Run again.',
    ),
    'a disk that fails': (upload(fail_to_read), '/videos/a.mp4: Input/output error'),
    'a video that is there': (a_video_that_is_there, '1 of 1 file are there from an earlier run.'),
    'progress of the uploads': (
        last_progress(a_video_that_is_there),
        'Uploading: 0 bytes of 0 bytes',
    ),
    'a page of a proxy': (
        a_page,
        '403 Forbidden: the answer did not come from Azure, but from a proxy, perhaps.',
    ),
    'an unconfirmed task': (an_unconfirmed_task, 'Batch has confirmed 0 of 1 task.'),
    'a refused task': (a_refused_task, 'X: Bad.'),
    'progress of the tasks': (
        last_progress(tasks_at_work),
        'Tasks: 1 of 3 done, 1 queued, 1 running, 1 failed; 5 nodes: 5 idle',
    ),
    'time is over': (
        nodes(running=4, preempted=1),
        '00:30:00 have passed, with 5 nodes: 1 preempted, 4 running. Give the tasks more time with '
        '--timeout, or more nodes.',
    ),
    'time is over, Spot nodes taken away': (
        after('. ', nodes(preempted=5)),
        'Azure has no Spot nodes to give now: use --dedicated, or try later.',
    ),
    'time is over, no nodes': (
        after('. ', nodes()),
        'Azure has given no nodes: try later, with another --vm-size, or with --dedicated.',
    ),
    'time is over, nodes unusable for a while': (
        after('. ', nodes(unusable=2)),
        'Choose another --vm-size.',
    ),
    'no nodes': (lambda _: sample.describe_nodes({}), 'no nodes yet'),
    'a node in its start task': (
        lambda _: sample.describe_nodes({'waiting_for_start_task': 1}),
        '1 node: 1 in start task',
    ),
    'nodes unusable for long': (
        nodes(unusable=2, seconds=61),
        'All nodes of pool [LinuxFFmpegPool] are unusable. DiskFull: The disk is full. Choose a '
        'larger --vm-size.',
    ),
    'no quota': (nodes(errors=[FULL]), f'Pool [LinuxFFmpegPool] gets no nodes. {NO_QUOTA}'),
    'quota for some': (
        printed(nodes(errors=[FULL], running=2)),
        f'Warning: pool [LinuxFFmpegPool] gets fewer nodes than asked for. {NO_QUOTA}',
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
        printed(a_service_that_is_away),
        f'Warning: {BATCH_IS_AWAY}no answer\n'
        'The tasks run on; asking again until there is an answer...',
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
        here = [blob_properties(sample.output_name('a.mp4'), 9)] if words == MOOV else []
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
        stage.azure.storage.put_output(sample.output_name('a.mp4'), content)
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


def cost(kind: str, formula: str = '') -> Situation:
    """Return a situation in which a container, job or pool is left."""

    def look(stage: Stage) -> object:
        stage.azure.made.add(INPUT)
        return sample.cost_of(stage.run(), kind, pool(auto_scale_formula=formula))

    return look


def nothing_that_bills(stage: Stage) -> None:
    stage.azure.made.add('job')
    run = stage.run('a.mp4')
    run.arrived.add('a.mp4')
    sample.say_what_is_left(run)


def a_pool_and_perhaps_a_job(stage: Stage) -> None:
    stage.azure.batch.job.get.side_effect = batch_error('InternalError')
    stage.azure.batch.pool.get.side_effect = lambda *_: pool(auto_scale_formula='5')
    nothing_that_bills(stage)


def an_output_that_has_not_arrived(stage: Stage) -> None:
    run = stage.run('a.mp4', 'b.c.mp4')
    run.arrived.add('b.c.mp4')
    sample.say_what_can_be_fetched(run)


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


AFTERWARDS: Table = {
    'damaged': (result_of(damaged('a.mp4'), MOOV), 'ffmpeg reported errors\n    moov'),
    'failed, without sound': (
        result_of(failed('a.mp4', exit_code=69), b'Output file does not contain any stream'),
        'exit code 69: no audio track\n    Output file does not contain any stream',
    ),
    'failed, words gone': (
        after('\n', result_of(failed('a.mp4'), batch_error('NodeNotFound', 'Gone.', 404))),
        '    no stderr: NodeNotFound: Gone.',
    ),
    'not downloaded by the node': (
        result_of(failed('a.mp4', exit_code=None, code='BlobNotFound', message='None.')),
        f'BlobNotFound: None. {sample._GONE}',
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
    'too few bytes': (download_of(b'ID3'), 'not downloaded: 3 of 5 bytes arrived'),
    'disk full': (
        after(': ', download_of(OSError(28, 'No space left on device'))),
        f'/outputs/{sample.output_name("a.mp4")}: No space left on device',
    ),
    'output gone': (
        after(': ', download_of(storage_error('BlobNotFound', 'None.'))),
        f'BlobNotFound: None. {sample._GONE}',
    ),
    'the report': (
        report_of('damaged', 'failed', 'ok'),
        '00.mp4 damaged: Why.\n01.mp4 failed: Why.\n'
        'Error: 1 of 3 files failed. 1 of 3 files damaged.',
    ),
    'the report, one not done': (
        report_of('not done', 'ok'),
        'Error: 1 of 2 files failed. To convert what was not converted, run again with --missing.',
    ),
    'many': (report_of(number=23), '... and 3 more, in /outputs.'),
    'more failed than rows': (
        report_of(*['failed'] * 21),
        '... and 1 more, in /outputs.\n'
        + ''.join(f'{number:02}.mp4 failed: Why.\n' for number in range(21))
        + 'Error: 21 of 21 files failed.',
    ),
    'table': (
        a_table,
        'File (1 of 1)   Time        In     Out  Result\n'
        'a.mp4          2.2 s  14 bytes  1.5 kB  ok',
    ),
    'nothing left that bills': (
        nothing_that_bills,
        'Nothing that bills is left, except the files in Storage. Nodes stop billing when they are '
        'gone, in a few minutes.',
    ),
    'a pool, and perhaps a job': (
        a_pool_and_perhaps_a_job,
        'The job may be left: there was no answer. To delete it:\n<delete job>\n'
        'The pool is left. Its nodes bill until it is deleted. To delete it:\n<delete pool>',
    ),
    'cost of a job': (cost('job'), 'It costs nothing.'),
    'cost of a container': (cost('container'), 'It bills for 3 files (27 bytes).'),
    'cost of a pool': (
        cost('pool', 'time() < time("2026-11-22T16:50:21Z") ? 1 : 0'),
        f'Its nodes bill until '
        f'{datetime(2026, 11, 22, 16, 50, tzinfo=UTC).astimezone():%Y-%m-%d %H:%M}, or until it is '
        'deleted.',
    ),
    'cost of an old pool': (
        cost('pool', 'time() < time("2026-11-22T15:00:00Z") ? 1 : 0'),
        'Its nodes are gone, or going.',
    ),
    'outputs to fetch': (
        an_output_that_has_not_arrived,
        '1 output of this run, not yet in /outputs, can be fetched from container [output]:\n'
        '<outputs /outputs>',
    ),
    'a deletion that fails': (
        a_deletion_that_fails,
        'Warning: the pool could not be deleted. InternalError: Oops.',
    ),
    'a lost lease at the end': (
        a_lease_lost_before_the_cleanup,
        'Nothing is deleted, since another run may use it. Its nodes and files bill.\n'
        'When that run has ended:\n<delete job>\n<delete pool>\n<delete container>',
    ),
    'videos that may be needed': (
        videos_that_may_be_needed,
        'Delete container? The next run would not have to upload its 3 files (27 bytes) again. '
        '[y/N] no (there is nobody to ask)',
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


def interrupted(stage: Stage) -> object:
    stage.typed(KeyboardInterrupt())
    sample.stop.signalled = True
    sample.query_yes_no('Delete job?')
    return None


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


HERE: Table = {
    'a question that is not understood': (
        question('what?', 'n'),
        "Please answer 'yes' or 'no' ('y' or 'n').\nDelete job? [Y/n]  Delete job? [Y/n]",
    ),
    'a question whose input ends': (question(EOFError()), 'yes\nDelete job? [Y/n]'),
    'a question that is answered already': (
        printed(lambda _: sample.query_yes_no('Delete job?', answer='no')),
        'Delete job? [Y/n] no',
    ),
    'a question that is interrupted': (interrupted, 'Delete job? [Y/n] yes (interrupted)'),
    'signals of the system': (
        signals(signal.SIGHUP, signal.SIGTERM),
        'Interrupted: cleaning up. Ctrl-C once more leaves at once.',
    ),
    'Ctrl-C twice': (
        signals(signal.SIGINT, signal.SIGINT),
        'Left at once. What may be left, and how to delete it:\n'
        '<delete job>\n<delete pool>\n<delete container>',
    ),
    'too few threads': (
        too_few_threads,
        'Error: this machine, or its container, allows no more threads (ulimit -u).',
    ),
}

TABLES = (SERVICES, BEFORE_CONTACT, EXISTING, AT_WORK, AFTERWARDS, HERE)
ROWS = [
    pytest.param(situation, text, id=name)
    for table in TABLES
    for name, (situation, text) in table.items()
]


@pytest.mark.parametrize(('situation', 'text'), ROWS)
def test_a_user_reads(
    situation: Situation, text: str, stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = text.splitlines()

    assert read(situation, stage, capfd)[-len(lines) :] == lines


# --- The transcript, the help, the bill, the commands ---------------------------------------------


def test_the_transcript_is_that_of_the_tutorial(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    assert stage.run_main('-y') == 0

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
        'Deleting pool [LinuxFFmpegPool]...',
        'Downloading 3 files from container [output] to /outputs...',
        'Deleting container [input]...',
        f'Sample end: {now}',
        'Elapsed time: 0:00:00',
        'Delete job? [Y/n] yes',
    ]


def test_success_is_not_said_if_an_output_is_missing(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    stage.azure.storage.container(OUTPUT).list_blobs.return_value = []

    assert stage.run_main('-y') == 1

    assert 'Success' not in capfd.readouterr().out


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


def bill(*argv: str, minutes: int) -> str:
    options = sample.parse_arguments(argv)
    options.timeout = timedelta(minutes=minutes)
    return sample.describe_bill(options)


def test_the_bound_of_the_bill_is_said_in_words() -> None:
    bills = [
        bill(minutes=30),
        bill('--dedicated=1', '--low-priority=1', minutes=25),
        bill('--dedicated=2', '--low-priority=0', '--vm-size=X', minutes=1446),
    ]

    assert bills == [
        '5 Spot nodes (STANDARD_A1_v2), for at most 1 hour 5 minutes each.',
        '1 dedicated node and 1 Spot node (STANDARD_A1_v2), for at most 1 hour each.',
        '2 dedicated nodes (X), for at most 24 hours 41 minutes each.',
    ]


def test_the_commands_name_what_is_left_and_both_accounts() -> None:
    batch = '--account-name mybatch --account-endpoint https://mybatch.westeurope.batch.azure.com'

    commands = sample.az_commands('job', 'pool', 'container', 'outputs', output='out')

    assert commands.splitlines() == [
        f'  az batch job delete --job-id LinuxFFmpegJob --yes {batch}',
        f'  az batch pool delete --pool-id LinuxFFmpegPool --yes {batch}',
        '  az storage container delete -n input --account-name mystorage',
        '  az storage blob download-batch --source output --destination "out" '
        '--account-name mystorage',
    ]


@pytest.mark.parametrize(
    ('setting', 'value', 'options'),
    [
        ('_STORAGE_ACCOUNT_KEY', '', ' --auth-mode login'),
        ('_STORAGE_ACCOUNT_URL', 'https://here:1/a', ' --blob-endpoint https://here:1/a'),
    ],
    ids=['signed in', 'another endpoint'],
)
def test_the_commands_reach_storage_as_the_run_does(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, options: str
) -> None:
    kinds = ('container', 'outputs')
    usual = [sample.az_commands(kind, output='out') for kind in kinds]
    monkeypatch.setattr(sample, setting, value)

    assert [sample.az_commands(kind, output='out') for kind in kinds] == [
        command + options for command in usual
    ]


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
