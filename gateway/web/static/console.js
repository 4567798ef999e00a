// Small conveniences of the console. Every page works without them.
"use strict";
(() => {
  const WAIT_MS = 150;

  // Suggestions from the server while somebody types: the page holds the first few only.
  for (const input of document.querySelectorAll("input[data-names]")) {
    const list = document.getElementById(input.getAttribute("list"));
    let timer = 0;
    let asked = "";
    const ask = async () => {
      const text = input.value.trim();
      if (text === asked) {
        return;
      }
      asked = text;
      const address = `${input.dataset.names}?q=${encodeURIComponent(text)}`;
      const answer = await fetch(address, { headers: { Accept: "application/json" } });
      if (!answer.ok || text !== asked) {
        return;
      }
      const { names } = await answer.json();
      list.replaceChildren(...[...names, "everyone"].map((name) => {
        const option = document.createElement("option");
        option.value = name;
        return option;
      }));
    };
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => ask().catch(() => {}), WAIT_MS);
    });
  }
})();
