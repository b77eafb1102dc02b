"""The SAS in the query of a storage request: what it was signed with, and what it is for.

Azurite does the rest. It makes the user delegation keys, for a client with a token of Entra ID, and
it checks each SAS, whether that was signed with such a key or with the account's.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.local_azure.faults import Scheme


def signed_with(query: str) -> Scheme | None:
    """Bearer for a user delegation key, SharedKey for the account's; None without a SAS.

    Only the former has skoid, the object ID of its identity (REST reference, "Create a user
    delegation SAS").
    """
    if 'sig=' not in query:
        return None
    return 'Bearer' if 'skoid=' in query else 'SharedKey'


def is_for_one_blob(arguments: Mapping[str, str]) -> bool:
    """Whether the query has a SAS for a blob, a snapshot of it or a version of it."""
    return arguments.get('sr') in ('b', 'bs', 'bv')
