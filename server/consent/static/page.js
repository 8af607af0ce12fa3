// Counts the time down, and shows an answer that was given elsewhere. The page works without it.
"use strict";

const left = document.querySelector(".left");

function words(seconds) {
  if (seconds <= 0) return "expired";
  const minutes = Math.floor(seconds / 60);
  const rest = String(Math.floor(seconds % 60)).padStart(2, "0");
  return minutes >= 60
    ? `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min left`
    : `${minutes}:${rest} left`;
}

function tick() {
  left.textContent = words((Number(left.dataset.expires) - Date.now()) / 1000);
}

async function look() {
  try {
    const answer = await fetch(left.dataset.status, { cache: "no-store" });
    const { state } = await answer.json();
    if (state !== left.dataset.state) window.location.reload();
  } catch {
    // The server may be stopping; the next look finds out.
  }
}

if (left) {
  tick();
  setInterval(tick, 1000);
  setInterval(look, 2000);
}

for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", () => {
    // After the browser has taken the pressed button's value.
    setTimeout(() => form.querySelectorAll("button").forEach((b) => (b.disabled = true)), 0);
  });
}
