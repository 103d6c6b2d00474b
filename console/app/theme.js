// Not a module: it runs before the first paint, so that a dark page never starts with a white flash.
try {
  const theme = localStorage.getItem('tidings theme');
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // storage is disabled: use the system's theme
}
