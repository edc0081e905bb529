// Runs executions of a state machine in an interpreter of somebody else's, npm's aws-local-stepfunctions.
//
// Standard input: {definition, lambda, executions: {name: input}, first, atOnce}. Standard output: {name: {status,
// error, states, inputs}}. What the interpreter leaves to its user is done here: the service integration `lambda:invoke`, as AWS does
// it, and the names of executions.
import { StateMachine } from "aws-local-stepfunctions";

// The one function of Node.js 22 that the interpreter uses and older ones lack.
Promise.withResolvers ??= () => {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { definition, lambda, executions, first, atOnce } = JSON.parse(Buffer.concat(chunks).toString());

async function invoke({ FunctionName, Payload }) {
  const url = `${lambda}/2015-03-31/functions/${FunctionName}/invocations`;
  const answer = await fetch(url, { method: "POST", body: JSON.stringify(Payload) });
  const document = await answer.json();
  if (!answer.headers.has("x-amz-function-error")) return { StatusCode: answer.status, Payload: document };
  const error = new Error(document.errorMessage);
  error.name = document.errorType;
  throw error;
}

const tasks = Object.entries(definition.States).filter(([, state]) => state.Type === "Task");
const taskResourceLocalHandlers = Object.fromEntries(tasks.map(([name]) => [name, invoke]));

const machine = new StateMachine(definition);

async function run(input) {
  const execution = machine.run(input, { overrides: { taskResourceLocalHandlers } });
  const ended = execution.result.then(
    () => ({ status: "SUCCEEDED" }),
    (error) => ({ status: "FAILED", error: String(error.cause?.name ?? error.name) }),
  );
  const states = [];
  const inputs = [];
  for await (const event of execution.eventLogs) {
    if (event.type === "StateEntered") {
      states.push(event.state.name);
      inputs.push(event.state.input);
    }
    if (["ExecutionSucceeded", "ExecutionFailed"].includes(event.type)) break;
  }
  return { ...(await ended), states, inputs };
}

// Those of `first` begin at once; of the others only `atOnce` run at a time, so that none waits for a function too long.
const results = {};
const others = Object.keys(executions).filter((name) => !first.includes(name));
const play = async (name) => {
  results[name] = await run(executions[name]);
};
async function worker() {
  while (others.length > 0) await play(others.shift());
}
await Promise.all([...first.map(play), ...Array.from({ length: atOnce }, worker)]);
process.stdout.write(JSON.stringify(results));
process.exit(0);
