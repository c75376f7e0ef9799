import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api, data } from '../api/client';
import type { components } from '../api/schema';
import { useText } from '../i18n/language';
import { type Times, useTimes } from '../i18n/times';
import { useAssistants } from '../sessions/queries';
import { Choice } from '../ui/Choice';
import { Dialog } from '../ui/Dialog';
import { codeOf, problemText } from '../ui/problemText';
import { Skeleton } from '../ui/Skeleton';
import { UsageChart } from './UsageChart';

type Group = components['schemas']['UsageGroup'];
type Totals = components['schemas']['UsageTotals'];
type Period = '7' | '30' | '90';

const DAY_MS = 86_400_000;

export function UsageDialog({ onClose }: { onClose: () => void }) {
  const t = useText();
  const times = useTimes();
  const [period, setPeriod] = useState<Period>('30');
  const days = daysOf(Number(period));
  const byDay = useUsage(days[0] ?? '', 'day');
  const byAssistant = useUsage(days[0] ?? '', 'assistant');
  const { data: assistants = [] } = useAssistants();
  const nameOf = (id: string | null | undefined) =>
    assistants.find((each) => each.id === id)?.name ?? id ?? t.withoutSession;
  const report = byDay.data;
  return (
    <Dialog title={t.usage} onClose={onClose} isWide>
      <Choice<Period>
        label={t.period}
        value={period}
        options={[
          ['7', t.lastDays(7)],
          ['30', t.lastDays(30)],
          ['90', t.lastDays(90)],
        ]}
        onChange={setPeriod}
      />
      {byDay.isError && <p role="alert">{problemText(codeOf(byDay.error), t)}</p>}
      {byDay.isPending && <Skeleton rows={6} />}
      {report && report.total.replies === 0 && <p className="list-note">{t.noUsage}</p>}
      {report && report.total.replies > 0 && (
        <>
          <Summary total={report.total} times={times} />
          <UsageChart days={days} groups={report.data} />
          <details className="usage-table">
            <summary>{t.asTable}</summary>
            <UsageTable label={t.day} rows={report.data} name={(row) => row.day ?? ''} />
          </details>
          {byAssistant.data && (
            <UsageTable
              label={t.assistant}
              rows={byAssistant.data.data}
              name={(row) => nameOf(row.assistant_id)}
            />
          )}
        </>
      )}
      <div className="buttons">
        <button type="button" className="button primary" onClick={onClose}>
          {t.close}
        </button>
      </div>
    </Dialog>
  );
}

function useUsage(start: string, groupBy: 'day' | 'assistant') {
  return useQuery({
    queryKey: ['usage', start, groupBy],
    retry: 1,
    queryFn: () =>
      data(api.GET('/v1/usage', { params: { query: { start, group_by: groupBy, limit: 100 } } })),
  });
}

function Summary({ total, times }: { total: Totals; times: Times }) {
  const t = useText();
  return (
    <dl className="totals">
      <div>
        <dt>{t.replies}</dt>
        <dd>{times.number(total.replies)}</dd>
      </div>
      <div>
        <dt>{t.tokens}</dt>
        <dd>
          {times.number(total.total_tokens)}
          {total.estimated_tokens > 0 && (
            <small>{t.estimatedOf(times.number(total.estimated_tokens))}</small>
          )}
        </dd>
      </div>
      {total.cost.map((cost) => (
        <div key={cost.currency}>
          <dt>{t.cost}</dt>
          <dd>{times.money(cost.micros / 1e6, cost.currency)}</dd>
        </div>
      ))}
    </dl>
  );
}

interface TableProperties {
  label: string;
  rows: readonly Group[];
  name: (row: Group) => string;
}

function UsageTable({ label, rows, name }: TableProperties) {
  const t = useText();
  const times = useTimes();
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">{label}</th>
          <th scope="col">{t.replies}</th>
          <th scope="col">{t.tokensIn}</th>
          <th scope="col">{t.tokensOut}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={name(row)}>
            <th scope="row" dir="auto">
              {name(row)}
            </th>
            <td>{times.number(row.replies)}</td>
            <td>{times.number(row.prompt_tokens)}</td>
            <td>{times.number(row.completion_tokens)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The last days up to today in UTC, as the server counts them. */
function daysOf(count: number): string[] {
  const today = Date.now();
  return Array.from({ length: count }, (_, index) =>
    new Date(today - (count - 1 - index) * DAY_MS).toISOString().slice(0, 10),
  );
}
