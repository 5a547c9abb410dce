"""The brain's side of the socket: what collectors deliver becomes typed values for one sink, and is acknowledged once the sink has kept it.

In: frames of `sentinel.model.framing` on a unix socket (0600 in a directory of 0700). Out, to the sink: `Heard`, `Polled`, `Command`,
`Outcome`, `Outage`, `TurnedAway`, `Receipt` and `Presence`.  The sink returns as soon as a value is kept: judging goes on elsewhere and
comes back by `rule`.  It is called for several values at once: a command waits neither behind a batch of observations nor behind
another command.  Values go in in the order of their lane (`sentinel.model.exchange`); bulk goes in one after the other, and an outcome
only after its command is kept. Nothing is acknowledged before the sink has returned.  A sink that raises `TransientError` gets the
value again, when the collector has connected anew; any other exception is our bug: logged, counted as failed, and not repeated, for one
bad value must not block the road. What had arrived when a collector vanished is still kept, and what a killed gate held gets an outcome
when the gate is back. A sender whose frames contradict the protocol is cut off and counted as refused.
"""

from sentinel.intake.server import Intake

__all__ = ["Intake"]
