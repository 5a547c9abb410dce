"""Enrolment: a one-time code and a certificate request become a certificate.  The only thing that is served without a client certificate.

Attempts are limited per address and in all, and each that is looked at is an audit entry; the code itself is never written down.
"""

from collections import OrderedDict

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from sentinel.access.certificates import MAX_CSR_OCTETS
from sentinel.api.ports import ApiState
from sentinel.api.problems import problem
from sentinel.errors import InputError
from sentinel.model.time import Instant

ATTEMPTS = 10  # per address
ALL_ATTEMPTS = 60
PERIOD_S = 60.0
_ADDRESSES = 4096  # remembered; the one that has been silent longest is forgotten, the limit over all of them stays


class Redemption(BaseModel):
    model_config = ConfigDict(extra="forbid")

    code: str = Field(min_length=1, max_length=64)
    request: str = Field(max_length=MAX_CSR_OCTETS, description="a certificate request (PKCS #10) in PEM, its key on the curve P-256")


class Enrolled(BaseModel):
    certificate: str
    authorities: str
    name: str
    roles: list[str]
    expires: Instant


class _Allowance:
    """A token bucket."""

    def __init__(self, size: int, now_s: float) -> None:
        self._size, self._left, self._at_s = float(size), float(size), now_s

    def take(self, now_s: float) -> bool:
        self._left = min(self._size, self._left + (now_s - self._at_s) * self._size / PERIOD_S)
        self._at_s = now_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Enrolment:
    def __init__(self, state: ApiState) -> None:
        self._state = state
        self._all = _Allowance(ALL_ATTEMPTS, state.clock.monotonic_s())
        self._by_address: OrderedDict[str, _Allowance] = OrderedDict()

    def router(self) -> APIRouter:
        router = APIRouter()
        router.add_api_route("/enrol", self._enrol, methods=["POST"], status_code=201, response_model=Enrolled)
        return router

    async def _enrol(self, request: Request, redemption: Redemption) -> JSONResponse:
        address = request.client.host if request.client else "unix"
        if not self._may_try(address):
            retry = {"retry-after": str(round(PERIOD_S / ATTEMPTS))}
            return problem(429, "too many attempts; wait a little", instance="/enrol", headers=retry)
        return await run_in_threadpool(self._redeem, address, redemption)

    def _redeem(self, address: str, redemption: Redemption) -> JSONResponse:
        audit = self._state.records.audit
        try:
            issued = self._state.access.redeem(redemption.code, redemption.request.encode())
        except InputError as error:
            audit.append("unknown", "enrol", address, "deny 422", reason=str(error)).result()
            raise
        credential = issued.credential
        audit.append(credential.name, "enrol", address, "allow", serial=credential.serial, roles=list(credential.roles)).result()
        enrolled = Enrolled(
            certificate=issued.certificate.decode(),
            authorities=issued.authorities.decode(),
            name=credential.name,
            roles=list(credential.roles),
            expires=credential.expires,
        )
        return JSONResponse(enrolled.model_dump(), 201)

    def _may_try(self, address: str) -> bool:
        now_s = self._state.clock.monotonic_s()
        allowance = self._by_address.pop(address, None) or _Allowance(ATTEMPTS, now_s)
        self._by_address[address] = allowance  # the most recent last
        if len(self._by_address) > _ADDRESSES:
            self._by_address.popitem(last=False)
        return allowance.take(now_s) and self._all.take(now_s)
