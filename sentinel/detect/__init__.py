"""Detect: windows come in, detections go out.  One file per detector; `catalogue` lists them all.

A detector learns windows, is activated, then scores windows; what it learnt leaves and comes back as arrays and JSON values.  A
detection says which feature deviates, how far, compared with what, and the cause it belongs to.  Causes are keys of the form
"kind:subject":

- ``actor:ASSET``: what one asset does that it should not, whatever it is: contacts, commands, scans, floods;
- ``link:MAC``: somebody between two assets; ``tamper:MAC``: what passes there was changed;
- ``crowd:SERVER``: what so many assets do to one at the same time that their addresses are forged, or do not matter one by one;
- ``contact:CLIENT>SERVER``: two known assets that had nothing to do with each other;
- ``habit:CLIENT``, ``protocol:ASSET``, ``rhythm:ASSET``, ``process:NAME``: small news and symptoms, which triage adds to a stronger
  finding about the same asset where there is one.
"""
