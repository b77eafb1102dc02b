"""Microsoft Entra ID on this machine: tokens, the endpoint that issues them, and their checks."""

from __future__ import annotations

import json
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import trustme
from azure.core.credentials import AccessToken

from tests.local_azure.faults import BadTokens, Faults, RequestFault, Service
from tests.local_azure.http_front import Answer, Handler

AUDIENCES: dict[Service, str] = {
    'batch': 'https://batch.core.windows.net/',
    'storage': 'https://storage.azure.com/',
}
ELSEWHERE = 'https://management.azure.com/'  # an audience that neither service accepts

# A service accepts a token a little beyond its expiry, since clocks differ and requests travel:
# Microsoft.IdentityModel (TokenValidationParameters.ClockSkew) by 300 seconds, here by so many that
# no test has to wait for minutes.
SKEW = 5

TENANT = '11111111-2222-3333-4444-555555555555'
IDENTITY = '66666666-7777-8888-9999-000000000000'
CHALLENGE = (
    f'Bearer authorization_uri=https://login.microsoftonline.com/{TENANT}/oauth2/authorize '
    'resource_id=https://storage.azure.com'
)
UNCHECKED: Any = {
    'verify_aud': False,
    'verify_exp': False,
    'verify_nbf': False,
    'verify_iat': False,
}


@dataclass(frozen=True)
class TokenRefusals:
    """What a service says to a token that is not good: a detail for each kind of it."""

    code: str
    message: str
    wrong_audience: str
    expired: str
    wrong_signature: str


_REFUSALS: dict[Service, TokenRefusals] = {
    # Code, message, audience: Azure/azure-sdk-for-net#8026; status:
    # microsoft-authentication-library-for-js#1735. There the audience lacks its last slash, which
    # is accepted here, since newer clients send it so. The other two details are Azure Resource
    # Manager's, whose text for the audience is the same: no source with Batch was found.
    'batch': TokenRefusals(
        code='AuthenticationFailed',
        message='Server failed to authenticate the request. Make sure the value of Authorization '
        'header is formed correctly.',
        wrong_audience='The access token has been obtained from wrong audience or resource '
        "'{audience}'. It should exactly match (including forward slash) with one of the allowed "
        "audiences 'https://batch.core.windows.net/'",
        expired="The access token expiry UTC time '{expiry:%c}' is earlier than current UTC time "
        "'{now:%c}'.",
        wrong_signature='The access token is invalid.',
    ),
    # Code, status, message, expired: Azure/azure-sdk-for-net#42859. Audience, challenge:
    # Azure/AzureStor#119. The signature's text is ours: no source was found.
    'storage': TokenRefusals(
        code='InvalidAuthenticationInfo',
        message='Server failed to authenticate the request. Please refer to the information in the '
        'www-authenticate header.',
        wrong_audience='Audience validation failed. Audience did not match.',
        expired='Lifetime validation failed. The token is expired.',
        wrong_signature='Signature validation failed.',
    ),
}


class Entra:
    """Tokens of one identity; `now` and `life` say the time and how long a token lives.

    Also a certificate for TLS on 127.0.0.1, and that of the authority that has signed it. Both are
    files in the folder and made for this run.
    """

    def __init__(
        self,
        folder: Path,
        faults: Faults,
        now: Callable[[], datetime],
        life: Callable[[], timedelta],
    ) -> None:
        self._faults = faults
        self._now = now
        self._life = life
        self._secret = secrets.token_bytes(32)
        self._header = secrets.token_hex(16)

        self.certificate = folder / 'server.pem'  # and its key
        self.authority = folder / 'authority.pem'
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.authority)
        server = authority.issue_cert('127.0.0.1')
        server.private_key_and_cert_chain_pem.write_to_path(self.certificate)

        self.server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_tls.load_cert_chain(self.certificate)
        self.client_tls = ssl.create_default_context(cafile=self.authority)

    def environment(self, url: str) -> dict[str, str]:
        """What azure-identity asks for tokens, and the authority that requests trusts."""
        return {
            'IDENTITY_ENDPOINT': f'{url}/msi/token',
            'IDENTITY_HEADER': self._header,
            'REQUESTS_CA_BUNDLE': str(self.authority),
        }

    # Tokens

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """A good token for the first scope: as a credential of azure-core."""
        return self._issue(scopes[0].removesuffix('/.default'), None)

    def _issue(self, resource: str, problem: str | None) -> AccessToken:
        """A token that the service accepts, but for a problem of which the client is not told."""
        now = self._now()
        life = self._life()
        start = now - 2 * life if problem == 'expired' else now
        claims = {
            'aud': ELSEWHERE if problem == 'audience' else resource,
            'iss': f'https://sts.windows.net/{TENANT}/',  # Azurite looks at this
            'iat': start,
            'nbf': start,
            'exp': start + life,
            'tid': TENANT,
            'oid': IDENTITY,
            'sub': IDENTITY,
            'appid': IDENTITY,
            'ver': '1.0',
        }
        secret = secrets.token_bytes(32) if problem == 'signature' else self._secret
        token = jwt.encode(claims, secret, 'HS256')
        return AccessToken(token, int((now + life).timestamp()))

    def endpoint(self, request: Handler) -> Answer:
        """The backend of IDENTITY_ENDPOINT.

        App Service docs, "REST endpoint reference", API version 2019-08-01.
        """
        resource = request.arguments.get('resource', '')
        if request.headers.get('X-IDENTITY-HEADER') != self._header:
            return _refused(401, 'Wrong X-IDENTITY-HEADER')
        if request.arguments.get('api-version') != '2019-08-01' or not resource:
            return _refused(400, 'Wrong api-version or no resource')

        token, expiry = self._issue(resource, self._armed_problem(resource))
        document = {
            'access_token': token,
            'expires_on': str(expiry),
            'resource': resource,
            'client_id': IDENTITY,
            'token_type': 'Bearer',
        }
        return _json_answer(200, document)

    def _armed_problem(self, resource: str) -> str | None:
        """What shall be wrong with a token for the resource: a fault."""

        def concerns(fault: BadTokens) -> bool:
            if fault.service is None:
                return True
            return AUDIENCES[fault.service].rstrip('/') in resource

        fault = self._faults.take(BadTokens, concerns)
        return fault.problem if fault else None

    # Checks

    def refusal(self, service: Service, authorization: str) -> RequestFault | None:
        """What the service answers to a token that is not good; None if it is, or there is none."""
        scheme, _, token = authorization.partition(' ')
        if scheme != 'Bearer' or service == 'identity':
            return None
        detail = self._what_is_wrong(service, token)
        if detail is None:
            return None

        says = _REFUSALS[service]
        return RequestFault(
            service=service,
            status=401,
            code=says.code,
            message=says.message,
            detail=detail,
            headers={'WWW-Authenticate': CHALLENGE} if service == 'storage' else {},
        )

    def _what_is_wrong(self, service: Service, token: str) -> str | None:
        says = _REFUSALS[service]
        try:
            claims = jwt.decode(token, self._secret, algorithms=['HS256'], options=UNCHECKED)
        except jwt.InvalidTokenError:
            return says.wrong_signature

        audience = claims['aud']
        if audience.rstrip('/') != AUDIENCES[service].rstrip('/'):
            return says.wrong_audience.format(audience=audience)

        now = self._now()
        expiry = datetime.fromtimestamp(claims['exp'], UTC)
        if expiry + timedelta(seconds=SKEW) <= now:
            return says.expired.format(expiry=expiry, now=now)
        return None


def identity_error(fault: RequestFault, _request_id: str) -> Answer:
    """An error of the endpoint that a fault asks for."""
    return _refused(fault.status, fault.message or fault.code)


def _refused(status: int, message: str) -> Answer:
    return _json_answer(status, {'statusCode': status, 'message': message})


def _json_answer(status: int, document: dict[str, Any]) -> Answer:
    return Answer(status, {'Content-Type': 'application/json'}, json.dumps(document).encode())
