// Loads the page again when its script did not arrive: a browser drops what it is loading when the network changes (a VPN
// that connects, another wireless network). A classic script without imports, so that it runs when they do not.

(() => {
  const KEY = "tracetail-loads";
  const ATTEMPTS = 3;
  const PAUSE_MS = 1000;
  // A frame has its parameters behind the #, the page by itself in the query.
  const [query, fragment] = [location.search, location.hash.slice(1)].map((text) => new URLSearchParams(text));
  const isChinese = (query.get("locale") ?? fragment.get("locale") ?? navigator.language).startsWith("zh");

  /** How often this page failed to load in this tab; all attempts where the browser keeps nothing for a frame. */
  function failures() {
    try {
      return Number(sessionStorage.getItem(KEY) ?? 0);
    } catch {
      return ATTEMPTS;
    }
  }

  function loadAgain() {
    sessionStorage.setItem(KEY, String(failures() + 1));
    setTimeout(() => location.reload(), PAUSE_MS);
  }

  function offerToLoadAgain() {
    const link = document.createElement("a");
    link.href = "";
    link.addEventListener("click", (event) => {
      event.preventDefault();
      location.reload();
    });
    link.textContent = isChinese ? "面板没有加载完整（网络中断？）：重新加载" : "The panel did not load (network?): load it again";
    document.querySelector("main")?.append(link);
  }

  let failed = false;
  addEventListener("error", (event) => {
    if (!(event.target instanceof HTMLScriptElement)) return;
    failed = true;
    if (failures() < ATTEMPTS) loadAgain();
    else offerToLoadAgain();
  }, true);
  addEventListener("load", () => {
    if (!failed && failures() > 0) forget();
  });

  function forget() {
    try {
      sessionStorage.removeItem(KEY);
    } catch {
      // There is nothing to forget where nothing is kept.
    }
  }
})();
