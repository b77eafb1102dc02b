"""The command line: the settings of part 1 count where an option is not given."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

import batch_python_tutorial_ffmpeg as sample


def test_arguments_have_the_defaults_of_the_tutorial() -> None:
    options = sample.parse_arguments([])

    assert options.input == Path(sample.__file__).with_name('InputFiles')
    assert options.output == Path('OutputFiles')
    assert (options.dedicated_nodes, options.low_priority_nodes) == (0, 5)
    assert options.vm_size == 'STANDARD_A1_v2'
    assert options.timeout == timedelta(minutes=30)
    assert options.answer is None
    assert not options.check
    assert not options.missing


@pytest.mark.parametrize(('argument', 'answer'), [('-y', 'yes'), ('--keep', 'no')])
def test_arguments_answer_the_questions(argument: str, answer: str) -> None:
    assert sample.parse_arguments([argument]).answer == answer


def test_arguments_name_the_folders() -> None:
    options = sample.parse_arguments(['--input', 'in', '--output', 'out'])

    assert (options.input, options.output) == (Path('in'), Path('out'))


@pytest.mark.parametrize('option', ['--input', '--output'])
def test_arguments_put_the_home_folder_for_the_tilde_that_the_shell_leaves(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HOME', '/home/somebody')

    options = sample.parse_arguments([f'{option}=~/Music'])

    folders = {'--input': options.input, '--output': options.output}
    assert folders[option] == Path('/home/somebody/Music')


@pytest.mark.parametrize('option', ['--check', '--missing'])
def test_arguments_turn_something_on(option: str) -> None:
    options = sample.parse_arguments([option])

    assert {'--check': options.check, '--missing': options.missing} == {
        '--check': option == '--check',
        '--missing': option == '--missing',
    }


def test_arguments_describe_the_pool_and_the_time() -> None:
    options = sample.parse_arguments(
        [
            '--dedicated=3',
            '--low-priority=0',
            '--vm-size=STANDARD_D2s_v3',
            '--timeout=90.5',
        ]
    )

    assert (options.dedicated_nodes, options.low_priority_nodes) == (3, 0)
    assert options.vm_size == 'STANDARD_D2s_v3'
    assert options.timeout == timedelta(minutes=90, seconds=30)


def test_arguments_leave_the_settings_as_they_are() -> None:
    sample.parse_arguments(['--low-priority', '0', '--vm-size', 'STANDARD_D2s_v3'])

    assert sample._LOW_PRIORITY_POOL_NODE_COUNT == 5
    assert sample._POOL_VM_SIZE == 'STANDARD_A1_v2'


def test_arguments_take_the_settings_of_now_where_no_option_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sample, '_DEDICATED_POOL_NODE_COUNT', 7)

    assert sample.parse_arguments([]).dedicated_nodes == 7


def test_arguments_accept_the_longest_time_limit() -> None:
    assert sample.parse_arguments(['--timeout', '8640']).timeout == timedelta(days=6)


@pytest.mark.parametrize(
    'argv',
    [
        pytest.param(['-y', '--keep'], id='both answers'),
        pytest.param(['--unknown'], id='unknown'),
        pytest.param(['a file'], id='positional'),
        pytest.param(['--dedicated', '1.5'], id='half a node'),
        pytest.param(['--dedicated', '-1'], id='less than no node'),
        pytest.param(['--low-priority', '-1'], id='less than no Spot node'),
        pytest.param(['--timeout', 'soon'], id='no number'),
        pytest.param(['--timeout', '0'], id='no time'),
        pytest.param(['--timeout', '1e-9'], id='less time than a poll takes'),
        pytest.param(['--timeout', '-5'], id='negative time'),
        pytest.param(['--timeout', 'nan'], id='not a number'),
        pytest.param(['--timeout', 'inf'], id='for ever'),
        pytest.param(['--timeout', '8640.1'], id='longer than the key of a SAS lives'),
    ],
)
def test_arguments_that_are_wrong_exit_with_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        sample.parse_arguments(argv)

    assert raised.value.code == 2
    assert 'error: ' in capsys.readouterr().err


def test_a_wrong_time_limit_is_told_its_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sample.parse_arguments(['--timeout', '9000'])

    assert 'more than 0 minutes, and up to 6 days (8640)' in capsys.readouterr().err


def test_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        sample.parse_arguments(['--help'])

    printed = capsys.readouterr().out
    assert raised.value.code == 0
    assert 'Exit codes: 0 all converted; 1 failed or damaged files, other errors; 2 ' in printed
