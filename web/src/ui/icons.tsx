/** Icons of 20 by 20 units, drawn in the colour of the text. */

const PATHS = {
  plus: 'M10 4v12M4 10h12',
  menu: 'M3 5.5h14M3 10h14M3 14.500h14',
  more: 'M4.500 10h.01M10 10h.01M15.500 10h.01',
  send: 'M10 16V4.500M5 9.500l5-5 5 5',
  stop: 'M6 6h8v8H6z',
  copy: 'M7.500 7.500V5A1.500 1.500 0 0 1 9 3.500h6A1.500 1.500 0 0 1 16.500 5v6a1.500 1.500 0 0 1-1.500 1.500h-2.500M5 7.500h6A1.500 1.500 0 0 1 12.500 9v6a1.500 1.500 0 0 1-1.500 1.500H5A1.500 1.500 0 0 1 3.500 15V9A1.500 1.500 0 0 1 5 7.500z',
  check: 'M4 10.500l4 4 8-9',
  edit: 'M12.500 4.500l3 3L7 16H4v-3zM11 6l3 3',
  again: 'M15.500 10a5.500 5.500 0 1 1-1.600-3.900M15.500 3.500v3h-3',
  left: 'M12 5l-5 5 5 5',
  right: 'M8 5l5 5-5 5',
  down: 'M10 4v11.500M5 11l5 5 5-5',
  archive: 'M3.500 4h13v3h-13zM4.500 7v9h11V7M8 10.500h4',
  trash: 'M4 6h12M8 6V4h4v2M5.500 6l.7 10h7.600l.7-10',
  gear: 'M10 12.800a2.800 2.800 0 1 0 0-5.600 2.800 2.800 0 0 0 0 5.600zM10 3v2M10 15v2M3 10h2M15 10h2M5 5l1.500 1.500M13.500 13.500 15 15M5 15l1.500-1.500M13.500 6.500 15 5',
  warning: 'M10 3.500l7 12.500H3zM10 8v3.500M10 13.600h.01',
  clock: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM10 6v4l2.500 2',
  search: 'M9 14.500a5.500 5.500 0 1 0 0-11 5.500 5.500 0 0 0 0 11zM13 13l4 4',
  chart: 'M4 16V9M8 16V4M12 16v-5M16 16V7',
  fork: 'M6 4v4a4 4 0 0 0 4 4h4M14 4v12M11 9l3 3 3-3',
  download: 'M10 3.500V13M5.500 8.500L10 13l4.500-4.500M4 16.500h12',
  close: 'M5 5l10 10M15 5L5 15',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
      <path
        d={PATHS[name]}
        fill={name === 'stop' ? 'currentColor' : 'none'}
        stroke="currentColor"
        strokeWidth={name === 'more' ? 2.4 : 1.6}
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}
