// The pages work without this: it copies with one click, marks all rows, and fills in what
// is still being read. It makes no markup; it sets texts.
"use strict";

const said = document.getElementById("said");
let quiet;
function say(text) {
  said.textContent = text;
  clearTimeout(quiet);
  quiet = setTimeout(() => { said.textContent = ""; }, 4000);
}

// Pages in plain HTTP from afar have no clipboard of their own.
function copyByHand(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "hide";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

async function copy(button) {
  const text = button.dataset.copy;
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    done = copyByHand(text);
  }
  button.focus();
  button.classList.toggle("done", done);
  setTimeout(() => button.classList.remove("done"), 2000);
  say(done ? "Copied: " + text : "Copying is not allowed here; select the text instead.");
}

for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}
for (const field of document.querySelectorAll(".command input")) {
  field.addEventListener("focus", () => field.select());
}

const all = document.getElementById("all");
if (all) {
  const boxes = [...document.querySelectorAll("td.check input")].slice(0, 100); // at once at most
  all.parentElement.hidden = false;
  all.addEventListener("change", () => { for (const box of boxes) box.checked = all.checked; });
}

// Rows that are still being read: their texts come as JSON.
async function fill(note, left) {
  const answer = await fetch(note.dataset.more, { headers: { Accept: "application/json" } });
  if (!answer.ok || answer.redirected) return;
  const { rows } = await answer.json();
  let waiting = 0;
  for (const row of rows) {
    const line = document.querySelector(`tr[data-tag="${CSS.escape(row.tag)}"]`);
    if (row.state === "loading") waiting++;
    if (!line || row.state === "loading") continue;
    for (const name of ["platforms", "size", "built"]) {
      const cell = line.querySelector(`[data-cell=${name}]`);
      if (cell && cell.textContent.trim() === (name === "platforms" ? "loading" : "")) cell.textContent = row[name];
    }
  }
  if (waiting > 0 && left > 0) setTimeout(() => fill(note, left - 1), 1500);
  else note.hidden = waiting === 0;
}
const waiting = document.getElementById("waiting");
if (waiting) setTimeout(() => fill(waiting, 20), 1000);
