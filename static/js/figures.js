// Numbers as people read them; the same as in `webapp/formatting.py`.

const NARROW = "\u202F";
const NONE = "\u2014"; // there is no such figure here

/** A whole number in groups of three. */
export function count(value) {
  return value == null ? NONE : Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, NARROW);
}

/** A number with three significant digits, whole where it is whole. */
function decimal(value) {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return count(value);
  return value.toFixed(Math.min(Math.max(2 - Math.floor(Math.log10(Math.abs(value))), 0), 6));
}

/** Milliseconds; as seconds from ten thousand of them on, as microseconds below a tenth of one. */
export function ms(value) {
  if (value == null) return NONE;
  const far = Math.abs(value);
  if (far > 0 && far < 0.1) return `${decimal(value * 1000)}${NARROW}µs`;
  return far >= 10_000 ? `${decimal(value / 1000)}${NARROW}s` : `${decimal(value)}${NARROW}ms`;
}

/** Seconds; as milliseconds below a tenth of one. */
export function seconds(value) {
  if (value == null) return NONE;
  return value !== 0 && Math.abs(value) < 0.1 ? ms(value * 1000) : `${decimal(value)}${NARROW}s`;
}

/** Bytes in binary steps. */
export function size(value) {
  if (value == null) return NONE;
  const units = ["B", "KiB", "MiB", "GiB"];
  let step = 0;
  while (Math.abs(value) >= 1024 && step < units.length - 1) {
    value /= 1024;
    step += 1;
  }
  return `${decimal(value)}${NARROW}${units[step]}`;
}

/** A share of one core. */
export function percent(value) {
  return value == null ? NONE : `${value.toFixed(0)}${NARROW}%`;
}

/** How long something has lasted so far. */
export function age(seconds) {
  return `${Math.max(seconds, 0).toFixed(1)}${NARROW}s`;
}

/** The end of a scale that holds `highest`: 1, 2 or 5 times a power of ten. */
export function niceTop(highest) {
  if (highest <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= highest);
}
