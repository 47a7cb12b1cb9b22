/** States of a unit; the numbers are those of the wire. What they are called is in the catalogue, in the same order. */
export const UNIT = {
  alive: 0,
  sparse: 1,
  dead: 2,
  saturated: 3,
  frozen: 4,
  neverRun: 5,
  notRecorded: 6,
  revived: 7,
  silent: 8,
} as const;
