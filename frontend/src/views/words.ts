/** Small words. */
import { formatCount } from '../charts/numbers';

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

/** A name that can be read even where there is none. */
export function nameOr(name: string): string {
  return name.trim() === '' ? '(no name)' : name;
}

/** A sentence from words that may begin small. */
export function sentence(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
