"""The wire tier of the court: captured octets are played to an emulated device, and what they change there is judged.

In: snapshots and commands with their octets, over a socket like the court's.  Out: verdicts whose evidence says what the device answered
and set.  For evidence and for functions that the court's own decoder cannot name; never in the way of a held write.  One warm process
(`zygote`); each case in a fork of it, in a network namespace of its own (`case`); the only door to pymodbus here is `modbus`.
"""
