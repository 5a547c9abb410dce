"""The inline gate for OPC UA: an endpoint that terminates the secure channel, with a certificate of its own on both sides.

A client opens its channel to the gate, under any of the policies None, Basic256Sha256, Aes128_Sha256_RsaOaep and Aes256_Sha256_RsaPss;
the gate opens one of the same policy and mode to the server, for this client alone.  Messages pass service by service.  Write, Call,
HistoryUpdate, Add and Delete of nodes and references, SessionlessInvoke and what no standard knows are held as `collectors.gate` holds a
Modbus write; everything else passes at once, past a held request of the same session too.

What that changes for a plant, beside what `collectors.gate` says of deadlines and of ends:
- **Certificates**: clients and server trust the gate's certificate, and the gate trusts theirs (`certificates`).  Whoever the gate does
  not trust gets Bad_SecurityChecksFailed, and its certificate lies in ``rejected`` for a person to look at.  The server sees one
  application, the gate: what it permits by application certificate it permits to all that the gate trusts.
- **Users**: anonymous, and names with passwords, which are decrypted and encrypted anew for the server.  Certificates and issued tokens are
  not offered, and refused with Bad_IdentityTokenRejected when they come: a user proves his key by signing the certificate of the endpoint
  that he sees, which is the gate's, and the server would check the proof against its own (OPC 10000-4, 7.41.5).  Whoever needs them
  lets these clients go round the gate, and leaves their writes to the sensor.
- **The server is away**: the client gets Bad_ServerNotConnected and the connection ends; what was held for it is not forwarded.
- **The gate is dead**: connections are refused, and channels through it end with a reset; clients make new sessions when it is back.
"""
