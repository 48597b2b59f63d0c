// Scores rows of features by a generated module: float32 in on standard input, float32 out.
import { pathToFileURL } from "node:url";

const { open } = await import(pathToFileURL(process.argv[2]).href);
const model = await open();
const width = Number(process.argv[3]);
const pieces = [];
for await (const piece of process.stdin) pieces.push(piece);
const bytes = new Uint8Array(Buffer.concat(pieces));
const rows = new Float32Array(bytes.buffer, 0, bytes.length / 4);
const told = [];
for (let at = 0; at < rows.length; at += width) told.push(...model.score(rows.subarray(at, at + width)));
process.stdout.write(new Uint8Array(Float32Array.from(told).buffer));
