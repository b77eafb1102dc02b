"""How fast the local Batch service is on this machine.

`python -m tests.conformance.speed` measures it and prints medians.
"""

from __future__ import annotations

import statistics
import time

from azure.batch import models

from tests.local_azure import LocalAzure

TASKS, RUNS = 10_000, 5


def main() -> None:
    rates, counts = [], []
    with LocalAzure() as azure:
        client = azure.batch_client()
        client.config.keep_alive = True
        for run in range(RUNS):
            job = f'job{run}'
            client.job.add(
                models.JobAddParameter(id=job, pool_info=models.PoolInformation(pool_id='pool'))
            )
            sent = len(azure.requests)
            tasks = [
                models.TaskAddParameter(id=f'{number}', command_line='true')
                for number in range(TASKS)
            ]
            client.task.add_collection(job, tasks)
            rates.append(TASKS / sum(request.seconds for request in azure.requests[sent:]))
            for _ in range(20):
                began = time.perf_counter()
                client.job.get_task_counts(job)
                counts.append(time.perf_counter() - began)
    print(f'{statistics.median(rates):,.0f} tasks a second added (service time)')
    milliseconds = 1000 * statistics.median(counts)
    print(f'{milliseconds:.1f} ms for task counts with {TASKS:,} tasks, client included')


if __name__ == '__main__':
    main()
