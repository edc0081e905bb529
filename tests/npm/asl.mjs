// What npm's asl-validator says of definitions. Standard input: {name: definition}. Standard output: {name: [fault]}.
import validate from "asl-validator";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const given = JSON.parse(Buffer.concat(chunks).toString());

const faults = Object.entries(given).map(([name, definition]) => {
  const { isValid, errors } = validate(definition, { checkArn: true, checkPaths: true });
  return [name, isValid ? [] : errors.map((error) => `${error["Error code"]} ${error.Message}`)];
});
process.stdout.write(JSON.stringify(Object.fromEntries(faults)));
