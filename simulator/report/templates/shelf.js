// Rows stand as text, one to a line, and become elements when they are shown: tens of thousands open at once.
const MOST = 8;
const table = document.getElementById("all");
const bar = document.getElementById("compare");

function rowOf(line) {
  let words, element;
  return {
    values: [...line.matchAll(/ data-value="([^"]*)"/g)].map(([, text], n) => {
      const numeric = table.tHead.rows[0].cells[n].dataset.sort === "number";
      return text === "" ? null : numeric ? +text : decode(text);
    }),
    get words() { return words ??= decode(line.replace(/<[^>]*>/g, " ")).toLowerCase(); },
    make() {
      if (!element) {
        const body = document.createElement("tbody");
        body.innerHTML = line;
        element = body.firstElementChild;
      }
      return element;
    },
  };
}
function decode(text) {
  const names = { lt: "<", gt: ">", amp: "&", "#34": '"', "#39": "'" };
  return text.includes("&") ? text.replace(/&(lt|gt|amp|#34|#39);/g, (_, name) => names[name]) : text;
}

if (table) {
  const more = document.getElementById("more").textContent.split("\n").filter(Boolean);
  sortable(table, [...[...table.tBodies[0].rows].map((row) => row.outerHTML), ...more].map(rowOf));

  const chosen = new Map();
  const command = bar.querySelector("code");
  const copy = bar.querySelector(".copy");
  const link = bar.querySelector(".page");
  const pages = new Map([...document.querySelectorAll("a[data-runs]")].map((a) => [a.dataset.runs, a.getAttribute("href")]));
  const show = () => {
    const names = [...chosen.keys()];
    const enough = names.length > 1 && names.length <= MOST;
    bar.hidden = !names.length;
    bar.querySelector(".chosen-runs").textContent = names.length < 2 ? "One run is ticked: tick another to compare them."
      : enough ? `${names.length} runs are ticked.` : `${names.length} runs are ticked: at most ${MOST} are compared at once.`;
    command.textContent = `sim compare ${names.join(" ")}`;
    command.parentElement.hidden = copy.hidden = !enough;
    copy.textContent = "Copy the command";
    const page = enough && pages.get(names.sort().join(" "));
    link.hidden = !page;
    if (page) link.href = page;
  };
  table.addEventListener("change", ({ target }) => {
    if (target.checked) chosen.set(target.value, target);
    else chosen.delete(target.value);
    show();
  });
  bar.querySelector(".clear").addEventListener("click", () => {
    chosen.forEach((box) => { box.checked = false; });
    chosen.clear();
    show();
  });
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch {
      getSelection().selectAllChildren(command);
      if (!document.execCommand("copy")) return;
    }
    copy.textContent = "Copied";
  });
}
