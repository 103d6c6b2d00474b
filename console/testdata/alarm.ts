// A use of what alarm.d.ts declares.
import { TidingsAlarm, type Alert, type Hearing } from './alarm.js';
import { Tidings } from './tidings.js';

const alarm: TidingsAlarm = document.createElement('tidings-alarm');
alarm.token = async () => 'token';
alarm.tidings = new Tidings({ topics: ['orders.>', '$alerts.orders.>'] });
alarm.describe = (alert: Alert) => `${alert.type} of ${alert.topic}`;
alarm.addEventListener('ring', ({ detail }) => console.log(detail.ringing && detail.audible));
alarm.addEventListener('alerts', ({ detail: { alerts, open } }) => console.log(alerts[0]?.holder?.name, open.toFixed()));
alarm.addEventListener('click', event => console.log(event.type));
const hearing: Hearing = alarm.hearing;
console.log(hearing.armed, alarm.ringing, alarm.audible, alarm.open.toFixed(), alarm.alerts.length);
alarm.claim('01', { force: true }).then(alert => alert && alarm.handOver(alert.id, { name: 'Bo' }));
alarm.snooze('01', 60).then(() => alarm.release('01')).then(() => alarm.done('01')).then(() => alarm.undo('01'));
alarm.refresh();
alarm.test();
alarm.heard();

// @ts-expect-error: ringing cannot be set
alarm.ringing = true;
