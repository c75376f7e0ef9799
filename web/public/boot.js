// Runs before everything else, and blocks the first paint: takes the token out of the address
// before any other script can see it, and sets theme and language so that nothing flashes.
(() => {
  const token = /^#token=([\w.~-]+)$/.exec(location.hash);
  if (token) {
    history.replaceState(null, '', location.pathname + location.search);
    try {
      localStorage.setItem('parley.token', token[1]);
    } catch {
      window.parleyToken = token[1];
    }
  }
  try {
    const theme = localStorage.getItem('parley.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
    const language = localStorage.getItem('parley.language') || navigator.language;
    if (/^zh\b/i.test(language)) document.documentElement.lang = 'zh-Hans';
  } catch {
    // Storage is blocked: the system's theme and the browser's language apply.
  }
})();
