"""Holds the `az` commands of documents, messages and workflows against azure-cli itself.

It is run as `python -m tests.azure_cli`.
"""
