import pages from './zh-pages.js';
import shell from './zh-shell.js';

export default { ...shell, ...pages };
