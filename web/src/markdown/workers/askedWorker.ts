/** Workers of the page, which answer one request after the other. */
import formatUrl from './format.worker.ts?worker&url';
import highlightUrl from './highlight.worker.ts?worker&url';

const URLS = { format: formatUrl, highlight: highlightUrl };

export interface WorkerRequest<Question> {
  readonly id: number;
  readonly question: Question;
}

/** null: the worker could not do it. */
export interface WorkerAnswer<Answer> {
  readonly id: number;
  readonly answer: Answer | null;
}

export class AskedWorker<Question, Answer> {
  private worker: Worker | null = null;
  private nextId = 0;
  private readonly waiting = new Map<number, (answer: Answer | null) => void>();

  /** A worker that does not answer in time is replaced. */
  constructor(
    private readonly name: keyof typeof URLS,
    private readonly timeoutMs: number,
  ) {}

  ask(question: Question): Promise<Answer | null> {
    const id = this.nextId++;
    this.worker ??= this.start();
    const asked = this.worker;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        asked.terminate();
        if (this.worker === asked) this.worker = null;
        this.waiting.delete(id);
        resolve(null);
      }, this.timeoutMs);
      this.waiting.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      asked.postMessage({ id, question } satisfies WorkerRequest<Question>);
    });
  }

  private start(): Worker {
    const started = new Worker(trusted(URLS[this.name]), { type: 'module' });
    started.addEventListener('message', ({ data }: MessageEvent<WorkerAnswer<Answer>>) => {
      this.waiting.get(data.id)?.(data.answer);
      this.waiting.delete(data.id);
    });
    return started;
  }
}

/** The address of a worker is a script: Trusted Types allow this policy, and these addresses only. */
function trusted(own: string): string {
  const { trustedTypes } = window as unknown as {
    trustedTypes?: {
      createPolicy(
        name: string,
        rules: { createScriptURL(url: string): string },
      ): { createScriptURL(url: string): string };
    };
  };
  if (!trustedTypes) return own;
  policy ??= trustedTypes.createPolicy('parley', {
    createScriptURL(asked) {
      if (!Object.values(URLS).includes(asked)) throw new TypeError('Not a script of the page.');
      return asked;
    },
  });
  return policy.createScriptURL(own);
}

let policy: { createScriptURL(url: string): string } | null = null;
