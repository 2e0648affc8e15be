/** Numbers and times as people read them. Everything here is pure. */

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** 1115394 → "1,115,394". */
export function count(value: number): string {
  return grouped.format(value);
}

/** 5180672 → "5.2M"; 27402752 → "27M"; 980 → "980". */
export function short(value: number): string {
  for (const [unit, size] of [
    ['B', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (value >= size) {
      const scaled = value / size;
      return `${scaled.toFixed(scaled < 20 ? 1 : 0)}${unit}`;
    }
  }
  return String(Math.round(value));
}

/** A loss in nats: two decimals are what two runs can be told apart by. */
export function loss(value: number): string {
  return value.toFixed(2);
}

/** 190 → "3 min", 45 → "45 s", 7300 → "2 h 2 min". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) {
    return `${whole} s`;
  }
  const minutes = Math.round(whole / 60);
  if (minutes < 60) {
    return `${minutes} min`;
  }
  const hours = Math.floor(minutes / 60);
  if (hours < 48) {
    return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  }
  return `${Math.round(hours / 24)} days`;
}

/** Seconds since 1970 → "just now", "5 min ago", "3 h ago", "12 Nov". */
export function ago(unixSeconds: number, now = Date.now() / 1000): string {
  const passed = now - unixSeconds;
  if (passed < 60) {
    return 'just now';
  }
  if (passed < 86400) {
    return `${duration(passed)} ago`.replace(/ \d+ min ago/, (match) => (passed < 3600 ? match : ' ago'));
  }
  return new Date(unixSeconds * 1000).toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
}

/** Text with a middle dot for every character that has no look, and LF for every kind of line end. */
export function printable(text: string): string {
  return text.replace(/\r\n?/g, '\n').replace(/[^\P{C}\n\t]|\uFFFD/gu, '·');
}
