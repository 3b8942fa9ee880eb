"use strict";
// Asked from this page, the browser sends the session with it.
location.replace(document.getElementById("again").href);
