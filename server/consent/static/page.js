// Counts the time down, and shows an answer that was given elsewhere. The page works without it.
"use strict";

const left = document.querySelector(".left");
const lost = document.querySelector("#lost");
let unanswered = 0;

function words(seconds) {
  if (seconds <= 0) return "time is up";
  const minutes = Math.floor(seconds / 60);
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  return minutes >= 60
    ? `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min left`
    : `${minutes}:${two(seconds % 60)} left`;
}

function tick() {
  left.textContent = words((Number(left.dataset.expires) - Date.now()) / 1000);
}

async function look() {
  try {
    const answer = await fetch(lost.dataset.status);
    const { state } = await answer.json();
    unanswered = 0;
    // Not a reload: after a mistyped name that would send the form again.
    if (state !== lost.dataset.state) window.location.replace(window.location.pathname);
  } catch {
    unanswered += 1;
  }
  lost.hidden = unanswered < 3;
}

if (left) {
  tick();
  setInterval(tick, 1000);
}

if (lost) {
  setInterval(look, 1000);
  document.addEventListener("visibilitychange", () => document.hidden || look());
}

for (const form of document.querySelectorAll("form")) {
  const sending = (yes) => {
    form.querySelectorAll("button").forEach((button) => (button.disabled = yes));
    form.querySelector("#working").textContent = yes ? "Your answer is being sent. The portal may take a minute." : "";
  };
  // After the browser has taken the pressed button's value.
  form.addEventListener("submit", () => setTimeout(sending, 0, true));
  window.addEventListener("pageshow", () => sending(false));
}
