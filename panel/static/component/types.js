// Types of the panel's JSON, and of what the component makes of it. Comments only: tsc reads them, no browser fetches
// this file. The first part has the names and fields of the schemas in /openapi.json; a test compares them.

/**
 * One line of a log.
 * @typedef {object} Line
 * @property {string} id its place in the log: see line-key.js
 * @property {string} time nanoseconds since the epoch
 * @property {string} text
 * @property {string} source the launchId, or a name for a log without a launch
 * @property {string} [level]
 * @property {string} [process]
 * @property {string} [pid]
 * @property {string} [node] address of the machine that printed it, where Ray brought it here
 * @property {string} [code] file:line of the statement that logged it
 * @property {string} [requestId]
 * @property {string} [kind] event, cut or redraw; absent for an ordinary line
 * @property {string} [originalTime]
 */

/**
 * One launch, from the events in its log. Times are nanoseconds since the epoch.
 * @typedef {object} Launch
 * @property {string} launchId
 * @property {string} traceId
 * @property {string} instanceId
 * @property {string} modelName
 * @property {string} env
 * @property {string} engine
 * @property {string} host
 * @property {string} state starting, ready, unhealthy, failed, stopping, stopped, crashed or unknown
 * @property {Phase[]} phases
 * @property {string} [startedAt]
 * @property {string} [readyAt]
 * @property {number | null} [readySeconds]
 * @property {string} [endedAt]
 * @property {string} [lastHeardAt] of a launch that has not ended: when its machine was last heard of
 * @property {boolean} [lostContact] nothing was heard of its machine for minutes
 * @property {string} [service]
 * @property {string} [servedName]
 * @property {number} [port]
 * @property {number} [nodes] how many machines serve the model together
 * @property {number} [nodeRank] number of this one among them, from 0
 * @property {string} [role] leader or follower of several machines
 * @property {number} [pid]
 * @property {string} [jobId]
 * @property {string} [image] of its container
 * @property {string} [command] quoted as for a shell
 * @property {string} [url]
 * @property {string} [reason]
 * @property {number} [adoptions]
 * @property {number} [droppedLines]
 * @property {string} [restartedAs]
 * @property {object} [receipt]
 * @property {Record<string, string>} [versions] by program; in comparisons
 * @property {Exit} [exit]
 * @property {Health} [health] why it is unhealthy: cause, hint, line
 */

/**
 * A phase of a launch's start-up that has ended.
 * @typedef {object} Phase
 * @property {string} name
 * @property {number | null} seconds
 * @property {string} at
 */

/**
 * How a launch ended, and why.
 * @typedef {object} Exit
 * @property {string} line the id of the event that reported the end
 * @property {number} [exitCode]
 * @property {number} [exitStatus]
 * @property {string} [signal]
 * @property {string} [cause]
 * @property {string} [hint]
 * @property {string} [causeCode] stable code of the cause
 * @property {string} [causeKind] known or unrecognised
 * @property {string} [causeZh] cause in Chinese
 * @property {string} [hintZh] hint in Chinese
 * @property {string[]} [evidence]
 */

/**
 * Why a launch that runs is unhealthy.
 * @typedef {object} Health
 * @property {string} since
 * @property {string} line the id of the event that reported it
 * @property {string} [cause]
 * @property {string} [hint]
 */

/**
 * Lines that could not be read.
 * @typedef {object} Gap
 * @property {string} time
 * @property {string} reason
 */

/**
 * GET /api/logs: one page of lines.
 * @typedef {object} LogPage
 * @property {string} traceId
 * @property {Line[]} lines
 * @property {boolean} more
 * @property {Gap[]} [gaps]
 * @property {boolean} [metadata] false where Loki keeps no structured metadata, else absent
 * @property {string} [cursor] of the newest page: where a stream continues
 */

/**
 * GET /api/logs/index: how many lines lie before a place.
 * @typedef {object} LineIndex
 * @property {boolean} complete whether the lines are counted; if not, there is nothing else
 * @property {Checkpoint[]} [checkpoints]
 * @property {Counts} [counts] lines before the place, by source
 * @property {Record<string, string>} [last] the id of the last line before the place, by source
 */

/**
 * Lines before a time, by source.
 * @typedef {object} Checkpoint
 * @property {string} time
 * @property {Counts} counts
 */

/**
 * GET /api/logs/search: the next match, its number, and how many there are.
 * @typedef {object} SearchResult
 * @property {number} count
 * @property {number} number
 * @property {Line | null} line
 */

/**
 * GET /api/logs/histogram: lines by level over time.
 * @typedef {object} Histogram
 * @property {number} stepMs
 * @property {HistogramSlice[]} slices
 */

/**
 * @typedef {object} HistogramSlice
 * @property {string} time
 * @property {Counts} counts
 */

/**
 * GET /api/logs/facets: lines by process and by level.
 * @typedef {object} Facets
 * @property {Counts} processes
 * @property {Counts} levels
 */

/**
 * The figures in one stats line of an engine.
 * @typedef {object} StatsPoint
 * @property {string} time
 * @property {string} source
 * @property {number} [prompt] tokens a second
 * @property {number} [generation] tokens a second
 * @property {number} [running] requests
 * @property {number} [waiting] requests
 * @property {number} [cache] percent of the KV cache in use
 */

/**
 * @typedef {object} LinesMessage
 * @property {Line[]} lines
 * @property {Gap[]} [gaps]
 */

/**
 * GET /api/launches: launches of a trace, or a page of the recent ones.
 * @typedef {object} LaunchesPage
 * @property {Launch[]} launches
 * @property {string} [next] `before` of the next page; absent if there are no more
 * @property {Record<string, string[]>} [labels] of the recent launches: by field, all values that can be filtered by
 */

/**
 * GET /api/launches/last-ready: for several launches the last one of the same service before it that became ready.
 * @typedef {object} LastReady
 * @property {Record<string, Launch>} launches by the launchId of the launch that it was before
 */

/**
 * GET /api/launches/{launchId}/comparison: what differs; of a launch that was never ready before, the launch alone.
 * @typedef {object} Comparison
 * @property {Launch} launch
 * @property {Launch} [other] the last one before it that became ready
 * @property {Difference[]} [places]
 * @property {Difference[]} [arguments]
 * @property {Difference[]} [versions]
 * @property {PhaseDifference[]} [phases] all phases of both
 */

/**
 * GET /api/history: the last starts of a model, the newest first.
 * @typedef {object} StartHistory
 * @property {Start[]} starts
 */

/**
 * @typedef {object} Start
 * @property {Launch} launch
 * @property {number} [change] 0.35: it took 35 % longer than the median of the ten starts before it
 * @property {boolean} [slower] whether it took notably longer
 */

/**
 * @typedef {object} Difference
 * @property {string} name
 * @property {string} [launch]
 * @property {string} [other]
 */

/**
 * Seconds of a phase.
 * @typedef {object} PhaseDifference
 * @property {string} name
 * @property {number} [launch]
 * @property {number} [other]
 */

/**
 * @typedef {object} LaunchesMessage
 * @property {Launch[]} launches
 */

/**
 * @typedef {object} StatusMessage
 * @property {string} loki
 * @property {string} [message]
 */

// --- the component's own ---------------------------------------------------------------------------------------------

/** @typedef {Record<string, number>} Counts numbers of lines by source, level or process */

/**
 * A part of a log: loaded (entries) or a hole (entries is null: its lines are on the server).
 * @typedef {object} Block
 * @property {string} key its row's key while it is a hole
 * @property {string} from inclusive
 * @property {string} to exclusive
 * @property {Line[] | null} entries
 * @property {Counts | null} counts lines by source; null while unknown
 * @property {Record<string, string>} last of a hole: the id of the last line among the counts, by source
 * @property {{id: string, source: string}[]} arrived of a hole: lines that came before there were counts
 * @property {Line[]} meanwhile of a hole: lines that came while it was being loaded
 * @property {Promise<unknown> | null} loading
 * @property {string} failed why it could not be loaded; empty if it did not fail
 */

/**
 * A row of a line: of all pieces of a cut one, or of all redraws of a progress bar.
 * @typedef {object} LineRow
 * @property {"line"} type
 * @property {string} key
 * @property {Line} entry
 * @property {Line[]} parts the pieces of a cut line; otherwise the entry alone
 * @property {number | null} number in its own log; null while unknown
 * @property {boolean} continues whether it continues the record before it, without a header
 * @property {number} redraws
 * @property {number} folded how many rows continue it, where they can be folded; else 0
 * @property {boolean} open whether those are shown
 */

/**
 * A row of lines that are not here.
 * @typedef {object} HoleRow
 * @property {"hole"} type
 * @property {string} key
 * @property {Block} block
 */

/** @typedef {LineRow | HoleRow} Row */

/**
 * What is shown of every line, and how. Kept while the element lives.
 * @typedef {object} Settings
 * @property {boolean} wrap
 * @property {boolean} fold
 * @property {boolean} charts
 * @property {boolean} wrapIsChosen the reader has chosen whether lines are wrapped
 * @property {"absolute" | "relative" | "off"} times
 * @property {Zone} zone
 */

/** @typedef {"wrap" | "fold" | "charts"} Switch a setting that is on or off */

/** @typedef {"local" | "utc"} Zone */

/** @typedef {{from: string, to: string}} TimeRange from inclusive, to exclusive, in nanoseconds */

/**
 * Which lines are shown: of these levels (separated by commas), of this process, about this request, with this text.
 * @typedef {object} Filter
 * @property {string} level
 * @property {string} process
 * @property {string} requestId as the client sent it, or as the engine prints it
 * @property {string} [q]
 * @property {boolean} [regex]
 * @property {boolean} [case]
 */

/**
 * What of a log is shown: filtered by level, process and request, and what is searched for. only: only the lines that
 * match. from, to: the part of the time that the histogram shows, in nanoseconds; "" for all.
 * @typedef {{level: string, process: string, requestId: string, q: string, regex: boolean, case: boolean, only: boolean,
 *   from: string, to: string}} View
 */

/**
 * Which of the recent launches are shown: with these words, in these states, with these labels, of the last hours or
 * between two times (nanoseconds). Empty: any; without a time, what the server's settings say.
 * @typedef {{q: string, state: string, modelName: string, engine: string, env: string, host: string, hours: string,
 *   since: string, until: string}} LaunchFilter
 */

/**
 * What of the list of launches is shown. through: the launchId of the oldest one, where more than a page is shown;
 * chosen: the trace whose log was read before, which the reader comes back from.
 * @typedef {LaunchFilter & {through: string, chosen: string}} ListView
 */

/**
 * @typedef {object} SearchQuery
 * @property {string} q
 * @property {boolean} regex
 * @property {boolean} case
 */

/** @typedef {"first" | "next" | "previous"} SearchStep first: from what is in sight on */

/**
 * How far a search is: a failure has code and message of the answer.
 * @typedef {{state: "none" | "searching" | "no-match"} | {state: "found", number: number, count: number}
 *   | {state: "failed", code: string, message: string}} SearchState
 */

/** @typedef {"" | "connecting" | "live" | "lost"} LinkState of the stream; empty: there is none */

/** @typedef {import("./messages.js").Messages} Messages */

/**
 * Query parameters of a request; those that are empty, false or missing are left out.
 * @typedef {Record<string, string | number | boolean | null | undefined>} Parameters
 */

/**
 * Runs what asks the server; shows what goes wrong in the status bar, or asks for a token.
 * @typedef {(act: () => Promise<void>) => Promise<void>} Attempt
 */

/**
 * What the panel needs of its element.
 * @typedef {object} Host
 * @property {() => string} src the panel's address
 * @property {() => string} token
 * @property {() => string} line the line to begin at; "" for the end
 * @property {() => string} home the address of the list of launches; "" where the page around has none
 * @property {() => string} link the address of a line in the page around, with {traceId} and {line} in it; "" for none
 * @property {() => string[]} unknownParameters of the page's address
 * @property {() => ListView} listView what of the list of launches to show at first
 * @property {(traceId: string, launchId?: string) => string} addressOf the address of a trace, or of one launch of it, in
 *   the page around
 * @property {() => number} restAfterMs how long the page is hidden before the connection is closed
 * @property {(name: string, detail: object) => void} announce dispatches an event
 * @property {(token: string) => void} setToken
 * @property {(traceId: string, launchId?: string) => void} setTrace show a trace, or one launch of it
 * @property {() => void} nextTheme
 * @property {() => void} nextLocale
 */

export {};
