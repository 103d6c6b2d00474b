// An ID is a ULID: 48 bits of time, then 80 bits that make it unique, in Crockford's base 32.

const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

// timeOf returns when the event of an ID was committed, in milliseconds since 1970.
export const timeOf = id => [...id.slice(0, 10)].reduce((sum, digit) => sum * 32 + DIGITS.indexOf(digit), 0);
