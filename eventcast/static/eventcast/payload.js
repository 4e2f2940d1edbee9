/* Messages for display: JSON indented, binary as hex, text unchanged. The functions make no HTML from text. */
"use strict";

const payload = (() => {
  const SHOWN = 2000; // characters of a message that are shown at first
  const LINES = 24;
  const EXAMINED = 1 << 16; // characters up to which a message is parsed as JSON at first
  const COLOURED = 1 << 16; // characters up to which JSON is coloured, with an element for each token
  const DEEPEST = 24; // levels of indentation, because a thousand brackets would need a million spaces
  const HEX_SHOWN = 160; // bytes
  const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

  const isBinary = (data) => typeof data != "string";
  const size = (data) => (isBinary(data) ? data.byteLength : new TextEncoder().encode(data).length);

  function bytes(count) {
    if (count < 1000) return `${count} B`;
    const unit = count < 1e6 ? ["kB", 1e3] : ["MB", 1e6];
    return `${(count / unit[1]).toFixed(count < 10 * unit[1] ? 1 : 0)} ${unit[0]}`;
  }

  function isJSON(text) {
    if (!/^\s*[{[]/.test(text)) return false;
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
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

  // {kind, pieces, whole}: the kind of a message, and the pieces to show: all of them, or the beginning.
  function describe(data, all, width = 16) {
    if (isBinary(data)) {
      const whole = all || data.byteLength <= HEX_SHOWN;
      return { kind: "binary", pieces: [["", hex(whole ? data : data.slice(0, HEX_SHOWN), width)]], whole };
    }
    const json = (all || data.length <= EXAMINED) && isJSON(data);
    const pieces = json ? indented(data) : [["", data]];
    const state = { whole: true };
    let found = all ? [...pieces] : [...cut(pieces, state)];
    if (found.length > COLOURED / 4 || data.length > COLOURED) found = [["", found.map(([, text]) => text).join("")]];
    return { kind: json ? "JSON" : "text", pieces: found, whole: state.whole };
  }

  // Text nodes, and elements that contain only text.
  function nodes(pieces) {
    return pieces.map(([kind, text]) => {
      if (!kind) return document.createTextNode(text);
      const node = document.createElement("span");
      node.className = kind;
      node.textContent = text;
      return node;
    });
  }

  return { bytes, describe, isBinary, nodes, size };
})();
