"""Models that are machine code of others (FMI 2.0 and 3.0, co-simulation), in a process of their own that may do nothing but compute.

In: a `Foreign` plant, a snapshot and schedules of writes.  Out: the engine's `Rollout`s.  `client` asks; `python -m sandbox.fmu` (`worker`)
locks itself in, loads the library and drives it (`binding`, by `loop`).  An FMU may crash, hang, leak or lie: then there is no rollout, and
why.  Never in the court, never in a gate: a case of the wire tier, or a person's question.
"""
