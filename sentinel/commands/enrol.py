"""``sentinel enrol NAME --role ROLE``: a certificate for a person, issued on the box by whoever may read its authority's key.

Writes NAME.key, NAME.pem and ca.pem (mode 0600).  With ``--code`` nothing is written: a one-time code is printed, with which the person
turns a certificate request of their own into a certificate from elsewhere.  With ``--revoke`` all certificates of that name end.
"""

import argparse
import getpass
from pathlib import Path

from sentinel import settings as configuration
from sentinel.access import Access, Role
from sentinel.access import certificates as c
from sentinel.access.access import CODE_LASTS_S, PERSON_LASTS_S
from sentinel.access.authority import DAY_S
from sentinel.clock import Clock, SystemClock
from sentinel.durable import write_whole
from sentinel.errors import InputError, SentinelError
from sentinel.model.record import Credential
from sentinel.model.time import iso
from sentinel.places import Places
from sentinel.records import Records
from sentinel.settings import Settings

SUMMARY = "give a person a certificate, or a one-time code for one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of a person: letters, digits, dots, dashes and underscores")
    parser.add_argument("--role", action="append", default=[], choices=[str(role) for role in Role], help="may be given several times")
    parser.add_argument(
        "--dir", type=Path, default=Path(), metavar="DIRECTORY", help="where key and certificates are written (default: here)"
    )
    parser.add_argument(
        "--days", type=float, default=PERSON_LASTS_S / DAY_S, metavar="DAYS", help="how long the certificate lasts (default: %(default)g)"
    )
    parser.add_argument("--config", type=Path, default=Path("sentinel.toml"), help="settings file (default: %(default)s)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--code", action="store_true", help="print a one-time code instead")
    instead.add_argument("--revoke", action="store_true", help="end all certificates of this name instead")


def run(args: argparse.Namespace) -> int:
    settings = configuration.read(args.config)
    places = Places.of(settings, args.config)
    clock = SystemClock()
    records = Records(places.records, clock)
    try:
        access = Access(places.authority, records, clock)
        by = f"{getpass.getuser()} on the box"
        if args.revoke:
            _revoke(records, access, args.name, by)
        elif args.code:
            _invite(records, access, args, by, settings)
        else:
            _issue(records, access, args, by, settings, clock)
    finally:
        records.close()
    return 0


def _issue(records: Records, access: Access, args: argparse.Namespace, by: str, settings: Settings, clock: Clock) -> None:
    directory: Path = args.dir
    key = c.new_key()
    key_path, path, authorities = directory / f"{c.checked_name(args.name)}.key", directory / f"{args.name}.pem", directory / "ca.pem"
    for existing in (key_path, path):
        if existing.exists():
            raise InputError(f"{existing} exists already; it is not overwritten")
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(key_path, c.key_pem(key))  # before anything is issued: what cannot be written is issued to nobody
    except OSError as error:
        raise InputError(f"{directory}: cannot be written: {error.strerror}") from error
    try:
        issued = access.issue(args.name, args.role, key.public_key(), by=by, lasts_s=args.days * DAY_S)
    except SentinelError:
        key_path.unlink()
        raise
    records.audit.append(by, "enrol", args.name, "allow", serial=issued.credential.serial, roles=list(issued.credential.roles)).result()
    write_whole(path, issued.certificate)
    write_whole(authorities, issued.authorities)
    print(f"{args.name} ({', '.join(issued.credential.roles)}) until {iso(issued.credential.expires)}: {path}, {key_path}, {authorities}")
    print(f"curl --cacert {authorities} --cert {path} --key {key_path} https://{_host(settings)}:{settings.api.port}/me")


def _invite(records: Records, access: Access, args: argparse.Namespace, by: str, settings: Settings) -> None:
    if settings.api.enrol_port == 0:
        raise InputError("api.enrol_port is 0 in the settings: there is no door at which a code could be handed in")
    code, invitation = access.invite(args.name, args.role, by)
    records.audit.append(by, "people.invite", args.name, "allow", roles=list(invitation.roles)).result()
    print(f"code for {args.name} ({', '.join(invitation.roles)}), once, within {CODE_LASTS_S / 60:.0f} minutes: {code}")
    print(f"to send with a certificate request to https://{_host(settings)}:{settings.api.enrol_port}/enrol")
    print(f"SHA-256 fingerprint of the authority to compare there: {access.authority.fingerprint()}")


def _revoke(records: Records, access: Access, name: str, by: str) -> None:
    serials = [credential.serial for credential in records.each(Credential, where={"name": name, "revoked": 0})]
    if not serials:
        raise InputError(f"{name} has no certificate that could be revoked")
    for serial in serials:
        records.audit.append(by, "people.revoke", name, "allow", serial=serial).result()
        access.revoke(serial, by, "on the box")
    print(f"revoked for {name}: {len(serials)} certificate{'s' if len(serials) > 1 else ''}, from the next request on")


def _host(settings: Settings) -> str:
    """As it stands in a URL."""
    host = "127.0.0.1" if settings.api.host in ("0.0.0.0", "::", "") else settings.api.host  # noqa: S104  compared, not listened on
    return f"[{host}]" if ":" in host else host
