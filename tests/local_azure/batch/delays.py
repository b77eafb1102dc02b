"""How long the service's own doings take: allocations, the start of nodes, deletions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Delays:
    """Seconds that the service's own transitions take; minutes on Azure."""

    allocation: float = 0.03
    node_creating: float = 0.02
    node_starting: float = 0.02
    node_leaving: float = 0.02
    node_restore: float = 0.1
    pool_deleting: float = 0.1
    job_deleting: float = 0.05
    job_terminating: float = 0.03
    job_disabling: float = 0.03  # after its last task has ended
    job_enabling: float = 0.03
    autoscale_interval: float | None = None  # for all pools; None: as each pool says
    autoscale_pause: float = 30.0  # between two requests that enable it for one pool
