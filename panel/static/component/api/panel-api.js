// The client of the panel's server: JSON, files, and server-sent events. Events are read with fetch, since EventSource
// cannot send the token in a header.

/** @import { Parameters } from "../types.js" */

/** @typedef {{name: string, data: any, id: string}} ServerEvent */

const RETRY_MS = 300;

/** An answer that is not 2xx. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code the panel's own, or "http"
   * @param {string} message
   */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * The code of an error that another token may cure; null for any other error.
 * @param {unknown} error
 */
export function refusalCode(error) {
  return error instanceof ApiError && (error.status === 401 || error.status === 403) ? error.code : null;
}

/**
 * The message of whatever was thrown.
 * @param {unknown} error
 */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

export class PanelApi {
  #base;
  #token;

  /**
   * @param {object} options
   * @param {() => string} options.base the panel's address
   * @param {() => string} options.token the token of now, or ""
   */
  constructor({ base, token }) {
    this.#base = base;
    this.#token = token;
  }

  /**
   * Asks a second time if no answer came: a browser drops its requests when the network changes.
   * @param {string} path
   * @param {Parameters} [parameters]
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>} the JSON; throws an ApiError
   */
  async get(path, parameters, signal) {
    try {
      return await this.#json(path, parameters, signal);
    } catch (error) {
      if (error instanceof ApiError || signal?.aborted) throw error;
    }
    await new Promise((resolve) => { setTimeout(resolve, RETRY_MS); });
    return this.#json(path, parameters, signal);
  }

  /**
   * Why a request had no answer. The browser does not say, but every page may read the component's own script.
   * @returns {Promise<"page_refused" | "no_answer">}
   */
  async whyNoAnswer() {
    const script = this.#url("/tracetail-panel.js");
    try {
      if (new URL(script).origin === location.origin) return "no_answer";
      await fetch(script, { method: "HEAD", cache: "no-store", credentials: "omit" });
      return "page_refused";
    } catch {
      return "no_answer";
    }
  }

  /**
   * @param {string} path
   * @param {Parameters} parameters
   */
  async blob(path, parameters) {
    return (await this.#fetch(path, parameters, {})).blob();
  }

  /**
   * Yields each event until the server ends the stream. Whatever arrives, a heartbeat too, calls onAlive.
   * @param {string} path
   * @param {Parameters} parameters
   * @param {{signal: AbortSignal, lastEventId: string, onAlive: () => void}} options
   * @returns {AsyncGenerator<ServerEvent, void>}
   */
  async *events(path, parameters, { signal, lastEventId, onAlive }) {
    /** @type {Record<string, string>} */
    const headers = lastEventId ? { "Last-Event-ID": lastEventId } : {};
    const response = await this.#fetch(path, parameters, { signal, cache: "no-store", headers });
    if (!response.body) return;
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

  /**
   * @param {string} path
   * @param {Parameters | undefined} parameters
   * @param {AbortSignal | undefined} signal
   */
  async #json(path, parameters, signal) {
    return (await this.#fetch(path, parameters, { signal, cache: "no-store" })).json();
  }

  /**
   * @param {string} path
   * @param {Parameters | undefined} parameters
   * @param {RequestInit & {headers?: Record<string, string>}} options
   */
  async #fetch(path, parameters, options) {
    const token = this.#token();
    const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const response = await fetch(this.#url(path, parameters), { ...options, headers, credentials: "omit" });
    if (!response.ok) throw await failure(response);
    return response;
  }

  /**
   * @param {string} path
   * @param {Parameters} [parameters]
   */
  #url(path, parameters) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters ?? {})) {
      if (value !== undefined && value !== null && value !== "" && value !== false) query.set(name, String(value));
    }
    const text = query.toString();
    return this.#base().replace(/\/$/, "") + path + (text ? `?${text}` : "");
  }
}

/**
 * @param {string} text
 * @returns {ServerEvent | null}
 */
function parseEvent(text) {
  let name = "message";
  let data = "";
  let id = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("id: ")) id = line.slice(4);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  return data ? { name, data: JSON.parse(data), id } : null;
}

/** @param {Response} response */
async function failure(response) {
  let code = "http";
  let message = `HTTP ${response.status}`;
  try {
    const body = await response.json();
    code = body.error.code;
    message = body.error.message;
  } catch {
    // Not the panel's own answer (a proxy's, say): the status is all that is known.
  }
  return new ApiError(response.status, code, message);
}
