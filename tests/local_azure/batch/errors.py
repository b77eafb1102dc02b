"""The service's errors: status and message for each code.

Recorded word for word: AuthenticationFailed, ConditionNotMet, InvalidPropertyValue, JobBeingDeleted, OperationTimedOut,
PoolExists, PoolNotFound, RequestBodyTooLarge, TaskNotFound, TooManyRequests. The other texts are those of the REST
reference, "Batch status and error codes" of 2017 (InvalidQueryParameterValue: of its example); the recorded ones differ
from it in some words, so these may, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KINDS = ('Job', 'Pool', 'Task')
ERRORS = {
    'NotModified': '304 Not Modified',
    'AutoScalingFormulaTooLong': '400 The specified auto-scaling formula exceeds lengths limit.',
    'InvalidPropertyValue': '400 The value provided for one of the properties in the request body is invalid.',
    'InvalidQueryParameterValue': '400 Value for one of the query parameters specified in the request URI is invalid.',
    'InvalidRequestBody': '400 The specified Request Body is not syntactically valid.',
    'InvalidHeaderValue': '400 The value provided for one of the HTTP headers was not in the correct format.',
    'MissingRequiredProperty': '400 A required property was not specified in the request body.',
    'MissingRequiredQueryParameter': '400 A required query parameter was not specified for this request.',
    'OutOfRangeQueryParameterValue': '400 A query parameter specified in the request URI is outside the '
    'permissible range.',
    'UnsupportedRequestVersion': '400 The specified request version is not supported.',
    'AuthenticationFailed': '403 Server failed to authenticate the request. Make sure the value of Authorization '
    'header is formed correctly including the signature.',
    'ActiveJobAndScheduleQuotaReached': '409 Active job and schedule quota for the account has been reached.',
    'JobBeingDeleted': '409 The specified job has been marked for deletion and is being garbage collected.',
    'JobBeingTerminated': '409 The specified job is being terminated.',
    'OperationInvalidForCurrentState': '409 The specified operation is not valid for the current state of the '
    'resource.',
    'PoolBeingDeleted': '409 The specified pool has been marked for deletion and is being reclaimed.',
    'PoolBeingResized': '409 The specified pool is being resized.',
    'PoolQuotaReached': '409 Pool quota for the account has been reached.',
    'TaskFilesUnavailable': '409 The files of the specified task are unavailable.',
    'TaskNotCompleted': '409 The specified task is not in a completed state, and the requested operation can be '
    'performed only on completed tasks.',
    'TaskSucceeded': '409 The specified task has already completed successfully, and the requested operation cannot '
    'be performed on successful tasks.',
    'ConditionNotMet': '412 The condition specified using HTTP conditional header(s) is not met.',
    'RequestBodyTooLarge': '413 The request body is too large and exceeds the maximum permissible limit.',
    'InvalidRange': '416 The range specified is invalid for the current size of the resource.',
    'TooManyRequests': '429 Request failed as server encountered too many requests. Please try again.',
    'InternalError': '500 The server encountered an internal error. Please retry the request.',
    'OperationTimedOut': '500 Operation could not be completed within the specified time.',
    'NotImplemented': '501 The local Batch service does not imitate this.',
    'TooManyEnableAutoScaleRequests': '503 Too many Enable Pool AutoScale requests are issued on the pool.',
    'ServerBusy': '503 The server is currently unable to receive requests. Please retry your request.',
    **{
        f'{what}NotFound': f'404 The specified {what.lower()} does not exist.'
        for what in (*_KINDS, 'File', 'Node')
    },
    **{f'{what}Exists': f'409 The specified {what.lower()} already exists.' for what in _KINDS},
    **{
        f'{what}Completed': f'409 The specified {what.lower()} is already in a completed state.'
        for what in _KINDS
    },
}


class BatchError(Exception):
    """A refusal of the service; `values` are its details, e.g. PropertyName and Reason."""

    def __init__(self, code: str, message: str | None = None, **values: str) -> None:
        super().__init__(code, message, values)
        status, _, text = ERRORS[code].partition(' ')
        self.code, self.status, self.message, self.values = (
            code,
            int(status),
            message or text,
            values,
        )


def error_body(
    code: str, message: str, values: Mapping[str, str], request_id: str, time: str
) -> dict[str, Any]:
    """An error as JSON (recorded traffic; REST reference, "Batch status and error codes")."""
    text = {'lang': 'en-US', 'value': f'{message}\nRequestId:{request_id}\nTime:{time}'}
    details = [{'key': key, 'value': value} for key, value in values.items()]
    return {'code': code, 'message': text, **({'values': details} if details else {})}


def invalid_property(name: str, reason: str, value: object = None) -> BatchError:
    """400 for one property of a body (recorded traffic: POST /pools, values PropertyName and Reason)."""
    shown = {} if value is None else {'PropertyValue': str(value)[:200]}
    return BatchError('InvalidPropertyValue', PropertyName=name, **shown, Reason=reason)


def invalid_query(name: str, value: str, reason: str) -> BatchError:
    """400 for one query parameter (REST reference, "Batch status and error codes": its example)."""
    return BatchError(
        'InvalidQueryParameterValue',
        QueryParameterName=name,
        QueryParameterValue=value,
        Reason=reason,
    )
