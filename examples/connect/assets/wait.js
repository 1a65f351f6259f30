"use strict";

// Keeps the waiting page true without reloading it. Without this script the page reloads itself every few seconds.
(() => {
  const box = document.getElementById("status");
  const text = document.getElementById("status-text");
  if (!box || !text) {
    return;
  }
  const page = box.dataset.page;

  // The text is read aloud when it changes, so it is touched only then.
  const say = (words, down) => {
    box.className = down ? "status down" : "status waiting";
    if (words && text.textContent !== words) {
      text.textContent = words;
    }
  };

  const look = async () => {
    try {
      const answer = await fetch(page + "/status", { cache: "no-store", headers: { Accept: "application/json" } });
      const now = await answer.json();
      if (now.state && now.state !== box.dataset.state) {
        location.replace(page);
        return;
      }
      if (answer.status >= 500) {
        throw new Error("the service is down");
      }
      say(now.text, now.down);
    } catch {
      say("We cannot be reached. Are you online? This page keeps trying.", true);
    }
    setTimeout(look, 2000);
  };
  look();

  // What the server says in UTC, the person reads in the time of the place where they are.
  const expires = document.getElementById("expires");
  const time = new Date(expires?.dateTime ?? "");
  if (!isNaN(time)) {
    expires.textContent = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  }
})();
