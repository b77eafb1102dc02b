"""The codes and texts of errors: of refused requests, failed tasks and nodes, failed resizes.

Of the texts for requests these are recorded word for word: AuthenticationFailed, ConditionNotMet,
InvalidPropertyValue, JobBeingDeleted, OperationTimedOut, PoolExists, PoolNotFound,
RequestBodyTooLarge, TaskNotFound, TooManyRequests. The others are those of the REST reference,
"Batch status and error codes" of 2017 (InvalidQueryParameterValue: of its example). The recorded
ones differ from it in some words, so these may, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# Refused requests


class ErrorKind(NamedTuple):
    status: int
    message: str


ERRORS = {
    'NotModified': ErrorKind(304, 'Not Modified'),
    'AutoScalingFormulaSyntaxError': ErrorKind(
        400, 'The specified auto-scaling formula has a syntax error.'
    ),
    'AutoScalingFormulaTooLong': ErrorKind(
        400, 'The specified auto-scaling formula exceeds lengths limit.'
    ),
    'InvalidAutoScalingSettings': ErrorKind(
        400, 'The specified auto-scaling settings are not valid.'
    ),
    'InvalidHeaderValue': ErrorKind(
        400, 'The value provided for one of the HTTP headers was not in the correct format.'
    ),
    'InvalidPropertyValue': ErrorKind(
        400, 'The value provided for one of the properties in the request body is invalid.'
    ),
    'InvalidQueryParameterValue': ErrorKind(
        400, 'Value for one of the query parameters specified in the request URI is invalid.'
    ),
    'InvalidRequestBody': ErrorKind(400, 'The specified Request Body is not syntactically valid.'),
    'MissingRequiredProperty': ErrorKind(
        400, 'A required property was not specified in the request body.'
    ),
    'MissingRequiredQueryParameter': ErrorKind(
        400, 'A required query parameter was not specified for this request.'
    ),
    'OutOfRangeQueryParameterValue': ErrorKind(
        400, 'A query parameter specified in the request URI is outside the permissible range.'
    ),
    'UnsupportedRequestVersion': ErrorKind(400, 'The specified request version is not supported.'),
    'AuthenticationFailed': ErrorKind(
        403,
        'Server failed to authenticate the request. Make sure the value of Authorization header is '
        'formed correctly including the signature.',
    ),
    'FileNotFound': ErrorKind(404, 'The specified file does not exist.'),
    'JobNotFound': ErrorKind(404, 'The specified job does not exist.'),
    'NodeNotFound': ErrorKind(404, 'The specified node does not exist.'),
    'PoolNotFound': ErrorKind(404, 'The specified pool does not exist.'),
    'TaskNotFound': ErrorKind(404, 'The specified task does not exist.'),
    'ActiveJobAndScheduleQuotaReached': ErrorKind(
        409, 'Active job and schedule quota for the account has been reached.'
    ),
    'JobBeingDeleted': ErrorKind(
        409, 'The specified job has been marked for deletion and is being garbage collected.'
    ),
    'JobBeingTerminated': ErrorKind(409, 'The specified job is being terminated.'),
    'JobCompleted': ErrorKind(409, 'The specified job is already in a completed state.'),
    'JobExists': ErrorKind(409, 'The specified job already exists.'),
    'OperationInvalidForCurrentState': ErrorKind(
        409, 'The specified operation is not valid for the current state of the resource.'
    ),
    'PoolBeingDeleted': ErrorKind(
        409, 'The specified pool has been marked for deletion and is being reclaimed.'
    ),
    'PoolBeingResized': ErrorKind(409, 'The specified pool is being resized.'),
    'PoolExists': ErrorKind(409, 'The specified pool already exists.'),
    'PoolQuotaReached': ErrorKind(409, 'Pool quota for the account has been reached.'),
    'TaskCompleted': ErrorKind(409, 'The specified task is already in a completed state.'),
    'TaskExists': ErrorKind(409, 'The specified task already exists.'),
    'TaskFilesUnavailable': ErrorKind(409, 'The files of the specified task are unavailable.'),
    'TaskNotCompleted': ErrorKind(
        409,
        'The specified task is not in a completed state, and the requested operation can be '
        'performed only on completed tasks.',
    ),
    'TaskSucceeded': ErrorKind(
        409,
        'The specified task has already completed successfully, and the requested operation cannot '
        'be performed on successful tasks.',
    ),
    'ConditionNotMet': ErrorKind(
        412, 'The condition specified using HTTP conditional header(s) is not met.'
    ),
    'RequestBodyTooLarge': ErrorKind(
        413, 'The request body is too large and exceeds the maximum permissible limit.'
    ),
    'InvalidRange': ErrorKind(
        416, 'The range specified is invalid for the current size of the resource.'
    ),
    'TooManyRequests': ErrorKind(
        429, 'Request failed as server encountered too many requests. Please try again.'
    ),
    'InternalError': ErrorKind(
        500, 'The server encountered an internal error. Please retry the request.'
    ),
    'OperationTimedOut': ErrorKind(
        500, 'Operation could not be completed within the specified time.'
    ),
    'NotImplemented': ErrorKind(501, 'The local Batch service does not imitate this.'),
    'ServerBusy': ErrorKind(
        503, 'The server is currently unable to receive requests. Please retry your request.'
    ),
    'TooManyEnableAutoScaleRequests': ErrorKind(
        503, 'Too many Enable Pool AutoScale requests are issued on the pool.'
    ),
}


class BatchError(Exception):
    """A refusal of the service; `values` are its details, e.g. PropertyName and Reason."""

    def __init__(self, code: str, message: str | None = None, **values: str) -> None:
        super().__init__(code, message, values)
        kind = ERRORS[code]
        self.code = code
        self.status = kind.status
        self.message = message or kind.message
        self.values = values


def error_body(
    code: str, message: str, values: Mapping[str, str], request_id: str, time: str
) -> dict[str, Any]:
    """An error as JSON (recorded traffic; REST reference, "Batch status and error codes")."""
    body: dict[str, Any] = {
        'code': code,
        'message': {
            'lang': 'en-US',
            'value': f'{message}\nRequestId:{request_id}\nTime:{time}',
        },
    }
    if values:
        body['values'] = [{'key': key, 'value': value} for key, value in values.items()]
    return body


def invalid_property(name: str, reason: str, value: object = None) -> BatchError:
    """400 for one property of a body (recorded traffic: POST /pools, PropertyName and Reason)."""
    values = {'PropertyName': name}
    if value is not None:
        values['PropertyValue'] = str(value)[:200]
    values['Reason'] = reason
    return BatchError('InvalidPropertyValue', **values)


def wrong_type(name: str) -> BatchError:
    """400 for a JSON value that no reader could take for the property."""
    return BatchError('InvalidRequestBody', Reason=f'{name} has a value of the wrong type')


def not_imitated(what: str) -> BatchError:
    """501 for what Azure would do and this service does not."""
    return BatchError('NotImplemented', f'The local Batch service does not imitate {what}.')


def invalid_query(name: str, value: str, reason: str) -> BatchError:
    """400 for one query parameter (REST reference, "Batch status and error codes": its example)."""
    return BatchError(
        'InvalidQueryParameterValue',
        QueryParameterName=name,
        QueryParameterValue=value,
        Reason=reason,
    )


# Failed tasks, start tasks and nodes


class Failure(NamedTuple):
    """failureInfo of a task or start task, or an error of a node."""

    code: str
    message: str
    category: str = 'UserError'
    details: tuple[tuple[str, str], ...] = ()


# Recorded traffic: GET /jobs/{id}/tasks/{id}, 2019-06-01.9.0.
_EXIT_TEXT = 'The task exited with an exit code representing a failure'
FAILURE_EXIT = Failure('FailureExitCode', _EXIT_TEXT, details=(('Message', _EXIT_TEXT),))
# Recorded traffic: GET /jobs/{id}/tasks, 2018-12-01.8.0.
TASK_ENDED = Failure('TaskEnded', 'Task Was Ended by User Request')
# The code is documented (Azure docs: error-handling, constraints); the texts are those of a test of
# microsoft/accessibility-insights-service.
TASK_OVERTIME = Failure(
    'TaskEnded',
    'The task was ended by user request',
    details=(
        ('Message', 'The maximum execution time configured on the task was exceeded'),
        ('AdditionalErrorCode', 'FailureExitCode'),
    ),
)

NODE_UNUSABLE = Failure('NodeUnusable', 'The node has become unusable')

# What a node reports. Blob..., Resource...Failed: REST reference, "Batch status and error codes".
# ResourceContainer...: Azure docs, managed identities of a pool. FileUploadContainerNotFound: Azure
# docs, batch-task-output-files. The other FileUpload...: .NET TaskFailureInformationCodes, with
# texts of ours.
_REPORTED_TEXTS = {
    'CommandProgramNotFound': 'The specified command program is not found.',
    'CommandLaunchFailed': 'Failed to launch the specified command line.',
    'BlobNotFound': 'One of the specified Azure Blob(s) is not found.',
    'BlobAccessDenied': 'Access for one of the specified Azure Blob(s) is denied.',
    'BlobDownloadTimedOut': (
        'Timeout encountered while downloading one of the specified Azure Blob(s).'
    ),
    'BlobDownloadMiscError': (
        'Miscellaneous error encountered while downloading one of the specified Azure Blob(s).'
    ),
    'ResourceContainerAccessDenied': (
        'Access for one of the specified Azure Blob container(s) is denied'
    ),
    'ResourceContainerListMiscError': (
        'Miscellaneous error encountered while listing one of the specified Azure Blob container(s)'
    ),
    'ResourceDirectoryCreateFailed': (
        'Failure encountered creating resource directory for the task.'
    ),
    'ResourceFileWriteFailed': 'Failure encountered writing resource file.',
    'FileUploadContainerNotFound': (
        'One of the specified Azure container(s) was not found while attempting to upload an '
        'output file'
    ),
    'FileUploadAccessDenied': 'Access to a container for output files was denied',
    'FileUploadTimedOut': 'The upload of an output file timed out',
    'FileUploadMiscError': (
        'A miscellaneous error was encountered while uploading one of the output files'
    ),
}
_SERVICES_FAULT = {
    'Unknown',
    'BlobDownloadTimedOut',
    'BlobDownloadMiscError',
    'ResourceContainerListMiscError',
    'ResourceDirectoryCreateFailed',
    'ResourceFileWriteFailed',
}


def reported_failure(
    code: str, message: str | None, details: tuple[tuple[str, str], ...]
) -> Failure:
    """What a node reports; without a message it has the text of the code."""
    text = message or _REPORTED_TEXTS[code]
    category = 'ServerError' if code in _SERVICES_FAULT else 'UserError'
    return Failure(code, text, category, details)


# Failed resizes


class ResizeError(NamedTuple):
    code: str
    message: str
    values: Mapping[str, str]


_NOT_ALLOCATED = 'Desired number of {kind} nodes could not be allocated'
# Codes: .NET PoolResizeErrorCodes. The text of ResizeStopped is recorded, the others are quoted by
# users (MicrosoftDocs/azure-docs issue 53298, Azure/batch-shipyard issue 191).
_RESIZE_TEXTS = {
    'AccountCoreQuotaReached': 'The specified account has reached core quota',
    'AccountLowPriorityCoreQuotaReached': (
        'The specified account has reached low priority core quota'
    ),
    'AllocationTimedOut': f'{_NOT_ALLOCATED} as the resize timeout was reached',
    'ResizeStopped': f'{_NOT_ALLOCATED} due to a stop resize operation',
}


def resize_error(
    code: str, dedicated: bool, message: str | None, values: Mapping[str, str]
) -> ResizeError:
    """One kind of nodes that did not come; without a message it has the text of the code."""
    text = message or _RESIZE_TEXTS.get(code, _NOT_ALLOCATED)
    kind = 'dedicated' if dedicated else 'low priority'  # the words of recorded resizeErrors
    return ResizeError(code, text.format(kind=kind), values)
