"""The inline gate for Modbus/TCP: reads pass at once, a write waits for its verdict or its deadline.

Clients talk to the gate's listen address; the gate opens one connection of its own to the server for each of theirs and relays octets.
What is not a defined read (`sentinel.model.modbus.is_read`) is held: it goes to the brain as a `Command`, the brain answers with a
`Ruling`, and until then nothing that the same client sent later on that connection reaches the server.  Other connections are not delayed.
Answers keep the order of the requests.  No write is decided later than its deadline after its arrival, wherever it stood in a pipeline.

When things fail:
- **No ruling by the deadline** (the brain is slow or gone): the written tags' declared `on_deadline` decides; refuse wins over forward.
  Commands and outcomes wait in the outbox and are delivered when the brain is back.
- **The server is away**: the client's connection is closed.  A write that was held for it is not forwarded.
- **The gate itself is dead**: nobody listens, so clients get "connection refused" and the server keeps doing what it was last told.
  That is fail-closed for commands and for views alike; a plant that cannot bear it puts the gate beside a bypass of its own.  Its
  supervisor starts it again, and its quarantines come back with it from a file in the run directory.
  On the route to the server (`transparent`) packets for the server are dropped meanwhile; the bypass is a command that a person gives.
- **Killed while it holds**: the client's connection is reset, the write does not reach the server, and the brain records that outcome when
  the gate is back.  An outcome is told before it is done.
- **Safety-instrumented points** (`Tag.safety`) are never held: a write of nothing but such points passes.  A write that mixes them with
  other points is held as a whole, for otherwise one safety point would carry anything past the gate.
"""
