"""Azure on this machine: Azurite and a local Batch service, for trying the sample and for its tests.

See README.md beside this file.
"""

from .account import Delays
from .front import Request
from .wiring import LocalAzure, script_environment

__all__ = ['Delays', 'LocalAzure', 'Request', 'script_environment']
