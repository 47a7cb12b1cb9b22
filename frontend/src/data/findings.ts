/** Findings: what is wrong with a run, since when, why, and what to do, as docs/http-api.md gives them. */
import { address, json } from './client';

export type Grade = 'info' | 'warning' | 'critical';

/** A series that shows what was found; NaN on the wire is null. */
export interface EvidenceLine {
  readonly label: string;
  /** Id of the statistic, or the name of the metric. */
  readonly statistic: string;
  readonly steps: readonly number[];
  readonly values: readonly (number | null)[];
  readonly threshold: number | null;
}

/** A finding without what follows from it. */
export interface Consequence {
  /** Stays the same while the finding holds. */
  readonly id: string;
  readonly rule: string;
  readonly title: string;
  readonly severity: Grade;
  /** Indices, the one to blame first; none where it is about the whole run. */
  readonly layers: readonly number[];
  /** Of the first layer, or null where it is not about single units. */
  readonly units: readonly number[] | null;
  readonly first_step: number | null;
  readonly last_step: number | null;
  readonly message: string;
  readonly beyond: {
    readonly label: string;
    readonly measured: number | null;
    readonly threshold: number | null;
  };
  readonly evidence: readonly EvidenceLine[];
  readonly excluded: readonly string[];
  readonly remedies: readonly { readonly text: string; readonly code: string }[];
  /** Id of the view that shows it. */
  readonly view: string;
}

export interface Finding extends Consequence {
  readonly consequences: readonly Consequence[];
}

export interface RuleName {
  readonly rule: string;
  readonly title: string;
}

export interface ThresholdInfo {
  readonly rule: string;
  readonly name: string;
  readonly label: string;
  readonly value: number;
  readonly default: number;
  readonly least: number;
  readonly most: number;
}

export interface Report {
  readonly run: string;
  readonly revision: string;
  /** How many rules were checked. */
  readonly checks: number;
  /** The worst first. */
  readonly findings: readonly Finding[];
  readonly passed: readonly RuleName[];
  readonly not_checked: readonly (RuleName & { readonly reason: string })[];
  readonly thresholds: readonly ThresholdInfo[];
}

/** @param thresholds Those that are moved, "rule.name:value,…"; empty for none. */
export function findingsAddress(run: string, thresholds: string): string {
  return address('findings', { run, thresholds: thresholds || undefined });
}

export const getFindings = (run: string, thresholds: string, signal: AbortSignal) =>
  json<Report>(findingsAddress(run, thresholds), signal);
