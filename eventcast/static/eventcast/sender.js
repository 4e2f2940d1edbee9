/* The box to send a message: keeps what is half typed and what was sent, checks JSON, and takes a file. */
"use strict";

// form: the form with the fields of sender.html. name: the channel, for what is kept. publish(data) sends a text or a Blob,
// and returns a promise of a sentence for the reader.
globalThis.eventcastSender = (form, name, publish) => {
  const { bytes, format, gettext, store, told } = eventcastPage;
  const KEPT = 20; // sent messages
  const LONGEST = 20000; // characters of a message that is kept

  const $ = (id) => document.getElementById(id);
  const box = $("data"), limit = +form.querySelector("[data-limit]").dataset.limit;
  let file = null; // {data} of the chosen file: it is sent in place of what is typed
  let history = JSON.parse(store.get("sent:" + name) ?? "[]");
  let place = history.length; // in the history, which ends with what is typed
  let last = history.at(-1); // what was sent last, a Blob too, answered or not
  let typed = "";

  box.value ||= store.get("draft:" + name) ?? "";

  function fill(text) {
    if (file) attach(null);
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

  function keep(data) {
    $("resend").hidden = false;
    if (data.size != null || data.length > LONGEST) return;
    history = [...history.filter((one) => one != data), data].slice(-KEPT);
    place = history.length;
    store.set("sent:" + name, JSON.stringify(history));
  }

  function say(text, failed) {
    $("sent").toggleAttribute("data-failed", Boolean(failed));
    $("sent").textContent = text;
  }

  async function send(data) {
    last = data;
    say("");
    try {
      say(await publish(data));
      keep(data);
      return true;
    } catch (error) {
      say(error.status ? told(error.message, error.status) : gettext("The server cannot be reached: the message was not sent."), true);
      return false;
    }
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = box.value, chosen = file;
    const sent = await send(chosen ? chosen.data : text);
    if (sent && chosen) file == chosen && attach(null);
    else if (sent && box.value == text) fill("");
    else box.focus();
  });

  $("resend").hidden = !history.length;
  $("resend").onclick = () => send(last);

  // --- a file --------------------------------------------------------------------------------------------------------

  // Show what is sent in place of the box: a textarea would change the ends of lines. null brings the box back.
  function attach(found) {
    file = found;
    box.hidden = Boolean(file);
    box.required = !file;
    $("attached").hidden = !file;
    $("attached-name").textContent = file?.name ?? "";
    $("check").textContent = file?.about ?? "";
    (file ? $("send-button") : box).focus();
    if (!file) check();
  }

  // A file that is UTF-8 without NUL is a text; all others are binary.
  async function take(chosen) {
    if (chosen.size > limit) return say(format(gettext("%s has %s; a message may have %s at most."), chosen.name, bytes(chosen.size), bytes(limit)), true);
    try {
      const buffer = await chosen.arrayBuffer();
      let data = new Blob([buffer]), kind = gettext("binary");
      try {
        const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(buffer);
        if (!text.includes("\0")) [data, kind] = [text, eventcastPayload.kind(text) == "JSON" ? "JSON" : gettext("text")];
      } catch {
        // It is binary.
      }
      say("");
      attach({ name: chosen.name, data, about: `${bytes(chosen.size)}, ${kind}` });
    } catch {
      say(format(gettext("%s cannot be read."), chosen.name), true); // a folder
    }
  }

  $("choose").hidden = false;
  $("choose").onclick = () => $("file").click();
  $("file").onchange = ({ target }) => {
    if (target.files[0]) take(target.files[0]);
    target.value = "";
  };
  $("detach").onclick = () => attach(null);

  // Anywhere else, a browser would leave the page for a file that misses the box.
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    const over = form.contains(event.target);
    form.classList.toggle("over", over);
    event.dataTransfer.dropEffect = over ? "copy" : "none";
  });
  for (const type of ["drop", "dragleave"]) {
    addEventListener(type, (event) => {
      form.classList.remove("over");
      if (type != "drop" || !event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      const { files } = event.dataTransfer;
      if (!form.contains(event.target)) return;
      if (files.length > 1) say(gettext("One file at a time, please."), true);
      else take(files[0]);
    });
  }

  // --- keys ----------------------------------------------------------------------------------------------------------

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
