/** The clock of this device, compared with the server's by the `Date` of its answers. */

/** An event of the window, whose detail is the difference in seconds. */
export const CLOCK_WRONG = 'parley-clock-wrong';

// Less may be the time that an answer took, and misleads nobody.
const MAX_DIFFERENCE_S = 300;

// One answer may have waited in a device that slept.
let wasWrong = false;

export function compareClock(response: Response): void {
  const difference = Math.abs(Date.now() - Date.parse(response.headers.get('date') ?? '')) / 1000;
  const isWrong = difference > MAX_DIFFERENCE_S;
  if (isWrong && wasWrong) dispatchEvent(new CustomEvent(CLOCK_WRONG, { detail: difference }));
  wasWrong = isWrong;
}
