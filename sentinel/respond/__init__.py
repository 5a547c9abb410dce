"""Propose, then enforce.

The deciding half (``playbook``, ``interlock``, ``rehearse``, ``lifecycle``) is pure: findings, verdicts, assets and conduits in, actions
out.  ``enforcers`` is the acting half: the only place that touches a network, one file per way to do it.
"""
