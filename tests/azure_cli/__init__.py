"""Holds the `az` commands of the README and of the script's messages against azure-cli itself.

It is run as `python -m tests.azure_cli`.
"""
