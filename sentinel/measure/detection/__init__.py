"""Detection measured: the product's own detectors against labelled data of others; figures come out that an outsider can check.

Files are read by `datasets`, judged by `process`, `captures` and `valves`, measured by `metrics`; ``sentinel bench detect`` and
``sentinel bench valve`` print what comes of it.  Thresholds come from training data alone; point-adjusted figures are not computed.
"""
