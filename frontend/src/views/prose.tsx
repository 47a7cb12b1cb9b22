/** Sentences in which `names of code` stand between backticks, as the rules write them. */
export function Prose({ text }: { text: string }) {
  const parts = text.split(/`([^`\n]+)`/);
  return <>{parts.map((part, place) => (place % 2 === 1 ? <code key={`${place}`}>{part}</code> : part))}</>;
}
