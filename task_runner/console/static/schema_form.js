// A form from a JSON Schema (2020-12): the part of it that forms are made of; the rest is JSON text.
import { make, prose } from "./dom.js";

let fields = 0;

/** Make the field of a schema. It has `element`, `read()`, `write(value)` and `find(path)`. */
export function fieldOf(schema, name, path) {
  const kind = withoutNull(schema);
  const label = kind.title && kind !== schema ? kind.title : (schema.title ?? kind.title ?? name);
  const about = { ...kind, title: label, description: schema.description ?? kind.description, default: schema.default };
  if (isChoice(kind)) return choice(kind.oneOf.map((one) => fieldOf(one, one.title ?? name, path)), kind.oneOf.map((one) => one.title ?? name), label);
  if (kind.oneOf && kind.properties) return alternatives(kind, path);
  if (kind.type === "object" && kind.properties) return group(kind, Object.keys(kind.properties), path, label);
  return single(about, path);
}

const withoutNull = (schema) => schema.anyOf?.find((one) => one.type !== "null") ?? schema;
const isChoice = (schema) => Boolean(schema.oneOf) && !schema.properties;

// --- one value ---

const words = (text) => text.split("\n").filter((line) => line !== "");

const KINDS = {
  boolean: { make: () => make("input", { type: "checkbox" }), read: (input) => input.checked || undefined, write: (input, value) => (input.checked = Boolean(value)) },
  number: { make: () => make("input", { type: "number", step: "any" }), read: ({ value }) => (value === "" ? undefined : Number(value)), write: (input, value) => (input.value = value ?? "") },
  line: { make: () => make("input", { autocomplete: "off", spellcheck: false }), read: ({ value }) => value || undefined, write: (input, value) => (input.value = value ?? "") },
  text: { make: () => area(5), read: ({ value }) => value || undefined, write: (input, value) => (input.value = value ?? "") },
  lines: { make: () => area(4), hint: "One a line.", read: ({ value }) => (value === "" ? undefined : value.replace(/\n$/, "").split("\n")), write: (input, value) => (input.value = value?.join("\n") ?? "") },
  pairs: { make: () => area(2), hint: "name=value, one a line.", read: readPairs, write: (input, value) => (input.value = pairsText(value)) },
  json: { make: () => area(3), hint: "JSON.", read: ({ value }) => (value.trim() ? JSON.parse(value) : undefined), write: (input, value) => (input.value = value === undefined ? "" : JSON.stringify(value, null, 2)) },
};

const area = (rows) => make("textarea", { rows, spellcheck: false });

/** Read lines of name=value; names alone, as of values that are not shown, are a list of names. */
function readPairs({ value }) {
  const lines = words(value);
  if (!lines.length) return undefined;
  if (lines.every((line) => !line.includes("="))) return lines;
  return Object.fromEntries(lines.map((line) => [line.split("=")[0], line.slice(line.indexOf("=") + 1 || line.length)]));
}

const pairsText = (value) => (Array.isArray(value) ? value : Object.entries(value ?? {}).map(([name, one]) => `${name}=${one}`)).join("\n");

function kindOf(schema) {
  if (schema.enum) return select(schema.enum);
  if (schema.type === "boolean") return KINDS.boolean;
  if (schema.type === "number" || schema.type === "integer") return KINDS.number;
  if (schema.type === "string") return schema.contentMediaType ? KINDS.text : KINDS.line;
  if (schema.type === "array" && schema.items?.type === "string") return KINDS.lines;
  if (schema.type === "object" && schema.additionalProperties?.type === "string") return KINDS.pairs;
  return KINDS.json;
}

function select(values) {
  return {
    make: () => make("select", {}, ...["", ...values].map((value) => make("option", { value, textContent: value || "as usual" }))),
    read: ({ value }) => value || undefined,
    write: (input, value) => (input.value = value ?? ""),
  };
}

function single(schema, path) {
  const kind = kindOf(schema);
  const id = `field-${(fields += 1)}`;
  const input = Object.assign(kind.make(), { id });
  const hint = [schema.description, kind.hint].filter(Boolean).join(" ");
  input.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
  const example = schema.examples?.[0];
  if (example !== undefined && "placeholder" in input) input.placeholder = Array.isArray(example) ? example.join("\n") : String(example);
  else if (schema.default !== undefined && schema.default !== null && typeof schema.default !== "object" && "placeholder" in input) input.placeholder = String(schema.default);
  const error = make("span", { id: `${id}-error`, className: "error" });
  const element = make("div", { className: "field" }, make("label", { htmlFor: id, textContent: schema.title }), input, make("span", { id: `${id}-hint`, className: "hint" }, ...prose(hint)), error);
  const field = { element, path, input, read: () => kind.read(input), write: (value) => kind.write(input, value), find: (wanted) => (wanted === path || wanted.startsWith(`${path}.`) ? field : null) };
  field.complain = (text) => {
    error.textContent = text;
    input.ariaInvalid = text ? "true" : null;
  };
  field.all = () => [field];
  return field;
}

// --- several values ---

function group(schema, names, path, label) {
  const parts = names.map((name) => [name, fieldOf(schema.properties[name], schema.properties[name].title ?? name, path ? `${path}.${name}` : name)]);
  const element = make("fieldset", { ariaLabel: label }, ...parts.map(([, part]) => part.element));
  return {
    element,
    read() {
      const value = Object.fromEntries(parts.map(([name, part]) => [name, part.read()]).filter(([, one]) => one !== undefined));
      return Object.keys(value).length ? value : undefined;
    },
    write: (value) => parts.forEach(([name, part]) => part.write(value?.[name])),
    find: (wanted) => parts.map(([, part]) => part.find(wanted)).find(Boolean) ?? null,
    all: () => parts.flatMap(([, part]) => part.all()),
  };
}

/** Make an object of which one of several members is required: each with all that is optional. */
function alternatives(schema, path) {
  const required = schema.oneOf.flatMap((one) => one.required ?? []);
  const optional = Object.keys(schema.properties).filter((name) => !required.includes(name));
  const options = required.map((name) => group(schema, [name, ...optional], path, name));
  return choice(options, required.map((name) => schema.properties[name].title ?? name), "Which");
}

/** Make a field that is one of several; which one, a row of radio buttons says. */
function choice(options, labels, label) {
  const name = `choice-${(fields += 1)}`;
  let chosen = 0;
  const radios = labels.map((text, index) => make("input", { type: "radio", name, ariaLabel: text, onchange: () => show(index) }));
  const row = make("div", { className: "choice", role: "radiogroup", ariaLabel: label }, ...radios.map((radio, index) => make("label", {}, radio, labels[index])));
  const body = make("div");
  const element = make("fieldset", { ariaLabel: label }, row, body);
  function show(index) {
    chosen = index;
    radios[index].checked = true;
    body.replaceChildren(options[index].element);
  }
  show(0);
  return {
    element,
    read: () => options[chosen].read(),
    write(value) {
      const fits = options.findIndex((option) => (option.write(value), JSON.stringify(tryRead(option)) === JSON.stringify(value)));
      show(Math.max(fits, 0));
      options[chosen].write(value);
    },
    find: (wanted) => options[chosen].find(wanted),
    all: () => options[chosen].all(),
  };
}

function tryRead(option) {
  try {
    return option.read();
  } catch {
    return undefined;
  }
}
