// Not a module: it runs before anything is painted, so that a dark page never begins with a white flash.
try {
  const theme = localStorage.getItem('tidings theme');
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // storage is disabled: the system's theme it is
}
