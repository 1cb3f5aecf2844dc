// The text of a failed launch for a ticket: why it ended, the lines around the evidence, and a link to them.

/** @import { Exit, Launch, Line, Messages } from "./types.js" */

import { plain } from "./log/ansi.js";
import { eventSentence, stateName } from "./log/events.js";
import { fullTime } from "./log/format.js";
import { howItEnded } from "./parts/cause-banner.js";

/**
 * @param {Messages} t
 * @param {object} options
 * @param {Exit} options.exit
 * @param {Launch} options.launch
 * @param {Line[]} options.lines the lines around the evidence
 * @param {string} options.at the id of the evidence among them; "" if it was not found
 * @param {string} options.link
 */
export function ticketText(t, { exit, launch, lines, at, link }) {
  const { cause, hint } = t.exitText(exit);
  const facts = [launch.modelName, launch.engine, launch.host, launch.env, ...howItEnded(t, exit, launch)].filter(Boolean);
  return [
    `${stateName(t, launch.state)}: ${cause || stateName(t, launch.state)}${exit.causeCode ? ` (${exit.causeCode})` : ""}`,
    facts.join(" · "),
    ...(hint ? [hint] : []),
    `traceId ${launch.traceId}, launchId ${launch.launchId}`,
    ...(launch.endedAt ? [fullTime(launch.endedAt, "utc")] : []),
    "",
    ...lines.map((line) => `${line.id === at ? ">" : " "} ${readable(t, line)}`),
    ...(lines.length ? [""] : []),
    link,
    "",
  ].join("\n");
}

/**
 * What the row of a line shows.
 * @param {Messages} t
 * @param {Line} line
 */
function readable(t, line) {
  const text = plain(line.text);
  return (line.kind === "event" && eventSentence(t, text)) || text;
}
