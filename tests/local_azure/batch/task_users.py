"""Who a command line runs as: the name of the user, and whether it is an administrator.

Here all of them are the user of this process; that only decides what the node pretends.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.local_azure.batch.model import CommandRun, Pool, Spec

# Azure docs, quick-create-cli (2017): the printenv of a task of the auto-user of the pool. That the
# other auto-users have this name, too, is ours.
AUTO_USER = '_azbatch'


class TaskUser(NamedTuple):
    name: str
    identity: str  # as AZ_BATCH_TASK_USER_IDENTITY has it
    is_elevated: bool


def user_of(run: CommandRun) -> TaskUser:
    """SDK14 UserIdentity: one of the pool's user accounts, or an auto-user."""
    identity = run.spec.get('userIdentity', {})
    if 'username' in identity:
        return _named_user(identity['username'], run.node.pool)
    return _auto_user(identity.get('autoUser', {}))


def _auto_user(spec: Spec) -> TaskUser:
    """Its identity is e.g. PoolNonAdmin, as in that printenv."""
    scope = spec.get('scope', 'pool')
    is_elevated = spec.get('elevationLevel') == 'admin'
    level = 'Admin' if is_elevated else 'NonAdmin'
    return TaskUser(AUTO_USER, f'{scope.title()}{level}', is_elevated)


def _named_user(name: str, pool: Pool) -> TaskUser:
    """Not elevated unless its account in the pool is; the identity of such a user is ours."""
    for account in pool.spec.get('userAccounts', ()):
        if account['name'] == name:
            return TaskUser(name, name, account.get('elevationLevel') == 'admin')
    return TaskUser(name, name, is_elevated=False)
