// What npm's iam-simulate says of calls. Standard input: {policies: {function: [policy]}, calls: [[function, action,
// resource]]}. Standard output: for each call, "Allowed" or why not.
import { runSimulation } from "@cloud-copilot/iam-simulate";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { account, policies, calls } = JSON.parse(Buffer.concat(chunks).toString());

async function verdict([name, action, resource]) {
  const answer = await runSimulation(
    {
      request: {
        principal: `arn:aws:iam::${account}:role/${name}`,
        action,
        resource: { resource, accountId: account },
        contextVariables: {},
      },
      identityPolicies: policies[name].map((policy, at) => ({ name: `${name}-${at}`, policy })),
      serviceControlPolicies: [],
      resourceControlPolicies: [],
    },
    {},
  );
  return answer.resultType === "error" ? `error: ${JSON.stringify(answer.errors)}` : answer.overallResult ?? answer.analysis?.result;
}

process.stdout.write(JSON.stringify(await Promise.all(calls.map(verdict))));
