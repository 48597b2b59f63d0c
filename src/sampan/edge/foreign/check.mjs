// Answers requests by a generated module, for the parity gate: JSON in on standard input, JSON out.
import { pathToFileURL } from "node:url";

const { open } = await import(pathToFileURL(process.argv[2]).href);
const model = await open();
let text = "";
for await (const piece of process.stdin) text += piece;
const requests = JSON.parse(text);
const told = requests.map((request) => {
  const answer = model.predict(request);
  return { features: Array.from(answer.features, String), scores: (answer.scores ?? [answer.score]).map(String) };
});
const begun = performance.now();
let n = 0;
for (; n < 2000 || performance.now() - begun < 50; n += 1) model.predict(requests[n % requests.length]);
process.stdout.write(JSON.stringify({ answers: told, us: ((performance.now() - begun) / n) * 1000 }));
