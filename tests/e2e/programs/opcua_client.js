// An OPC UA client whose stack is node-opcua.
//
//     NODE_PATH=tests/node_modules node opcua_client.js URL None|SignAndEncrypt PKI_DIRECTORY STEP ...
//
// Steps: `NODE` reads, `NODE=VALUE` writes a double, `NODE@MS` subscribes and reports until it is told to end.
// Says `connected`, and `NODE = VALUE` for what it reads; ends with status 1 on any bad status code.
"use strict";
const opcua = require("node-opcua");

async function main([url, mode, pki, ...steps]) {
  const trust = new opcua.OPCUACertificateManager({ rootFolder: pki, automaticallyAcceptUnknownCertificate: true });
  await trust.initialize();
  const client = opcua.OPCUAClient.create({
    applicationName: "counterpart",
    clientCertificateManager: trust,
    securityMode: opcua.MessageSecurityMode[mode],
    securityPolicy: mode === "None" ? opcua.SecurityPolicy.None : opcua.SecurityPolicy.Basic256Sha256,
    connectionStrategy: { maxRetry: 2, initialDelay: 200, maxDelay: 1000 },
    endpointMustExist: false,
  });
  await client.connect(url);
  const session = await client.createSession();
  console.log("connected");
  let watching = false;
  for (const step of steps) {
    const [, node, sign, argument] = /^(ns=\d+;s=[^=@]+)(?:([=@])(.*))?$/.exec(step);
    if (sign === "@") {
      watching = true;
      const subscription = await session.createSubscription2({ requestedPublishingInterval: Number(argument), publishingEnabled: true });
      const item = await subscription.monitor(
        { nodeId: node, attributeId: opcua.AttributeIds.Value },
        { samplingInterval: Number(argument), queueSize: 10 },
        opcua.TimestampsToReturn.Both,
      );
      item.on("changed", (value) => console.log(`${node} = ${value.value.value}`));
    } else if (sign === "=") {
      const value = new opcua.Variant({ dataType: opcua.DataType.Double, value: Number(argument) });
      const status = await session.write({ nodeId: node, attributeId: opcua.AttributeIds.Value, value: { value } });
      if (status.value !== 0) throw new Error(`write ${node}: ${status.name}`);
      console.log(`wrote ${node}`);
    } else {
      const read = await session.read({ nodeId: node, attributeId: opcua.AttributeIds.Value });
      if (read.statusCode.value !== 0) throw new Error(`read ${node}: ${read.statusCode.name}`);
      console.log(`${node} = ${read.value.value}`);
    }
  }
  const end = () => session.close(true).then(() => client.disconnect()).then(() => process.exit(0));
  if (watching) process.on("SIGTERM", end);
  else await end();
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
