// How one request becomes an answer, with nothing from elsewhere: features by the view's own graph, in doubles as everywhere else; the
// score by the model's code, compiled to WebAssembly. A value is a list of columns; a list of one stands for every column.

const MISSING = "\ue000"; // stands for a text that is missing, as in the graph

const wide = (...lists) => Math.max(...lists.map((list) => list.length));
const at = (list, i) => list[list.length === 1 ? 0 : i];
const each = (f) => (...lists) => Array.from({ length: wide(...lists) }, (_, i) => f(...lists.map((list) => at(list, i))));
const casts = { 1: (v) => Math.fround(v), 9: (v) => Boolean(v) || Number.isNaN(v), 11: (v) => Number(v) };

const OPERATIONS = {
  Abs: each(Math.abs),
  Add: each((a, b) => a + b),
  And: each((a, b) => a && b),
  Cast: (list, { to }) => list.map(casts[to]),
  Concat: (...given) => given.slice(0, -1).flat(),
  Cos: each(Math.cos),
  Div: each((a, b) => a / b),
  Equal: each((a, b) => a === b),
  Expand: (list) => list,
  Floor: each(Math.floor),
  Gather: (list, places) => places.map((place) => list[place]),
  Greater: each((a, b) => a > b),
  GreaterOrEqual: each((a, b) => a >= b),
  Identity: (list) => list,
  IsNaN: each(Number.isNaN),
  LabelEncoder: (list, { known, unseen }) => list.map((text) => (known.has(text) ? known.get(text) : unseen)),
  Less: each((a, b) => a < b),
  LessOrEqual: each((a, b) => a <= b),
  Log: each(Math.log),
  MatMul: (row, matrix, { columns }) =>
    Array.from({ length: columns }, (_, j) => row.reduce((sum, value, i) => sum + value * matrix[i * columns + j], 0)),
  Mul: each((a, b) => a * b),
  Neg: each((a) => -a),
  Not: each((a) => !a),
  Or: each((a, b) => a || b),
  ReduceMax: (list) => [list.reduce((a, b) => Math.max(a, b))],
  ReduceMin: (list) => [list.reduce((a, b) => Math.min(a, b))],
  Shape: (list) => [1, list.length],
  Sin: each(Math.sin),
  Sqrt: each(Math.sqrt),
  StringConcat: each((a, b) => a + b),
  Sub: each((a, b) => a - b),
  Where: each((test, a, b) => (test ? a : b)),
};
const TAKES_SETTINGS = new Set(["Cast", "Concat", "LabelEncoder", "MatMul"]);

const READ = {
  number: (v) => (typeof v === "number" ? v : undefined),
  flag: (v) => (typeof v === "boolean" ? Number(v) : undefined),
  moment: (v) => (typeof v === "number" ? v : typeof v === "string" ? millis(v) : undefined),
  text: (v) => (typeof v === "string" ? v : undefined),
};
const EXPECTED = {
  number: "a number",
  flag: "true or false",
  moment: "a moment: ISO 8601 text, or milliseconds since 1970 UTC",
  text: "text",
};

/** Reads ISO 8601 text; UTC where it says no offset. */
function millis(text) {
  const plain = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?(Z|[+-]\d\d:?\d\d)?$/.exec(text);
  if (!plain) return undefined;
  const found = Date.parse(text.replace(" ", "T") + (plain[1] && !plain[4] ? "Z" : ""));
  return Number.isNaN(found) ? undefined : found;
}

/** A model that is ready to answer. Made by `open`. */
export class Model {
  constructor(about, exports) {
    Object.assign(this, { model: about.model, version: about.version, threshold: about.threshold, fields: about.fields });
    this.outputs = about.outputs;
    this.featureNames = about.features;
    this._about = about;
    this._exports = exports;
    this._given = new Float32Array(exports.memory.buffer, exports.given(), about.features.length);
    this._answer = new Float32Array(exports.memory.buffer, exports.answer(), about.outputs.length);
    this._constants = Object.fromEntries(Object.entries(about.constants).map(([name, list]) => [name, list.map(plain)]));
    for (const [, , , settings] of about.nodes) {
      if (settings?.keys) settings.known = new Map(settings.keys.map((key, i) => [key, plain(settings.values[i])]));
      if (settings?.keys) settings.unseen = plain(settings.default);
    }
  }

  /** Answers one request: an object of the fields in `fields`. Throws an Error that names every fault. */
  predict(request) {
    const features = this.features(request);
    const scores = this.score(features);
    const score = scores[0];
    const told = { model: this.model, features, notes: this._notes(request) };
    if (scores.length > 1) return { ...told, scores };
    return { ...told, score, decision: this.threshold === null ? null : score >= this.threshold };
  }

  /** Computes the features of a request, as 32-bit floats; NaN where one is missing. */
  features(request) {
    this._check(request);
    const values = Object.create(this._constants); // what is not computed for this request is looked up there
    for (const [tensor, columns] of Object.entries(this._about.inputs)) {
      values[tensor] = columns.map(({ name, kind }) => {
        const value = request[name] ?? null;
        return value === null ? (kind === "text" ? MISSING : NaN) : READ[kind](value);
      });
    }
    for (const [operation, given, made, settings] of this._about.nodes) {
      const lists = given.map((name) => values[name]);
      if (TAKES_SETTINGS.has(operation)) lists.push(settings ?? {});
      values[made] = OPERATIONS[operation](...lists);
    }
    return Float32Array.from(values.features);
  }

  /** Scores features, in their order. */
  score(features) {
    this._given.set(features);
    this._exports.run();
    return Array.from(this._answer);
  }

  _check(request) {
    const faults = Object.keys(request).filter((name) => !(name in this.fields || this._about.ignored.includes(name))).map((name) => `there is no field ${name}`);
    for (const [name, { type, nullable }] of Object.entries(this.fields)) {
      const value = request[name] ?? null;
      if (value === null) {
        if (!nullable) faults.push(`${name} is missing, expected ${EXPECTED[type]}`);
      } else if (READ[type](value) === undefined) {
        faults.push(`${name} is ${JSON.stringify(value)}, expected ${EXPECTED[type]}`);
      }
    }
    if (faults.length) throw new Error(faults.join("; "));
  }

  _notes(request) {
    return Object.entries(this.fields)
      .filter(([name, { choices }]) => choices && typeof request[name] === "string" && !choices.includes(request[name]))
      .map(([name]) => `${name}: ${JSON.stringify(request[name])} was not seen in training`);
  }
}

/** JSON has no word for numbers that are missing or infinite: they are written as `{"number": "NaN"}`. */
function plain(value) {
  return typeof value === "object" ? Number(value.number) : value;
}
