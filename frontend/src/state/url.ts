/** The selection as a part of TensorBoard's address: `#netviz&p.netviz.view=…&p.netviz.run=…`. */

/** What a link says; each part may be missing. */
export interface Link {
  readonly view?: string;
  readonly run?: string;
  readonly layer?: string;
  readonly step?: number;
  /** Name of the activation, and which of its units. */
  readonly activation?: string;
  readonly unit?: number;
  readonly statistic?: string;
  readonly rows?: string;
  readonly filter?: string;
  /** Which state of units is counted. */
  readonly state?: string;
  /** Which units are listed. */
  readonly list?: string;
  /** Thresholds of the verdict about units. */
  readonly samples?: number;
  readonly windows?: number;
  /** Part of a view. */
  readonly section?: string;
  /** Name of a probe, which of its inputs, and which of its modules. */
  readonly probe?: string;
  readonly sample?: number;
  readonly map?: string;
  /** What maps, findings or an embedding are compared with. */
  readonly against?: string;
  /** Name of an embedding, which of its layouts, and what its points are coloured by. */
  readonly embedding?: string;
  readonly layout?: string;
  readonly colour?: string;
  /** Id of a finding, and the thresholds that were moved: "rule.name:value,…". */
  readonly finding?: string;
  readonly thresholds?: string;
  /** First and last step of a zoom. */
  readonly domain?: readonly [number, number];
}

const PREFIX = 'p.netviz.';
const PLUGIN = 'netviz';

/** The link in a location hash. Parts that make no sense are left out. */
export function parseHash(hash: string): Link {
  const fields = new Map<string, string>();
  for (const part of hash.replace(/^#/, '').split('&')) {
    const at = part.indexOf('=');
    if (at > 0 && part.startsWith(PREFIX))
      fields.set(part.slice(PREFIX.length, at), decode(part.slice(at + 1)));
  }
  const text = (name: string) => (fields.get(name) ? { [name]: fields.get(name) } : {});
  const count = (name: string) => {
    const value = toCount(fields.get(name));
    return value === null ? {} : { [name]: value };
  };
  const domain = toDomain(fields.get('domain'));
  return {
    ...text('view'),
    ...text('run'),
    ...text('layer'),
    ...text('activation'),
    ...text('statistic'),
    ...text('rows'),
    ...text('filter'),
    ...text('state'),
    ...text('list'),
    ...text('section'),
    ...text('probe'),
    ...text('map'),
    ...text('against'),
    ...text('embedding'),
    ...text('layout'),
    ...text('colour'),
    ...text('finding'),
    ...text('thresholds'),
    ...count('step'),
    ...count('unit'),
    ...count('samples'),
    ...count('windows'),
    ...count('sample'),
    ...(domain === null ? {} : { domain }),
  };
}

/** `hash` with our part of it replaced by `link`; what belongs to others stays as it is. */
export function formatHash(hash: string, link: Link): string {
  const others = hash
    .replace(/^#/, '')
    .split('&')
    .filter((part) => part !== '' && part !== PLUGIN && !part.startsWith(PREFIX));
  const ours = Object.entries(link)
    .filter(([, value]) => value !== undefined && value !== '')
    .map(
      ([name, value]) => `${PREFIX}${name}=${encode(Array.isArray(value) ? value.join('-') : String(value))}`,
    );
  return `#${[PLUGIN, ...ours, ...others].join('&')}`;
}

function toCount(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}

function toDomain(text: string | undefined): readonly [number, number] | null {
  const match = /^(\d+)-(\d+)$/.exec(text ?? '');
  if (match === null) return null;
  const [first, last] = [Number(match[1]), Number(match[2])];
  return first < last ? [first, last] : null;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Lone surrogates, which a hostile name can hold, have no encoding. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}
