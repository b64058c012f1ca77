// The HTTP API: JSON calls and streams of JSON lines.

/** What a problem document (RFC 9457) says; `errors` names the fields that are wrong. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? `the node answered ${status}`);
    this.status = status;
    this.errors = document.errors ?? [];
  }
}

export const isNetwork = (error) => !(error instanceof Problem) || error.status >= 500;

async function checked(response) {
  if (response.ok) return response;
  throw new Problem(response.status, await response.json().catch(() => ({})));
}

export async function request(path, { method = "GET", body, accept = "application/json", signal } = {}) {
  const headers = { Accept: accept };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  return checked(await fetch(path, { method, headers, body: body && JSON.stringify(body), signal, cache: "no-store" }));
}

/** Return the JSON of an answer; raise Problem when it is refused, TypeError without a connection. */
export const call = async (path, options) => (await request(path, options)).json();

/** Return the JSON lines of an answer as they come, many at once; the answer has begun by then. */
export async function openJsonLines(path, { signal } = {}) {
  const response = await request(path, { accept: "application/x-ndjson", signal });
  return batches(response.body.pipeThrough(new TextDecoderStream()).getReader());
}

async function* batches(reader) {
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    if (lines.length) yield lines.map((line) => JSON.parse(line));
  }
}

export async function allJsonLines(path, options) {
  const found = [];
  for await (const batch of await openJsonLines(path, options)) found.push(...batch);
  return found;
}

export const taskPath = (taskId) => `/v1/tasks/${encodeURIComponent(taskId)}`;
