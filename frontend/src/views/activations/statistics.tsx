/** Any statistic of all activations over the steps, and all of them at one step. */
export function Statistics() {
  return null;
}
