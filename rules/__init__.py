"""Detection as data: Sigma rules by protocol, each with samples that must match and samples that must not, and the pinned ATT&CK table."""
