/** Grey lines in the place of what is loading; CSS shows them after 150 ms only. */
import { useText } from '../i18n/language';

export function Skeleton({ rows }: { rows: number }) {
  const t = useText();
  return (
    <div className="skeleton">
      <span className="visually-hidden">{t.loading}</span>
      {Array.from({ length: rows }, (_, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the lines are all alike.
        <i key={index} />
      ))}
    </div>
  );
}
