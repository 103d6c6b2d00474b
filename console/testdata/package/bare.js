// A client in a bundle that nobody has told where the server is.
import { Tidings } from '@tidings/client';

new Tidings({ shared: false }).addEventListener('error', ({ detail }) => {
  document.getElementById('app').textContent = detail.message;
});
