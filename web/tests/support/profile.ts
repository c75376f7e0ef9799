/** What the browser did while something happened. */
import type { CDPSession, Page } from 'playwright-core';

export interface Profile {
  readonly seconds: number;
  /** Seconds of the main thread. */
  readonly script: number;
  readonly task: number;
  readonly framesPerSecond: number;
  /** Tasks of over 50 ms. */
  readonly longTasks: number;
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
      longTasks: tasks.length,
      worstTask: Math.max(0, ...tasks),
    };
  }

  /** Bytes of the heap after a garbage collection, and the number of nodes in the document. */
  async memory(): Promise<{ heap: number; nodes: number }> {
    await this.session.send('HeapProfiler.collectGarbage');
    const heap = (await this.metrics()).get('JSHeapUsedSize') ?? 0;
    const nodes = await this.page.evaluate(() => document.querySelectorAll('*').length);
    return { heap, nodes };
  }

  private async metrics(): Promise<Map<string, number>> {
    const { metrics } = await this.session.send('Performance.getMetrics');
    return new Map(metrics.map(({ name, value }) => [name, value]));
  }
}
