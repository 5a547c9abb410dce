"""The controller's OPC UA server: one variable per tag, in engineering units, with the controller's time as SourceTimestamp.

In: `Registers`.  Out: a listening server (security policies None and Basic256Sha256 with a certificate made at start; anonymous users).
Bits are Boolean, all else is Double; a client's write goes to the same registers as a Modbus write and is clipped by the same types.
"""

import datetime
import ipaddress
import logging
import math
from typing import Any

from asyncua import Server, ua
from asyncua.crypto.cert_gen import dump_private_key_as_pem, generate_private_key, generate_self_signed_app_certificate
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from sentinel.clock import Clock
from sentinel.demo.registers import Registers
from sentinel.model.tags import Tag, TagMap
from sentinel.model.time import NS_PER_S

NAMESPACE_URI = "urn:sentinel:reference-plant"
_APPLICATION_URI = "urn:sentinel:reference-plant:server"
_MAX_CLIENTS = 32


class OpcuaService:
    def __init__(self, registers: Registers, tags: TagMap, clock: Clock) -> None:
        self._registers = registers
        self._tags = [tag for tag in tags.tags if tag.opcua]
        self._clock = clock
        self._server: Server | None = None
        self._ours: ua.DataValue | None = None  # what `publish` writes at this moment: not a client's
        self._published: dict[str, float] = {}
        self.writes = 0

    async def start(self, host: str, port: int) -> str:
        """Returns its URL (``port`` 0 = any free)."""
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # it prints its clients' mistakes as its own errors
        server = Server()
        await server.init()
        await server.set_application_uri(_APPLICATION_URI)
        server.set_server_name("Reference plant")
        server.set_endpoint(f"opc.tcp://{host}:{port}/")
        server.set_identity_tokens([ua.AnonymousIdentityToken])
        policies = ua.SecurityPolicyType
        server.set_security_policy([policies.NoSecurity, policies.Basic256Sha256_Sign, policies.Basic256Sha256_SignAndEncrypt])
        certificate, key = _credentials(host)
        await server.load_certificate(certificate, "DER")
        await server.load_private_key(key, format="PEM")
        server.iserver.max_connections = _MAX_CLIENTS
        index = await server.register_namespace(NAMESPACE_URI)
        plant = await server.nodes.objects.add_object(ua.NodeId("Plant", index), ua.QualifiedName("Plant", index))
        for tag in self._tags:
            node = ua.NodeId.from_string(str(tag.opcua))
            variable = await plant.add_variable(node, ua.QualifiedName(tag.name, node.NamespaceIndex), self._variant(tag).Value)
            await variable.write_attribute(ua.AttributeIds.Description, ua.DataValue(ua.Variant(ua.LocalizedText(tag.doc))))
            if tag.writable:
                await variable.set_writable()
                server.set_attribute_value_setter(node, self._setter(tag), ua.AttributeIds.Value)
        await server.start()
        self._server = server
        await self.publish()
        return f"opc.tcp://{server.bserver.hostname}:{server.bserver.port}/"

    async def publish(self) -> None:
        """Brings every changed tag to its node, stamped now."""
        if self._server is None:
            return
        stamp = datetime.datetime.fromtimestamp(self._clock.now() / NS_PER_S, datetime.UTC)
        for tag in self._tags:
            value = self._registers.value(tag.name)
            if self._published.get(tag.name) == value:
                continue
            self._published[tag.name] = value
            self._ours = ua.DataValue(self._variant(tag), SourceTimestamp=stamp, ServerTimestamp=stamp)
            await self._server.write_attribute_value(ua.NodeId.from_string(str(tag.opcua)), self._ours)

    async def stop(self) -> None:
        if self._server:
            await self._server.stop()

    def _variant(self, tag: Tag) -> ua.Variant:
        value = self._registers.value(tag.name)
        if tag.modbus and tag.modbus.is_bit:
            return ua.Variant(bool(value), ua.VariantType.Boolean)
        return ua.Variant(value, ua.VariantType.Double)

    def _setter(self, tag: Tag) -> Any:
        def write(node: Any, attribute: ua.AttributeIds, value: ua.DataValue) -> None:
            if value is not self._ours:
                written = value.Value.Value if value.Value is not None else None
                if not isinstance(written, (bool, float)) or math.isnan(written):
                    raise ua.uaerrors.BadOutOfRange
                self._registers.put(tag.name, written)
                self.writes += 1
                # what the registers made of it (clipped, rounded) is what readers see next
                self._published[tag.name] = math.nan
            node.attributes[attribute].value = value

        return write


def _credentials(host: str) -> tuple[bytes, bytes]:
    """A self-signed application certificate (OPC 10000-6, 6.2.2) and its key, for as long as the process lives."""
    key = generate_private_key()
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(_APPLICATION_URI), x509.IPAddress(ipaddress.ip_address(host))]
    certificate = generate_self_signed_app_certificate(
        key, "Reference plant", {"organizationName": "Sentinel"}, names, [ExtendedKeyUsageOID.SERVER_AUTH]
    )
    return certificate.public_bytes(Encoding.DER), dump_private_key_as_pem(key)
