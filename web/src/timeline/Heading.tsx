import { useTimes } from '../i18n/times';

interface Properties {
  id: string;
  author: string;
  /** An RFC 3339 time. */
  at: string;
}

export function Heading({ id, author, at }: Properties) {
  const times = useTimes();
  const date = new Date(at);
  return (
    <header id={id}>
      <h2>{author}</h2>
      <time dateTime={at} title={times.exact(date)}>
        {times.time(date)}
      </time>
    </header>
  );
}
