// What each key does. The page that `?` opens (help.js, messages.js) lists the same keys.

const BAD_LEVELS = "error,critical";

/** The action of a key for a panel, undefined if it has none. rows: the height of a row and of the view, in pixels. */
export function actionOf(event, panel, { row, page }) {
  const { view, searchBar } = panel;
  const level = (levels) => () => panel.setFilter({ process: panel.filter.process, level: levels });
  const actions = {
    j: () => view.scrollBy(row), ArrowDown: () => view.scrollBy(row),
    k: () => view.scrollBy(-row), ArrowUp: () => view.scrollBy(-row),
    PageDown: () => view.scrollBy(page), PageUp: () => view.scrollBy(-page),
    " ": () => view.scrollBy(event.shiftKey ? -page : page),
    g: () => panel.toStart(), Home: () => panel.toStart(),
    G: () => panel.follow(), End: () => panel.follow(), f: () => panel.follow(),
    e: () => panel.toFirstError(),
    "/": () => { searchBar.input.focus(); searchBar.input.select(); },
    n: () => panel.search("next"), N: () => panel.search("previous"),
    ":": () => panel.askPlace(),
    1: level(""), 2: level("info,warning,error,critical"), 3: level("warning,error,critical"), 4: level(BAD_LEVELS),
    w: () => panel.toggle("wrap"), z: () => panel.toggle("fold"), c: () => panel.toggle("charts"),
    t: () => panel.nextTimes(), u: () => panel.nextZone(),
    y: () => panel.copyLines(), l: () => panel.copyLink(), d: () => panel.downloadMenu(),
    "?": () => panel.showHelp(),
    Escape: () => panel.escape(),
  };
  return Object.hasOwn(actions, event.key) ? actions[event.key] : undefined;
}
