// Light or dark before anything is drawn: as the system has it, unless this page was told otherwise.
(() => {
  const root = document.documentElement;
  const modes = ['auto', 'light', 'dark'];
  const read = () => {
    try {
      const mode = localStorage.getItem('quire.theme');
      return modes.includes(mode) ? mode : 'auto';
    } catch {
      return root.dataset.theme ?? 'auto';
    }
  };
  const show = (mode) => {
    root.dataset.theme = mode;
    root.dispatchEvent(new CustomEvent('theme', { detail: mode }));
  };
  show(read());
  root.addEventListener('theme-next', () => {
    const mode = modes[(modes.indexOf(root.dataset.theme) + 1) % modes.length];
    try {
      localStorage.setItem('quire.theme', mode);
    } catch { /* for this page only, then */ }
    show(mode);
  });
})();
