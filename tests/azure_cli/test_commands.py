"""The search for `az` commands finds them all, whole."""

from __future__ import annotations

import pytest

from .__main__ import README, SCRIPT
from .commands import Command, in_document, in_messages, in_shell


@pytest.mark.parametrize(
    ('line', 'commands'),
    [
        pytest.param('az group list -o tsv', [['group', 'list', '-o', 'tsv']], id='plain'),
        pytest.param(
            'export ME=$(az ad signed-in-user show) && az login',
            [['ad', 'signed-in-user', 'show'], ['login']],
            id='several in a line',
        ),
        pytest.param(
            'az role assignment list --scope $(az group show -n "$(az group list)")',
            [
                ['group', 'list'],
                ['group', 'show', '-n', 'value'],
                ['role', 'assignment', 'list', '--scope', 'value'],
            ],
            id='one in another',
        ),
        pytest.param(
            "az vm list --query '[].id | [0]' # all of them",
            [['vm', 'list', '--query', '[].id | [0]']],
            id='an operator in quotes',
        ),
        pytest.param('az vm show -n <your VM>', [['vm', 'show', '-n', 'value']], id='a blank'),
        pytest.param('az vm show \\\n  -n a', [['vm', 'show', '-n', 'a']], id='over two lines'),
        pytest.param('pip install azure-cli', [], id='none'),
    ],
)
def test_commands_of_a_block(line: str, commands: list[Command]) -> None:
    found = in_document(f'First:\n\n```\n{line}\n```\n')

    assert found == commands


def test_a_command_in_a_sentence_is_found() -> None:
    found = in_document('Sign in (`az login`), then:\n\n```python\nprint()\n```\n')

    assert found == [['login']]


def test_a_command_in_a_step_of_a_workflow_is_found() -> None:
    found = in_shell("steps:\n  # That's no `az login`.\n  - name: Don't\n  - run: az group list\n")

    assert found == [['group', 'list']]


def test_a_command_in_a_message_has_the_options_that_a_variable_and_a_function_hold() -> None:
    script = """
def where():
    options = f'--account-name {NAME}'
    if KEY:
        options += ' --auth-mode key'
    return options

def message(kind):
    server = f'-s {URL} {where()}'
    print(f'Sign in by az login -t {TENANT}, or set a key.')
    return f'Sign in by "az login", then\\n  az job delete -n "{kind}" {server}'
"""

    found = in_messages(script)

    job = 'job delete -n value -s value --account-name value --auth-mode key'
    assert found == [['login', '-t', 'value'], ['login'], job.split()]


@pytest.mark.parametrize(
    'found',
    [in_document(README.read_text()), in_messages(SCRIPT.read_text())],
    ids=['README', 'script'],
)
def test_the_command_that_deletes_the_pool_is_found(found: list[Command]) -> None:
    assert any(command[:3] == ['batch', 'pool', 'delete'] for command in found)
