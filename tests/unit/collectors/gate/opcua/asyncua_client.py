"""An asyncua client: ``python asyncua_client.py URL POLICY MODE DIRECTORY USER:PASSWORD[,USER:PASSWORD ...]|- STEP ...``.

A step is NODE (read) or NODE=VALUE (write); each says one line: the value, `written` or the name of the status code.  Its certificate is
DIRECTORY/client.der, made where it is missing.  Several users log in one after the other, over a connection each.
"""

import asyncio
import logging
import sys
from pathlib import Path

from asyncua import Client, ua
from asyncua.crypto import security_policies
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

logging.disable(logging.CRITICAL)


async def speak(url: str, policy: str, mode: str, directory: Path, user: str, *steps: str) -> None:
    client = Client(url, timeout=10, watchdog_intervall=10)
    client.application_uri = "urn:test:client"
    key, certificate = directory / "client.pem", directory / "client.der"
    if not certificate.exists():
        usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
        await setup_self_signed_certificate(key, certificate, "urn:test:client", "127.0.0.1", usage, {"commonName": "client"})
    try:
        if policy != "None":
            kind = getattr(security_policies, f"SecurityPolicy{policy}")
            await client.set_security(kind, str(certificate), str(key), mode=ua.MessageSecurityMode[mode])
        if user != "-":
            name, _, password = user.partition(":")
            client.set_user(name)
            client.set_password(password)
        async with client:
            for step in steps:
                name, _, value = step.partition("=")
                node = client.get_node(f"ns=2;s={name}")
                try:
                    if value:
                        await node.write_value(float(value))
                    print("written" if value else await node.read_value(), flush=True)
                except ua.UaStatusCodeError as error:
                    print(type(error).__name__, flush=True)
    except (ua.UaError, OSError, TimeoutError) as error:
        print(type(error).__name__, flush=True)


for each in sys.argv[5].split(","):
    asyncio.run(speak(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]), each, *sys.argv[6:]))
