"""The reference plant and its people: physics, a controller behind real servers, an operator, an attacker, and the network they live in.

Nothing here is shared with the twin: the twin knows the plant from `plant.yaml` alone, as it would know a customer's plant.  From that
file this room reads only the interface: the sections `tags` and `modbus`.
"""
