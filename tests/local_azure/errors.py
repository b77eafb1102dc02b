"""The service's errors: status and message for each code.

Recorded word for word: AuthenticationFailed, ConditionNotMet, InvalidPropertyValue, JobBeingDeleted, OperationTimedOut,
PoolExists, PoolNotFound, RequestBodyTooLarge, TaskNotFound, TooManyRequests. The other texts are those of the REST
reference, "Batch status and error codes".
"""

from __future__ import annotations

ERRORS: dict[str, tuple[int, str]] = {
    'InvalidPropertyValue': (400, 'The value provided for one of the properties in the request body is invalid.'),
    'InvalidQueryParameterValue': (
        400,
        'Value for one of the query parameters specified in the request URI is invalid.',
    ),
    'InvalidRequestBody': (400, 'The specified request body is not syntactically valid.'),
    'InvalidHeaderValue': (400, 'The value for one of the HTTP headers is not in the correct format.'),
    'MissingRequiredProperty': (400, 'A required property was not specified in the request body.'),
    'MissingRequiredQueryParameter': (400, 'A required query parameter was not specified for this request.'),
    'OutOfRangeQueryParameterValue': (
        400,
        'A query parameter specified in the request URI is outside the permissible range.',
    ),
    'UnsupportedRequestVersion': (400, 'The request version is not supported.'),
    'AuthenticationFailed': (
        403,
        'Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly '
        'including the signature.',
    ),
    'FileNotFound': (404, 'The specified file does not exist.'),
    'JobNotFound': (404, 'The specified job does not exist.'),
    'NodeNotFound': (404, 'The specified node does not exist.'),
    'PoolNotFound': (404, 'The specified pool does not exist.'),
    'TaskNotFound': (404, 'The specified task does not exist.'),
    'ActiveJobAndScheduleQuotaReached': (409, 'Active job and schedule quota for the account has been reached.'),
    'JobBeingDeleted': (409, 'The specified job has been marked for deletion and is being garbage collected.'),
    'JobBeingTerminated': (409, 'The specified job is being terminated.'),
    'JobCompleted': (409, 'The specified job is already in a completed state.'),
    'JobNotDisabled': (409, 'The specified job is not disabled.'),
    'JobExists': (409, 'The specified job already exists.'),
    'OperationInvalidForCurrentState': (
        409,
        'The specified operation is not valid for the current state of the resource.',
    ),
    'PoolBeingDeleted': (409, 'The specified pool has been marked for deletion and is being reclaimed.'),
    'PoolBeingResized': (409, 'The specified pool is being resized.'),
    'PoolExists': (409, 'The specified pool already exists.'),
    'PoolQuotaReached': (409, 'Pool quota for the account has been reached.'),
    'TaskCompleted': (409, 'The specified task is already in a completed state.'),
    'TaskExists': (409, 'The specified task already exists.'),
    'TaskFilesUnavailable': (409, 'The files of the specified task are unavailable: its node has left the pool.'),
    'TaskNotCompleted': (409, 'The specified task is not in a completed state.'),
    'TaskSucceeded': (409, 'The specified task has succeeded and cannot be reactivated.'),
    'ConditionNotMet': (412, 'The condition specified using HTTP conditional header(s) is not met.'),
    'RequestBodyTooLarge': (413, 'The request body is too large and exceeds the maximum permissible limit.'),
    'InvalidRange': (416, 'The range specified is invalid for the current size of the resource.'),
    'TooManyRequests': (429, 'Request failed as server encountered too many requests. Please try again.'),
    'InternalError': (500, 'Server encountered an internal error. Please try again after some time.'),
    'OperationTimedOut': (500, 'Operation could not be completed within the specified time.'),
    'NotImplemented': (501, 'The local Batch service does not imitate this.'),
    'ServerBusy': (503, 'Server is currently unable to receive requests. Please retry your request.'),
}


class BatchError(Exception):
    """A refusal of the service; `values` are its details, e.g. PropertyName and Reason."""

    def __init__(self, code: str, message: str | None = None, **values: str) -> None:
        self.code = code
        self.status, text = ERRORS[code]
        self.message = message or text
        self.values = values
        super().__init__(code, self.message, values)


def invalid_property(name: str, reason: str, value: object = None) -> BatchError:
    """400 for one property of a body (recorded traffic: POST /pools, values PropertyName and Reason)."""
    shown = {} if value is None else {'PropertyValue': str(value)[:200]}
    return BatchError('InvalidPropertyValue', PropertyName=name, **shown, Reason=reason)


def invalid_query(name: str, value: str, reason: str) -> BatchError:
    """400 for one query parameter (REST reference, "Batch status and error codes": its example)."""
    return BatchError('InvalidQueryParameterValue', QueryParameterName=name, QueryParameterValue=value, Reason=reason)
