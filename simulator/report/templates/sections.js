// One row of sections: what does not fit stands in its menu. The section being read is marked in either.
{
  const row = document.querySelector(".sections"), menu = row.querySelector(".menu"), listed = menu.querySelector("div");
  const entries = [...row.querySelectorAll("a")].map((link) => [link, document.querySelector(link.hash)]);
  function fitRow() {
    for (const [link] of entries) menu.before(link);
    menu.hidden = true;
    if (menu.previousElementSibling.offsetTop === row.firstElementChild.offsetTop) return;
    menu.hidden = false;
    while (menu.offsetTop > row.firstElementChild.offsetTop && menu.previousElementSibling) listed.prepend(menu.previousElementSibling);
  }
  function markSection() {
    const line = row.getBoundingClientRect().bottom + 60, foot = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    const reached = entries.filter(([, part]) => foot || part.getBoundingClientRect().top <= line).at(-1)?.[0];
    for (const [link] of entries) link.ariaCurrent = link === reached ? "true" : null;
  }
  let marking = 0;
  addEventListener("scroll", () => { marking ||= requestAnimationFrame(() => { marking = 0; markSection(); }); }, { passive: true });
  addEventListener("resize", fitRow);
  addEventListener("click", (event) => { if (!event.target.closest?.(".sections summary")) menu.open = false; });
  menu.addEventListener("focusout", (event) => { if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false; });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  fitRow();
  markSection();
}
