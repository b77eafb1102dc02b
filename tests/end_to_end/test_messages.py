"""The commands that messages print can be copied."""

from __future__ import annotations

import re

from tests.conftest import MakeVideo

from .conftest import Sample


def test_every_command_to_copy_is_a_whole_line(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    for path in ('/jobs/', '/pools/'):
        sample.azure.fail_requests('DELETE', path, count=None, status=403, code='PermissionDenied')
    sample.azure.fail_requests(
        'DELETE',
        '/input',
        count=None,
        service='storage',
        status=403,
        code='AuthorizationPermissionMismatch',
    )

    result = sample.run('-y')

    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if re.search(r'\baz [a-z]+ [a-z]', line)]
    for line in lines:
        assert re.match(r'  az (batch|role|storage) ', line), line
        assert not re.search(r'[.:;,]( |$)', line), line
        assert line.count('(') == line.count(')'), line
    for command in ('role', 'batch job', 'batch pool', 'storage container'):
        assert any(line.startswith(f'  az {command} ') for line in lines), lines
