import deliveries from './en-deliveries.js';
import pages from './en-pages.js';
import shell from './en-shell.js';

export default { ...shell, ...pages, ...deliveries };
