"""One file per resource.  A route declares its permission with `needs`; `CATALOGUE` is the explicit list that the application serves."""

from fastapi import APIRouter

from sentinel.api.routes import (
    actions,
    appliance,
    assets,
    audit,
    baseline,
    commands,
    docs,
    events,
    evidence,
    findings,
    history,
    observations,
    people,
    plans,
    twin,
    verdicts,
)

CATALOGUE: tuple[APIRouter, ...] = (
    assets.router,
    observations.router,
    history.router,
    findings.router,
    evidence.router,
    commands.router,
    verdicts.router,
    actions.router,
    events.router,
    twin.router,
    baseline.router,
    plans.router,
    audit.router,
    people.router,
    appliance.router,
    docs.router,
)
