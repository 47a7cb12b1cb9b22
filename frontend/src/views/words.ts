/** Small words. */
import { formatCount } from '../charts/numbers';

/** "1 layer", "1,240 layers". */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** A name that can be read even where there is none. */
export function nameOr(name: string): string {
  return name.trim() === '' ? '(no name)' : name;
}

/** A sentence from words that may begin small. */
export function sentence(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
