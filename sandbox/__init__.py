"""The court: a process of its own, in an empty network namespace, that lives through a command on the twin before the plant does.

In: a `Command` and the `Snapshot` to judge it from.  Out: a `Verdict`.  It sees the vocabulary and the twin, nothing else.
"""
