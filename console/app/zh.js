import deliveries from './zh-deliveries.js';
import pages from './zh-pages.js';
import shell from './zh-shell.js';

export default { ...shell, ...pages, ...deliveries };
