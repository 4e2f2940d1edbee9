// Requests figures at intervals, but only while the page is visible.

const { gettext } = eventcastPage;
const INTERVAL = 1500; // ms: changes are visible within two seconds
const SLOWEST = 15000;

// Give each answer from url() to show(). Return a function that requests at once. When the user loses the permission,
// requests stop and end() is called.
export function poll(url, show, end = () => {}) {
  const trouble = document.getElementById("eventcast-trouble");
  let timer = 0;
  let asking = false;
  let again = false;
  let failures = 0;
  let over = false;

  function tell(text) {
    if (trouble) {
      trouble.textContent = text;
      trouble.hidden = !text;
    }
  }

  async function ask() {
    again = asking;
    if (asking || over || document.hidden) return;
    clearTimeout(timer);
    asking = true;
    try {
      const answer = await fetch(url(), {
        headers: { Accept: "application/json" },
        redirect: "manual", // to the login page
        signal: AbortSignal.timeout(SLOWEST),
      });
      if (answer.type === "opaqueredirect" || answer.status === 403) {
        over = true;
        tell(gettext("You are logged out, or have no permission to view channels. Load the page again."));
        end();
        return;
      }
      if (!answer.ok) throw new Error(`The server answers ${answer.status}.`);
      const report = await answer.json();
      failures = 0;
      tell("");
      await show(report);
    } catch (error) {
      failures += 1;
      // Not for the first failure, if it came at once: the browser may be leaving the page.
      if (failures > 1 || error.name === "TimeoutError") tell(gettext("The server does not answer. Trying again…"));
      console.debug(error);
    } finally {
      asking = false;
    }
    if (again) ask();
    else timer = setTimeout(ask, Math.min(INTERVAL * 2 ** Math.max(0, failures - 1), SLOWEST));
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else ask();
  });
  ask();
  return ask;
}

// Put each text into the element of its name below root, if the text has changed.
export function fill(root, texts) {
  for (const element of root.querySelectorAll("[data-figure]")) {
    const text = texts[element.dataset.figure];
    if (text !== undefined && element.textContent !== text) element.textContent = text;
  }
}
