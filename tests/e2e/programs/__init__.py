"""Counterparts as programs of their own; each says "ready" on its output once it serves."""
