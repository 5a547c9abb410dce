"""Ways to enforce an approved action, each behind the port `Enforcer`.  A new way is one file here and one line below."""

from sentinel.respond.enforcers.dry_run import DryRunEnforcer
from sentinel.respond.enforcers.gate import GateEnforcer
from sentinel.respond.enforcers.nftables import NftablesEnforcer

CATALOGUE: dict[str, type[DryRunEnforcer | GateEnforcer | NftablesEnforcer]] = {
    "dry_run": DryRunEnforcer,
    "gate": GateEnforcer,
    "nftables": NftablesEnforcer,
}
