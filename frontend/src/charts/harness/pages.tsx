/** Pages of the harness, by their names in the address. */

import type { FunctionComponent } from 'preact';
import { HeatmapAlone, LinesAlone } from './pages/alone';
import { Edges, Huge } from './pages/edges';
import { Flow } from './pages/flow';
import { Panels } from './pages/panels';
import { Clouds } from './pages/points';

export const pages: Record<string, FunctionComponent> = {
  flow: Flow,
  panels: Panels,
  edges: Edges,
  blank: () => null,
  heatmap: HeatmapAlone,
  lines: LinesAlone,
  huge: Huge,
  points: Clouds,
};
