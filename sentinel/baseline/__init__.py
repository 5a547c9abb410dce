"""The baseline: what is normal here, as it was learnt.

Observations come in, one-second windows go out (`gather`); wire values become readings and commands (`values`); who is there and who
talks to whom is kept as an inventory (`inventory`); the learnt models of all detectors rest in one file (`store`); learning, active and
drifting are the states of it all (`lifecycle`).
"""
