"""Signs: what a detection, a verdict, or the lack of either, says about what is behind a finding.

Weights are natural logarithms of odds, by judgement.  Every detector of the catalogue has a sign (tested); the first that fits is taken.
"""

from typing import NamedTuple

from sentinel.model.verdict import Intent, Judgement


class Sign(NamedTuple):
    """``weights`` of attack, fault, maintenance and misconfiguration; ``look_into`` may name {source}, {target} and {tags}."""

    detector: str
    feature: str  # how it begins
    weights: tuple[float, float, float, float]
    says: str
    look_into: str


SIGNS = (
    Sign(
        "lower",
        "relay",
        (3.0, -2.0, -1.5, -0.5),
        "somebody stands between two assets and passes on what they say",
        "the ARP tables of both ends, and the switch port of {source}",
    ),
    Sign(
        "lower",
        "binding",
        (1.0, -0.2, 0.8, 0.8),
        "an address is claimed by other hardware",
        "whether the device at {source} was replaced, or an address given twice",
    ),
    Sign(
        "lower",
        "changed",
        (3.0, -1.5, -2.0, -1.0),
        "what passes through somebody's hands arrives changed",
        "the same value at both ends: at {source} and on the device itself",
    ),
    Sign(
        "covert_channel",
        "",
        (3.0, -2.0, -2.0, -1.0),
        "values carry data that no process makes",
        "the programs on {source} and {target} that write and read these registers",
    ),
    Sign("exhaustion", "", (2.0, -0.5, -1.0, 0.4), "a server is made to work without a purpose", "which program runs on {source}"),
    Sign("brute_force", "", (2.0, -2.0, -1.0, 0.3), "one thing after the other is tried", "who is at {source}, and what it tried"),
    Sign("volume", "", (1.5, 0.3, -0.5, 0.6), "more is sent than ever before", "what runs on {source}, and a loop in the network"),
    Sign("scans", "", (1.4, -2.0, 0.5, 0.1), "somebody looks for whoever is there", "who is at {source}, and whether a scan was announced"),
    Sign(
        "logins",
        "login",
        (2.2, -2.0, -0.5, -0.2),
        "a login succeeds after many that were refused",
        "who logged in from {source}, and the account's password",
    ),
    Sign(
        "logins",
        "channel",
        (0.5, 0.6, 0.0, 1.0),
        "channels are opened and given up",
        "the log of {target}, for logins that it refused, and the connection of {source}",
    ),
    Sign(
        "logins",
        "",
        (1.4, -1.5, -0.3, 1.0),
        "passwords are tried out",
        "who is at {source}, and whether a program there has an old password",
    ),
    Sign("credentials", "", (-0.5, -1.5, -0.3, 2.0), "passwords travel in clear text", "the security policy that {target} offers"),
    Sign(
        "identity",
        "",
        (0.6, -1.0, 1.4, 0.2),
        "a device says that it is another",
        "the firmware and the serial number on the device itself, against the work orders",
    ),
    Sign("novelty", "asset", (0.8, -1.5, 0.9, 0.4), "an asset was never seen before", "what {source} is, and who plugged it in"),
    Sign(
        "novelty",
        "foreign write",
        (1.6, -2.0, 0.2, 0.2),
        "somebody writes who never did",
        "who is at {source}, and whether this write was ordered",
    ),
    Sign(
        "novelty", "foreign", (1.0, -1.5, 0.5, 0.3), "somebody asks a device that it never asked", "which program on {source} asks {target}"
    ),
    Sign(
        "novelty",
        "turned client",
        (1.2, -1.2, 0.4, 0.2),
        "a device that only answered asks others",
        "who speaks at the address of {source}, and whether its program was changed",
    ),
    Sign("novelty", "conversation", (0.5, -1.0, 0.8, 0.6), "two assets talk that never did", "what changed on {source}"),
    Sign("novelty", "new", (0.2, -1.0, 0.8, 0.8), "a known client does what it never did", "what changed on {source}"),
    Sign(
        "writers",
        "new writer",
        (1.2, -2.0, 0.5, 0.2),
        "somebody writes who never did",
        "who is at {source}, and whether this write was ordered",
    ),
    Sign(
        "writers",
        "new point",
        (0.3, -1.5, 0.9, 0.5),
        "a known writer sets a point for the first time",
        "whether setting {tags} was ordered",
    ),
    Sign(
        "rules",
        "",
        (0.9, -1.5, 0.7, 0.1),
        "a function is used that belongs to engineering or to attacks",
        "who is at {source}, and the work order for it",
    ),
    Sign(
        "sequence",
        "command",
        (1.4, -0.5, 0.3, 0.4),
        "a command comes without what always came before it",
        "which program on {source} sent it, beside its usual order of requests",
    ),
    Sign(
        "sequence",
        "",
        (0.5, 0.6, 0.3, 0.4),
        "requests have lost their order",
        "which program on {source} asks {target}, and answers that were lost",
    ),
    Sign("limits", "write", (0.7, -2.0, 0.1, 0.9), "a value is written outside what it may be", "who set {tags}, and what was meant"),
    Sign("limits", "", (0.1, 1.0, 0.3, 0.2), "a value lies outside what it may be", "{tags} on site, beside its reading"),
    Sign(
        "liveness",
        "",
        (0.9, 1.0, 0.2, 0.0),
        "a transmitter shows no signs of life, or the same ones again",
        "{tags} on site, beside its reading",
    ),
    Sign(
        "quiet",
        "",
        (0.8, 0.4, 0.2, 0.7),
        "readings have lost the noise of their transmitter",
        "filters on the way of {tags}, and {tags} on site",
    ),
    Sign("sources", "", (1.2, 0.6, 0.2, 0.7), "two sources do not agree on a value", "{tags} on site, beside both readings"),
    Sign("residual", "", (0.3, 1.1, 0.3, 0.1), "values do not fit together as they do", "{tags} on site, beside its reading"),
    Sign("strokes", "", (0.2, 1.2, 0.6, 0.0), "an actuator moves otherwise than it does", "air supply, packing and positioner of {tags}"),
    Sign(
        "dynamics",
        "phase",
        (0.6, 0.4, 0.2, 0.8),
        "a phase lasts longer or shorter than it does",
        "the recipe and the timers behind {tags}, against what was released",
    ),
    Sign(
        "dynamics",
        "dead time",
        (0.4, 1.0, 0.5, 0.2),
        "a loop begins to answer otherwise than it does",
        "valve, transmitter and network of the loop of {tags}",
    ),
    Sign(
        "dynamics",
        "",
        (0.6, 0.8, 0.5, 0.6),
        "a loop answers otherwise than it does",
        "the tuning of the controller of {tags}, against what was released, and its actuator",
    ),
    Sign("spectrum", "", (0.0, 1.6, 0.4, -0.3), "a machine sounds otherwise than it does", "bearings, coupling and fastening of {tags}"),
    Sign("timing", "silence", (0.2, 1.2, 0.6, 0.2), "a device does not answer any more", "power and network of {target}"),
    Sign("timing", "", (0.3, 0.6, 0.2, 0.5), "a poll has lost its rhythm", "the load of {source} and of the network"),
    Sign("protocol", "malformed", (0.5, 0.5, -0.8, 0.8), "octets are sent that no standard knows", "which program on {source} sends this"),
    Sign(
        "protocol", "exceptions", (0.2, 0.2, 0.1, 1.3), "a device refuses what it is asked", "the address list of {source} against {target}"
    ),
    Sign("blindness", "", (0.2, 0.0, 0.3, 0.6), "what is said cannot be read", "which protocol {source} and {target} speak there"),
    Sign("gaps", "", (-1.0, 0.8, 0.0, 1.5), "the sensor misses octets", "mirror port and load of the switch"),
    Sign(
        "backlog",
        "",
        (0.8, -1.0, -0.5, 0.9),
        "more is written than can be judged",
        "which program on {source} writes so much",
    ),
    Sign(
        "baseline",
        "",
        (0.1, 0.7, 0.6, 0.5),
        "what is usual has moved",
        "season, wear and changes of the plant since the baseline was learnt",
    ),
)
COURT = {
    (Judgement.UNSAFE, Intent.TARGETED): Sign(
        "", "", (2.5, -2.0, -1.5, 0.0), "the twin saw harm, and signs of a purpose", "the case of the verdict, and who was at {source}"
    ),
    (Judgement.UNSAFE, None): Sign(
        "",
        "",
        (0.5, -2.0, 0.0, 1.4),
        "the twin saw harm, without signs of a purpose",
        "the case of the verdict: what was meant, and the nearest safe value",
    ),
    (Judgement.SAFE, None): Sign(
        "", "", (-0.6, -0.3, 0.8, 0.3), "the twin saw no harm in what was commanded", "the shift log of this time"
    ),
}
NOBODY = Sign("", "", (-1.2, 0.8, 0.0, 0.0), "nobody on the network did anything new", "work permits and the shift log of this time")
BOTH = Sign(
    "", "", (0.9, -0.5, 0.0, 0.0), "the process moved when somebody did what he never did", "the trend of {tags} against what {source} sent"
)
MANY = Sign(
    "", "", (0.8, -0.8, -0.3, -0.5), "several techniques follow each other", "the frames in their order: /findings/ID/evidence/tree"
)


def sign_of(detector: str, feature: str) -> Sign | None:
    return next((one for one in SIGNS if one.detector == detector and feature.startswith(one.feature)), None)
