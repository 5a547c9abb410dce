"""An asyncua server: ``python asyncua_server.py PORT DIRECTORY``.  Says `serving`; ends when its input does.

Serves doubles SP, SAFE and FAST in namespace 2 and a method DO; user "op" with password "secret" and anonymous users.  Its certificate is
DIRECTORY/server.der.  A process of its own, for asyncua never shares one with scapy.
"""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import User, UserRole
from cryptography.x509.oid import ExtendedKeyUsageOID

logging.disable(logging.CRITICAL)


class Users:
    def get_user(self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None) -> User | None:
        return User(role=UserRole.User) if username is None or (username, password) == ("op", "secret") else None


async def serve(port: int, directory: Path) -> None:
    server = Server(user_manager=Users())
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plant")
    await server.set_application_uri("urn:test:server")
    kinds = ua.SecurityPolicyType
    server.set_security_policy(
        [
            kinds.NoSecurity,
            kinds.Basic256Sha256_Sign,
            kinds.Basic256Sha256_SignAndEncrypt,
            kinds.Aes128Sha256RsaOaep_Sign,
            kinds.Aes128Sha256RsaOaep_SignAndEncrypt,
            kinds.Aes256Sha256RsaPss_Sign,
            kinds.Aes256Sha256RsaPss_SignAndEncrypt,
        ]
    )
    key, certificate = directory / "server.pem", directory / "server.der"
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    await setup_self_signed_certificate(key, certificate, "urn:test:server", "127.0.0.1", usage, {"commonName": "server"})
    await server.load_certificate(str(certificate))
    await server.load_private_key(str(key))
    index = await server.register_namespace("urn:test")
    for name in ("SP", "SAFE", "FAST"):
        node = await server.nodes.objects.add_variable(ua.NodeId(name, index), name, 1.0)
        await node.set_writable()

    async def started(parent: Any, *arguments: Any) -> list[Any]:
        await server.get_node(ua.NodeId("SP", index)).write_value(99.0)
        return []

    await server.nodes.objects.add_method(ua.NodeId("DO", index), "DO", started, [ua.VariantType.Double], [])
    async with server:
        print("serving", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
