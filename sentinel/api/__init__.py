"""show: the API.  The only door to FastAPI; what it answers it takes from the records and from the ports of an `ApiState`."""

from sentinel.api.app import build_app, build_enrolment_app
from sentinel.api.ports import Actions, ApiState, Planning, Twin
from sentinel.api.server import Tls, serve

__all__ = ["Actions", "ApiState", "Planning", "Tls", "Twin", "build_app", "build_enrolment_app", "serve"]
