/* The filter of the list of messages: words, /regular expressions/ and conditions on the keys of JSON. */
"use strict";

globalThis.eventcastFilter = (() => {
  const { format, gettext } = eventcastPage;
  const { isBinary, parsed } = eventcastPayload;
  const CONDITION = /^([\p{L}_$][\p{L}\p{N}_$.-]*)(>=|<=|!=|=|>|<)(.+)$/u;
  const MEANS = {
    "=": (one, other) => one == other,
    "!=": (one, other) => one != other,
    ">": (one, other) => one > other,
    "<": (one, other) => one < other,
    ">=": (one, other) => one >= other,
    "<=": (one, other) => one <= other,
  };

  // The values of a dotted key, for objects inside arrays too.
  const values = (data, [key, ...rest]) =>
    key === undefined ? [data]
      : Array.isArray(data) && !(key in data) ? data.flatMap((each) => values(each, [key, ...rest]))
      : data && typeof data == "object" && Object.hasOwn(data, key) ? values(data[key], rest) : [];

  function condition(key, sign, text) {
    const number = text.trim() != "" && !Number.isNaN(+text);
    const wanted = text.replace(/^"(.*)"$/, "$1");
    const holds = MEANS[sign], path = key.split(".");
    return (data) => values(parsed(data) ?? null, path).some((value) => (number && typeof value == "number"
      ? holds(value, +text) : ["=", "!="].includes(sign) || !number ? holds(String(value), wanted) : false));
  }

  // Why no message passes, if the filter may be meant otherwise.
  function hint(text, all) {
    const words = text.split(/\s+/);
    const missing = words.map((word) => CONDITION.exec(word)?.[1])
      .find((key) => key && !all.some((data) => values(parsed(data) ?? null, key.split(".")).length));
    if (missing) return format(gettext("No message has the key %s."), missing);
    if (/^\s*\/./.test(text)) return gettext("A regular expression has a slash at both ends: /error|warning/i");
    return words.some((word) => /^(>=|<=|!=|=|>|<)|[<>=]$/.test(word)) ? gettext("A condition has no spaces: amount>100") : "";
  }

  // A function that tells whether a message passes; its hint(all) tells why none of all messages does. Throws a SyntaxError
  // for a wrong regular expression.
  return (text) => {
    const regex = /^\/(.+)\/([imsu]*)$/.exec(text.trim()); // /logs/web is a text
    if (regex) {
      const found = new RegExp(regex[1], regex[2]);
      return Object.assign((data) => !isBinary(data) && found.test(data), { hint: () => "" });
    }
    const tests = text.split(/\s+/).filter(Boolean).map((word) => {
      const parts = CONDITION.exec(word);
      if (parts) return condition(...parts.slice(1));
      const lower = word.toLowerCase();
      return (data) => !isBinary(data) && data.toLowerCase().includes(lower);
    });
    return Object.assign((data) => tests.every((test) => test(data)), { hint: (all) => hint(text, all) });
  };
})();
