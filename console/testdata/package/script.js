// A client in a script that is not a module, and so does not know where it was loaded from.
import { Tidings } from '@tidings/client';

try {
  new Tidings();
} catch (error) {
  console.log(`${error.name}: ${error.message}`);
}
