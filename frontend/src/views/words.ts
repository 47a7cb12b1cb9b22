/** Small words. */
import { formatCount, formatValue } from '../charts/numbers';

/** "1 layer", "1,240 layers". */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** "0.8 %", "12 %", "less than 0.1 %" */
export function formatCost(fraction: number): string {
  const percent = 100 * fraction;
  if (percent < 0.1) return 'less than 0.1 %';
  return `${percent.toFixed(percent < 10 && percent % 1 !== 0 ? 1 : 0)} %`;
}

/** "12 MiB" */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let power = 0;
  let size = bytes;
  while (size >= 1023.5 && power < units.length - 1) {
    size /= 1024;
    power++;
  }
  return `${formatValue(size, size < 1000 ? 3 : 4)} ${units[power]}`;
}

/** A name that can be read even where there is none. */
export function nameOr(name: string): string {
  return name.trim() === '' ? '(no name)' : name;
}

/** A sentence from words that may begin small. */
export function sentence(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
