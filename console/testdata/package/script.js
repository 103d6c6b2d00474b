// A client in a script that is no module, where nothing says where it was loaded from.
import { Tidings } from '@tidings/client';

try {
  new Tidings();
} catch (error) {
  console.log(`${error.name}: ${error.message}`);
}
