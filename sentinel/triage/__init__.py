"""Triage: detections, verdicts, outcomes and outages come in, findings go out: one per cause, with everything that rests on it."""
