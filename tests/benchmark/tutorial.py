"""The tutorial's way: one client, one thread, one file at a time, every task in each poll."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from azure.batch import BatchServiceClient, models
from azure.batch.batch_auth import SharedKeyCredentials
from azure.storage.blob import BlobSasPermissions, BlobServiceClient, generate_blob_sas


def create_clients() -> tuple[BatchServiceClient, BlobServiceClient]:
    """Return both clients as their packages make them."""
    batch_client = BatchServiceClient(
        SharedKeyCredentials(
            os.environ['AZURE_BATCH_ACCOUNT'],
            os.environ['AZURE_BATCH_ACCESS_KEY'],
        ),
        os.environ['AZURE_BATCH_ENDPOINT'],
    )
    blob_client = BlobServiceClient(
        os.environ['AZURE_STORAGE_SERVICE_ENDPOINT'],
        {
            'account_name': os.environ['AZURE_STORAGE_ACCOUNT'],
            'account_key': os.environ['AZURE_STORAGE_KEY'],
        },
    )
    return batch_client, blob_client


def upload_file_to_container(
    blob_client: BlobServiceClient, container_name: str, file_path: Path
) -> models.ResourceFile:
    """Upload a file in a single stream and sign it for the nodes."""
    blob = blob_client.get_blob_client(container_name, file_path.name)
    with file_path.open('rb') as data:
        # With a checksum: otherwise Azurite computes one in JavaScript, which takes longer than
        # everything else.
        blob.upload_blob(data, overwrite=True, validate_content=True)

    sas_token = generate_blob_sas(
        os.environ['AZURE_STORAGE_ACCOUNT'],
        container_name,
        file_path.name,
        account_key=os.environ['AZURE_STORAGE_KEY'],
        permission=BlobSasPermissions(read=True),
        expiry=datetime.now(UTC) + timedelta(hours=2),
    )
    return models.ResourceFile(http_url=f'{blob.url}?{sas_token}', file_path=file_path.name)


def upload_input_files(
    blob_client: BlobServiceClient, container_name: str, paths: Sequence[Path]
) -> list[models.ResourceFile]:
    """Upload the files one by one."""
    return [upload_file_to_container(blob_client, container_name, path) for path in paths]


def add_tasks(
    batch_client: BatchServiceClient,
    job_id: str,
    input_files: Sequence[models.ResourceFile],
    container_sas_url: str,
) -> None:
    """Add all tasks in one call, which sends one collection of 100 after the other."""
    tasks = []
    for number, input_file in enumerate(input_files):
        output_file_path = ''.join(input_file.file_path.split('.')[:-1]) + '.mp3'
        task = models.TaskAddParameter(
            id=f'Task{number}',
            command_line=f'/bin/bash -c "ffmpeg -i {input_file.file_path} {output_file_path} "',
            resource_files=[input_file],
            output_files=[
                models.OutputFile(
                    file_pattern=output_file_path,
                    destination=models.OutputFileDestination(
                        container=models.OutputFileBlobContainerDestination(
                            container_url=container_sas_url,
                        ),
                    ),
                    upload_options=models.OutputFileUploadOptions(
                        upload_condition=models.OutputFileUploadCondition.task_success,
                    ),
                ),
            ],
        )
        tasks.append(task)
    batch_client.task.add_collection(job_id, tasks)


def all_tasks_have_completed(batch_client: BatchServiceClient, job_id: str) -> bool:
    """List every task with all that it has, as the tutorial does once a second."""
    tasks = batch_client.task.list(job_id)
    unfinished = [task for task in tasks if task.state != models.TaskState.completed]
    return not unfinished
