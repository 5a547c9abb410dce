"""The planners by the name that the command line and the API know them by."""

from sentinel.optimise.scheduling import SchedulingPlanner

CATALOGUE: dict[str, type[SchedulingPlanner]] = {"scheduling": SchedulingPlanner}
