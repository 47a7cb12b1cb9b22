/** What was left out of a recording, and why. */
import type { Omission } from '../data/types';
import { nameOr } from './words';

export function Omissions({
  omissions,
  title = 'Left out',
}: {
  omissions: readonly Omission[];
  title?: string;
}) {
  if (omissions.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul class="omissions">
        {omissions.map(({ subject, reason }, index) => (
          <li key={index}>
            <b>{nameOr(subject)}</b>: {reason}
          </li>
        ))}
      </ul>
    </>
  );
}
