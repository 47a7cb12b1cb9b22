/** Which units are dead, since when, and after what. */
export function DeadUnits() {
  return <h2 class="visually-hidden">Dead units</h2>;
}
