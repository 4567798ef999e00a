// The part of an address behind '#' never reaches a server, and MLflow keeps its route there: put
// it into the page to return to before going on.
"use strict";
for (const link of document.querySelectorAll("a[data-sign-in]")) {
  const target = new URL(link.href);
  const next = target.searchParams.get("next") || "/";
  if (location.hash && !next.includes("#")) {
    target.searchParams.set("next", next + location.hash);
    link.href = target.href;
  }
  if (link.dataset.signIn === "at once") {
    location.replace(link.href);
  }
}
