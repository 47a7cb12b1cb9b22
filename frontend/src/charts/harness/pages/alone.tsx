/** One large chart a page, to measure what it costs. */

import { useMemo } from 'preact/hooks';
import { StepLines } from '../../lines/StepLines';
import { blockNames, dyingNetwork, plain } from '../data';
import { Box, Fixture, useLinked } from '../linked';

/** 300 layers, 1,000 records of one step each. */
const LARGE = dyingNetwork(300, 999, 30, 400, plain(1000));

export function HeatmapAlone() {
  const layers = useMemo(() => blockNames(99, 3).slice(0, 300), []);
  return <Fixture layers={layers} matrix={LARGE} height={700} at={{ row: 30, step: 500 }} />;
}

export function LinesAlone() {
  const {
    selection,
    folded: _folded,
    words: _words,
    frame: _frame,
    ...linked
  } = useLinked(LARGE, { row: null, step: 500 });
  const length = LARGE.steps.length;
  const series = useMemo(
    () =>
      Array.from({ length: 200 }, (_, row) => ({
        label: `layer ${row}`,
        steps: LARGE.steps,
        spans: LARGE.spans,
        values: LARGE.values.subarray(row * length, (row + 1) * length),
      })),
    [],
  );
  return (
    <Box height={500}>
      <StepLines {...linked} selection={selection.value} title="Lines" series={series} scale="log" />
    </Box>
  );
}
