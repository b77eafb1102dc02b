"""Samples: what autoscale formulas know of tasks and nodes, every 30 seconds.

Azure docs, batch-automatic-scaling, "Obtain sample data". There a sample is known to formulas about
a minute later; here at once, which is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

# Variables that are sampled; the numbers of nodes have a present value, too.
TASK_METRICS = ('$ActiveTasks', '$RunningTasks', '$PendingTasks', '$SucceededTasks', '$FailedTasks')
NODE_METRICS = ('$CurrentDedicatedNodes', '$CurrentLowPriorityNodes', '$PreemptedNodeCount')
METRICS = (*TASK_METRICS, *NODE_METRICS)

MOST_SAMPLES = 7 * 24 * 3600 // 30  # of one pool; an interval has at most a week


class Sample(NamedTuple):
    time: datetime
    numbers: Mapping[str, float]  # by variable


@dataclass(frozen=True)
class Samples:
    """Those of one pool, the oldest first."""

    all: Sequence[Sample] = ()
    period: timedelta = timedelta(seconds=30)

    def last(self, metric: str, count: int) -> tuple[float, ...]:
        samples = list(self.all)[-count:] if count > 0 else []
        return tuple(sample.numbers[metric] for sample in samples)

    def between(self, metric: str, begin: datetime, end: datetime) -> tuple[float, ...]:
        return tuple(s.numbers[metric] for s in self.all if begin < s.time <= end)

    def percent(self, begin: datetime, end: datetime) -> float:
        """How many of the samples that this time could have there are."""
        possible = (end - begin) / self.period
        found = sum(begin < sample.time <= end for sample in self.all)
        return min(100.0, 100 * found / possible) if possible > 0 else 0.0
