"""Messages: one for each expected error, with the way out and without keys and SAS."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from azure.batch import models
from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError
from azure.identity import CredentialUnavailableError
from msrest.exceptions import ClientRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import BATCH_KEY, STORAGE_KEY
from .service_objects import batch_error, http_response, proxy_error, storage_error

SAS_URL = 'https://mystorage.blob.core.windows.net/output?se=2026-11-22&sp=cw&sig=c2VjcmV0%3D'
KNOWN_CODES = [
    'AuthenticationFailed',
    'InvalidAuthenticationInfo',
    'AuthorizationFailure',
    'AuthorizationPermissionMismatch',
    'PermissionDenied',
    'ClientAuthenticationError',
    'CredentialUnavailableError',
    'KeyBasedAuthenticationNotPermitted',
    'AccountCoreQuotaReached',
    'AccountLowPriorityCoreQuotaReached',
    'AccountSpotCoreQuotaReached',
    'AccountVMSeriesCoreQuotaReached',
    'PoolQuotaReached',
    'ActiveJobAndScheduleQuotaReached',
    'AllocationFailed',
    'AllocationTimedOut',
    'UnsupportedRequestVersion',
]


# --- error_code -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('error', 'code'),
    [
        pytest.param(batch_error('PoolExists'), 'PoolExists', id='batch'),
        pytest.param(storage_error('ContainerNotFound'), 'ContainerNotFound', id='storage'),
        pytest.param(
            storage_error('AuthorizationFailure'), 'AuthorizationFailure', id='storage-enum'
        ),
        pytest.param(
            CredentialUnavailableError('No token.'),
            'CredentialUnavailableError',
            id='not-signed-in',
        ),
        pytest.param(proxy_error(), '', id='proxy'),
        pytest.param(ServiceRequestError('no route'), '', id='no-answer'),
        pytest.param(OSError(28, 'No space left on device'), '', id='system'),
    ],
)
def test_error_code_is_that_of_the_service(error: Exception, code: str) -> None:
    assert sample.error_code(error) == code


# --- describe ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('error', 'message'),
    [
        pytest.param(batch_error('JobExists', 'It exists.'), 'JobExists: It exists.', id='batch'),
        pytest.param(
            storage_error('BlobNotFound', 'No blob.'), 'BlobNotFound: No blob.', id='storage'
        ),
        pytest.param(
            proxy_error(),
            '502 Bad Gateway: this is no answer of Azure. Check the URLs and the proxy.',
            id='proxy',
        ),
        pytest.param(ClientRequestError('No connection.'), 'No connection.', id='batch-no-answer'),
        pytest.param(
            ServiceRequestError('No connection.'), 'No connection.', id='storage-no-answer'
        ),
        pytest.param(OSError(28, 'Disk full', 'x.mp3'), 'x.mp3: Disk full', id='file'),
        pytest.param(OSError(28, 'Disk full'), 'Output: Disk full', id='stream'),
        pytest.param(argparse.ArgumentError(None, 'Wrong.'), 'Wrong.', id='own'),
    ],
)
def test_describe_tells_what_happened_in_one_line(error: Exception, message: str) -> None:
    assert sample.describe(error) == message


@pytest.mark.parametrize(
    'text', ['what?.mp4 and what?.MP4 are one', 'stderr:\n  Caused by a network: http://x/?a=1']
)
def test_describe_leaves_the_texts_of_this_sample_whole(text: str) -> None:
    assert sample.describe(sample.SampleError(text)) == text


@pytest.mark.parametrize('pattern', sample._REMEDIES)
def test_describe_adds_the_remedy_for_a_known_code(pattern: str) -> None:
    code = next(code for code in KNOWN_CODES if re.fullmatch(pattern, code))

    message = sample.describe(batch_error(code, 'Refused.', 403))

    assert message.startswith(f'{code}: Refused. {sample._REMEDIES[pattern]}')


@pytest.mark.parametrize('code', KNOWN_CODES)
def test_describe_adds_one_remedy_in_whatever_case_the_service_writes_the_code(code: str) -> None:
    messages = {
        sample.describe(batch_error(spelled, 'Refused.')) for spelled in (code, code.lower())
    }

    assert (
        len({message.partition('Refused. ')[2].partition(' (Clocks')[0] for message in messages})
        == 1
    )
    assert not any(message.endswith('Refused.') for message in messages)


def test_describe_says_how_to_sign_in_after_the_first_line_of_what_azure_identity_says() -> None:
    error = CredentialUnavailableError(
        'No credential could be had.\nAttempted:\n\tEnvironmentCredential: no.'
    )

    message = sample.describe(error)

    assert message.startswith(
        'CredentialUnavailableError: No credential could be had. Not signed in. Run "az login"'
    )
    assert 'Attempted' not in message


@pytest.mark.parametrize(
    ('code', 'role', 'account'),
    [
        ('PermissionDenied', 'Azure Batch Data Contributor', sample._BATCH_ACCOUNT_NAME),
        (
            'AuthorizationPermissionMismatch',
            'Storage Blob Data Contributor',
            sample._STORAGE_ACCOUNT_NAME,
        ),
    ],
)
def test_describe_gives_the_command_for_a_missing_role(code: str, role: str, account: str) -> None:
    message = sample.describe(batch_error(code, 'Refused.', 403))

    assert f'az role assignment create --role "{role}"' in message
    assert f'$(az resource list --query [0].id -o tsv --name {account})' in message


def test_describe_compares_the_clocks_when_sign_in_fails_at_batch() -> None:
    message = sample.describe(
        batch_error('AuthenticationFailed', status=403, Date='Sun, 22 Nov 2026 15:00:00 GMT')
    )

    assert (
        'service Sun, 22 Nov 2026 15:00:00 GMT, this machine Sun Nov 22 15:20:21 2026 GMT'
        in message
    )


def test_describe_compares_the_clocks_when_sign_in_fails_at_storage() -> None:
    refused = http_response(403, Date='Sun, 22 Nov 2026 15:00:00 GMT')
    error = ClientAuthenticationError('Refused.', response=refused)
    error.error_code = 'AuthenticationFailed'  # type: ignore[attr-defined] # so does azure-storage-blob

    assert 'service Sun, 22 Nov 2026 15:00:00 GMT, this machine' in sample.describe(error)


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


def test_expected_errors_include_all_that_the_clients_raise() -> None:
    raised = (
        models.BatchErrorException,
        ClientRequestError,
        AzureError,
        OSError,
        sample.SampleError,
    )

    assert [kind for kind in raised if not issubclass(kind, sample._EXPECTED_ERRORS)] == []


# --- say --------------------------------------------------------------------------------------------------------------
def test_say_prints_a_line_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    sample.say('Creating pool...')

    assert capsys.readouterr() == ('Creating pool...\n', '')


def test_say_goes_on_when_nobody_reads_any_more() -> None:
    code = (
        'import batch_python_tutorial_ffmpeg as sample, os, sys\n'
        'for _ in range(3): sample.say("a line")\n'
        'sample.say("still alive", sys.stderr)\n'
    )
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, '-c', code],
        stdout=writer,
        stderr=subprocess.PIPE,
        cwd=Path(sample.__file__).parent,
        timeout=30,
        check=False,
    )

    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b'still alive\n')


def test_say_once_says_each_text_once(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ('slow', 'slow', 'slower', 'slow'):
        sample.say_once(text, sys.stderr)

    assert capsys.readouterr().err == 'slow\nslower\n'
