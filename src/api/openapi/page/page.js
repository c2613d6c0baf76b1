// Shows openapi.json: every operation under its tag, found by words. Nothing of the document is
// ever read as HTML.
"use strict";

const METHODS = ["get", "head", "post", "put", "patch", "delete"];
// Deeper than any body of ours; ends schemas that refer to themselves.
const MAX_DEPTH = 6;

function element(name, attributes, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children.filter((child) => child !== null));
  return made;
}

class Reader {
  constructor(root) {
    this.root = root;
  }

  resolve(value) {
    if (!value || !value.$ref) return value || {};
    return value.$ref.slice(2).split("/").reduce((at, key) => at[key], this.root);
  }

  // A body as an example: the names of its fields, and what they hold.
  example(schema, depth = 0) {
    const { type, properties, items, anyOf, additionalProperties, enum: words, const: word } =
      this.resolve(schema);
    if (depth > MAX_DEPTH) return "…";
    const inner = (held) => this.example(held, depth + 1);
    if (words) return words.join(" | ");
    if (word !== undefined) return word;
    if (anyOf) {
      const one = anyOf.filter((choice) => choice.type !== "null").map(inner);
      return one.length > 1 ? one : one[0];
    }
    if (properties) {
      const fields = Object.entries(properties);
      return Object.fromEntries(fields.map(([name, field]) => [name, inner(field)]));
    }
    if (items) return [inner(items)];
    if (additionalProperties) return { "…": inner(additionalProperties) };
    return [type].flat().filter((kind) => kind && kind !== "null").join(" | ") || "anything";
  }

  body(content) {
    if (!content) return null;
    const types = Object.entries(content);
    return types.map(([type, { schema }]) =>
      schema ? JSON.stringify(this.example(schema), null, 2) : type).join("\n");
  }

  // The good answers: each status with its headers and its body.
  answers(responses) {
    const good = Object.entries(responses).filter(([status]) => /^2\d\d$/.test(status));
    return good.map(([status, { headers, content }]) =>
      [status, ...Object.keys(headers || {}), this.body(content)].filter(Boolean).join("\n"))
      .join("\n");
  }
}

function permission(rule) {
  if (!rule) return null;
  const where = {
    system: "in the system", project: "in the project", home: "where it belongs",
    oneself: "in the system, or is the user",
  };
  const words = {
    anybody: "anybody", "signed-in": "whoever is signed in", administrator: "system administrators",
    case: rule.rule,
  };
  return words[rule.scope] || `whoever has ${rule.resource}:${rule.action} ${where[rule.scope]}`;
}

function curl(method, path, body, isOpen) {
  const user = isOpen ? "" : " -u USER";
  const verb = method === "get" ? "" : ` -X ${method.toUpperCase()}`;
  const data = body ? " -H 'Content-Type: application/json' -d @body.json" : "";
  return `curl${user}${verb}${data} '${location.origin}${path}'`;
}

function operation(reader, method, path, said) {
  const parameters = (said.parameters || []).map((each) => reader.resolve(each));
  const taken = said.requestBody && reader.body(said.requestBody.content);
  const given = reader.answers(said.responses);
  const rule = said["x-permission"];
  const who = permission(rule);
  const rows = parameters.map(({ name, in: where, description, required, schema }) =>
    element("tr", {},
      element("td", {}, element("code", { textContent: name })),
      element("td", { textContent: `${where}, ${schema.type}${required ? "" : ", optional"}` }),
      element("td", { textContent: description || "" })));
  const block = (title, text) => text
    ? element("div", {}, element("p", { textContent: title }), element("pre", { textContent: text }))
    : null;
  const shown = element("details", {},
    element("summary", {},
      element("code", { className: `method ${method}`, textContent: method.toUpperCase() }),
      element("code", { textContent: path }),
      element("span", { className: "soft", textContent: `  ${said.summary}` })),
    who ? element("p", { textContent: `For ${who}.` }) : null,
    rows.length ? element("table", {}, ...rows) : null,
    block("Takes", taken),
    block("Answers", given),
    element("pre", { textContent: curl(method, path, taken, rule && rule.scope === "anybody") }));
  const words = [method, path, said.summary, who || "", said.tags.join(" ")].join(" ").toLowerCase();
  return { shown, words };
}

function show(root) {
  const reader = new Reader(root);
  const byId = (id) => document.getElementById(id);
  byId("version").textContent = root.info.version;
  byId("about").textContent = root.info.description;
  const tags = new Map();
  for (const [path, item] of Object.entries(root.paths)) {
    for (const method of METHODS.filter((method) => item[method])) {
      const tag = item[method].tags[0];
      if (!tags.has(tag)) tags.set(tag, []);
      tags.get(tag).push(operation(reader, method, path, item[method]));
    }
  }
  const sections = [...tags].sort(([a], [b]) => a.localeCompare(b)).map(([tag, operations]) => {
    const section = element("section", {},
      element("h2", { textContent: tag }), ...operations.map(({ shown }) => shown));
    return { section, operations };
  });
  byId("operations").replaceChildren(...sections.map(({ section }) => section));
  const find = () => {
    const wanted = byId("find").value.toLowerCase().split(/\s+/);
    let count = 0;
    for (const { section, operations } of sections) {
      let some = false;
      for (const { shown, words } of operations) {
        shown.hidden = !wanted.every((word) => words.includes(word));
        some ||= !shown.hidden;
        count += shown.hidden ? 0 : 1;
      }
      section.hidden = !some;
    }
    byId("count").textContent = `${count} operations`;
  };
  byId("find").addEventListener("input", find);
  find();
}

fetch("openapi.json")
  .then((answer) => answer.json())
  .then(show)
  .catch((error) => {
    document.getElementById("operations").textContent = `openapi.json cannot be shown: ${error}`;
  });
