/* The box to send a message: keeps what is half typed and what was sent, and checks JSON. */
"use strict";

// form: the form with the fields of sender.html. name: the channel, for what is kept. publish(text) sends, and returns a
// promise of a sentence for the reader.
globalThis.eventcastSender = (form, name, publish) => {
  const { format, gettext, store } = eventcastPage;
  const KEPT = 20; // sent messages
  const LONGEST = 20000; // characters of a message that is kept

  const $ = (id) => document.getElementById(id);
  const box = $("data");
  let history = JSON.parse(store.get("sent:" + name) ?? "[]");
  let place = history.length; // in the history, which ends with what is typed
  let typed = "";

  box.value ||= store.get("draft:" + name) ?? "";

  function fill(text) {
    box.value = text;
    box.dispatchEvent(new Event("input"));
    box.focus();
  }

  function check() {
    const text = box.value.trim();
    let said = "";
    if (/^[{[]/.test(text)) {
      try {
        JSON.parse(text);
        said = gettext("This is JSON.");
      } catch (error) {
        said = format(gettext("This is not JSON: %s"), error.message);
      }
    }
    $("check").textContent = said;
  }

  box.addEventListener("input", () => {
    check();
    store.set("draft:" + name, box.value.length <= LONGEST ? box.value : "");
  });

  function keep(text) {
    if (text.length > LONGEST) return;
    history = [...history.filter((one) => one != text), text].slice(-KEPT);
    place = history.length;
    store.set("sent:" + name, JSON.stringify(history));
    $("resend").hidden = false;
  }

  async function send(text) {
    const said = $("sent");
    delete said.dataset.failed;
    said.textContent = "";
    try {
      said.textContent = await publish(text);
      keep(text);
      return true;
    } catch (error) {
      said.dataset.failed = "";
      said.textContent = error.status ? error.message : gettext("The server cannot be reached: the message was not sent.");
      return false;
    }
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = box.value;
    if ((await send(text)) && box.value == text) fill("");
    else box.focus();
  });

  $("resend").hidden = !history.length;
  $("resend").onclick = () => send(history.at(-1));

  box.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (event.key == "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    else if (step && event.altKey && place + step >= 0 && place + step <= history.length) {
      event.preventDefault();
      if (place == history.length) typed = box.value;
      place += step;
      fill(history[place] ?? typed);
    }
  });

  check();
  return { fill };
};
