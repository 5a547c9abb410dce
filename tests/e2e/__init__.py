"""End to end: real counterparts in network namespaces that a test makes and takes down."""
