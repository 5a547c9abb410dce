// An OPC UA server whose stack is node-opcua.
//
//     NODE_PATH=tests/node_modules node opcua_server.js HOST PORT PKI_DIRECTORY NAME=VALUE ...
//
// Serves each NAME as the writable double "ns=2;s=NAME", on endpoints None and SignAndEncrypt (Basic256Sha256), to anybody; beside them
// "ns=2;s=SLOW", whose writes take three seconds, and a method "ns=2;s=linger" of "ns=2;s=Plant", which takes as long.
// Says `ready`, and `NAME = VALUE` for every write.
"use strict";
const opcua = require("node-opcua");
const LINGER_MS = 3000;

async function main([host, port, pki, ...tags]) {
  const trust = new opcua.OPCUACertificateManager({ rootFolder: pki, automaticallyAcceptUnknownCertificate: true });
  const users = new opcua.OPCUACertificateManager({ rootFolder: `${pki}-users`, automaticallyAcceptUnknownCertificate: true });
  await trust.initialize();
  await users.initialize();
  const server = new opcua.OPCUAServer({
    host,
    hostname: host,
    port: Number(port),
    resourcePath: "/plant",
    serverCertificateManager: trust,
    userCertificateManager: users,
    securityModes: ["None", "Sign", "SignAndEncrypt"].map((mode) => opcua.MessageSecurityMode[mode]),
    securityPolicies: [opcua.SecurityPolicy.None, opcua.SecurityPolicy.Basic256Sha256],
    allowAnonymous: true,
    maxConnectionsPerEndpoint: 500,
    serverCapabilities: { maxSessions: 500 },
    registerServerMethod: opcua.RegisterServerMethod.HIDDEN,
    serverInfo: { applicationUri: "urn:counterpart:plant", productUri: "urn:counterpart:plant" },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const plant = space.registerNamespace("urn:counterpart:tags");
  const folder = plant.addFolder(space.rootFolder.objects, { nodeId: "s=Plant", browseName: "Plant" });
  plant.addVariable({
    componentOf: folder,
    nodeId: "s=SLOW",
    browseName: "SLOW",
    dataType: "Double",
    value: {
      timestamped_get: () => new opcua.DataValue({ value: { dataType: opcua.DataType.Double, value: 0 } }),
      timestamped_set: (value, done) => setTimeout(() => done(null, opcua.StatusCodes.Good), LINGER_MS),
    },
  });
  const linger = plant.addMethod(folder, { nodeId: "s=linger", browseName: "linger", inputArguments: [], outputArguments: [] });
  linger.bindMethod((inputs, context, done) => setTimeout(() => done(null, { statusCode: opcua.StatusCodes.Good }), LINGER_MS));
  for (const tag of tags) {
    const [name, start] = tag.split("=");
    let value = Number(start);
    plant.addVariable({
      componentOf: folder,
      nodeId: `s=${name}`,
      browseName: name,
      dataType: "Double",
      minimumSamplingInterval: 50,
      value: {
        get: () => new opcua.Variant({ dataType: opcua.DataType.Double, value }),
        set: (variant) => {
          value = variant.value;
          console.log(`${name} = ${value}`);
          return opcua.StatusCodes.Good;
        },
      },
    });
  }
  await server.start();
  console.log("ready");
  process.on("SIGTERM", () => server.shutdown(0).then(() => process.exit(0)));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
