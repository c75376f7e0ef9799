/** What the browser did while something happened. */
import type { CDPSession, Page } from 'playwright-core';

export interface Profile {
  readonly seconds: number;
  /** Seconds of the main thread. */
  readonly script: number;
  readonly task: number;
  readonly framesPerSecond: number;
  /** Milliseconds; 0 without a long task. */
  readonly worstTask: number;
}

interface Seen {
  frames: number;
  tasks: number[];
}

export class Profiler {
  private constructor(
    private readonly page: Page,
    private readonly session: CDPSession,
  ) {}

  static async start(page: Page): Promise<Profiler> {
    const session = await page.context().newCDPSession(page);
    await session.send('Performance.enable');
    await page.evaluate(() => {
      const seen: Seen = { frames: 0, tasks: [] };
      Object.assign(window, { seen });
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) seen.tasks.push(entry.duration);
      }).observe({ entryTypes: ['longtask'] });
    });
    return new Profiler(page, session);
  }

  async during(action: () => Promise<unknown>, countFrames = true): Promise<Profile> {
    await this.page.evaluate((counts) => {
      const { seen } = window as unknown as { seen: Seen };
      seen.frames = 0;
      seen.tasks = [];
      if (!counts) return;
      const next = (): void => {
        seen.frames++;
        if (Object.hasOwn(window, 'counting')) requestAnimationFrame(next);
      };
      Object.assign(window, { counting: true });
      requestAnimationFrame(next);
    }, countFrames);
    const before = await this.metrics();
    await action();
    const after = await this.metrics();
    const { frames, tasks } = await this.page.evaluate(() => {
      Reflect.deleteProperty(window, 'counting');
      return (window as unknown as { seen: Seen }).seen;
    });
    const difference = (name: string) => (after.get(name) ?? 0) - (before.get(name) ?? 0);
    const seconds = difference('Timestamp');
    return {
      seconds,
      script: difference('ScriptDuration'),
      task: difference('TaskDuration'),
      framesPerSecond: frames / seconds,
      worstTask: Math.max(0, ...tasks),
    };
  }

  /** After a garbage collection: bytes of the heap, DOM nodes also out of the document, listeners. */
  async memory(): Promise<{ heap: number; nodes: number; listeners: number }> {
    await this.session.send('HeapProfiler.collectGarbage');
    const metrics = await this.metrics();
    const count = (name: string) => metrics.get(name) ?? 0;
    return {
      heap: count('JSHeapUsedSize'),
      nodes: count('Nodes'),
      listeners: count('JSEventListeners'),
    };
  }

  private async metrics(): Promise<Map<string, number>> {
    const { metrics } = await this.session.send('Performance.getMetrics');
    return new Map(metrics.map(({ name, value }) => [name, value]));
  }
}
