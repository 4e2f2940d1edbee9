/* Messages for display: JSON indented, binary as hex, text unchanged. The functions make no HTML from text. */
"use strict";

globalThis.eventcastPayload = (() => {
  const FOLD = eventcastPage.gettext("Fold"); // above the regular expressions, which the tool that collects texts cannot read
  const SHOWN = 2000; // characters of a message that are shown at first
  const LINES = 24;
  const EXAMINED = 1 << 16; // characters up to which a message is parsed as JSON at first
  const COLOURED = 1 << 16; // characters up to which JSON is coloured, with an element for each token
  const DEEPEST = 24; // levels of indentation, because a thousand brackets would need a million spaces
  const HEX_SHOWN = 160; // bytes
  const BRIEF = 300; // characters in a line
  const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

  const isBinary = (data) => typeof data != "string";
  const size = (data) => (isBinary(data) ? data.byteLength : new TextEncoder().encode(data).length);

  // What a JSON text says; undefined for another text. Only objects and arrays count.
  function parsed(text) {
    if (isBinary(text) || text.length > EXAMINED || !/^\s*[{[]/.test(text)) return undefined;
    try {
      return JSON.parse(text);
    } catch {
      return undefined;
    }
  }

  const isKey = (text, end) => /^\s*:/.test(text.slice(end, end + 20));

  // The pieces of a JSON text, each [kind, text], with line breaks and indentation between them. The tokens stay
  // unchanged: JSON.parse() would make 1.0 a 1, change 12345678901234567890, and lose one of two equal keys.
  function* indented(text) {
    let depth = 0, before = "";
    const line = () => ["", "\n" + "  ".repeat(Math.min(depth, DEEPEST))];
    for (const { 0: token, index } of text.matchAll(TOKEN)) {
      const closes = token == "}" || token == "]";
      if (closes) depth--;
      if (closes ? before != "{" && before != "[" : before == "{" || before == "[" || before == ",") yield line();
      if (token == "{" || token == "[") depth++;
      if (token == ":") yield ["", ": "];
      else if (token[0] == '"') yield [isKey(text, index + token.length) ? "key" : "string", token];
      else yield [/^[\d-]/.test(token) ? "number" : /^[a-z]/.test(token) ? "word" : "", token];
      before = token;
    }
  }

  function hex(buffer, width) {
    const found = [], view = new Uint8Array(buffer);
    for (let at = 0; at < view.length; at += width) {
      const row = [...view.subarray(at, at + width)];
      const digits = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(3 * width - 1);
      const text = row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
      found.push(`${at.toString(16).padStart(4, "0")}  ${digits}  ${text}`);
    }
    return found.join("\n");
  }

  // The pieces up to SHOWN characters and LINES lines. state.whole tells whether these are all.
  function* cut(pieces, state) {
    let characters = 0, lines = 0;
    for (const [kind, text] of pieces) {
      const ends = text.split("\n", LINES - lines + 1);
      let piece = ends.length > LINES - lines ? ends.slice(0, LINES - lines).join("\n") : text;
      piece = piece.slice(0, SHOWN - characters);
      yield [kind, piece];
      if (piece.length < text.length) {
        state.whole = false;
        return;
      }
      characters += piece.length;
      lines += ends.length - 1;
    }
  }

  // The beginning of a message, for one line.
  const brief = (data) => (isBinary(data)
    ? [...new Uint8Array(data.slice(0, 32))].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")
    : data.slice(0, BRIEF));

  const kind = (data) => (isBinary(data) ? "binary" : parsed(data) === undefined ? "text" : "JSON");

  // {pieces, whole}: the pieces to show: all of them, or the beginning.
  function describe(data, all, width = 16) {
    if (isBinary(data)) {
      const whole = all || data.byteLength <= HEX_SHOWN;
      return { pieces: [["", hex(whole ? data : data.slice(0, HEX_SHOWN), width)]], whole };
    }
    const pieces = parsed(data) === undefined ? [["", data]] : indented(data);
    const state = { whole: true };
    let found = all ? [...pieces] : [...cut(pieces, state)];
    if (found.length > COLOURED / 4 || data.length > COLOURED) found = [["", found.map(([, text]) => text).join("")]];
    return { pieces: found, whole: state.whole };
  }

  // Text nodes, and elements that contain only text. What stands between brackets on several lines can be folded by a
  // button without text of its own, so that the text of all is that of the message.
  function nodes(pieces) {
    const root = document.createDocumentFragment(), open = [];
    let place = root;
    pieces.forEach(([kind, text], index) => {
      if ((text == "}" || text == "]") && !kind && open.length) {
        const group = open.pop();
        if (group) place = group;
      }
      if (kind) {
        const node = document.createElement("span");
        node.className = kind;
        node.textContent = text;
        place.append(node);
      } else place.append(text);
      if ((text == "{" || text == "[") && !kind) {
        const folds = pieces[index + 1]?.[1][0] == "\n";
        open.push(folds ? place : null);
        if (!folds) return;
        const button = document.createElement("button"), inner = document.createElement("span");
        Object.assign(button, { type: "button", className: "toggle", tabIndex: -1 });
        button.setAttribute("aria-label", FOLD);
        button.setAttribute("aria-expanded", "true");
        inner.className = "inner";
        place.append(button, inner);
        place = inner;
      }
    });
    return root;
  }

  return { brief, describe, isBinary, kind, nodes, parsed, size };
})();
