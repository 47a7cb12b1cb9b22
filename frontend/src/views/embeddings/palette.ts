/** Colours for any number of groups. */
import type { Rgb } from '../../charts/color';

/** Groups up to so many have colours that are told apart at a glance; beyond, neighbours differ, and colours come back. */
export const DISTINCT = 24;

/** Turn of the hue from one colour to the next where there are many: no turn soon comes back to where it was. */
const GOLDEN = 137.508;
/** Up to so many, two levels of lightness do. */
const FEW = 12;
/** Hue of the first group. */
const FIRST = 25;
/** Hues that stand apart are few; lightness parts those that are close. */
const LIGHTNESS = { light: [0.52, 0.7, 0.4], dark: [0.72, 0.86, 0.58] } as const;
const CHROMA = [0.15, 0.12, 0.13] as const;

/**
 * Colours of `count` groups.
 *
 * @param base Colours that are known to be told apart, for as many groups as there are of them.
 */
export function groupColours(count: number, base: readonly Rgb[], dark: boolean): Rgb[] {
  if (count <= base.length) return base.slice(0, count);
  const levels = count <= FEW ? 2 : 3;
  const hueOf = count <= DISTINCT ? evenHues(count, levels) : (index: number) => GOLDEN * index;
  return Array.from({ length: count }, (_, index) => {
    const level = index % levels;
    return oklch(LIGHTNESS[dark ? 'dark' : 'light'][level]!, CHROMA[level]!, FIRST + hueOf(index));
  });
}

/** Hues that are as far apart as can be within a level of lightness, and between those of the other levels. */
function evenHues(count: number, levels: number): (index: number) => number {
  const perLevel = Math.ceil(count / levels);
  return (index) => {
    const [place, level] = [Math.floor(index / levels), index % levels];
    // The next one in order lies on the other side of the circle.
    const across = Math.floor(perLevel / levels) * level;
    return (360 / perLevel) * (place + across + level / levels);
  };
}

/** A colour by lightness (0 to 1), chroma and hue (degrees) in OKLab, which is even to the eye; https://bottosson.github.io/posts/oklab/ */
export function oklch(lightness: number, chroma: number, hue: number): Rgb {
  const angle = (hue * Math.PI) / 180;
  const [a, b] = [chroma * Math.cos(angle), chroma * Math.sin(angle)];
  const long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const short = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    screen(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
    screen(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
    screen(-0.0041960863 * long - 0.7034186147 * medium + 1.707614701 * short),
  ];
}

/** A share of light as the byte that a screen takes for it. */
function screen(light: number): number {
  const share = light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055;
  return Math.round(255 * Math.min(1, Math.max(0, share)));
}
