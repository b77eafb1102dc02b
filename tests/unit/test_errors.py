"""Messages: one for each expected error, with the way out and without keys, SAS and tokens."""

from __future__ import annotations

import pytest
import requests
from azure.batch import models
from azure.batch.custom.custom_errors import CreateTasksErrorException
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DeserializationError,
    HttpResponseError,
    ServiceRequestError,
)
from azure.identity import CredentialUnavailableError
from msrest import Deserializer
from msrest.exceptions import ClientRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import BATCH_KEY, SETTINGS, STORAGE_KEY
from .service_objects import batch_error, http_response, proxy_error, storage_error

SAS_URL = 'https://mystorage.blob.core.windows.net/output?se=2026-11-22&sp=cw&sig=c2VjcmV0%3D'
BATCH_URL = SETTINGS['_BATCH_ACCOUNT_URL']
STORAGE_URL = SETTINGS['_STORAGE_ACCOUNT_URL']
CLOCK_OF_THE_SERVICE = 'Sun, 22 Nov 2026 15:00:00 GMT'
BOTH_CLOCKS = (
    f' (Clocks: service {CLOCK_OF_THE_SERVICE}, this machine Sun, 22 Nov 2026 15:20:21 GMT.)'
)


# --- error_code -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('error', 'code'),
    [
        pytest.param(batch_error('PoolExists'), 'PoolExists', id='batch'),
        pytest.param(storage_error('ContainerNotFound'), 'ContainerNotFound', id='storage'),
        pytest.param(
            storage_error('AuthorizationFailure'), 'AuthorizationFailure', id='storage-enum'
        ),
        pytest.param(CredentialUnavailableError('No token.'), '', id='not-signed-in'),
        pytest.param(proxy_error(), '', id='proxy'),
        pytest.param(ServiceRequestError('no route'), '', id='no-answer'),
        pytest.param(OSError(28, 'No space left on device'), '', id='system'),
    ],
)
def test_error_code_is_that_of_the_service(error: Exception, code: str) -> None:
    assert sample.error_code(error) == code


# --- describe: what happened ----------------------------------------------------------------------


def test_describe_gives_code_and_message_of_batch() -> None:
    error = batch_error('JobDisabled', 'The job is disabled.')

    assert sample.describe(error) == 'JobDisabled: The job is disabled.'


def test_describe_gives_code_and_message_of_storage() -> None:
    error = storage_error('BlobNotFound', 'The blob does not exist.')

    assert sample.describe(error) == 'BlobNotFound: The blob does not exist.'


def test_describe_leaves_out_the_request_id_of_the_service() -> None:
    messages = [sample.describe(batch_error('X')), sample.describe(storage_error('BlobNotFound'))]

    assert all('\n' not in message for message in messages)
    assert all('c0ffee' not in message for message in messages)


def test_describe_of_batch_names_the_property_that_is_wrong() -> None:
    details = {
        'PropertyName': 'vmSize',
        'PropertyValue': 'STANDARD_A0',
        'Reason': 'This size is not supported.',
        'Hint': '2 to 5 are allowed',
    }
    error = batch_error('InvalidPropertyValue', 'A value is invalid.', details=details)

    assert sample.describe(error) == (
        'InvalidPropertyValue: A value is invalid. '
        'vmSize This size is not supported. 2 to 5 are allowed '
        '(Check _POOL_VM_SIZE, --vm-size, and _POOL_IMAGE.)'
    )


@pytest.mark.parametrize('page', [b'<html>Bad gateway</html>', b'', b'{}'])
def test_describe_of_an_answer_that_is_not_of_batch_names_the_url_and_the_proxy(
    page: bytes,
) -> None:
    kind = 'text/html' if page.startswith(b'<') else 'application/json'
    error = batch_error_of(http_response(502, page, reason='Bad Gateway', Content_Type=kind))

    assert sample.describe(error) == (
        '502 Bad Gateway: the answer did not come from Azure. '
        'Check _BATCH_ACCOUNT_URL and the proxy.'
    )


def batch_error_of(response: object) -> models.BatchErrorException:
    """Return what azure-batch raises for a response."""
    deserialize = Deserializer({'BatchError': models.BatchError})  # type: ignore[no-untyped-call]
    return models.BatchErrorException(deserialize, response)


def test_describe_of_an_answer_that_is_not_of_storage_names_the_url_and_the_proxy() -> None:
    error = HttpResponseError('No.', response=http_response(403, b'<html>', reason='Forbidden'))

    assert sample.describe(error) == (
        '403 Forbidden: the answer did not come from Azure. '
        'Check _STORAGE_ACCOUNT_URL and the proxy.'
    )


def test_describe_of_a_reason_of_a_proxy_cannot_move_the_cursor() -> None:
    page = http_response(403, b'<html>', reason='No\x1b[2J\r\n way')

    messages = [
        sample.describe(HttpResponseError('No.', response=page)),
        sample.describe(batch_error_of(page)),
    ]

    for message in messages:
        assert message.startswith('403 No [2J   way: the answer did not come from Azure. ')


def test_describe_of_an_answer_that_cannot_be_read_names_the_url_and_the_proxy() -> None:
    error = DeserializationError('Cannot deserialize content-type: text/plain')

    assert sample.describe(error) == (
        'The answer did not come from Batch. Check _BATCH_ACCOUNT_URL and the proxy.'
    )


def test_describe_of_batch_that_does_not_answer_names_the_setting_and_the_cause() -> None:
    inner = requests.ConnectionError(
        "HTTPSConnectionPool(host='x', port=443): Max retries exceeded with url: /jobs "
        '(Caused by NameResolutionError("Failed to resolve \'x\'"))'
    )
    error = ClientRequestError('Error occurred in request.', inner)

    message = sample.describe(error)

    assert message.startswith(
        f'Batch at {BATCH_URL} does not answer. '
        'Check _BATCH_ACCOUNT_URL (AZURE_BATCH_ENDPOINT) and the network. '
    )
    assert "Failed to resolve 'x'" in message
    assert 'Max retries' not in message


def test_describe_of_storage_that_does_not_answer_names_the_settings_and_the_cause() -> None:
    error = ServiceRequestError("Failed to resolve 'mystorage.blob.core.windows.net'\nand more")

    assert sample.describe(error) == (
        f'Storage at {STORAGE_URL} does not answer. Check _STORAGE_ACCOUNT_NAME '
        '(AZURE_STORAGE_ACCOUNT), _STORAGE_ACCOUNT_URL and the network. '
        "Failed to resolve 'mystorage.blob.core.windows.net'"
    )


def test_describe_of_a_missing_sign_in_says_how_to_sign_in() -> None:
    error = CredentialUnavailableError(
        'No credential could be had.\nAttempted:\n\tEnvironmentCredential: no.'
    )

    assert sample.describe(error) == (
        'Not signed in. Run "az login", or set a key. (No credential could be had.)'
    )


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        pytest.param(OSError(28, 'Disk full', 'x.mp3'), 'x.mp3: Disk full', id='file'),
        pytest.param(OSError('Disk full'), 'Disk full', id='stream'),
        pytest.param(sample.UsageError('Wrong.'), 'Wrong.', id='usage'),
        pytest.param(sample.TemporaryError('Try later.'), 'Try later.', id='temporary'),
    ],
)
def test_describe_of_a_file_or_an_error_of_the_sample_is_its_text(
    error: Exception, message: str
) -> None:
    assert sample.describe(error) == message


@pytest.mark.parametrize(
    'text', ['what?.mp4 and what?.MP4 are one', 'stderr:\n  Caused by a network: http://x/?a=1']
)
def test_describe_leaves_the_texts_of_this_sample_whole(text: str) -> None:
    assert sample.describe(sample.SampleError(text)) == text


# --- describe: tasks that could not be added ------------------------------------------------------


def test_describe_of_tasks_that_batch_refused_gives_the_reason_of_the_first() -> None:
    refused = models.TaskAddResult(
        status='clienterror',
        task_id='Task0',
        error=models.BatchError(
            code='TaskIdTooLong', message=models.ErrorMessage(value='The id is too long.\nTime:1')
        ),
    )
    error = CreateTasksErrorException([], [refused, refused], [])

    assert sample.describe(error) == 'TaskIdTooLong: The id is too long.'


def test_describe_of_tasks_that_could_not_be_sent_gives_the_error_behind_it() -> None:
    error = CreateTasksErrorException([], [], [batch_error('JobNotFound', 'No job.', 404)])

    assert sample.describe(error) == (
        'JobNotFound: No job. Job [LinuxFFmpegJob] is gone: somebody has deleted it.'
    )


# --- describe: the way out ------------------------------------------------------------------------

BATCH_WAYS_OUT = {
    'AuthenticationFailed': 'Wrong key (_BATCH_ACCOUNT_KEY, AZURE_BATCH_ACCESS_KEY) or clock',
    'InvalidAuthenticationInfo': 'Wrong key (_BATCH_ACCOUNT_KEY, AZURE_BATCH_ACCESS_KEY) or clock',
    'AuthorizationFailure': 'A network rule of the account may refuse this machine.',
    'PermissionDenied': 'az role assignment create --role "Azure Batch Data Contributor"',
    'AccountCoreQuotaReached': 'lower _DEDICATED_POOL_NODE_COUNT',
    'AccountLowPriorityCoreQuotaReached': 'lower _LOW_PRIORITY_POOL_NODE_COUNT',
    'AccountSpotCoreQuotaReached': 'lower _LOW_PRIORITY_POOL_NODE_COUNT',
    'AccountVMSeriesCoreQuotaReached': 'choose another _POOL_VM_SIZE',
    'PoolQuotaReached': 'The account cannot hold another pool.',
    'InvalidPropertyValue': '(Check _POOL_VM_SIZE, --vm-size, and _POOL_IMAGE.)',
    'ActiveJobAndScheduleQuotaReached': 'The account cannot hold another job.',
    'AllocationFailed': '_POOL_VM_SIZE does not fit the image',
    'AllocationTimedOut': '_POOL_VM_SIZE does not fit the image',
    'UnsupportedRequestVersion': 'Change _BATCH_API_VERSION',
    'JobNotFound': 'Job [LinuxFFmpegJob] is gone',
    'PoolNotFound': 'Pool [LinuxFFmpegPool] is gone',
    'BlobNotFound': 'Was container [input], or a file in it, deleted meanwhile?',
    'ResourceContainerNotFound': 'Was container [input] deleted meanwhile?',
    'FileUploadContainerNotFound': 'Was container [output] deleted meanwhile?',
}
STORAGE_WAYS_OUT = {
    'AuthenticationFailed': 'Wrong key (_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_KEY) or clock',
    'InvalidAuthenticationInfo': 'Wrong key (_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_KEY) or clock',
    'AuthorizationFailure': 'Or its firewall refuses this machine.',
    'AuthorizationPermissionMismatch': (
        'az role assignment create --role "Storage Blob Data Contributor"'
    ),
    'KeyBasedAuthenticationNotPermitted': 'Leave _STORAGE_ACCOUNT_KEY empty',
    'ContainerNotFound': 'Was container [input] or [output] deleted meanwhile?',
}


@pytest.mark.parametrize('code', BATCH_WAYS_OUT)
def test_describe_adds_the_way_out_to_a_code_of_batch(code: str) -> None:
    message = sample.describe(batch_error(code, 'Refused.', 403))

    assert message.startswith(f'{code}: Refused. ')
    assert BATCH_WAYS_OUT[code] in message


@pytest.mark.parametrize('code', STORAGE_WAYS_OUT)
def test_describe_adds_the_way_out_to_a_code_of_storage(code: str) -> None:
    message = sample.describe(storage_error(code, 'Refused.'))

    assert message.startswith(f'{code}: Refused. ')
    assert STORAGE_WAYS_OUT[code] in message


def test_every_way_out_is_for_a_code_that_is_tested() -> None:
    assert set(sample._BATCH_REMEDIES) == {code.lower() for code in BATCH_WAYS_OUT}
    assert set(sample._STORAGE_REMEDIES) == {code.lower() for code in STORAGE_WAYS_OUT}


def test_describe_adds_the_way_out_in_whatever_case_the_service_writes_the_code() -> None:
    message = sample.describe(batch_error('poolquotareached'))

    assert 'The account cannot hold another pool.' in message


@pytest.mark.parametrize(
    ('error', 'account'),
    [
        pytest.param(batch_error('AuthenticationFailed', status=403), 'Batch account ', id='batch'),
        pytest.param(storage_error('AuthenticationFailed'), 'Storage account ', id='storage'),
    ],
)
def test_describe_names_the_account_that_refused_a_key(error: Exception, account: str) -> None:
    assert f' {account}' in sample.describe(error)


@pytest.mark.parametrize(
    ('error', 'account'),
    [
        (batch_error('PermissionDenied'), sample._BATCH_ACCOUNT_NAME),
        (storage_error('AuthorizationPermissionMismatch'), sample._STORAGE_ACCOUNT_NAME),
    ],
)
def test_describe_gives_the_command_for_a_missing_role_on_a_line_of_its_own(
    error: Exception, account: str
) -> None:
    lines = sample.describe(error).splitlines()

    assert lines[-1].startswith('  az role assignment create --role ')
    assert f'$(az resource list --query [0].id -o tsv --name {account})' in lines[-1]


def test_describe_compares_the_clocks_when_batch_refuses_a_signature() -> None:
    error = batch_error('AuthenticationFailed', status=403, Date=CLOCK_OF_THE_SERVICE)

    assert sample.describe(error).endswith(BOTH_CLOCKS)


def test_describe_compares_the_clocks_when_storage_refuses_a_signature() -> None:
    refused = http_response(403, Date=CLOCK_OF_THE_SERVICE)
    error = ClientAuthenticationError('Refused.', response=refused)
    error.error_code = 'AuthenticationFailed'  # type: ignore[attr-defined] # as Storage's client does

    assert sample.describe(error).endswith(BOTH_CLOCKS)


def test_describe_does_not_compare_the_clocks_for_another_reason() -> None:
    assert 'Clocks' not in sample.describe(batch_error('PermissionDenied', Date='today'))


# --- No key, no SAS, no token ---------------------------------------------------------------------


@pytest.mark.parametrize(
    'error',
    [
        pytest.param(
            batch_error('InvalidPropertyValue', f'Cannot read {SAS_URL} now.'), id='batch'
        ),
        pytest.param(storage_error('AuthenticationFailed', f'Refused: {SAS_URL}'), id='storage'),
        pytest.param(
            batch_error('AuthenticationFailed', f'No.\nThe string to sign was {BATCH_KEY}', 403),
            id='batch-signature',
        ),
        pytest.param(
            storage_error('AuthenticationFailed', f'No.\nAuthenticationErrorDetail:{STORAGE_KEY}'),
            id='storage-signature',
        ),
        pytest.param(
            ClientRequestError(f'Max retries exceeded with url: {SAS_URL} (timeout)'),
            id='batch-no-answer',
        ),
        pytest.param(AzureError(f'Failed to connect: {SAS_URL}'), id='storage-no-answer'),
        pytest.param(OSError(5, 'Input/output error', SAS_URL), id='system'),
        pytest.param(sample.SampleError(f'Not read: {SAS_URL}'), id='own'),
    ],
)
def test_messages_hold_neither_key_nor_sas(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    description = sample.describe(error)
    sample.print_batch_exception(error)

    printed = capsys.readouterr()
    for secret in ('sig=', 'c2VjcmV0', BATCH_KEY, STORAGE_KEY):
        assert secret not in description + printed.out + printed.err


def test_message_of_a_failed_task_holds_no_sas() -> None:
    message = sample.describe_code('BlobDownloadMiscError', f'Cannot read {SAS_URL}', {})

    assert message == (
        'BlobDownloadMiscError: Cannot read https://mystorage.blob.core.windows.net/output'
    )


def test_details_of_batch_hold_no_sas() -> None:
    details = {'Reason': f'{SAS_URL} is too long.'}
    error = batch_error('InvalidPropertyValue', 'No.', details=details)

    assert 'sig=' not in sample.describe(error)


def test_a_text_keeps_what_stands_beside_a_signature() -> None:
    text = f'Before {SAS_URL} and after? Yes.'

    assert sample.without_signatures(text) == (
        'Before https://mystorage.blob.core.windows.net/output and after? Yes.'
    )


# --- Printing -------------------------------------------------------------------------------------


def test_print_batch_exception_writes_one_line_to_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sample.print_batch_exception(batch_error('PoolQuotaReached', 'The pool quota is reached.'))

    printed = capsys.readouterr()
    assert printed.out == ''
    assert printed.err.count('\n') == 1
    assert printed.err.startswith(
        'Error: PoolQuotaReached: The pool quota is reached. The account cannot hold'
    )


@pytest.mark.parametrize(
    'kind',
    [
        models.BatchErrorException,
        ClientRequestError,
        CreateTasksErrorException,
        DeserializationError,
        AzureError,
        OSError,
        sample.SampleError,
        sample.UsageError,
    ],
)
def test_expected_errors_include_all_that_the_clients_raise(kind: type[Exception]) -> None:
    assert issubclass(kind, sample._EXPECTED_ERRORS)


def test_warn_once_prints_each_text_once(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ('slow', 'slow', 'slower', 'slow'):
        sample.warn_once(text)

    printed = capsys.readouterr()
    assert printed.err == 'slow\nslower\n'
    assert printed.out == ''
