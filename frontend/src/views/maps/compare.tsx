/** What the maps are compared with, and why that may not be there. */
import { mapsAgainst, otherProbe, otherProbes, otherSide, probeStep, probeSteps } from '../../state/maps';
import { matchingSource, sourceKey } from '../../state/maps-sources';
import type { Side } from '../../state/maps-wanted';
import { Compare } from '../compare';

export function CompareMaps() {
  return (
    <Compare
      what="maps"
      other={mapsAgainst.value}
      step={probeStep.value ?? 0}
      otherSteps={probeSteps.value}
    />
  );
}

/** Why the other side is not there, in words; empty where it is, or where nothing is compared. */
export function otherTrouble({ source, sample }: Side): string {
  const other = mapsAgainst.value;
  if (other === null || otherSide.value !== null) return '';
  const { error, loading } = otherProbes.value;
  if (loading) return '';
  const name = other.kind === 'run' ? other.run : 'This run';
  if (error !== null) return `${name} can’t be read: ${error.message}`;
  const theirs = otherProbe.value;
  if (theirs === null) return `${name} has no activation maps.`;
  if (matchingSource(theirs.maps, source) < 0) return `${name} has no maps of ${sourceKey(source)}.`;
  if (sample >= theirs.samples) return `${name} has no input ${sample}.`;
  return `${name} has recorded no maps yet.`;
}
