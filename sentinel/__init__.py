"""Sentinel: no command reaches the plant before the twin has lived through it.

Data walks one way: wire, observation, window, detection, finding, verdict, action, analyst.  ``ARCHITECTURE.md`` is the map;
``sentinel.model`` holds the words, ``sentinel.ports`` the shape of every plug.
"""

__version__ = "0.1.0"
