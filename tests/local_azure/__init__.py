"""Azure on this machine: Azurite and a local Batch service. See README.md beside this file."""

from tests.local_azure.azure import LocalAzure, script_environment
from tests.local_azure.batch.delays import Delays
from tests.local_azure.http_front import Request

__all__ = ['Delays', 'LocalAzure', 'Request', 'script_environment']
