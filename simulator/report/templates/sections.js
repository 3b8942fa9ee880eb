// The section being read is marked in the row of sections, which follows sideways where it does not fit.
{
  const row = document.querySelector(".sections");
  const entries = [...row.querySelectorAll("a")].map((link) => [link, document.querySelector(link.hash)]);
  function markSection() {
    const line = row.getBoundingClientRect().bottom + 60, foot = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    const reached = entries.filter(([, part]) => foot || part.getBoundingClientRect().top <= line).at(-1)?.[0];
    for (const [link] of entries) {
      if (link === reached && !link.ariaCurrent) row.scrollTo({ left: link.offsetLeft - row.offsetLeft - row.clientWidth / 3 });
      link.ariaCurrent = link === reached ? "true" : null;
    }
  }
  let marking = 0;
  addEventListener("scroll", () => { marking ||= requestAnimationFrame(() => { marking = 0; markSection(); }); }, { passive: true });
  markSection();
}
