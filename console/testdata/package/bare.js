// A client in a bundle, without the server's address.
import { Tidings } from '@tidings/client';

new Tidings({ shared: false }).addEventListener('error', ({ detail }) => {
  document.getElementById('app').textContent = detail.message;
});
