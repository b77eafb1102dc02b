"""Other people's machines: a slow `az`, clocks that are wrong, proxies, impatient systems."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import MakeVideo
from tests.local_azure import LocalAzure

from .conftest import Sample, mp3s_of

AZ = """\
import json, os, sys, time, urllib.request
calls = {calls!r}
with open(calls, 'a') as file:
    file.write(sys.argv[sys.argv.index('--resource') + 1] + '\\n')
{before}
request = urllib.request.Request(
    f"{endpoint}?api-version=2019-08-01&resource={{sys.argv[sys.argv.index('--resource') + 1]}}",
    headers={{'X-IDENTITY-HEADER': {header!r}}},
)
context = __import__('ssl').create_default_context(cafile={authority!r})
answer = json.load(urllib.request.urlopen(request, context=context))
print(json.dumps({{'accessToken': answer['access_token'], 'expires_on': answer['expires_on'],
    'expiresOn': '2030-01-01 00:00:00.000000', 'tokenType': 'Bearer'}}))
"""


@pytest.fixture(scope='module')
def entra_azure() -> Iterator[LocalAzure]:
    with LocalAzure(entra=True) as azure:
        yield azure


@pytest.fixture
def signed_in(entra_azure: LocalAzure, tmp_path: Path) -> Iterator[Sample]:
    """The sample on a local Azure that accepts tokens only."""
    (tmp_path / 'in').mkdir(exist_ok=True)
    sample = Sample(entra_azure, tmp_path / 'in', tmp_path / 'out')
    yield sample
    sample.close()
    entra_azure.clear()


def put_az_on_the_path(sample: Sample, folder: Path, before: str) -> Path:
    """Let `az` be a stand-in that runs `before`; return the file of its calls."""
    given = sample.azure.environment
    program = AZ.format(
        calls=str(folder / 'calls'),
        before=before,
        endpoint=given['IDENTITY_ENDPOINT'],
        header=given['IDENTITY_HEADER'],
        authority=given['REQUESTS_CA_BUNDLE'],
    )
    (folder / 'az.py').write_text(program)
    (folder / 'bin').mkdir()
    az = folder / 'bin' / 'az'
    command = f'{shlex.quote(sys.executable)} {shlex.quote(str(folder / "az.py"))} "$@"'
    az.write_text(f'#!/bin/sh\nexec {command}\n')
    az.chmod(0o755)
    sample.environment = {
        'IDENTITY_ENDPOINT': '',
        'AZURE_TOKEN_CREDENTIALS': 'AzureCliCredential',
        'PATH': f'{folder / "bin"}:/usr/bin:/bin',
    }
    return folder / 'calls'


# --- Signing in -----------------------------------------------------------------------------------


def test_az_is_asked_once_for_each_service_also_if_it_is_slow(
    signed_in: Sample, clips: Path, tmp_path: Path
) -> None:
    signed_in.input = clips
    slow_once = f"""
if sum(1 for _ in open({str(tmp_path / 'calls')!r})) == 1:
    time.sleep(12)
"""
    calls = put_az_on_the_path(signed_in, tmp_path, slow_once)

    result = signed_in.run('-y')

    assert result.returncode == 0, result.stderr
    assert sorted(calls.read_text().split()) == [
        'https://batch.core.windows.net',
        'https://storage.azure.com',
    ]


def test_the_reason_of_a_failed_sign_in_is_shown(
    signed_in: Sample, make_video: MakeVideo, tmp_path: Path
) -> None:
    make_video('a.mp4')
    refuse = (
        "sys.exit('ERROR: AADSTS70043: The refresh token has expired. Run az login --tenant T')"
    )
    put_az_on_the_path(signed_in, tmp_path, refuse)

    stderr = signed_in.assert_refused('AADSTS70043', '--tenant T')

    assert 'set a key' not in stderr
    signed_in.azure.faults.clear()
    assert signed_in.nothing_is_left()


# --- Clocks ---------------------------------------------------------------------------------------


def shift_the_clock(sample: Sample, hours: float) -> None:
    """Let the clock of this machine be so many hours ahead."""
    shifted = f'(datetime.datetime.now(tz) + datetime.timedelta(hours={hours}))'  # of the run
    sample.change(
        'datetime',
        "type('Shifted', (datetime.datetime,), {'now': classmethod(lambda cls, tz=None: "
        f'{shifted})}})',
    )


@pytest.mark.parametrize('hours', [-3.5, 2])
def test_a_clock_that_is_hours_off_costs_nothing_but_a_warning(
    signed_in: Sample, make_video: MakeVideo, hours: float
) -> None:
    make_video('a.mp4')
    signed_in.azure.evaluate_autoscale_every(0.2)
    shift_the_clock(signed_in, hours)

    result = signed_in.run('-y')

    assert result.returncode == 0, result.stderr
    assert signed_in.mp3s() == mp3s_of('a.mp4')
    assert result.stderr.count('clock of this machine') == 1


def test_a_clock_that_is_set_back_changes_no_elapsed_time(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    back = '(datetime.datetime.now(tz) - datetime.timedelta(hours=len(looks)))'
    sample.changes += 'looks = []; '
    sample.change(
        'datetime',
        "type('SetBack', (datetime.datetime,), {'now': classmethod(lambda cls, tz=None: "
        f'(looks.append(1), {back})[1])}})',
    )

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert 'Elapsed time: 0:00:' in result.stdout


# --- Proxies --------------------------------------------------------------------------------------


class Proxy(BaseHTTPRequestHandler):
    """A proxy that wants another password."""

    def refuse(self) -> None:
        self.send_response(407, 'Proxy Authentication Required')
        self.send_header('Content-Type', 'text/html')
        self.send_header('Content-Length', '0')
        self.end_headers()

    do_GET = do_PUT = do_POST = do_CONNECT = refuse  # noqa: N815 - http.server

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def proxy() -> Iterator[str]:
    """Run the proxy, and give its host and port."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f'127.0.0.1:{server.server_port}'
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_proxy_that_refuses_is_named_without_its_password(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    with proxy() as address:
        url = f'http://me:passw0rd@{address}'
        sample.environment = {'HTTP_PROXY': url, 'http_proxy': url, 'NO_PROXY': '', 'no_proxy': ''}

        stderr = sample.assert_refused('HTTPS_PROXY')

    assert 'passw0rd' not in stderr


@pytest.mark.parametrize('character', ['/', '#', '['])
def test_a_proxy_whose_password_breaks_its_url_is_wrong_usage(
    sample: Sample, make_video: MakeVideo, character: str
) -> None:
    make_video('a.mp4')
    sample.environment = {'HTTPS_PROXY': f'http://me:12{character}passw0rd@proxy.local:3128'}

    result = sample.run('-y')

    assert result.returncode == 2
    assert 'HTTPS_PROXY' in result.stderr
    assert 'passw0rd' not in result.stderr
    assert not sample.has_contacted_azure()


def test_a_certificate_that_nobody_knows_is_said(signed_in: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    signed_in.environment = {
        'REQUESTS_CA_BUNDLE': '',
        'AZURE_BATCH_ACCESS_KEY': 'aaaa',
        'AZURE_STORAGE_KEY': 'aaaa',
    }

    signed_in.assert_refused('REQUESTS_CA_BUNDLE')


# --- Nodes and systems ----------------------------------------------------------------------------


def test_nodes_that_azure_takes_for_good_are_the_reason_at_the_end(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    sample.change('_JOB_TIMEOUT', 'datetime.timedelta(seconds=8)')
    sample.hold_task()
    sample.azure.preempt_node(restore=False, count=None)

    result = sample.run('-y')

    assert result.returncode == 1
    assert 'preempted' in result.stderr
    assert '--dedicated' in result.stderr
    assert sample.nothing_is_left()


def test_nodes_that_are_all_unusable_end_the_run(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    sample.change('_WAIT_FOR_UNUSABLE_NODES', 'datetime.timedelta(seconds=1)')
    sample.hold_task()
    sample.azure.make_node_unusable(count=None)

    result = sample.run('-y')

    assert result.returncode == 1
    assert 'unusable' in result.stderr
    assert '--vm-size' in result.stderr
    assert sample.nothing_is_left()


def test_sigterm_after_sigint_cuts_no_cleanup_short(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    task = sample.hold_task()
    deletion = sample.azure.hold_requests('DELETE', '/jobs/')
    process = sample.start_until_held(task, '-y')
    process.send_signal(signal.SIGINT)
    sample.azure.wait_until(lambda: deletion.hits)

    process.send_signal(signal.SIGTERM)
    deletion.remove()
    result = sample.finish(process)
    task.remove()

    assert result.returncode == 130
    assert sample.nothing_is_left()


def test_an_output_that_is_one_of_the_videos_is_refused(
    sample: Sample, make_video: MakeVideo
) -> None:
    original = make_video('a.mp4')
    content = original.read_bytes()
    sample.change("_OUTPUT_FORMAT['extension']", "'.mp4'")
    sample.output = sample.input

    assert sample.run('-y').returncode == 2

    assert original.read_bytes() == content
    assert not sample.has_contacted_azure()
