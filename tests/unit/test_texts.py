"""All texts that a user reads: the only place in which they are asserted word by word."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.batch import models
from azure.batch.custom.custom_errors import CreateTasksErrorException
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from msrest.exceptions import ClientRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import SETTINGS
from .service_objects import _DESERIALIZE, batch_error, http_response, storage_error

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
    'file': (PermissionError(13, 'Permission denied', '/a.mp4'), '/a.mp4: Permission denied'),
}  # fmt: skip


@pytest.mark.parametrize(('error', 'text'), ERRORS.values(), ids=ERRORS)
def test_an_error_says_what_happened_and_the_way_out(error: Exception, text: str) -> None:
    assert sample.describe(error) == text


@pytest.mark.parametrize(
    ('code', 'remedy'),
    [
        (
            'AccountCoreQuotaReached',
            f'No quota for dedicated cores is left. {QUOTA} run with fewer --dedicated.',
        ),
        ('AccountLowPriorityCoreQuotaReached', NO_SPOT),
        ('accountspotcorequotareached', NO_SPOT),
        (
            'AccountVMSeriesCoreQuotaReached',
            f'No quota for this VM series is left. {QUOTA} choose another --vm-size.',
        ),
        ('AllocationFailed', NO_NODES),
        ('AllocationTimedout', NO_NODES),
        ('BlobNotFound', INPUT_GONE),
        ('ResourceContainerNotFound', INPUT_GONE),
        ('FileUploadContainerNotFound', 'Was container [output] deleted meanwhile?'),
    ],
)
def test_a_code_of_pool_or_task_has_its_remedy(code: str, remedy: str) -> None:
    assert sample.describe_code(sample.BATCH, code, 'No.') == f'{code}: No. {remedy}'


def test_without_a_key_the_sign_in_is_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample.BATCH, 'signing', sample._SIGN_IN)
    error = batch_error('InvalidAuthenticationInfo', 'Issuer validation failed.', 401)

    assert sample.describe(error) == (
        f'InvalidAuthenticationInfo: Issuer validation failed. Batch account mybatch: {SIGN_IN}'
    )


@pytest.mark.parametrize(
    'message',
    [
        'See https://a.blob.core.windows.net/input/a.mp4?sv=1&sig=secret%3D',
        'Bearer eyJhbGciOi.eyJzdWIiOiI.c2VjcmV0LXNlY3JldA is wrong',
        'Server used following string to sign:\nsecret',
    ],
)
def test_neither_sas_nor_token_are_shown(message: str) -> None:
    shown = sample.describe(batch_error('AuthenticationFailed', message))

    assert 'secret' not in shown
    assert 'eyJ' not in shown
    assert 'c2VjcmV0' not in shown


def test_a_message_moves_no_cursor() -> None:
    assert sample.describe(batch_error('X', 'a\x1b[2Jb')) == 'X: a [2Jb'


# --- Refusals before anything is contacted --------------------------------------------------------


def settings_refused(**changed: object) -> Callable[[], Any]:
    """Return what checks the settings with these changed."""

    def check() -> Any:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in changed.items():
                patch.setattr(sample, name, value)
            sample.check_settings(sample.parse_arguments([]))

    return check


def existing_pool(**changes: Any) -> Callable[[], Any]:
    from .service_objects import pool

    return lambda: sample.check_existing_pool(pool(**changes), sample._POOL_VM_SIZE)


DELETE_POOL = (
    'Choose another _POOL_ID, or delete it:\n  az batch pool delete --pool-id LinuxFFmpegPool '
    '--yes --account-name mybatch --account-endpoint https://mybatch.westeurope.batch.azure.com'
)
REFUSALS: dict[str, tuple[Callable[[], Any], str]] = {
    'placeholder': (
        settings_refused(_BATCH_ACCOUNT_NAME='<Batch account>'),
        '_BATCH_ACCOUNT_NAME is still a placeholder. Without an Azure account:\n'
        '  python -m tests.local_azure',
    ),
    'account': (
        settings_refused(_STORAGE_ACCOUNT_NAME='A'),
        "_STORAGE_ACCOUNT_NAME: 'A' is not 3 to 24 lower-case letters and digits",
    ),
    'key': (
        settings_refused(_STORAGE_ACCOUNT_KEY='a'),
        '_STORAGE_ACCOUNT_KEY: its value is not base64',
    ),
    'url': (
        settings_refused(_BATCH_ACCOUNT_URL='mybatch'),
        "_BATCH_ACCOUNT_URL: 'mybatch' is not https:// and the name of a host",
    ),
    'container': (
        settings_refused(_INPUT_CONTAINER_NAME='A'),
        "_INPUT_CONTAINER_NAME: 'A' is not lower-case letters, digits, single hyphens",
    ),
    'one container for both': (
        settings_refused(_OUTPUT_CONTAINER_NAME='input'),
        "_OUTPUT_CONTAINER_NAME: 'input' is not lower-case letters, digits, single hyphens, other "
        'than input',
    ),
    'id': (
        settings_refused(_JOB_ID='a b'),
        "_JOB_ID: 'a b' is not letters, digits, hyphens and underscores",
    ),
    'duration': (
        settings_refused(_JOB_TIMEOUT=timedelta(days=9)),
        '_JOB_TIMEOUT: datetime.timedelta(days=9) is not a duration of less than 6 days',
    ),
    'two names, one file': (
        lambda: sample.check_names(['a.mp4', 'A.MP4']),
        'a.mp4 and A.MP4 can both become A.mp3: rename one.',
    ),
    'a file where a folder is needed': (
        lambda: sample.check_names(['a.mp4', 'a.mp3/b.mp4']),
        'a.mp4 becomes a file where a.mp3/b.mp4 needs a folder: rename one.',
    ),
    'a control character': (
        lambda: sample.check_names(['a\n.mp4']),
        r"Rename 'a\n.mp4': it holds characters that cannot be shown.",
    ),
    'a backslash': (
        lambda: sample.check_names(['a\\b.mp4']),
        r'Rename a\b.mp4: Azure Storage turns a backslash into a slash.',
    ),
    'a dot': (
        lambda: sample.check_names(['Vol. 1./b.mp4']),
        'Rename Vol. 1./b.mp4: Azure Storage drops the dot at the end of a folder name.',
    ),
    'no folder': (
        lambda: sample.find_videos(Path('/nowhere')),
        '--input: /nowhere cannot be read: No such file or directory.',
    ),
    'no output folder': (
        lambda: sample.check_outputs({}, Path('/dev/null/x')),
        '--output: /dev/null/x is not a folder that you may write to.',
    ),
    'a pool of somebody else': (
        existing_pool(metadata=None),
        f"Pool [LinuxFFmpegPool] exists and is not this sample's. {DELETE_POOL}",
    ),
    'a pool of another size': (
        existing_pool(vm_size='standard_d2s_v3'),
        'Pool [LinuxFFmpegPool] exists with other settings: vm_size standard_d2s_v3 instead of '
        f'STANDARD_A1_v2. {DELETE_POOL}',
    ),
}


@pytest.mark.parametrize(('refused', 'text'), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_names_what_is_wrong(refused: Callable[[], Any], text: str) -> None:
    with pytest.raises(sample.SampleError) as refusal:
        refused()

    assert str(refusal.value) == text


# --- What a run says ------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ('nodes', 'text'),
    [
        ({}, 'no nodes yet'),
        ({'idle': 1}, '1 node: 1 idle'),
        (
            {'waiting_for_start_task': 2, 'leaving_pool': 1, 'running': 3},
            '6 nodes: 2 in start task, 1 leaving pool, 3 running',
        ),
    ],
)
def test_nodes_are_described_in_words(nodes: dict[str, int], text: str) -> None:
    assert sample.describe_nodes(nodes) == text


@pytest.mark.parametrize(
    ('statuses', 'text'),
    [
        (['failed', 'ok'], '1 of 2 files failed.'),
        (['damaged', 'ok'], '1 of 2 files damaged.'),
        (['failed'], '1 of 1 file failed.'),
        (['failed', 'damaged', 'ok'], '1 of 3 files failed. 1 of 3 files damaged.'),
        (
            ['not done', 'ok'],
            '1 of 2 files failed. To convert what was not converted, run again with --missing.',
        ),
    ],
    ids=' '.join,
)
def test_the_last_error_counts_what_was_not_converted(
    new_run: Callable[..., sample.Run], statuses: list[str], text: str
) -> None:
    run = new_run(names=[f'{number}.mp4' for number in range(len(statuses))])
    for name, status in zip(run.videos, statuses, strict=True):
        has_verdict = status != 'not done'
        status = status if has_verdict else 'failed'
        run.results[name] = sample.VideoResult(name, status=status, has_verdict=has_verdict)

    with pytest.raises(sample.SampleError) as wrong:
        sample.print_report(run)

    assert str(wrong.value) == text


def test_errors_of_tasks_are_those_of_the_first() -> None:
    refused = models.TaskAddResult(
        task_id='Task0',
        status='clienterror',
        error=models.BatchError(
            code='InvalidPropertyValue',
            message=models.ErrorMessage(value='Bad.'),
            values=[models.BatchErrorDetail(key='PropertyName', value='commandLine')],
        ),
    )
    error = CreateTasksErrorException([], [refused], [])

    assert sample.describe(error).startswith('InvalidPropertyValue: Bad. commandLine')
