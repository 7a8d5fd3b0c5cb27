// Formats numbers with units for the hover panel, in the same way as `webapp/formatting.py`.

const NARROW = "\u202F";
const NONE = "\u2014"; // the figure does not exist

/** A whole number with digits in groups of three. */
export function count(value) {
  return value == null ? NONE : Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, NARROW);
}

/** A number with three significant digits; whole numbers have no decimals. */
function decimal(value) {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return count(value);
  return value.toFixed(Math.min(Math.max(2 - Math.floor(Math.log10(Math.abs(value))), 0), 6));
}

/** Milliseconds; seconds from 10,000 ms on, microseconds below 0.1 ms. */
export function ms(value) {
  if (value == null) return NONE;
  const far = Math.abs(value);
  if (far > 0 && far < 0.1) return `${decimal(value * 1000)}${NARROW}µs`;
  return far >= 10_000 ? `${decimal(value / 1000)}${NARROW}s` : `${decimal(value)}${NARROW}ms`;
}

/** Seconds; milliseconds below 0.1 s. */
export function seconds(value) {
  if (value == null) return NONE;
  return value !== 0 && Math.abs(value) < 0.1 ? ms(value * 1000) : `${decimal(value)}${NARROW}s`;
}
