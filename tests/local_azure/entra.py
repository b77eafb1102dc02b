"""Microsoft Entra ID on this machine: tokens, the endpoint where a managed identity gets them, and their checks."""

from __future__ import annotations

import json
import secrets
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
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
ELSEWHERE = 'https://management.azure.com/'
# A service accepts a token a little beyond its expiry, since clocks differ and requests travel: Microsoft.IdentityModel
# (TokenValidationParameters.ClockSkew) by 300 seconds, here by so many that no test has to wait for minutes.
SKEW = 5
TENANT, IDENTITY = '11111111-2222-3333-4444-555555555555', '66666666-7777-8888-9999-000000000000'
CHALLENGE = f'Bearer authorization_uri=https://login.microsoftonline.com/{TENANT}/oauth2/authorize resource_id=https://storage.azure.com'


# What a service says to a token that is not good: code, message, and a detail for each kind of it.
_REFUSALS: dict[Service, dict[str, str]] = {
    # Code, message, audience: Azure/azure-sdk-for-net#8026; status: microsoft-authentication-library-for-js#1735. There
    # the audience lacks its last slash, which is accepted here, since newer clients send it so. The other two details
    # are Azure Resource Manager's, whose text for the audience is the same: no source with Batch was found.
    'batch': {
        'code': 'AuthenticationFailed',
        'message': 'Server failed to authenticate the request. Make sure the value of Authorization header is formed '
        'correctly.',
        'audience': "The access token has been obtained from wrong audience or resource '{audience}'. It should "
        "exactly match (including forward slash) with one of the allowed audiences 'https://batch.core.windows.net/'",
        'expired': "The access token expiry UTC time '{expiry:%c}' is earlier than current UTC time '{now:%c}'.",
        'signature': 'The access token is invalid.',
    },
    # Code, status, message, expired: Azure/azure-sdk-for-net#42859. Audience, challenge: Azure/AzureStor#119.
    'storage': {
        'code': 'InvalidAuthenticationInfo',
        'message': 'Server failed to authenticate the request. Please refer to the information in the www-authenticate '
        'header.',
        'audience': 'Audience validation failed. Audience did not match.',
        'expired': 'Lifetime validation failed. The token is expired.',
        'signature': 'Signature validation failed.',  # ours: no source was found
    },
}


class Entra:
    def __init__(
        self,
        folder: Path,
        faults: Faults,
        now: Callable[[], datetime],
        life: Callable[[], timedelta],
    ) -> None:
        self._faults, self._now, self._life = faults, now, life
        self._secret, self._header = secrets.token_bytes(32), secrets.token_hex(16)
        # TLS: a certificate with its key for 127.0.0.1, and that of the authority that has signed it, for this run.
        self.certificate, self.authority = folder / 'server.pem', folder / 'authority.pem'
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.authority)
        authority.issue_cert('127.0.0.1').private_key_and_cert_chain_pem.write_to_path(
            self.certificate
        )
        self.server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_tls.load_cert_chain(self.certificate)
        self.client_tls = ssl.create_default_context(cafile=self.authority)

    def environment(self, url: str) -> dict[str, str]:
        """What azure-identity asks for tokens, and the authority that requests trusts."""
        identity = {'IDENTITY_ENDPOINT': f'{url}/msi/token', 'IDENTITY_HEADER': self._header}
        return {**identity, 'REQUESTS_CA_BUNDLE': str(self.authority)}

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """A good token for the first scope: as a credential of azure-core."""
        return self._issue(scopes[0].removesuffix('/.default'), None)

    def _issue(self, resource: str, fault: str | None) -> AccessToken:
        """A token that the service accepts, but for the fault, of which the client is told nothing."""
        now, life = self._now(), self._life()
        start = now - 2 * life if fault == 'expired' else now
        claims = {
            'aud': ELSEWHERE if fault == 'audience' else resource,
            'iss': f'https://sts.windows.net/{TENANT}/',  # Azurite looks at this
            **{'iat': start, 'nbf': start, 'exp': start + life},
            **{'tid': TENANT, 'oid': IDENTITY, 'sub': IDENTITY, 'appid': IDENTITY, 'ver': '1.0'},
        }
        secret = secrets.token_bytes(32) if fault == 'signature' else self._secret
        return AccessToken(jwt.encode(claims, secret, 'HS256'), int((now + life).timestamp()))

    def endpoint(self, request: Handler) -> Answer:
        """The backend of IDENTITY_ENDPOINT (App Service docs, "REST endpoint reference", API version 2019-08-01)."""
        query = request.arguments
        resource = query.get('resource', '')
        if request.headers.get('X-IDENTITY-HEADER') != self._header:
            return _json_answer(401, {'statusCode': 401, 'message': 'Wrong X-IDENTITY-HEADER'})
        if query.get('api-version') != '2019-08-01' or not resource:
            return _json_answer(
                400, {'statusCode': 400, 'message': 'Wrong api-version or no resource'}
            )
        fault = self._faults.take(
            BadTokens,
            lambda fault: fault.service is None or AUDIENCES[fault.service].rstrip('/') in resource,
        )
        token, expiry = self._issue(resource, fault.problem if fault else None)
        content = {
            'access_token': token,
            'expires_on': str(expiry),
            'resource': resource,
            'client_id': IDENTITY,
        }
        return _json_answer(200, {**content, 'token_type': 'Bearer'})

    def refusal(self, service: Service, authorization: str) -> RequestFault | None:
        """What the service answers to a token that is not good; None if it is, or there is none."""
        scheme, _, token = authorization.partition(' ')
        if scheme != 'Bearer' or service == 'identity':
            return None
        says, wanted, now = _REFUSALS[service], AUDIENCES[service], self._now()
        options: Any = {
            'verify_aud': False,
            'verify_exp': False,
            'verify_nbf': False,
            'verify_iat': False,
        }
        claims: dict[str, Any] = {'aud': '', 'exp': 0}
        try:
            claims = jwt.decode(token, self._secret, algorithms=['HS256'], options=options)
            right, alive = (
                claims['aud'] in (wanted, wanted.rstrip('/')),
                claims['exp'] + SKEW > now.timestamp(),
            )
            kind = 'audience' if not right else 'expired' if not alive else None
        except jwt.InvalidTokenError:
            kind = 'signature'
        if not kind:
            return None
        expiry = datetime.fromtimestamp(claims['exp'], UTC)
        return RequestFault(
            service=service,
            status=401,
            code=says['code'],
            message=says['message'],
            detail=says[kind].format(audience=claims['aud'], expiry=expiry, now=now),
            headers={'WWW-Authenticate': CHALLENGE} if service == 'storage' else {},
        )


def _json_answer(status: int, content: dict[str, Any]) -> Answer:
    return Answer(status, {'Content-Type': 'application/json'}, json.dumps(content).encode())
