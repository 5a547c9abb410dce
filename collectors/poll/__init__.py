"""Polling: active, read-only, off unless a site asks for it.  One process per device; each feeds `Polled` readings to the brain.

A device that is away gives readings of quality BAD without a value (NaN), so that nobody takes an old value for a present one.
"""
