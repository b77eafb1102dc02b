"""Other people's machines: clocks that are wrong, proxies, and TLS that is inspected."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import MakeVideo
from tests.local_azure import LocalAzure
from tests.servers import running

from .conftest import Sample, mp3s_of


@pytest.fixture
def azure(entra_azure: LocalAzure) -> Iterator[LocalAzure]:
    """Both services over TLS."""
    yield entra_azure
    entra_azure.clear()


@pytest.fixture(autouse=True)
def video(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    sample.change('_FIRST_RETRY', 'sample._RETRY.new(total=0)')  # without its pauses


@pytest.mark.parametrize('hours', [-3.5, 2])
def test_a_clock_that_is_hours_off_costs_nothing_but_a_warning(
    sample: Sample, hours: float
) -> None:
    sample.azure.evaluate_autoscale_every(0.2)
    shifted = f'(datetime.datetime.now(tz) + datetime.timedelta(hours={hours}))'
    sample.change(
        'datetime',
        "type('Shifted', (datetime.datetime,), {'now': classmethod(lambda cls, tz=None: "
        f'{shifted})}})',
    )

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert result.stderr.count('clock') == 1


class Proxy(BaseHTTPRequestHandler):
    """A proxy that wants another password."""

    def do_CONNECT(self) -> None:
        self.send_response(407, 'Proxy Authentication Required')
        self.send_header('Content-Length', '0')
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[str]:
    """The host and port of the proxy."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), Proxy)
    with running(server):
        yield f'127.0.0.1:{server.server_port}'


def test_a_proxy_that_refuses_is_named_without_its_password(sample: Sample, proxy: str) -> None:
    sample.environment = {
        **sample.azure.keys,
        'HTTPS_PROXY': f'http://me:passw0rd@{proxy}',
        'NO_PROXY': '',
        'no_proxy': '',
    }

    stderr = sample.assert_refused('HTTPS_PROXY')

    assert 'passw0rd' not in stderr


def test_a_certificate_that_nobody_knows_is_said_with_the_variable_that_makes_it_known(
    sample: Sample,
) -> None:
    sample.environment = {**sample.azure.keys, 'REQUESTS_CA_BUNDLE': ''}

    sample.assert_refused('REQUESTS_CA_BUNDLE')
