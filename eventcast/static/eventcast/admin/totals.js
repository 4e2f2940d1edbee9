// The totals on the admin's index.

import { fill, poll } from "./poll.js";

const line = document.querySelector(".eventcast-totals");
poll(() => line.dataset.url, (report) => fill(line, report.totals));
