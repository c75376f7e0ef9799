import type { components } from '../api/schema';
import { useText } from '../i18n/language';
import { useTimes } from '../i18n/times';

type Group = components['schemas']['UsageGroup'];

const HEIGHT = 120;
const STEP = 10;
const BAR = 8;

/** Tokens by day, stacked: what was sent below, what was written above. */
export function UsageChart({
  days,
  groups,
}: {
  days: readonly string[];
  groups: readonly Group[];
}) {
  const t = useText();
  const times = useTimes();
  const byDay = new Map(groups.map((group) => [group.day, group]));
  const highest = Math.max(1, ...groups.map((group) => group.total_tokens));
  const total = groups.reduce((sum, group) => sum + group.total_tokens, 0);
  const label = t.chartLabel(times.number(total), days.length, times.number(highest));
  const scale = (tokens: number) => (tokens / highest) * HEIGHT;
  return (
    <figure className="chart">
      <svg
        role="img"
        aria-label={label}
        viewBox={`0 0 ${days.length * STEP} ${HEIGHT}`}
        preserveAspectRatio="none"
      >
        {days.map((day, index) => {
          const group = byDay.get(day);
          if (!group) return null;
          const sent = scale(group.prompt_tokens);
          const written = scale(group.completion_tokens);
          return (
            <g key={day}>
              <title>{`${day}: ${times.number(group.total_tokens)}`}</title>
              <rect
                className="sent"
                x={index * STEP + 1}
                y={HEIGHT - sent}
                width={BAR}
                height={sent}
              />
              <rect
                className="written"
                x={index * STEP + 1}
                y={HEIGHT - sent - written}
                width={BAR}
                height={written}
              />
            </g>
          );
        })}
      </svg>
      <figcaption>
        <span>{days[0]}</span>
        <span className="legend">
          <i className="sent" /> {t.tokensIn} <i className="written" /> {t.tokensOut}
        </span>
        <span>{days.at(-1)}</span>
      </figcaption>
    </figure>
  );
}
