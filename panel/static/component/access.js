// Talks to the panel's server: JSON, and server-sent events read with fetch, so that the token travels in a header.

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export class PanelApi {
  /** base: the panel's address; token: a function that returns the current token or "". */
  constructor(base, token) {
    this.base = base.replace(/\/$/, "");
    this.token = token;
  }

  headers() {
    const token = this.token();
    return token ? { Authorization: `Bearer ${token}` } : {};
  }

  url(path, parameters) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters ?? {})) {
      if (value !== undefined && value !== null && value !== "" && value !== false) query.set(name, String(value));
    }
    const text = query.toString();
    return this.base + path + (text ? `?${text}` : "");
  }

  async get(path, parameters, signal) {
    const response = await fetch(this.url(path, parameters), {
      headers: this.headers(),
      signal,
      credentials: "omit",
      cache: "no-store",
    });
    if (!response.ok) throw await failure(response);
    return response.json();
  }

  async blob(path, parameters) {
    const response = await fetch(this.url(path, parameters), { headers: this.headers(), credentials: "omit" });
    if (!response.ok) throw await failure(response);
    return response.blob();
  }

  /** Yields {name, data, id} for each event until the server ends the stream; anything that arrives calls onAlive. */
  async *events(path, parameters, { signal, lastEventId, onAlive }) {
    const headers = this.headers();
    if (lastEventId) headers["Last-Event-ID"] = lastEventId;
    const response = await fetch(this.url(path, parameters), {
      headers,
      signal,
      credentials: "omit",
      cache: "no-store",
    });
    if (!response.ok) throw await failure(response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      onAlive();
      // Only the new piece is searched for the end of an event: a large one arrives in many pieces.
      let from = Math.max(0, rest.length - 1);
      rest += value;
      for (;;) {
        const end = rest.indexOf("\n\n", from);
        if (end < 0) break;
        const event = parseEvent(rest.slice(0, end));
        rest = rest.slice(end + 2);
        from = 0;
        if (event) yield event;
      }
    }
  }
}

function parseEvent(text) {
  const event = { name: "message", data: "", id: "" };
  for (const line of text.split("\n")) {
    if (line.startsWith("event: ")) event.name = line.slice(7);
    else if (line.startsWith("id: ")) event.id = line.slice(4);
    else if (line.startsWith("data: ")) event.data += line.slice(6);
  }
  if (!event.data) return null;
  event.data = JSON.parse(event.data);
  return event;
}

async function failure(response) {
  let code = "http";
  let message = `HTTP ${response.status}`;
  try {
    const body = await response.json();
    code = body.error.code;
    message = body.error.message;
  } catch {
    // not the panel's own answer (a proxy's, say): the status is all there is to tell
  }
  return new ApiError(response.status, code, message);
}
